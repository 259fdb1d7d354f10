//! Input that cannot be taken, by the router or by a member: what the user reads, and that the job goes on by itself as
//! soon as it can.
//!
//! One set of clusters for all of it, one step after another: what is done to a member is undone before the next step.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod scene;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use spark_router_api::RoutedSparkJob;
use spark_router_api::condition::{ACCEPTED, FINISHED, PLACED, STALLED, SUCCEEDED};
use spark_router_core::id::{Attempt, HubId, JobUid, RemoteName};
use spark_router_testkit::fault::{Action, FaultProxy, Gate, Rule};
use spark_router_testkit::operator::{Options, ScriptedOperator};
use spark_router_testkit::router::{Installation, jobs, objects};
use spark_router_testkit::{Cluster, Fleet};

use scene::{
    PATIENCE, Watched, condition, crds_only, creates, event, finished, member, namespace_on, not_ready,
    patch, pinned, queued, readiness, ready, row, running, succeeded, sure, uid, until,
};

const MEMBERS: [&str; 2] = ["m1", "m2"];
const NS: &str = "team";
/// Nothing more may happen for this long after what is claimed to be the end of it: longer than the first retries.
const QUIET: Duration = Duration::from_secs(3);

struct Scene<'a> {
    fleet: &'a Fleet,
    hub: &'a Cluster,
    m1: &'a Cluster,
    m2: &'a Cluster,
    installation: Installation<'a>,
    proxies: BTreeMap<&'static str, FaultProxy>,
}

impl Scene<'_> {
    async fn submit(&self, job: &Value) -> RoutedSparkJob {
        sure(self.installation.submit(job).await)
    }

    async fn queue(&self, name: &str, weights: &[(&str, u32)]) {
        let queue = objects::queue(name, &objects::weights(weights));
        sure(self.hub.apply_manifest(&queue.to_string()).await);
    }

    /// A scripted operator; it ends when dropped.
    fn operate(member: &Cluster) -> ScriptedOperator {
        ScriptedOperator::start(member.client(), Options::default())
    }
}

fn job(name: &str) -> Value {
    objects::job(NS, name, "etl", |_| {})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_is_said_and_goes_on_by_itself() {
    let builder =
        MEMBERS.iter().fold(Fleet::builder().hub(), |fleet, name| fleet.member_with(name, crds_only()));
    let fleet = sure(builder.start().await);
    let installation = sure(Installation::new(&fleet).await);
    let mut proxies = BTreeMap::new();
    let mut operators = BTreeMap::new();
    for name in MEMBERS {
        let cluster = fleet.member(name);
        let proxy = sure(FaultProxy::before(cluster.kubeconfig()).await);
        let room = json!({"capacity": {"cpu": "50", "memory": "100Gi", "jobs": 100}});
        sure(installation.member_through(name, &proxy, room).await);
        proxies.insert(name, proxy);
        operators.insert(name, Scene::operate(cluster));
    }
    sure(installation.namespace(NS).await);
    let (hub, m1, m2) = (fleet.hub(), fleet.member("m1"), fleet.member("m2"));
    let scene = Scene { fleet: &fleet, hub, m1, m2, installation, proxies };
    scene.queue("etl", &[("m1", 1), ("m2", 1)]).await;
    let _router = Watched::start(&scene.installation, &fleet, &[], &MEMBERS).await;

    let started = Instant::now();
    let done = |what: &str| eprintln!("{:>6.1?}: {what}", started.elapsed());
    refused_by_the_crd(&scene).await;
    done("refused by the members' CRD");
    refused_by_one_member(&scene).await;
    done("refused by one member's policy");
    nowhere_to_go(&scene).await;
    done("unknown queue, no route, nothing that fits");
    reserved_fields(&scene).await;
    done("reserved fields");
    name_taken(&scene).await;
    done("a name that is taken");
    full_quota(&scene).await;
    done("a full quota");
    missing_namespace(&scene).await;
    done("a missing namespace");
    missing_rights(&scene).await;
    done("missing rights");
    drop(operators.remove("m1"));
    missing_crd(&scene).await;
    done("a missing CRD");
    sure(scene.fleet.check());
}

/// The members' own schema refuses it: one more member is tried, and that is the end.
async fn refused_by_the_crd(scene: &Scene<'_>) {
    let Scene { hub, m1, m2, .. } = scene;
    let marks = [m1.audit().mark(), m2.audit().mark()];
    let zero = |template: &mut Value| {
        objects::merge(template, json!({"spec": {"executor": {"instances": 0}}}));
    };
    scene.submit(&objects::job(NS, "zero", "etl", zero)).await;
    let job = finished(hub, NS, "zero").await;
    assert_eq!((jobs::phase(&job), jobs::reason(&job)), ("Failed", "RejectedByMember"));
    // The member's own text, and whose it is.
    let message = jobs::message(&job);
    assert!(
        message.contains("spec.executor.instances") && message.contains("greater than or equal to 1"),
        "{message}"
    );
    assert!(message.contains("m1") || message.contains("m2"), "{message}");
    assert_eq!(condition(&job, FINISHED).0, "True");
    assert_eq!(condition(&job, SUCCEEDED), ("False", "RejectedByMember", message));
    let note = event(hub, NS, "zero", "RejectedByMember").await;
    assert!(note.contains("spec.executor.instances"), "{note}");
    assert!(row(hub, NS, "zero").await.contains("RejectedByMember"));

    tokio::time::sleep(QUIET).await;
    let sent: Vec<_> = [m1, m2].iter().zip(marks).map(|(member, mark)| creates(member, mark)).collect();
    for (member, sent) in MEMBERS.iter().zip(&sent) {
        let codes: Vec<_> = sent.iter().map(|call| call.code).collect();
        assert_eq!(codes, [422], "{member} was asked once");
    }
}

/// A policy of one member denies it: the other one runs it, and the status says who refused and why.
async fn refused_by_one_member(scene: &Scene<'_>) {
    let Scene { hub, m1, .. } = scene;
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "no-sparks-of-yesterday"},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": ["sparkoperator.k8s.io"], "apiVersions": ["*"],
                "operations": ["CREATE"], "resources": ["sparkapplications"],
            }]},
            "validations": [{
                "expression": "!has(object.metadata.labels.era) || object.metadata.labels.era != 'yesterday'",
                "message": "yesterday is not run here",
            }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "no-sparks-of-yesterday"},
        "spec": {"policyName": "no-sparks-of-yesterday", "validationActions": ["Deny"]},
    });
    sure(m1.apply_manifest(&format!("{policy}\n---\n{binding}")).await);
    let yesterday = |template: &mut Value| {
        objects::merge(template, json!({"metadata": {"labels": {"era": "yesterday"}}}));
    };
    // The API server takes a moment to enforce a new policy.
    until("the policy is enforced", async || {
        let mut probe = objects::job(NS, "probe", "etl", yesterday)["spec"]["template"].clone();
        objects::merge(
            &mut probe,
            json!({
                "apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "SparkApplication", "metadata": {"name": "probe"},
            }),
        );
        let probe = serde_json::from_value(probe).unwrap();
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        match jobs::applications_in(m1.client(), NS).create(&dry, &probe).await {
            Ok(_) => Err("it was taken".to_owned()),
            Err(error) if error.to_string().contains("yesterday is not run here") => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
    // Placed on m1 first, whatever the credits are: m2 is full of nothing, but cordoned.
    patch(hub, "mc", "", "m2", json!({"spec": {"unschedulable": true}})).await;
    let refusing = m1.audit().mark();
    scene.submit(&objects::job(NS, "yesterday", "etl", yesterday)).await;
    let asked = |job: &RoutedSparkJob| job.status.as_ref().is_some_and(|status| !status.refusals.is_empty());
    let job = sure(jobs::wait_for(hub, NS, "yesterday", "refused once", PATIENCE, asked).await);
    assert!(!jobs::is_finished(&job), "m2 may take it later: {}", jobs::describe(&job));
    patch(hub, "mc", "", "m2", json!({"spec": {"unschedulable": false}})).await;
    let job = succeeded(hub, NS, "yesterday").await;
    assert_eq!(jobs::cluster(&job), "m2");
    let status = job.status.as_ref().unwrap();
    assert_eq!(status.attempt, Some(1), "a refusal uses up no attempt");
    let refusals: Vec<_> = status.refusals.iter().map(|refusal| refusal.cluster.as_str()).collect();
    assert_eq!(refusals, ["m1"]);
    assert!(status.refusals[0].message.contains("yesterday is not run here"), "{:?}", status.refusals);
    assert_eq!(creates(m1, refusing).len(), 1, "asked once");
    assert_eq!(readiness(&ready(hub, "m1").await).0, "True", "the member is fine, it is the job");
    for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
        sure(m1.kubectl(&["delete", kind, "no-sparks-of-yesterday"]).await);
    }
}

/// Said at once in condition, event and printer column; and it goes on by itself.
async fn nowhere_to_go(scene: &Scene<'_>) {
    let Scene { hub, m1, m2, .. } = scene;
    let marks = [m1.audit().mark(), m2.audit().mark()];
    scene.queue("nowhere", &[("m4", 1)]).await;
    scene.submit(&objects::job(NS, "no-queue", "unheard", |_| {})).await;
    scene.submit(&objects::job(NS, "no-route", "nowhere", |_| {})).await;
    scene.submit(&pinned(job("no-such"), &["m9"])).await;
    let giant = |template: &mut Value| {
        objects::merge(template, json!({"spec": {"executor": {"instances": 60}}}));
    };
    scene.submit(&objects::job(NS, "giant", "etl", giant)).await;

    for (name, reason, words) in [
        ("no-queue", "QueueNotFound", "SparkQueue unheard does not exist"),
        ("no-route", "NoRoute", "SparkQueue nowhere has no route"),
        ("no-such", "NoClusterMatches", "not among the job's clusterNames"),
        ("giant", "NeverFits", "no member can ever take this job"),
    ] {
        let job = queued(hub, NS, name, reason).await;
        let message = jobs::message(&job);
        assert!(message.contains(words), "{name}: {message}");
        if name == "no-queue" {
            assert_eq!(condition(&job, ACCEPTED), ("False", reason, message));
            assert_eq!(condition(&job, STALLED).0, "True");
        } else {
            assert_eq!(condition(&job, ACCEPTED).0, "True");
        }
        let placed = condition(&job, PLACED);
        assert_eq!((placed.0, placed.1), ("False", reason));
        assert_eq!(condition(&job, FINISHED).0, "False");
        let note = event(hub, NS, name, reason).await;
        assert!(note.contains(words), "{name}: {note}");
        let row = row(hub, NS, name).await;
        assert!(row.contains("Queued") && row.contains(reason) && row.contains(words), "{row}");
    }
    let giant = sure(jobs::wait_for(hub, NS, "giant", "there", PATIENCE, |_| true).await);
    let message = jobs::message(&giant);
    assert!(message.contains("m1: the job needs 61 cpu, and its capacity is only 50 cpu"), "{message}");
    assert_eq!(creates(m1, marks[0]).len() + creates(m2, marks[1]).len(), 0, "nothing was tried");

    // The queue appears, the capacity grows, the member appears.
    scene.queue("unheard", &[("m1", 1), ("m2", 1)]).await;
    succeeded(hub, NS, "no-queue").await;
    patch(hub, "mc", "", "m2", json!({"spec": {"capacity": {"cpu": "500"}}})).await;
    assert_eq!(jobs::cluster(&succeeded(hub, NS, "giant").await), "m2");
    // Another namespace on the cluster of m2: a target of its own.
    let late = json!({"connection": {"kubeconfigSecret": {"name": "m2"}}, "namespace": {"fixed": "late"}});
    namespace_on(&[m2], "late").await;
    sure(scene.installation.register("m4", late).await);
    let job = succeeded(hub, NS, "no-route").await;
    assert_eq!(jobs::cluster(&job), "m4");
    let placement = job.status.as_ref().unwrap().placement.as_ref().unwrap();
    assert_eq!(placement.namespace, "late");
    // What never can go anywhere is still there, and nobody else suffered from it.
    queued(hub, NS, "no-such", "NoClusterMatches").await;
}

/// The field's path, and mended in place.
async fn reserved_fields(scene: &Scene<'_>) {
    let hub = scene.hub;
    let label = json!({"sparkrouter.dev/attempt": "7"});
    for (name, wrong, path, mended) in [
        (
            "reserved-name",
            json!({"metadata": {"name": "mine"}}),
            "spec.template.metadata.name",
            json!({"metadata": {"name": null}}),
        ),
        (
            "reserved-namespace",
            json!({"metadata": {"namespace": "elsewhere"}}),
            "spec.template.metadata.namespace",
            json!({"metadata": {"namespace": null}}),
        ),
        (
            "reserved-label",
            json!({"spec": {"driver": {"labels": label}}}),
            "spec.template.spec.driver.labels[sparkrouter.dev/attempt]",
            json!({"spec": {"driver": {"labels": null}}}),
        ),
        (
            "reserved-pod",
            json!({"spec": {"driver": {"podName": "mine"}}}),
            "spec.template.spec.driver.podName",
            json!({"spec": {"driver": {"podName": null}}}),
        ),
        (
            "reserved-conf",
            json!({"spec": {"sparkConf": {"spark.kubernetes.namespace": "elsewhere"}}}),
            "spec.template.spec.sparkConf[spark.kubernetes.namespace]",
            json!({"spec": {"sparkConf": null}}),
        ),
    ] {
        scene.submit(&objects::job(NS, name, "etl", |template| objects::merge(template, wrong))).await;
        let job = queued(hub, NS, name, "ReservedField").await;
        let message = jobs::message(&job).to_owned();
        assert!(message.starts_with(&format!("{path}: remove it")), "{message}");
        assert_eq!(condition(&job, ACCEPTED), ("False", "ReservedField", message.as_str()));
        assert_eq!((condition(&job, STALLED).0, condition(&job, FINISHED).0), ("True", "False"));
        assert!(event(hub, NS, name, "ReservedField").await.contains(path));
        patch(hub, "rsj", NS, name, json!({"spec": {"template": mended}})).await;
        let job = succeeded(hub, NS, name).await;
        assert_eq!(condition(&job, ACCEPTED).0, "True");
        assert_eq!(condition(&job, STALLED).0, "", "present only while True");
    }
}

/// An application of the same name that is not ours is not touched, not even when the job is deleted.
async fn name_taken(scene: &Scene<'_>) {
    let Scene { hub, m2, proxies, .. } = scene;
    let gate = Gate::new();
    let held =
        Rule::new(Action::HoldThenForward(gate.clone())).method("POST").containing("/sparkapplications");
    let rule = proxies["m2"].add(held);
    scene.submit(&pinned(job("taken"), &["m2"])).await;
    tokio::time::timeout(PATIENCE, gate.wait_arrived(1)).await.unwrap();
    let placed = sure(jobs::wait_for_phase(hub, NS, "taken", "Dispatched", PATIENCE).await);
    // As anybody could compute it who knows the hub and the job.
    let system = Api::<Namespace>::all(hub.client()).get("kube-system").await.unwrap();
    let hub_id = HubId::new(system.uid().unwrap());
    let name = RemoteName::of(&hub_id, &JobUid::new(uid(&placed)), Attempt::FIRST, "taken");
    let recorded = placed.status.as_ref().unwrap().placement.as_ref().unwrap().remote_name.clone();
    assert_eq!(name.as_str(), recorded);

    let mut foreign = job("other")["spec"]["template"].clone();
    objects::merge(
        &mut foreign,
        json!({
            "apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "SparkApplication",
            "metadata": {"name": recorded, "annotations": {"spark-router.test/script": "hang-empty"}},
        }),
    );
    let applications = jobs::applications_in(m2.client(), NS);
    let foreign =
        applications.create(&PostParams::default(), &serde_json::from_value(foreign).unwrap()).await.unwrap();
    gate.open();
    let job = finished(hub, NS, "taken").await;
    assert_eq!((jobs::phase(&job), jobs::reason(&job)), ("Failed", "NameTaken"));
    let message = jobs::message(&job);
    for words in [recorded.as_str(), "m2", "was not touched"] {
        assert!(message.contains(words), "{message}");
    }
    assert!(event(hub, NS, "taken", "NameTaken").await.contains(&recorded));
    proxies["m2"].remove(rule);

    let api: Api<RoutedSparkJob> = Api::namespaced(hub.client(), NS);
    api.delete("taken", &DeleteParams::default()).await.unwrap();
    sure(jobs::wait_gone(api, "taken", PATIENCE).await);
    let after = applications.get(&recorded).await.unwrap();
    assert_eq!(after.resource_version(), foreign.resource_version(), "not touched: {after:?}");
    applications.delete(&recorded, &DeleteParams::default()).await.unwrap();
}

/// A full quota is room that lacks, not a fault: the job waits, nobody is blamed, and it goes on when there is room.
async fn full_quota(scene: &Scene<'_>) {
    const TIGHT: &str = "tight";
    let Scene { hub, m1, .. } = scene;
    sure(scene.installation.namespace(TIGHT).await);
    let quota = |limit: u32| {
        json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "one", "namespace": TIGHT},
            "spec": {"hard": {"count/sparkapplications.sparkoperator.k8s.io": limit}},
        })
    };
    let enforce = async |limit: u32| {
        sure(m1.apply_manifest(&quota(limit).to_string()).await);
        until("the quota is enforced", async || {
            let path = "jsonpath={.status.hard}|{.status.used}";
            let shown = sure(m1.kubectl(&["get", "resourcequota", "one", "-n", TIGHT, "-o", path]).await);
            let wanted = format!(":\"{limit}\"");
            let (hard, used) = shown.split_once('|').unwrap_or_default();
            if hard.contains(&wanted) && used.contains(':') { Ok(()) } else { Err(shown) }
        })
        .await;
    };
    enforce(1).await;
    scene.submit(&pinned(scene::endless(TIGHT, "first", "etl"), &["m1"])).await;
    running(hub, TIGHT, "first").await;
    let mark = m1.audit().mark();
    scene.submit(&pinned(objects::job(TIGHT, "second", "etl", |_| {}), &["m1"])).await;
    let job = queued(hub, TIGHT, "second", "NoCapacity").await;
    assert!(jobs::message(&job).contains("m1: a quota there is full"), "{}", jobs::message(&job));
    assert_eq!(condition(&job, PLACED).0, "False");
    // Another one that may go elsewhere does.
    scene.submit(&objects::job(TIGHT, "third", "etl", |_| {})).await;
    assert_eq!(jobs::cluster(&succeeded(hub, TIGHT, "third").await), "m2");
    let now = ready(hub, "m1").await;
    assert!(!readiness(&now).2.contains(TIGHT), "nobody is blamed: {}", readiness(&now).2);

    enforce(2).await;
    let job = succeeded(hub, TIGHT, "second").await;
    assert_eq!(jobs::cluster(&job), "m1");
    assert_eq!(job.status.as_ref().unwrap().attempt, Some(1), "waiting uses up no attempt");
    let codes: Vec<_> = creates(m1, mark).iter().map(|call| call.code).collect();
    assert_eq!(codes.last(), Some(&201));
    let refused = &codes[..codes.len() - 1];
    assert!(
        !refused.is_empty() && refused.len() < 12 && refused.iter().all(|code| *code == 403),
        "{codes:?}"
    );
    sure(jobs::delete_all::<RoutedSparkJob>(hub, TIGHT, PATIENCE).await);
}

/// A namespace that a member lacks: that namespace there takes nothing, everything else goes on.
async fn missing_namespace(scene: &Scene<'_>) {
    const HALF: &str = "half";
    let Scene { hub, m1, m2, .. } = scene;
    namespace_on(&[hub, m2], HALF).await;
    let mark = m1.audit().mark();
    scene.submit(&pinned(objects::job(HALF, "only-m1", "etl", |_| {}), &["m1"])).await;
    let said = |job: &RoutedSparkJob| {
        jobs::message(job).contains("namespace half there takes nothing (NamespaceMissing)")
    };
    let job = sure(jobs::wait_for(hub, HALF, "only-m1", "told why", PATIENCE, said).await);
    assert_eq!(jobs::phase(&job), "Queued");
    let blocked = |member: &spark_router_api::MemberCluster| {
        let (status, _, message) = readiness(member);
        status == "True" && message.contains("namespace half is left alone: NamespaceMissing")
    };
    member(hub, "m1", "Ready without the namespace half", blocked).await;
    for number in 0..4 {
        scene.submit(&objects::job(HALF, &format!("any-{number}"), "etl", |_| {})).await;
        assert_eq!(jobs::cluster(&succeeded(hub, HALF, &format!("any-{number}")).await), "m2");
    }
    scene.submit(&pinned(self::job("beside"), &["m1"])).await;
    succeeded(hub, NS, "beside").await;
    let asked = creates(m1, mark).iter().filter(|call| call.namespace == HALF).count();
    assert!(asked < 6, "no retry storm: {asked} creates");
    namespace_on(&[m1], HALF).await;
    assert_eq!(jobs::cluster(&succeeded(hub, HALF, "only-m1").await), "m1");
}

/// A member whose rights are taken away goes not Ready and says what lacks; its jobs go elsewhere; it comes back.
async fn missing_rights(scene: &Scene<'_>) {
    let Scene { hub, m1, .. } = scene;
    scene.submit(&pinned(scene::endless(NS, "during", "etl"), &["m1"])).await;
    running(hub, NS, "during").await;
    let mark = m1.audit().mark();
    sure(m1.kubectl(&["delete", "clusterrolebinding", "spark-router-member"]).await);
    for number in 0..6 {
        scene.submit(&job(&format!("rightless-{number}"))).await;
    }
    let message = not_ready(hub, "m1", "Forbidden").await;
    assert!(message.contains("apply deploy/kustomize/member"), "{message}");
    for number in 0..6 {
        assert_eq!(jobs::cluster(&succeeded(hub, NS, &format!("rightless-{number}")).await), "m2");
    }
    tokio::time::sleep(QUIET).await;
    let refused = creates(m1, mark).len();
    assert!(refused <= 6, "no retry storm: {refused} creates");
    let job = running(hub, NS, "during").await;
    assert_eq!(jobs::cluster(&job), "m1", "what runs there goes on");

    sure(scene.installation.prepare("m1").await);
    ready(hub, "m1").await;
    scene.submit(&pinned(self::job("rightful"), &["m1"])).await;
    succeeded(hub, NS, "rightful").await;
    let api: Api<RoutedSparkJob> = Api::namespaced(hub.client(), NS);
    api.delete("during", &DeleteParams::default()).await.unwrap();
    sure(jobs::wait_gone(api, "during", PATIENCE).await);
}

/// The same without the operator's CRD.
async fn missing_crd(scene: &Scene<'_>) {
    const CRD: &str = "sparkapplications.sparkoperator.k8s.io";
    let Scene { hub, m1, .. } = scene;
    let crd = sure(m1.kubectl(&["get", "crd", CRD, "-o", "json"]).await);
    let crd: Value = serde_json::from_str(&crd).unwrap();
    let crd = json!({
        "apiVersion": crd["apiVersion"], "kind": crd["kind"], "spec": crd["spec"],
        "metadata": {"name": CRD, "annotations": crd["metadata"]["annotations"]},
    });
    // What is left on the member goes with it; nothing of it is unfinished.
    sure(m1.kubectl(&["delete", "crd", CRD, "--timeout=60s"]).await);
    for number in 0..4 {
        scene.submit(&job(&format!("crdless-{number}"))).await;
    }
    let message = not_ready(hub, "m1", "CrdMissing").await;
    assert!(message.contains("install the Kubeflow Spark operator"), "{message}");
    for number in 0..4 {
        assert_eq!(jobs::cluster(&succeeded(hub, NS, &format!("crdless-{number}")).await), "m2");
    }
    sure(m1.apply_manifest(&crd.to_string()).await);
    let _operator = Scene::operate(m1);
    ready(hub, "m1").await;
    scene.submit(&pinned(job("with-crd"), &["m1"])).await;
    assert_eq!(jobs::cluster(&succeeded(hub, NS, "with-crd").await), "m1");
}
