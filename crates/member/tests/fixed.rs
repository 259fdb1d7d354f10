//! What queue and member fix, on the real Kubeflow operator without its webhook: whatever a template says in whatever
//! place, driver and executors have what is fixed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

mod common;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use common::{Bench, PATIENCE, settings, submit};
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, ResourceExt,
    api::{ListParams, PostParams},
};
use serde_json::{Value, json};
use spark_router_api::{ApplicationParts, RoleParts, member::BatchScheduler};
use spark_router_core::id::ClusterName;
use spark_router_member::{
    Connection, Created, Member, Order, Settings, Tempo, kubeconfig, kubeflow,
    render::{
        MemberParts, QueueParts,
        aliases::{self, Place},
    },
};
use spark_router_testkit::{
    Fleet, KubeflowOptions, MemberOptions, OperatorKind, chain, router::Installation,
};

const KEY: &str = "pool";
/// What the operator adds where it knows YuniKorn.
const TASK_GROUP: &str = "yunikorn.apache.org/task-group-name";

/// Accounts and priority classes that both the fixing and the escaping could have.
const OBJECTS: &str = r"
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: good}
value: 10
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: evil}
value: 1000
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: good, namespace: NAMESPACE}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: evil, namespace: NAMESPACE}
";

fn fixed() -> ApplicationParts {
    let entry = || BTreeMap::from([(KEY.to_owned(), "good".to_owned())]);
    let toleration = json!({"key": "good", "operator": "Exists"}).as_object().unwrap().clone();
    let role = RoleParts {
        service_account: Some("good".into()),
        priority_class_name: Some("good".into()),
        node_selector: entry(),
        tolerations: vec![toleration],
        ..RoleParts::default()
    };
    ApplicationParts {
        image: Some("good".into()),
        labels: entry(),
        annotations: entry(),
        driver: role.clone(),
        executor: role,
        ..ApplicationParts::default()
    }
}

fn template() -> Value {
    json!({
        "metadata": {},
        "spec": {
            "type": "Scala", "sparkVersion": "4.0.1", "mode": "cluster", "mainClass": "Pi", "image": "own",
            "mainApplicationFile": "local:///a.jar", "driver": {"serviceAccount": "default"},
            "executor": {"instances": 1},
        },
    })
}

/// Has a template say evil in one place.
fn say(template: &mut Value, place: &Place) {
    let mut node = template;
    for step in &place.path {
        if let Some(container) = step.strip_prefix('#') {
            if !node.is_array() {
                *node = json!([{"name": container}]);
            }
            node = &mut node[0];
            continue;
        }
        if node.is_null() {
            *node = json!({});
        }
        node = &mut node[step.as_str()];
    }
    *node = match place.path.last().map(String::as_str) {
        Some("tolerations") => json!([{"key": "evil", "operator": "Exists"}]),
        Some("priority") => json!(1000),
        _ => json!("evil"),
    };
}

/// What is decided of a pod, as text.
fn facts(pod: &Pod) -> BTreeMap<&'static str, String> {
    let spec = pod.spec.as_ref().unwrap();
    let text = |value: Option<&String>| value.cloned().unwrap_or_default();
    let container = spec.containers.iter().find(|it| it.name.starts_with("spark-kubernetes-")).unwrap();
    let tolerations = spec.tolerations.iter().flatten().filter_map(|it| it.key.clone());
    let own: Vec<_> = tolerations.filter(|key| !key.contains('/')).collect();
    BTreeMap::from([
        ("image", text(container.image.as_ref())),
        ("service account", text(spec.service_account_name.as_ref())),
        ("scheduler", text(spec.scheduler_name.as_ref())),
        ("priority class", text(spec.priority_class_name.as_ref())),
        ("tolerations", own.join(",")),
        ("node selector", text(spec.node_selector.as_ref().and_then(|it| it.get(KEY)))),
        ("label", text(pod.labels().get(KEY))),
        ("annotation", text(pod.annotations().get(KEY))),
        ("queue", text(pod.labels().get("yunikorn.apache.org/queue"))),
        ("old queue", text(pod.labels().get("queue"))),
        ("router", text(pod.labels().get("sparkrouter.dev/queue"))),
        ("team", text(pod.labels().get("sparkrouter.dev/team"))),
    ])
}

/// Fields that say nothing of what is decided. A new field of the operator belongs here or in the tables.
const HARMLESS: [&str; 17] = [
    "arguments",
    "driver",
    "driverIngressOptions",
    "executor",
    "failureRetries",
    "hadoopConfigMap",
    "mainClass",
    "mode",
    "monitoring",
    "restartPolicy",
    "retryInterval",
    "sparkConfigMap",
    "sparkUIOptions",
    "sparkVersion",
    "suspend",
    "timeToLiveSeconds",
    "type",
];
/// The same of a role. Other containers have their own images; affinity only narrows a node selector.
const HARMLESS_OF_ROLES: [&str; 17] = [
    "affinity",
    "configMaps",
    "dnsConfig",
    "envFrom",
    "gpu",
    "hostAliases",
    "hostNetwork",
    "initContainers",
    "lifecycle",
    "memoryLimit",
    "podSecurityContext",
    "ports",
    "securityContext",
    "shareProcessNamespace",
    "sidecars",
    "terminationGracePeriodSeconds",
    "volumeMounts",
];

/// Holds the tables against the operator's own schema.
fn knows_every_field(fleet: &Fleet) {
    let files = fleet.tools().spark_operator_crds();
    let file = files.iter().find(|file| file.ends_with("sparkapplications.json")).unwrap();
    let crd: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    let known = aliases::fields();
    let mut unknown = Vec::new();
    let names = |fields: &Value| -> Vec<String> { fields.as_object().unwrap().keys().cloned().collect() };
    for field in names(spec) {
        if field != "mainApplicationFile"
            && !HARMLESS.contains(&field.as_str())
            && !known.contains(&format!("spec.{field}"))
        {
            unknown.push(format!("spec.{field}"));
        }
    }
    for role in ["driver", "executor"] {
        for field in names(&spec[role]["properties"]) {
            let path = format!("spec.{role}.{field}");
            if !HARMLESS_OF_ROLES.contains(&field.as_str()) && !known.contains(&path) {
                unknown.push(path);
            }
        }
    }
    assert!(unknown.is_empty(), "can these set what queue and member decide? {unknown:?}");
}

struct Stage {
    bench: Bench,
    node: String,
}

impl Stage {
    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.bench.admin.clone(), self.bench.namespace.as_str())
    }

    /// The first pod of a role of an order.
    async fn pod(&self, order: &Order, role: &str) -> Pod {
        let labels = format!("sparkrouter.dev/job-uid={},spark-role={role}", order.job);
        let started = Instant::now();
        loop {
            let list = self.pods().list(&ListParams::default().labels(&labels)).await.unwrap();
            if let Some(pod) = list.items.into_iter().next() {
                return pod;
            }
            if started.elapsed() > PATIENCE {
                let applications = self.bench.applications().get(order.name.as_str()).await.unwrap();
                panic!("no {role}: {:#}", applications.data);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Creates an application; a member that is busy beside a compiler is asked again.
    async fn create(&self, member: &Arc<dyn Member>, order: &Order) {
        let started = Instant::now();
        loop {
            match submit(member, order).await {
                Created::NotSent(why) | Created::Unclear(why) => {
                    assert!(started.elapsed() < PATIENCE, "{why}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                created => break drop(common::accepted(created)),
            }
        }
    }

    /// The driver and the executor of an application. Its scheduler is not there: the driver is put on the node as that
    /// scheduler would.
    async fn run(&self, order: &Order) -> [Pod; 2] {
        let driver = self.pod(order, "driver").await;
        assert_eq!(driver.name_any(), format!("{}-driver", order.name));
        assert_eq!(driver.spec.as_ref().unwrap().node_name, None, "{}", order.key.name);
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": driver.name_any()},
            "target": {"apiVersion": "v1", "kind": "Node", "name": self.node},
        });
        let answer: Result<Value, _> = self
            .pods()
            .create_subresource("binding", &driver.name_any(), &PostParams::default(), &binding)
            .await;
        answer.unwrap();
        let executor = self.pod(order, "executor").await;
        [driver, executor]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_of_the_real_operator_have_what_is_fixed_whatever_the_template_says() {
    holds(KubeflowOptions::default(), |_| true).await;
}

/// The operator then writes into the application what its scheduler needs, after everything that was rendered.
#[tokio::test(flavor = "multi_thread")]
async fn so_they_have_where_the_operator_knows_batch_schedulers() {
    let arguments = vec!["--enable-batch-scheduler=true".to_owned()];
    let wanted = |place: &Place| ["scheduler", "priority class", "queue"].contains(&place.fact);
    holds(KubeflowOptions { arguments, ..KubeflowOptions::default() }, wanted).await;
}

/// Tries everything at once, and then each place that is wanted by itself.
async fn holds(operator: KubeflowOptions, wanted: impl Fn(&Place) -> bool) {
    let batches = !operator.arguments.is_empty();
    let options = MemberOptions { operator: OperatorKind::Kubeflow(operator), ..MemberOptions::spark() };
    let fleet = Fleet::builder().hub().member_with("m1", options).start().await;
    let fleet = fleet.unwrap_or_else(|error| panic!("{}", chain(&error)));
    knows_every_field(&fleet);
    let installation = Installation::new(&fleet).await.unwrap();
    installation.prepare("m1").await.unwrap();
    let kubeconfig = installation.kubeconfig("m1").await.unwrap();
    let bench = Bench::new(&fleet).await;
    let objects = OBJECTS.replace("NAMESPACE", bench.namespace.as_str());
    fleet.member("m1").apply_manifest(&objects).await.unwrap();

    // The same cluster twice: once as it is, once with everything fixed.
    bench.put("plain", &kubeconfig, None, Tempo::default()).await;
    let parts = MemberParts {
        fixed: fixed(),
        batch_scheduler: Some(BatchScheduler::YuniKorn),
        ..MemberParts::default()
    };
    let parted = Settings { parts: Arc::new(parts), ..settings("fixed", Tempo::default()) };
    let config = kubeconfig::read(&kubeconfig).await.unwrap();
    bench.registry.put(kubeflow::blueprint(parted, Connection::fixed(config, kubeconfig.clone()))).unwrap();
    let plain = bench.ready("plain").await;
    let fixing = bench.ready(ClusterName::from("fixed").as_str()).await;
    let nodes: Api<Node> = Api::all(bench.admin.clone());
    let node = nodes.list(&ListParams::default()).await.unwrap().items[0].name_any();
    let stage = Stage { bench, node };
    let order = |name: &str, template: Value| Order {
        template: Arc::new(template),
        remote_queue: Some(Arc::from("root.etl")),
        parts: Some(Arc::new(QueueParts::default())),
        ..stage.bench.order(name, &json!({}))
    };

    let all = aliases::all(KEY);
    // A node that is not there takes the pod away, and a priority that is not its class's is no pod.
    let lethal =
        |place: &&Place| ["nodeName", "priority"].iter().all(|field| place.path.last().unwrap() != field);
    let mut worst = template();
    all.iter().filter(lethal).for_each(|place| say(&mut worst, place));

    // Without anything fixed, it all gets through: what follows is not true of itself. An operator that knows batch
    // schedulers refuses one of another name.
    let mut free = worst.clone();
    if batches {
        free["spec"]["batchScheduler"] = json!("yunikorn");
    }
    let open = order("plain", free);
    stage.create(&plain, &open).await;
    for pod in stage.run(&open).await {
        let facts = facts(&pod);
        let closed: Vec<_> =
            facts.iter().filter(|(_, value)| !value.contains("evil")).map(|it| *it.0).collect();
        assert_eq!(closed, ["router", "team"], "{facts:#?}");
        assert_eq!(pod.annotations().contains_key(TASK_GROUP), batches, "{:?}", pod.annotations());
    }

    // Everything at once, then every place by itself.
    all.iter().filter(|place| !lethal(place)).for_each(|place| say(&mut worst, place));
    let mut orders = vec![order("worst", worst)];
    // The many names of a queue go together: one application for each kind of place.
    let mut alone: BTreeMap<_, Value> = BTreeMap::new();
    for place in all.iter().filter(|place| wanted(place)) {
        let path = place.path.join(" ");
        let kind = if place.fact == "queue" { path.replace(&place.key, "*") } else { path };
        say(alone.entry((place.fact, kind)).or_insert_with(template), place);
    }
    for (n, template) in alone.into_values().enumerate() {
        orders.push(order(&format!("alias-{n}"), template));
    }
    assert!(orders.len() > 20, "{}", orders.len());
    let expected = BTreeMap::from([
        ("image", "good"),
        ("service account", "good"),
        ("scheduler", "yunikorn"),
        ("priority class", "good"),
        ("tolerations", "good"),
        ("node selector", "good"),
        ("label", "good"),
        ("annotation", "good"),
        ("queue", "root.etl"),
        ("old queue", "root.etl"),
        ("router", "etl"),
        ("team", "team"),
    ])
    .into_iter()
    .map(|(fact, value)| (fact, value.to_owned()))
    .collect::<BTreeMap<_, _>>();
    let started = Instant::now();
    for batch in orders.chunks(16) {
        for order in batch {
            stage.create(&fixing, order).await;
        }
        let runs = batch.iter().map(|order| stage.run(order));
        for (order, pods) in batch.iter().zip(join_all(runs).await) {
            for pod in pods {
                assert_eq!(facts(&pod), expected, "{}: {:#}", pod.name_any(), order.template);
                assert_eq!(pod.annotations().contains_key(TASK_GROUP), batches, "{}", pod.name_any());
            }
        }
    }
    eprintln!("{} applications after {:.1?}", orders.len(), started.elapsed());
}
