//! The points between two calls where the router is killed.
//!
//! Purpose: name them, bring the router there, and prove from the API servers that it died there and not elsewhere. Owns
//! no state. It must never count a kill for a cut that the objects don't show.

use std::time::Duration;

use kube::ResourceExt as _;
use serde_json::Value;
use spark_router_api::{RoutedSparkJob, SparkApplicationView, names};
use spark_router_testkit::fault::{Asked, Outcome, Rule};
use spark_router_testkit::router::jobs;

use crate::stage::{Side, Stage, Trap};

/// Where the router dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cut {
    /// The placement is on the hub, but its writer never hears so.
    PlacementUnheard,
    /// The placement is on the hub; the create is never sent.
    Placed,
    /// The placement is on the hub; the create was sent and arrives after that of the next life.
    PlacedLate,
    /// The create is committed; its answer is never heard.
    Unanswered,
    /// The create was answered; what the hub would say of it is never written.
    Unrecorded,
    /// The application has ended; the hub never hears.
    Unmirrored,
    /// As before, but the write arrives in the next life: it must lose.
    UnmirroredLate,
    /// The end is on the hub; our finalizer is still on the application.
    Unreleased,
    /// The job is being deleted; the application is not yet.
    DeleteUnsent,
    /// The application is being deleted; the answer is never heard.
    DeleteUnanswered,
    /// The application is gone; the job is not let go.
    Fenced,
    /// As [`Self::Unanswered`], and the job is deleted before the next life: it must find the application.
    UnansweredThenDeleted,
    /// As [`Self::Placed`], the job is deleted before the next life, and the create arrives after that has looked for the
    /// application and found none: it must look again.
    PlacedThenDeletedLate,
    /// Anywhere: after so many calls to the hub.
    Anywhere,
}

/// How often each is made.
pub(crate) const PLAN: [(Cut, usize); 14] = [
    (Cut::PlacementUnheard, 3),
    (Cut::Placed, 3),
    (Cut::PlacedLate, 3),
    (Cut::Unanswered, 5),
    (Cut::Unrecorded, 5),
    (Cut::Unmirrored, 4),
    (Cut::UnmirroredLate, 3),
    (Cut::Unreleased, 3),
    (Cut::DeleteUnsent, 3),
    (Cut::DeleteUnanswered, 3),
    (Cut::Fenced, 2),
    (Cut::UnansweredThenDeleted, 2),
    (Cut::PlacedThenDeletedLate, 2),
    (Cut::Anywhere, 9),
];

/// A victim that must not end by itself.
const ENDLESS: Duration = Duration::from_mins(30);
/// One that ends soon.
const SHORT: Duration = Duration::from_millis(100);
/// One that goes on while the router is away.
const LONG: Duration = Duration::from_secs(4);

impl Cut {
    /// Whether the user deletes the victim while it runs, before the kill.
    pub(crate) fn deletes_before(self) -> bool {
        matches!(self, Self::DeleteUnsent | Self::DeleteUnanswered | Self::Fenced)
    }

    /// Whether the user deletes the victim while there is no router.
    pub(crate) fn deletes_after(self) -> bool {
        matches!(self, Self::UnansweredThenDeleted | Self::PlacedThenDeletedLate)
    }

    /// How long the victim runs.
    pub(crate) fn run(self) -> Duration {
        match self {
            _ if self.deletes_before() || self.deletes_after() => ENDLESS,
            Self::Unmirrored | Self::UnmirroredLate | Self::Unreleased => SHORT,
            _ => LONG,
        }
    }

    /// Holds the call that the router shall die at; `None` for no particular one.
    pub(crate) fn trap(self, stage: &Stage<'_>, victim: &str) -> Option<Trap> {
        let (before, after) = (false, true);
        Some(match self {
            Self::PlacementUnheard => {
                stage.trap(Side::Hub, after, status_write(victim, |status| status["placement"].is_object()))
            }
            Self::Placed | Self::PlacedLate | Self::PlacedThenDeletedLate => {
                stage.trap(Side::Members, before, create(victim))
            }
            Self::Unanswered | Self::UnansweredThenDeleted => {
                stage.trap(Side::Members, after, create(victim))
            }
            Self::Unrecorded => {
                let records = |status: &Value| status["placement"]["remoteUid"].is_string();
                stage.trap(Side::Hub, before, status_write(victim, records))
            }
            Self::Unmirrored | Self::UnmirroredLate => {
                stage.trap(Side::Hub, before, status_write(victim, |status| status["phase"] == "Succeeded"))
            }
            Self::Unreleased => stage.trap(Side::Members, before, on_application("PATCH", victim)),
            Self::DeleteUnsent => stage.trap(Side::Members, before, on_application("DELETE", victim)),
            Self::DeleteUnanswered => stage.trap(Side::Members, after, on_application("DELETE", victim)),
            Self::Fenced => stage.trap(Side::Hub, before, finalizer_write(victim)),
            Self::Anywhere => return None,
        })
    }

    /// For what is late: holds the answer of the call that the next life makes first, so that the late one arrives between
    /// that call and what follows from it.
    pub(crate) fn trap_of_next_life(self, stage: &Stage<'_>, victim: &str) -> Option<Trap> {
        match self {
            Self::PlacedLate => Some(stage.trap(Side::Members, true, create(victim))),
            Self::UnmirroredLate => Some(stage.trap(Side::Hub, true, status_write(victim, Value::is_object))),
            Self::PlacedThenDeletedLate => {
                Some(stage.trap(Side::Members, true, on_application("GET", victim)))
            }
            _ => None,
        }
    }

    /// What the API server must say to the late call: it comes second, or it is the only one.
    pub(crate) fn answer_to_late_call(self) -> Outcome {
        Outcome::Answered(if self == Self::PlacedThenDeletedLate { 201 } else { 409 })
    }

    /// Whether the objects show that the router died just here. `job` is the victim on the hub.
    pub(crate) fn is_shown_by(
        self,
        job: &RoutedSparkJob,
        application: Option<&SparkApplicationView>,
    ) -> bool {
        let placement = job.status.as_ref().and_then(|status| status.placement.as_ref());
        let recorded = placement.is_some_and(|placement| placement.remote_uid.is_some());
        let deleting = job.metadata.deletion_timestamp.is_some();
        let created = application.is_some();
        let state = application
            .and_then(|it| it.status.as_ref())
            .map_or("", |it| it.application_state.state.as_str());
        let held =
            application.is_some_and(|it| it.finalizers().iter().any(|it| it == names::OUTCOME_FINALIZER));
        let dying = application.is_some_and(|it| it.metadata.deletion_timestamp.is_some());
        match self {
            Self::PlacementUnheard | Self::Placed | Self::PlacedLate | Self::PlacedThenDeletedLate => {
                placement.is_some() && !created
            }
            Self::Unanswered | Self::UnansweredThenDeleted | Self::Unrecorded => {
                placement.is_some() && created && !recorded
            }
            Self::Unmirrored | Self::UnmirroredLate => {
                state == "COMPLETED" && held && !jobs::is_finished(job)
            }
            Self::Unreleased => state == "COMPLETED" && held && jobs::is_finished(job),
            Self::DeleteUnsent => deleting && held && !dying,
            Self::DeleteUnanswered => deleting && dying,
            Self::Fenced => deleting && !created,
            Self::Anywhere => true,
        }
    }
}

/// Writes of the victim's status that say this.
fn status_write(
    victim: &str,
    wanted: impl Fn(&Value) -> bool + Copy + Send + Sync + 'static,
) -> impl Fn(Rule) -> Rule {
    let path = format!("/routedsparkjobs/{victim}/status");
    move |rule| rule.method("PATCH").containing(&path).when(move |asked| wanted(&status_of(asked)))
}

/// Writes of the victim's finalizers.
fn finalizer_write(victim: &str) -> impl Fn(Rule) -> Rule {
    let path = format!("/routedsparkjobs/{victim}?");
    move |rule| rule.method("PATCH").containing(&path)
}

/// Creates of the victim's application.
fn create(victim: &str) -> impl Fn(Rule) -> Rule {
    let name = format!("\"{victim}\"");
    move |rule| rule.method("POST").containing("/sparkapplications").body(&name)
}

/// Calls by the name of the victim's application.
fn on_application(method: &'static str, victim: &str) -> impl Fn(Rule) -> Rule {
    let path = format!("/sparkapplications/{victim}-");
    move |rule| rule.method(method).containing(&path)
}

/// The status that a request writes; null where it is none.
fn status_of(asked: &Asked) -> Value {
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    body["status"].clone()
}
