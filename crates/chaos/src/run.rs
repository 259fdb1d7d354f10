//! One run: from a seed to a verdict.
//!
//! Owns the fleet while it runs. It must never judge by itself: what became of the jobs says the oracle.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::stream::{FuturesUnordered, TryStreamExt as _};
use tokio::time::{Instant, interval, sleep_until};

use crate::collect;
use crate::error::Error;
use crate::evidence::{Injected, Submitted};
use crate::fault::{Kind, Lane};
use crate::inject::inject;
use crate::oracle::judge;
use crate::plan::{Deed, Planned, Sizes};
use crate::report::Report;
use crate::schedule::Schedule;
use crate::stage::{self, Stage};
use crate::submit::own;

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The seed of jobs and faults.
    pub seed: u64,
    /// How large it is.
    pub sizes: Sizes,
    /// The router's binary.
    pub binary: PathBuf,
    /// Where evidence is kept if anything is found. It may not be there yet.
    pub evidence: PathBuf,
}

/// Carries a run out. `say` gets progress, for people.
pub async fn run(options: &Options, say: &(dyn Fn(&str) + Send + Sync)) -> Result<Report, Error> {
    let schedule = Schedule::new(options.seed, options.sizes)?;
    say(&format!("starting a hub, {} members and two routers", options.sizes.members));
    let fleet = stage::fleet(options.sizes).await?;
    let stage = Stage::set(&fleet, options.sizes, &options.binary).await?;
    let began = Instant::now();
    say(&format!("{} jobs and {} faults begin", schedule.jobs.len(), schedule.faults.len()));
    let Played { jobs, injected, faults } = tokio::select! {
        played = play(&stage, &schedule, options.sizes, say) => played?,
        // It ends only by an error.
        ended = stage.keep_running() => return Err(ended.err().unwrap_or_else(|| Error::NoAnswer("a router".to_owned()))),
    };
    say("the last fault is over; waiting for the jobs to come to rest");
    let moving = tokio::select! {
        moving = collect::rest(&stage, &jobs, say) => moving?,
        ended = stage.keep_running() => return Err(ended.err().unwrap_or_else(|| Error::NoAnswer("a router".to_owned()))),
    };
    let seconds = began.elapsed().as_secs();
    say(&format!("{moving} jobs have not come to rest; reading the logs"));
    let evidence = collect::evidence(&stage, jobs, injected).await?;
    let verdict = judge(&evidence)?;
    let kept = if verdict.is_clean() {
        None
    } else {
        evidence.write(&options.evidence)?;
        keep_logs(&stage, &options.evidence).await?;
        Some(options.evidence.clone())
    };
    Ok(Report {
        seed: options.seed,
        jobs: evidence.jobs.len(),
        faults,
        verdict,
        routers_ended: stage.ended.load(Ordering::Relaxed),
        seconds,
        evidence: kept,
    })
}

/// What was done.
struct Played {
    jobs: Vec<Submitted>,
    /// Every fault that met somebody.
    injected: Vec<Injected>,
    /// How many of each kind, what owners did included.
    faults: BTreeMap<&'static str, u64>,
}

/// Submits all jobs and injects all faults, in time.
async fn play(
    stage: &Stage<'_>,
    schedule: &Schedule,
    sizes: Sizes,
    say: &(dyn Fn(&str) + Send + Sync),
) -> Result<Played, Error> {
    let started = Instant::now();
    let owning: FuturesUnordered<_> = schedule.jobs.iter().map(|plan| own(stage, plan, started)).collect();
    let owning = async {
        let mut owned: Vec<_> = owning.try_collect().await?;
        owned.sort_by(|a: &crate::submit::Owned, b| a.job.name.cmp(&b.job.name));
        Ok::<_, Error>(owned)
    };
    let lanes = lanes(schedule);
    let breaking: FuturesUnordered<_> = lanes
        .into_iter()
        .map(|faults| async move {
            let mut met = Vec::new();
            for (number, fault) in faults {
                sleep_until(started + fault.at).await;
                if let Some(span) = inject(stage, fault, schedule.seed ^ number).await? {
                    let site = match fault.lane {
                        Lane::Member(place) => stage.sites.get(place),
                        _ => None,
                    };
                    met.push(Injected {
                        kind: fault.kind,
                        member: site.map(|site| site.name.clone()),
                        alone: fault.alone,
                        from: span.from,
                        to: span.to,
                    });
                }
            }
            Ok::<_, Error>(met)
        })
        .collect();
    let breaking = breaking.try_collect::<Vec<Vec<Injected>>>();
    let both = async { tokio::try_join!(owning, breaking) };
    tokio::pin!(both);
    let mut tick = interval(Duration::from_secs(15));
    tick.tick().await;
    let (owned, met) = loop {
        tokio::select! {
            done = &mut both => break done?,
            _ = tick.tick() => say(&format!("{} s of {} s", started.elapsed().as_secs(), length(schedule).as_secs())),
        }
    };
    let mut faults: BTreeMap<&'static str, u64> =
        Kind::of(sizes.operators).map(|kind| (kind.name(), 0)).collect();
    faults.extend(Deed::ALL.iter().map(|deed| (deed.name(), 0)));
    let mut injected: Vec<_> = met.into_iter().flatten().collect();
    injected.sort_by_key(|it| it.from);
    let met = injected.iter().map(|it| it.kind.name());
    let deeds = owned.iter().filter_map(|owned| owned.deed).map(Deed::name);
    for name in met.chain(deeds) {
        *faults.entry(name).or_default() += 1;
    }
    Ok(Played { jobs: owned.into_iter().map(|owned| owned.job).collect(), injected, faults })
}

/// Faults by lane, each with its number.
fn lanes(schedule: &Schedule) -> Vec<Vec<(u64, &Planned)>> {
    let mut lanes: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (number, fault) in (0..).zip(&schedule.faults) {
        lanes.entry(fault.lane).or_default().push((number, fault));
    }
    lanes.into_values().collect()
}

/// When the last thing begins.
fn length(schedule: &Schedule) -> Duration {
    let jobs = schedule.jobs.last().map(|job| job.at);
    jobs.into_iter().chain(schedule.faults.last().map(|fault| fault.at)).max().unwrap_or_default()
}

async fn keep_logs(stage: &Stage<'_>, folder: &Path) -> Result<(), Error> {
    for (seat, number) in stage.seats.iter().zip(1..) {
        let chair = seat.router.lock().await;
        let path = folder.join(format!("router-{number}.log"));
        std::fs::copy(chair.router.process().log(), &path).map_err(Error::file("write", &path))?;
    }
    Ok(())
}
