//! Proves the shipped admission policy on a real API server: who may use a queue, in which words others are refused, and
//! that nothing else is held up by it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

use std::path::Path;
use std::time::Duration;

use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use spark_router_api::{RoutedSparkJob, names};
use spark_router_testkit::{Cluster, Fleet, chain};
use tokio::time::{Instant, sleep};

/// The router's user.
const ROUTER: &str = "system:serviceaccount:spark-router:spark-router";

/// How long the API server may take to notice a policy or a right.
const NOTICED: Duration = Duration::from_secs(30);

async fn kubectl(hub: &Cluster, user: Option<&str>, arguments: &[&str]) -> Result<String, String> {
    let identity = user.map(|user| ["--as", user]);
    let all = [identity.as_ref().map_or(&[][..], <[_; 2]>::as_slice), arguments].concat();
    hub.kubectl(&all).await.map_err(|error| chain(&error))
}

async fn admin(hub: &Cluster, arguments: &[&str]) -> String {
    kubectl(hub, None, arguments).await.unwrap_or_else(|error| panic!("{error}"))
}

fn write(hub: &Cluster, name: &str, object: &Value) -> String {
    let file = hub.folder().join(format!("{name}.json"));
    std::fs::write(&file, object.to_string()).unwrap();
    file.to_string_lossy().into_owned()
}

fn job(name: &str, queue: &str) -> Value {
    json!({
        "apiVersion": spark_router_api::API_VERSION, "kind": "RoutedSparkJob",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"queue": queue, "template": {"spec": {
            "type": "Scala", "sparkVersion": "4.0.1", "mainApplicationFile": "local:///app.jar"
        }}},
    })
}

fn bind(kind: &str, name: &str, role: &str, users: &[&str]) -> Value {
    let subjects: Vec<_> = users
        .iter()
        .map(|user| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}))
        .collect();
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}, "subjects": subjects,
    })
}

/// What a user reads who may not use a queue.
fn sentence(user: &str, queue: &str) -> String {
    format!(
        "user {user} may not use SparkQueue {queue}; ask its owner for the verb use on sparkqueues/{queue} (group \
         sparkrouter.dev)"
    )
}

fn assert_refused(answer: Result<String, String>, user: &str, queue: &str) {
    let message = answer.unwrap_err();
    assert!(message.contains(&sentence(user, queue)), "{message}");
    assert!(message.contains("Forbidden"), "{message}");
}

/// Tries the same request until it is answered as it should be. Policies and rights show in no object's status when the
/// API server has taken them up: trying is the only way to see.
async fn until(
    hub: &Cluster,
    user: &str,
    arguments: &[&str],
    expected: impl Fn(&Result<String, String>) -> bool,
) {
    let start = Instant::now();
    loop {
        let answer = kubectl(hub, Some(user), arguments).await;
        if expected(&answer) {
            return;
        }
        assert!(start.elapsed() < NOTICED, "{user}: {answer:?}");
        sleep(Duration::from_millis(200)).await;
    }
}

/// A hub with the manifests as they are shipped, where alice, bob and carol may edit jobs in the namespace default.
async fn hub() -> Fleet {
    let fleet = Fleet::builder().hub().start().await.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let hub = fleet.hub();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kustomize/hub");
    admin(hub, &["apply", "--server-side", "-k", &folder.to_string_lossy()]).await;
    admin(
        hub,
        &["wait", "--for=condition=Established", "--timeout=60s", "crd/routedsparkjobs.sparkrouter.dev"],
    )
    .await;
    for role in ["spark-router-jobs-edit", "spark-router-jobs-view"] {
        let binding = write(hub, role, &bind("RoleBinding", role, role, &["alice", "bob", "carol"]));
        admin(hub, &["apply", "-n", "default", "-f", &binding]).await;
    }
    let try_out = write(hub, "try-out", &job("try-out", "any"));
    until(
        hub,
        "bob",
        &["create", "--dry-run=server", "-f", &try_out],
        |answer| matches!(answer, Err(message) if message.contains(&sentence("bob", "any"))),
    )
    .await;
    fleet
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_use_a_queue_is_told_what_to_ask_for() {
    let fleet = hub().await;
    let hub = fleet.hub();
    let daily = write(hub, "daily", &job("daily", "etl"));

    assert_refused(kubectl(hub, Some("alice"), &["create", "-f", &daily]).await, "alice", "etl");
    let applied = kubectl(hub, Some("alice"), &["apply", "--server-side", "-f", &daily]).await;
    assert_refused(applied, "alice", "etl");

    // The pattern of the shipped roles, for one queue.
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "sparkqueue-user-etl"},
        "rules": [{
            "apiGroups": ["sparkrouter.dev"], "resources": ["sparkqueues"], "resourceNames": ["etl"], "verbs": ["get", "use"],
        }],
    });
    let binding = bind("ClusterRoleBinding", "sparkqueue-user-etl", "sparkqueue-user-etl", &["alice"]);
    for (name, object) in [("role", role), ("binding", binding)] {
        admin(hub, &["apply", "-f", &write(hub, name, &object)]).await;
    }
    until(hub, "alice", &["create", "--dry-run=server", "-f", &daily], Result::is_ok).await;
    kubectl(hub, Some("alice"), &["create", "-f", &daily]).await.unwrap();

    // One queue is not another, and one user is not another.
    let other = ["patch", "rsj", "daily", "--type=merge", "-p", r#"{"spec":{"queue":"adhoc"}}"#];
    assert_refused(kubectl(hub, Some("alice"), &other).await, "alice", "adhoc");
    assert_refused(kubectl(hub, Some("bob"), &other).await, "bob", "adhoc");
    let theirs = write(hub, "theirs", &job("theirs", "etl"));
    assert_refused(kubectl(hub, Some("bob"), &["create", "-f", &theirs]).await, "bob", "etl");
    // The admin may move it, and back into her own queue alice may too; bob may not.
    admin(hub, &other).await;
    let back = ["patch", "rsj", "daily", "--type=merge", "-p", r#"{"spec":{"queue":"etl"}}"#];
    assert_refused(kubectl(hub, Some("bob"), &back).await, "bob", "etl");
    kubectl(hub, Some("alice"), &back).await.unwrap();

    // The shipped role is for every queue.
    let all = bind("ClusterRoleBinding", "carol-uses-all", "sparkqueue-user", &["carol"]);
    admin(hub, &["apply", "-f", &write(hub, "carol", &all)]).await;
    until(hub, "carol", &["create", "--dry-run=server", "-f", &theirs], Result::is_ok).await;
    kubectl(hub, Some("carol"), &other).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_keeps_the_queue_is_held_up() {
    let fleet = hub().await;
    let hub = fleet.hub();
    let daily = write(hub, "daily", &job("daily", "etl"));
    admin(hub, &["apply", "--server-side", "-f", &daily]).await;

    // Who may not use the queue may still do what the rights on jobs allow.
    let bob = Some("bob");
    for patch in [r#"{"metadata":{"labels":{"a":"b"}}}"#, r#"{"spec":{"priority":3}}"#] {
        kubectl(hub, bob, &["patch", "rsj", "daily", "--type=merge", "-p", patch]).await.unwrap();
    }
    kubectl(hub, bob, &["apply", "--server-side", "--force-conflicts", "-f", &daily]).await.unwrap();

    // The router has no right to use a queue and needs none.
    let router = Some(ROUTER);
    let hold = r#"{"metadata":{"finalizers":["sparkrouter.dev/job"]}}"#;
    kubectl(hub, router, &["patch", "rsj", "daily", "--type=merge", "-p", hold]).await.unwrap();
    // Its statuses are written as it writes them: kubectl would first read what the router has no need to read.
    let token = hub.token_for("spark-router", "spark-router").await.unwrap();
    let client = hub.client_of(&hub.kubeconfig_with_token(hub.server(), &token)).await.unwrap();
    let jobs: Api<RoutedSparkJob> = Api::namespaced(client, "default");
    let status = json!({
        "apiVersion": spark_router_api::API_VERSION, "kind": "RoutedSparkJob", "metadata": {"name": "daily"},
        "status": {"observedGeneration": 1, "phase": "Queued"},
    });
    let params = PatchParams::apply(names::FIELD_MANAGER).force();
    jobs.patch_status("daily", &params, &Patch::Apply(&status)).await.unwrap();

    // Deletion asks nobody, and neither does the last write that lets the job go.
    kubectl(hub, bob, &["delete", "rsj", "daily", "--wait=false"]).await.unwrap();
    let free = r#"{"metadata":{"finalizers":null}}"#;
    kubectl(hub, router, &["patch", "rsj", "daily", "--type=merge", "-p", free]).await.unwrap();
    let gone = admin(hub, &["get", "rsj", "--ignore-not-found", "daily"]).await;
    assert_eq!(gone, "");
}
