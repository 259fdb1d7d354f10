//! The lane without Spark: twenty jobs on three members whose nodes are played.
//!
//! Purpose: API servers, schedulers and Spark operators are real; `spark-submit` and the nodes are stand-ins, so that it
//! takes a minute and little memory. Owns the order of the show. It must never end well unless every job ended as its
//! manifest says.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use spark_router_api::RoutedSparkJob;
use spark_router_api::names::OUTCOME_FINALIZER;
use spark_router_testkit::router::jobs;
use spark_router_testkit::{Fleet, KwokOptions, MemberOptions, chain};

use super::cast::{self, Player};
use super::report::Findings;
use super::stage::{NAMESPACE, Stage};
use super::{Error, Format, Progress};

/// How long all jobs may take together; they take a quarter of it on two cores.
const PATIENCE: Duration = Duration::from_mins(4);

/// How long the router may hold finished applications after the last job has ended.
const RELEASE: Duration = Duration::from_secs(15);

/// How often the phases are said at most.
const SPEECH: Duration = Duration::from_millis(500);

/// Sets the stage, sends the jobs, judges, and says it. The stage stays, whatever the verdict.
pub(super) async fn show(format: Format, progress: Progress) -> Result<(Stage, Result<(), Error>), Error> {
    let large =
        || MemberOptions { kwok: Some(KwokOptions::sized(4, "64", "256Gi")), ..MemberOptions::spark() };
    let small =
        || MemberOptions { kwok: Some(KwokOptions::sized(2, "16", "64Gi")), ..MemberOptions::spark() };
    let fleet = Fleet::builder()
        .hub()
        .member_with("alpha", large())
        .member_with("beta", large())
        .member_with("gamma", small());
    let manifests = [("members", cast::MEMBERS), ("queue", cast::QUEUE)];
    let stage = Stage::set(progress, fleet, &["alpha", "beta", "gamma"], &manifests).await?;
    let shown = perform(&stage, progress, format).await;
    Ok((stage, shown))
}

async fn perform(stage: &Stage, progress: Progress, format: Format) -> Result<(), Error> {
    let (yaml, players) = cast::all()?;
    let marks = stage.fleet.clusters().map(|it| (it.name().to_owned(), it.audit().mark())).collect();
    let started = Instant::now();
    progress.say(&format!("kubectl apply: {} jobs", players.len()));
    let (applied, ended) = tokio::join!(stage.apply("jobs", &yaml), wait_for_ends(stage, progress, &players));
    applied?;
    let seconds = started.elapsed().as_secs_f64();
    // The verdict says in detail what did not happen in time.
    for waited in [ended, wait_for_release(stage).await] {
        if let Err(error) = &waited {
            progress.say(&chain(error));
        }
    }
    let findings = Findings::read(stage, &players, &marks, seconds).await?;
    match format {
        Format::Json => println!("{}", serde_json::to_string(&findings.report)?),
        Format::Text => {
            let table = ["get", "routedsparkjobs", "-n", NAMESPACE, "-o", "wide"];
            println!("$ kubectl {}\n{}", table.join(" "), stage.fleet.hub().kubectl(&table).await?);
            println!("{}", findings.text());
        }
    }
    if !findings.objections.is_empty() {
        findings.calls().for_each(|line| eprintln!("{line}"));
        return Err(Error::Verdict(findings.objections));
    }
    progress.say("every job ended as stated");
    Ok(())
}

/// Until every job has come to its end.
async fn wait_for_ends(stage: &Stage, progress: Progress, players: &[Player]) -> Result<(), Error> {
    let (mut said, mut at) = (String::new(), Instant::now());
    jobs::wait_for_all(stage.fleet.hub(), NAMESPACE, "the ends", PATIENCE, |jobs| {
        let ended =
            players.iter().all(|player| jobs.get(&player.name).is_some_and(|job| player.end.is_reached(job)));
        let now = phases(jobs);
        if now != said && (ended || at.elapsed() > SPEECH) {
            progress.say(&now);
            (said, at) = (now, Instant::now());
        }
        ended
    })
    .await?;
    Ok(())
}

/// Until the router holds no application any more: it lets go when the outcome is safely on the hub, and those calls
/// belong to the jobs too.
async fn wait_for_release(stage: &Stage) -> Result<(), Error> {
    for member in stage.fleet.clusters().filter(|cluster| cluster.name() != "hub") {
        jobs::wait_for_applications(member, "the release", RELEASE, |applications| {
            let mut finalizers = applications.values().flat_map(|it| it.metadata.finalizers.iter().flatten());
            finalizers.all(|finalizer| finalizer != OUTCOME_FINALIZER)
        })
        .await?;
    }
    Ok(())
}

/// `4 Queued, 9 Running`, in the order of a job's life.
fn phases(jobs: &BTreeMap<String, RoutedSparkJob>) -> String {
    let life = ["", "Queued", "Dispatched", "Submitted", "Running", "Retrying", "Succeeded", "Failed"];
    let mut counts: BTreeMap<(usize, &str), usize> = BTreeMap::new();
    for phase in jobs.values().map(jobs::phase) {
        let order = life.iter().position(|known| *known == phase).unwrap_or(life.len());
        *counts.entry((order, if phase.is_empty() { "new" } else { phase })).or_default() += 1;
    }
    counts.into_iter().map(|((_, phase), count)| format!("{count} {phase}")).collect::<Vec<_>>().join(", ")
}
