//! What a member's quotas and batch schedulers say there is room for: one reader a source.
//!
//! Owns the last value of each source, with its age, and the tasks that read. A source is read only while a route wants
//! it. Each has its own failures and its own pauses: one that fails keeps its last value, which ages, and touches
//! neither another source nor the member's health. Must never make a value younger than it is, and never turn a failure
//! into "nothing used".

mod board;
mod follow;
mod keep;
mod kueue;
mod line;
mod quota;
mod rooms;
mod yunikorn;

use std::time::Duration;

pub use self::yunikorn::{Endpoint as YuniKornEndpoint, NoEndpoint};
pub(crate) use self::{keep::Readers, line::Line};

/// Which sources of a member are to be read; the default is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedSignals {
    /// The `ResourceQuota`s of the namespaces that jobs run in.
    pub quotas: bool,
    /// The queues of its YuniKorn.
    pub yunikorn: Option<YuniKornSettings>,
    /// The `ClusterQueue`s of its Kueue.
    pub kueue: bool,
}

/// How a member's YuniKorn is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YuniKornSettings {
    /// Where its REST service is.
    pub endpoint: YuniKornEndpoint,
    /// The partition, `default` unless YuniKorn was configured otherwise.
    pub partition: String,
    /// Between two questions. Less than a tenth of a second counts as a tenth.
    pub poll_every: Duration,
}

/// A source, whatever its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Quota,
    YuniKorn,
    Kueue,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Quota, Self::YuniKorn, Self::Kueue];

    /// As [`spark_router_core::signal::SignalSource::kind`] has it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Quota => "ResourceQuota",
            Self::YuniKorn => "YuniKorn",
            Self::Kueue => "Kueue",
        }
    }
}

impl WantedSignals {
    fn wants(&self, kind: Kind) -> bool {
        match kind {
            Kind::Quota => self.quotas,
            Kind::YuniKorn => self.yunikorn.is_some(),
            Kind::Kueue => self.kueue,
        }
    }

    /// Whether a source is wanted in the same way by both.
    fn agrees(&self, other: &Self, kind: Kind) -> bool {
        match kind {
            Kind::Quota => self.quotas == other.quotas,
            Kind::YuniKorn => self.yunikorn == other.yunikorn,
            Kind::Kueue => self.kueue == other.kueue,
        }
    }

    /// Whether what was read of a source for this still says something for the other one.
    fn holds_for(&self, other: &Self, kind: Kind) -> bool {
        match (kind, &self.yunikorn, &other.yunikorn) {
            (Kind::YuniKorn, Some(one), Some(other)) => {
                one.endpoint == other.endpoint && one.partition == other.partition
            }
            (Kind::YuniKorn | Kind::Quota | Kind::Kueue, ..) => other.wants(kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_pace_of_asking_keeps_what_is_known_and_another_place_does_not() {
        let asking = |url: &str, partition: &str, seconds| {
            let endpoint = YuniKornEndpoint::url(url).unwrap();
            let poll_every = Duration::from_secs(seconds);
            let yunikorn = YuniKornSettings { endpoint, partition: partition.to_owned(), poll_every };
            WantedSignals { yunikorn: Some(yunikorn), quotas: true, kueue: false }
        };
        let before = asking("http://a:9080", "default", 5);
        for (after, agrees, holds) in [
            (asking("http://a:9080", "default", 5), true, true),
            (asking("http://a:9080", "default", 1), false, true),
            (asking("http://b:9080", "default", 5), false, false),
            (asking("http://a:9080", "gpu", 5), false, false),
            (WantedSignals::default(), false, false),
        ] {
            let found = (before.agrees(&after, Kind::YuniKorn), before.holds_for(&after, Kind::YuniKorn));
            assert_eq!(found, (agrees, holds), "{after:?}");
        }
        assert!(before.holds_for(&before, Kind::Quota) && !before.holds_for(&before, Kind::Kueue));
        assert!(!before.holds_for(&WantedSignals::default(), Kind::Quota));
    }
}
