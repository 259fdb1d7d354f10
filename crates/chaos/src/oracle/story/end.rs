//! How a story ends: its evidence is written down and judged.
//!
//! Owns no state. A verdict that is asked for by its kind must hold nothing of another kind.

use std::collections::BTreeMap;

use super::super::{Finding, Verdict, judge};
use super::Story;
use crate::evidence::{Evidence, Side};

impl Story {
    /// Writes the logs and collects the objects.
    pub(crate) fn close(&mut self) -> &Evidence {
        let side = |name: &str| {
            let audit = self.folder.path().join(format!("{name}.log"));
            let mut text = self.lines.get(name).map(|lines| lines.join("\n")).unwrap_or_default();
            if !text.is_empty() {
                text.push('\n');
            }
            std::fs::write(&audit, text).unwrap();
            let objects = self.objects.get(name).into_iter().flat_map(BTreeMap::values).cloned().collect();
            let backend = self.backends.get(name).copied().unwrap_or_default();
            Side { name: name.to_owned(), backend, audit, objects, ..Side::default() }
        };
        let (hub, mut members) = (side("hub"), vec![side("m1"), side("m2")]);
        for (new, old) in members.iter_mut().zip(&self.evidence.members) {
            new.operator_doubled.clone_from(&old.operator_doubled);
        }
        (self.evidence.hub, self.evidence.members) = (hub, members);
        &self.evidence
    }

    /// The operator of m1 doubled the drivers of this application.
    pub(crate) fn operator_doubles(&mut self, uid: &str) {
        self.close();
        self.evidence.members[0].operator_doubled.insert(uid.to_owned());
    }

    pub(crate) fn verdict(&mut self) -> Verdict {
        judge(self.close()).unwrap()
    }

    /// The findings of a kind, which must be the only ones.
    #[track_caller]
    fn only(&mut self, of: impl Fn(&Verdict) -> &Vec<Finding>) -> Vec<String> {
        let verdict = self.verdict();
        let found = of(&verdict);
        let all = verdict.lost.len() + verdict.doubled.len() + verdict.unexplained.len();
        assert_eq!(found.len(), all, "{verdict}");
        found.iter().map(ToString::to_string).collect()
    }

    #[track_caller]
    pub(crate) fn lost(&mut self) -> Vec<String> {
        self.only(|verdict| &verdict.lost)
    }

    #[track_caller]
    pub(crate) fn doubled(&mut self) -> Vec<String> {
        self.only(|verdict| &verdict.doubled)
    }

    #[track_caller]
    pub(crate) fn unexplained(&mut self) -> Vec<String> {
        self.only(|verdict| &verdict.unexplained)
    }

    #[track_caller]
    pub(crate) fn clean(&mut self) -> Verdict {
        let verdict = self.verdict();
        assert!(verdict.is_clean(), "{verdict}");
        verdict
    }
}

/// One finding, of which these words are part.
#[track_caller]
pub(crate) fn one(found: &[String], words: &[&str]) {
    assert_eq!(found.len(), 1, "{found:#?}");
    for word in words {
        assert!(found[0].contains(word), "{word:?} is not in {:?}", found[0]);
    }
}
