//! Four queues over two members, as `docs/homemax.md` tells it: guarantees before priority, what is left by priority, fair
//! by namespace or first come first served inside. The manifests are those of the page, applied as they are.
//!
//! All jobs are alike, 2 cpu and 6.75 GiB, and end when the test says so; 16 of them fill a member.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod scene;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use spark_router_api::RoutedSparkJob;
use spark_router_testkit::operator::{Options, ScriptedOperator};
use spark_router_testkit::router::{Installation, jobs, objects};
use spark_router_testkit::{Cluster, Fleet, manifest};

use scene::{PATIENCE, Watched, crds_only, member, patch, queued, sure};

const MEMBERS: [&str; 2] = ["east", "west"];
/// Jobs that fill a member.
const FULL: usize = 16;

const ANALYTICS: &str = "analytics";
const MARKETING: &str = "marketing";
const SCIENCE: &str = "datascience";
const DEFAULT: &str = "default";
/// From the highest priority to the lowest, with the namespaces that submit, and how many jobs each.
const QUEUES: [(&str, &[&str], usize); 4] = [
    (ANALYTICS, &["analytics"], 24),
    (MARKETING, &["marketing-campaigns", "marketing-segments"], 12),
    (SCIENCE, &["science-forecast", "science-pricing"], 6),
    (DEFAULT, &["logistics", "stores"], 6),
];

fn files(names: &[&str]) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/homemax");
    names.iter().map(|name| folder.join(name)).collect()
}

/// The hub, and the page's jobs to make more like them.
struct Scene<'a> {
    fleet: &'a Fleet,
    hub: &'a Cluster,
    installation: Installation<'a>,
    examples: BTreeMap<String, Value>,
    started: Instant,
}

/// The jobs of the hub at one moment, by name.
type Jobs = BTreeMap<String, RoutedSparkJob>;

fn is_active(job: &RoutedSparkJob) -> bool {
    let placed = job.status.as_ref().is_some_and(|status| status.placement.is_some());
    placed && !jobs::is_finished(job)
}

/// The names of a queue's active jobs, in the order in which they were created.
fn active(all: &Jobs, queue: &str) -> Vec<String> {
    let of_queue = all.values().filter(|job| job.spec.queue == queue && is_active(job));
    of_queue.map(kube::ResourceExt::name_any).collect()
}

/// How many jobs each queue has active, from the highest priority to the lowest.
fn held(all: &Jobs) -> [usize; 4] {
    QUEUES.map(|(queue, ..)| active(all, queue).len())
}

/// How many jobs each namespace of a queue has active.
fn by_namespace(all: &Jobs, queue: &str) -> Vec<usize> {
    let (_, namespaces, _) = QUEUES.iter().find(|(name, ..)| *name == queue).unwrap();
    let count = |namespace: &str| {
        let of_it = |job: &&RoutedSparkJob| job.namespace().as_deref() == Some(namespace);
        all.values().filter(|job| job.spec.queue == queue && is_active(job)).filter(of_it).count()
    };
    namespaces.iter().map(|namespace| count(namespace)).collect()
}

fn assert_fair(all: &Jobs, queue: &str) {
    let counts = by_namespace(all, queue);
    assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{queue}: {counts:?}");
}

/// The active jobs of a queue are its oldest ones, however many have ended.
fn assert_first_come(all: &Jobs, queue: &str, names: &[String]) {
    assert_eq!(active(all, queue), names, "{queue} is first come, first served");
}

impl Scene<'_> {
    /// Submits jobs like the page's one, which run until they are told to end; one after the other, so that their names
    /// order them by age.
    async fn submit(&self, queue: &str, namespace: &str, names: &[String]) {
        for name in names {
            let mut job = self.examples[queue].clone();
            objects::merge(&mut job, json!({"metadata": {"name": name, "namespace": namespace}}));
            objects::annotate(&mut job["spec"]["template"], "script", "hang-running");
            sure(self.installation.submit(&job).await);
        }
    }

    /// Waits until so many jobs run and so many have ended beside those of the page, and says who has what.
    async fn settled(&self, what: &str, running: usize, ended: usize) -> Jobs {
        let all = jobs::wait_for_hub(self.hub, what, PATIENCE, |all| {
            let active: Vec<_> = all.values().filter(|job| is_active(job)).collect();
            let over = all.values().filter(|job| jobs::is_finished(job)).count();
            active.len() == running
                && active.iter().all(|job| jobs::phase(job) == "Running")
                && over == ended + QUEUES.len()
        });
        let all = sure(all.await);
        for member in MEMBERS {
            let on_it = all.values().filter(|job| is_active(job) && jobs::cluster(job) == member).count();
            assert!(on_it <= FULL, "{on_it} jobs are on {member}, which has room for {FULL}");
        }
        let told: Vec<_> =
            QUEUES.map(|(queue, ..)| format!("{queue} {:?}", by_namespace(&all, queue))).to_vec();
        eprintln!("{:>6.1?}: {what}: {}", self.started.elapsed(), told.join(", "));
        all
    }

    /// As `kubectl cordon` is for a node; returns when the router has seen it.
    async fn cordon(&self, name: &str, unschedulable: bool) {
        patch(self.hub, "mc", "", name, json!({"spec": {"unschedulable": unschedulable}})).await;
        member(self.hub, name, "seen as it is", |member| {
            let seen = member.status.as_ref().and_then(|status| status.observed_generation);
            seen == member.metadata.generation
        })
        .await;
    }

    /// The operator's last word on the first few of a queue's running jobs.
    async fn end(&self, all: &Jobs, queue: &str, count: usize) {
        let end = json!({"status": {"applicationState": {"state": "COMPLETED"}, "terminationTime": "2026-01-01T00:00:00Z"}});
        let names = active(all, queue);
        assert!(names.len() >= count, "only {names:?} run in {queue}");
        for name in &names[..count] {
            let placement = all[name].status.as_ref().unwrap().placement.as_ref().unwrap();
            let member = self.fleet.member(&placement.cluster);
            let applications: Api<DynamicObject> =
                jobs::applications_in(member.client(), &placement.namespace);
            let patch = Patch::Merge(&end);
            applications.patch_status(&placement.remote_name, &PatchParams::default(), &patch).await.unwrap();
        }
    }
}

/// `analytics-00`, `analytics-01` ...; with the number of the namespace before, so that they order by age in a queue.
fn names(queue: &str, namespace: usize, numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("{queue}-{namespace}-{number:02}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn guarantees_come_first_then_priority_and_queues_are_fair_inside() {
    let started = Instant::now();
    let builder = MEMBERS.iter().fold(Fleet::builder().hub(), |it, name| it.member_with(name, crds_only()));
    let fleet = sure(builder.start().await);
    let hub = fleet.hub();
    let installation = sure(Installation::new(&fleet).await);
    let mut operators = Vec::new();
    for name in MEMBERS {
        sure(installation.connect(name).await);
        operators.push(ScriptedOperator::start(fleet.member(name).client(), Options::default()));
    }
    for cluster in fleet.clusters() {
        sure(cluster.apply_files(&files(&["namespaces.yaml"])).await);
    }
    sure(hub.apply_files(&files(&["members.yaml", "queues.yaml"])).await);
    let router = Watched::start(&installation, &fleet, &[], &MEMBERS).await;

    // The page's own jobs run and end.
    let applied = sure(hub.apply_files(&files(&["jobs.yaml"])).await);
    assert_eq!(applied.len(), QUEUES.len());
    let text = std::fs::read_to_string(&files(&["jobs.yaml"])[0]).unwrap();
    let mut examples = BTreeMap::new();
    for object in sure(manifest::parse(&text)) {
        let object = serde_json::to_value(object).unwrap();
        examples.insert(object["spec"]["queue"].as_str().unwrap().to_owned(), object);
    }
    let scene = Scene { fleet: &fleet, hub, installation, examples, started };
    let all = scene.settled("the page's jobs have ended", 0, 0).await;
    for job in all.values() {
        assert_eq!(jobs::phase(job), "Succeeded", "{}", jobs::describe(job));
    }

    everybody_at_once(&scene).await;
    one_asks_for_less(&scene).await;
    one_comes_late(&scene).await;
    sure(router.0.check());
    sure(fleet.check());
}

/// All queues ask for more than there is, and nobody was there first: the members take nothing until all have asked.
async fn everybody_at_once(scene: &Scene<'_>) {
    for member in MEMBERS {
        scene.cordon(member, true).await;
    }
    for (queue, namespaces, each) in QUEUES {
        for (number, namespace) in namespaces.iter().enumerate() {
            scene.submit(queue, namespace, &names(queue, number, 0..each)).await;
        }
    }
    let cordoned = jobs::wait_for_hub(scene.hub, "cordoned members", PATIENCE, |all| {
        all.values().filter(|job| jobs::reason(job) == "NoClusterReady").count() == 24 + 24 + 12 + 12
    });
    sure(cordoned.await);

    // One member has room for all guarantees (5, 4, 3 and 3 jobs) and one job more.
    scene.cordon(MEMBERS[0], false).await;
    let all = scene.settled("all guarantees, then the highest priority", FULL, 0).await;
    assert_eq!(held(&all), [5 + 1, 4, 3, 3]);
    assert_fair(&all, MARKETING);
    assert_fair(&all, SCIENCE);
    assert_first_come(&all, ANALYTICS, &names(ANALYTICS, 0, 0..6));
    // The older namespace has all of it, where the others share.
    assert_first_come(&all, DEFAULT, &names(DEFAULT, 0, 0..3));

    // The other member is all for what is left over.
    scene.cordon(MEMBERS[1], false).await;
    let all = scene.settled("what is left, by priority", 2 * FULL, 0).await;
    assert_eq!(held(&all), [6 + 16, 4, 3, 3]);
    assert_first_come(&all, ANALYTICS, &names(ANALYTICS, 0, 0..22));
    for name in names(ANALYTICS, 0, 22..24) {
        queued(scene.hub, "analytics", &name, "NoCapacity").await;
    }
}

/// A queue that asks for less than it may have leaves the rest to others, by their priority.
async fn one_asks_for_less(scene: &Scene<'_>) {
    for name in names(ANALYTICS, 0, 22..24) {
        sure(scene.hub.kubectl(&["delete", "rsj", &name, "-n", "analytics"]).await);
    }
    let all = scene.settled("two analytics jobs less wait", 2 * FULL, 0).await;
    scene.end(&all, ANALYTICS, 17).await;
    let all = scene.settled("analytics asks for its guarantee only", 2 * FULL, 17).await;
    assert_eq!(held(&all), [5, 4 + 17, 3, 3]);
    assert_fair(&all, MARKETING);

    // Nobody waits in marketing any more: the next priority has its turn.
    scene.end(&all, ANALYTICS, 5).await;
    let all = scene.settled("analytics asks for nothing", 2 * FULL, 22).await;
    assert_eq!(held(&all), [0, 24, 3 + 2, 3]);
    assert_fair(&all, SCIENCE);
}

/// What was left to others is given back as their jobs end: first the guarantee, then by priority.
async fn one_comes_late(scene: &Scene<'_>) {
    let late = names(ANALYTICS, 1, 0..8);
    scene.submit(ANALYTICS, "analytics", &late).await;
    let waiting = jobs::wait_for_hub(scene.hub, "analytics waits", PATIENCE, |all| {
        late.iter().all(|name| all.get(name).is_some_and(|job| jobs::reason(job) == "NoCapacity"))
    });
    sure(waiting.await);
    // Nothing that runs is stopped for it.
    let all = scene.settled("analytics comes late", 2 * FULL, 22).await;
    assert_eq!(held(&all), [0, 24, 5, 3]);

    scene.end(&all, MARKETING, 3).await;
    let all = scene.settled("three jobs have ended", 2 * FULL, 25).await;
    assert_eq!(held(&all), [3, 21, 5, 3]);
    scene.end(&all, MARKETING, 2).await;
    let all = scene.settled("analytics has its guarantee again", 2 * FULL, 27).await;
    assert_eq!(held(&all), [5, 19, 5, 3]);
    scene.end(&all, SCIENCE, 1).await;
    let all = scene.settled("and goes on by priority", 2 * FULL, 28).await;
    assert_eq!(held(&all), [6, 19, 4, 3]);
    assert_first_come(&all, ANALYTICS, &late[..6]);

    // Below its guarantee the queue of the lowest priority goes before that of the highest.
    scene.end(&all, DEFAULT, 1).await;
    let all = scene.settled("default keeps its guarantee", 2 * FULL, 29).await;
    assert_eq!(held(&all), [6, 19, 4, 3]);
    assert_first_come(&all, DEFAULT, &names(DEFAULT, 0, 1..4));
}
