//! The token that a cluster on EKS takes: a question to STS who one is, signed and not asked.
//!
//! Owns no state. The cluster's authenticator asks it and so learns who signed
//! (<https://github.com/kubernetes-sigs/aws-iam-authenticator>, "API Authorization from Outside a Cluster"). The name of the
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
const EXPIRES: Duration = Duration::from_mins(1);

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn question(session: Option<&str>) -> (String, BTreeMap<String, String>) {
        let key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let credentials = Credentials::new("AKIDEXAMPLE", key, session.map(str::to_owned), None, "test");
        let at = ("eu-west-1", "https://sts.eu-west-1.amazonaws.com");
        let clock = "2026-11-26T12:00:00Z".parse::<jiff::Timestamp>().unwrap();
        let token = presign(&credentials, at, "etl_1", clock.into()).unwrap();
        assert!(!token.contains('='), "no padding: {token}");
        let url = BASE64URL_NOPAD.decode(token.strip_prefix(PREFIX).unwrap().as_bytes()).unwrap();
        let url = String::from_utf8(url).unwrap();
        let (place, query) = url.split_once('?').unwrap();
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap());
        let pairs: Vec<_> = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let map: BTreeMap<_, _> = pairs.iter().cloned().collect();
        assert_eq!(map.len(), pairs.len(), "each once: {query}");
        (place.to_owned(), map)
    }

    /// The signatures are botocore's for the same request, clock and credentials.
    #[test]
    fn the_token_is_what_the_aws_command_makes() {
        let expected = [
            ("Action", "GetCallerIdentity"),
            ("Version", "2011-06-15"),
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", "AKIDEXAMPLE%2F20261126%2Feu-west-1%2Fsts%2Faws4_request"),
            ("X-Amz-Date", "20261126T120000Z"),
            ("X-Amz-Expires", "60"),
            ("X-Amz-SignedHeaders", "host%3Bx-k8s-aws-id"),
        ];
        let mut expected: BTreeMap<_, _> =
            expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let mut set = |key: &str, value: &str| {
            expected.insert(key.to_owned(), value.to_owned());
            expected.clone()
        };
        let plain =
            set("X-Amz-Signature", "31ab4c12b09314d4dcbe2514ee94d59dadb684da61c1ad84c2807d5b01ecba8a");
        let (place, query) = question(None);
        assert_eq!(place, "https://sts.eu-west-1.amazonaws.com/");
        assert_eq!(query, plain);
        set("X-Amz-Security-Token", "IQoJb3JpZ2luX2VjE%2B%2F%3D%3D");
        let session =
            set("X-Amz-Signature", "26f77366406091039151def8caf12befc6c9d5b583cc23ea1ac3ed3b025be14a");
        assert_eq!(question(Some("IQoJb3JpZ2luX2VjE+/==")).1, session);
    }

    #[tokio::test]
    async fn sts_is_the_regions_own_in_its_own_domain() {
        for (region, url) in [
            ("us-east-1", "https://sts.us-east-1.amazonaws.com"),
            ("eu-west-1", "https://sts.eu-west-1.amazonaws.com"),
            ("cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn"),
            ("us-gov-west-1", "https://sts.us-gov-west-1.amazonaws.com"),
            ("eu-isoe-west-1", "https://sts.eu-isoe-west-1.cloud.adc-e.uk"),
        ] {
            assert_eq!(sts(region).await.unwrap(), url);
        }
        assert!(sts("eu west").await.is_err());
    }
}
