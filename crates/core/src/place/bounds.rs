//! Declared limits as plain numbers: the verdict that nearly every member of a large queue gets, with few instructions.
//!
//! Owns no state. Says yes only where [`super::judge`] does; who gets no yes here is judged there, for the reason.

use super::ALL_FREE;
use crate::resources::{Capacity, Resources};

/// A number for each dimension, in the order jobs, pods, executors, cpu, memory.
type Amounts = [u64; 5];

#[inline]
fn amounts(of: Resources) -> Amounts {
    [of.jobs, of.pods, of.executors(), of.cpu_milli, of.memory_bytes]
}

/// A [`Capacity`] to reckon with; what is not limited is `u64::MAX`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds(Amounts);

impl Bounds {
    pub(crate) fn of(capacity: &Capacity) -> Self {
        let Capacity { jobs, pods, executors, cpu_milli, memory_bytes } = *capacity;
        Self([jobs, pods, executors, cpu_milli, memory_bytes].map(|limit| limit.unwrap_or(u64::MAX)))
    }

    /// What is left beside what is `used`.
    #[inline]
    pub(crate) fn left(&self, used: Resources) -> Self {
        let used = amounts(used);
        Self(std::array::from_fn(|n| self.0[n].saturating_sub(used[n])))
    }

    /// Whether `demand` fits.
    #[inline]
    pub(crate) fn has_room(&self, demand: Resources) -> bool {
        let needed = amounts(demand);
        // Without a branch for each: they are all looked at nearly always.
        (0..5).map(|n| u8::from(needed[n] > self.0[n])).sum::<u8>() == 0
    }

    /// What the scarcest thing has free beside what is `used`, in thousandths of what there is; all of it where nothing
    /// is limited.
    fn headroom(&self, used: Resources) -> u64 {
        let limited = self.0.iter().zip(amounts(used)).filter(|(limit, _)| **limit != u64::MAX);
        limited.map(|(limit, used)| thousandths(limit.saturating_sub(used), *limit)).min().unwrap_or(ALL_FREE)
    }
}

/// A thing that a job takes of, as limits and what is used of them.
pub(crate) type Takes<'a> = (&'a Bounds, Resources);

/// What the scarcest of the declared limits has free, in thousandths of it.
pub(crate) fn headroom(takes: &[Takes<'_>]) -> u64 {
    takes.iter().map(|(bounds, used)| bounds.headroom(*used)).min().unwrap_or(ALL_FREE)
}

fn thousandths(free: u64, most: u64) -> u64 {
    match free.checked_mul(1000) {
        Some(free) => free / most.max(1),
        // At most a thousand, in a type that cannot overflow on the way.
        None => u64::try_from(u128::from(free) * 1000 / u128::from(most.max(1))).unwrap_or(ALL_FREE),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limit() -> impl Strategy<Value = Option<u64>> {
        prop_oneof![Just(None), (0u64..20).prop_map(Some), (0..u64::MAX).prop_map(Some)]
    }

    prop_compose! {
        fn capacity()(jobs in limit(), pods in limit(), executors in limit(), cpu_milli in limit(), memory_bytes in limit()) -> Capacity {
            Capacity { jobs, pods, executors, cpu_milli, memory_bytes }
        }
    }

    prop_compose! {
        fn resources()(jobs in 0u64..20, pods in 0u64..30, cpu_milli in 0u64..20, memory_bytes in prop_oneof![0u64..20, 0..u64::MAX]) -> Resources {
            Resources { jobs, pods, cpu_milli, memory_bytes }
        }
    }

    proptest! {
        /// What is reckoned with plain numbers is what the capacity itself says.
        #[test]
        fn bounds_say_what_the_capacity_says(capacity in capacity(), used in resources(), demand in resources()) {
            let bounds = Bounds::of(&capacity);
            let fits = capacity.fits(used, demand);
            // Where nothing is limited, nobody uses all that a number can hold.
            prop_assume!(capacity.memory_bytes.is_some() || used.memory_bytes.checked_add(demand.memory_bytes).is_some());
            prop_assert_eq!(bounds.left(used).has_room(demand), fits.is_ok());
            prop_assert!(bounds.headroom(used) <= 1000);
            if capacity.is_unlimited() {
                prop_assert_eq!(bounds.headroom(used), 1000);
            }
            if let Some(jobs) = capacity.jobs {
                prop_assert!(u128::from(bounds.headroom(used)) * u128::from(jobs) <= u128::from(jobs.saturating_sub(used.jobs)) * 1000);
            }
        }
    }
}
