//! The kinds of members that there are, and who makes links of each.
//!
//! Owns no state. A `MemberCluster` names its kind; the provider of that kind reads what is said of it there. Whoever
//! runs a router says which providers it has: the rest of it knows no kind by name.

use std::sync::Arc;

use spark_router_api::{MemberCluster, condition::reason, job::emr::EmrJob};
use spark_router_core::place::{Inexpressible, NamespaceRule};

use crate::{
    connection::{Connection, Connector},
    link::Blueprint,
    links::Links,
    member::{Asked, Backend},
    operator::namespace_rule,
    standing::Fault,
};

/// Whoever makes links of one kind of member.
pub trait Provider: Send + Sync + 'static {
    /// Whether the object names this kind.
    fn provides(&self, object: &MemberCluster) -> bool;

    /// Whether such a member is reached by the connection that its object describes: else it may do without one.
    fn needs_connection(&self) -> bool;

    /// Where jobs run there.
    fn namespace_rule(&self, object: &MemberCluster) -> NamespaceRule {
        namespace_rule(object)
    }

    /// What is shown beside a job there, with what the job says to EMR on EKS. The object's own templates win.
    fn links(&self, object: &MemberCluster, _emr: Option<&EmrJob>) -> Links {
        Links::of(object)
    }

    /// What the member can run. Pure, and cheap enough for each pass over all members.
    fn backend(&self, object: &MemberCluster) -> Arc<dyn Backend>;

    /// What its link is made of.
    ///
    /// # Errors
    /// What is wrong with the object, by its field.
    fn blueprint(
        &self,
        object: &MemberCluster,
        connection: Option<Connection>,
    ) -> Result<Arc<dyn Blueprint>, Fault>;
}

/// All kinds that a router knows, and the ways to members beside kubeconfigs. Clones share them.
#[derive(Clone)]
pub struct Providers {
    kinds: Arc<[Arc<dyn Provider>]>,
    ways: Arc<[Arc<dyn Connector>]>,
}

impl Providers {
    /// These kinds, and no other ways than kubeconfigs.
    pub fn new(all: impl IntoIterator<Item = Arc<dyn Provider>>) -> Self {
        Self { kinds: all.into_iter().collect(), ways: Arc::default() }
    }

    /// With these ways to members.
    #[must_use]
    pub fn with_ways(self, ways: impl IntoIterator<Item = Arc<dyn Connector>>) -> Self {
        Self { ways: ways.into_iter().collect(), ..self }
    }

    /// All ways to members beside kubeconfigs.
    pub fn ways(&self) -> &[Arc<dyn Connector>] {
        &self.ways
    }

    /// The provider of the kind that the object names.
    ///
    /// # Errors
    /// [`reason::INVALID_SPEC`] where there is none: the object was written for a newer router.
    pub fn of(&self, object: &MemberCluster) -> Result<&dyn Provider, Fault> {
        let found = self.kinds.iter().find(|provider| provider.provides(object));
        found.map(|provider| &**provider).ok_or_else(|| (reason::INVALID_SPEC, UNKNOWN.to_owned()))
    }

    /// Where a member runs jobs.
    pub fn namespace_rule(&self, object: &MemberCluster) -> NamespaceRule {
        self.of(object).map_or_else(|_| namespace_rule(object), |provider| provider.namespace_rule(object))
    }

    /// What is shown beside a job on a member.
    pub fn links(&self, object: &MemberCluster, emr: Option<&EmrJob>) -> Links {
        self.of(object).map_or_else(|_| Links::of(object), |provider| provider.links(object, emr))
    }

    /// What a member can run: nothing, where its kind is not known.
    pub fn backend(&self, object: &MemberCluster) -> Arc<dyn Backend> {
        match self.of(object) {
            Ok(provider) => provider.backend(object),
            Err((_, why)) => nothing("unknown", "spec.backend", why),
        }
    }
}

const UNKNOWN: &str =
    "spec.backend: this router does not know that kind of member; use another one, or a newer router";

/// Members of that name can run nothing, for this reason.
pub fn nothing(name: &str, field: &str, why: String) -> Arc<dyn Backend> {
    Arc::new(Nothing { name: name.to_owned(), why: Inexpressible::new(field.to_owned(), why) })
}

struct Nothing {
    name: String,
    why: Inexpressible,
}

impl Backend for Nothing {
    fn name(&self) -> &str {
        &self.name
    }

    fn inexpressible(&self, _: &Asked<'_>) -> Vec<Inexpressible> {
        vec![self.why.clone()]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use spark_router_core::id::{JobKey, Namespace};

    use super::*;

    fn object(backend: &Value) -> MemberCluster {
        MemberCluster::new("m1", serde_json::from_value(json!({ "backend": backend })).unwrap())
    }

    #[test]
    fn an_object_has_one_kind_and_a_kind_that_nobody_knows_can_run_nothing() {
        let providers = Providers::new([crate::kubeflow::provider(), crate::apache::provider()]);
        for (backend, name) in [
            (json!({}), "sparkoperator.k8s.io/v1beta2"),
            (json!({"sparkOperator": {}}), "sparkoperator.k8s.io/v1beta2"),
            (json!({"apacheSpark": {}}), "spark.apache.org/v1"),
        ] {
            let object = object(&backend);
            assert!(providers.of(&object).is_ok());
            assert_eq!(providers.backend(&object).name(), name);
        }
        let emr = object(&json!({"emrContainers": {"virtualClusterId": "0a1b", "region": "eu-central-1"}}));
        let Err((reason, message)) = providers.of(&emr) else { panic!("it was taken for a cluster") };
        assert_eq!(reason, reason::INVALID_SPEC);
        assert!(message.starts_with("spec.backend: "), "{message}");
        let key = JobKey { namespace: Namespace::from("a"), name: "b".to_owned() };
        let asked = Asked { key: &key, template: &json!({}), emr: None, pod_template_files: false };
        assert_eq!(providers.backend(&emr).inexpressible(&asked).len(), 1);
    }
}
