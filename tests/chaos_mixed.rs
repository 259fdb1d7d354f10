//! The chaos suite over members of all kinds: clusters with Kubeflow's and Apache's operator, and virtual clusters of EMR on
//! EKS whose server honours client tokens or ignores them. By audit logs and the servers' records no job was lost, ran twice
//! or says what is not true. `cargo xtask chaos --mixed` runs larger ones.

use std::path::Path;
use std::time::{Duration, Instant};

use spark_router_chaos::evidence::Backend;
use spark_router_chaos::fault::{Kind, Operators};
use spark_router_chaos::plan::Sizes;
use spark_router_chaos::run::{Options, run};

const SEED: u64 = 1;
const JOBS: u32 = 60;
const MINUTES: u64 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn no_job_is_lost_or_runs_twice_whatever_breaks_on_members_of_all_kinds() {
    let folder = tempfile::Builder::new().prefix("spark-router-chaos-").tempdir().unwrap().keep();
    let sizes = Sizes {
        jobs: JOBS,
        length: Duration::from_mins(MINUTES),
        members: Operators::MIXED.len(),
        operators: Operators::Mixed,
    };
    let options = Options {
        seed: SEED,
        sizes,
        binary: Path::new(env!("CARGO_BIN_EXE_spark-router")).to_owned(),
        evidence: folder.clone(),
    };
    let started = Instant::now();
    let say = |line: &str| eprintln!("{:>6.1} s  {line}", started.elapsed().as_secs_f64());
    let report = Box::pin(run(&options, &say)).await;
    let report = report.unwrap_or_else(|error| panic!("{}", spark_router_testkit::chain(&error)));
    eprintln!("{report}");
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.jobs, usize::try_from(JOBS).unwrap());
    let verdict = &report.verdict;
    let left = verdict.finished + verdict.gone + verdict.waiting + verdict.running;
    assert_eq!(left, report.jobs, "{report}");

    // Whatever was to break did break somewhere, but for what looks for somebody in a certain state: a run as short as this
    // may have none.
    let seeks = [Kind::ApplicationDeleted, Kind::ApplicationLabelled, Kind::RunCancelled, Kind::StartUnseen];
    for kind in Kind::of(Operators::Mixed).filter(|kind| !seeks.contains(kind)) {
        assert!(report.faults[kind.name()] > 0, "{kind:?}: {report}");
    }
    // And all members had their part in it.
    for backend in Backend::ALL {
        assert!(verdict.started.by_backend[backend.name()] > 0, "{backend:?}: {report}");
    }
    let virtual_clusters = &verdict.started.virtual_clusters;
    assert_eq!(virtual_clusters.len(), 2);
    assert!(virtual_clusters.values().all(|starts| starts.runs > 0), "{report}");
    // A run of which no answer was heard became known, by a list or by its token: else its job would be lost.
    assert!(virtual_clusters.values().all(|starts| starts.asked >= starts.runs), "{report}");
    std::fs::remove_dir_all(folder).unwrap();
}
