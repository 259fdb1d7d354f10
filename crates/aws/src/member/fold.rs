//! A job run in the words of the core.
//!
//! Owns no state. Whose a run is stands in its tags, as they were sent with its start. Must never take a name for that:
//! names can be chosen by anybody.

use std::collections::BTreeMap;

use jiff::Timestamp;
use spark_router_api::names;
use spark_router_core::{
    id::{Attempt, HubId, JobKey, JobUid, Namespace, QueueName, RemoteName, RemoteUid},
    observe::{ExecutorCounts, Observation, Ownership},
};
use spark_router_member::{Seen, error_line};

use crate::{client::JobRun, state};

/// Whose it is. `None` unless every part is there.
pub(super) fn ownership(tags: &BTreeMap<String, String>) -> Option<Ownership> {
    let tag = |name: &str| tags.get(name);
    Some(Ownership {
        hub: HubId::new(tag(names::ORIGIN_LABEL)?),
        job: JobUid::new(tag(names::JOB_UID_LABEL)?),
        key: JobKey {
            namespace: Namespace::new(tag(names::JOB_NAMESPACE_ANNOTATION)?),
            name: tag(names::JOB_NAME_ANNOTATION)?.clone(),
        },
        attempt: Attempt(tag(names::ATTEMPT_LABEL)?.parse().ok()?),
        seq: tag(names::SEQ_ANNOTATION)?.parse().ok()?,
        render_hash: tag(names::RENDER_HASH_ANNOTATION)?.clone(),
    })
}

/// What a run shows. `ran`: it was seen running; `cancel_asked`: its end was asked for by this process.
pub(super) fn seen(run: &JobRun, ran: bool, cancel_asked: bool) -> Seen {
    let meaning = state::meaning(&state::Seen {
        state: &run.state,
        failure_reason: run.failure.as_deref(),
        details: run.details.as_deref(),
        ran,
        cancel_asked,
    });
    // Whoever stopped it: that is no end of its own.
    let stopping = meaning.stopping || run.state == "CANCELLED";
    let observation = Observation {
        name: RemoteName::new(&run.name),
        uid: RemoteUid::new(&run.id.0),
        owner: ownership(&run.tags),
        deleting: stopping,
        held: false,
        suspend: false,
        run: meaning.run,
        native_state: run.state.clone(),
        application_id: None,
        submission_id: Some(run.id.0.clone()),
        submitted_at: run.created_at.and_then(whole),
        running_since: None,
        terminated_at: ended_at(run).and_then(whole),
        executions: run.tries.unwrap_or(1),
        executors: ExecutorCounts::default(),
        driver_pod: None,
        ui_address: None,
        error: error(run),
    };
    let queue = run.tags.get(names::QUEUE_LABEL).map(QueueName::new);
    Seen { observation, created: run.created_at, queue }
}

/// Servers have been seen to give an end before its beginning.
fn ended_at(run: &JobRun) -> Option<Timestamp> {
    let ended = run.finished_at?;
    Some(run.created_at.map_or(ended, |created| ended.max(created)))
}

/// To the second, as the hub keeps times: a finer one would never equal what is read back, and be written again and again.
fn whole(time: Timestamp) -> Option<Timestamp> {
    Timestamp::from_second(time.as_second()).ok()
}

fn error(run: &JobRun) -> Option<String> {
    if run.state != "FAILED" && run.state != "CANCELLED" {
        return None;
    }
    let said = match (run.failure.as_deref(), run.details.as_deref()) {
        (Some(reason), Some(details)) => format!("{reason}: {details}"),
        (Some(text), None) | (None, Some(text)) => text.to_owned(),
        (None, None) => return None,
    };
    // It may quote what the job was started with.
    Some(error_line::shown(&said))
}

#[cfg(test)]
mod tests {
    use spark_router_core::observe::{FailureSign, RunState};

    use super::*;
    use crate::client::RunId;

    fn tags() -> BTreeMap<String, String> {
        let pairs = [
            (names::ORIGIN_LABEL, "hub"),
            (names::JOB_UID_LABEL, "uid"),
            (names::JOB_NAMESPACE_ANNOTATION, "team-a"),
            (names::JOB_NAME_ANNOTATION, "daily"),
            (names::ATTEMPT_LABEL, "2"),
            (names::SEQ_ANNOTATION, "17"),
            (names::RENDER_HASH_ANNOTATION, "abc"),
            (names::QUEUE_LABEL, "etl"),
        ];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn run(state: &str) -> JobRun {
        JobRun {
            id: RunId("a1".to_owned()),
            name: "daily-abc".to_owned(),
            token: "t".to_owned(),
            state: state.to_owned(),
            details: None,
            failure: None,
            created_at: Timestamp::from_second(1000).ok(),
            finished_at: None,
            tries: None,
            tags: tags(),
        }
    }

    #[test]
    fn whose_it_is_needs_every_part() {
        let owner = ownership(&tags()).unwrap();
        assert_eq!((owner.hub.as_str(), owner.attempt, owner.seq), ("hub", Attempt(2), 17));
        assert_eq!(owner.key.to_string(), "team-a/daily");
        for key in tags().keys().filter(|key| *key != names::QUEUE_LABEL) {
            let mut less = tags();
            less.remove(key);
            assert_eq!(ownership(&less), None, "{key}");
        }
        let mut odd = tags();
        odd.insert(names::ATTEMPT_LABEL.to_owned(), "two".to_owned());
        assert_eq!(ownership(&odd), None);
    }

    #[test]
    fn what_somebody_stopped_is_no_end_of_its_own() {
        for (state, cancel_asked, by_itself) in [
            ("COMPLETED", false, true),
            ("COMPLETED", true, true),
            ("CANCELLED", true, false),
            ("CANCELLED", false, false),
            ("CANCEL_PENDING", true, false),
        ] {
            let seen = seen(&run(state), true, cancel_asked).observation;
            assert_eq!(seen.ended_by_itself(), by_itself, "{state} {cancel_asked}");
        }
    }

    #[test]
    fn a_failure_says_why_and_never_ends_before_it_began() {
        let failed = JobRun {
            failure: Some("USER_ERROR".to_owned()),
            details: Some("exit code 1".to_owned()),
            finished_at: Timestamp::from_second(60).ok(),
            ..run("FAILED")
        };
        let shown = seen(&failed, true, false);
        assert_eq!(shown.observation.error.as_deref(), Some("USER_ERROR: exit code 1"));
        assert_eq!(shown.observation.run, RunState::Failed(FailureSign::Application));
        assert_eq!(shown.observation.terminated_at, shown.observation.submitted_at);
        assert_eq!(shown.queue, Some(QueueName::from("etl")));
        let live = JobRun { details: Some("waiting".to_owned()), ..run("RUNNING") };
        assert_eq!(seen(&live, true, false).observation.error, None);
    }

    #[test]
    fn times_are_those_that_the_hub_can_keep() {
        let at = |second, nanosecond| Timestamp::new(second, nanosecond).ok();
        let ended =
            JobRun { created_at: at(1000, 75), finished_at: at(1001, 999_999_999), ..run("COMPLETED") };
        let shown = seen(&ended, true, false).observation;
        assert_eq!((shown.submitted_at, shown.terminated_at), (at(1000, 0), at(1001, 0)));
    }
}
