//! Rooms by name, and arithmetic on what is free.
//!
//! Owns no state. Nothing here is ever negative: an overdrawn place has nothing free.

use std::{collections::BTreeMap, sync::Arc};

use spark_router_core::{
    id::Namespace,
    resources::{Capacity, cpu_milli, memory_bytes, quantity_milli},
    signal::Room,
};

use super::Kind;

/// What one source says, as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rooms {
    /// By namespace.
    Quotas(BTreeMap<Namespace, Room>),
    /// By full path.
    YuniKorn(BTreeMap<Arc<str>, Room>),
    /// By name.
    Kueue(BTreeMap<Arc<str>, Room>),
}

impl Rooms {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Quotas(_) => Kind::Quota,
            Self::YuniKorn(_) => Kind::YuniKorn,
            Self::Kueue(_) => Kind::Kueue,
        }
    }
}

/// What is accounted for, as far as a remote scheduler or quota can limit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    Jobs,
    Pods,
    Cpu,
    Memory,
}

impl Counted {
    pub(super) const ALL: [Self; 4] = [Self::Jobs, Self::Pods, Self::Cpu, Self::Memory];

    /// A Kubernetes quantity in the unit of [`Capacity`]. Larger than can be counted is the largest there is; `None`
    /// for what is no quantity. Amounts round up.
    pub(super) fn amount(self, quantity: &str) -> Option<u64> {
        use spark_router_core::resources::AmountError;
        let amount = match self {
            Self::Cpu => cpu_milli(quantity),
            Self::Memory => memory_bytes(quantity),
            Self::Jobs | Self::Pods => {
                quantity_milli(quantity).map(|milli| u64::try_from(milli.div_ceil(1000)).unwrap_or(u64::MAX))
            }
        };
        match amount {
            Ok(amount) => Some(amount),
            Err(AmountError::TooLarge(_)) => Some(u64::MAX),
            Err(AmountError::Quantity(_) | AmountError::SparkSize(_)) => None,
        }
    }

    pub(super) fn of(self, capacity: &mut Capacity) -> &mut Option<u64> {
        match self {
            Self::Jobs => &mut capacity.jobs,
            Self::Pods => &mut capacity.pods,
            Self::Cpu => &mut capacity.cpu_milli,
            Self::Memory => &mut capacity.memory_bytes,
        }
    }

    pub(super) fn read(self, mut capacity: Capacity) -> Option<u64> {
        *self.of(&mut capacity)
    }
}

/// Lowers a limit to `amount` if it is above it or if there was none.
pub(super) fn lower(limit: &mut Option<u64>, amount: u64) {
    *limit = Some(limit.map_or(amount, |before| before.min(amount)));
}

/// The tighter of both in each dimension.
pub(super) fn tighter(mut a: Capacity, b: Capacity) -> Capacity {
    for counted in Counted::ALL {
        if let Some(amount) = counted.read(b) {
            lower(counted.of(&mut a), amount);
        }
    }
    a
}

/// Both apply: what is free is free in both.
pub(super) fn both(a: Room, b: &Room) -> Room {
    Room {
        free: tighter(a.free, b.free),
        most: tighter(a.most, b.most),
        closed: a.closed.or_else(|| b.closed.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_limit_is_left_to_who_does() {
        let a = Capacity { cpu_milli: Some(4000), pods: Some(3), ..Capacity::default() };
        let b = Capacity { cpu_milli: Some(5000), memory_bytes: Some(7), ..Capacity::default() };
        let expected =
            Capacity { cpu_milli: Some(4000), pods: Some(3), memory_bytes: Some(7), ..Capacity::default() };
        assert_eq!((tighter(a, b), tighter(b, a)), (expected, expected));
    }

    #[test]
    fn quantities_count_in_the_units_of_capacity() {
        assert_eq!(Counted::Cpu.amount("1500m"), Some(1500));
        assert_eq!(Counted::Memory.amount("1Gi"), Some(1 << 30));
        assert_eq!(Counted::Pods.amount("2k"), Some(2000));
        assert_eq!(Counted::Jobs.amount("7"), Some(7));
        assert_eq!(Counted::Memory.amount("100E"), Some(u64::MAX), "more than can be counted is no error");
        assert_eq!(Counted::Cpu.amount("-1"), None);
        assert_eq!(Counted::Cpu.amount("many"), None);
    }
}
