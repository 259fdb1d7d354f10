//! The lane with three kinds of members: the same jobs, each written once, wherever they go.
//!
//! Purpose: a cluster with Kubeflow's real operator, a cluster with Apache's (scripted, on a real API server), and a
//! virtual cluster of EMR on EKS (played by moto). Owns the order of the show. It must never take the router's word for
//! what ran there: each member is asked itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, ListParams};
use serde_json::Value;
use spark_router_api::RoutedSparkJob;
use spark_router_api::names::JOB_UID_LABEL;
use spark_router_testkit::apache::{self, Options, ScriptedApacheOperator};
use spark_router_testkit::moto::Run;
use spark_router_testkit::router::jobs;
use spark_router_testkit::{Fleet, MemberOptions, OperatorKind};

use super::cast::{self, End, Player};
use super::cloud::Cloud;
use super::report::Findings;
use super::stage::{Ground, Setting, Stage};
use super::{Error, Format, Progress, play, standin};

/// How long all jobs may take together. What runs on EMR is seen when the router next asks for its runs.
const PATIENCE: Duration = Duration::from_mins(5);

const KUBEFLOW: &str = "alpha";
const EMR: &str = "beta";
const APACHE: &str = "gamma";

/// Each member and the API group of its operator's applications.
const GROUPS: [(&str, &str); 2] = [(KUBEFLOW, "sparkoperator.k8s.io"), (APACHE, "spark.apache.org")];

/// What a member says of one of its runs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    member: &'static str,
    /// The uid of the job.
    job: String,
    /// Its own word for how it ended.
    word: String,
    /// Whether that is well; `None` while it has not ended.
    well: Option<bool>,
    /// How many drivers there were.
    drivers: u32,
}

/// Sets the stage, sends the jobs, judges, and says it. The stage stays, whatever the verdict.
pub(super) async fn show(format: Format, progress: Progress) -> Result<(Stage, Result<(), Error>), Error> {
    let with_apache = MemberOptions { operator: OperatorKind::ApacheCrdOnly, ..MemberOptions::default() };
    let fleet =
        Fleet::builder().hub().member_with(KUBEFLOW, standin::large()).member_with(APACHE, with_apache);
    let ground = Ground::lay(progress, fleet, "a hub, two clusters, and EMR on EKS as moto plays it").await?;
    let cloud = Cloud::start(&ground.fleet, EMR).await?;
    let operator = ScriptedApacheOperator::start(ground.fleet.find(APACHE)?.client(), Options::default());
    let members = cloud.fill_in(cast::MIXED_MEMBERS);
    let setting = Setting {
        clusters: &[KUBEFLOW, APACHE],
        members: &[KUBEFLOW, EMR, APACHE],
        manifests: &[("members", &members), ("queue", cast::QUEUE)],
        router: cloud.router(),
    };
    let mut stage = ground.furnish(progress, setting).await?;
    stage.apache = Some((APACHE, operator));
    stage.cloud = Some(cloud);
    let shown = perform(&stage, progress, format).await;
    Ok((stage, shown))
}

async fn perform(stage: &Stage, progress: Progress, format: Format) -> Result<(), Error> {
    let (yaml, players) = cast::mixed()?;
    let mut findings = play::play(stage, progress, &yaml, &players, PATIENCE).await?;
    let said = witnesses(stage).await?;
    let mut objections = groups(stage)?;
    objections.extend(starts(stage).await?);
    objections.extend(judge(&findings.jobs, &players, &said));
    findings.object(objections);
    let report = findings.report.clone();
    let text = text(&findings, &said);
    play::say(stage, progress, format, findings, &report, &text).await
}

/// What the members have of jobs.
async fn witnesses(stage: &Stage) -> Result<Vec<Said>, Error> {
    let applications = jobs::applications(stage.fleet.find(KUBEFLOW)?).await?;
    let mut said: Vec<_> = applications.iter().map(of_kubeflow).collect();
    if let Some(cloud) = &stage.cloud {
        said.extend(cloud.runs().await?.iter().map(of_run));
    }
    if let Some((member, operator)) = &stage.apache {
        let cluster = stage.fleet.find(member)?;
        let api: Api<DynamicObject> = Api::all_with(cluster.client(), &apache::resource());
        let failed = |source| Error::Read {
            what: "the applications",
            cluster: (*member).to_owned(),
            source: Box::new(source),
        };
        let seen = operator.seen();
        for application in api.list(&ListParams::default()).await.map_err(failed)?.items {
            let drivers = seen.get(&application.uid().unwrap_or_default()).map_or(0, |seen| seen.drivers);
            said.push(of_apache(&application, drivers));
        }
    }
    Ok(said)
}

fn job_of(application: &DynamicObject) -> String {
    application.labels().get(JOB_UID_LABEL).cloned().unwrap_or_default()
}

fn of_kubeflow(application: &DynamicObject) -> Said {
    let status = &application.data["status"];
    let word = status["applicationState"]["state"].as_str().unwrap_or_default();
    let well = match word {
        "COMPLETED" => Some(true),
        "FAILED" => Some(false),
        _ => None,
    };
    let drivers = status["executionAttempts"].as_u64().and_then(|runs| runs.try_into().ok());
    let (job, word) = (job_of(application), word.to_owned());
    Said { member: KUBEFLOW, job, word, well, drivers: drivers.unwrap_or_default() }
}

fn of_run(run: &Run) -> Said {
    let well = match run.state.as_str() {
        "COMPLETED" => Some(true),
        "FAILED" | "CANCELLED" => Some(false),
        _ => None,
    };
    let job = run.tags.get(JOB_UID_LABEL).cloned().unwrap_or_default();
    Said { member: EMR, job, word: run.state.clone(), well, drivers: run.tries }
}

/// The last state of an application of Apache's says that it lets go of its pods; the one before, how it ended.
fn of_apache(application: &DynamicObject, drivers: u32) -> Said {
    let states = application.data.pointer("/status/stateTransitionHistory").and_then(Value::as_object);
    let by_number: BTreeMap<u64, &str> = states
        .into_iter()
        .flatten()
        .filter_map(|(number, state)| Some((number.parse().ok()?, state["currentStateSummary"].as_str()?)))
        .collect();
    let mut latest = by_number.into_values().rev();
    let (last, before) = (latest.next().unwrap_or_default(), latest.next().unwrap_or_default());
    let released = last == "ResourceReleased";
    Said {
        member: APACHE,
        job: job_of(application),
        word: if released { before } else { last }.to_owned(),
        well: released.then_some(before == "Succeeded"),
        drivers,
    }
}

/// Everything that was created on a cluster is of its own operator's kind, by the audit logs.
fn groups(stage: &Stage) -> Result<Vec<String>, Error> {
    let mut objections = Vec::new();
    for (member, group) in GROUPS {
        let calls = stage.fleet.find(member)?.audit().calls()?;
        let created = calls.iter().filter(|call| call.resource == "sparkapplications");
        let other = created.filter(|call| call.created_uid().is_some() && call.group != group);
        objections
            .extend(other.map(|call| format!("{member} was made a SparkApplication of {}", call.group)));
    }
    Ok(objections)
}

/// Every start that came in is one of the runs, and none was cancelled.
async fn starts(stage: &Stage) -> Result<Vec<String>, Error> {
    let Some(cloud) = &stage.cloud else { return Ok(Vec::new()) };
    let (runs, calls) = (cloud.runs().await?, cloud.calls().await?);
    let tokens: BTreeSet<&str> = calls.starts.iter().map(|start| start.token.as_str()).collect();
    let mut objections = Vec::new();
    if tokens.len() != runs.len() {
        objections.push(format!(
            "{EMR} was asked for {} different starts and holds {} runs",
            tokens.len(),
            runs.len()
        ));
    }
    let cancelled = runs.iter().filter(|run| run.cancels > 0);
    objections.extend(cancelled.map(|run| format!("{EMR} was asked to cancel {}", run.name)));
    Ok(objections)
}

/// What the members say is how the jobs were to end.
fn judge(jobs: &[RoutedSparkJob], players: &[Player], said: &[Said]) -> Vec<String> {
    let end = |said: &Said| {
        let job = jobs.iter().find(|job| job.uid().as_deref() == Some(said.job.as_str()))?;
        players.iter().find(|player| player.name == job.name_any())
    };
    let objection = |said: &Said| match end(said) {
        Some(player) if is_right(player.end, said) => None,
        Some(player) => {
            Some(format!("{} should be {:?}, but its member has {said:?}", player.name, player.end))
        }
        None => Some(format!("nobody sent a job for {said:?}")),
    };
    said.iter().filter_map(objection).collect()
}

fn is_right(end: End, said: &Said) -> bool {
    match end {
        End::Succeeded { runs } => said.well == Some(true) && said.drivers == runs,
        End::Failed { .. } => said.well == Some(false) && said.drivers == 1,
        // Nothing of it may be there.
        End::Rejected { .. } | End::Queued { .. } => false,
    }
}

/// What each member is, what it has in its own words, and how calls of AWS are counted, for people.
fn text(findings: &Findings, said: &[Said]) -> String {
    let words = |member: &str| {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for it in said.iter().filter(|it| it.member == member) {
            *counts.entry(&it.word).or_default() += 1;
        }
        let counts: Vec<_> = counts.into_iter().map(|(word, count)| format!("{count} {word}")).collect();
        if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") }
    };
    let mut text = String::from("MEMBER     KIND                                      WHAT IT HAS\n");
    for (member, kind, has) in [
        (KUBEFLOW, "Kubeflow's Spark operator", words(KUBEFLOW)),
        (EMR, "EMR on EKS, played by moto", words(EMR)),
        (APACHE, "Apache's Spark operator, scripted", words(APACHE)),
    ] {
        // Writing to a String never fails.
        let _ = writeln!(text, "{member:<10} {kind:<41} {has}");
    }
    let _ = writeln!(
        text,
        "\nCalls of AWS that are about one run count as API calls of its job: {}.\nThose that go on without jobs do not: \
         {}.\n",
        findings.calls_to(EMR, true),
        findings.calls_to(EMR, false)
    );
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(well: Option<bool>, drivers: u32) -> Said {
        Said { member: EMR, job: "j".to_owned(), word: String::new(), well, drivers }
    }

    #[test]
    fn a_member_must_have_what_was_to_be() {
        let fails = End::Failed { error: cast::Words::Everywhere("") };
        for (end, said, right) in [
            (End::Succeeded { runs: 1 }, said(Some(true), 1), true),
            (End::Succeeded { runs: 2 }, said(Some(true), 2), true),
            (End::Succeeded { runs: 1 }, said(Some(true), 2), false),
            (End::Succeeded { runs: 1 }, said(Some(false), 1), false),
            (End::Succeeded { runs: 1 }, said(None, 1), false),
            (fails, said(Some(false), 1), true),
            (fails, said(Some(true), 1), false),
            (End::Queued { reason: "" }, said(Some(true), 1), false),
            (End::Rejected { words: "" }, said(None, 0), false),
        ] {
            assert_eq!(is_right(end, &said), right, "{end:?} {said:?}");
        }
    }

    #[test]
    fn an_application_has_ended_when_it_lets_go() {
        let application = |states: &[&str]| {
            let history: serde_json::Map<_, _> = states
                .iter()
                .enumerate()
                .map(|(number, state)| (number.to_string(), json!({"currentStateSummary": state})))
                .collect();
            serde_json::from_value::<DynamicObject>(json!({
                "metadata": {"labels": {"sparkrouter.dev/job-uid": "j"}},
                "status": {"stateTransitionHistory": history},
            }))
            .unwrap()
        };
        // More than ten, so that they would be in another order as words.
        let long = [["Submitted"; 10].as_slice(), &["Succeeded", "ResourceReleased"]].concat();
        for (states, word, well) in [
            (long.as_slice(), "Succeeded", Some(true)),
            (&["RunningHealthy", "Failed", "ResourceReleased"], "Failed", Some(false)),
            (&["RunningHealthy", "Succeeded"], "Succeeded", None),
            (&[], "", None),
        ] {
            let said = of_apache(&application(states), 1);
            assert_eq!((said.word.as_str(), said.well, said.job.as_str()), (word, well, "j"), "{states:?}");
        }
        let status = json!({"applicationState": {"state": "COMPLETED"}, "executionAttempts": 2});
        let other: DynamicObject = serde_json::from_value(json!({"metadata": {}, "status": status})).unwrap();
        assert_eq!((of_kubeflow(&other).well, of_kubeflow(&other).drivers), (Some(true), 2));
    }
}
