//! The one next thing to do for a job.
//!
//! Owns no state: [`step`] looks at one immutable snapshot and names one effect. The controller carries it out and asks
//! again. Every rule of the placement protocol that decides whether something may be created, believed gone, mirrored or
//! let go is here, so that the model checks the very code that runs. Must never name an effect on a remote object that
//! the snapshot does not show to be ours.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{
    health::LinkState,
    id::RemoteUid,
    job::{Application, Job, Placement, Record, Refused, Rejection},
    observe::{FailureSign, Observation, Remote, RunState},
    phase::{self, Phase},
    refusal::{Refusal, RefusalClass},
};

/// Times that the protocol waits for.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long a create that was begun may still take effect: its way through our own queues (2 s), its connection
    /// (3 s), and the server-side timeout (10 s).
    pub request: Duration,
    /// How long a former leader may still send: the lease.
    pub lease: Duration,
    /// Executor counts alone are mirrored at most this often.
    pub counts_every: Duration,
    /// Details that change without the state (an id that is known now) are mirrored this long after the last mirror, so
    /// that they usually go with the next state.
    pub details_after: Duration,
    /// A fresh application's uid alone is put on record this long after its placement: it usually goes with the first
    /// state.
    pub uid_after: Duration,
    /// An accepted create that does not appear in the member's view for this long is looked up.
    pub view_patience: Duration,
    /// A driver whose application's state proves nothing is looked at this often.
    pub examine_every: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(15),
            lease: Duration::from_secs(10),
            counts_every: Duration::from_secs(30),
            details_after: Duration::from_secs(5),
            uid_after: Duration::from_secs(10),
            view_patience: Duration::from_secs(5),
            examine_every: Duration::from_secs(15),
        }
    }
}

/// What this process did for the present placement. Lost with the process: absence of a fact proves nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sends {
    /// This process committed the placement, so it knows of every create that was sent for it.
    pub placed_here: bool,
    /// The last create that may have reached the wire.
    pub last: Option<Timestamp>,
    /// The last of those creates whose answer never came. A later answer to another send does not clear it: it may still
    /// take effect.
    pub unanswered: Option<Timestamp>,
    /// A create was answered: the application's uid, and when.
    pub accepted: Option<(RemoteUid, Timestamp)>,
    /// No further create before this.
    pub not_before: Option<Timestamp>,
}

/// What a quorum read by the recorded name said, made in this pass.
#[derive(Clone, Debug, PartialEq)]
pub enum Confirmed {
    /// Not asked, or the read failed.
    Nothing,
    /// Not there under the recorded uid.
    Gone,
    /// There, although the view does not show it yet.
    Present(Box<Observation>),
}

/// What became of the driver's pod, looked at in this pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DriverSeen {
    /// Not looked at, or the read failed.
    Nothing,
    /// Pending or running.
    Alive,
    /// Ended with exit code 0.
    Succeeded,
    /// Ended otherwise.
    Failed(String),
    /// Not there.
    Gone,
}

/// The member of the placement, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Its link.
    pub link: LinkState,
    /// It can take creates: no fault.
    pub usable: bool,
    /// Its `MemberCluster` says that whatever is placed there is given up.
    pub forgotten: bool,
}

impl MemberView {
    fn takes_creates(self) -> bool {
        self.link == LinkState::Ready && self.usable
    }
}

/// Everything that one decision is made from.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    /// The job.
    pub job: &'a Job,
    /// What the member's view says of the placement's name. [`Remote::Unknown`] without a placement.
    pub remote: &'a Remote,
    /// The placement's member; `None` when it is not registered.
    pub member: Option<MemberView>,
    /// What this process did.
    pub sends: &'a Sends,
    /// The quorum read, if one was made.
    pub confirmed: &'a Confirmed,
    /// The driver, if it was looked at.
    pub driver: &'a DriverSeen,
    /// The attempt is proven to run nowhere.
    pub fenced: bool,
    /// Since when this process leads.
    pub leading_since: Timestamp,
    /// When the record was last written for executor counts.
    pub mirrored_at: Option<Timestamp>,
    /// How long finished applications stay on the member.
    pub retention: Duration,
    /// Most members are Suspect at once: nothing is taken back for it.
    pub fleet_in_doubt: bool,
    /// Times.
    pub timing: &'a Timing,
    /// The time.
    pub now: Timestamp,
}

/// One effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Put our finalizer on the job.
    Hold,
    /// Write that the template cannot be taken.
    Reject(Rejection),
    /// Ask the dispatcher for a member.
    Enqueue,
    /// Create the application.
    Submit,
    /// Take the placement back: no application exists or ever will by it, and no attempt is used up.
    Withdraw(Cause),
    /// Look the application up by a quorum read.
    Confirm,
    /// Look at the driver's pod.
    Examine,
    /// Write what was observed.
    Mirror(Box<Mirror>),
    /// Write that nothing can be seen or done on the member now, and why.
    Unreachable(Trouble),
    /// Write the end.
    Finish(Box<Outcome>),
    /// Take our finalizer from the application: its outcome is on record, or it is being deleted.
    Release(RemoteUid),
    /// Delete the finished application.
    Retire(RemoteUid),
    /// Drive the attempt towards its fence.
    Stop {
        /// When a create that was sent can no longer take effect.
        settled_at: Timestamp,
    },
    /// Write what the deletion waits for.
    Explain(DeletionWaits),
    /// Note on the member that the attempt was given up, so that its return stops it.
    Abandon,
    /// Take our finalizer from the job: nothing of it runs.
    LetGo,
    /// Nothing now.
    Rest {
        /// When to look again without an event.
        until: Option<Timestamp>,
    },
}

/// Why nothing can be seen or done on a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It does not answer.
    Silent {
        /// First unanswered probe.
        since: Timestamp,
    },
    /// It is registered no more, or is another cluster by now.
    Missing,
    /// It answers, and takes nothing.
    Faulty,
}

/// Why a placement is taken back.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    /// The member stopped answering before anything was sent.
    Unsent,
    /// The member refused.
    Refused(Refusal),
}

/// What is written of a live application.
#[derive(Clone, Debug, PartialEq)]
pub struct Mirror {
    /// The phase to show.
    pub phase: Phase,
    /// Its uid.
    pub uid: RemoteUid,
    /// Its fields.
    pub application: Application,
}

/// How a job ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Succeeded, Failed or Cancelled.
    pub phase: Phase,
    /// One word.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
    /// The application's uid, where there is one.
    pub uid: Option<RemoteUid>,
    /// Its fields, where it was seen.
    pub application: Option<Application>,
    /// The driver's log is worth reading for the cause.
    pub read_log: bool,
}

/// What a job that is being deleted waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeletionWaits {
    /// The member does not answer.
    Unreachable {
        /// Since when, if it ever answered.
        since: Option<Timestamp>,
    },
    /// No `MemberCluster` of that name is registered.
    Unregistered,
    /// Whatever the member itself says.
    Member(String),
}

/// Decides. The guards are in order: the first that holds names the step.
pub fn step(s: Snapshot<'_>) -> Step {
    let Job { record, deleting, held, request, .. } = s.job;
    // 1. An end is an end, whatever happens to the object now.
    if record.finished.is_some() {
        return after_the_end(s);
    }
    // 2. Deletion goes to the fence.
    if deleting.is_some() {
        return deletion(s);
    }
    let Some(placement) = &record.placement else {
        return match request {
            // 3. Its owner can mend it in place.
            Err(rejection) => Step::Reject(rejection.clone()),
            // 4. Nothing is placed that a deletion could not find again.
            Ok(_) if !*held => Step::Hold,
            // 5. Wants a member.
            Ok(_) => Step::Enqueue,
        };
    };
    // 6. Somebody took our finalizer away: without it a deletion would not wait for what runs.
    if !*held {
        return Step::Hold;
    }
    match s.remote {
        // 7. There, and over.
        Remote::Present(seen) if seen.run.is_terminal() => present(s, placement, seen),
        // 8. Its member was given up with everything on it.
        _ if s.member.is_some_and(|m| m.forgotten) => abandoned(record, placement),
        // 9. Nothing may be concluded.
        Remote::Unknown => blind(s, placement),
        Remote::Unsettled { until } => Step::Rest { until: Some(*until) },
        // 10. A hint that it is not there.
        Remote::Absent => absent(s, placement),
        // 11. There.
        Remote::Present(seen) => present(s, placement, seen),
    }
}

fn abandoned(record: &Record, placement: &Placement) -> Step {
    Step::Finish(Box::new(Outcome {
        phase: Phase::Failed,
        reason: "Abandoned",
        message: format!("{} was forgotten (spec.forget) with everything placed on it", placement.cluster),
        uid: placement.uid.clone(),
        application: record.application.clone(),
        read_log: false,
    }))
}

/// When no create that was ever sent for this placement can take effect any more.
pub fn settled_at(s: Snapshot<'_>, placement: &Placement) -> Timestamp {
    let Snapshot { sends, timing, .. } = s;
    if sends.placed_here {
        return sends.unanswered.map_or(Timestamp::MIN, |at| later(at, timing.request));
    }
    let from = [Some(placement.at), Some(s.leading_since), sends.unanswered].into_iter().flatten().max();
    later(from.unwrap_or(s.now), timing.lease + timing.request)
}

/// What a definite refusal of a create leads to. `None`: an earlier create may still take effect, so the same create is
/// sent again when that time is over, and its answer counts.
///
/// A refusal speaks of the create that it answers and of no other: admission comes before "already exists", so a name
/// that an earlier, unanswered create has taken is answered with "exceeded quota" too. Where there may be such a create,
/// a quorum read decides.
pub fn after_refusal(s: Snapshot<'_>, placement: &Placement, refusal: Refusal) -> Option<Step> {
    if s.now < settled_at(s, placement) {
        return None;
    }
    if s.sends.unanswered.is_some() || !s.sends.placed_here {
        match s.confirmed {
            Confirmed::Gone => {}
            Confirmed::Nothing => return Some(Step::Confirm),
            Confirmed::Present(seen) => return Some(present(s, placement, seen)),
        }
    }
    let refused_before = s.job.record.refusals.iter().filter(|r| r.cluster != placement.cluster).count();
    if refusal.class == RefusalClass::Job && refused_before >= 1 {
        return Some(Step::Finish(Box::new(Outcome {
            phase: Phase::Failed,
            reason: "RejectedByMember",
            message: format!("refused by two members; {}: {}", placement.cluster, refusal.message),
            uid: None,
            application: None,
            read_log: false,
        })));
    }
    Some(Step::Withdraw(Cause::Refused(refusal)))
}

/// The end of a job that members refused and that no other one can take.
pub fn refused_by_all(record: &Record) -> Outcome {
    let message = match record.refusals.last() {
        Some(Refused { cluster, message, .. }) => {
            format!("refused by {cluster}, and no other member can take it: {message}")
        }
        None => "no member can take it".to_owned(),
    };
    Outcome {
        phase: Phase::Failed,
        reason: "RejectedByMember",
        message,
        uid: None,
        application: None,
        read_log: false,
    }
}

fn after_the_end(s: Snapshot<'_>) -> Step {
    let Job { record, deleting, held, .. } = s.job;
    let ours = match (&record.placement, s.remote) {
        (Some(placement), Remote::Present(seen)) if is_ours(s.job, placement, seen) => {
            Some((placement, seen))
        }
        _ => None,
    };
    let reachable = s.member.is_some_and(|m| m.link == LinkState::Ready);
    if let Some((placement, seen)) = ours
        && reachable
        && !s.fenced
        && !may_retire(record, seen)
        && (*held || deleting.is_none())
    {
        // A finished job never runs again: neither by a create that came late nor by somebody's hand on the member.
        return Step::Stop { settled_at: settled_at(s, placement) };
    }
    if deleting.is_some() {
        return match ours {
            _ if !*held => Step::Rest { until: None },
            // The sweep takes what an unreachable member still shows when it returns: it is finished.
            Some((_, seen)) if reachable && may_retire(record, seen) => Step::Retire(seen.uid.clone()),
            _ => Step::LetGo,
        };
    }
    let (Some((_, seen)), Some(finished)) = (ours, &record.finished) else {
        return Step::Rest { until: None };
    };
    if !reachable || !may_retire(record, seen) {
        return Step::Rest { until: None };
    }
    if seen.held {
        return Step::Release(seen.uid.clone());
    }
    let ends = later(finished.at, s.retention);
    if seen.deleting {
        Step::Rest { until: None }
    } else if s.now >= ends {
        Step::Retire(seen.uid.clone())
    } else {
        Step::Rest { until: Some(ends) }
    }
}

/// A finished job's application is taken away only where it is over itself, or is the recorded one whose driver was
/// seen to its end.
fn may_retire(record: &Record, seen: &Observation) -> bool {
    let recorded = record.placement.as_ref().and_then(|p| p.uid.as_ref());
    seen.run.is_terminal() && recorded.is_none_or(|uid| *uid == seen.uid)
}

fn deletion(s: Snapshot<'_>) -> Step {
    let Job { record, held, abandoned, .. } = s.job;
    if !*held {
        return Step::Rest { until: None };
    }
    let Some(placement) = &record.placement else { return Step::LetGo };
    if s.fenced {
        return Step::LetGo;
    }
    let never_sent = s.sends.placed_here && s.sends.last.is_none() && placement.uid.is_none();
    if never_sent {
        return Step::LetGo;
    }
    if *abandoned || s.member.is_some_and(|m| m.forgotten) {
        return Step::Abandon;
    }
    let Some(member) = s.member else { return Step::Explain(DeletionWaits::Unregistered) };
    match member.link {
        // Also where a fault keeps new work away: the member itself says what it cannot do.
        LinkState::Ready => {}
        LinkState::Connecting => return Step::Explain(DeletionWaits::Unreachable { since: None }),
        LinkState::Suspect { .. } => return Step::Rest { until: None },
        LinkState::Lost { since } => return Step::Explain(DeletionWaits::Unreachable { since: Some(since) }),
    }
    if let Remote::Present(seen) = s.remote
        && is_ours(s.job, placement, seen)
        && proves_end(&seen.run)
        && may_retire(record, seen)
    {
        return Step::Retire(seen.uid.clone());
    }
    Step::Stop { settled_at: settled_at(s, placement) }
}

fn blind(s: Snapshot<'_>, placement: &Placement) -> Step {
    if may_withdraw_unsent(s, placement) {
        return Step::Withdraw(Cause::Unsent);
    }
    match trouble(s) {
        Some(trouble) if !s.job.record.unreachable => Step::Unreachable(trouble),
        _ => Step::Rest { until: None },
    }
}

/// What is worth telling of a member that cannot be worked with. Not a missed probe, which passes, nor a first contact,
/// which ends one way or the other.
fn trouble(s: Snapshot<'_>) -> Option<Trouble> {
    let Some(member) = s.member else { return Some(Trouble::Missing) };
    match member.link {
        LinkState::Lost { since } => Some(Trouble::Silent { since }),
        LinkState::Suspect { .. } => None,
        LinkState::Connecting | LinkState::Ready => (!member.usable).then_some(Trouble::Faulty),
    }
}

/// The member stopped taking work, and no create of this placement was ever written: the job may go elsewhere.
fn may_withdraw_unsent(s: Snapshot<'_>, placement: &Placement) -> bool {
    let never_sent = s.sends.placed_here && s.sends.last.is_none() && placement.uid.is_none();
    never_sent && !s.fleet_in_doubt && s.member.is_none_or(|member| !member.takes_creates())
}

fn absent(s: Snapshot<'_>, placement: &Placement) -> Step {
    if s.member.is_some_and(|m| m.link != LinkState::Ready) {
        return blind(s, placement);
    }
    match (&placement.uid, s.confirmed) {
        (_, Confirmed::Present(seen)) => return present(s, placement, seen),
        (Some(uid), Confirmed::Gone) => return vanished(s.job, uid),
        // The view is only a hint.
        (Some(_), Confirmed::Nothing) => return Step::Confirm,
        (None, _) => {}
    }
    if let Some((uid, at)) = &s.sends.accepted {
        let patience = later(*at, s.timing.view_patience);
        return match s.confirmed {
            _ if s.now < patience => Step::Rest { until: Some(patience) },
            // It was there and is not any more, although our finalizer was on it.
            Confirmed::Gone => vanished(s.job, uid),
            Confirmed::Nothing | Confirmed::Present(_) => Step::Confirm,
        };
    }
    if may_withdraw_unsent(s, placement) {
        return Step::Withdraw(Cause::Unsent);
    }
    match s.sends.not_before {
        Some(at) if s.now < at => Step::Rest { until: Some(at) },
        _ if s.member.is_some_and(MemberView::takes_creates) => Step::Submit,
        _ => blind(s, placement),
    }
}

fn present(s: Snapshot<'_>, placement: &Placement, seen: &Observation) -> Step {
    let Job { record, .. } = s.job;
    // The run on record stays the job's own also where somebody took our labels off it.
    if placement.uid.as_ref() != Some(&seen.uid) && !is_ours(s.job, placement, seen) {
        return Step::Finish(Box::new(name_taken(placement, &whose(seen))));
    }
    if let Some(recorded) = &placement.uid
        && *recorded != seen.uid
    {
        // Somebody re-created it: it is not the run that is on record, and is not believed. The recorded one is gone
        // when a quorum read says so.
        return match s.confirmed {
            Confirmed::Gone => vanished(s.job, recorded),
            Confirmed::Nothing | Confirmed::Present(_) => Step::Confirm,
        };
    }
    let application = phase::mirror(seen, record.application.as_ref(), s.now);
    if seen.run.is_terminal() {
        return terminal(s, placement, seen, application);
    }
    if s.member.is_none_or(|m| matches!(m.link, LinkState::Lost { .. })) {
        // What the view shows is old.
        return blind(s, placement);
    }
    let mirror = Mirror { phase: Phase::of(&seen.run, record.phase), uid: seen.uid.clone(), application };
    if let Some(due) = mirror_due(s, placement, seen, &mirror) {
        return if due <= s.now { Step::Mirror(Box::new(mirror)) } else { Step::Rest { until: Some(due) } };
    }
    if seen.deleting && seen.held {
        // Somebody deletes it on the member. Its uid is on record, so its going will not be taken for "never created".
        return Step::Release(seen.uid.clone());
    }
    Step::Rest { until: None }
}

/// When the mirror is to be written; `None` when the record already says it.
fn mirror_due(
    s: Snapshot<'_>,
    placement: &Placement,
    seen: &Observation,
    mirror: &Mirror,
) -> Option<Timestamp> {
    let record = &s.job.record;
    let back = record.unreachable && s.member.is_some_and(|m| m.link == LinkState::Ready);
    let Some(before) = &record.application else {
        // Until its uid is on record it must not go unseen.
        let fresh = seen.run == RunState::Accepted && !seen.deleting && !back;
        return Some(if fresh { later(placement.at, s.timing.uid_after) } else { s.now });
    };
    let same_head =
        placement.uid.as_ref() == Some(&mirror.uid) && record.phase == Some(mirror.phase) && !back;
    if !same_head || before.state != mirror.application.state || seen.deleting {
        return (!same_head || *before != mirror.application).then_some(s.now);
    }
    if *before == mirror.application {
        return None;
    }
    let wait = if phase::differs_in_counts_only(before, &mirror.application) {
        s.timing.counts_every
    } else {
        s.timing.details_after
    };
    Some(s.mirrored_at.map_or(s.now, |at| later(at, wait)))
}

fn terminal(s: Snapshot<'_>, placement: &Placement, seen: &Observation, application: Application) -> Step {
    let member = &placement.cluster;
    let end = |phase, reason, message, read_log| {
        let uid = Some(seen.uid.clone());
        Step::Finish(Box::new(Outcome {
            phase,
            reason,
            message,
            uid,
            application: Some(application.clone()),
            read_log,
        }))
    };
    let said = seen.error.as_deref().unwrap_or("the operator gives no cause");
    match &seen.run {
        RunState::Succeeded => end(Phase::Succeeded, "JobSucceeded", format!("completed on {member}"), false),
        RunState::Failed(FailureSign::DriverExists) => match s.driver {
            // The operator submitted twice and gave up on the second: the first driver decides.
            DriverSeen::Succeeded => end(
                Phase::Succeeded,
                "JobSucceeded",
                format!("the driver completed on {member}; its operator says: {said}"),
                false,
            ),
            DriverSeen::Failed(how) => {
                end(Phase::Failed, "JobFailed", format!("the driver failed on {member}: {how}"), true)
            }
            DriverSeen::Gone => end(
                Phase::Failed,
                "DriverLost",
                format!("no driver is left on {member}; its operator says: {said}"),
                false,
            ),
            DriverSeen::Alive => {
                let mirror = Mirror {
                    phase: Phase::of(&seen.run, s.job.record.phase),
                    uid: seen.uid.clone(),
                    application,
                };
                let look = later(s.now, s.timing.examine_every);
                match mirror_due(s, placement, seen, &mirror) {
                    Some(due) if due <= s.now => Step::Mirror(Box::new(mirror)),
                    _ => Step::Rest { until: Some(look) },
                }
            }
            DriverSeen::Nothing => Step::Examine,
        },
        RunState::Failed(sign) => end(
            Phase::Failed,
            sign.reason(),
            format!("failed on {member}: {said}"),
            *sign == FailureSign::Application,
        ),
        RunState::Accepted
        | RunState::Submitted
        | RunState::Running
        | RunState::Retrying
        | RunState::Suspended
        | RunState::Passing => Step::Rest { until: None },
    }
}

fn proves_end(run: &RunState) -> bool {
    match run {
        RunState::Succeeded => true,
        RunState::Failed(sign) => sign.proves_end(),
        RunState::Accepted
        | RunState::Submitted
        | RunState::Running
        | RunState::Retrying
        | RunState::Suspended
        | RunState::Passing => false,
    }
}

/// Ours by job and attempt, as written inside the create: only such an object is ever written to.
fn is_ours(job: &Job, placement: &Placement, seen: &Observation) -> bool {
    seen.owner.as_ref().is_some_and(|owner| owner.job == job.uid && owner.attempt == placement.attempt)
}

fn whose(seen: &Observation) -> String {
    match &seen.owner {
        Some(owner) => format!("it belongs to attempt {} of job {}", owner.attempt, owner.key),
        None => "it was not created by this router".to_owned(),
    }
}

/// The end of a job whose remote name is in use by something that is not its own.
pub fn name_taken(placement: &Placement, whose: &str) -> Outcome {
    let Placement { cluster, namespace, name, .. } = placement;
    Outcome {
        phase: Phase::Failed,
        reason: "NameTaken",
        message: format!("{namespace}/{name} exists on {cluster} and was not touched: {whose}"),
        uid: None,
        application: None,
        read_log: false,
    }
}

fn vanished(job: &Job, uid: &RemoteUid) -> Step {
    let member = job.record.placement.as_ref().map_or("its member", |p| p.cluster.as_str());
    Step::Finish(Box::new(Outcome {
        phase: Phase::Failed,
        reason: "RemoteVanished",
        message: format!(
            "its application (uid {uid}) was deleted on {member} before it ended; it is not run again by itself"
        ),
        uid: Some(uid.clone()),
        application: job.record.application.clone(),
        read_log: false,
    }))
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| at.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
#[path = "step_tests.rs"]
mod tests;
