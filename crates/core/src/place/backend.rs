//! What a job asks for that some members' backends cannot do.
//!
//! Owns no state. Worked out once for a template and each kind of backend, never for a decision: a job carries the
//! answers. Must never take a backend that nobody was asked about for one that can do everything.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::Exclusion;

/// Something that a job or a route asks for and a member's backend cannot do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Inexpressible {
    /// The field that asks for it.
    pub field: Cow<'static, str>,
    /// Why it cannot be done there.
    pub why: Cow<'static, str>,
}

impl Inexpressible {
    /// The field and why.
    pub fn new(field: impl Into<Cow<'static, str>>, why: impl Into<Cow<'static, str>>) -> Self {
        Self { field: field.into(), why: why.into() }
    }
}

/// Which kinds of backends can run a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Expressed {
    /// The kinds that were asked about. Shared by all jobs that were read while there were no others.
    asked: Arc<BTreeSet<Arc<str>>>,
    /// Those that cannot, and the first reason of each. `None`: all can, as usual.
    not: Option<Arc<BTreeMap<Arc<str>, Inexpressible>>>,
}

impl Expressed {
    /// What `asked` answered: `not` holds those that cannot.
    pub fn new(asked: Arc<BTreeSet<Arc<str>>>, not: BTreeMap<Arc<str>, Inexpressible>) -> Self {
        Self { asked, not: (!not.is_empty()).then(|| Arc::new(not)) }
    }

    /// Whether a member of that kind can run it.
    ///
    /// # Errors
    /// The first thing that it cannot do; or that nobody was asked about it yet.
    pub(super) fn on(&self, backend: Option<&Arc<str>>) -> Result<(), Exclusion> {
        let Some(backend) = backend else { return Ok(()) };
        if let Some(why) = self.not.as_ref().and_then(|not| not.get(backend)) {
            return Err(Exclusion::Inexpressible(why.clone()));
        }
        if self.asked.contains(backend) {
            return Ok(());
        }
        let message = "whether it can run the job is being looked at".into();
        Err(Exclusion::NotReady { reason: "Connecting".into(), message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_about_can_run_it() {
        let names = ["a", "b"].map(Arc::<str>::from);
        let why = Inexpressible::new("spec.template.spec.x", "it has none");
        let not = BTreeMap::from([(names[1].clone(), why.clone())]);
        let expressed = Expressed::new(Arc::new(names.clone().into()), not);
        assert_eq!(expressed.on(None), Ok(()));
        assert_eq!(expressed.on(Some(&names[0])), Ok(()));
        assert_eq!(expressed.on(Some(&names[1])), Err(Exclusion::Inexpressible(why)));
        let unheard = expressed.on(Some(&"c".into())).unwrap_err();
        assert_eq!((unheard.reason(), unheard.needs_a_change()), ("NotReady", false));
    }
}
