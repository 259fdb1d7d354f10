//! Label selectors, as Kubernetes defines them.
//!
//! Owns no state.

use std::collections::BTreeMap;

/// All requirements must hold; none at all matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

/// One requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// The label has one of these values.
    In(String, Vec<String>),
    /// The label is absent or has none of these values.
    NotIn(String, Vec<String>),
    /// The label is there.
    Exists(String),
    /// The label is not there.
    Absent(String),
}

impl Selector {
    /// A selector of these requirements.
    pub fn new(requirements: Vec<Requirement>) -> Self {
        Self(requirements)
    }

    /// Whether the labels satisfy all requirements.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Requirement::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Requirement::Exists(key) => labels.contains_key(key),
            Requirement::Absent(key) => !labels.contains_key(key),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_hold_as_in_kubernetes() {
        let labels = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
        let one = |requirement| Selector::new(vec![requirement]).matches(&labels);
        let values = |value: &str| vec![value.to_owned()];
        assert!(Selector::default().matches(&labels), "an empty selector matches all");
        assert!(one(Requirement::In("team".into(), values("a"))));
        assert!(!one(Requirement::In("team".into(), values("b"))));
        assert!(!one(Requirement::In("other".into(), values("a"))));
        assert!(one(Requirement::NotIn("other".into(), values("a"))), "an absent label is not in");
        assert!(!one(Requirement::NotIn("team".into(), values("a"))));
        assert!(one(Requirement::Exists("team".into())) && !one(Requirement::Absent("team".into())));
    }
}
