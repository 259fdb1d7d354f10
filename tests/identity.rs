//! Who a member is: it may become another cluster only when no job is placed on it, not even a restarted router takes
//! jobs for gone because another cluster does not know them, and `forget` is the one way to let go of what runs.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use spark_router_api::{MemberCluster, condition};
use spark_router_testkit::{
    Error, Fleet, MemberOptions, OperatorKind, chain,
    operator::{Options, ScriptedOperator},
    router::{Installation, Router, RouterOptions, jobs, objects},
};

const PATIENCE: Duration = Duration::from_mins(1);

struct Stage<'a> {
    fleet: &'a Fleet,
    installation: Installation<'a>,
    router: Router,
    members: Api<MemberCluster>,
    started: Instant,
}

impl Stage<'_> {
    /// The value, or the end of the test with what the router said last.
    fn sure<T>(&self, result: Result<T, Error>) -> T {
        result.unwrap_or_else(|error| {
            panic!("{}\nthe router said:\n{}", chain(&error), self.router.log_tail(40))
        })
    }

    /// Waits until a member's Ready condition has this status and reason; its message.
    async fn ready(&self, name: &str, status: &str, reason: &str) -> String {
        let what = format!("Ready={status} {reason}");
        let wanted = |member: &MemberCluster| {
            ready_of(member).is_some_and(|ready| ready.status == status && ready.reason == reason)
        };
        let waited = jobs::wait_until(self.members.clone(), name, &what, PATIENCE, wanted).await;
        match waited {
            Ok(member) => {
                eprintln!("{:?}: {name} is Ready={status} {reason}", self.started.elapsed());
                ready_of(&member).unwrap().message.clone()
            }
            Err(error) => {
                let shown = self.members.get(name).await.ok();
                let shown = shown.as_ref().and_then(ready_of);
                panic!("{}; it is {shown:?}\nthe router said:\n{}", chain(&error), self.router.log_tail(40))
            }
        }
    }

    async fn identity(&self, name: &str) -> String {
        self.members.get(name).await.unwrap().status.unwrap().identity.unwrap()
    }

    async fn gone(&self, name: &str) {
        self.sure(jobs::wait_gone(self.members.clone(), name, PATIENCE).await);
    }

    async fn merge(&self, name: &str, patch: Value) {
        self.members.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    async fn submit(&self, name: &str, script: &str) {
        let job = objects::job("team", name, "etl", |template| objects::annotate(template, "script", script));
        self.sure(self.installation.submit(&job).await);
    }

    async fn phase(&self, name: &str, phase: &str) {
        self.sure(jobs::wait_for_phase(self.fleet.hub(), "team", name, phase, PATIENCE).await);
        eprintln!("{:?}: {name} is {phase}", self.started.elapsed());
    }
}

fn ready_of(member: &MemberCluster) -> Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    condition::find(&member.status.as_ref()?.conditions, condition::READY)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_stays_who_it_is() {
    let crds = || MemberOptions { operator: OperatorKind::CrdsOnly, ..MemberOptions::default() };
    let fleet = Fleet::builder().hub().member_with("m1", crds()).member_with("m2", crds()).start().await;
    let fleet = fleet.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let _operators =
        ["m1", "m2"].map(|name| ScriptedOperator::start(fleet.member(name).client(), Options::default()));
    let installation = Installation::new(&fleet).await.unwrap();
    installation.prepare("m1").await.unwrap();
    installation.prepare("m2").await.unwrap();
    installation.namespace("team").await.unwrap();
    let hub = fleet.hub();
    hub.apply_manifest(&objects::queue("etl", &objects::weights(&[("m1", 1)])).to_string()).await.unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_spark-router"));
    let router = Router::start(&fleet, binary, RouterOptions::default()).await.unwrap();
    let mut stage = Stage {
        fleet: &fleet,
        installation,
        router,
        members: Api::all(hub.client()),
        started: Instant::now(),
    };
    stage.sure(stage.router.wait_ready().await);

    stage.installation.connect("m1").await.unwrap();
    stage.installation.register("m1", json!({})).await.unwrap();
    stage.ready("m1", "True", "Ready").await;

    credentials_that_lead_elsewhere_are_not_followed_while_jobs_are_placed(&mut stage).await;
    a_member_is_kept_for_its_jobs_and_let_go_of_with_them_where_that_is_said(&stage).await;
    calm_writes_nothing(&stage).await;
}

async fn credentials_that_lead_elsewhere_are_not_followed_while_jobs_are_placed(stage: &mut Stage<'_>) {
    let (first, second) = (stage.identity("m1").await, stage.installation.kubeconfig("m2").await.unwrap());
    stage.submit("long", "hang-running").await;
    stage.phase("long", "Running").await;
    stage.installation.write_secret("m1", &second).await.unwrap();
    let message = stage.ready("m1", "False", "IdentityChanged").await;
    assert!(message.contains(&first), "{message}");
    assert_eq!(stage.identity("m1").await, first);
    stage.submit("meanwhile", "succeed").await;
    stage.phase("meanwhile", "Queued").await;

    // A new process has no former link to go on with. It must not take the job for vanished because the other cluster
    // does not know it.
    stage.router.kill().unwrap();
    stage.router.restart().unwrap();
    stage.sure(stage.router.wait_ready().await);
    tokio::time::sleep(Duration::from_secs(8)).await;
    stage.ready("m1", "False", "IdentityChanged").await;
    assert_eq!(stage.identity("m1").await, first);
    stage.phase("long", "Running").await;

    stage.installation.write_secret("m1", &stage.installation.kubeconfig("m1").await.unwrap()).await.unwrap();
    stage.ready("m1", "True", "Ready").await;
    stage.phase("meanwhile", "Succeeded").await;
    stage.phase("long", "Running").await;

    // Without jobs, the member may become another cluster.
    let long: Api<spark_router_api::RoutedSparkJob> = Api::namespaced(stage.fleet.hub().client(), "team");
    long.delete("long", &DeleteParams::default()).await.unwrap();
    stage.sure(jobs::wait_gone(long, "long", PATIENCE).await);
    stage.installation.write_secret("m1", &second).await.unwrap();
    let started = Instant::now();
    while stage.identity("m1").await == first {
        assert!(started.elapsed() < PATIENCE, "the member stays what it was");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stage.ready("m1", "True", "Ready").await;
    stage.installation.connect("m1").await.unwrap();
    let started = Instant::now();
    while stage.identity("m1").await != first {
        assert!(started.elapsed() < PATIENCE, "the member does not come back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stage.ready("m1", "True", "Ready").await;
}

async fn a_member_is_kept_for_its_jobs_and_let_go_of_with_them_where_that_is_said(stage: &Stage<'_>) {
    stage.submit("forgotten", "hang-running").await;
    stage.phase("forgotten", "Running").await;
    stage.members.delete("m1", &DeleteParams::default()).await.unwrap();
    stage.ready("m1", "False", "Terminating").await;
    stage.merge("m1", json!({"spec": {"forget": true}})).await;
    stage.gone("m1").await;
}

async fn calm_writes_nothing(stage: &Stage<'_>) {
    stage.installation.register("m2", json!({})).await.unwrap();
    stage.installation.connect("m2").await.unwrap();
    stage.ready("m2", "True", "Ready").await;
    // The last counters may still be due.
    tokio::time::sleep(Duration::from_secs(11)).await;
    let version = stage.members.get("m2").await.unwrap().resource_version();
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(stage.members.get("m2").await.unwrap().resource_version(), version);
}
