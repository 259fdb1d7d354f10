//! What is looked at before a member is used: who it is, whether it knows SparkApplications, whether we have the rights.
//!
//! Owns no state. Asks for exactly the rights that the shipped role grants and this crate uses; what is missing is said
//! in words.

use std::borrow::Cow;

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::{
    api::{
        authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
        core::v1::Namespace,
    },
    apimachinery::pkg::apis::meta::v1::APIResourceList,
};
use kube::{Api, Client, Resource, api::PostParams, core::PartialObjectMeta};
use spark_router_api::condition::reason;
use spark_router_core::id::MemberIdentity;

use crate::{error::chain, operator::dialect::Dialect, standing::Fault};

/// What was found.
pub(crate) enum Found {
    /// It could be looked at.
    Member { identity: MemberIdentity, version: Option<String>, fault: Option<Fault> },
    /// It answers, but not even who it is could be read.
    Closed(Fault),
    /// It does not answer, or not now: no fault of its settings.
    Unreachable(String),
}

/// A right that is used.
#[derive(Clone, Debug)]
struct Right {
    group: Cow<'static, str>,
    /// With the subresource, if any.
    resource: Cow<'static, str>,
    verb: &'static str,
    /// The one object that it is for, if only one.
    name: Option<&'static str>,
}

/// The namespace whose uid is a cluster's identity.
const IDENTITY: &str = "kube-system";
/// Rights are asked for this many at a time.
const AT_ONCE: usize = 4;

/// The verbs on applications.
const VERBS: [&str; 6] = ["get", "list", "watch", "create", "delete", "patch"];

/// The rights beside those on applications.
const OTHERS: [Right; 4] = [
    right("", "pods", "get"),
    right("", "pods", "list"),
    right("", "pods/log", "get"),
    Right {
        group: Cow::Borrowed(""),
        resource: Cow::Borrowed("namespaces"),
        verb: "get",
        name: Some(IDENTITY),
    },
];

/// Every right that is used.
fn rights<D: Dialect>() -> Vec<Right> {
    let (group, plural) = (D::Application::group(&()), D::Application::plural(&()));
    let on_applications =
        VERBS.map(|verb| Right { group: group.clone(), resource: plural.clone(), verb, name: None });
    on_applications.into_iter().chain(OTHERS).collect()
}

const fn right(group: &'static str, resource: &'static str, verb: &'static str) -> Right {
    Right { group: Cow::Borrowed(group), resource: Cow::Borrowed(resource), verb, name: None }
}

/// Looks.
pub(crate) async fn look<D: Dialect>(client: &Client) -> Found {
    let identity = match Api::<PartialObjectMeta<Namespace>>::all(client.clone()).get(IDENTITY).await {
        Ok(namespace) => match namespace.metadata.uid {
            Some(uid) => MemberIdentity::new(uid),
            None => return Found::Unreachable(format!("namespace {IDENTITY} came without a uid")),
        },
        Err(kube::Error::Api(status)) if status.code == 401 => {
            return Found::Closed((
                reason::UNAUTHORIZED,
                "the member does not take the credentials".to_owned(),
            ));
        }
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            return Found::Closed(missing(&["may not get namespace kube-system".to_owned()]));
        }
        Err(error) => return Found::Unreachable(chain(&error)),
    };
    match settings::<D>(client).await {
        Ok((version, fault)) => Found::Member { identity, version, fault },
        Err(error) => Found::Unreachable(chain(&error)),
    }
}

async fn settings<D: Dialect>(client: &Client) -> Result<(Option<String>, Option<Fault>), kube::Error> {
    let version = client.apiserver_version().await.ok().map(|info| info.git_version);
    if !serves_applications::<D>(client).await? {
        let message = format!(
            "the member does not serve {} of {}; install the {} with its CRDs",
            D::Application::plural(&()),
            D::Application::api_version(&()),
            D::OPERATOR,
        );
        return Ok((version, Some((reason::CRD_MISSING, message))));
    }
    let lacking: Vec<Option<String>> =
        stream::iter(rights::<D>())
            .map(|right| async move {
                Ok::<_, kube::Error>((!has(client, &right).await?).then(|| in_words(&right)))
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
    let lacking: Vec<String> = lacking.into_iter().flatten().collect();
    Ok((version, (!lacking.is_empty()).then(|| missing(&lacking))))
}

/// Discovery is open to every account, the CRD itself is not.
async fn serves_applications<D: Dialect>(client: &Client) -> Result<bool, kube::Error> {
    let path = format!("/apis/{}", D::Application::api_version(&()));
    let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
    match client.request::<APIResourceList>(request).await {
        Ok(list) => Ok(list.resources.iter().any(|resource| resource.name == D::Application::plural(&()))),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error),
    }
}

async fn has(client: &Client, right: &Right) -> Result<bool, kube::Error> {
    let Right { group, resource, verb, name } = right;
    let (resource, subresource) = resource.split_once('/').map_or((&**resource, None), |(r, s)| (r, Some(s)));
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                group: Some(group.clone().into_owned()),
                resource: Some(resource.to_owned()),
                subresource: subresource.map(str::to_owned),
                verb: Some((*verb).to_owned()),
                name: name.map(str::to_owned),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let answer =
        Api::<SelfSubjectAccessReview>::all(client.clone()).create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

fn in_words(Right { resource, verb, name, .. }: &Right) -> String {
    match name {
        Some(name) => format!("may not {verb} {} {name}", resource.trim_end_matches('s')),
        None => format!("may not {verb} {resource} in all namespaces"),
    }
}

fn missing(rights: &[String]) -> Fault {
    let message = format!("{}; apply deploy/kustomize/member there", rights.join(", "));
    (reason::FORBIDDEN, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubeflow::Kubeflow;

    #[test]
    fn missing_rights_are_said_in_words() {
        let words: Vec<_> = rights::<Kubeflow>().iter().map(in_words).collect();
        assert_eq!(words[3], "may not create sparkapplications in all namespaces");
        assert_eq!(words[9], "may not get namespace kube-system");
        assert_eq!(
            missing(&words[..1]).1,
            "may not get sparkapplications in all namespaces; apply deploy/kustomize/member there"
        );
    }
}
