use proptest::prelude::*;

use super::*;
use crate::{
    id::{Attempt, HubId, JobKey, JobUid},
    job::{Left, Past, Placement},
    resources::Resources,
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn shown(cluster: &str, job: &str, attempt: u32, seq: u64) -> Shown {
    Shown {
        cluster: ClusterName::from(cluster),
        identity: MemberIdentity::from(cluster),
        namespace: Namespace::from("team"),
        name: RemoteName::from(job),
        uid: RemoteUid::from(job),
        owner: Ownership {
            hub: HubId::from("hub"),
            job: JobUid::from(job),
            key: JobKey { namespace: Namespace::from("team"), name: job.to_owned() },
            attempt: Attempt(attempt),
            seq,
            render_hash: String::new(),
        },
        queue: QueueName::from("etl"),
        created: Some(at(100)),
        over: false,
    }
}

fn placement(cluster: &str, attempt: u32, seq: u64) -> Placement {
    Placement {
        cluster: ClusterName::from(cluster),
        identity: MemberIdentity::from(cluster),
        attempt: Attempt(attempt),
        namespace: Namespace::from("team"),
        name: RemoteName::from("a"),
        uid: None,
        queue: QueueName::from("etl"),
        remote_queue: None,
        seq,
        excluded: Vec::new(),
        at: at(99),
        demand: Resources::default(),
    }
}

fn accounts(seq: u64, created: i64) -> Accounts {
    Accounts::from([(QueueName::from("etl"), Account { seq, created: at(created) })])
}

#[test]
fn only_a_number_that_the_queue_never_gave_out_is_beyond() {
    let seen = shown("m1", "a", 1, 8);
    assert!(seen.is_beyond(&accounts(7, 0)));
    assert!(!seen.is_beyond(&accounts(8, 0)), "what is left of a job whose finalizer was taken away");
    assert!(seen.is_beyond(&accounts(7, 100)), "the queue is as old as it, to the second");
    assert!(!seen.is_beyond(&accounts(7, 101)), "a queue of that name before this one gave it out");
    assert!(!seen.is_beyond(&Accounts::new()), "nothing is placed from a queue that is not there");
    assert!(!Shown { created: None, ..seen }.is_beyond(&accounts(7, 0)));
}

#[test]
fn a_record_knows_its_attempts_by_number_and_place() {
    let record = |attempt: Option<u32>, placement: Option<Placement>| Record {
        attempt: attempt.map(Attempt),
        placement,
        ..Record::default()
    };
    let cases = [
        ("no job", None, 1, false),
        ("never placed", Some(record(None, None)), 1, false),
        ("placed here", Some(record(Some(1), Some(placement("m1", 1, 8)))), 1, true),
        ("placed elsewhere", Some(record(Some(1), Some(placement("m2", 1, 8)))), 1, false),
        ("a later one", Some(record(Some(1), Some(placement("m1", 1, 8)))), 2, false),
        ("an earlier one, wherever", Some(record(Some(2), Some(placement("m2", 2, 8)))), 1, true),
        ("over, and followed by none yet", Some(record(Some(1), None)), 1, true),
        ("the number was taken back", Some(record(Some(1), Some(placement("m2", 2, 8)))), 1, true),
    ];
    for (what, record, attempt, expected) in cases {
        assert_eq!(shown("m1", "a", attempt, 9).is_known_to(record.as_ref()), expected, "{what}");
    }
    let left = Past {
        attempt: Attempt(1),
        cluster: ClusterName::from("m1"),
        identity: MemberIdentity::from("m1"),
        namespace: Namespace::from("team"),
        name: RemoteName::from("a"),
        uid: None,
        at: at(1),
        left: Left::MayRun,
    };
    let moved = Record { past: vec![left], ..record(Some(1), Some(placement("m2", 1, 8))) };
    assert!(shown("m1", "a", 1, 7).is_known_to(Some(&moved)), "left behind knowingly");
}

#[test]
fn jobs_up_to_the_moment_hold() {
    let restored = Restored { before: at(5), seq: 9, seen: String::new() };
    assert_eq!([4, 5, 6].map(|second| restored.holds(at(second))), [true, true, false]);
}

/// What a hub has on record.
#[derive(Clone, Debug, Default)]
struct Hub {
    /// Written now and then.
    checkpoint: u64,
    jobs: BTreeMap<u32, Record>,
}

impl Hub {
    fn account(&self) -> u64 {
        let recorded = self.jobs.values().filter_map(|record| Some(record.placement.as_ref()?.seq));
        recorded.max().unwrap_or(0).max(self.checkpoint)
    }
}

/// A hub and its members in operation.
#[derive(Clone, Debug, Default)]
struct World {
    hub: Hub,
    seq: u64,
    applications: Vec<Shown>,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    /// The next attempt of a job is placed and created.
    Place(u32, bool),
    /// It is over, and waits for another attempt.
    Retry(u32),
    /// It is deleted as jobs are: its application goes first.
    Delete(u32),
    /// It is gone although its application runs: somebody took the finalizer away. The account was written since.
    Force(u32),
    /// The account is written.
    Checkpoint,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..6_u32, any::<bool>()).prop_map(|(job, there)| Event::Place(job, there)),
        1 => (0..6_u32).prop_map(Event::Retry),
        1 => (0..6_u32).prop_map(Event::Delete),
        1 => (0..6_u32).prop_map(Event::Force),
        1 => Just(Event::Checkpoint),
    ]
}

impl World {
    fn happen(&mut self, event: Event) {
        match event {
            Event::Place(number, there) => {
                let record = self.hub.jobs.entry(number).or_default();
                if record.placement.is_some() {
                    return;
                }
                let attempt = record.attempt.map_or(Attempt::FIRST, Attempt::next);
                let cluster = if there { "m1" } else { "m2" };
                self.seq += 1;
                record.attempt = Some(attempt);
                record.placement = Some(placement(cluster, attempt.0, self.seq));
                self.applications.push(shown(cluster, &number.to_string(), attempt.0, self.seq));
            }
            Event::Retry(number) => {
                if let Some(record) = self.hub.jobs.get_mut(&number) {
                    record.placement = None;
                }
            }
            Event::Delete(number) => {
                self.hub.jobs.remove(&number);
                self.applications.retain(|one| one.owner.job != JobUid::from(number.to_string().as_str()));
            }
            Event::Force(number) => {
                self.hub.checkpoint = self.seq;
                self.hub.jobs.remove(&number);
            }
            Event::Checkpoint => self.hub.checkpoint = self.seq,
        }
    }

    /// What a leader that begins now on these records takes for signs.
    fn signs(&self, hub: &Hub) -> Vec<u64> {
        let accounts = accounts(hub.account(), 0);
        let record = |one: &Shown| hub.jobs.get(&one.owner.job.as_str().parse().unwrap());
        let signs =
            self.applications.iter().filter(|one| one.is_beyond(&accounts) && !one.is_known_to(record(one)));
        signs.map(|one| one.owner.seq).collect()
    }
}

proptest! {
    /// Whatever happens and whenever a leader begins, no sign is seen; and on records of an earlier moment it sees just
    /// what was placed since and is still there.
    #[test]
    fn a_sign_is_seen_after_a_restore_and_never_without(
        before in prop::collection::vec(event(), 0..20),
        after in prop::collection::vec(event(), 0..20),
    ) {
        let mut world = World::default();
        for event in before {
            world.happen(event);
            prop_assert_eq!(world.signs(&world.hub), Vec::<u64>::new());
        }
        let snapshot = world.clone();
        for event in after {
            // A job of a name that was used before has another uid.
            let event = match event {
                Event::Place(number, there) if !world.hub.jobs.contains_key(&number) => Event::Place(number + 100, there),
                other => other,
            };
            world.happen(event);
            prop_assert_eq!(world.signs(&world.hub), Vec::<u64>::new());
        }
        let since: Vec<_> =
            world.applications.iter().map(|one| one.owner.seq).filter(|seq| *seq > snapshot.seq).collect();
        prop_assert_eq!(world.signs(&snapshot.hub), since);
    }
}
