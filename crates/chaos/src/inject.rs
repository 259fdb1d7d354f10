//! Carries one fault out and takes it back.
//!
//! Owns no state. It must never leave a fault behind: whatever was broken is whole when it returns.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use spark_router_api::MemberCluster;
use spark_router_testkit::Cluster;
use spark_router_testkit::fault::{Action, Asked, FaultProxy, Mode, Reply, Rule};
use spark_router_testkit::router::{ACCOUNT, NAMESPACE};
use tokio::time::{Instant, sleep};

use crate::error::Error;
use crate::evidence::{Backend, Span};
use crate::fault::{Kind, Lane};
use crate::hand::insist;
use crate::node;
use crate::plan::Planned;
use crate::site::{Ground, Place, Site};
use crate::stage::{NAMESPACES, Stage};
use crate::virtual_cluster;

/// A fault that meets nobody in its time is given this much more; what comes after it in its lane is late then.
pub(crate) const MORE: Duration = Duration::from_secs(12);
pub(crate) const LOOK: Duration = Duration::from_millis(50);
/// How late late answers are: later than a probe may be.
pub(crate) const LATE: Duration = Duration::from_millis(1200);

/// Carries a fault out; returns after its end from when to when, if it met anybody.
pub(crate) async fn inject(stage: &Stage<'_>, fault: &Planned, seed: u64) -> Result<Option<Span>, Error> {
    match fault.lane {
        Lane::Routers => routers(stage, fault).await,
        Lane::Hub if fault.kind == Kind::HubRestarted => restart(stage.hub(), fault.lasts).await,
        Lane::Hub => {
            let ways: Vec<_> = stage.seats.iter().map(|seat| &seat.way).collect();
            Ok(wire(&ways, fault, seed).await)
        }
        Lane::Member(place) => match stage.sites.get(place) {
            Some(site) => member(stage, site, fault, seed).await,
            None => Ok(None),
        },
        Lane::Applications => applications(stage, fault, seed).await,
    }
}

async fn routers(stage: &Stage<'_>, fault: &Planned) -> Result<Option<Span>, Error> {
    let leader = stage.leader().await;
    let place = if fault.kind == Kind::StandbyKilled { 1 - leader.min(1) } else { leader };
    let Some(seat) = stage.seats.get(place) else { return Ok(None) };
    if fault.kind == Kind::LeaderPaused {
        let from = Timestamp::now();
        let paused = {
            let chair = seat.router.lock().await;
            chair.router.process().ended().is_none() && chair.router.pause().is_ok()
        };
        sleep(fault.lasts).await;
        let to = Timestamp::now();
        // One that was started anew meanwhile is not paused: it takes no notice.
        let chair = seat.router.lock().await;
        if chair.router.process().ended().is_none() {
            chair.router.resume()?;
        }
        return Ok(paused.then_some(Span { from, to }));
    }
    let from = {
        let mut chair = seat.router.lock().await;
        chair.held = true;
        let from = Timestamp::now();
        chair.router.kill()?;
        from
    };
    sleep(fault.lasts).await;
    let mut chair = seat.router.lock().await;
    chair.held = false;
    let to = Timestamp::now();
    chair.router.restart()?;
    Ok(Some(Span { from, to }))
}

async fn restart(cluster: &Cluster, down: Duration) -> Result<Option<Span>, Error> {
    let from = Timestamp::now();
    cluster.stop_apiserver()?;
    sleep(down).await;
    cluster.start_apiserver().await?;
    Ok(Some(since(from)))
}

async fn member(
    stage: &Stage<'_>,
    site: &Site<'_>,
    fault: &Planned,
    seed: u64,
) -> Result<Option<Span>, Error> {
    let from = Timestamp::now();
    match fault.kind {
        Kind::MemberCordoned => return set_for(stage, site, "unschedulable", fault.lasts).await,
        Kind::MemberDrained => return set_for(stage, site, "drain", fault.lasts).await,
        _ => {}
    }
    let ground = match &site.place {
        Place::Cluster(ground) => ground,
        Place::Virtual(here) => return virtual_cluster::disturb(here, fault, seed).await,
    };
    match fault.kind {
        Kind::MemberRestarted => restart(ground.cluster, fault.lasts).await,
        Kind::CredentialsRotated => rotate(stage, ground, fault.lasts).await,
        Kind::OperatorCrashed => {
            ground.crash_operator(fault.lasts).await?;
            Ok(Some(since(from)))
        }
        Kind::NodeLost => node::lose(&ground.cluster.client(), fault.lasts).await,
        _ => Ok(wire(&[&ground.proxy], fault, seed).await),
    }
}

/// The old token is worth nothing any more; some time later the hub gets a new one.
async fn rotate(stage: &Stage<'_>, site: &Ground<'_>, gap: Duration) -> Result<Option<Span>, Error> {
    let from = Timestamp::now();
    let accounts: Api<ServiceAccount> = Api::namespaced(site.cluster.client(), NAMESPACE);
    let gone = async || match accounts.delete(ACCOUNT, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => other.map(drop),
    };
    insist("deleting the router's account", gone).await?;
    let account = ServiceAccount {
        metadata: kube::core::ObjectMeta {
            name: Some(ACCOUNT.to_owned()),
            ..kube::core::ObjectMeta::default()
        },
        ..ServiceAccount::default()
    };
    let made = async || match accounts.create(&PostParams::default(), &account).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        other => other.map(drop),
    };
    insist("creating the router's account anew", made).await?;
    sleep(gap).await;
    let name = site.cluster.name();
    let started = Instant::now();
    loop {
        let renewed = async {
            let kubeconfig = site.proxy.kubeconfig(&stage.installation.kubeconfig(name).await?)?;
            stage.installation.write_secret(name, &kubeconfig).await
        };
        match renewed.await {
            Ok(()) => return Ok(Some(since(from))),
            Err(error) if started.elapsed() > Duration::from_mins(1) => return Err(error.into()),
            // The hub is away, or the member.
            Err(_) => sleep(LOOK).await,
        }
    }
}

/// Sets a field of a member's spec for some time.
async fn set_for(
    stage: &Stage<'_>,
    site: &Site<'_>,
    field: &str,
    lasts: Duration,
) -> Result<Option<Span>, Error> {
    let from = Timestamp::now();
    let members: Api<MemberCluster> = Api::all(stage.hub().client());
    for value in [true, false] {
        let patch = Patch::Merge(json!({"spec": {field: value}}));
        let set = async || members.patch(&site.name, &PatchParams::default(), &patch).await;
        insist("changing a MemberCluster", set).await?;
        if value {
            sleep(lasts).await;
        }
    }
    Ok(Some(since(from)))
}

/// Breaks what goes over the wire.
async fn wire(proxies: &[&FaultProxy], fault: &Planned, seed: u64) -> Option<Span> {
    let from = Timestamp::now();
    let mode = match fault.kind {
        Kind::HubCut | Kind::MemberCut => Some(Mode::Refuse),
        Kind::MemberSilent | Kind::MemberLost => Some(Mode::Silent),
        _ => None,
    };
    if let Some(mode) = mode {
        for proxy in proxies {
            proxy.set(mode).await;
        }
        sleep(fault.lasts).await;
        let to = Timestamp::now();
        for proxy in proxies {
            proxy.set(Mode::Up).await;
        }
        return Some(Span { from, to });
    }
    let rules = rules(fault.kind, seed);
    let added: Vec<_> = proxies
        .iter()
        .flat_map(|proxy| rules.iter().map(move |rule| (*proxy, proxy.add(rule.clone()))))
        .collect();
    let hits = || added.iter().map(|(proxy, rule)| proxy.hits(*rule)).sum::<u64>();
    let started = Instant::now();
    sleep(fault.lasts).await;
    while hits() == 0 && started.elapsed() < fault.lasts + MORE {
        sleep(LOOK).await;
    }
    let met = hits() > 0;
    for (proxy, rule) in added {
        proxy.remove(rule);
    }
    met.then(|| since(from))
}

pub(crate) fn since(from: Timestamp) -> Span {
    Span { from, to: Timestamp::now() }
}

fn rules(kind: Kind, seed: u64) -> Vec<Rule> {
    let is_write = |asked: &Asked| matches!(&*asked.method, "POST" | "PUT" | "PATCH" | "DELETE");
    match kind {
        Kind::HubAnswersLost => vec![Rule::new(Action::SwallowAnswer).when(is_write).chance(1, 2, seed)],
        Kind::MemberAnswersLost => {
            let of_applications =
                Rule::new(Action::SwallowAnswer).when(is_write).containing("sparkapplications");
            vec![of_applications.chance(2, 3, seed)]
        }
        Kind::HubLate | Kind::MemberLate => vec![Rule::new(Action::Delay(LATE)).chance(1, 2, seed)],
        Kind::HubErrors | Kind::MemberErrors => [Reply::internal(), Reply::unavailable()]
            .map(|reply| Rule::new(Action::Reply(reply)).chance(1, 3, seed))
            .into(),
        Kind::HubThrottled | Kind::MemberThrottled => {
            let reply = Reply::too_many_requests().retry_after(Duration::from_secs(1));
            vec![Rule::new(Action::Reply(reply))]
        }
        _ => Vec::new(),
    }
}

/// Does something to an application or a job run, on whatever member there is one.
async fn applications(stage: &Stage<'_>, fault: &Planned, seed: u64) -> Result<Option<Span>, Error> {
    let from = Timestamp::now();
    let started = Instant::now();
    let mut place = usize::try_from(seed).unwrap_or_default();
    while started.elapsed() < fault.lasts + MORE {
        place = place.wrapping_add(1);
        let site = stage.sites.get(place.checked_rem(stage.sites.len()).unwrap_or_default());
        let namespace = NAMESPACES.get(place & 1).copied();
        let touched = match (site.map(|site| &site.place), namespace) {
            (Some(Place::Virtual(here)), _) if fault.kind == Kind::RunCancelled => {
                virtual_cluster::cancel_one(here).await
            }
            (Some(Place::Cluster(ground)), Some(namespace)) if fault.kind != Kind::RunCancelled => {
                touch(ground, namespace, fault.kind).await
            }
            _ => false,
        };
        if touched {
            return Ok(Some(since(from)));
        }
        sleep(LOOK).await;
    }
    Ok(None)
}

/// Whether there was one to touch. A member that does not answer now has none.
async fn touch(site: &Ground<'_>, namespace: &str, kind: Kind) -> bool {
    let is_kubeflow = site.backend() == Backend::Kubeflow;
    let (path, running) = if is_kubeflow {
        ("/status/applicationState/state", "RUNNING")
    } else {
        ("/status/currentState/currentStateSummary", "RunningHealthy")
    };
    // Apache's operator does not mind a label.
    if kind == Kind::ApplicationLabelled && !is_kubeflow {
        return false;
    }
    let api = site.applications(namespace);
    let wanted = |application: &DynamicObject| {
        let state = application.data.pointer(path).and_then(Value::as_str);
        match kind {
            Kind::ApplicationLabelled => state.unwrap_or_default().is_empty(),
            _ => state == Some(running),
        }
    };
    let Ok(all) = api.list(&ListParams::default()).await else { return false };
    let Some(found) = all.iter().find(|it| it.metadata.deletion_timestamp.is_none() && wanted(it)) else {
        return false;
    };
    let name = found.name_any();
    if kind == Kind::ApplicationLabelled {
        let patch = Patch::Merge(json!({"metadata": {"labels": {"cost-centre": "unknown"}}}));
        return api.patch(&name, &PatchParams::default(), &patch).await.is_ok();
    }
    api.delete(&name, &DeleteParams::default()).await.is_ok()
}
