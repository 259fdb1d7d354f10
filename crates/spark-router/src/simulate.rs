//! `spark-router simulate`: reads the files, runs the simulator, prints the report.
//!
//! Owns no state. Needs no cluster and no network.

use std::{
    io::{BufReader, Read, Write},
    path::Path,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Namespace as NamespaceObject;
use kube::ResourceExt;
use serde_json::Value;
use spark_router_api::{MemberCluster, SparkQueue};
use spark_router_aws::Clients;
use spark_router_controller::convert;
use spark_router_core::{
    health::LinkState,
    id::{ClusterName, MemberIdentity, Namespace, QueueName},
    resources::Capacity,
};
use spark_router_member::calls::Calls;
use spark_router_simulator::{
    fleet::Fleet,
    generate::Parameters,
    plot,
    report::{Clock, Outcome},
    run::{Progress, Settings, run},
    trace,
};

use crate::{
    args::{ReportFormat, Simulate},
    error::Error,
    kinds,
};

/// How often progress is told.
const TOLD_EVERY: Duration = Duration::from_secs(2);

pub(crate) fn simulate(asked: &Simulate) -> Result<(), Error> {
    let generated = asked.generate.as_deref().map(str::parse::<Parameters>).transpose()?;
    let fleet = match (&asked.members, &generated) {
        (Some(file), _) => fleet(file)?,
        (None, Some(parameters)) => parameters.fleet(),
        (None, None) => Fleet::default(),
    };
    let settings = Settings { submitted_after: asked.submit_delay, running_after: asked.start_delay };
    let progress = teller(asked.quiet);
    let outcome = match (&asked.trace, generated) {
        (Some(file), _) => {
            let name = name_of(file);
            let jobs = trace::read(BufReader::new(open(file)?))
                .map_err(|source| Error::Trace { file: name, source })?;
            run(&fleet, jobs, settings, progress)?
        }
        (None, parameters) => {
            let parameters = parameters.unwrap_or_default();
            let capacities = fleet.members.values().map(|facts| facts.capacity);
            let total =
                capacities.reduce(|sum: Capacity, next| sum.plus(&next)).and_then(|total| total.cpu_milli);
            let queues: Vec<_> = fleet.queues.keys().cloned().collect();
            run(&fleet, parameters.jobs(&queues, total), settings, progress)?
        }
    };
    if let Some(directory) = &asked.plots {
        plot::write(&outcome, directory)?;
    }
    print(&outcome, asked.format).map_err(Error::Runtime)
}

fn print(outcome: &Outcome, format: ReportFormat) -> std::io::Result<()> {
    let text = match format {
        ReportFormat::Text => outcome.to_string(),
        ReportFormat::Json => outcome.json().map_err(std::io::Error::other)? + "\n",
    };
    std::io::stdout().lock().write_all(text.as_bytes())
}

/// Tells on standard error how far a long run is.
fn teller(quiet: bool) -> impl FnMut(Progress) {
    let mut told = Instant::now();
    move |progress| {
        if quiet || told.elapsed() < TOLD_EVERY {
            return;
        }
        told = Instant::now();
        let Progress { arrived, placed, clock } = progress;
        eprintln!("{arrived} jobs arrived, {placed} placed, virtual time {}", Clock(clock));
    }
}

fn name_of(file: &Path) -> String {
    file.display().to_string()
}

fn open(file: &Path) -> Result<Box<dyn Read>, Error> {
    if file.as_os_str() == "-" {
        return Ok(Box::new(std::io::stdin()));
    }
    let opened = std::fs::File::open(file);
    Ok(Box::new(opened.map_err(|source| Error::File { file: name_of(file), source })?))
}

/// Members, queues and namespaces of a file of manifests.
fn fleet(file: &Path) -> Result<Fleet, Error> {
    let name = name_of(file);
    let mut text = String::new();
    open(file)?.read_to_string(&mut text).map_err(|source| Error::File { file: name.clone(), source })?;
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).map_err(|error| Error::Fleet {
        file: name.clone(),
        document: 1,
        why: error.to_string(),
    })?;
    let mut fleet = Fleet::default();
    for (n, document) in documents.into_iter().filter(|document| !document.is_null()).enumerate() {
        add(&mut fleet, document).map_err(|why| Error::Fleet { file: name.clone(), document: n + 1, why })?;
    }
    Ok(fleet)
}

fn add(fleet: &mut Fleet, document: Value) -> Result<(), String> {
    let kind = document.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    let typed = |error: serde_json::Error| format!("is no {kind}: {error}");
    match kind.as_str() {
        "MemberCluster" => {
            let object: MemberCluster = serde_json::from_value(document).map_err(typed)?;
            convert::readable(&object)?;
            // Nothing is asked of a member.
            let providers = kinds::providers(Clients::default(), false, Calls::default());
            let mut facts = convert::member_on_record(&object, &providers);
            let name = object.name_any();
            // Nobody is asked how it is.
            (facts.link, facts.fault) = (LinkState::Ready, None);
            facts.identity = Some(MemberIdentity::new(&name));
            // A trace has no templates: any of its jobs runs anywhere.
            facts.backend = None;
            fleet.members.insert(ClusterName::new(name), facts);
        }
        "SparkQueue" => {
            let object: SparkQueue = serde_json::from_value(document).map_err(typed)?;
            let (facts, admits, _) = convert::queue(&object)?;
            fleet.queues.insert(QueueName::new(object.name_any()), (facts, admits));
        }
        "Namespace" => {
            let object: NamespaceObject = serde_json::from_value(document).map_err(typed)?;
            fleet.namespaces.insert(Namespace::new(object.name_any()), convert::namespace_labels(&object));
        }
        "" => return Err("has no kind; MemberCluster, SparkQueue and Namespace are read".to_owned()),
        other => {
            return Err(format!("kind {other:?} is not read; MemberCluster, SparkQueue and Namespace are"));
        }
    }
    Ok(())
}
