//! The lane without Spark: twenty jobs on three members whose nodes are played.
//!
//! Purpose: API servers, schedulers and Spark operators are real; `spark-submit` and the nodes are stand-ins, so that it
//! takes a minute and little memory. Owns the order of the show. It must never end well unless every job ended as its
//! manifest says.

use std::time::Duration;

use spark_router_testkit::{Fleet, KwokOptions, MemberOptions};

use super::stage::Stage;
use super::{Error, Format, Progress, cast, play};

/// How long all jobs may take together; they take a quarter of it on two cores.
const PATIENCE: Duration = Duration::from_mins(4);

/// A member with room for the big job.
pub(super) fn large() -> MemberOptions {
    MemberOptions { kwok: Some(KwokOptions::sized(4, "64", "256Gi")), ..MemberOptions::spark() }
}

/// Sets the stage, sends the jobs, judges, and says it. The stage stays, whatever the verdict.
pub(super) async fn show(format: Format, progress: Progress) -> Result<(Stage, Result<(), Error>), Error> {
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
    let findings = play::play(stage, progress, &yaml, &players, PATIENCE).await?;
    let report = findings.report.clone();
    play::say(stage, progress, format, findings, &report, "").await
}
