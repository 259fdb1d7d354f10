//! Members that come, go, change and break while the router runs: what is refused and in which words, and that the
//! others never notice.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod scene;

use std::time::Instant;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use spark_router_api::{MemberCluster, RoutedSparkJob};
use spark_router_testkit::fault::{FaultProxy, Mode};
use spark_router_testkit::operator::{Options, ScriptedOperator};
use spark_router_testkit::router::oracle::RemoteApplications;
use spark_router_testkit::router::{ACCOUNT, Installation, NAMESPACE, USER, jobs, objects};
use spark_router_testkit::{Cluster, Fleet, chain};

use scene::{
    PATIENCE, Watched, crds_only, creates, endless, member, not_ready, patch, pinned, queued, readiness,
    ready, running, succeeded, sure, until,
};

const NS: &str = "team";

struct Scene<'a> {
    fleet: &'a Fleet,
    hub: &'a Cluster,
    installation: Installation<'a>,
    proxy: FaultProxy,
}

impl Scene<'_> {
    async fn submit(&self, job: &Value) -> RoutedSparkJob {
        sure(self.installation.submit(job).await)
    }

    /// Submits a job that may go to this member only and waits for its end there.
    async fn serves(&self, member: &str, name: &str) {
        self.submit(&pinned(job(name), &[member])).await;
        assert_eq!(jobs::cluster(&succeeded(self.hub, NS, name).await), member);
    }

    async fn delete_job(&self, name: &str) {
        let api: Api<RoutedSparkJob> = Api::namespaced(self.hub.client(), NS);
        api.delete(name, &DeleteParams::default()).await.unwrap();
        sure(jobs::wait_gone(api, name, PATIENCE).await);
    }

    async fn delete_member(&self, name: &str) {
        Api::<MemberCluster>::all(self.hub.client()).delete(name, &DeleteParams::default()).await.unwrap();
    }

    async fn member_is_gone(&self, name: &str) {
        sure(jobs::wait_gone(Api::<MemberCluster>::all(self.hub.client()), name, PATIENCE).await);
    }
}

fn job(name: &str) -> Value {
    objects::job(NS, name, "etl", |_| {})
}

#[tokio::test(flavor = "multi_thread")]
async fn members_come_go_change_and_break() {
    let fleet = Fleet::builder()
        .hub()
        .member_with("m1", crds_only())
        .member_with("m2", crds_only())
        .member_with("m3", crds_only());
    let fleet = sure(fleet.start().await);
    let hub = fleet.hub();
    let installation = sure(Installation::new(&fleet).await);
    sure(installation.member("m1", json!({})).await);
    let proxy = sure(FaultProxy::before(fleet.member("m2").kubeconfig()).await);
    sure(installation.member_through("m2", &proxy, json!({})).await);
    // A cluster that is prepared, and not a member yet.
    sure(installation.connect("m3").await);
    sure(installation.namespace(NS).await);
    let _operators = ["m1", "m2", "m3"]
        .map(|name| ScriptedOperator::start(fleet.member(name).client(), Options::default()));
    let queue = objects::queue("etl", &objects::weights(&[("m1", 1), ("m2", 1), ("m3", 1)]));
    sure(hub.apply_manifest(&queue.to_string()).await);
    let scene = Scene { fleet: &fleet, hub, installation, proxy };
    let mut router = Watched::start(&scene.installation, &fleet, &[], &["m1", "m2"]).await;

    let started = Instant::now();
    let done = |what: &str| eprintln!("{:>6.1?}: {what}", started.elapsed());
    refused_kubeconfigs(&scene).await;
    done("kubeconfigs that are refused");
    second_on_one_target(&scene).await;
    done("a second member on one target");
    added_and_removed(&scene).await;
    done("added, kept by its jobs, removed");
    pointed_elsewhere(&scene).await;
    done("a Secret that points elsewhere");
    rotated(&scene).await;
    done("a rotated token");
    restart_with_a_dead_member(&scene, &mut router).await;
    done("a restart with a dead member");
    stopped(&scene, &mut router).await;
    done("an orderly stop and what runs on");

    let remote = sure(RemoteApplications::read(fleet.clusters()));
    assert_eq!(remote.max_per_job(), 1, "{:?}", remote.repeated().collect::<Vec<_>>());
    sure(fleet.check());
}

/// Nothing of a kubeconfig is run or read from a file, and the condition says which entry it was.
async fn refused_kubeconfigs(scene: &Scene<'_>) {
    let Scene { fleet, hub, installation, .. } = scene;
    let mark = fleet.member("m3").audit().mark();
    let good = sure(installation.kubeconfig("m3").await);
    let changed = |user: Option<Value>, cluster: Value| {
        let mut parsed: Value =
            serde_json::to_value(kube::config::Kubeconfig::from_yaml(&good).unwrap()).unwrap();
        if let Some(user) = user {
            parsed["users"][0]["user"] = user;
        }
        objects::merge(&mut parsed["clusters"][0]["cluster"], cluster);
        parsed.to_string()
    };
    let exec = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "touch", "args": ["owned"],
        "interactiveMode": "Never"}});
    for (entry, text) in [
        (".user.exec", changed(Some(exec), json!({}))),
        (
            ".user.auth-provider",
            changed(Some(json!({"auth-provider": {"name": "oidc", "config": {}}})), json!({})),
        ),
        (".user.tokenFile", changed(Some(json!({"tokenFile": "/etc/passwd"})), json!({}))),
        (
            ".user.client-certificate",
            changed(Some(json!({"client-certificate": "/etc/a", "client-key": "/etc/b"})), json!({})),
        ),
        (
            ".cluster.certificate-authority",
            changed(None, json!({"certificate-authority": "/etc/ca", "certificate-authority-data": null})),
        ),
        (".cluster.insecure-skip-tls-verify", changed(None, json!({"insecure-skip-tls-verify": true}))),
    ] {
        sure(installation.write_secret("refused", &text).await);
        sure(installation.register("refused", json!({})).await);
        let said = |member: &MemberCluster| {
            let (status, reason, message) = readiness(member);
            status == "False"
                && reason == "KubeconfigRefused"
                && message.contains(&format!("{entry} is not allowed; "))
        };
        let found = member(hub, "refused", &format!("refused for {entry}"), said).await;
        let (_, _, message) = readiness(&found);
        assert!(message.contains("Secret refused"), "{message}");
        assert!(!message.contains("/etc/"), "what a Secret holds is not shown: {message}");
    }
    let asked: Vec<_> =
        sure(fleet.member("m3").audit().since(mark)).into_iter().filter(|call| call.user == USER).collect();
    assert!(asked.is_empty(), "a refused kubeconfig was used: {asked:?}");
    // Without the Secret, and mended.
    sure(hub.kubectl(&["delete", "secret", "refused", "-n", NAMESPACE]).await);
    let message = not_ready(hub, "refused", "SecretMissing").await;
    assert!(message.contains("Secret refused is not in namespace spark-router"), "{message}");
    sure(installation.write_secret("refused", &good).await);
    ready(hub, "refused").await;
    scene.delete_member("refused").await;
    scene.member_is_gone("refused").await;
}

/// Two MemberClusters on one cluster and namespace rule would count the same room twice: the older one wins.
async fn second_on_one_target(scene: &Scene<'_>) {
    let Scene { hub, installation, .. } = scene;
    let kubeconfig = sure(installation.kubeconfig("m1").await);
    sure(installation.write_secret("twin", &kubeconfig).await);
    sure(installation.register("twin", json!({})).await);
    let message = not_ready(hub, "twin", "DuplicateMember").await;
    assert!(message.contains("MemberCluster m1"), "{message}");
    assert_eq!(readiness(&ready(hub, "m1").await).0, "True");
    // With another target it is fine.
    sure(installation.register("twin", json!({"namespace": {"fixed": "twins"}})).await);
    ready(hub, "twin").await;
    scene.delete_member("twin").await;
    scene.member_is_gone("twin").await;
}

/// A member appears, takes jobs, is deleted, and stays until they are over.
async fn added_and_removed(scene: &Scene<'_>) {
    let Scene { hub, installation, .. } = scene;
    scene.submit(&pinned(job("early"), &["m3"])).await;
    queued(hub, NS, "early", "NoClusterMatches").await;
    sure(installation.register("m3", json!({})).await);
    assert_eq!(jobs::cluster(&succeeded(hub, NS, "early").await), "m3");
    scene.submit(&pinned(endless(NS, "long", "etl"), &["m3"])).await;
    running(hub, NS, "long").await;

    scene.delete_member("m3").await;
    let message = not_ready(hub, "m3", "Terminating").await;
    assert!(message.contains("waits for 1 placed jobs"), "{message}");
    // It takes nothing new, and what it has is still looked after.
    scene.submit(&pinned(job("too-late"), &["m3"])).await;
    let waits = queued(hub, NS, "too-late", "NoClusterReady").await;
    assert!(jobs::message(&waits).contains("m3: cordoned"), "{}", jobs::message(&waits));
    scene.delete_job("too-late").await;
    member(hub, "m3", "still there", |member| member.metadata.deletion_timestamp.is_some()).await;
    scene.delete_job("long").await;
    scene.member_is_gone("m3").await;
}

/// Credentials that lead to another cluster are not followed as long as jobs are placed.
async fn pointed_elsewhere(scene: &Scene<'_>) {
    let Scene { fleet, hub, installation, .. } = scene;
    scene.submit(&pinned(endless(NS, "placed", "etl"), &["m1"])).await;
    running(hub, NS, "placed").await;
    let marks = ["m1", "m3"].map(|name| (name, fleet.member(name).audit().mark()));
    sure(installation.write_secret("m1", &sure(installation.kubeconfig("m3").await)).await);
    let message = not_ready(hub, "m1", "IdentityChanged").await;
    assert!(message.contains("lead to another cluster"), "{message}");
    scene.submit(&pinned(job("nowhere"), &["m1"])).await;
    scene.submit(&job("elsewhere")).await;
    assert_eq!(jobs::cluster(&succeeded(hub, NS, "elsewhere").await), "m2");
    let waits = queued(hub, NS, "nowhere", "NoClusterReady").await;
    assert!(jobs::message(&waits).contains("IdentityChanged"), "{}", jobs::message(&waits));
    for (name, mark) in marks {
        assert!(creates(fleet.member(name), mark).is_empty(), "nothing is created on {name}");
    }
    // What is placed there is neither believed gone nor started again.
    let placed = running(hub, NS, "placed").await;
    assert_eq!(jobs::cluster(&placed), "m1");

    sure(installation.write_secret("m1", &sure(installation.kubeconfig("m1").await)).await);
    ready(hub, "m1").await;
    assert_eq!(jobs::cluster(&succeeded(hub, NS, "nowhere").await), "m1");
    scene.delete_job("placed").await;
}

/// A kubeconfig whose token ends when its Secret on the member is deleted.
async fn revocable(fleet: &Fleet, member: &str, bound_to: &str) -> String {
    let cluster = fleet.member(member);
    let secrets: Api<Secret> = Api::namespaced(cluster.client(), NAMESPACE);
    let secret: Secret = serde_json::from_value(json!({"metadata": {"name": bound_to}})).unwrap();
    let secret = secrets.create(&PostParams::default(), &secret).await.unwrap();
    let request = TokenRequest {
        spec: TokenRequestSpec {
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Secret".to_owned()),
                name: Some(bound_to.to_owned()),
                uid: secret.uid(),
            }),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client(), NAMESPACE);
    let token = accounts.create_token_request(ACCOUNT, &PostParams::default(), &request).await.unwrap();
    cluster.kubeconfig_with_token(cluster.server(), &token.status.unwrap().token)
}

/// A new token is taken up without a restart, and an old one that was revoked too early is said.
async fn rotated(scene: &Scene<'_>) {
    let Scene { fleet, hub, installation, .. } = scene;
    let m1 = fleet.member("m1");
    let revoke = async |name: &str| {
        let secrets: Api<Secret> = Api::namespaced(m1.client(), NAMESPACE);
        secrets.delete(name, &DeleteParams::default()).await.unwrap();
    };
    let [old, new] = [revocable(fleet, "m1", "token-old").await, revocable(fleet, "m1", "token-new").await];
    sure(installation.write_secret("m1", &old).await);
    ready(hub, "m1").await;
    scene.submit(&pinned(endless(NS, "through", "etl"), &["m1"])).await;
    running(hub, NS, "through").await;

    // As it should be done: the new one first.
    sure(installation.write_secret("m1", &new).await);
    scene.serves("m1", "rotating").await;
    revoke("token-old").await;
    let kubeconfig = old;
    until("the old token is refused", async || {
        let client = m1.client_of(&kubeconfig).await.map_err(|error| chain(&error))?;
        match client.apiserver_version().await {
            Err(kube::Error::Api(status)) if status.code == 401 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    scene.serves("m1", "rotated").await;
    assert_eq!(readiness(&ready(hub, "m1").await).0, "True");

    // As it happens: revoked before it was replaced.
    revoke("token-new").await;
    let message = not_ready(hub, "m1", "Unauthorized").await;
    assert!(message.contains("put valid ones into the Secret"), "{message}");
    scene.submit(&job("meanwhile")).await;
    assert_eq!(jobs::cluster(&succeeded(hub, NS, "meanwhile").await), "m2");
    sure(installation.write_secret("m1", &sure(installation.kubeconfig("m1").await)).await);
    ready(hub, "m1").await;
    scene.serves("m1", "back").await;
    let through = running(hub, NS, "through").await;
    assert_eq!(jobs::cluster(&through), "m1", "what runs there never noticed");
    scene.delete_job("through").await;
}

/// The others are served at once, and `/readyz` names what it waits for.
async fn restart_with_a_dead_member(scene: &Scene<'_>, router: &mut Watched) {
    let Scene { hub, .. } = scene;
    patch(hub, "mc", "", "m2", json!({"spec": {"health": {"lostAfterSeconds": 2, "readyAfterSeconds": 1}}}))
        .await;
    ready(hub, "m2").await;
    scene.submit(&pinned(endless(NS, "unseen", "etl"), &["m2"])).await;
    running(hub, NS, "unseen").await;
    scene.proxy.set(Mode::Silent).await;
    not_ready(hub, "m2", "Lost").await;
    sure(router.0.restart());
    // The page is there before the members are, and says what lacks.
    let pending = until("what /readyz waits for", async || match router.0.page("/readyz").await {
        Ok(page) => panic!("ready before the dead member had its time: {page}"),
        Err(error) if chain(&error).contains("waiting for: ") => Ok(chain(&error)),
        Err(error) => Err(chain(&error)),
    })
    .await;
    assert!(pending.contains("member connections"), "{pending}");
    sure(router.0.wait_ready().await);
    for number in 0..4 {
        let name = format!("living-{number}");
        scene.submit(&job(&name)).await;
        assert_eq!(jobs::cluster(&succeeded(hub, NS, &name).await), "m1");
    }
    let message = not_ready(hub, "m2", "Lost").await;
    assert!(message.contains("does not answer since"), "{message}");
    let unseen = jobs::wait_for(hub, NS, "unseen", "unreachable", PATIENCE, |job| {
        jobs::reason(job) == "MemberUnreachable"
    });
    let unseen = sure(unseen.await);
    assert_eq!((jobs::phase(&unseen), jobs::cluster(&unseen)), ("Running", "m2"), "nothing is concluded");
    scene.proxy.set(Mode::Up).await;
    ready(hub, "m2").await;
    let reachable = |job: &RoutedSparkJob| scene::condition(job, "MemberReachable").0 == "True";
    sure(jobs::wait_for(hub, NS, "unseen", "reachable again", PATIENCE, reachable).await);
    scene.delete_job("unseen").await;
}

/// SIGTERM ends the router with 0 and leaves what runs alone; the next one picks it up.
async fn stopped(scene: &Scene<'_>, router: &mut Watched) {
    let Scene { fleet, hub, .. } = scene;
    let members = ["m1", "m2"].map(|name| fleet.member(name));
    for (member, name) in members.iter().zip(["stays-1", "stays-2"]) {
        scene.submit(&pinned(endless(NS, name, "etl"), &[member.name()])).await;
        running(hub, NS, name).await;
    }
    let states = async || {
        let mut states = Vec::new();
        for member in members {
            for application in jobs::applications_in(member.client(), NS).list(&<_>::default()).await.unwrap()
            {
                states.push((application.uid(), application.metadata.deletion_timestamp));
            }
        }
        states
    };
    let before = states().await;
    let marks = members.map(|member| member.audit().mark());
    let status = sure(router.0.terminate().await);
    assert_eq!(status.code(), Some(0), "{status}");
    assert_eq!(states().await, before, "what runs goes on");
    for (member, mark) in members.iter().zip(marks) {
        let writes: Vec<_> = sure(member.audit().since(mark))
            .into_iter()
            .filter(|call| call.user == USER && call.resource == "sparkapplications")
            .filter(|call| !["get", "list", "watch"].contains(&call.verb.as_str()))
            .collect();
        assert!(writes.is_empty(), "{writes:?}");
    }
    sure(router.0.restart());
    sure(router.0.wait_ready().await);
    for name in ["stays-1", "stays-2"] {
        running(hub, NS, name).await;
        scene.delete_job(name).await;
    }
    let status = sure(router.0.terminate().await);
    assert_eq!(status.code(), Some(0), "{status}");
}
