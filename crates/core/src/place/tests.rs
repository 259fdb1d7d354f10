use std::collections::BTreeSet;

use super::*;
use crate::{
    id::{MemberIdentity, QueueName},
    pace::Pace,
};
use std::collections::BTreeMap;

fn member() -> MemberFacts {
    MemberFacts {
        labels: BTreeMap::from([("region".to_owned(), "eu".to_owned())]),
        spark_versions: ["3.5".to_owned(), "4.0.1".to_owned()].into(),
        capacity: Capacity { jobs: Some(2), cpu_milli: Some(8000), ..Capacity::default() },
        pace: Pace { per_minute: 60, burst: 20 },
        ..MemberFacts::ready(MemberIdentity::from("id"))
    }
}

fn route() -> Route {
    let capacity = Capacity { cpu_milli: Some(6000), ..Capacity::default() };
    Route { capacity, ..Route::to([ClusterName::from("a")], 50) }
}

struct Nothing;

impl Unseen for Nothing {
    fn in_namespace(&self, _: &Namespace, _: Timestamp) -> Resources {
        Resources::default()
    }

    fn in_remote_queue(&self, _: &str, _: Timestamp) -> Resources {
        Resources::default()
    }

    fn in_cluster_queue(&self, _: &str, _: Timestamp) -> Resources {
        Resources::default()
    }
}

struct Case {
    constraints: Constraints,
    spark_version: Arc<str>,
    expressed: Expressed,
    below: Option<&'static str>,
    demand: Resources,
    refused: Vec<(ClusterName, Arc<str>)>,
    member: MemberFacts,
    route: Route,
    paused: bool,
    on_member: Resources,
    on_route: Resources,
    backing_off: bool,
    broken_until: Option<Timestamp>,
    held_by: Option<JobKey>,
}

fn exclusion(change: impl FnOnce(&mut Case)) -> Option<Exclusion> {
    let mut case = Case {
        constraints: Constraints::default(),
        spark_version: "3.5.4".into(),
        expressed: Expressed::default(),
        below: None,
        demand: Resources { jobs: 1, pods: 2, cpu_milli: 2000, memory_bytes: 1 << 30 },
        refused: Vec::new(),
        member: member(),
        route: route(),
        paused: false,
        on_member: Resources::default(),
        on_route: Resources::default(),
        backing_off: false,
        broken_until: None,
        held_by: None,
    };
    change(&mut case);
    let Case { constraints, spark_version, expressed, demand, refused, member, route, .. } = &case;
    let namespace = Namespace::from("team-a");
    let question = Question {
        constraints,
        spark_version,
        expressed,
        demand: *demand,
        namespace: &namespace,
        refused,
        now: Timestamp::UNIX_EPOCH,
    };
    let (cluster, queue) = (ClusterName::from("a"), QueueName::from("etl"));
    let remote_queue =
        BatchScheduler::remote_queue(member.batch_scheduler, &queue, route.remote_queue.as_ref(), case.below);
    judge(
        &question,
        &Site {
            cluster: &cluster,
            member,
            signals: &Signals::default(),
            route,
            paused: case.paused,
            remote_queue: &remote_queue,
            limits: [
                (Whose::Queue, &Capacity::default(), Resources::default()),
                (Whose::Member, &member.capacity, case.on_member),
                (Whose::Route, &route.capacity, case.on_route),
            ],
            unseen: &Nothing,
            backing_off: case.backing_off,
            broken_until: case.broken_until,
            held_by: case.held_by.as_ref(),
        },
    )
    .err()
}

fn reason(change: impl FnOnce(&mut Case)) -> &'static str {
    exclusion(change).map_or("-", |exclusion| exclusion.reason())
}

#[test]
fn each_exclusion_has_its_reason() {
    let later = Timestamp::from_second(60).unwrap();
    assert_eq!(reason(|_| ()), "-");
    assert_eq!(reason(|c| c.constraints.names = vec![ClusterName::from("b")]), "NotNamed");
    assert_eq!(
        reason(|c| c.constraints.labels = BTreeMap::from([("region".into(), "us".into())])),
        "SelectorMismatch"
    );
    assert_eq!(reason(|c| c.spark_version = "3.50.1".into()), "SparkVersion");
    assert_eq!(reason(|c| c.spark_version = "4.0".into()), "SparkVersion");
    assert_eq!(reason(|c| c.member.spark_versions = Arc::new([])), "-");
    assert_eq!(reason(|c| c.route.weight = 0), "WeightZero");
    assert_eq!(reason(|c| c.paused = true), "QueuePaused");
    let taint = Taint { key: "phi".into(), value: "yes".into() };
    assert_eq!(reason(|c| c.member.taints = vec![taint.clone()]), "Taint");
    let toleration = Toleration { key: Some("phi".into()), value: None };
    assert_eq!(
        reason(|c| {
            c.member.taints = vec![taint];
            c.constraints.tolerations = vec![toleration];
        }),
        "-"
    );
    assert_eq!(reason(|c| c.below = Some("daily")), "Inexpressible");
    assert_eq!(reason(|c| c.member.backend = Some("unheard of".into())), "NotReady");
    let asked: Arc<BTreeSet<Arc<str>>> = Arc::new(["plain".into()].into());
    let not = Inexpressible::new("spec.template.spec.volumes", "it has no disks");
    let not = BTreeMap::from([("plain".into(), not)]);
    let verdict = |c: &mut Case, not| {
        c.member.backend = Some("plain".into());
        c.expressed = Expressed::new(asked.clone(), not);
    };
    assert_eq!(reason(|c| verdict(c, BTreeMap::new())), "-");
    let shown = exclusion(|c| verdict(c, not)).unwrap();
    assert_eq!(shown.to_string(), "cannot do spec.template.spec.volumes: it has no disks");
    assert_eq!(
        reason(|c| c.refused = vec![(ClusterName::from("a"), "RejectedByMember".into())]),
        "RefusedThisJob"
    );
    let by = JobKey { namespace: Namespace::from("team-b"), name: "big".into() };
    assert_eq!(reason(|c| c.held_by = Some(by)), "Held");
    assert_eq!(reason(|c| c.member.cordoned = true), "Cordoned");
    assert_eq!(reason(|c| c.member.link = LinkState::Connecting), "NotReady");
    assert_eq!(reason(|c| c.member.identity = None), "NotReady");
    assert_eq!(reason(|c| c.member.fault = Some(("CrdMissing".into(), "".into()))), "NotReady");
    assert_eq!(reason(|c| c.member.link = LinkState::Suspect { since: later }), "Suspect");
    assert_eq!(reason(|c| c.member.link = LinkState::Lost { since: later }), "Lost");
    assert_eq!(reason(|c| c.backing_off = true), "BackingOff");
    assert_eq!(reason(|c| c.broken_until = Some(later)), "BreakerOpen");
    let broken = exclusion(|c| c.broken_until = Some(later)).unwrap();
    assert!(!broken.needs_a_change() && !broken.to_string().contains("1970"), "{broken}");
    assert!(
        broken.in_numbers().ends_with("the next one not before 1970-01-01T00:01:00Z"),
        "{}",
        broken.in_numbers()
    );
    assert_eq!(
        reason(|c| c.member.blocked = vec![(Namespace::from("team-a"), "Forbidden".into(), later)]),
        "NamespaceBlocked"
    );
    assert_eq!(
        reason(|c| c.member.blocked = vec![(Namespace::from("team-b"), "Forbidden".into(), later)]),
        "-"
    );
    assert_eq!(
        reason(|c| c.member.blocked =
            vec![(Namespace::from("team-a"), "Forbidden".into(), Timestamp::UNIX_EPOCH)]),
        "-",
        "a block ends"
    );
}

#[test]
fn room_is_the_members_and_the_routes() {
    let cpu = |cpu_milli| Resources { jobs: 1, pods: 1, cpu_milli, memory_bytes: 0 };
    let text = |change: &dyn Fn(&mut Case)| exclusion(|c| change(c)).unwrap().to_string();
    assert_eq!(
        text(&|c| (c.on_member, c.on_route) = (cpu(5000), cpu(5000))),
        "the queue's share there of 6 cpu is in use"
    );
    assert_eq!(text(&|c| c.on_member = cpu(7000)), "its capacity of 8 cpu is in use");
    assert_eq!(
        text(&|c| c.demand.cpu_milli = 7000),
        "the job needs 7 cpu, and the queue's share there is only 6 cpu"
    );
    assert_eq!(reason(|c| c.on_member = cpu(5000)), "-");
    assert_eq!(reason(|c| c.demand.cpu_milli = 9000), "NeverFits");
}

#[test]
fn what_the_job_rules_out_comes_before_what_the_member_lacks() {
    assert_eq!(
        reason(|c| {
            c.member.link = LinkState::Connecting;
            c.demand.cpu_milli = 90_000;
        }),
        "NeverFits"
    );
}
