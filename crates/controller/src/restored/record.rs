//! What a queue's object says of a hub that was put back to an earlier state, read and written.
//!
//! Owns no state. Pure. The status is the record of what was seen, the annotation that of who let the jobs go; together they
//! say whether the jobs hold, also after a restart and when nothing is to be seen any more.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use spark_router_api::{
    SparkQueue, SparkQueueStatus,
    condition::{self, Finding, Truth, reason},
    names,
    queue::{MOST_SIGNS, RestoredQueue, RestoredSign},
};
use spark_router_core::restored::{self, Account, Restored, Shown};

/// An application that no record of the hub knows, looked up there and on its member.
#[derive(Clone, Debug)]
pub(crate) struct Sign {
    /// It.
    pub(crate) shown: Shown,
    /// Its job is on the hub, in an older state.
    pub(crate) job_exists: bool,
}

/// The number that somebody acknowledged; what cannot be read acknowledges nothing.
pub(super) fn acknowledged(object: &SparkQueue) -> Option<u64> {
    object.annotations().get(names::ACKNOWLEDGE_ANNOTATION)?.trim().parse().ok()
}

/// Why a queue's older jobs hold, on record and not acknowledged.
pub fn holding(object: &SparkQueue) -> Option<&RestoredQueue> {
    let restored = object.status.as_ref()?.restored.as_ref()?;
    acknowledged(object).is_none_or(|acknowledged| acknowledged < restored.seq).then_some(restored)
}

/// The same as the dispatcher takes it.
pub(crate) fn restored(object: &SparkQueue) -> Option<Restored> {
    let record = holding(object)?;
    Some(Restored { before: record.before.0, seq: record.seq, seen: seen(record) })
}

/// What was seen, in words that stay the same as long as nothing new is.
fn seen(record: &RestoredQueue) -> String {
    match record.signs.first() {
        Some(sign) => {
            let application = format!("{}/{}", sign.namespace, sign.remote_name);
            let job = format!("{}/{}", sign.job_namespace, sign.job_name);
            restored::words(&sign.cluster, &application, &job, sign.seq, record.known_seq)
        }
        // Written by somebody else: the number stands.
        None => format!("status.restored of the queue names placement {}", record.seq),
    }
}

/// What the queue's own record says of its numbers.
pub(crate) fn account(object: &SparkQueue) -> Option<Account> {
    let created = object.metadata.creation_timestamp.as_ref()?.0;
    Some(Account { seq: given(object), created })
}

/// The highest number that is on the queue's record.
pub(crate) fn given(object: &SparkQueue) -> u64 {
    let Some(status) = &object.status else { return 0 };
    let restored = status.restored.as_ref().map(|restored| restored.seq);
    [status.seq, status.credits_seq, restored].into_iter().flatten().max().unwrap_or(0)
}

/// The status with these signs on record. `known` is the last number of the hub's own records; jobs created up to `before`
/// hold.
pub(crate) fn with_signs(
    object: &SparkQueue,
    signs: &[Sign],
    known: u64,
    before: Timestamp,
    now: Timestamp,
) -> SparkQueueStatus {
    let mut status = object.status.clone().unwrap_or_default();
    // What was acknowledged is over: these are news.
    let present = holding(object).cloned();
    let mut rows = present.as_ref().map(|present| present.signs.clone()).unwrap_or_default();
    for sign in signs.iter().map(row) {
        if !rows.iter().any(|row| (&row.cluster, &row.remote_name) == (&sign.cluster, &sign.remote_name)) {
            rows.push(sign);
        }
    }
    rows.sort_by(|a, b| b.seq.cmp(&a.seq).then_with(|| a.cluster.cmp(&b.cluster)));
    rows.truncate(MOST_SIGNS);
    let highest = rows.iter().map(|row| row.seq).chain(present.as_ref().map(|present| present.seq)).max();
    let record = RestoredQueue {
        before: Time(present.as_ref().map_or(before, |present| present.before.0.max(before))),
        known_seq: present.as_ref().map_or(known, |present| present.known_seq),
        seq: highest.unwrap_or(known),
        signs: rows,
    };
    status.seq = Some(given(object).max(record.seq));
    let message = message(object, &record);
    status.restored = Some(record);
    set(&mut status, object, Truth::True, reason::HUB_RESTORED, message, now);
    status
}

/// The status once somebody has let the jobs go; `None` as long as there is nothing to let go of.
pub(crate) fn let_go(object: &SparkQueue, now: Timestamp) -> Option<SparkQueueStatus> {
    if holding(object).is_some() {
        return None;
    }
    let mut status = object.status.clone()?;
    let record = status.restored.take()?;
    let message = format!(
        "acknowledged up to placement {}: the jobs that were held are placed like any other",
        record.seq
    );
    set(&mut status, object, Truth::False, reason::ACKNOWLEDGED, message, now);
    Some(status)
}

fn set(
    status: &mut SparkQueueStatus,
    object: &SparkQueue,
    truth: Truth,
    why: &str,
    message: String,
    now: Timestamp,
) {
    let finding = Finding { type_: condition::RESTORED, status: truth, reason: why.to_owned(), message };
    condition::set(&mut status.conditions, finding, object.metadata.generation, &Time(now));
}

fn message(object: &SparkQueue, record: &RestoredQueue) -> String {
    format!(
        "{}. Jobs created up to {} that wait for a place hold, for they may have run since; younger ones go on. To let \
         them go: {}",
        seen(record),
        record.before.0,
        restored::command(&object.name_any())
    )
}

fn row(sign: &Sign) -> RestoredSign {
    let Shown { cluster, namespace, name, owner, over, .. } = &sign.shown;
    RestoredSign {
        cluster: cluster.as_str().to_owned(),
        namespace: namespace.as_str().to_owned(),
        remote_name: name.as_str().to_owned(),
        job_namespace: owner.key.namespace.as_str().to_owned(),
        job_name: owner.key.name.clone(),
        job_uid: owner.job.as_str().to_owned(),
        attempt: owner.attempt.0,
        seq: owner.seq,
        job_exists: sign.job_exists,
        over: *over,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use spark_router_core::{
        id::{
            Attempt, ClusterName, HubId, JobKey, JobUid, MemberIdentity, Namespace, QueueName, RemoteName,
            RemoteUid,
        },
        observe::Ownership,
    };

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn queue() -> SparkQueue {
        serde_json::from_value(json!({
            "apiVersion": "sparkrouter.dev/v1alpha1", "kind": "SparkQueue",
            "metadata": {"name": "etl", "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 3},
            "spec": {"routes": [{"clusters": {"names": ["m1"]}}]},
            "status": {"seq": 37, "creditsSeq": 35},
        }))
        .unwrap()
    }

    fn sign(cluster: &str, name: &str, seq: u64) -> Sign {
        let shown = Shown {
            cluster: ClusterName::from(cluster),
            identity: MemberIdentity::from(cluster),
            namespace: Namespace::from("spark"),
            name: RemoteName::from(name),
            uid: RemoteUid::from(name),
            owner: Ownership {
                hub: HubId::from("hub"),
                job: JobUid::from("u"),
                key: JobKey { namespace: Namespace::from("team"), name: "daily".to_owned() },
                attempt: Attempt::FIRST,
                seq,
                render_hash: String::new(),
            },
            queue: QueueName::from("etl"),
            created: Some(at(0)),
            over: false,
        };
        Sign { shown, job_exists: false }
    }

    fn acknowledge(object: &mut SparkQueue, number: &str) {
        object.annotations_mut().insert(names::ACKNOWLEDGE_ANNOTATION.to_owned(), number.to_owned());
    }

    #[test]
    fn what_was_seen_holds_the_jobs_until_just_that_is_acknowledged() {
        let mut object = queue();
        assert_eq!((restored(&object), account(&object).unwrap().seq), (None, 37));
        let signs = [sign("m1", "daily-x", 41), sign("m2", "daily-y", 40)];
        object.status = Some(with_signs(&object, &signs, 37, at(500), at(501)));
        let status = object.status.as_ref().unwrap();
        assert_eq!(status.seq, Some(41), "none of the numbers is given out again");
        let found = condition::find(&status.conditions, condition::RESTORED).unwrap();
        assert_eq!((found.status.as_str(), found.reason.as_str()), ("True", "HubRestored"));
        let expected = "m1 shows application spark/daily-x of job team/daily, placement 41 of the queue, but the hub's records \
             end at placement 37";
        assert!(found.message.starts_with(expected), "{}", found.message);
        assert!(found.message.ends_with("spark-router acknowledge etl"), "{}", found.message);
        let holds = restored(&object).unwrap();
        assert_eq!((holds.before, holds.seq), (at(500), 41));
        assert_eq!(let_go(&object, at(502)), None);
        for (number, lets_go) in [("40", false), ("soon", false), ("", false), ("41", true), ("50", true)] {
            acknowledge(&mut object, number);
            assert_eq!(
                (restored(&object).is_none(), let_go(&object, at(502)).is_some()),
                (lets_go, lets_go),
                "{number:?}"
            );
        }
        object.status = let_go(&object, at(502));
        let status = object.status.as_ref().unwrap();
        assert_eq!((status.restored.as_ref(), status.seq), (None, Some(41)));
        let found = condition::find(&status.conditions, condition::RESTORED).unwrap();
        assert_eq!((found.status.as_str(), found.reason.as_str()), ("False", "Acknowledged"));
        assert_eq!(let_go(&object, at(503)), None, "said once");
    }

    #[test]
    fn another_member_adds_to_what_was_seen_and_what_was_acknowledged_is_not_asked_again() {
        let mut object = queue();
        object.status = Some(with_signs(&object, &[sign("m1", "daily-x", 41)], 37, at(500), at(501)));
        let again = with_signs(&object, &[sign("m1", "daily-x", 41)], 37, at(500), at(501));
        assert_eq!(object.status.as_ref(), Some(&again), "the same is no news");
        object.status = Some(with_signs(&object, &[sign("m2", "daily-y", 44)], 37, at(500), at(600)));
        let record = object.status.as_ref().and_then(|status| status.restored.clone()).unwrap();
        let numbers: Vec<_> = record.signs.iter().map(|row| row.seq).collect();
        assert_eq!((numbers, record.seq, record.known_seq), (vec![44, 41], 44, 37));
        acknowledge(&mut object, "44");
        object.status = let_go(&object, at(700));
        // The hub is put back once more.
        let later = [sign("m1", "weekly", 60)];
        object.status = Some(with_signs(&object, &later, 50, at(800), at(801)));
        let record = holding(&object).unwrap();
        assert_eq!((record.seq, record.known_seq, record.before.0, record.signs.len()), (60, 50, at(800), 1));
    }

    #[test]
    fn the_list_is_bounded_and_keeps_the_highest() {
        let object = queue();
        let many: Vec<_> = (40..80).map(|seq| sign("m1", &format!("job-{seq}"), seq)).collect();
        let record = with_signs(&object, &many, 37, at(1), at(1)).restored.unwrap();
        assert_eq!((record.signs.len(), record.signs[0].seq, record.seq), (MOST_SIGNS, 79, 79));
    }
}
