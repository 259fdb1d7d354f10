//! Exact shares: the credits that make weights hold at every prefix.
//!
//! Owns one queue's credits. A placement among candidates C gives each of them `weight / sum(C)`; the chosen one pays 1.
//! Among those with credit left, the one that would use it up soonest, `(1 - credit) / weight`, is taken. With a
//! constant candidate set this is the quota method (Balinski and Young, *The Quota Method of Apportionment*, 1975):
//! every member stays within one job of its ideal share at every prefix. Members outside C neither gain nor lose, so
//! nobody gets a burst on its return. Where candidates vary, somebody may be owed a whole job or nobody anything: then
//! the one with the most credit is taken, which keeps the error small (`docs/adr/0008`). Must never use floating point: a tie has to be a tie.
//!
//! All credits of a queue are whole numbers of one common part of a job, so that a decision costs one multiplication and
//! one comparison a candidate. The part is one over a multiple of every sum of weights met so far.

use std::{cmp::Ordering, fmt, str::FromStr};

use crate::id::ClusterName;

/// The finest part of a job that is kept exactly. Candidate sets of many different sums would make it ever finer; past
/// this the credits are rounded to about 2^-44 job, which a billion placements cannot add up to a thousandth.
const FINEST: i64 = 1 << 44;

/// A share of a job that is owed (positive) or was had in advance (negative): an exact fraction, for a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    numerator: i128,
    denominator: i128,
}

impl Credit {
    /// Neither owed nor had.
    pub const ZERO: Self = Self { numerator: 0, denominator: 1 };

    fn new(numerator: i128, denominator: i128) -> Self {
        let divisor = gcd(numerator.abs(), denominator).max(1);
        Self { numerator: numerator / divisor, denominator: denominator / divisor }
    }

    /// Whether the absolute value is below one job.
    pub fn is_below_one_job(self) -> bool {
        self.numerator.abs() < self.denominator
    }

    /// The credit in thousandths of a job, rounded down. For display.
    pub fn thousandths(self) -> i128 {
        self.numerator.saturating_mul(1000).div_euclid(self.denominator)
    }
}

impl fmt::Display for Credit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.numerator, self.denominator)
    }
}

/// Why a text is not a credit.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a credit; it is written as a fraction like 3/10 or -1/3")]
pub struct CreditError(String);

impl FromStr for Credit {
    type Err = CreditError;

    fn from_str(text: &str) -> Result<Self, CreditError> {
        let bad = || CreditError(text.to_owned());
        let (numerator, denominator) = text.split_once('/').ok_or_else(bad)?;
        let numerator: i64 = numerator.parse().map_err(|_| bad())?;
        let denominator: i64 = denominator.parse().map_err(|_| bad())?;
        if denominator < 1 {
            return Err(bad());
        }
        Ok(Self::new(i128::from(numerator), i128::from(denominator)))
    }
}

/// One queue's credits by member; a member that is not listed has none.
#[derive(Clone, Debug)]
pub struct Credits {
    /// Parts that make one job.
    parts: i64,
    /// Parts that each member is owed, by name.
    owed: Vec<(ClusterName, i128)>,
}

impl Default for Credits {
    fn default() -> Self {
        Self { parts: 1, owed: Vec::new() }
    }
}

impl PartialEq for Credits {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Credits {}

impl Credits {
    /// Credits as they were checkpointed.
    pub fn restore(entries: impl IntoIterator<Item = (ClusterName, Credit)>) -> Self {
        let mut credits = Self::default();
        for (cluster, credit) in entries {
            credits.refine(i64::try_from(credit.denominator).unwrap_or(FINEST));
            let owed = credit.numerator.saturating_mul(credits.parts.into()) / credit.denominator;
            *credits.slot(&cluster) = owed;
        }
        credits
    }

    /// All credits, for the checkpoint, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&ClusterName, Credit)> {
        self.owed.iter().map(|(cluster, owed)| (cluster, Credit::new(*owed, self.parts.into())))
    }

    /// The credit of a member.
    pub fn of(&self, cluster: &ClusterName) -> Credit {
        let owed = self.owed.binary_search_by(|(name, _)| name.cmp(cluster)).ok().map(|n| self.owed[n].1);
        owed.map_or(Credit::ZERO, |owed| Credit::new(owed, self.parts.into()))
    }

    /// Drops members that the queue no longer routes to: one that comes back starts at none. What they were owed or had
    /// in advance is spread evenly over the others: what one gains the others lose, or a newcomer would have to make up
    /// for it.
    pub fn retain(&mut self, keep: impl Fn(&ClusterName) -> bool) {
        let mut left: i128 = 0;
        self.owed.retain(|(cluster, owed)| {
            let kept = keep(cluster);
            left += if kept { 0 } else { *owed };
            kept
        });
        let mut others = i128::try_from(self.owed.len()).unwrap_or(i128::MAX);
        for (_, owed) in &mut self.owed {
            let part = left.div_euclid(others);
            *owed += part;
            (left, others) = (left - part, others - 1);
        }
    }

    /// Whose turn it is, as a place among the candidates, which come with their weights in order of their names. Ties go to
    /// more headroom, what a candidate can still take of the scarcest thing, then to the name; headroom is asked for in
    /// ties only. `None` without candidates.
    pub fn pick<'a>(
        &mut self,
        candidates: impl Iterator<Item = (&'a ClusterName, u32)> + Clone,
        headroom: impl Fn(usize) -> u64,
    ) -> Option<usize> {
        let sum = sum_of(candidates.clone().map(|(_, weight)| weight));
        self.refine(sum);
        let share = self.parts / sum;
        let mut best: Option<(usize, Claim)> = None;
        // Of the best so far, once somebody came who can say as much for itself.
        let mut best_headroom = None;
        let mut from = 0;
        for (place, (cluster, weight)) in candidates.enumerate() {
            let owed = self.find(&mut from, cluster).map_or(0, |at| self.owed[at].1);
            let claim = Claim::of(owed + i128::from(i64::from(weight) * share), weight, self.parts);
            let mut its_headroom = None;
            let is_better = best.as_ref().is_none_or(|(other, best)| match claim.compare(best) {
                Ordering::Equal => {
                    let of_best = *best_headroom.get_or_insert_with(|| headroom(*other));
                    *its_headroom.insert(headroom(place)) > of_best
                }
                other => other == Ordering::Greater,
            });
            if is_better {
                (best, best_headroom) = (Some((place, claim)), its_headroom);
            }
        }
        best.map(|(place, _)| place)
    }

    /// The place of a member, from `from` on, which moves past it, or to where it would be. Both sides are walked in order
    /// of names.
    fn find(&self, from: &mut usize, cluster: &ClusterName) -> Option<usize> {
        while let Some((name, _)) = self.owed.get(*from) {
            match name.cmp(cluster) {
                Ordering::Less => *from += 1,
                Ordering::Equal => {
                    *from += 1;
                    return Some(*from - 1);
                }
                Ordering::Greater => return None,
            }
        }
        None
    }

    /// Books a placement on `picked` among members and their weights, in order of their names.
    pub fn book<'a>(
        &mut self,
        among: impl Iterator<Item = (&'a ClusterName, u32)> + Clone,
        picked: &ClusterName,
    ) {
        self.apply(among, picked, 1);
    }

    /// Takes a booked placement back, with the members and weights that it was booked with.
    pub fn unbook<'a>(
        &mut self,
        among: impl Iterator<Item = (&'a ClusterName, u32)> + Clone,
        picked: &ClusterName,
    ) {
        self.apply(among, picked, -1);
    }

    fn apply<'a>(
        &mut self,
        among: impl Iterator<Item = (&'a ClusterName, u32)> + Clone,
        picked: &ClusterName,
        sign: i64,
    ) {
        let sum = sum_of(among.clone().map(|(_, weight)| weight));
        self.refine(sum);
        let (parts, share) = (self.parts, self.parts / sum);
        let pays = among.clone().position(|(cluster, _)| is_same(cluster, picked));
        let pays = pays.or_else(|| among.clone().position(|(cluster, _)| cluster == picked));
        let mut from = 0;
        for (place, (cluster, weight)) in among.enumerate() {
            let at = self.find(&mut from, cluster).unwrap_or_else(|| {
                self.owed.insert(from, (cluster.clone(), 0));
                from += 1;
                from - 1
            });
            let paid = if Some(place) == pays { parts } else { 0 };
            self.owed[at].1 += i128::from(sign * (i64::from(weight) * share - paid));
        }
    }

    /// Makes the parts fine enough to hold a `sum`-th of a job.
    fn refine(&mut self, sum: i64) {
        if self.parts % sum == 0 {
            return;
        }
        let divisor = i64::try_from(gcd(self.parts.into(), sum.into())).unwrap_or(1);
        let exact = (self.parts / divisor).checked_mul(sum).filter(|exact| *exact <= FINEST);
        let parts = exact.unwrap_or_else(|| (FINEST / sum).max(1) * sum);
        for (_, owed) in &mut self.owed {
            *owed = (*owed * i128::from(parts)).div_euclid(self.parts.into());
        }
        self.parts = parts;
    }

    fn slot(&mut self, cluster: &ClusterName) -> &mut i128 {
        let n = match self.owed.binary_search_by(|(name, _)| name.cmp(cluster)) {
            Ok(n) => n,
            Err(n) => {
                self.owed.insert(n, (cluster.clone(), 0));
                n
            }
        };
        &mut self.owed[n].1
    }
}

/// What a candidate can say for itself.
enum Claim {
    /// It is owed nothing: this much.
    Nothing(i128),
    /// It is owed a part of a job: what it lacks to a whole one, and its weight, by which it gets there.
    Part { lacks: u64, weight: u32 },
    /// It is owed a whole job or more, which only happens where the candidates vary: this much.
    Job(i128),
}

impl Claim {
    fn of(owed: i128, weight: u32, parts: i64) -> Self {
        match i128::from(parts) - owed {
            ..=0 => Self::Job(owed),
            _ if owed <= 0 => Self::Nothing(owed),
            // Less than one job in parts.
            lacks => Self::Part { lacks: u64::try_from(lacks).unwrap_or(u64::MAX), weight },
        }
    }

    /// Greater goes first.
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Nothing(a), Self::Nothing(b)) | (Self::Job(a), Self::Job(b)) => a.cmp(b),
            // lacks / weight is smaller, without a division.
            (Self::Part { lacks: a, weight: of_a }, Self::Part { lacks: b, weight: of_b }) => {
                (u128::from(*b) * u128::from(*of_a)).cmp(&(u128::from(*a) * u128::from(*of_b)))
            }
            (Self::Job(_), _) | (Self::Part { .. }, Self::Nothing(_)) => Ordering::Greater,
            (_, Self::Job(_)) | (Self::Nothing(_), Self::Part { .. }) => Ordering::Less,
        }
    }
}

/// Whether both are the very same name in memory, as nearly all that mean the same member are: a look at the texts would
/// cost more than the rest of a booking.
fn is_same(a: &ClusterName, b: &ClusterName) -> bool {
    std::ptr::eq(a.as_str(), b.as_str())
}

fn sum_of(weights: impl Iterator<Item = u32>) -> i64 {
    weights.map(i64::from).sum::<i64>().max(1)
}

fn gcd(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests;
