//! What every API server has at the end, and whether anything still moves.
//!
//! Owns no state. Reads are quorum reads: nothing comes from a cache of an API server.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use spark_router_api::{MemberCluster, RoutedSparkJob, SparkQueue};
use spark_router_testkit::Cluster;
use spark_router_testkit::moto::Run;
use spark_router_testkit::router::jobs;
use tokio::time::{Instant, sleep};

use crate::error::Error;
use crate::evidence::{Backend, Evidence, Injected, Meant, Side, Submitted};
use crate::hand::insist;
use crate::site::{Ground, Place, Site, Virtual};
use crate::stage::{LOST_AFTER, NAMESPACES, Stage};

/// How long it may take until one more job comes to rest, once all is mended: a router that starts waits until no former
/// create can take effect, a fence waits as long twice, and then there are retries. A long queue takes longer, one by one.
const REST: Duration = Duration::from_mins(4);
/// Nothing changes for so long: it rests. The oracle does not hold the last ten seconds against a status.
const STILL: Duration = Duration::from_secs(12);
const LOOK: Duration = Duration::from_millis(500);
/// Objects that one call lists: a thousand jobs at once take a debug build longer than a call may.
const PAGE: u32 = 100;
/// A line of an audit log is written after its answer.
const LOGS: Duration = Duration::from_secs(1);

/// Waits until every job has come to where it stays, or none does any more. Returns how many have not.
pub(crate) async fn rest(
    stage: &Stage<'_>,
    submitted: &[Submitted],
    say: &(dyn Fn(&str) + Send + Sync),
) -> Result<usize, Error> {
    let (mut still_since, mut before, mut said) = (Instant::now(), String::new(), Instant::now());
    let (mut came_at, mut fewest) = (Instant::now(), usize::MAX);
    loop {
        let all = all::<RoutedSparkJob>(stage.hub()).await?;
        let by_uid: BTreeMap<_, _> = all.iter().filter_map(|job| Some((job.uid()?, job))).collect();
        let moving: Vec<_> =
            submitted.iter().filter(|job| !is_at_rest(job, by_uid.get(&job.uid).copied())).collect();
        let versions: Vec<_> = all.iter().filter_map(ResourceExt::resource_version).collect();
        let now = versions.join(" ");
        if now != before {
            (before, still_since) = (now, Instant::now());
        }
        if moving.is_empty() && still_since.elapsed() > STILL {
            return Ok(0);
        }
        if moving.len() < fewest {
            (came_at, fewest) = (Instant::now(), moving.len());
        }
        if came_at.elapsed() > REST {
            return Ok(moving.len());
        }
        if said.elapsed() > Duration::from_secs(10) {
            said = Instant::now();
            let names: Vec<_> =
                moving.iter().take(4).map(|job| phase(job, by_uid.get(&job.uid).copied())).collect();
            say(&format!("{} jobs are still on their way: {} ...", moving.len(), names.join(", ")));
        }
        sleep(LOOK).await;
    }
}

fn phase(submitted: &Submitted, job: Option<&RoutedSparkJob>) -> String {
    let said =
        job.map_or_else(|| "gone".to_owned(), |job| format!("{} {}", jobs::phase(job), jobs::reason(job)));
    format!("{} ({said})", submitted.name)
}

fn is_at_rest(submitted: &Submitted, job: Option<&RoutedSparkJob>) -> bool {
    let Some(job) = job else { return true };
    if submitted.deleted {
        return false;
    }
    let waits = submitted.meant == Meant::Wait && jobs::phase(job) == "Queued";
    let runs = submitted.meant == Meant::RunOn && !submitted.cancelled && jobs::phase(job) == "Running";
    jobs::is_finished(job) || waits || runs
}

/// Everything that the oracle is given.
pub(crate) async fn evidence(
    stage: &Stage<'_>,
    jobs: Vec<Submitted>,
    faults: Vec<Injected>,
) -> Result<Evidence, Error> {
    sleep(LOGS).await;
    let mut members = Vec::new();
    for site in &stage.sites {
        members.push(member(site).await?);
    }
    let hub = stage.hub();
    let mut objects = Vec::new();
    objects.extend(values("RoutedSparkJob", &all::<RoutedSparkJob>(hub).await?)?);
    objects.extend(values("MemberCluster", &all::<MemberCluster>(hub).await?)?);
    objects.extend(values("SparkQueue", &all::<SparkQueue>(hub).await?)?);
    let hub =
        Side { name: "hub".to_owned(), audit: hub.audit().path().to_owned(), objects, ..Side::default() };
    let sweep_within = Duration::from_hours(1);
    Ok(Evidence { jobs, hub, members, sweep_within, faults, lost_after: LOST_AFTER })
}

async fn member(site: &Site<'_>) -> Result<Side, Error> {
    match &site.place {
        Place::Cluster(ground) => cluster(ground, site.backend).await,
        Place::Virtual(here) => virtual_cluster(&site.name, here).await,
    }
}

async fn cluster(ground: &Ground<'_>, backend: Backend) -> Result<Side, Error> {
    let cluster = ground.cluster;
    let mut objects = Vec::new();
    let of = format!("applications of {}", cluster.name());
    for namespace in NAMESPACES {
        let applications = listed(&ground.applications(namespace), &of).await?;
        objects.extend(values("SparkApplication", &applications)?);
    }
    objects.extend(values("Pod", &all::<Pod>(cluster).await?)?);
    Ok(Side {
        name: cluster.name().to_owned(),
        backend,
        audit: cluster.audit().path().to_owned(),
        objects,
        operator_doubled: ground.operator_doubled().await?,
    })
}

/// Its runs, and what its server has recorded until then.
async fn virtual_cluster(name: &str, here: &Virtual) -> Result<Side, Error> {
    let run = |run: Run| {
        json!({
            "kind": "JobRun", "id": run.id, "cluster": run.cluster, "name": run.name, "state": run.state, "tags": run.tags,
        })
    };
    Ok(Side {
        name: name.to_owned(),
        backend: Backend::EmrContainers,
        audit: here.moto.record().to_owned(),
        objects: here.moto.runs(None).await?.into_iter().map(run).collect(),
        ..Side::default()
    })
}

async fn all<K>(cluster: &Cluster) -> Result<Vec<K>, Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    listed(&Api::all(cluster.client()), &format!("{} of {}", K::plural(&()), cluster.name())).await
}

async fn listed<K>(api: &Api<K>, what: &str) -> Result<Vec<K>, Error>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let what = format!("listing {what}");
    let (mut objects, mut page) = (Vec::new(), ListParams::default().limit(PAGE));
    loop {
        let part = insist(&what, async || api.list(&page).await).await?;
        objects.extend(part.items);
        match part.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(objects),
        }
    }
}

fn values<K: Serialize>(kind: &str, objects: &[K]) -> Result<Vec<Value>, Error> {
    let value = |object: &K| {
        let mut value = serde_json::to_value(object).map_err(|source| Error::Object {
            side: "an API server".to_owned(),
            what: kind.to_owned(),
            source,
        })?;
        if let Some(fields) = value.as_object_mut() {
            fields.insert("kind".to_owned(), kind.into());
        }
        Ok(value)
    };
    objects.iter().map(value).collect()
}
