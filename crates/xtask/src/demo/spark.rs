//! The lane with Spark: three jobs, each a driver and an executor that really compute.
//!
//! Purpose: show that what the router places runs, with Spark's own `spark-submit`, driver and executors. Only the nodes
//! are ours: their kubelets run pods as processes of this machine. Owns the order of the show. It must never take a
//! result from anywhere but the driver's own log on the member, read as a user reads it.

use std::fmt::Write as _;
use std::time::Duration;

use kube::ResourceExt as _;
use serde::Serialize;
use spark_router_api::RoutedSparkJob;
use spark_router_testkit::Fleet;
use spark_router_testkit::kubelet::{Kubelet, KubeletOptions};
use spark_router_testkit::pyspark::{self, PySpark};
use spark_router_testkit::router::jobs;

use super::cast::{self, End, Player, Words};
use super::report::{Findings, Report};
use super::stage::{NAMESPACE, Stage};
use super::{Error, Format, Progress, play};

/// How long all jobs may take together: a minute and a half on two idle cores, and minutes beside a compiler.
const PATIENCE: Duration = Duration::from_mins(12);

/// A job of this lane names the member of its place in this list.
const MEMBERS: [&str; 3] = ["alpha", "beta", "gamma"];

/// What an administrator of a member prepares for these jobs.
const PREPARED: &str = include_str!("../../demo/spark/members.yaml");

const PI: &str = "pi";
const PARQUET: &str = "csv-to-parquet";
const RAISES: &str = "raises";

/// How the lines of the drivers begin that hold their results.
const PI_LINE: &str = "Pi is roughly ";
const ROWS_LINE: &str = "Parquet rows: ";

/// The countries in the CSV file.
const ROWS: u64 = 4;

/// What the third job dies of.
const EXCEPTION: &str = "ValueError: column 'amount' is missing, there are only ['id']";

/// What Spark itself said.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Spark {
    /// The driver's own line, from its log on the member.
    pi_line: String,
    /// How many rows the driver read back from the Parquet file that it wrote, from its log on the member.
    parquet_rows: Option<u64>,
    /// `status.application.error` of the job that raises, from the hub.
    error: String,
}

/// The object that `--format json` prints: that of the other lane, and what Spark said.
#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    report: Report,
    spark: Spark,
}

/// Says what is missing to run Spark, if anything is, before anything starts.
pub(super) fn check() -> Result<(), Error> {
    Ok(pyspark::check()?)
}

/// Sets the stage, sends the jobs, judges, and says it. The stage stays, whatever the verdict.
pub(super) async fn show(format: Format, progress: Progress) -> Result<(Stage, Result<(), Error>), Error> {
    let installed = tokio::task::spawn_blocking(move || pyspark::ensure(&|line| progress.say(line))).await;
    let spark = installed.map_err(|error| Error::System("install Spark", std::io::Error::other(error)))??;
    let fleet =
        MEMBERS.iter().fold(Fleet::builder().hub(), |fleet, name| fleet.member_with(name, spark.member()));
    let manifests = [("members", cast::MEMBERS), ("queue", cast::QUEUE)];
    let mut stage = Stage::set(progress, fleet, &MEMBERS, &manifests).await?;
    for (name, index) in MEMBERS.iter().zip(0u8..) {
        let kubelet = furnish(&stage, name, index, spark.clone()).await?;
        stage.kubelets.push(kubelet);
    }
    progress.say("each member has a node that runs pods as processes; Spark takes a minute or two");
    let shown = perform(&stage, progress, format).await;
    Ok((stage, shown))
}

/// Gives a member its node, and the account, code and input of the jobs.
async fn furnish(stage: &Stage, name: &str, index: u8, spark: PySpark) -> Result<Kubelet, Error> {
    let member = stage.fleet.find(name)?;
    member.apply_manifest(PREPARED).await?;
    let options = KubeletOptions::of(member, spark, &stage.fleet, index);
    Ok(Kubelet::start(member, stage.fleet.supervisor(), options).await?)
}

async fn perform(stage: &Stage, progress: Progress, format: Format) -> Result<(), Error> {
    let (yaml, players) = jobs();
    let mut findings = play::play(stage, progress, &yaml, &players, PATIENCE).await?;
    let (spark, objections) = results(stage, &findings).await;
    findings.object(objections);
    let text = text(&findings, &spark);
    let whole = Whole { report: findings.report.clone(), spark };
    play::say(stage, progress, format, findings, &whole, &text).await
}

/// The jobs as one manifest, and how each must end.
fn jobs() -> (String, Vec<Player>) {
    let cast = [
        (PI, include_str!("../../demo/spark/jobs/pi.yaml"), End::Succeeded { runs: 1 }),
        (PARQUET, include_str!("../../demo/spark/jobs/csv-to-parquet.yaml"), End::Succeeded { runs: 1 }),
        (
            RAISES,
            include_str!("../../demo/spark/jobs/raises.yaml"),
            End::Failed { error: Words::Everywhere(EXCEPTION) },
        ),
    ];
    let players = cast.iter().map(|(name, _, end)| Player { name: (*name).to_owned(), end: *end });
    (cast.map(|(_, yaml, _)| yaml).join("---\n"), players.collect())
}

/// What Spark said, and what is wrong with it.
async fn results(stage: &Stage, findings: &Findings) -> (Spark, Vec<String>) {
    let mut objections = Vec::new();
    let mut spark = Spark::default();
    for job in &findings.jobs {
        let log = match driver_log(stage, job).await {
            Ok(log) => log,
            Err(error) => {
                objections.push(format!("{} has no driver's log: {error}", job.name_any()));
                continue;
            }
        };
        let wrong = match job.name_any().as_str() {
            PI => {
                spark.pi_line = line(&log, PI_LINE).map(str::to_owned).unwrap_or_default();
                !is_pi(&spark.pi_line)
            }
            PARQUET => {
                let rows = line(&log, ROWS_LINE).and_then(|line| line.strip_prefix(ROWS_LINE));
                spark.parquet_rows = rows.and_then(|rows| rows.parse().ok());
                spark.parquet_rows != Some(ROWS)
            }
            _ => {
                let application = jobs::application(job);
                spark.error = application.and_then(|it| it.error.clone()).unwrap_or_default();
                line(&log, EXCEPTION).is_none()
            }
        };
        if wrong {
            objections.push(format!(
                "the driver of {} did not come to its result; its log ends with:\n{}",
                job.name_any(),
                end(&log)
            ));
        }
    }
    (spark, objections)
}

/// The log of the driver that the job's status names, through the API server of the member that it names.
async fn driver_log(stage: &Stage, job: &RoutedSparkJob) -> Result<String, spark_router_testkit::Error> {
    let pod = jobs::application(job).and_then(|it| it.driver_pod.as_deref()).unwrap_or_default();
    stage.fleet.find(jobs::cluster(job))?.kubectl(&["logs", "-n", NAMESPACE, pod]).await
}

/// The last line of a log that begins so.
fn line<'a>(log: &'a str, beginning: &str) -> Option<&'a str> {
    log.lines().rev().find(|line| line.starts_with(beginning)).map(str::trim_end)
}

/// Whether the line gives pi, as exactly as some hundred thousand throws can.
fn is_pi(line: &str) -> bool {
    let value = line.strip_prefix(PI_LINE).and_then(|value| value.parse::<f64>().ok());
    value.is_some_and(|value| (value - std::f64::consts::PI).abs() < 0.05)
}

/// The last lines of a log.
fn end(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// What Spark said next to the phase that the hub shows, for people.
fn text(findings: &Findings, spark: &Spark) -> String {
    let rows = spark.parquet_rows.map(|rows| format!("{ROWS_LINE}{rows}")).unwrap_or_default();
    let mut text = String::from("JOB              MEMBER   STATUS      WHAT SPARK SAID\n");
    for (name, said) in [(PI, &spark.pi_line), (PARQUET, &rows), (RAISES, &spark.error)] {
        let Some(job) = findings.jobs.iter().find(|job| job.name_any() == name) else { continue };
        // Writing to a String never fails.
        let _ = writeln!(text, "{name:<16} {:<8} {:<11} {said}", jobs::cluster(job), jobs::phase(job));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use spark_router_testkit::manifest;

    use super::*;

    #[test]
    fn every_job_has_a_member_of_its_own_and_its_name_in_the_cast() {
        let (yaml, players) = jobs();
        let objects = manifest::parse(&yaml).unwrap();
        assert_eq!(objects.len(), MEMBERS.len());
        for ((object, player), member) in objects.iter().zip(&players).zip(MEMBERS) {
            let job: RoutedSparkJob = serde_json::from_value(serde_json::to_value(object).unwrap()).unwrap();
            assert_eq!((job.name_any(), job.spec.queue.as_str()), (player.name.clone(), cast::QUEUE_NAME));
            let placement = serde_json::to_value(&job.spec.placement).unwrap();
            assert_eq!(placement["clusterNames"], serde_json::json!([member]));
        }
    }

    #[test]
    fn results_are_read_from_the_last_line_of_their_kind() {
        let log = "Pi is roughly 3\nINFO x\nPi is roughly 3.142\nParquet rows: 4\n";
        assert_eq!(line(log, PI_LINE), Some("Pi is roughly 3.142"));
        assert!(is_pi("Pi is roughly 3.142") && !is_pi("Pi is roughly 3") && !is_pi(""));
        assert_eq!(line(log, "ValueError"), None);
        assert_eq!((end("a\nb"), end(&"x\n".repeat(99)).lines().count()), ("a\nb".to_owned(), 15));
    }
}
