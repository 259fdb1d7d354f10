//! Whether a right that AWS refuses is one execution role's, or the router's own.
//!
//! Owns when each role was refused lately, and when another one was taken after that. AWS answers both with the same code,
//! and texts differ by policy. A role is at fault by itself when it is refused again some time after another one was taken:
//! rights that the router lacks keep every role from being taken. Until that is seen, a refusal counts as the router's,
//! because nobody's job may end for what an administrator has yet to grant.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;

/// See the module. Bounded by the roles that a member lists and by time.
#[derive(Debug, Default)]
pub(super) struct Roles(HashMap<String, Refused>);

#[derive(Debug)]
struct Refused {
    last: Timestamp,
    /// When another role was taken first after the first refusal.
    other_taken: Option<Timestamp>,
}

/// What was seen longer ago says nothing of today's rights.
const MEMORY: Duration = Duration::from_mins(10);

impl Roles {
    /// A start with it was accepted.
    pub(super) fn taken(&mut self, role: &str, now: Timestamp) {
        self.0.remove(role);
        for refused in self.0.values_mut() {
            refused.other_taken.get_or_insert(now);
        }
    }

    /// A start with it that was sent then was refused for a right. Whether the role is at fault by itself. Rights that were
    /// just granted may not be everywhere yet: for so long after another role was taken they are waited for.
    pub(super) fn refused(&mut self, role: &str, sent: Timestamp, patience: Duration) -> bool {
        let oldest = super::earlier(sent, MEMORY);
        self.0.retain(|_, refused| refused.last >= oldest);
        let refused = self.0.entry(role.to_owned()).or_insert(Refused { last: sent, other_taken: None });
        refused.last = sent;
        refused.other_taken.is_some_and(|taken| sent > super::later(taken, patience))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn a_role_is_at_fault_when_another_one_was_taken_after_its_refusal() {
        let mut roles = Roles::default();
        roles.taken("good", at(0));
        let mut refused = |second| roles.refused("bad", at(second), PATIENCE);
        assert!(!refused(1), "the router may have lost its rights a moment ago");
        assert!(!refused(100));
        roles.taken("good", at(101));
        roles.taken("good", at(120));
        let mut refused = |second| roles.refused("bad", at(second), PATIENCE);
        assert!(!refused(100), "it was sent before");
        assert!(!refused(131), "the same rights may be on their way");
        assert!(refused(132));
        roles.taken("bad", at(133));
        assert!(!roles.refused("bad", at(200), PATIENCE), "it was granted, and something is new");
    }

    #[test]
    fn rights_that_the_router_lacks_are_no_roles_fault() {
        let mut roles = Roles::default();
        roles.taken("one", at(0));
        roles.taken("other", at(1));
        for second in 2..400 {
            assert!(!roles.refused("one", at(second), PATIENCE));
            assert!(!roles.refused("other", at(second), PATIENCE));
        }
    }

    #[test]
    fn what_was_long_ago_says_nothing() {
        let mut roles = Roles::default();
        assert!(!roles.refused("bad", at(0), PATIENCE));
        roles.taken("good", at(1));
        assert!(!roles.refused("bad", at(602), PATIENCE), "it is forgotten");
        assert_eq!(roles.0.len(), 1);
    }
}
