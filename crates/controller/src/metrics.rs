//! What the hub loop counts.
//!
//! Owns the metric handles. Labels come from enums, members and queues: never from job names, whose number has no bound.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

/// Labels of a reconcile.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabels {
    /// `success` or the error's reason.
    pub result: String,
}

/// Labels of a placement.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabels {
    /// The queue.
    pub queue: String,
    /// The member.
    pub member_cluster: String,
}

/// Labels of an end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EndLabels {
    /// The queue.
    pub queue: String,
    /// The member; empty for a job that was never placed.
    pub member_cluster: String,
    /// `Succeeded` or `Failed`.
    pub result: String,
    /// One word.
    pub reason: String,
}

/// Labels of a withdrawal or a failed create.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TroubleLabels {
    /// The member.
    pub member_cluster: String,
    /// One word.
    pub reason: String,
}

/// Labels of a member.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct MemberLabels {
    /// The member.
    pub member_cluster: String,
}

/// Labels of a queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct QueueLabels {
    /// The queue.
    pub queue: String,
}

type Seconds<L> = Family<L, Histogram, fn() -> Histogram>;

/// See the module.
#[derive(Clone)]
pub struct Metrics {
    /// Passes by result.
    pub reconciles: Family<ResultLabels, Counter>,
    /// Time of a pass.
    pub reconcile_time: Histogram,
    /// Created on the hub -> placement on record.
    pub placement_latency: Seconds<QueueLabels>,
    /// Placement on record -> application exists.
    pub dispatch_latency: Seconds<MemberLabels>,
    /// Placements on record.
    pub placements: Family<RouteLabels, Counter>,
    /// Placements taken back.
    pub withdrawals: Family<TroubleLabels, Counter>,
    /// Creates without a definite answer.
    pub unclear: Family<TroubleLabels, Counter>,
    /// Ends.
    pub finished: Family<EndLabels, Counter>,
    /// Whether a member's breaker is open: 0 or 1. Nothing for a member whose breaker never was.
    pub breaker_open: Family<MemberLabels, Gauge>,
    /// How often a member's breaker opened.
    pub breaker_opened: Family<MemberLabels, Counter>,
    /// Whether a queue's older jobs hold because the hub was put back: 0 or 1. Nothing for a queue of which that was never
    /// seen.
    pub queue_restored: Family<QueueLabels, Gauge>,
    /// Events that found no place in the queue.
    pub events_dropped: Counter,
    /// Whether this process leads: 0 or 1.
    pub leading: Gauge,
}

/// From ten milliseconds to more than an hour.
fn long() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 2.0, 19))
}

/// From one millisecond to half a minute.
fn short() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 16))
}

impl Metrics {
    /// Registers everything below the prefix `sparkrouter` (stock controller metrics under their stock names).
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            reconciles: Family::default(),
            reconcile_time: short(),
            placement_latency: Family::new_with_constructor(long),
            dispatch_latency: Family::new_with_constructor(short),
            placements: Family::default(),
            withdrawals: Family::default(),
            unclear: Family::default(),
            finished: Family::default(),
            breaker_open: Family::default(),
            breaker_opened: Family::default(),
            queue_restored: Family::default(),
            events_dropped: Counter::default(),
            leading: Gauge::default(),
        };
        // Stock dashboards know who leads by this one.
        registry.sub_registry_with_label(("name".into(), "spark-router".into())).register(
            "leader_election_master_status",
            "Whether this process leads (1) or stands by (0)",
            metrics.leading.clone(),
        );
        let stock = registry.sub_registry_with_prefix("controller_runtime");
        stock.register("reconcile", "Passes over jobs by result", metrics.reconciles.clone());
        stock.register_with_unit(
            "reconcile_time",
            "Time of a pass",
            Unit::Seconds,
            metrics.reconcile_time.clone(),
        );
        let ours = registry.sub_registry_with_prefix("sparkrouter");
        ours.register_with_unit(
            "placement_latency",
            "From creation on the hub to a placement on record",
            Unit::Seconds,
            metrics.placement_latency.clone(),
        );
        ours.register_with_unit(
            "dispatch_latency",
            "From a placement on record to an existing application",
            Unit::Seconds,
            metrics.dispatch_latency.clone(),
        );
        ours.register("placements", "Placements on record", metrics.placements.clone());
        ours.register("placements_withdrawn", "Placements taken back", metrics.withdrawals.clone());
        ours.register("creates_unclear", "Creates without a definite answer", metrics.unclear.clone());
        ours.register("jobs_finished", "Jobs that ended", metrics.finished.clone());
        ours.register(
            "breaker_open",
            "Whether a member gets no jobs for failing one after the other before their drivers start (1) or does (0)",
            metrics.breaker_open.clone(),
        );
        ours.register("breaker_opened", "Breakers of members that opened", metrics.breaker_opened.clone());
        ours.register(
            "queue_restored",
            "Whether a queue's older jobs hold because the hub was put back to an earlier state (1) or do not (0)",
            metrics.queue_restored.clone(),
        );
        ours.register(
            "events_dropped",
            "Events that found no place in the queue",
            metrics.events_dropped.clone(),
        );
        ours.register("leading", "Whether this router leads (1) or stands by (0)", metrics.leading.clone());
        metrics
    }
}
