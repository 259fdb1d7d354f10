//! The kinds of backends that members have, and which of them can run a job.
//!
//! Owns the kinds that are known. Whenever there are others, every job that has no place yet has to be read again: it is
//! kept away from a kind that it was not read for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use parking_lot::RwLock;
use spark_router_api::MemberCluster;
use spark_router_core::place::Expressed;
use spark_router_member::{Asked, Backend, Providers};

/// The kinds that there are at one moment.
#[derive(Clone, Default)]
pub struct Kinds {
    /// Another set has another number.
    number: u64,
    names: Arc<BTreeSet<Arc<str>>>,
    all: Arc<[Arc<dyn Backend>]>,
}

impl Kinds {
    /// Those that members' objects name.
    pub fn of<'a>(members: impl IntoIterator<Item = &'a MemberCluster>, providers: &Providers) -> Self {
        let kinds = Known::default();
        kinds.set(members.into_iter().map(|member| providers.backend(member)));
        kinds.now()
    }

    /// The number of the set: what was read with another one has to be read again.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Which of them can run what is asked.
    pub fn expressed(&self, asked: &Asked<'_>) -> Expressed {
        let first = |backend: &Arc<dyn Backend>| {
            let why = backend.inexpressible(asked).into_iter().next()?;
            Some((backend.name().into(), why))
        };
        let not: BTreeMap<_, _> = self.all.iter().filter_map(first).collect();
        Expressed::new(self.names.clone(), not)
    }
}

/// The kinds that there are now. Clones share them.
#[derive(Clone, Default)]
pub struct Known(Arc<RwLock<Kinds>>);

impl Known {
    /// The present ones.
    pub fn now(&self) -> Kinds {
        self.0.read().clone()
    }

    /// Says which there are. Returns whether they are others than before.
    pub fn set(&self, backends: impl IntoIterator<Item = Arc<dyn Backend>>) -> bool {
        let all: BTreeMap<Arc<str>, Arc<dyn Backend>> =
            backends.into_iter().map(|backend| (backend.name().into(), backend)).collect();
        let names: BTreeSet<Arc<str>> = all.keys().cloned().collect();
        let mut kinds = self.0.write();
        if *kinds.names == names {
            return false;
        }
        let number = kinds.number + 1;
        *kinds = Kinds { number, names: Arc::new(names), all: all.into_values().collect() };
        true
    }
}

#[cfg(test)]
mod tests {
    use spark_router_core::place::Inexpressible;

    use super::*;

    struct Kind(&'static str, &'static [&'static str]);

    impl Backend for Kind {
        fn name(&self) -> &str {
            self.0
        }

        fn inexpressible(&self, asked: &Asked<'_>) -> Vec<Inexpressible> {
            let asks = |field: &&&'static str| asked.template.get(**field).is_some();
            self.1.iter().filter(asks).map(|field| Inexpressible::new(*field, "it cannot")).collect()
        }
    }

    fn kinds(of: &[(&'static str, &'static [&'static str])]) -> Vec<Arc<dyn Backend>> {
        of.iter().map(|(name, cannot)| Arc::new(Kind(name, cannot)) as Arc<dyn Backend>).collect()
    }

    #[test]
    fn another_set_has_another_number_and_the_first_reason_is_kept() {
        let known = Known::default();
        assert!(!known.set([]), "there were none before");
        assert!(known.set(kinds(&[("a", &[]), ("b", &["x", "y"])])));
        let first = known.now();
        assert!(!known.set(kinds(&[("b", &["x", "y"]), ("a", &[]), ("a", &[])])), "the same ones");
        assert_eq!(first.number(), known.now().number());
        let template = serde_json::json!({"x": 1, "y": 2});
        let asked: BTreeSet<Arc<str>> = ["a".into(), "b".into()].into();
        let not = BTreeMap::from([("b".into(), Inexpressible::new("x", "it cannot"))]);
        let key = spark_router_core::id::JobKey { namespace: "a".into(), name: "b".to_owned() };
        let of_job = Asked { key: &key, template: &template, emr: None, pod_template_files: false };
        assert_eq!(first.expressed(&of_job), Expressed::new(Arc::new(asked), not));
        assert!(known.set(kinds(&[("a", &[])])));
        assert_ne!(first.number(), known.now().number());
    }
}
