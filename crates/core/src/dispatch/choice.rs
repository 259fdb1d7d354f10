//! Among whom a placement was decided, as a value that is kept and shown.
//!
//! Owns no state. Decisions that were made alike share one: in a burst that is nearly all of them.

use std::fmt;

use crate::id::ClusterName;

/// Among whom a placement was decided, and why not the others. Shared by all decisions that were made alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The tier that had room.
    pub tier: u32,
    /// Whether the queue has more than one.
    pub tiered: bool,
    /// The candidates and their weights, by name.
    pub among: Vec<(ClusterName, u32)>,
    /// The other members of the queue with a weight, each with its reason.
    pub not: Vec<(ClusterName, &'static str)>,
}

impl Choice {
    /// The members of the queue that were no candidates: what credits are replayed from.
    pub fn excluded(&self) -> impl Iterator<Item = &ClusterName> {
        self.not.iter().map(|(cluster, _)| cluster)
    }

    /// `weight 50 of 100 among a, b, c; not d (Cordoned)`.
    pub fn why(&self, picked: &ClusterName) -> String {
        struct List<'a, T>(&'a [T], fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result);
        impl<T> fmt::Display for List<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                const SHOWN: usize = 8;
                for (n, item) in self.0.iter().take(SHOWN).enumerate() {
                    f.write_str(if n == 0 { "" } else { ", " })?;
                    self.1(item, f)?;
                }
                match self.0.len().saturating_sub(SHOWN) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
        }
        let sum: u64 = self.among.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let weight =
            self.among.iter().find(|(cluster, _)| cluster == picked).map_or(0, |(_, weight)| *weight);
        let mut text = format!("weight {weight} of {sum}");
        if self.among.len() > 1 {
            text.push_str(&format!(" among {}", List(&self.among, |(cluster, _), f| write!(f, "{cluster}"))));
        }
        if self.tiered {
            text.push_str(&format!(" in tier {}", self.tier));
        }
        if !self.not.is_empty() {
            let not = List(&self.not, |(cluster, reason), f| write!(f, "{cluster} ({reason})"));
            text.push_str(&format!("; not {not}"));
        }
        text
    }
}
