//! `spark-router explain`: reads the hub with the caller's own rights and prints why.
//!
//! Owns no state. Must never write: a manifest is sent only as a dry run.

use std::io::{IsTerminal, Read, Write};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, PostParams},
};
use spark_router_api::RoutedSparkJob;
use spark_router_aws::Clients;
use spark_router_controller::explain::{Explanation, Picture, explain as explain_job};
use spark_router_member::calls::Calls;

use crate::{
    args::{Explain, Output},
    error::Error,
    hub, kinds,
};

pub(crate) async fn explain(asked: Explain) -> Result<(), Error> {
    let config = hub::config(asked.context.as_deref()).await?;
    let default_namespace = config.default_namespace.clone();
    let client = Client::try_from(config).map_err(|error| Error::Refused(Box::new(error)))?;
    let now = Timestamp::now();
    let explanation = if let Some(file) = &asked.file {
        let object =
            dry_run(&client, manifest(file)?, asked.namespace.as_deref(), &default_namespace).await?;
        let picture = picture(&client).await?;
        explain_job(&Picture::as_created(object, now), &picture, now)?
    } else {
        let written = asked.job.as_deref().unwrap_or_default();
        let (namespace, name) = match written.split_once('/') {
            Some((namespace, name)) => (namespace, name),
            None => (asked.namespace.as_deref().unwrap_or(&default_namespace), written),
        };
        let picture = picture(&client).await?;
        let job = picture.job(namespace, name);
        let job = job.ok_or(Error::NoJob { namespace: namespace.to_owned(), name: name.to_owned() })?;
        explain_job(job, &picture, now)?
    };
    print(&explanation, asked.output).map_err(Error::Runtime)
}

fn manifest(file: &std::path::Path) -> Result<RoutedSparkJob, Error> {
    let name = file.display().to_string();
    let read = if name == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let text = read.map_err(|source| Error::File { file: name.clone(), source })?;
    serde_saphyr::from_str(&text).map_err(|error| Error::Manifest { file: name, why: error.to_string() })
}

/// The manifest as the hub would store it: with its defaults, and past its rules and policies.
async fn dry_run(
    client: &Client,
    mut object: RoutedSparkJob,
    namespace: Option<&str>,
    default_namespace: &str,
) -> Result<RoutedSparkJob, Error> {
    let namespace = namespace.map(str::to_owned).or_else(|| object.namespace());
    let namespace = namespace.unwrap_or_else(|| default_namespace.to_owned());
    object.metadata.namespace = Some(namespace.clone());
    let jobs: Api<RoutedSparkJob> = Api::namespaced(client.clone(), &namespace);
    let params = PostParams { dry_run: true, ..PostParams::default() };
    match jobs.create(&params, &object).await {
        Ok(stored) => Ok(stored),
        // Asked of a job that is there already: its manifest is explained as another one.
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(object),
        Err(error) => Err(Error::Refused(Box::new(error))),
    }
}

async fn picture(client: &Client) -> Result<Picture, Error> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let listed = namespaces.list_metadata(&ListParams::default()).await;
    let namespaces = listed.map_err(|source| Error::List { what: "namespaces", source: Box::new(source) })?;
    Ok(Picture {
        jobs: hub::list(Api::all(client.clone()), "routedsparkjobs", None).await?,
        queues: hub::list(Api::all(client.clone()), "sparkqueues", None).await?,
        members: hub::list(Api::all(client.clone()), "memberclusters", None).await?,
        namespaces: namespaces.items,
        // Nothing is asked of a member, so there is nobody to be.
        providers: kinds::providers(Clients::default(), false, Calls::default()),
    })
}

fn print(explanation: &Explanation, output: Output) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match output {
        Output::Json => {
            let text = serde_json::to_string_pretty(explanation).map_err(std::io::Error::other)?;
            writeln!(out, "{text}")
        }
        Output::Table => write!(out, "{}", table(explanation, out.is_terminal())),
    }
}

fn table(explanation: &Explanation, bold: bool) -> String {
    let Explanation { job, queue, phase, placed, would_go_to, reason, message, ahead, members } = explanation;
    let mut text = format!("Job:      {job} in queue {queue}");
    if let Some(phase) = phase {
        text.push_str(&format!(", {phase}"));
    }
    text.push('\n');
    if let Some(placed) = placed {
        text.push_str(&format!("Placed:   on {}: {}\n", placed.cluster, placed.why));
    }
    if let Some(ahead) = ahead {
        text.push_str(&format!("Position: {ahead} jobs of the queue go before it\n"));
    }
    match (would_go_to, reason, message) {
        (Some(cluster), _, message) => {
            let why = message.as_deref().unwrap_or_default();
            let why = why.strip_prefix(&format!("{cluster}: ")).unwrap_or(why);
            text.push_str(&format!("Now:      would go to {cluster} ({why})\n"));
        }
        (None, Some(reason), message) => {
            text.push_str(&format!("Now:      {reason}: {}\n", message.as_deref().unwrap_or_default()));
        }
        (None, None, _) => {}
    }
    if members.is_empty() {
        return text;
    }
    let mut rows = vec![["MEMBER", "TIER", "WEIGHT", "CREDIT", "VERDICT", "WHY"].map(str::to_owned)];
    rows.extend(members.iter().map(|row| {
        let routed = row.verdict != "NoRoute";
        let of_route = |text: String| if routed { text } else { "-".to_owned() };
        [
            row.name.clone(),
            of_route(row.tier.to_string()),
            of_route(row.weight.to_string()),
            of_route(row.credit.clone()),
            row.verdict.clone(),
            row.detail.clone(),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 6] = std::array::from_fn(width);
    text.push('\n');
    for (n, row) in rows.iter().enumerate() {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let line = cells.join("   ");
        let line = line.trim_end();
        if n == 0 && bold {
            text.push_str(&format!("\u{1b}[1m{line}\u{1b}[0m\n"));
        } else {
            text.push_str(&format!("{line}\n"));
        }
    }
    for row in members.iter().filter(|row| !row.otherwise.is_empty()) {
        text.push_str(&format!("\nOn {} it would run otherwise than it says:\n", row.name));
        for said in &row.otherwise {
            text.push_str(&format!("  {said}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use spark_router_controller::explain::MemberRow;

    use super::*;

    #[test]
    fn a_table_is_read_from_top_to_bottom() {
        let row = |name: &str, verdict: &str, detail: &str| MemberRow {
            name: name.to_owned(),
            tier: 0,
            weight: 50,
            credit: "1/2".to_owned(),
            verdict: verdict.to_owned(),
            detail: detail.to_owned(),
            otherwise: Vec::new(),
        };
        let explanation = Explanation {
            job: "team-a/daily".to_owned(),
            queue: "etl".to_owned(),
            phase: Some("Queued".to_owned()),
            placed: None,
            would_go_to: None,
            reason: Some("NoCapacity".to_owned()),
            message: Some("no member has room now".to_owned()),
            ahead: Some(3),
            members: vec![
                row("eu-1", "NoCapacity", "its capacity: needs 2 cpu, 1 of 4 free"),
                row("us", "NoRoute", "the queue has no route to it"),
            ],
        };
        assert_eq!(
            table(&explanation, false),
            "\
Job:      team-a/daily in queue etl, Queued
Position: 3 jobs of the queue go before it
Now:      NoCapacity: no member has room now

MEMBER   TIER   WEIGHT   CREDIT   VERDICT      WHY
eu-1     0      50       1/2      NoCapacity   its capacity: needs 2 cpu, 1 of 4 free
us       -      -        -        NoRoute      the queue has no route to it
"
        );
    }

    #[test]
    fn a_file_that_is_no_job_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("job.yaml");
        std::fs::write(&file, "kind: RoutedSparkJob\nspec: {priority: high}\n").unwrap();
        let error = manifest(&file).unwrap_err().to_string();
        assert!(error.contains("job.yaml is no RoutedSparkJob: "), "{error}");
        let error = manifest(&folder.path().join("none.yaml")).unwrap_err().to_string();
        assert!(error.starts_with("cannot read "), "{error}");
    }
}
