//! What this process remembers of jobs between passes.
//!
//! Owns facts that are lost with the process and may be: what was sent, what was read back, the newest version of an
//! object that this process wrote; and what is dear to make again: what a job's spec says, and what it is created as.
//! Nothing here is ever a proof that something did not happen. Entries go when their job goes; what was made of a
//! template goes with the template, so that a job that runs or is over costs no more than its facts.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use parking_lot::Mutex;
use spark_router_api::RoutedSparkJob;
use spark_router_core::{
    id::{Attempt, JobUid},
    observe::Remote,
    step::Sends,
};
use spark_router_member::Rendered;

use crate::{
    backends::Kinds,
    convert::{self, KnownQueue, Parsed, Reading},
    error::Error,
};

/// One job's entry. Copied for every pass: whatever is large in it is shared.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// Sends for the placement of `placement`.
    pub sends: Sends,
    /// Which placement `sends` and `fenced` are about: attempt and sequence number.
    pub placement: Option<(Attempt, u64)>,
    /// That attempt is proven to run nowhere.
    pub fenced: Gone,
    /// When the status was last mirrored.
    pub mirrored_at: Option<Timestamp>,
    /// Passes that failed in a row.
    pub failures: u32,
    /// The creates of this placement that failed in a row.
    pub create_failures: u32,
    /// What this process wrote last, until the watch has caught up.
    pub written: Option<Arc<RoutedSparkJob>>,
    /// Our finalizer was taken off its application.
    pub released: Gone,
    /// Its end was seen: the dispatcher was told.
    pub ended: bool,
    /// Its application was deleted after its end.
    pub retired: Gone,
    /// What the dispatcher was told of its progress.
    pub told: Progress,
    /// Since when it waits for a run that was left behind to be stopped.
    pub stopping_past: Option<Timestamp>,
    /// What was read of its spec.
    reading: Option<Arc<Reading>>,
    /// What this placement is created as.
    pub rendered: Option<Arc<Rendered>>,
    /// Its create gets no further.
    pub delay: Option<Delay>,
    /// Since when its driver is looked at in vain.
    pub unseen_since: Option<Timestamp>,
}

/// A create that was put off, or not answered, each time it was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    /// Since when.
    pub since: Timestamp,
    /// When the status last said so.
    pub told: Option<Timestamp>,
}

/// What this process took away on a member, or proved to be away, against what the member's view shows of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gone {
    /// It is not known to be gone.
    #[default]
    No,
    /// It is; the member's view may be behind.
    Told,
    /// It is, and the view shows so: what it shows of it from now on is new.
    Shown,
}

impl Gone {
    /// Whether it is gone, whatever the view still shows.
    pub fn holds(self) -> bool {
        self != Self::No
    }

    /// As of now, given whether the view shows it.
    fn look(self, is_shown: bool) -> Self {
        match (self, is_shown) {
            (Self::Told, false) => Self::Shown,
            // A member that was put back to a backup, or a hand, brought it back.
            (Self::Shown, true) => Self::No,
            _ => self,
        }
    }
}

/// How far a placed job has come, as far as the ledger goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// The member's operator has not submitted it.
    #[default]
    Placed,
    /// It has.
    Submitted,
    /// All its pods are there.
    Running,
}

impl Entry {
    /// Compares what was taken away with what the member's view shows now.
    pub fn look(&mut self, remote: &Remote) {
        let (is_there, is_held) = match remote {
            Remote::Present(seen) => (true, seen.held),
            Remote::Absent => (false, false),
            Remote::Unknown | Remote::Unsettled { .. } => return,
        };
        self.fenced = self.fenced.look(is_there);
        self.retired = self.retired.look(is_there);
        self.released = self.released.look(is_held);
    }

    /// Starts over for another placement; the first sight of one by this process knows nothing of its sends.
    pub fn turn_to(&mut self, placement: Option<(Attempt, u64)>) {
        if self.placement != placement {
            self.placement = placement;
            self.sends = Sends::default();
            self.fenced = Gone::default();
            self.retired = Gone::default();
            self.released = Gone::default();
            self.create_failures = 0;
            self.told = Progress::Placed;
            self.rendered = None;
            self.delay = None;
            self.unseen_since = None;
            self.stopping_past = None;
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<JobUid, Entry>>);

impl Memory {
    /// A copy of a job's entry.
    pub fn of(&self, job: &JobUid) -> Entry {
        self.0.lock().get(job).cloned().unwrap_or_default()
    }

    /// Parses a job with its queue, where that is there. The template is read again only after a change of it, of what the
    /// queue sets on its jobs, or of the kinds of members.
    ///
    /// # Errors
    /// Those of [`convert::job`].
    pub fn parse(
        &self,
        object: &RoutedSparkJob,
        queue: Option<&KnownQueue>,
        kinds: &Kinds,
    ) -> Result<Parsed, Error> {
        let uid = convert::uid(object)?;
        let known = self.0.lock().get(&uid).and_then(|entry| entry.reading.clone());
        let parsed = convert::job(object, queue, kinds, known)?;
        self.change(&uid, |entry| {
            entry.reading.clone_from(&parsed.reading);
            if parsed.reading.is_none() {
                entry.rendered = None;
            }
        });
        Ok(parsed)
    }

    /// Changes a job's entry.
    pub fn change<T>(&self, job: &JobUid, change: impl FnOnce(&mut Entry) -> T) -> T {
        change(self.0.lock().entry(job.clone()).or_default())
    }

    /// The job is gone.
    pub fn forget(&self, job: &JobUid) {
        self.0.lock().remove(job);
    }

    /// Keeps only jobs that are still there.
    pub fn retain(&self, keep: impl Fn(&JobUid) -> bool) {
        self.0.lock().retain(|uid, _| keep(uid));
    }

    /// The newer of what the watch shows and what this process wrote. Versions of one object are ordered by number,
    /// which Kubernetes guarantees for its own storage; one that is no number counts as older.
    pub fn newest(&self, job: &JobUid, shown: Arc<RoutedSparkJob>) -> Arc<RoutedSparkJob> {
        let version = |object: &RoutedSparkJob| {
            object.metadata.resource_version.as_deref().and_then(|v| v.parse::<u64>().ok()).unwrap_or(0)
        };
        let mut entries = self.0.lock();
        let Some(entry) = entries.get_mut(job) else { return shown };
        match &entry.written {
            Some(written) if version(written) > version(&shown) => written.clone(),
            Some(_) => {
                entry.written = None;
                shown
            }
            None => shown,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use spark_router_api::{SparkQueue, condition};

    use super::*;
    use crate::jobs::prune;

    fn object() -> RoutedSparkJob {
        serde_json::from_value(json!({
            "apiVersion": "sparkrouter.dev/v1alpha1", "kind": "RoutedSparkJob",
            "metadata": {
                "name": "daily", "namespace": "team-a", "uid": "u-1", "generation": 1,
                "creationTimestamp": "2026-01-01T00:00:00Z"
            },
            "spec": {"queue": "etl", "template": {"spec": {"sparkVersion": "4.0.1", "driver": {}, "executor": {}}}}
        }))
        .unwrap()
    }

    fn queue(cores: u32) -> KnownQueue {
        let object: SparkQueue = serde_json::from_value(json!({
            "apiVersion": "sparkrouter.dev/v1alpha1", "kind": "SparkQueue", "metadata": {"name": "etl"},
            "spec": {"routes": [], "fixed": {"sparkConf": {"spark.driver.cores": cores.to_string()}}},
        }))
        .unwrap();
        KnownQueue::new(Arc::new(object))
    }

    fn with_status(status: &serde_json::Value) -> RoutedSparkJob {
        RoutedSparkJob { status: Some(serde_json::from_value(status.clone()).unwrap()), ..object() }
    }

    fn placed(uid: Option<&str>) -> RoutedSparkJob {
        let placement = json!({
            "cluster": "eu-1", "memberIdentity": "id", "attempt": 1, "namespace": "spark", "remoteName": "daily-abc",
            "remoteUid": uid, "queue": "etl", "seq": 7, "at": "2026-01-01T00:00:01Z", "demand": {"jobs": 1}
        });
        with_status(&json!({"placement": placement}))
    }

    #[test]
    fn what_comes_back_after_it_was_seen_to_be_gone_is_there() {
        let view = |gone: Gone, shown: &[bool]| shown.iter().fold(gone, |gone, shown| gone.look(*shown));
        // A view that is behind shows it for a while, and what it shows then is old.
        assert_eq!(view(Gone::Told, &[true, true]), Gone::Told);
        assert_eq!(view(Gone::Told, &[true, false, false]), Gone::Shown);
        assert!(!view(Gone::Told, &[true, false, true]).holds(), "it came back");
        assert!(!view(Gone::No, &[false, true]).holds());

        let mut entry = Entry { fenced: Gone::Told, ..Entry::default() };
        for blind in [Remote::Unknown, Remote::Absent, Remote::Unknown] {
            entry.look(&blind);
            assert!(entry.fenced.holds(), "what is not seen proves nothing");
        }
    }

    #[test]
    fn a_job_is_read_once_for_all_its_passes() {
        let memory = Memory::default();
        let etl = queue(2);
        let read = |object: &RoutedSparkJob, queue: &KnownQueue| {
            memory.parse(object, Some(queue), &Kinds::default()).unwrap().reading.unwrap()
        };
        let first = read(&object(), &etl);
        // It waits, it is placed, it is asked to stop: each time everything but its spec is new.
        for later in [object(), with_status(&json!({"phase": "Queued"})), placed(None)] {
            assert!(Arc::ptr_eq(&first, &read(&later, &etl)), "{:?}", later.status);
        }
        let mut edited = object();
        edited.metadata.generation = Some(2);
        let second = read(&edited, &etl);
        assert!(!Arc::ptr_eq(&first, &second), "its spec was edited");
        assert!(Arc::ptr_eq(&second, &read(&edited, &etl)));
        let third = read(&edited, &queue(4));
        assert!(!Arc::ptr_eq(&second, &third), "its queue sets something else");
        assert!(Arc::ptr_eq(&third, &read(&edited, &queue(4))));
    }

    #[test]
    fn what_is_read_and_on_record_now_goes_into_a_parse_of_what_was_read_before() {
        let memory = Memory::default();
        let etl = queue(2);
        let before = memory.parse(&object(), Some(&etl), &Kinds::default()).unwrap();
        let mut later = placed(None);
        later.metadata.deletion_timestamp =
            Some(serde_json::from_value(json!("2026-01-02T00:00:00Z")).unwrap());
        let parsed = memory.parse(&later, Some(&etl), &Kinds::default()).unwrap();
        assert!(before.job.record.placement.is_none() && before.job.deleting.is_none());
        assert_eq!(parsed.job.record.placement.unwrap().seq, 7);
        assert!(parsed.job.deleting.is_some() && parsed.parts.is_some());
        assert_eq!(parsed.job.request, before.job.request);
    }

    #[test]
    fn nothing_of_the_template_is_kept_longer_than_the_template() {
        let mut created = placed(Some("r-1"));
        let finished = json!([{
            "type": condition::FINISHED, "status": "True", "reason": "Cancelled", "message": "",
            "lastTransitionTime": "2026-01-02T00:00:00Z"
        }]);
        let mut finished = with_status(&json!({"conditions": finished}));
        for beyond in [&mut created, &mut finished] {
            let memory = Memory::default();
            let uid = JobUid::from("u-1");
            memory.parse(&object(), None, &Kinds::default()).unwrap();
            assert!(memory.of(&uid).reading.is_some());
            prune(beyond);
            let parsed = memory.parse(beyond, None, &Kinds::default()).unwrap();
            assert!(parsed.job.request.is_err() && parsed.parts.is_none());
            assert!(memory.of(&uid).reading.is_none());
        }
    }

    #[test]
    fn what_a_placement_is_created_as_goes_with_it() {
        let renderer = spark_router_member::render::Renderer::new();
        let order = spark_router_member::Order {
            job: JobUid::from("u-1"),
            key: spark_router_core::id::JobKey { namespace: "team-a".into(), name: "daily".to_owned() },
            attempt: Attempt::FIRST,
            queue: "etl".into(),
            seq: 7,
            namespace: "spark".into(),
            name: "daily-abc".into(),
            template: Arc::default(),
            remote_queue: None,
            parts: None,
            emr: None,
            start_deadline: None,
        };
        let rendered = Rendered::of(&renderer, order, None, |_| Ok((Vec::new(), String::new())));
        let mut entry = Entry::default();
        entry.turn_to(Some((Attempt::FIRST, 7)));
        entry.rendered = Some(rendered);
        entry.turn_to(Some((Attempt::FIRST, 7)));
        assert!(entry.rendered.is_some());
        entry.turn_to(Some((Attempt::FIRST, 8)));
        assert!(entry.rendered.is_none());
    }
}
