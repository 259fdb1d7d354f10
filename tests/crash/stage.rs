//! The set that the router dies on: a hub and three members, each behind a fault proxy, with scripted operators.
//!
//! Purpose: stop the router between any two of its calls, and see afterwards what was done and what was not. Owns the
//! router, the proxies and the operators. It must never stop a call but one that the test named, and never look through a
//! proxy: what it reads comes from the API servers.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use spark_router_api::{RoutedSparkJob, SparkApplicationView, names};
use spark_router_testkit::fault::{Action, FaultProxy, Gate, Outcome, Rule, RuleId};
use spark_router_testkit::operator::{Options, ScriptedOperator};
use spark_router_testkit::router::{ACCOUNT, Installation, NAMESPACE, Router, RouterOptions, jobs, objects};
use spark_router_testkit::{Cluster, Fleet};

use crate::scene::{PATIENCE, Watched, sure};

/// The members and their weights.
pub(crate) const MEMBERS: [(&str, u32); 3] = [("m1", 50), ("m2", 30), ("m3", 20)];

/// The namespace of the jobs.
pub(crate) const TEAM: &str = "team";

/// The queue of the jobs.
pub(crate) const QUEUE: &str = "etl";

/// No awaited call takes this long, unless it is never made.
const AWAITED: Duration = Duration::from_secs(45);

/// See the module.
pub(crate) struct Stage<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) installation: Installation<'a>,
    pub(crate) router: Watched,
    pub(crate) operators: Vec<ScriptedOperator>,
    hub: FaultProxy,
    members: Vec<FaultProxy>,
}

/// Which API server a call goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Hub,
    /// Any of them.
    Members,
}

/// A call that is held where it is, in front of one side.
pub(crate) struct Trap {
    pub(crate) gate: Gate,
    side: Side,
    /// One for each proxy of the side.
    rules: Vec<RuleId>,
}

impl<'a> Stage<'a> {
    /// Sets everything up and starts the router; returns when the members are Ready.
    pub(crate) async fn set(fleet: &'a Fleet) -> Self {
        let installation = sure(Installation::new(fleet).await);
        let (mut members, mut operators) = (Vec::new(), Vec::new());
        for (name, _) in MEMBERS {
            let proxy = before(fleet.member(name)).await;
            sure(installation.member_through(name, &proxy, json!({"retention": "1s"})).await);
            members.push(proxy);
            let options = Options { driver_pods: true, ..Options::default() };
            operators.push(ScriptedOperator::start(fleet.member(name).client(), options));
        }
        sure(installation.namespace(TEAM).await);
        let queue = objects::queue(QUEUE, &objects::weights(&MEMBERS));
        sure(fleet.hub().apply_manifest(&queue.to_string()).await);

        let hub = before(fleet.hub()).await;
        let token = sure(fleet.hub().token_for(NAMESPACE, ACCOUNT).await);
        let kubeconfig = fleet.hub().kubeconfig_with_token(fleet.hub().server(), &token);
        let path = fleet.hub().folder().join("through-the-proxy.kubeconfig");
        std::fs::write(&path, sure(hub.kubeconfig(&kubeconfig))).unwrap();
        let options = RouterOptions {
            arguments: vec!["--retention-floor=1s".to_owned()],
            environment: vec![("KUBECONFIG".to_owned(), path.to_string_lossy().into_owned())],
            ..RouterOptions::default()
        };
        let binary = Path::new(env!("CARGO_BIN_EXE_spark-router"));
        let router = Watched(sure(Router::start(fleet, binary, options).await));
        sure(router.0.wait_ready().await);
        sure(installation.wait_members(&MEMBERS.map(|(name, _)| name), PATIENCE).await);
        Self { fleet, installation, router, operators, hub, members }
    }

    fn proxies(&self, side: Side) -> &[FaultProxy] {
        match side {
            Side::Hub => std::slice::from_ref(&self.hub),
            Side::Members => &self.members,
        }
    }

    /// Holds the calls that a rule takes at a gate: before they are forwarded, or (`answers`) their answers.
    pub(crate) fn trap(&self, side: Side, answers: bool, rule: impl Fn(Rule) -> Rule) -> Trap {
        let gate = Gate::new();
        let action =
            if answers { Action::HoldAnswer(gate.clone()) } else { Action::HoldThenForward(gate.clone()) };
        let rules =
            self.proxies(side).iter().map(|proxy| proxy.add(rule(Rule::new(action.clone())))).collect();
        Trap { gate, side, rules }
    }

    /// Lets later calls pass; those that are held stay held.
    pub(crate) fn disarm(&self, trap: &Trap) {
        for (proxy, rule) in self.proxies(trap.side).iter().zip(&trap.rules) {
            proxy.remove(*rule);
        }
    }

    /// Waits until a call is in the trap.
    pub(crate) async fn caught(&self, trap: &Trap, what: &str) {
        let caught = tokio::time::timeout(AWAITED, trap.gate.wait_arrived(1)).await;
        assert!(caught.is_ok(), "{what} was not caught in {AWAITED:?}");
    }

    /// Lets the held call go on and returns what the API server said to it.
    pub(crate) async fn let_through(&self, trap: &Trap) -> Outcome {
        let ended = trap.rules.iter().zip(self.proxies(trap.side)).map(|(rule, proxy)| {
            let rule = *rule;
            proxy.wait_for(move |record| record.rule == Some(rule) && has_ended(&record.outcome), AWAITED)
        });
        trap.gate.open();
        let ended = futures::future::select_ok(ended.map(Box::pin)).await;
        ended.map_or(Outcome::Pending, |(record, _)| record.outcome)
    }

    /// Waits until the router has made so many more calls to the hub, or has nothing more to say for now.
    pub(crate) async fn hub_calls(&self, count: u64, at_most: Duration) {
        let last = self.hub.requests().saturating_add(count);
        // A quiet router is as good a victim as a busy one.
        let _ = self.hub.wait_for(move |record| record.id >= last, at_most).await;
    }

    /// All jobs of the hub.
    pub(crate) async fn jobs(&self) -> Vec<RoutedSparkJob> {
        let api: Api<RoutedSparkJob> = Api::namespaced(self.fleet.hub().client(), TEAM);
        api.list(&ListParams::default()).await.unwrap().items
    }

    /// A job's application, on whatever member it is.
    pub(crate) async fn application(&self, job: &RoutedSparkJob) -> Option<SparkApplicationView> {
        let uid = job.uid()?;
        let ours = ListParams::default().labels(&format!("{}={uid}", names::JOB_UID_LABEL));
        let mut found = Vec::new();
        for (name, _) in MEMBERS {
            let api: Api<SparkApplicationView> = Api::namespaced(self.fleet.member(name).client(), TEAM);
            found.extend(api.list(&ours).await.unwrap().items);
        }
        assert!(found.len() < 2, "{} is on members {} times", job.name_any(), found.len());
        found.pop()
    }

    /// What is left on members of jobs that have ended by being deleted: applications and drivers.
    pub(crate) async fn left_of(&self, deleted: &BTreeSet<String>) -> Vec<String> {
        let of_deleted = |meta: &ObjectMeta| {
            let uid = meta.labels.as_ref().and_then(|labels| labels.get(names::JOB_UID_LABEL));
            uid.is_some_and(|uid| deleted.contains(uid)).then(|| meta.name.clone()).flatten()
        };
        let mut left = Vec::new();
        for (name, _) in MEMBERS {
            let client = self.fleet.member(name).client();
            let applications: Api<SparkApplicationView> = Api::namespaced(client.clone(), TEAM);
            let pods: Api<Pod> = Api::namespaced(client, TEAM);
            let everything = ListParams::default();
            left.extend(
                applications
                    .list(&everything)
                    .await
                    .unwrap()
                    .iter()
                    .filter_map(|it| of_deleted(&it.metadata)),
            );
            left.extend(
                pods.list(&everything).await.unwrap().iter().filter_map(|it| of_deleted(&it.metadata)),
            );
        }
        left
    }

    /// All that members did with a job's applications, as their audit logs and operators tell it, for a failed test.
    pub(crate) fn history(&self, name: &str) -> Vec<String> {
        let application = format!("{name}-");
        let mut history = Vec::new();
        for (member, _) in MEMBERS {
            for call in sure(self.fleet.member(member).audit().calls()) {
                let of_job = call.name.starts_with(&application)
                    || call.request.as_ref().is_some_and(|body| {
                        body["metadata"]["annotations"][names::JOB_NAME_ANNOTATION] == name
                    });
                if of_job {
                    let (from, to, code, kind, user) =
                        (&call.received, &call.done, call.code, call.kind(), &call.user);
                    history.push(format!(
                        "{from} - {to} {member}: {code} {kind} by {user}: {:?}",
                        call.response
                    ));
                }
            }
        }
        history.sort();
        let seen = self.operators.iter().flat_map(|operator| operator.seen().into_iter());
        history.extend(
            seen.filter(|(_, seen)| seen.name.starts_with(&application))
                .map(|(uid, seen)| format!("{uid}: {seen:?}")),
        );
        history
    }

    /// Submits a job with this much time in RUNNING.
    pub(crate) async fn submit(
        &self,
        name: &str,
        run: Duration,
        edit: impl FnOnce(&mut Value),
    ) -> RoutedSparkJob {
        let job = objects::job(TEAM, name, QUEUE, |template| {
            objects::annotate(template, "run-ms", &run.as_millis().to_string());
            edit(template);
        });
        sure(self.installation.submit(&job).await)
    }

    /// Deletes a job, as its user; does not wait for its end.
    pub(crate) async fn delete(&self, name: &str) {
        let api: Api<RoutedSparkJob> = Api::namespaced(self.fleet.hub().client(), TEAM);
        api.delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Waits until a job is Running on the hub.
    pub(crate) async fn running(&self, name: &str) {
        sure(jobs::wait_for_phase(self.fleet.hub(), TEAM, name, "Running", AWAITED).await);
    }
}

/// A call whose client is gone is still acted on; its record ends all the same.
fn has_ended(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::Pending | Outcome::Held | Outcome::AnswerHeld(_))
}

/// A proxy that passes tokens on and knows no other identity.
async fn before(cluster: &Cluster) -> FaultProxy {
    sure(FaultProxy::start(cluster.server(), cluster.authority().certificate()).await)
}
