//! `spark-router acknowledge`: shows which queues hold their older jobs because the hub was put back to an earlier state,
//! and lets those of named queues go.
//!
//! Owns no state. Writes one annotation, with the caller's own rights, and only the number of what it has shown: whatever
//! comes to light later holds the jobs again.

use std::io::Write;

use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};
use serde::Serialize;
use serde_json::json;
use spark_router_api::{RoutedSparkJob, SparkQueue, condition, names, queue::RestoredQueue};
use spark_router_controller::restored::holding;

use crate::{
    args::{Acknowledge, Output},
    error::Error,
    hub,
};

/// Most jobs that are listed for people.
const LISTED: usize = 20;

/// All that is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Report {
    queues: Vec<Held>,
}

/// One queue that holds its older jobs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Held {
    queue: String,
    /// What was seen.
    #[serde(flatten)]
    restored: RestoredQueue,
    /// The jobs that hold, as namespace/name.
    jobs: Vec<String>,
    /// They were let go just now.
    acknowledged: bool,
    /// More came to light meanwhile: they hold all the same.
    more: bool,
}

pub(crate) async fn acknowledge(asked: Acknowledge) -> Result<(), Error> {
    let config = hub::config(asked.context.as_deref()).await?;
    let client = Client::try_from(config).map_err(|error| Error::Refused(Box::new(error)))?;
    let api: Api<SparkQueue> = Api::all(client.clone());
    let mut queues = hub::list(api.clone(), "sparkqueues", None).await?;
    if let Some(name) = asked.queues.iter().find(|name| !queues.iter().any(|q| q.name_any() == **name)) {
        return Err(Error::NoQueue(name.clone()));
    }
    queues.retain(|queue| asked.queues.is_empty() || asked.queues.contains(&queue.name_any()));
    let mut report = Report { queues: Vec::new() };
    for queue in queues {
        let Some(restored) = holding(&queue).cloned() else { continue };
        let name = queue.name_any();
        let jobs = Api::<RoutedSparkJob>::all(client.clone());
        let waiting = hub::list(jobs, "routedsparkjobs", Some(&format!("spec.queue={name}"))).await?;
        let jobs = waiting.iter().filter(|job| is_held(job, &restored));
        let jobs =
            jobs.map(|job| format!("{}/{}", job.namespace().unwrap_or_default(), job.name_any())).collect();
        let mut held = Held { queue: name, restored, jobs, acknowledged: false, more: false };
        if !asked.queues.is_empty() {
            let written = let_go(&api, &held).await?;
            held.acknowledged = true;
            held.more = holding(&written).is_some();
        }
        report.queues.push(held);
    }
    print(&report, &asked).map_err(Error::Runtime)
}

/// Waits for a place, and was there when the hub was found to be put back.
fn is_held(job: &RoutedSparkJob, restored: &RestoredQueue) -> bool {
    let status = job.status.as_ref();
    let is_placed = status.is_some_and(|status| status.placement.is_some());
    let is_over = status.is_some_and(|status| condition::is_true(&status.conditions, condition::FINISHED));
    let created = job.metadata.creation_timestamp.as_ref();
    !is_placed
        && !is_over
        && job.metadata.deletion_timestamp.is_none()
        && created.is_some_and(|created| created.0 <= restored.before.0)
}

async fn let_go(queues: &Api<SparkQueue>, held: &Held) -> Result<SparkQueue, Error> {
    let number = held.restored.seq.to_string();
    let change = json!({"metadata": {"annotations": {names::ACKNOWLEDGE_ANNOTATION: number}}});
    let written = queues.patch(&held.queue, &PatchParams::default(), &Patch::Merge(&change)).await;
    written.map_err(|source| Error::Acknowledge { queue: held.queue.clone(), source: Box::new(source) })
}

fn print(report: &Report, asked: &Acknowledge) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match asked.output {
        Output::Json => {
            let text = serde_json::to_string_pretty(report).map_err(std::io::Error::other)?;
            writeln!(out, "{text}")
        }
        Output::Table => write!(out, "{}", text(report, &asked.queues)),
    }
}

fn text(report: &Report, asked: &[String]) -> String {
    let mut parts: Vec<_> = report.queues.iter().map(one).collect();
    let nothing = asked.iter().filter(|name| !report.queues.iter().any(|held| held.queue == **name));
    parts.extend(
        nothing.map(|name| format!("SparkQueue {name} holds no jobs: there is nothing to acknowledge.\n")),
    );
    if parts.is_empty() {
        parts.push("No SparkQueue holds jobs because the hub was put back to an earlier state.\n".to_owned());
    }
    parts.join("\n")
}

fn one(held: &Held) -> String {
    let Held { queue, restored, jobs, acknowledged, more } = held;
    let mut text = format!(
        "SparkQueue {queue}: the hub's records end at placement {}, and members show later ones.\n\n",
        restored.known_seq
    );
    let mut rows =
        vec![["PLACEMENT", "JOB", "ON THE HUB", "MEMBER", "APPLICATION", "STATE"].map(str::to_owned)];
    rows.extend(restored.signs.iter().map(|sign| {
        [
            sign.seq.to_string(),
            format!("{}/{}", sign.job_namespace, sign.job_name),
            if sign.job_exists { "older" } else { "unknown" }.to_owned(),
            sign.cluster.clone(),
            format!("{}/{}", sign.namespace, sign.remote_name),
            if sign.over { "over" } else { "live" }.to_owned(),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 6] = std::array::from_fn(width);
    for row in &rows {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("   ").trim_end());
        text.push('\n');
    }
    let count = if jobs.len() == 1 { "1 job".to_owned() } else { format!("{} jobs", jobs.len()) };
    text.push_str(&format!("\nHeld: {count}, created up to {}\n", restored.before.0));
    for job in jobs.iter().take(LISTED) {
        text.push_str(&format!("  {job}\n"));
    }
    if jobs.len() > LISTED {
        text.push_str(&format!("  and {} more\n", jobs.len() - LISTED));
    }
    text.push_str(&match (acknowledged, more) {
        (true, false) => "Let go: the router places them like any other.\n".to_owned(),
        (true, true) => format!(
            "Acknowledged, but a member has shown a later placement meanwhile, and they hold for that one. Look again: \
             spark-router acknowledge {queue}\n"
        ),
        (false, _) => format!("To let them go: spark-router acknowledge {queue}\n"),
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(acknowledged: bool, more: bool) -> Held {
        let restored = serde_json::from_value(json!({
            "before": "2026-01-01T00:00:00Z", "knownSeq": 37, "seq": 41, "signs": [
                {"cluster": "m1", "namespace": "spark", "remoteName": "daily-x", "jobNamespace": "team", "jobName": "daily",
                 "jobUid": "u", "attempt": 1, "seq": 41, "jobExists": false, "over": false},
                {"cluster": "m2", "namespace": "spark", "remoteName": "b-y", "jobNamespace": "team", "jobName": "b",
                 "jobUid": "v", "attempt": 1, "seq": 40, "jobExists": true, "over": true},
            ],
        }));
        Held {
            queue: "etl".to_owned(),
            restored: restored.unwrap(),
            jobs: vec!["team/waits".to_owned()],
            acknowledged,
            more,
        }
    }

    #[test]
    fn it_says_what_was_seen_what_is_held_and_what_became_of_it() {
        let shown = text(&Report { queues: vec![held(false, false)] }, &[]);
        let expected = "\
SparkQueue etl: the hub's records end at placement 37, and members show later ones.

PLACEMENT   JOB          ON THE HUB   MEMBER   APPLICATION     STATE
41          team/daily   unknown      m1       spark/daily-x   live
40          team/b       older        m2       spark/b-y       over

Held: 1 job, created up to 2026-01-01T00:00:00Z
  team/waits
To let them go: spark-router acknowledge etl
";
        assert_eq!(shown, expected);
        let etl = ["etl".to_owned()];
        let done = text(&Report { queues: vec![held(true, false)] }, &etl);
        assert!(done.ends_with("\nLet go: the router places them like any other.\n"), "{done}");
        let more = text(&Report { queues: vec![held(true, true)] }, &etl);
        assert!(more.contains("they hold for that one"), "{more}");
        let mut many = held(false, false);
        many.jobs = (0..25).map(|n| format!("team/{n}")).collect();
        let many = text(&Report { queues: vec![many] }, &[]);
        assert!(many.contains("Held: 25 jobs") && many.contains("  and 5 more\n"), "{many}");
    }

    #[test]
    fn where_nothing_holds_it_says_so() {
        let none = Report { queues: Vec::new() };
        assert!(text(&none, &[]).starts_with("No SparkQueue holds jobs"));
        assert!(text(&none, &["etl".to_owned()]).starts_with("SparkQueue etl holds no jobs"));
    }

    #[test]
    fn a_program_gets_all_of_it() {
        let json = serde_json::to_value(Report { queues: vec![held(true, false)] }).unwrap();
        let queue = &json["queues"][0];
        assert_eq!(
            (&queue["queue"], &queue["seq"], &queue["acknowledged"]),
            (&json!("etl"), &json!(41), &json!(true))
        );
        assert_eq!(
            (&queue["jobs"], &queue["signs"][0]["jobName"]),
            (&json!(["team/waits"]), &json!("daily"))
        );
    }

    #[test]
    fn held_is_what_waits_and_is_old_enough() {
        let restored = held(false, false).restored;
        let job = |created: &str, status: serde_json::Value| -> RoutedSparkJob {
            serde_json::from_value(json!({
                "apiVersion": "sparkrouter.dev/v1alpha1", "kind": "RoutedSparkJob",
                "metadata": {"name": "a", "namespace": "team", "creationTimestamp": created},
                "spec": {"queue": "etl", "template": {"spec": {"sparkVersion": "4.0.1"}}}, "status": status,
            }))
            .unwrap()
        };
        let over = json!({"conditions": [{"type": "Finished", "status": "True", "reason": "JobFailed", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
        let placed = json!({"placement": {"cluster": "m1", "memberIdentity": "id", "attempt": 1, "namespace": "n",
            "remoteName": "r", "queue": "etl", "seq": 1, "at": "2026-01-01T00:00:00Z", "demand": {"jobs": 1}}});
        assert!(is_held(&job("2026-01-01T00:00:00Z", json!({"phase": "Queued"})), &restored));
        assert!(!is_held(&job("2026-01-01T00:00:01Z", json!({})), &restored));
        assert!(!is_held(&job("2026-01-01T00:00:00Z", over), &restored));
        assert!(!is_held(&job("2026-01-01T00:00:00Z", placed), &restored));
    }
}
