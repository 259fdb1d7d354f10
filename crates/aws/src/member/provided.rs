//! Links to virtual clusters, as members' objects describe them.
//!
//! Owns no state but the clients that all of them share. A router without such a member makes none.

use std::{sync::Arc, time::Duration};

use spark_router_api::{
    MemberCluster, condition::reason, job::emr::EmrJob, member::emr::EmrContainersBackend,
};
use spark_router_core::{
    id::{ClusterName, Namespace},
    place::NamespaceRule,
};
use spark_router_member::{
    Admission, Backend, Blueprint, Connection, Fault, Provider,
    links::Links,
    provider::nothing,
    render::{MemberParts, check_member_parts},
    thresholds,
};

use super::{Beneath, Settings, Tempo, Translator, blueprint};
use crate::{Access, Clients, Credentials, EmrSettings, Problem, Role, links::links, poll, settings::ROOT};

/// Who makes links to virtual clusters of EMR on EKS, with these clients and by these credentials of the process.
pub fn provider(clients: Clients, credentials: Credentials) -> Arc<dyn Provider> {
    Arc::new(Provided { clients, credentials })
}

struct Provided {
    clients: Clients,
    credentials: Credentials,
}

impl Provider for Provided {
    fn provides(&self, object: &MemberCluster) -> bool {
        object.spec.backend.emr_containers.is_some()
    }

    fn needs_connection(&self) -> bool {
        false
    }

    fn namespace_rule(&self, object: &MemberCluster) -> NamespaceRule {
        // One for all jobs; what it is called there nobody has to know, and its id is known from the start.
        let id = object.spec.backend.emr_containers.as_ref().map(|emr| emr.virtual_cluster_id.as_str());
        NamespaceRule::Fixed(Namespace::new(id.unwrap_or_default()))
    }

    fn links(&self, object: &MemberCluster, emr: Option<&EmrJob>) -> Links {
        let settings = named(object).ok().and_then(|backend| EmrSettings::new(backend).ok());
        let usual = settings.map(|settings| links(&settings, emr)).unwrap_or_default();
        Links::of(object).or(usual)
    }

    fn backend(&self, object: &MemberCluster) -> Arc<dyn Backend> {
        match translator(object) {
            Ok(translator) => Arc::new(translator),
            Err((_, why)) => nothing(&format!("emr-containers/{}", name(object)), ROOT, why),
        }
    }

    fn blueprint(
        &self,
        object: &MemberCluster,
        connection: Option<Connection>,
    ) -> Result<Arc<dyn Blueprint>, Fault> {
        let backend = named(object)?;
        let access = Access {
            region: backend.region.clone(),
            credentials: self.credentials.clone(),
            role: backend
                .assume_role
                .as_ref()
                .map(|role| Role { arn: role.arn.clone(), external_id: role.external_id.clone() }),
            endpoint: backend.endpoint_url.clone(),
            other_endpoints: None,
        };
        let eks = object.spec.connection.eks.as_ref().map(|eks| eks.cluster.clone());
        let settings = Settings {
            name: ClusterName::new(name(object)),
            access,
            virtual_cluster: backend.virtual_cluster_id.clone(),
            namespace: self.namespace_rule(object),
            thresholds: thresholds(object),
            admission: Admission::Awaited,
            below: connection.map(|connection| Beneath { connection, name: eks }),
            tempo: tempo(backend.poll_seconds),
            maker: Arc::new(translator(object)?),
        };
        Ok(blueprint(settings, self.clients.clone()))
    }
}

/// The name of an object; an API server stores none without.
fn name(object: &MemberCluster) -> &str {
    object.metadata.name.as_deref().unwrap_or_default()
}

fn named(object: &MemberCluster) -> Result<&EmrContainersBackend, Fault> {
    let backend = object.spec.backend.emr_containers.as_ref();
    backend.ok_or_else(|| (reason::INVALID_SPEC, format!("{ROOT}: is not there")))
}

fn translator(object: &MemberCluster) -> Result<Translator, Fault> {
    check_member_parts(&object.spec).map_err(|why| (reason::INVALID_SPEC, why))?;
    let settings = EmrSettings::new(named(object)?).map_err(|problems| {
        let texts: Vec<_> =
            problems.iter().map(|Problem { path, reason }| format!("{path}: {reason}")).collect();
        (reason::INVALID_SPEC, texts.join("; "))
    })?;
    Ok(Translator::new(settings, Arc::new(MemberParts::from(&object.spec))))
}

/// Times that follow from how often runs are listed.
fn tempo(poll_seconds: u32) -> Tempo {
    let every = Duration::from_secs(u64::from(poll_seconds.max(1)));
    let usual = Tempo::default();
    Tempo {
        poll: poll::Tempo { every, jitter: every / 3, again: every.min(usual.poll.again), ..usual.poll },
        // What is known of runs is not old before several walks have failed.
        stale_after: usual.stale_after.max(every * 4),
        ..usual
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(patch: &Value) -> MemberCluster {
        let mut backend = json!({"virtualClusterId": "0a1b", "region": "eu-central-1"});
        for (field, value) in patch.as_object().into_iter().flatten() {
            backend[field] = value.clone();
        }
        let spec = json!({"backend": {"emrContainers": backend}});
        MemberCluster::new("emr", serde_json::from_value(spec).unwrap())
    }

    fn provided() -> Arc<dyn Provider> {
        provider(Clients::default(), Credentials::Chain { instance_metadata: false })
    }

    #[test]
    fn a_virtual_cluster_needs_no_connection_and_makes_no_client_before_it_starts() {
        let clients = Clients::default();
        let provider = provider(clients.clone(), Credentials::Chain { instance_metadata: false });
        let object = object(&json!({}));
        assert!(provider.provides(&object) && !provider.needs_connection());
        let blueprint = provider.blueprint(&object, None).unwrap();
        assert_eq!(blueprint.name().as_str(), "emr");
        assert!(blueprint.is_same(&*provider.blueprint(&object, None).unwrap()));
        assert_eq!(clients.made(), 0);
        assert_eq!(provider.namespace_rule(&object), NamespaceRule::Fixed(Namespace::from("0a1b")));
    }

    #[test]
    fn whatever_changes_requests_or_how_they_are_sent_makes_another_link() {
        let before = provided().blueprint(&object(&json!({})), None).unwrap();
        for patch in [
            json!({"virtualClusterId": "0a1c"}),
            json!({"region": "eu-west-1"}),
            json!({"endpointUrl": "https://vpce-1.emr-containers.eu-central-1.vpce.amazonaws.com"}),
            json!({"assumeRole": {"arn": "arn:aws:iam::123456789012:role/router"}}),
            json!({"pollSeconds": 5}),
            json!({"releases": [{"sparkVersion": "3.5", "releaseLabel": "emr-7.0.0-latest"}]}),
            json!({"fixed": {"tags": {"team": "a"}}}),
        ] {
            let after = provided().blueprint(&object(&patch), None).unwrap();
            assert!(!before.is_same(&*after), "{patch}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_by_its_field_and_nothing_runs_there() {
        let object = object(&json!({"fixed": {"jobTemplate": {"id": "0b"}}}));
        let Err((reason, message)) = provided().blueprint(&object, None) else { panic!("it was taken") };
        assert_eq!(reason, reason::INVALID_SPEC);
        assert!(message.starts_with("spec.backend.emrContainers.fixed.jobTemplate.id: "), "{message}");
        let key = spark_router_core::id::JobKey { namespace: "a".into(), name: "b".to_owned() };
        let asked = spark_router_member::Asked {
            key: &key,
            template: &json!({}),
            emr: None,
            pod_template_files: false,
        };
        let why = provided().backend(&object).inexpressible(&asked);
        assert!(why[0].why.contains("jobTemplate.id"), "{why:?}");
    }
}
