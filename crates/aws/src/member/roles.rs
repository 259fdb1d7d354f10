//! Whether a right that AWS refuses is one execution role's, or the router's own.
//!
//! Owns when each role was refused and taken, for a short time. AWS answers both with the same code, and texts differ by
//! policy. A role is at fault by itself when it is refused again after another one was taken: rights that the router lacks
//! keep every role from being taken. Until that is seen, a refusal counts as the router's, because nobody's job may end for
//! what an administrator has yet to grant.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;

/// What was seen of each role lately. Bounded by the roles that a member lists and by time.
#[derive(Debug, Default)]
pub(super) struct Roles {
    refused: HashMap<String, Timestamp>,
    taken: HashMap<String, Timestamp>,
}

/// What was seen longer ago says nothing of today's rights.
const MEMORY: Duration = Duration::from_mins(10);

impl Roles {
    /// A start with it was accepted.
    pub(super) fn taken(&mut self, role: &str, now: Timestamp) {
        self.prune(now);
        self.refused.remove(role);
        self.taken.insert(role.to_owned(), now);
    }

    /// A start with it was refused for a right. Whether the role is at fault by itself.
    pub(super) fn refused(&mut self, role: &str, now: Timestamp) -> bool {
        self.prune(now);
        self.taken.remove(role);
        let first = *self.refused.entry(role.to_owned()).or_insert(now);
        self.taken.values().any(|taken| *taken > first)
    }

    fn prune(&mut self, now: Timestamp) {
        let oldest = super::earlier(now, MEMORY);
        self.taken.retain(|_, at| *at >= oldest);
        self.refused.retain(|_, at| *at >= oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn a_role_is_at_fault_when_another_one_was_taken_after_its_refusal() {
        let mut roles = Roles::default();
        roles.taken("good", at(0));
        assert!(!roles.refused("bad", at(1)), "the router may have lost its rights a moment ago");
        assert!(!roles.refused("bad", at(2)));
        roles.taken("good", at(3));
        assert!(roles.refused("bad", at(4)));
        roles.taken("bad", at(5));
        assert!(!roles.refused("bad", at(6)), "it was granted, and something is new");
    }

    #[test]
    fn rights_that_the_router_lacks_are_no_roles_fault() {
        let mut roles = Roles::default();
        roles.taken("one", at(0));
        roles.taken("other", at(1));
        for second in 2..100 {
            assert!(!roles.refused("one", at(second)));
            assert!(!roles.refused("other", at(second)));
        }
    }

    #[test]
    fn what_was_long_ago_says_nothing() {
        let mut roles = Roles::default();
        assert!(!roles.refused("bad", at(0)));
        roles.taken("good", at(1));
        assert!(!roles.refused("bad", at(602)), "both are forgotten");
        assert!(roles.refused.len() == 1 && roles.taken.is_empty(), "{roles:?}");
    }
}
