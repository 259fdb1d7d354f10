//! The chaos suite's seed set: a running router is broken in every way for some minutes, and by the audit logs no job was
//! lost, ran twice or says what is not true. `cargo xtask chaos` runs larger ones.

use std::path::Path;
use std::time::{Duration, Instant};

use spark_router_chaos::fault::{Kind, Operators};
use spark_router_chaos::plan::Sizes;
use spark_router_chaos::run::{Options, run};
use spark_router_chaos::schedule::Schedule;

/// Seeds, with jobs and minutes.
const SEEDS: [(u64, u32, u64); 1] = [(1, 150, 3)];

/// Of each kind that was planned so many must have met somebody, in percent: a fault that looks for an application of
/// some state may find none.
const MET: u64 = 60;

/// The other router leads so long after the leader died, if nothing else is broken.
const LED_AGAIN: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn no_job_is_lost_or_runs_twice_whatever_breaks() {
    for (seed, jobs, minutes) in SEEDS {
        let folder = tempfile::Builder::new().prefix("spark-router-chaos-").tempdir().unwrap().keep();
        let options = Options {
            seed,
            sizes: Sizes { jobs, length: Duration::from_mins(minutes), ..Sizes::default() },
            binary: Path::new(env!("CARGO_BIN_EXE_spark-router")).to_owned(),
            evidence: folder.clone(),
        };
        let started = Instant::now();
        let say = |line: &str| eprintln!("{:>6.1} s  {line}", started.elapsed().as_secs_f64());
        let report = Box::pin(run(&options, &say)).await;
        let report = report.unwrap_or_else(|error| panic!("{}", spark_router_testkit::chain(&error)));
        eprintln!("{report}");
        assert!(report.is_clean(), "{report}");
        assert_eq!(report.jobs, usize::try_from(jobs).unwrap());
        let planned = Schedule::faults_of_each_kind(jobs);
        for kind in Kind::of(Operators::Scripted) {
            let met = report.faults[kind.name()];
            assert!(met * 100 >= planned * MET, "{kind:?}: {met} of {planned}");
        }
        let left =
            report.verdict.finished + report.verdict.gone + report.verdict.waiting + report.verdict.running;
        assert_eq!(left, report.jobs, "{report}");
        let failover = &report.verdict.failover;
        assert!(failover.placed_elsewhere.alone.is_some(), "a black hole was measured: {report}");
        let led = failover.led_again.alone.expect("the leader died");
        assert!(led.max_ms <= LED_AGAIN.as_millis().try_into().unwrap(), "{report}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
