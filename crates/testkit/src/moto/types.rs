//! What is told to the controlled lane, and what it tells.
//!
//! Owns no state.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

/// A virtual cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct VirtualCluster {
    /// Its id.
    pub id: String,
    /// Its ARN.
    pub arn: String,
}

/// One move of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    after: Duration,
    state: &'static str,
    details: Option<String>,
    reason: Option<&'static str>,
    tries: Option<u32>,
}

impl Step {
    /// To `state`, `after` the move before it (or the start).
    pub fn to(state: &'static str, after: Duration) -> Self {
        Self { after, state, details: None, reason: None, tries: None }
    }

    /// With this `stateDetails`.
    #[must_use]
    pub fn details(mut self, details: &str) -> Self {
        self.details = Some(details.to_owned());
        self
    }

    /// With this `failureReason`.
    #[must_use]
    pub fn reason(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// As the driver's n-th try.
    #[must_use]
    pub fn tries(mut self, tries: u32) -> Self {
        self.tries = Some(tries);
        self
    }

    pub(super) fn json(&self) -> Value {
        let mut step = json!({"after": self.after.as_secs_f64(), "state": self.state, "tries": self.tries});
        if let Some(details) = &self.details {
            step["details"] = json!(details);
        }
        if let Some(reason) = self.reason {
            step["reason"] = json!(reason);
        }
        step
    }
}

/// How the runs that it matches go from their start. The script that was given last is asked first; a run that none
/// matches stays PENDING, or goes by its driver's annotations ([`super::Moto::go_by_annotations`]).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Script {
    /// A part of the run's name; empty matches all.
    pub name: String,
    /// A tag that it must have.
    pub tag: Option<(String, String)>,
    /// Its moves.
    pub steps: Vec<Step>,
}

impl Script {
    /// For all runs: SUBMITTED, RUNNING and COMPLETED, each `pace` after the one before.
    pub fn complete(pace: Duration) -> Self {
        Self::of(&[("SUBMITTED", pace), ("RUNNING", pace), ("COMPLETED", pace)])
    }

    /// For all runs: RUNNING, and no end.
    pub fn run_on() -> Self {
        Self::of(&[("SUBMITTED", Duration::ZERO), ("RUNNING", Duration::ZERO)])
    }

    /// For all runs, these states.
    pub fn of(steps: &[(&'static str, Duration)]) -> Self {
        let steps = steps.iter().map(|(state, after)| Step::to(state, *after)).collect();
        Self { steps, ..Self::default() }
    }

    /// Only for runs with this in their name.
    #[must_use]
    pub fn named(mut self, part: &str) -> Self {
        part.clone_into(&mut self.name);
        self
    }

    /// Only for runs with this tag.
    #[must_use]
    pub fn tagged(mut self, key: &str, value: &str) -> Self {
        self.tag = Some((key.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn json(&self) -> Value {
        let steps: Vec<Value> = self.steps.iter().map(Step::json).collect();
        json!({"name": self.name, "tag": self.tag, "steps": steps})
    }
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// 400 ThrottlingException.
    Throttled,
    /// 429 TooManyRequestsException.
    TooMany,
    /// 500 InternalServerException.
    Internal,
    /// 400 ValidationException with this text.
    Invalid(String),
    /// 403 AccessDeniedException.
    Denied,
    /// 403 ExpiredTokenException.
    Expired,
    /// 502 with a page instead of JSON.
    Page,
    /// The call takes effect; its answer never comes.
    ResponseLost,
    /// A start takes effect; its answer never comes, and no list shows its run until its token comes again, or for so long.
    Unlisted(Duration),
    /// The call takes no effect, and there is no answer.
    RequestLost,
    /// It takes effect after this long.
    Late(Duration),
}

/// A fault and when it strikes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    operation: Option<&'static str>,
    what: What,
    times: i64,
    skip: u32,
    /// In hundredths.
    chance: u8,
    seed: u64,
}

impl Fault {
    /// Strikes the next call of an operation: `StartJobRun`, `ListJobRuns`, `DescribeJobRun`, `CancelJobRun`,
    /// `DescribeVirtualCluster`, `DescribeCluster`, `AssumeRole`.
    pub fn on(operation: &'static str, what: What) -> Self {
        Self { operation: Some(operation), ..Self::on_any(what) }
    }

    /// Strikes the next call of any operation.
    pub fn on_any(what: What) -> Self {
        Self { operation: None, what, times: 1, skip: 0, chance: 100, seed: 0 }
    }

    /// Strikes only so many calls of a hundred, which ones is the seed's. The others are left to the faults behind it.
    #[must_use]
    pub fn chance(mut self, percent: u8, seed: u64) -> Self {
        (self.chance, self.seed) = (percent, seed);
        self
    }

    /// So many calls in a row.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = i64::from(times);
        self
    }

    /// Every call until [`super::Moto::end_faults`].
    #[must_use]
    pub fn always(mut self) -> Self {
        self.times = -1;
        self
    }

    /// Lets so many calls pass first.
    #[must_use]
    pub fn after(mut self, calls: u32) -> Self {
        self.skip = calls;
        self
    }

    pub(super) fn json(&self) -> Value {
        let refusal = |status: u16, code: &str, message: &str| json!({"kind": "answer", "status": status, "code": code, "message": message});
        let mut fault = match &self.what {
            What::Throttled => refusal(400, "ThrottlingException", "Rate exceeded"),
            What::TooMany => refusal(429, "TooManyRequestsException", "Too many requests"),
            What::Internal => refusal(500, "InternalServerException", "Internal server error"),
            What::Invalid(text) => refusal(400, "ValidationException", text),
            What::Denied => refusal(403, "AccessDeniedException", "not authorized to perform this"),
            What::Expired => {
                refusal(403, "ExpiredTokenException", "The security token included in the request is expired")
            }
            What::Page => json!({"kind": "html"}),
            What::ResponseLost => json!({"kind": "lost-response"}),
            What::Unlisted(by) => json!({"kind": "lost-response", "unlisted": by.as_secs_f64()}),
            What::RequestLost => json!({"kind": "lost-request"}),
            What::Late(by) => json!({"kind": "delay", "delay": by.as_secs_f64()}),
        };
        fault["operation"] = json!(self.operation);
        fault["times"] = json!(self.times);
        fault["skip"] = json!(self.skip);
        fault["chance"] = json!(f64::from(self.chance) / 100.0);
        fault["seed"] = json!(self.seed);
        fault
    }
}

/// How a run that is cancelled ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelEnd {
    /// CANCELLED, after this long in CANCEL_PENDING.
    Cancelled(Duration),
    /// It completed before the cancel took effect.
    Completed(Duration),
    /// It stays CANCEL_PENDING until a test moves it.
    Never,
}

impl CancelEnd {
    pub(super) fn json(self) -> Value {
        match self {
            Self::Cancelled(after) => json!({"after": after.as_secs_f64(), "state": "CANCELLED"}),
            Self::Completed(after) => json!({"after": after.as_secs_f64(), "state": "COMPLETED"}),
            Self::Never => json!({"after": -1.0, "state": "CANCELLED"}),
        }
    }
}

/// A virtual cluster's scheduler configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Runs in RUNNING. Shown, not enforced.
    pub running: u32,
    /// Runs in PENDING and SUBMITTED. A start above it is refused.
    pub waiting: u32,
}

/// A run as the server has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The virtual cluster.
    pub cluster: String,
    /// The client token that it was started with.
    pub token: String,
    /// Its state.
    pub state: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// How often it was cancelled with success.
    pub cancels: u32,
    /// The driver's tries so far, the present one included.
    pub tries: u32,
}

/// A StartJobRun as it came in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Start {
    /// The client token.
    pub token: String,
    /// The name.
    pub name: String,
    /// The whole body.
    pub body: String,
    /// The header in which the SDK says which of its tries this is.
    pub sdk: Option<String>,
}

/// What came in since the last [`super::Moto::forget_calls`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Calls {
    /// By operation.
    pub counts: BTreeMap<String, u64>,
    /// Operation, path and query of the first 20,000, in order.
    pub calls: Vec<(String, String, String)>,
    /// The starts among them.
    pub starts: Vec<Start>,
}

impl Calls {
    /// How often an operation was called.
    pub fn of(&self, operation: &str) -> u64 {
        self.counts.get(operation).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_of_a_step_stays_as_it_is() {
        let step = Step::to("RUNNING", Duration::from_millis(1500)).json();
        assert_eq!(step, json!({"after": 1.5, "state": "RUNNING", "tries": null}));
        let step = Step::to("FAILED", Duration::ZERO).details("why").reason("USER_ERROR").json();
        assert_eq!((&step["details"], &step["reason"]), (&json!("why"), &json!("USER_ERROR")));
    }

    #[test]
    fn a_fault_strikes_once_unless_more_is_asked_for() {
        let fault = Fault::on("StartJobRun", What::Throttled);
        assert_eq!((&fault.json()["times"], &fault.json()["skip"]), (&json!(1), &json!(0)));
        let fault = fault.always().after(2).json();
        assert_eq!((&fault["times"], &fault["skip"], &fault["status"]), (&json!(-1), &json!(2), &json!(400)));
    }
}
