//! Where a cluster is, as EKS says.
//!
//! Owns no state. A definite answer is a fault of the member's object or of the cluster; anything else says nothing.

use aws_sdk_eks::{Client, types};
use spark_router_member::Fault;

use super::EksTarget;
use crate::client::{Class, Failure, Guard, Guarding, Kind};

/// The cluster is being made or taken away, or what EKS says of it cannot be used.
pub(super) const NOT_ACTIVE: &str = "EksClusterNotActive";
/// No such cluster.
const MISSING: &str = "EksClusterMissing";
/// EKS could not be asked.
const NO_ANSWER: &str = "EksNoAnswer";

const DESCRIBE: Kind = Kind { verb: "get", resource: "clusters", changes: false };

/// Where a cluster's API server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) server: String,
    /// PEM in base64.
    pub(super) authority: String,
}

/// What a look has found.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Look {
    Found(Place),
    Fault(Fault),
    /// With what to say if nothing is known.
    Unclear(Fault),
}

/// Asks EKS.
pub(super) async fn describe(client: &Client, target: &EksTarget, guarding: &Guarding) -> Look {
    let guard = Guard::new(guarding, DESCRIBE);
    let asked = client.describe_cluster().name(&target.cluster).customize().interceptor(guard.clone()).send();
    match asked.await {
        Ok(answer) => match answer.cluster {
            Some(cluster) => found(&cluster, target),
            None => Look::Unclear((NO_ANSWER, target.no_answer("the answer has no cluster"))),
        },
        Err(error) => failed(&Failure::of(&error, guard.was_sent()), target),
    }
}

fn found(cluster: &types::Cluster, target: &EksTarget) -> Look {
    // UPDATING is an upgrade or a change of settings: its API server serves on. So is a word that is not known yet, as long
    // as there is an address: the link has checks of its own.
    let status = cluster.status.as_ref().map_or("", types::ClusterStatus::as_str);
    if matches!(status, "CREATING" | "PENDING" | "DELETING" | "FAILED") {
        return Look::Fault((NOT_ACTIVE, target.not_active(status)));
    }
    let authority = cluster.certificate_authority.as_ref().and_then(|authority| authority.data.as_deref());
    match (cluster.endpoint.as_deref(), authority) {
        (Some(server), Some(authority)) if !server.is_empty() && !authority.is_empty() => {
            Look::Found(Place { server: server.to_owned(), authority: authority.to_owned() })
        }
        _ => Look::Fault((NOT_ACTIVE, target.unusable("it has no endpoint or no certificate authority yet"))),
    }
}

fn failed(failure: &Failure, target: &EksTarget) -> Look {
    let said = failure.to_string();
    match failure.class {
        Class::Access if failure.code.is_some() => {
            Look::Fault((Class::Access.reason(), target.denied(&said)))
        }
        // No credentials. Who has a role may have failed to assume it, or STS did not answer.
        Class::Access => Look::Unclear((Class::Access.reason(), target.denied(&said))),
        Class::NotSent | Class::Unclear | Class::Throttled => {
            Look::Unclear((NO_ANSWER, target.no_answer(&said)))
        }
        _ if failure.code.as_deref() == Some("ResourceNotFoundException") => {
            Look::Fault((MISSING, target.missing()))
        }
        _ => Look::Fault((NOT_ACTIVE, target.unusable(&said))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::Credentials;

    fn target() -> EksTarget {
        let eks = json!({"cluster": "etl", "region": "eu-west-1"});
        let credentials = Credentials::Chain { instance_metadata: false };
        EksTarget::of("m1", &serde_json::from_value(eks).unwrap(), credentials)
    }

    fn cluster(status: Option<&str>, server: Option<&str>, authority: Option<&str>) -> types::Cluster {
        let authority = authority.map(|data| types::Certificate::builder().data(data).build());
        types::Cluster::builder()
            .name("etl")
            .set_status(status.map(types::ClusterStatus::from))
            .set_endpoint(server.map(str::to_owned))
            .set_certificate_authority(authority)
            .build()
    }

    #[test]
    fn a_cluster_is_used_while_it_serves() {
        let target = target();
        for status in [Some("ACTIVE"), Some("UPDATING"), Some("HIBERNATING"), None] {
            let look = found(&cluster(status, Some("https://a"), Some("Y2E=")), &target);
            let place = Place { server: "https://a".to_owned(), authority: "Y2E=".to_owned() };
            assert_eq!(look, Look::Found(place), "{status:?}");
        }
        for (status, server, authority) in [
            ("CREATING", None, None),
            ("DELETING", Some("https://a"), Some("Y2E=")),
            ("FAILED", Some("https://a"), Some("Y2E=")),
            ("PENDING", Some("https://a"), Some("Y2E=")),
            ("ACTIVE", None, Some("Y2E=")),
            ("ACTIVE", Some("https://a"), None),
            ("ACTIVE", Some(""), Some("")),
        ] {
            let look = found(&cluster(Some(status), server, authority), &target);
            let Look::Fault((NOT_ACTIVE, message)) = look else { panic!("{status}: {look:?}") };
            assert!(message.starts_with("spec.connection.eks.cluster: "), "{message}");
        }
    }

    #[test]
    fn only_a_definite_answer_is_a_fault_of_its_own() {
        let look = |class, code: Option<&str>| {
            let code = code.map(str::to_owned);
            let failure = Failure { class, status: None, code, message: "said".to_owned() };
            match failed(&failure, &target()) {
                Look::Found(_) => panic!("nothing was found"),
                Look::Fault((reason, _)) => (true, reason),
                Look::Unclear((reason, _)) => (false, reason),
            }
        };
        assert_eq!(look(Class::Access, Some("AccessDeniedException")), (true, "AccessDenied"));
        assert_eq!(look(Class::Access, None), (false, "AccessDenied"));
        assert_eq!(look(Class::NoRun, Some("ResourceNotFoundException")), (true, MISSING));
        assert_eq!(look(Class::Invalid, Some("InvalidParameterException")), (true, NOT_ACTIVE));
        for class in [Class::NotSent, Class::Unclear, Class::Throttled] {
            assert_eq!(look(class, None), (false, NO_ANSWER), "{class:?}");
        }
    }
}
