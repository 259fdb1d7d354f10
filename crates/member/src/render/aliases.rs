//! The tables as lists, for documentation and for tests against real operators.
//!
//! Owns no state.

use std::collections::BTreeSet;

use super::{
    bans::REFUSED,
    keys::{KEYED, QUEUE_KEYS, WRITTEN_OUT},
    place::{Path, Role, filled, is_per_role},
    table::{FACTS, Fact, TWINS},
};

/// One place in which a template can set a fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The fact, in words.
    pub fact: &'static str,
    /// The role whose pods it is about: `driver` or `executor`. Left out: both.
    pub role: Option<&'static str>,
    /// The label, annotation or node label that it sets. Empty: it has none.
    pub key: String,
    /// Steps from the application down to it. One that begins with `#` is the container of that name.
    pub path: Vec<String>,
    /// Why it is treated as it is.
    pub why: &'static str,
}

/// Every place in which a template can set a fact that queue or member decide; `key` is the key of labels and the like.
pub fn all(key: &str) -> Vec<Place> {
    let facts = FACTS.iter().flat_map(|(fact, _)| of(*fact, name(*fact), key));
    let queues = QUEUE_KEYS.iter().flat_map(|(_, key)| {
        [Fact::Label, Fact::Annotation].into_iter().flat_map(|fact| of(fact, "queue", key))
    });
    facts.chain(queues).collect()
}

/// Every field of an application that any of the tables speaks of, from the top to the first step below a role: like
/// `spec.driver.image`.
pub fn fields() -> BTreeSet<String> {
    let facts = FACTS.iter().flat_map(|(_, aliases)| aliases.iter().map(|alias| alias.path));
    let twins = TWINS.iter().map(|twin| twin.path);
    let refused = REFUSED.iter().map(|refused| refused.path);
    let all =
        facts.chain(twins).chain(refused).chain(KEYED.iter().copied()).chain(WRITTEN_OUT.iter().copied());
    all.flat_map(|path| Role::ALL.map(|role| shortened(path, role))).collect()
}

fn shortened(path: Path, role: Role) -> String {
    let length =
        if path.get(1).is_some_and(|step| ["{role}", "driver", "executor"].contains(step)) { 3 } else { 2 };
    let steps: Vec<_> = path.iter().take(length).map(|step| filled(step, Some(role), "")).collect();
    steps.join(".")
}

fn of(fact: Fact, name: &'static str, key: &str) -> Vec<Place> {
    let mut places = Vec::new();
    for alias in FACTS.iter().filter(|(of, _)| *of == fact).flat_map(|(_, aliases)| *aliases) {
        let roles = if is_per_role(alias.path) { Role::ALL.map(Some).to_vec() } else { vec![None] };
        places.extend(roles.into_iter().map(|role| Place {
            fact: name,
            role: role.map(Role::as_str),
            key: if alias.path.iter().any(|step| step.contains("{key}")) {
                key.to_owned()
            } else {
                String::new()
            },
            path: alias.path.iter().map(|step| filled(step, role, key)).collect(),
            why: alias.why,
        }));
    }
    places
}

fn name(fact: Fact) -> &'static str {
    match fact {
        Fact::Image => "image",
        Fact::ServiceAccount => "service account",
        Fact::Scheduler => "scheduler",
        Fact::PriorityClass => "priority class",
        Fact::Tolerations => "tolerations",
        Fact::NodeSelector => "node selector",
        Fact::Label => "label",
        Fact::Annotation => "annotation",
    }
}
