//! `spark-router explain` as people run it: a process with somebody's kubeconfig, against a real hub.
//!
//! One cluster plays all members, each with a namespace of its own: full, cordoned, tainted, without a route, lost.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

mod scene;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use k8s_openapi::jiff::Timestamp;
use kube::Api;
use serde_json::{Value, json};
use spark_router_api::RoutedSparkJob;
use spark_router_testkit::fault::{FaultProxy, Mode};
use spark_router_testkit::operator::{Options, ScriptedOperator};
use spark_router_testkit::router::{Installation, jobs, objects};
use spark_router_testkit::{Cluster, Fleet, chain};
use tokio::io::AsyncWriteExt as _;

use scene::{
    PATIENCE, Watched, crds_only, endless, namespace_on, not_ready, patch, queued, running, sure, until,
};

const NS: &str = "team";
const QUEUE: &str = "etl";
/// The members of the queue; `full` takes two jobs.
const ROUTED: [&str; 4] = ["full", "cordoned", "tainted", "lost"];
/// The one that the queue has no route to.
const ELSEWHERE: &str = "elsewhere";

/// How an answer came.
struct Answer {
    good: bool,
    out: String,
    err: String,
}

impl Answer {
    /// What was printed, of a command that worked.
    fn text(self) -> String {
        assert!(self.good, "{}", self.err);
        assert_eq!(self.err, "");
        self.out
    }

    fn json(self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }

    /// The one line that a command that failed says, after the program's name.
    fn refusal(self) -> String {
        assert!(!self.good, "this should have failed:\n{}", self.out);
        assert_eq!(self.out, "", "a failed command prints no half answer");
        let line = self.err.strip_prefix("spark-router: ").unwrap_or_else(|| panic!("{:?}", self.err));
        assert_eq!(line.lines().count(), 1, "{line}");
        line.trim_end().to_owned()
    }
}

/// Somebody with a kubeconfig.
struct Person {
    kubeconfig: PathBuf,
}

impl Person {
    async fn explain(&self, arguments: &[&str]) -> Answer {
        self.explain_piped(arguments, "").await
    }

    /// With this text on standard input.
    async fn explain_piped(&self, arguments: &[&str], input: &str) -> Answer {
        let mut process = tokio::process::Command::new(env!("CARGO_BIN_EXE_spark-router"))
            .arg("explain")
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = process.stdin.take().unwrap();
        // A command that does not read its input may have ended before.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = tokio::time::timeout(PATIENCE, process.wait_with_output()).await.unwrap().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Answer { good: output.status.success(), out: text(output.stdout), err: text(output.stderr) }
    }
}

struct Scene<'a> {
    hub: &'a Cluster,
    installation: &'a Installation<'a>,
}

impl Scene<'_> {
    /// A service account and its kubeconfig, with these rules on the whole hub.
    async fn person(&self, name: &str, rules: Value) -> Person {
        let metadata = json!({"name": name});
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NS}});
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules,
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": NS}],
        });
        for object in [account, role, binding] {
            sure(self.hub.apply_manifest(&object.to_string()).await);
        }
        // The API server takes rights up a moment after they are written. They are one object: the last one tells.
        if let Some(rule) = rules.as_array().unwrap().last() {
            let text = |field: &str| rule[field][0].as_str().unwrap_or_default().to_owned();
            let (verb, resource, group) = (text("verbs"), text("resources"), text("apiGroups"));
            let kind = if group.is_empty() { resource } else { format!("{resource}.{group}") };
            let target = if text("resourceNames").is_empty() {
                kind
            } else {
                format!("{kind}/{}", text("resourceNames"))
            };
            let user = format!("system:serviceaccount:{NS}:{name}");
            until("the rights", async || {
                self.hub
                    .kubectl(&["auth", "can-i", &verb, &target, "--as", &user])
                    .await
                    .map_err(|error| chain(&error))
            })
            .await;
        }
        let token = sure(self.hub.token_for(NS, name).await);
        let kubeconfig = self.hub.folder().join(format!("{name}.kubeconfig"));
        std::fs::write(&kubeconfig, self.hub.kubeconfig_with_token(self.hub.server(), &token)).unwrap();
        Person { kubeconfig }
    }

    /// A manifest in a file, as YAML (which JSON is).
    fn file(&self, name: &str, manifest: &Value) -> String {
        let file = self.hub.folder().join(format!("{name}.yaml"));
        std::fs::write(&file, manifest.to_string()).unwrap();
        file.to_string_lossy().into_owned()
    }

    async fn submit(&self, job: &Value) {
        sure(self.installation.submit(job).await);
    }
}

/// Get and list on what explain reads: what its help says.
fn reading() -> Vec<Value> {
    let verbs = json!(["get", "list"]);
    vec![
        json!({
            "apiGroups": ["sparkrouter.dev"], "resources": ["routedsparkjobs", "sparkqueues", "memberclusters"],
            "verbs": verbs,
        }),
        json!({"apiGroups": [""], "resources": ["namespaces"], "verbs": verbs}),
    ]
}

fn rules(more: &[Value]) -> Value {
    reading().into_iter().chain(more.iter().cloned()).collect()
}

fn job(name: &str) -> Value {
    endless(NS, name, QUEUE)
}

/// A job that puts up with the taint of `tainted`.
fn tolerating(name: &str) -> Value {
    let mut job = job(name);
    let placement = json!({"tolerations": [{"key": "phi", "operator": "Exists"}]});
    objects::merge(&mut job, json!({"spec": {"placement": placement}}));
    job
}

/// Verdict and reason of each member.
fn verdicts(explanation: &Value) -> BTreeMap<String, (String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let row = |row: &Value| (text(&row["name"]), (text(&row["verdict"]), text(&row["detail"])));
    explanation["members"].as_array().unwrap().iter().map(row).collect()
}

/// The members as they are for a job that waits: each with its first reason, and the numbers where there are any.
fn assert_each_member_is_explained(explanation: &Value) {
    let mut seen = verdicts(explanation);
    let (verdict, detail) = seen.remove("lost").unwrap();
    let since = detail.strip_prefix("unreachable since ").unwrap_or_else(|| panic!("{detail}"));
    assert!(verdict == "Lost" && since.parse::<Timestamp>().is_ok(), "{verdict}: {detail}");
    let expected = [
        ("cordoned", "Cordoned", "cordoned"),
        (ELSEWHERE, "NoRoute", "the queue has no route to it"),
        ("full", "NoCapacity", "its capacity: needs 2 cpu, 0 of 4 free"),
        ("tainted", "Taint", "the job does not tolerate its taint phi=yes"),
    ];
    let expected =
        expected.map(|(name, verdict, detail)| (name.to_owned(), (verdict.to_owned(), detail.to_owned())));
    assert_eq!(seen, BTreeMap::from(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_told_why_a_job_waits_and_where_it_would_go() {
    let started = Instant::now();
    let done = |what: &str| eprintln!("{:>6.1?}: {what}", started.elapsed());
    let fleet = sure(Fleet::builder().hub().member_with("m1", crds_only()).start().await);
    let (hub, m1) = (fleet.hub(), fleet.member("m1"));
    let _operator = ScriptedOperator::start(m1.client(), Options::default());
    let installation = sure(Installation::new(&fleet).await);
    sure(installation.prepare("m1").await);
    sure(installation.namespace(NS).await);
    let kubeconfig = sure(installation.kubeconfig("m1").await);
    let proxy = sure(FaultProxy::before(m1.kubeconfig()).await);
    for (name, spec) in [
        ("full", json!({"capacity": {"cpu": "4"}})),
        ("cordoned", json!({"unschedulable": true})),
        ("tainted", json!({"taints": [{"key": "phi", "value": "yes"}]})),
        ("lost", json!({"health": {"lostAfterSeconds": 1, "readyAfterSeconds": 1}})),
        (ELSEWHERE, json!({})),
    ] {
        let secret = if name == "lost" { sure(proxy.kubeconfig(&kubeconfig)) } else { kubeconfig.clone() };
        sure(installation.write_secret(name, &secret).await);
        let mut spec = spec;
        if name != "full" {
            namespace_on(&[m1], name).await;
            objects::merge(&mut spec, json!({"namespace": {"fixed": name}}));
        }
        sure(installation.register(name, spec).await);
    }
    let queue = objects::queue(QUEUE, &objects::weights(&ROUTED.map(|name| (name, 1))));
    sure(hub.apply_manifest(&queue.to_string()).await);
    let all = [&ROUTED[..], &[ELSEWHERE]].concat();
    let router = Watched::start(&installation, &fleet, &[], &all).await;
    proxy.set(Mode::Silent).await;
    not_ready(hub, "lost", "Lost").await;
    let scene = Scene { hub, installation: &installation };
    for name in ["one", "two"] {
        scene.submit(&job(name)).await;
        assert_eq!(jobs::cluster(&running(hub, NS, name).await), "full");
    }
    for name in ["waits", "waits-too"] {
        scene.submit(&job(name)).await;
        queued(hub, NS, name, "NoCapacity").await;
    }
    done("members that take nothing, and jobs that wait");

    let reader = scene.person("reader", rules(&[])).await;
    a_waiting_job(&reader).await;
    done("a waiting job");
    a_placed_job(&reader).await;
    done("a placed job, and one that is not there");
    let writer =
        json!({"apiGroups": ["sparkrouter.dev"], "resources": ["routedsparkjobs"], "verbs": ["create"]});
    let user = json!({
        "apiGroups": ["sparkrouter.dev"], "resources": ["sparkqueues"], "resourceNames": [QUEUE], "verbs": ["use"],
    });
    let author = scene.person("author", rules(&[writer.clone(), user])).await;
    a_manifest(&scene, &author).await;
    done("a manifest");
    refused_manifests(&scene, &author).await;
    done("manifests that the hub refuses");
    missing_rights(&scene, &reader, &writer).await;
    done("missing rights");

    // What is on the hub's record is enough: the router need not run.
    assert!(sure(router.0.terminate().await).success());
    a_waiting_job(&reader).await;
    a_manifest(&scene, &author).await;
    done("without the router");
    sure(fleet.check());
}

/// For each member the first reason with its numbers, in both forms, to somebody who may only read.
async fn a_waiting_job(reader: &Person) {
    let explanation = reader.explain(&["team/waits", "-o", "json"]).await.json();
    assert_each_member_is_explained(&explanation);
    assert_eq!(
        [&explanation["job"], &explanation["queue"], &explanation["phase"], &explanation["reason"]],
        ["team/waits", QUEUE, "Queued", "NoCapacity"]
    );
    assert_eq!((&explanation["ahead"], &explanation["wouldGoTo"]), (&json!(0), &Value::Null));
    let second = reader.explain(&["waits-too", "-n", NS, "--output=json"]).await.json();
    assert_eq!(second["ahead"], 1);

    let table = reader.explain(&["team/waits"]).await.text();
    eprintln!("{table}");
    let lines: Vec<_> =
        table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "Job: team/waits in queue etl, Queued",
        "Position: 0 jobs of the queue go before it",
        "MEMBER TIER WEIGHT CREDIT VERDICT WHY",
        "elsewhere - - - NoRoute the queue has no route to it",
    ] {
        assert!(lines.iter().any(|it| it == line), "{line} is missing:\n{table}");
    }
    let full = lines.iter().find(|line| line.starts_with("full 0 1 ")).unwrap();
    assert!(full.ends_with(" NoCapacity its capacity: needs 2 cpu, 0 of 4 free"), "{full}");
    assert!(!table.contains('\u{1b}'), "no colours into a pipe");
}

async fn a_placed_job(reader: &Person) {
    let explanation = reader.explain(&["team/one", "-o", "json"]).await.json();
    assert_eq!(explanation["placed"]["cluster"], "full");
    let why = explanation["placed"]["why"].as_str().unwrap();
    assert!(why.starts_with("weight 1 of 1; not "), "{why}");
    for told in ["cordoned (Cordoned)", "tainted (Taint)", "lost (Lost)"] {
        assert!(why.contains(told), "{why}");
    }
    assert_eq!(explanation.get("ahead"), None, "it waits for nothing");
    let table = reader.explain(&["team/one"]).await.text();
    assert!(table.contains(&format!("Placed:   on full: {why}")), "{table}");

    let refusal = reader.explain(&["team/nothing"]).await.refusal();
    assert_eq!(refusal, "there is no RoutedSparkJob nothing in namespace team");
}

/// Where it would go, and nothing is created: neither by the audit log nor by what is there.
async fn a_manifest(scene: &Scene<'_>, author: &Person) {
    let Scene { hub, .. } = scene;
    let mark = hub.audit().mark();
    let before = names(hub).await;
    let file = scene.file("new", &tolerating("new"));
    let explanation = author.explain(&["-f", &file, "-o", "json"]).await.json();
    assert_eq!([&explanation["job"], &explanation["wouldGoTo"]], ["team/new", "tainted"]);
    let told = verdicts(&explanation);
    assert_eq!(told["tainted"].0, "Possible");
    assert_eq!(told["full"].1, "its capacity: needs 2 cpu, 0 of 4 free");
    let table = author.explain_piped(&["-f", "-"], &tolerating("new").to_string()).await.text();
    assert!(table.contains("Now:      would go to tainted (weight 1 of 1; not "), "{table}");
    // One that would wait, behind the two that do: of jobs created in one second the name decides.
    let explanation =
        author.explain(&["-o", "json", "-f", &scene.file("youngest", &job("youngest"))]).await.json();
    assert_each_member_is_explained(&explanation);
    assert_eq!((&explanation["wouldGoTo"], &explanation["ahead"]), (&Value::Null, &json!(2)));

    assert_eq!(names(hub).await, before);
    // A line of the audit log may come a moment after the answer.
    let account = format!("system:serviceaccount:{NS}:author");
    let written = until("the dry runs in the audit log", async || {
        let calls = hub.audit().since(mark).map_err(|error| error.to_string())?;
        let reads = ["get", "list", "watch"];
        let writes: Vec<_> = calls
            .into_iter()
            .filter(|call| {
                call.user == account && !call.resource.is_empty() && !reads.contains(&call.verb.as_str())
            })
            .map(|call| (call.kind(), call.uri, call.code))
            .collect();
        if writes.len() < 3 { Err(format!("there is {writes:?}")) } else { Ok(writes) }
    })
    .await;
    assert_eq!(written.len(), 3, "{written:?}");
    for (kind, uri, code) in &written {
        assert!(kind == "create routedsparkjobs" && *code == 201, "{written:?}");
        let query = uri.split_once('?').map(|(_, query)| query).unwrap_or_default();
        assert!(query.split('&').any(|part| part == "dryRun=All"), "{written:?}");
    }
}

async fn names(hub: &Cluster) -> Vec<String> {
    let api: Api<RoutedSparkJob> = Api::all(hub.client());
    let listed = api.list(&<_>::default()).await.unwrap();
    listed.into_iter().map(|job| job.metadata.name.unwrap()).collect()
}

/// The hub's own sentences reach whoever asks.
async fn refused_manifests(scene: &Scene<'_>, author: &Person) {
    let mut suspended = job("suspended");
    objects::merge(&mut suspended, json!({"spec": {"template": {"spec": {"suspend": true}}}}));
    let refusal = author.explain(&["-f", &scene.file("suspended", &suspended)]).await.refusal();
    assert!(refusal.starts_with("the hub would refuse it: "), "{refusal}");
    assert!(
        refusal.contains(
            "suspend must not be true in a template: the router decides when an application starts"
        ),
        "{refusal}"
    );
    let mut elsewhere = job("elsewhere");
    objects::merge(&mut elsewhere, json!({"metadata": {"namespace": "nowhere"}}));
    let refusal = author.explain(&["-f", &scene.file("nowhere", &elsewhere)]).await.refusal();
    assert!(refusal.contains("namespaces \"nowhere\" not found"), "{refusal}");
    // What the hub takes and the router does not is told with its field.
    let mut reserved = job("reserved");
    objects::merge(&mut reserved, json!({"spec": {"template": {"metadata": {"name": "mine"}}}}));
    let explanation = author.explain(&["-f", &scene.file("reserved", &reserved), "-o", "json"]).await.json();
    let message = explanation["message"].as_str().unwrap();
    assert!(message.contains("spec.template.metadata.name"), "{explanation}");
}

async fn missing_rights(scene: &Scene<'_>, reader: &Person, writer: &Value) {
    let nobody = scene.person("nobody", json!([])).await;
    let refusal = nobody.explain(&["team/waits"]).await.refusal();
    assert!(
        refusal.starts_with("cannot list namespaces on the hub; this needs get and list on namespaces: "),
        "{refusal}"
    );
    assert!(refusal.contains("system:serviceaccount:team:nobody"), "{refusal}");
    // Each kind by its name.
    let few = scene.person("few", json!([reading()[1]])).await;
    let refusal = few.explain(&["team/waits"]).await.refusal();
    assert!(refusal.starts_with("cannot list routedsparkjobs on the hub; this needs "), "{refusal}");

    // A manifest is sent as a dry run: that needs what submitting needs.
    let file = scene.file("new", &tolerating("new"));
    let refusal = reader.explain(&["-f", &file]).await.refusal();
    assert!(refusal.starts_with("the hub would refuse it: "), "{refusal}");
    assert!(refusal.contains("cannot create resource \"routedsparkjobs\""), "{refusal}");
    let outsider = scene.person("outsider", rules(std::slice::from_ref(writer))).await;
    let sentence = "user system:serviceaccount:team:outsider may not use SparkQueue etl; ask its owner for the verb use \
                    on sparkqueues/etl (group sparkrouter.dev)";
    let refusal = outsider.explain(&["-f", &file]).await.refusal();
    assert!(refusal.contains(sentence), "{refusal}");
    // Who may see the job and not its members is refused too: half an answer would be a wrong one.
    patch(scene.hub, "clusterrole", "", "reader", json!({"rules": [reading()[0]]})).await;
    until("the right is gone", async || {
        let answer = reader.explain(&["team/waits"]).await;
        if answer.good { Err("it still answers") } else { Ok(answer.refusal()) }
    })
    .await;
    patch(scene.hub, "clusterrole", "", "reader", json!({"rules": reading()})).await;
    until("the right is back", async || {
        let answer = reader.explain(&["team/waits"]).await;
        if answer.good { Ok(()) } else { Err(answer.err) }
    })
    .await;
}
