//! From `kubectl apply` to the verdict, the same in every lane.
//!
//! Purpose: send the jobs, wait until each has come to its end and the router has let go of its application, read what
//! came of it, say it. Owns no state. It must never end the wait early because of what the router says about itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use spark_router_api::RoutedSparkJob;
use spark_router_api::names::OUTCOME_FINALIZER;
use spark_router_testkit::router::jobs;
use spark_router_testkit::{apache, chain};

use super::cast::Player;
use super::evidence::{Evidence, Marks};
use super::report::Findings;
use super::stage::{NAMESPACE, Stage};
use super::{Error, Format, Progress};

/// How long the router may hold finished applications after the last job has ended.
const RELEASE: Duration = Duration::from_secs(15);

/// How often the phases of many jobs are said at most.
const SPEECH: Duration = Duration::from_millis(500);

/// The phases of so few jobs are all said.
const FEW: usize = 5;

/// Applies the jobs in `yaml`, waits at most `patience` until all players have ended, and reads everything back.
pub(super) async fn play(
    stage: &Stage,
    progress: Progress,
    yaml: &str,
    players: &[Player],
    patience: Duration,
) -> Result<Findings, Error> {
    let marks = Marks::here(stage).await?;
    let started = Instant::now();
    progress.say(&format!("kubectl apply: {} jobs", players.len()));
    let (applied, ended) =
        tokio::join!(stage.apply("jobs", yaml), wait_for_ends(stage, progress, players, patience));
    applied?;
    let seconds = started.elapsed().as_secs_f64();
    // The verdict says in detail what did not happen in time.
    for waited in [ended, wait_for_release(stage).await] {
        if let Err(error) = &waited {
            progress.say(&chain(error));
        }
    }
    Findings::read(stage, players, Evidence::read(stage, &marks).await?, seconds).await
}

/// Says what was found, as `object` or as tables with `more` between them, and ends well only if nothing is wrong.
pub(super) async fn say(
    stage: &Stage,
    progress: Progress,
    format: Format,
    findings: Findings,
    object: &impl Serialize,
    more: &str,
) -> Result<(), Error> {
    match format {
        Format::Json => println!("{}", serde_json::to_string(object)?),
        Format::Text => {
            let table = ["get", "routedsparkjobs", "-n", NAMESPACE, "-o", "wide"];
            println!("$ kubectl {}\n{}", table.join(" "), stage.fleet.hub().kubectl(&table).await?);
            println!("{more}{}", findings.text());
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
async fn wait_for_ends(
    stage: &Stage,
    progress: Progress,
    players: &[Player],
    patience: Duration,
) -> Result<(), Error> {
    let pause = if players.len() > FEW { SPEECH } else { Duration::ZERO };
    let (mut said, mut at) = (String::new(), Instant::now());
    jobs::wait_for_all(stage.fleet.hub(), NAMESPACE, "the ends", patience, |jobs| {
        let ended =
            players.iter().all(|player| jobs.get(&player.name).is_some_and(|job| player.end.is_reached(job)));
        let now = phases(jobs);
        if now != said && (ended || at.elapsed() > pause) {
            progress.say(&now);
            (said, at) = (now, Instant::now());
        }
        ended
    })
    .await?;
    Ok(())
}

/// Until the router holds no application any more: it lets go when the outcome is safely on the hub, and those calls
/// belong to the jobs too. Of job runs there is nothing to let go.
async fn wait_for_release(stage: &Stage) -> Result<(), Error> {
    let free = |finalizers: Option<&Vec<String>>| {
        finalizers.is_none_or(|held| held.iter().all(|finalizer| finalizer != OUTCOME_FINALIZER))
    };
    let what = "the release";
    for member in stage.fleet.clusters().filter(|cluster| cluster.name() != "hub") {
        if stage.apache.as_ref().is_some_and(|(name, _)| *name == member.name()) {
            let kind = apache::resource();
            jobs::wait_for_objects(member, &kind, what, RELEASE, |applications| {
                applications.values().all(|it| free(it.metadata.finalizers.as_ref()))
            })
            .await?;
        } else {
            jobs::wait_for_applications(member, what, RELEASE, |applications| {
                applications.values().all(|it| free(it.metadata.finalizers.as_ref()))
            })
            .await?;
        }
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
