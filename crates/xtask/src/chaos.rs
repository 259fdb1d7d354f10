//! `cargo xtask chaos`: a running router is broken in every way, and an oracle counts what became of the jobs.
//!
//! Purpose: the command line of `spark-router-chaos`. Owns no state. It must never soften a verdict.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use spark_router_chaos::fault::Operators;
use spark_router_chaos::plan::Sizes;
use spark_router_chaos::run::{Options, run as break_it};
use spark_router_chaos::schedule::Schedule;
use spark_router_testkit::tools;

use crate::binary;
use crate::format::Format;

/// Members of a run.
const MEMBERS: usize = 3;
/// Each with an operator, a scheduler and nodes of its own.
const REAL_MEMBERS: usize = 2;

/// One with each kind of operator, and two virtual clusters.
const MIXED_MEMBERS: usize = Operators::MIXED.len();

/// Jobs and minutes where nothing is said.
const USUAL: (u32, u64) = (300, 5);
const REAL: (u32, u64) = (60, 4);

/// Arguments of `cargo xtask chaos`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A hub, members with scripted operators and two routers run on this machine. While jobs are submitted, edited, cancelled
and deleted, routers are killed and frozen, API servers restarted, connections cut, silenced and slowed down, answers lost,
credentials revoked, members drained, operators crashed and applications deleted by hand: at least ten faults of each kind
for three hundred jobs. Then all is mended, and an oracle that shares no code with the router reads the API servers' audit
logs. The command fails if a job was lost, ran twice, or says what is not true; the evidence is then kept. How long it took
to go on elsewhere is reported too.

With --mixed the members are of all kinds: Kubeflow's and Apache's operator, both scripted, and two virtual clusters of
EMR on EKS over moto, one that honours client tokens and one that ignores them. Starts on these are acted on and never
answered, answered late, throttled, refused with 5xx and met by silence, and somebody cancels runs at AWS. It is judged by
what the servers recorded of their runs, too; the report says how starts became known.

With --real-operator the members run the Kubeflow operator, kube-scheduler and nodes played by KWOK, and nodes are taken
away with all pods on them. It costs the machine more: keep such a run small.

Examples:
  cargo xtask chaos --seed 1 --jobs 1000 --minutes 10
  cargo xtask chaos --seed 7 --jobs 60 --minutes 2 --format json
  cargo xtask chaos --mixed --seed 1
  cargo xtask chaos --real-operator")]
pub(crate) struct Arguments {
    /// The same seed gives the same jobs and faults at the same times
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Run the real Kubeflow operator over kube-scheduler and KWOK nodes, and take nodes away too
    #[arg(long)]
    real_operator: bool,
    /// Run members of all kinds: Kubeflow's and Apache's operator, and EMR on EKS with and without tokens that are honoured
    #[arg(long, conflicts_with = "real_operator")]
    mixed: bool,
    /// Jobs [default: 300, with --real-operator 60]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    jobs: Option<u32>,
    /// The time in which they are submitted and all faults begin [default: 5, with --real-operator 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: Option<u64>,
    /// What stdout gets at the end; progress goes to stderr
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Where evidence is kept if anything is found [default: target/chaos/seed-N, real-N or mixed-N]
    #[arg(long, value_name = "DIR")]
    evidence: Option<PathBuf>,
}

/// Why there is no clean verdict.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The control planes could not be built.
    #[error(transparent)]
    Testkit(#[from] spark_router_testkit::Error),
    /// There is no router to break.
    #[error(transparent)]
    Binary(#[from] binary::Error),
    /// The run could not be carried out or judged.
    #[error(transparent)]
    Run(#[from] spark_router_chaos::error::Error),
    /// Something of this process failed.
    #[error("can't {0}")]
    System(&'static str, #[source] std::io::Error),
    /// The report could not be written.
    #[error("can't write the report as JSON")]
    Json(#[from] serde_json::Error),
    /// Jobs were lost, doubled or left unexplained.
    #[error("{lost} jobs were lost, {doubled} doubled, {unexplained} left unexplained")]
    Found {
        /// Jobs without an end or a stated reason.
        lost: usize,
        /// Jobs that ran twice.
        doubled: usize,
        /// Jobs whose status is not the truth.
        unexplained: usize,
    },
}

/// Runs it. An error also where anything was found.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Error> {
    let (operators, members, (jobs, minutes)) = if arguments.real_operator {
        (Operators::Kubeflow, REAL_MEMBERS, REAL)
    } else if arguments.mixed {
        (Operators::Mixed, MIXED_MEMBERS, USUAL)
    } else {
        (Operators::Scripted, MEMBERS, USUAL)
    };
    let minutes = arguments.minutes.unwrap_or(minutes);
    let sizes = Sizes {
        jobs: arguments.jobs.unwrap_or(jobs),
        length: Duration::from_secs(minutes.saturating_mul(60)),
        members,
        operators,
    };
    // Said before anything is built.
    Schedule::new(arguments.seed, sizes).map_err(spark_router_chaos::error::Error::from)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Error::System("start the async runtime", source))?;
    let began = Instant::now();
    let say = move |line: &str| eprintln!("{:>6.1} s  {line}", began.elapsed().as_secs_f64());
    let report = runtime.block_on(async {
        let built = tokio::task::spawn_blocking(|| tools::ensure(&|line| eprintln!("{line}"))).await;
        built.map_err(|error| Error::System("build the control planes", std::io::Error::other(error)))??;
        say("building the router (minutes the first time)");
        let options = Options {
            seed: arguments.seed,
            sizes,
            binary: binary::build().await?,
            evidence: arguments.evidence.clone().unwrap_or_else(|| kept(arguments)),
        };
        Ok::<_, Error>(break_it(&options, &say).await?)
    })?;
    match arguments.format {
        Format::Text => println!("{report}"),
        Format::Json => println!("{}", report.json()?),
    }
    let verdict = &report.verdict;
    if report.is_clean() {
        return Ok(());
    }
    if arguments.format == Format::Json {
        eprintln!("{report}");
    }
    Err(Error::Found {
        lost: verdict.lost.len(),
        doubled: verdict.doubled.len(),
        unexplained: verdict.unexplained.len(),
    })
}

fn kept(arguments: &Arguments) -> PathBuf {
    let kind = match (arguments.real_operator, arguments.mixed) {
        (true, _) => "real",
        (_, true) => "mixed",
        _ => "seed",
    };
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../target/chaos")
        .join(format!("{kind}-{}", arguments.seed))
}
