//! A router that is killed fifty times, at the worst moments, loses no job and runs none twice.
//!
//! Two hundred jobs go through while it dies: at each cut between two of its calls, proved from the objects, and at
//! arbitrary moments. The witnesses are the members' audit logs and the operators, never the router.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

#[path = "crash/cut.rs"]
mod cut;
mod scene;
#[path = "crash/stage.rs"]
mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use kube::ResourceExt as _;
use spark_router_api::RoutedSparkJob;
use spark_router_testkit::Fleet;
use spark_router_testkit::audit::Mark;
use spark_router_testkit::router::oracle::RemoteApplications;
use spark_router_testkit::router::{jobs, objects};

use cut::{Cut, PLAN};
use scene::{crds_only, creates, sure};
use stage::{MEMBERS, Stage, TEAM, Trap};

const JOBS: usize = 200;
const KILLS: usize = 50;
/// The victim of the kill and those that are under way beside it.
const JOBS_PER_KILL: usize = JOBS / KILLS;

/// Same seed, same order of cuts and lengths of jobs. `SPARK_ROUTER_TEST_SEED` chooses another.
const SEED: u64 = 20_260_731;

/// After the last kill: deletions wait until no create of an earlier life can take effect any more.
const END: Duration = Duration::from_secs(90);

/// SplitMix64.
struct Dice(u64);

impl Dice {
    /// From 0 to `sides` - 1.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// All cuts of the plan, in an arbitrary order.
fn shuffled(dice: &mut Dice) -> Vec<Cut> {
    let mut cuts: Vec<Cut> = PLAN.iter().flat_map(|(cut, times)| std::iter::repeat_n(*cut, *times)).collect();
    for last in (1..cuts.len()).rev() {
        let other = dice.roll(u64::try_from(last + 1).unwrap());
        cuts.swap(last, usize::try_from(other).unwrap());
    }
    cuts
}

/// What is known of the jobs that were submitted, by uid.
#[derive(Default)]
struct Book {
    names: BTreeMap<String, String>,
    failing: BTreeSet<String>,
    deleted: BTreeSet<String>,
}

impl Book {
    fn note(&mut self, job: &RoutedSparkJob) -> String {
        let uid = job.uid().unwrap();
        self.names.insert(uid.clone(), job.name_any());
        uid
    }
}

/// Those that go on beside the victim.
async fn bystanders(stage: &Stage<'_>, book: &mut Book, dice: &mut Dice, round: usize) {
    for number in 1..JOBS_PER_KILL {
        let run = Duration::from_millis(200 + dice.roll(4000));
        let fails = dice.roll(8) == 0;
        let name = format!("r{round:02}-{number}");
        let edit = |template: &mut serde_json::Value| {
            if fails {
                objects::annotate(template, "script", "fail");
            }
        };
        let uid = book.note(&stage.submit(&name, run, edit).await);
        if fails {
            book.failing.insert(uid);
        }
    }
}

/// Brings the router to the cut; returns with the call of the cut in the trap.
async fn lead_to(
    cut: Cut,
    stage: &Stage<'_>,
    dice: &mut Dice,
    book: &mut Book,
    victim: &str,
) -> Option<Trap> {
    if cut.deletes_before() {
        let uid = book.note(&stage.submit(victim, cut.run(), |_| {}).await);
        stage.running(victim).await;
        let trap = cut.trap(stage, victim);
        stage.delete(victim).await;
        book.deleted.insert(uid);
        return caught(stage, trap, cut, victim).await;
    }
    let trap = cut.trap(stage, victim);
    book.note(&stage.submit(victim, cut.run(), |_| {}).await);
    if trap.is_none() {
        stage.hub_calls(1 + dice.roll(60), Duration::from_secs(2)).await;
    }
    caught(stage, trap, cut, victim).await
}

async fn caught(stage: &Stage<'_>, trap: Option<Trap>, cut: Cut, victim: &str) -> Option<Trap> {
    let trap = trap?;
    stage.caught(&trap, &format!("{victim} at {cut:?}")).await;
    Some(trap)
}

/// The next life begins. What is late comes when it can do the most harm.
async fn next_life(stage: &mut Stage<'_>, cut: Cut, trap: Option<Trap>, victim: &str) {
    let Some(trap) = trap else { return sure(stage.router.0.restart()) };
    stage.disarm(&trap);
    let own = cut.trap_of_next_life(stage, victim);
    if own.is_none() {
        trap.gate.drop_waiting();
    }
    sure(stage.router.0.restart());
    if let Some(own) = caught(stage, own, cut, victim).await {
        stage.disarm(&own);
        let answer = stage.let_through(&trap).await;
        assert_eq!(answer, cut.answer_to_late_call(), "the late call of {victim} at {cut:?}");
        own.gate.open();
    }
}

fn is_open(job: &RoutedSparkJob) -> bool {
    !jobs::is_finished(job) || job.metadata.deletion_timestamp.is_some()
}

/// The applications that there have ever been, by the uid of their job: uid and member of each.
///
/// From the members' audit logs, and from what their operators saw: when the router dies, API servers drop what it asked
/// for in that moment, and the log of a create that was committed and then dropped has an error instead of a uid.
fn what_ran(stage: &Stage<'_>, book: &Book) -> BTreeMap<String, BTreeMap<String, &'static str>> {
    let mut ran: BTreeMap<String, BTreeMap<String, &'static str>> = BTreeMap::new();
    let remote = RemoteApplications::read(stage.fleet.clusters()).unwrap();
    assert!(remote.max_per_job() < 2, "run twice: {:?}", remote.repeated().collect::<Vec<_>>());
    let mut unheard = 0;
    for (uid, name) in &book.names {
        let mine = ran.entry(uid.clone()).or_default();
        for application in remote.of(uid) {
            let (member, _) = MEMBERS.iter().find(|(name, _)| *name == application.cluster).unwrap();
            mine.insert(application.uid.clone(), *member);
        }
        unheard += usize::from(mine.is_empty());
        for (operator, (member, _)) in stage.operators.iter().zip(MEMBERS) {
            let prefix = format!("{name}-");
            let seen = operator.seen().into_iter().filter(|(_, seen)| seen.name.starts_with(&prefix));
            mine.extend(seen.map(|(application, _)| (application, member)));
        }
    }
    eprintln!(
        "{} applications by the audit logs; {unheard} creates were committed and then dropped",
        remote.created()
    );
    ran
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_kills_lose_no_job_and_run_none_twice() {
    let started = Instant::now();
    let mut builder = Fleet::builder().hub();
    for (name, _) in MEMBERS {
        builder = builder.member_with(name, crds_only());
    }
    let fleet = sure(builder.start().await);
    let mut stage = Stage::set(&fleet).await;
    eprintln!("{:.1?}: the router and its members are ready", started.elapsed());

    let seed = std::env::var("SPARK_ROUTER_TEST_SEED").map_or(SEED, |text| text.parse().unwrap());
    eprintln!("seed {seed}");
    let (mut dice, mut book) = (Dice(seed), Book::default());
    let mut shown: BTreeMap<Cut, usize> = BTreeMap::new();
    let mut with_open = 0;
    let cuts = shuffled(&mut dice);
    assert_eq!(cuts.len(), KILLS);
    for (round, cut) in cuts.into_iter().enumerate() {
        let began = Instant::now();
        bystanders(&stage, &mut book, &mut dice, round).await;
        let victim = format!("r{round:02}-victim");
        let trap = lead_to(cut, &stage, &mut dice, &mut book, &victim).await;
        sure(stage.router.0.kill());

        // Nobody works for the hub now: what there is, is what the router left.
        let all = stage.jobs().await;
        let open = all.iter().filter(|job| is_open(job)).count();
        with_open += usize::from(open > 0);
        let job = all.iter().find(|job| job.name_any() == victim).unwrap();
        let application = stage.application(job).await;
        assert!(
            cut.is_shown_by(job, application.as_ref()),
            "killed elsewhere than at {cut:?}: {}, {application:?}",
            jobs::describe(job)
        );
        *shown.entry(cut).or_default() += 1;
        if cut.deletes_after() {
            book.deleted.insert(job.uid().unwrap());
            stage.delete(&victim).await;
        }
        next_life(&mut stage, cut, trap, &victim).await;
        eprintln!(
            "{:.1?}: kill {:2} at {cut:?}, {open} jobs open ({:.1?})",
            started.elapsed(),
            round + 1,
            began.elapsed()
        );
    }

    let expected = JOBS - book.deleted.len();
    let ended = |jobs: &BTreeMap<String, RoutedSparkJob>| {
        jobs.len() == expected && jobs.values().all(|job| !is_open(job))
    };
    let all = sure(jobs::wait_for_all(fleet.hub(), TEAM, "the end", END, ended).await);
    let left = stage.left_of(&book.deleted).await;
    assert!(left.is_empty(), "jobs were let go while this was still there: {left:?}");
    eprintln!("{:.1?}: all jobs have ended", started.elapsed());
    for (name, _) in MEMBERS {
        sure(jobs::wait_for_applications(fleet.member(name), "the end", END, BTreeMap::is_empty).await);
    }
    eprintln!("{:.1?}: nothing is left on members", started.elapsed());

    let ran = what_ran(&stage, &book);
    let mut share: BTreeMap<&str, usize> = BTreeMap::new();
    for (uid, name) in &book.names {
        let applications = &ran[uid];
        assert_eq!(applications.len(), 1, "applications of {name}:\n{}", stage.history(name).join("\n"));
        let (application, cluster) = applications.first_key_value().unwrap();
        *share.entry(cluster).or_default() += 1;
        if book.deleted.contains(uid) {
            assert!(!all.contains_key(name), "{name} was deleted");
            continue;
        }
        let job = &all[name];
        let end = if book.failing.contains(uid) { "Failed" } else { "Succeeded" };
        assert_eq!(jobs::phase(job), end, "{}", jobs::describe(job));
        let placement = job.status.as_ref().and_then(|status| status.placement.as_ref()).unwrap();
        assert_eq!(placement.remote_uid.as_ref(), Some(application), "{}", jobs::describe(job));
        assert_eq!(placement.cluster, *cluster);
    }
    assert_eq!(share.values().sum::<usize>(), JOBS);
    // Nothing that the router wrote made an operator submit twice.
    let seen: Vec<_> = stage.operators.iter().flat_map(|operator| operator.seen().into_values()).collect();
    assert_eq!(seen.len(), JOBS);
    for application in &seen {
        assert_eq!((application.submits, application.drivers), (1, 1), "{application:?}");
    }

    let refused: usize = MEMBERS
        .iter()
        .map(|(name, _)| {
            creates(fleet.member(name), Mark::default()).iter().filter(|it| it.code == 409).count()
        })
        .sum();
    eprintln!("{KILLS} kills, {with_open} of them with unfinished jobs; {JOBS} jobs on {share:?}");
    eprintln!("{refused} creates came a second time and were refused by the member");
    for (cut, times) in &shown {
        eprintln!("{times:>4}  {cut:?}");
    }
    assert!(with_open >= 40, "only {with_open} kills with unfinished jobs");
    assert_eq!(shown.values().sum::<usize>(), KILLS);
    let late = PLAN.iter().find(|(cut, _)| *cut == Cut::PlacedLate).map_or(0, |(_, times)| *times);
    assert!(refused >= late, "{refused} creates came twice, of {late} that were made to");

    sure(jobs::delete_all::<RoutedSparkJob>(fleet.hub(), TEAM, END).await);
    assert!(sure(stage.router.0.terminate().await).success());
    sure(fleet.check());
    eprintln!("{:.1?}: done", started.elapsed());
}
