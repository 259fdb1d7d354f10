//! The token that a cluster on EKS takes: a question to STS who one is, signed and not asked.
//!
//! Owns no state. The cluster's authenticator asks it and so learns who signed
//! (https://github.com/kubernetes-sigs/aws-iam-authenticator, "API Authorization from Outside a Cluster"). The name of the
//! cluster is signed with it, so a token for one cluster is of no use at another.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_sts::config::endpoint::{DefaultResolver, InvalidParams, Params, ResolveEndpoint};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningError, SigningSettings, sign},
    sign::v4,
};
use aws_smithy_runtime_api::{box_error::BoxError, client::identity::Identity};
use data_encoding::BASE64URL_NOPAD;

/// What every token begins with.
pub const PREFIX: &str = "k8s-aws-v1.";
/// The header that binds a token to a cluster. Who asks STS sends it along.
const CLUSTER: &str = "x-k8s-aws-id";
/// What the aws command writes. Authenticators want it there and count fifteen minutes all the same.
const EXPIRES: Duration = Duration::from_secs(60);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum Unsigned {
    /// No STS in the region.
    #[error("the region has no STS that can be named")]
    Region(#[from] InvalidParams),
    /// The same, as the SDK's table of regions says it.
    #[error("the region has no STS that is known")]
    Endpoint(#[source] BoxError),
    /// The question itself is none.
    #[error("the question to STS cannot be written")]
    Request(#[from] http::Error),
    /// A part of the signature is missing.
    #[error("the question to STS lacks something")]
    Parts(#[from] v4::signing_params::BuildError),
    /// It cannot be signed.
    #[error("the question to STS cannot be signed")]
    Signature(#[from] SigningError),
}

/// The public address of STS in a region. Authenticators take no other, so no endpoint that somebody set counts here; the
/// SDK's own table knows the regions' domains.
///
/// # Errors
/// When the region is none.
pub async fn sts(region: &str) -> Result<String, Unsigned> {
    let params = Params::builder().region(region).build()?;
    let endpoint = DefaultResolver::new().resolve_endpoint(&params).await;
    endpoint.map(|endpoint| endpoint.url().to_owned()).map_err(Unsigned::Endpoint)
}

/// A token for a cluster, signed as of `at`. Sends nothing.
///
/// # Errors
/// When something of it cannot be signed.
pub fn presign(
    credentials: &Credentials,
    (region, sts): (&str, &str),
    cluster: &str,
    at: SystemTime,
) -> Result<String, Unsigned> {
    let question = format!("{}/?Action=GetCallerIdentity&Version=2011-06-15", sts.trim_end_matches('/'));
    let mut request = http::Request::get(question).header(CLUSTER, cluster).body(())?;
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(EXPIRES);
    let identity: Identity = credentials.clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("sts")
        .time(at)
        .settings(settings)
        .build()?
        .into();
    let uri = request.uri().to_string();
    let signable =
        SignableRequest::new("GET", uri.as_str(), [(CLUSTER, cluster)].into_iter(), SignableBody::empty())?;
    let (signature, _) = sign(signable, &params)?.into_parts();
    signature.apply_to_request_http1x(&mut request);
    Ok(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(request.uri().to_string().as_bytes())))
}
