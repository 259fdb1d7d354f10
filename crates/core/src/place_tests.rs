use super::*;
use crate::id::JobUid;

fn member() -> MemberFacts {
    MemberFacts {
        identity: Some(MemberIdentity::from("id")),
        link: LinkState::Ready,
        fault: None,
        cordoned: false,
        labels: BTreeMap::from([("region".to_owned(), "eu".to_owned())]),
        spark_versions: vec!["3.5".to_owned(), "4.0.1".to_owned()],
        capacity: Capacity { jobs: Some(2), cpu_milli: Some(8000), ..Capacity::default() },
        namespace: NamespaceRule::SameAsJob,
        blocked: Vec::new(),
    }
}

fn request() -> Request {
    Request {
        queue: QueueName::from("etl"),
        priority: 0,
        constraints: Constraints::default(),
        spark_version: "3.5.4".to_owned(),
        demand: Resources { jobs: 1, pods: 2, cpu_milli: 2000, memory_bytes: 1 << 30 },
        spec_hash: String::new(),
    }
}

fn queue() -> QueueFacts {
    QueueFacts {
        name: QueueName::from("etl"),
        routes: vec![Route {
            clusters: RouteClusters::Names(vec![ClusterName::from("a")]),
            weight: 50,
            capacity: Capacity { cpu_milli: Some(6000), ..Capacity::default() },
        }],
    }
}

struct Case {
    member: MemberFacts,
    request: Request,
    queue: QueueFacts,
    ledger: Ledger,
    refused: Vec<Refused>,
    backing_off: bool,
}

fn verdict(change: impl FnOnce(&mut Case)) -> Verdict {
    let mut case = Case {
        member: member(),
        request: request(),
        queue: queue(),
        ledger: Ledger::default(),
        refused: Vec::new(),
        backing_off: false,
    };
    change(&mut case);
    let namespace = Namespace::from("team-a");
    let question = Question {
        request: &case.request,
        namespace: &namespace,
        refused: &case.refused,
        now: Timestamp::UNIX_EPOCH,
    };
    let fleet = BTreeMap::from([(ClusterName::from("a"), case.member)]);
    weigh(question, &case.queue, &fleet, &case.ledger, |_| case.backing_off).remove(0)
}

fn reason(change: impl FnOnce(&mut Case)) -> &'static str {
    verdict(change).exclusion.map_or("-", |exclusion| exclusion.reason())
}

#[test]
fn each_exclusion_has_its_reason() {
    let later = Timestamp::from_second(60).unwrap();
    assert_eq!(reason(|_| ()), "-");
    assert_eq!(reason(|c| c.queue.routes.clear()), "NoRoute");
    assert_eq!(reason(|c| c.request.constraints.names = vec![ClusterName::from("b")]), "NotNamed");
    assert_eq!(
        reason(|c| c.request.constraints.labels = BTreeMap::from([("region".into(), "us".into())])),
        "SelectorMismatch"
    );
    assert_eq!(reason(|c| c.request.spark_version = "3.50.1".into()), "SparkVersion");
    assert_eq!(reason(|c| c.request.spark_version = "4.0".into()), "SparkVersion");
    assert_eq!(reason(|c| c.member.spark_versions.clear()), "-");
    assert_eq!(reason(|c| c.queue.routes[0].weight = 0), "WeightZero");
    assert_eq!(reason(|c| c.member.cordoned = true), "Cordoned");
    assert_eq!(reason(|c| c.member.link = LinkState::Connecting), "NotReady");
    assert_eq!(reason(|c| c.member.identity = None), "NotReady");
    assert_eq!(reason(|c| c.member.fault = Some(("CrdMissing".into(), String::new()))), "NotReady");
    assert_eq!(reason(|c| c.member.link = LinkState::Suspect { since: later }), "Suspect");
    assert_eq!(reason(|c| c.member.link = LinkState::Lost { since: later }), "Lost");
    assert_eq!(reason(|c| c.backing_off = true), "BackingOff");
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
    let fill = |c: &mut Case, queue: &str, cpu_milli| {
        let demand = Resources { jobs: 1, pods: 1, cpu_milli, memory_bytes: 0 };
        c.ledger.reserve(JobUid::from("x"), ClusterName::from("a"), QueueName::from(queue), demand);
    };
    let text = |change: &dyn Fn(&mut Case)| verdict(|c| change(c)).exclusion.unwrap().to_string();
    assert_eq!(text(&|c| fill(c, "etl", 5000)), "the queue's share there of 6 cpu is in use");
    assert_eq!(text(&|c| fill(c, "other", 7000)), "its capacity of 8 cpu is in use");
    assert_eq!(
        text(&|c| c.request.demand.cpu_milli = 7000),
        "the job needs 7 cpu, and the queue's share there is only 6 cpu"
    );
    assert_eq!(reason(|c| fill(c, "other", 5000)), "-");
    assert_eq!(reason(|c| c.request.demand.cpu_milli = 9000), "NeverFits");
}

#[test]
fn what_the_job_rules_out_comes_before_what_the_member_lacks() {
    assert_eq!(
        reason(|c| {
            c.member.link = LinkState::Connecting;
            c.request.demand.cpu_milli = 90_000;
        }),
        "NeverFits"
    );
}
