//! Holds the tables against a member that is written apart from them: whatever a template says in whatever place, the
//! pods have what is fixed, with the operator's webhook and without.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value, json};
use spark_router_api::{
    ApplicationParts, MemberClusterSpec, RoleParts, RoleSize, SizeClass, SparkQueueSpec,
    member::{BatchScheduler, ImageChoice, Language},
    queue::Allowed,
};
use spark_router_core::id::{Attempt, HubId, JobKey, JobUid, Namespace, QueueName, RemoteName};

use super::{
    MemberParts, Order, QueueParts, application,
    bans::{Ban, REFUSED, SIZES},
    check_member_parts, check_queue_parts,
    decide::fact_of,
    effective,
    keys::{KEYED, QUEUE_KEYS, THEIRS, WRITTEN_OUT},
    place::{Path, Place, Role, is_per_role, parsed},
    refused,
    table::{Alias, FACTS, Fact, TWINS},
};

/// What a template tries, recognisable in every text.
const EVIL: &str = "evil";
/// What is fixed.
const GOOD: &str = "good";
/// A Spark whose properties do not tell the roles apart.
const OLD: &str = "3.2.4";
/// The key of labels and the like.
const KEY: &str = "pool";

fn order(template: Value, parts: QueueParts, remote_queue: Option<&str>) -> Order {
    Order {
        job: JobUid::from("0b1c"),
        key: JobKey { namespace: Namespace::from("team"), name: "daily".to_owned() },
        attempt: Attempt(2),
        queue: QueueName::from("etl"),
        seq: 7,
        namespace: Namespace::from("spark"),
        name: RemoteName::from("daily-abc"),
        template: Arc::new(template),
        remote_queue: remote_queue.map(Arc::from),
        parts: Some(Arc::new(parts)),
        emr: None,
        start_deadline: None,
    }
}

fn render(template: &Value, queue: &ApplicationParts, member: &MemberParts, remote: Option<&str>) -> Value {
    let queue = QueueParts { fixed: queue.clone(), ..QueueParts::default() };
    application(&order(template.clone(), queue, remote), &HubId::from("hub"), member).0
}

fn template() -> Value {
    json!({
        "metadata": {"labels": {"own": "label"}},
        "spec": {
            "type": "Scala", "sparkVersion": "4.0.1", "mainApplicationFile": "local:///a.jar",
            "driver": {}, "executor": {},
        },
    })
}

/// A template that says `value` in one place. Lists on the way get one item of any name.
fn saying(path: Path, role: Role, key: &str, value: &Value) -> Value {
    let mut root = template();
    if path.contains(&"containers") {
        let list: Path = &["spec", "{role}", "template", "spec", "containers"];
        Place::new(list, Some(role), "").set(
            &mut root,
            json!([{"name": "first"}, {"name": format!("spark-kubernetes-{}", role.as_str())}]),
        );
    }
    if let [parents @ .., last] = path
        && let Some(name) = super::place::filled(last, Some(role), key).strip_prefix('@')
    {
        let steps: Vec<_> = parents.iter().map(|step| super::place::filled(step, Some(role), key)).collect();
        let list = json!([{"name": name, "value": value}]);
        *root.pointer_mut(&format!("/{}", steps[..2].join("/"))).unwrap() = json!({(steps[2].clone()): list});
        return root;
    }
    Place::new(path, Some(role), key).set(&mut root, value.clone());
    root
}

fn value_of(fact: Fact, text: &str) -> Value {
    match fact {
        Fact::Tolerations => json!([{"key": text, "operator": "Exists"}]),
        _ => json!(text),
    }
}

/// Parts that decide one fact for both roles.
fn deciding(fact: Fact, text: &str) -> ApplicationParts {
    let mut parts = ApplicationParts::default();
    let entry = || BTreeMap::from([(KEY.to_owned(), text.to_owned())]);
    let mut role = RoleParts::default();
    match fact {
        Fact::Image => parts.image = Some(text.to_owned()),
        Fact::ServiceAccount => role.service_account = Some(text.to_owned()),
        Fact::Scheduler => {
            parts.spark_conf =
                BTreeMap::from([("spark.kubernetes.scheduler.name".to_owned(), text.to_owned())]);
        }
        Fact::PriorityClass => role.priority_class_name = Some(text.to_owned()),
        Fact::Tolerations => {
            role.tolerations = value_of(fact, text)
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it.as_object().unwrap().clone())
                .collect();
        }
        Fact::NodeSelector => role.node_selector = entry(),
        Fact::Label => parts.labels = entry(),
        Fact::Annotation => parts.annotations = entry(),
    }
    (parts.driver, parts.executor) = (role.clone(), role);
    parts
}

/// What a member makes of an application: the operator's command line, Spark, and the operator's webhook if there is one.
struct Pod {
    conf: BTreeMap<String, String>,
    labels: BTreeMap<String, Value>,
    annotations: BTreeMap<String, Value>,
    spec: Map<String, Value>,
    image: Option<String>,
}

fn entries(value: &Value) -> impl Iterator<Item = (String, Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone()))
}

fn pod(application: &Value, role: Role, webhook: bool) -> Pod {
    let (spec, name) = (&application["spec"], role.as_str());
    let typed = &spec[name];
    let mut conf = BTreeMap::new();
    let mut put = |key: String, value: &Value| {
        if let Some(text) = value.as_str().filter(|text| !text.is_empty()) {
            conf.insert(key, text.to_owned());
        }
    };
    put("spark.kubernetes.container.image".into(), &spec["image"]);
    entries(&spec["sparkConf"]).for_each(|(key, value)| put(key, &value));
    let image = if typed["image"].is_string() { &typed["image"] } else { &spec["image"] };
    put(format!("spark.kubernetes.{name}.container.image"), image);
    put(format!("spark.kubernetes.authenticate.{name}.serviceAccountName"), &typed["serviceAccount"]);
    for (key, value) in entries(&application["metadata"]["labels"]) {
        if !key.starts_with("kueue.x-k8s.io/") {
            put(format!("spark.kubernetes.{name}.label.{key}"), &value);
        }
    }
    for (kind, map) in [("label", &typed["labels"]), ("annotation", &typed["annotations"])] {
        entries(map).for_each(|(key, value)| put(format!("spark.kubernetes.{name}.{kind}.{key}"), &value));
    }
    entries(&spec["nodeSelector"])
        .for_each(|(key, value)| put(format!("spark.kubernetes.node.selector.{key}"), &value));

    let base = &typed["template"];
    let below = |prefix: &str| -> Vec<(String, Value)> {
        conf.iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.to_owned(), json!(value))))
            .collect()
    };
    let mut labels: BTreeMap<_, _> = entries(&base["metadata"]["labels"]).collect();
    labels.extend(below(&format!("spark.kubernetes.{name}.label.")));
    let mut annotations: BTreeMap<_, _> = entries(&base["metadata"]["annotations"]).collect();
    annotations.extend(below(&format!("spark.kubernetes.{name}.annotation.")));
    let mut pod = base["spec"].as_object().cloned().unwrap_or_default();
    let mut selector: Map<_, _> = entries(&base["spec"]["nodeSelector"]).collect();
    selector.extend(below("spark.kubernetes.node.selector."));
    // Before 3.3 only the executors' scheduler had a property of its own.
    let is_old = spec["sparkVersion"] == OLD;
    if !is_old {
        selector.extend(below(&format!("spark.kubernetes.{name}.node.selector.")));
    }
    let scheduler = conf
        .get(&format!("spark.kubernetes.{name}.scheduler.name"))
        .filter(|_| !is_old || role == Role::Executor)
        .or_else(|| conf.get("spark.kubernetes.scheduler.name").filter(|_| !is_old));
    if let Some(scheduler) = scheduler {
        pod.insert("schedulerName".into(), json!(scheduler));
    }
    let account = conf
        .get(&format!("spark.kubernetes.authenticate.{name}.serviceAccountName"))
        .or_else(|| conf.get("spark.kubernetes.authenticate.driver.serviceAccountName"));
    let leaves_alone = role == Role::Executor && pod.contains_key("serviceAccount");
    if let Some(account) = account.filter(|_| !leaves_alone) {
        pod.insert("serviceAccountName".into(), json!(account));
    }
    if !pod.contains_key("serviceAccountName")
        && let Some(account) = pod.get("serviceAccount").cloned()
    {
        pod.insert("serviceAccountName".into(), account);
    }
    if webhook {
        let scheduler = match &spec["batchScheduler"] {
            Value::Null => &typed["schedulerName"],
            scheduler => scheduler,
        };
        for (field, value) in
            [("schedulerName", scheduler), ("priorityClassName", &typed["priorityClassName"])]
        {
            if !value.is_null() {
                pod.insert(field.into(), value.clone());
            }
        }
        selector.extend(entries(&typed["nodeSelector"]));
        let mut tolerations = pod.get("tolerations").and_then(Value::as_array).cloned().unwrap_or_default();
        for added in typed["tolerations"].as_array().into_iter().flatten() {
            if !tolerations.contains(added) {
                tolerations.push(added.clone());
            }
        }
        pod.insert("tolerations".into(), json!(tolerations));
    }
    pod.insert("nodeSelector".into(), json!(selector));
    let image = conf
        .get(&format!("spark.kubernetes.{name}.container.image"))
        .or_else(|| conf.get("spark.kubernetes.container.image"))
        .cloned();
    Pod { conf, labels, annotations, spec: pod, image }
}

impl Pod {
    fn fact(&self, fact: Fact) -> Value {
        let field = |name: &str| self.spec.get(name).cloned().unwrap_or_default();
        match fact {
            Fact::Image => json!(self.image),
            Fact::ServiceAccount => field("serviceAccountName"),
            Fact::Scheduler => field("schedulerName"),
            Fact::PriorityClass => field("priorityClassName"),
            Fact::Tolerations => field("tolerations"),
            Fact::NodeSelector => field("nodeSelector")[KEY].clone(),
            Fact::Label => self.labels.get(KEY).cloned().unwrap_or_default(),
            Fact::Annotation => self.annotations.get(KEY).cloned().unwrap_or_default(),
        }
    }
}

/// Every alias of every fact, for each role.
fn aliases() -> impl Iterator<Item = (Fact, &'static Alias, Role)> {
    FACTS.iter().flat_map(|(fact, aliases)| {
        aliases.iter().flat_map(move |alias| {
            let roles = if is_per_role(alias.path) { &Role::ALL[..] } else { &Role::ALL[..1] };
            roles.iter().map(move |role| (*fact, alias, *role))
        })
    })
}

/// The templates by which an alias is tried: as it is, and properties also as somebody more lenient would read them.
fn tries(alias: &Alias, role: Role, value: &Value) -> Vec<Value> {
    let mut all = vec![saying(alias.path, role, KEY, value)];
    if let ["spec", "sparkConf", pattern] = alias.path {
        let name = super::place::filled(pattern, Some(role), KEY);
        for name in [name.to_ascii_uppercase(), format!(" {name} ")] {
            let mut root = template();
            root["spec"]["sparkConf"] = json!({name: value});
            all.push(root);
        }
    }
    all
}

#[test]
fn what_is_fixed_holds_against_every_alias_and_says_why() {
    let mut tried = 0;
    for (fact, alias, role) in aliases() {
        assert!(alias.why.len() > 10, "{:?} needs a reason", alias.path);
        let new = tries(alias, role, &value_of(fact, EVIL));
        let mut old = new.clone();
        for template in &mut old {
            template["spec"]["sparkVersion"] = json!(OLD);
        }
        for template in new.into_iter().chain(old) {
            let parts = deciding(fact, GOOD);
            let member = MemberParts { fixed: parts.clone(), ..MemberParts::default() };
            let none = ApplicationParts::default();
            for rendered in [
                render(&template, &parts, &MemberParts::default(), None),
                render(&template, &none, &member, None),
            ] {
                tried += 1;
                assert!(!rendered.to_string().contains(EVIL), "{:?}: {rendered:#}", alias.path);
                for (role, webhook) in [(0, false), (1, false), (0, true), (1, true)] {
                    let pod = pod(&rendered, Role::ALL[role], webhook);
                    assert_eq!(
                        pod.fact(fact),
                        value_of(fact, GOOD),
                        "{:?} {webhook}: {rendered:#}",
                        alias.path
                    );
                    assert!(!pod.spec.contains_key("nodeName"), "{rendered:#}");
                }
                // The operator's webhook refuses both together.
                let both = &rendered["spec"]["nodeSelector"];
                assert!(both.is_null(), "{rendered:#}");
            }
        }
    }
    assert!(tried > 150, "{tried}");
}

#[test]
fn what_is_fixed_for_one_role_leaves_the_other_its_own() {
    for ((fact, alias, role), version) in aliases().flat_map(|it| [(it, "4.0.1"), (it, OLD)]) {
        if matches!(fact, Fact::Image | Fact::Scheduler) || !is_per_role(alias.path) {
            continue;
        }
        let mut parts = deciding(fact, GOOD);
        let other = role.other();
        let one = match role {
            Role::Driver => RoleParts::clone(&parts.driver),
            Role::Executor => parts.executor.clone(),
        };
        let one = RoleParts { labels: parts.labels.clone(), annotations: parts.annotations.clone(), ..one };
        parts = match role {
            Role::Driver => ApplicationParts { driver: one, ..ApplicationParts::default() },
            Role::Executor => ApplicationParts { executor: one, ..ApplicationParts::default() },
        };
        let mut template = saying(alias.path, role, KEY, &value_of(fact, EVIL));
        template["metadata"]["labels"][KEY] = json!("shared");
        template["spec"]["nodeSelector"] = json!({KEY: "shared", "zone": "a"});
        if version == OLD {
            template["spec"]["sparkVersion"] = json!(OLD);
        }
        let rendered = render(&template, &parts, &MemberParts::default(), None);
        for webhook in [false, true] {
            let (fixed, free) = (pod(&rendered, role, webhook), pod(&rendered, other, webhook));
            assert_eq!(fixed.fact(fact), value_of(fact, GOOD), "{:?}: {rendered:#}", alias.path);
            for (fact, shared) in [(Fact::Label, "shared"), (Fact::NodeSelector, "shared")] {
                assert_eq!(free.fact(fact), json!(shared), "{fact:?} {:?}: {rendered:#}", alias.path);
            }
            assert_eq!(fixed.spec["nodeSelector"]["zone"], "a");
            assert_eq!(free.spec["nodeSelector"]["zone"], "a");
        }
        assert!(!rendered.to_string().contains(EVIL), "{rendered:#}");
    }
}

#[test]
fn a_default_counts_only_where_a_template_is_silent() {
    for (fact, alias, role) in aliases() {
        // Nothing that a pod shows by itself.
        let is_silent = alias.path.ends_with(&["nodeName"])
            || alias.path.ends_with(&["priority"])
            || alias.path.contains(&"batchSchedulerOptions")
            || alias.path.ends_with(&["spark.kubernetes.authenticate.serviceAccountName"])
            || alias.path.ends_with(&["image"]) && alias.path.contains(&"containers");
        if is_silent {
            continue;
        }
        let template = saying(alias.path, role, KEY, &value_of(fact, EVIL));
        let defaults = deciding(fact, GOOD);
        let queue = QueueParts { defaults: defaults.clone(), ..QueueParts::default() };
        let member = MemberParts { defaults, ..MemberParts::default() };
        let hub = HubId::from("hub");
        for rendered in [
            application(&order(template.clone(), queue, None), &hub, &MemberParts::default()).0,
            application(&order(template.clone(), QueueParts::default(), None), &hub, &member).0,
        ] {
            let own = pod(&rendered, role, true);
            assert_eq!(own.fact(fact), value_of(fact, EVIL), "{:?}: {rendered:#}", alias.path);
            if is_per_role(alias.path) {
                for webhook in [false, true] {
                    let free = pod(&rendered, role.other(), webhook);
                    assert_eq!(free.fact(fact), value_of(fact, GOOD), "{:?}: {rendered:#}", alias.path);
                }
            }
        }
    }
}

#[test]
fn the_strongest_says_it() {
    // What each level says, from the weakest; the effective value is that of the last one that speaks.
    let conf = |text: &str| BTreeMap::from([("spark.executor.memory".to_owned(), text.to_owned())]);
    let parts = |level: &str| ApplicationParts {
        image: Some(level.to_owned()),
        spark_conf: BTreeMap::from([("spark.sql.x".to_owned(), level.to_owned())]),
        labels: BTreeMap::from([("team".to_owned(), level.to_owned())]),
        ..ApplicationParts::default()
    };
    let levels = ["member default", "queue default", "template", "queue fixed", "member fixed"];
    for said in 1..1 << levels.len() {
        let says = |level: usize| {
            if said & (1 << level) == 0 { ApplicationParts::default() } else { parts(levels[level]) }
        };
        let mut template = json!({"spec": {"type": "Scala", "sparkVersion": "4.0.1"}});
        if said & 4 != 0 {
            template = json!({"metadata": {"labels": {"team": "template"}}, "spec": {
                "type": "Scala", "sparkVersion": "4.0.1", "image": "template", "sparkConf": {"spark.sql.x": "template"},
            }});
        }
        let queue = QueueParts { defaults: says(1), fixed: says(3), ..QueueParts::default() };
        let member = MemberParts { defaults: says(0), fixed: says(4), ..MemberParts::default() };
        let rendered = application(&order(template, queue, None), &HubId::from("hub"), &member).0;
        let strongest = (0..levels.len()).rfind(|level| said & (1 << level) != 0).unwrap();
        let seen = pod(&rendered, Role::Executor, false);
        assert_eq!(seen.image.as_deref(), Some(levels[strongest]), "{said:b}: {rendered:#}");
        assert_eq!(seen.labels["team"], levels[strongest], "{said:b}");
        assert_eq!(seen.conf["spark.sql.x"], levels[strongest], "{said:b}");
    }
    // A size class is between the queue's defaults and the template.
    let class = SizeClass {
        executor: RoleSize { memory: Some("2g".into()), cores: Some(2), ..RoleSize::default() },
        instances: Some(5),
        ..SizeClass::default()
    };
    let queue = QueueParts {
        size: class,
        defaults: ApplicationParts { spark_conf: conf("1g"), ..ApplicationParts::default() },
        ..QueueParts::default()
    };
    let spec = |spec: Value| effective(&json!({"spec": spec}), &queue)["spec"].clone();
    let sized = spec(json!({}));
    assert_eq!(sized["executor"], json!({"memory": "2g", "cores": 2, "instances": 5}));
    assert_eq!(sized["sparkConf"], Value::Null);
    assert_eq!(spec(json!({"executor": {"memory": "3g"}}))["executor"]["memory"], "3g");
    let by_property =
        spec(json!({"sparkConf": {"spark.executor.memory": "3g", "spark.executor.instances": "1"}}));
    assert_eq!(by_property["executor"], json!({"cores": 2}));
    assert_eq!(by_property["sparkConf"]["spark.executor.memory"], "3g");
    let dynamic = spec(json!({"dynamicAllocation": {"enabled": true}}));
    assert_eq!(dynamic["executor"]["instances"], Value::Null);
    let fixed = QueueParts {
        fixed: ApplicationParts { spark_conf: conf("9g"), ..ApplicationParts::default() },
        ..queue.clone()
    };
    let fixed = effective(&json!({"spec": {"executor": {"memory": "3g"}}}), &fixed);
    assert_eq!(fixed["spec"]["executor"]["memory"], Value::Null);
    assert_eq!(fixed["spec"]["sparkConf"]["spark.executor.memory"], "9g");
}

#[test]
fn a_fixed_property_holds_against_its_typed_twin() {
    for (twin, role) in TWINS.iter().flat_map(|twin| Role::ALL.map(|role| (twin, role))) {
        let name = super::place::filled(twin.conf, Some(role), KEY);
        let template = saying(twin.path, role, KEY, &json!(EVIL));
        let parts = |value: &str| ApplicationParts {
            spark_conf: BTreeMap::from([(name.clone(), value.to_owned())]),
            ..ApplicationParts::default()
        };
        let rendered = render(&template, &parts(GOOD), &MemberParts::default(), None);
        assert_eq!(rendered["spec"]["sparkConf"][&name], GOOD, "{rendered:#}");
        assert!(!rendered.to_string().contains(EVIL), "{name}: {rendered:#}");
        let queue = QueueParts { defaults: parts(GOOD), ..QueueParts::default() };
        let kept = effective(&template, &queue);
        assert_eq!(kept, template, "{name}");
        assert_eq!(effective(&self::template(), &queue)["spec"]["sparkConf"][&name], GOOD);
    }
}

#[test]
fn fixed_properties_that_name_facts_fix_the_facts() {
    for (fact, alias, role) in aliases() {
        let ["spec", "sparkConf", pattern] = alias.path else { continue };
        let name = super::place::filled(pattern, Some(role), KEY);
        let (of, _, key) = fact_of(&name).unwrap();
        assert_eq!((of, key), (fact, if pattern.contains("{key}") { KEY } else { "" }), "{name}");
        let parts = ApplicationParts {
            spark_conf: BTreeMap::from([(name.clone(), GOOD.to_owned())]),
            ..ApplicationParts::default()
        };
        for (other, against, of) in aliases().filter(|(other, ..)| *other == fact) {
            if of != role && is_per_role(alias.path) {
                continue;
            }
            let template = saying(against.path, of, KEY, &value_of(other, EVIL));
            let rendered = render(&template, &parts, &MemberParts::default(), None);
            for webhook in [false, true] {
                let seen = pod(&rendered, role, webhook).fact(fact);
                assert_eq!(seen, GOOD, "{name} against {:?}: {rendered:#}", against.path);
            }
        }
    }
}

#[test]
fn nothing_in_a_template_changes_the_queue_of_a_batch_scheduler() {
    let keyed = |fact| FACTS.iter().find(|(of, _)| *of == fact).unwrap().1;
    let annotation: Path = &["metadata", "annotations", "{key}"];
    for (scheduler, key) in QUEUE_KEYS {
        let paths = keyed(Fact::Label).iter().chain(keyed(Fact::Annotation)).map(|alias| alias.path);
        for (path, role) in paths.chain([annotation]).flat_map(|path| Role::ALL.map(|role| (path, role))) {
            let mut template = saying(path, role, key, &json!(EVIL));
            template["spec"]["batchScheduler"] = json!("evilscheduler");
            template["spec"]["batchSchedulerOptions"] = json!({"queue": "evil", "resources": {"cpu": "1"}});
            template["spec"]["driver"]["template"]["spec"]["nodeName"] = json!("evil");
            let member = MemberParts { batch_scheduler: Some(*scheduler), ..MemberParts::default() };
            let rendered = render(&template, &ApplicationParts::default(), &member, Some("root.etl.daily"));
            if *scheduler != BatchScheduler::Kueue {
                assert!(!rendered.to_string().contains(EVIL), "{key} {path:?}: {rendered:#}");
            }
            let text = rendered.to_string();
            assert!(!text.contains("evilscheduler") && !text.contains(r#""queue":"evil""#), "{rendered:#}");
            assert!(!text.contains(&format!(r#"{key}":"evil""#)), "{rendered:#}");
        }
    }
}

#[test]
fn each_batch_scheduler_gets_the_queue_as_it_reads_it() {
    let rendered = |scheduler, queue: &str| {
        let member = MemberParts { batch_scheduler: Some(scheduler), ..MemberParts::default() };
        render(&template(), &ApplicationParts::default(), &member, Some(queue))
    };
    let yunikorn = rendered(BatchScheduler::YuniKorn, "root.etl");
    assert_eq!(yunikorn["spec"]["batchScheduler"], "yunikorn");
    assert_eq!(yunikorn["spec"]["batchSchedulerOptions"], json!({"queue": "root.etl"}));
    for role in Role::ALL {
        let pod = pod(&yunikorn, role, false);
        assert_eq!(pod.spec["schedulerName"], "yunikorn", "without the webhook too");
        assert_eq!(
            (&pod.labels["queue"], &pod.labels["yunikorn.apache.org/queue"]),
            (&json!("root.etl"), &json!("root.etl"))
        );
    }
    // No label can hold it; the operator would make one of the option.
    let long = format!("root.{}", "x".repeat(70));
    let yunikorn = rendered(BatchScheduler::YuniKorn, &long);
    assert_eq!(yunikorn["spec"]["batchSchedulerOptions"], Value::Null);
    let driver = pod(&yunikorn, Role::Driver, false);
    assert_eq!(driver.annotations["yunikorn.apache.org/queue"], json!(long));
    assert!(!driver.labels.contains_key("queue"));

    let volcano = rendered(BatchScheduler::Volcano, "etl");
    assert_eq!(volcano["spec"]["batchScheduler"], "volcano");
    assert_eq!(volcano["spec"]["batchSchedulerOptions"], json!({"queue": "etl"}));
    let executor = pod(&volcano, Role::Executor, false);
    assert_eq!(executor.spec["schedulerName"], "volcano");
    assert_eq!(executor.annotations["scheduling.volcano.sh/queue-name"], "etl");

    let kueue = rendered(BatchScheduler::Kueue, "etl");
    assert_eq!(kueue["metadata"]["labels"]["kueue.x-k8s.io/queue-name"], "etl");
    assert_eq!(kueue["spec"]["batchScheduler"], Value::Null);

    let mut own = template();
    own["spec"]["batchScheduler"] = json!("yunikorn");
    own["spec"]["batchSchedulerOptions"] = json!({"queue": "root.mine"});
    let kept = render(&own, &ApplicationParts::default(), &MemberParts::default(), Some("root.etl"));
    assert_eq!(kept["spec"]["batchSchedulerOptions"], json!({"queue": "root.mine"}), "the member has none");
}

#[test]
fn who_fixes_one_name_of_a_queue_fixes_the_queue() {
    let parts = ApplicationParts {
        labels: BTreeMap::from([("queue".to_owned(), "root.etl".to_owned())]),
        ..ApplicationParts::default()
    };
    let template = saying(
        &["spec", "{role}", "labels", "{key}"],
        Role::Driver,
        "yunikorn.apache.org/queue",
        &json!(EVIL),
    );
    let rendered = render(&template, &parts, &MemberParts::default(), None);
    assert_eq!(pod(&rendered, Role::Driver, true).labels["queue"], "root.etl");
    assert!(!rendered.to_string().contains(EVIL), "{rendered:#}");
}

#[test]
fn images_are_chosen_by_version_and_language() {
    let choice = |version: &str, language, image: &str| ImageChoice {
        spark_version: version.into(),
        language,
        image: image.into(),
    };
    let images = vec![
        choice("4.0", Some(Language::Python), "py40"),
        choice("4.0.1", None, "s401"),
        choice("4", None, "s4"),
    ];
    let defaults = deciding(Fact::Image, "default");
    let member = MemberParts { images, defaults, ..MemberParts::default() };
    let image = |spec: Value| {
        let rendered = render(&json!({"spec": spec}), &ApplicationParts::default(), &member, None);
        Role::ALL.map(|role| pod(&rendered, role, false).image.unwrap())
    };
    for (version, language, expected) in [
        ("4.0.1", "Python", "py40"),
        ("4.0.1", "Scala", "s401"),
        ("4.0", "Python", "py40"),
        ("4.0.10", "Scala", "s4"),
        ("4.01", "Python", "s4"),
        ("41.0", "Scala", "default"),
        ("3.5.4", "R", "default"),
    ] {
        let chosen = image(json!({"sparkVersion": version, "type": language}));
        assert_eq!(chosen, [expected, expected], "{version} {language}");
    }
    let conf = json!({"spark.kubernetes.driver.container.image": "own"});
    assert_eq!(image(json!({"sparkVersion": "4.0.1", "type": "Scala", "sparkConf": conf})), ["own", "s401"]);
    assert_eq!(image(json!({"sparkVersion": "4.0.1", "executor": {"image": "own"}})), ["s401", "own"]);
}

#[test]
fn cost_labels_reach_both_roles() {
    let parts = ApplicationParts {
        labels: BTreeMap::from([("cost-centre".to_owned(), "42".to_owned())]),
        ..ApplicationParts::default()
    };
    let rendered = render(&template(), &parts, &MemberParts::default(), None);
    for role in Role::ALL {
        let labels = pod(&rendered, role, false).labels;
        for (key, value) in [
            ("sparkrouter.dev/queue", "etl"),
            ("sparkrouter.dev/team", "team"),
            ("sparkrouter.dev/job-uid", "0b1c"),
            ("sparkrouter.dev/attempt", "2"),
            ("cost-centre", "42"),
            ("own", "label"),
        ] {
            assert_eq!(labels[key], value, "{rendered:#}");
        }
    }
    let annotations = &rendered["metadata"]["annotations"];
    assert_eq!(annotations["sparkrouter.dev/job-namespace"], "team");
    assert_eq!(annotations["sparkrouter.dev/job-name"], "daily");
}

#[test]
fn everything_in_the_table_is_refused_by_its_path() {
    let all = Allowed { pod_template_files: true, host_paths: true };
    for (row, role) in REFUSED.iter().flat_map(|row| Role::ALL.map(|role| (row, role))) {
        let mut texts = vec![];
        if let ["spec", "sparkConf", pattern] = row.path {
            let name = super::place::filled(pattern, Some(role), "").replace('*', "any.thing");
            texts.push((json!({(name.clone()): EVIL}), name.clone()));
            let upper = name.to_ascii_uppercase();
            texts.push((json!({(upper.clone()): EVIL}), upper));
        }
        let mut cases: Vec<_> = texts
            .into_iter()
            .map(|(conf, name)| {
                let mut root = template();
                root["spec"]["sparkConf"] = conf;
                (root, format!("t.spec.sparkConf[{name}]"))
            })
            .collect();
        if cases.is_empty() {
            let mut root = template();
            let steps: Vec<_> =
                row.path.iter().map(|step| super::place::filled(step, Some(role), "")).collect();
            let (mut node, mut shown) = (&mut root, "t".to_owned());
            for step in &steps {
                node = if step == "*" {
                    *node = json!([{"name": "x"}]);
                    shown += "[0]";
                    &mut node[0]
                } else {
                    shown += &format!(".{step}");
                    if node.is_null() {
                        *node = json!({});
                    }
                    &mut node[step.as_str()]
                };
            }
            *node = json!(EVIL);
            cases.push((root, shown));
        }
        for (root, shown) in cases {
            let refusal =
                refused(&root, "t", Allowed::default()).unwrap_or_else(|| panic!("{shown} is let through"));
            assert_eq!(refusal.path, shown);
            assert_eq!(refusal.advice, row.advice);
            let is_allowable = matches!(row.ban, Ban::PodTemplateFiles | Ban::HostPaths);
            assert_eq!(refused(&root, "t", all).is_none(), is_allowable, "{shown}");
        }
    }
    for fine in [
        json!({"spark.submit.deployMode": "cluster", "spark.kubernetes.submission.waitAppCompletion": "false"}),
        json!({"spark.kubernetes.authenticate.driver.serviceAccountName": "x", "spark.kubernetes.container.image": "x"}),
    ] {
        let mut root = template();
        root["spec"]["sparkConf"] = fine;
        assert_eq!(refused(&root, "t", Allowed::default()), None);
    }
}

#[test]
fn keys_of_others_and_malformed_keys_are_refused_everywhere() {
    for (path, role) in KEYED.iter().flat_map(|path| Role::ALL.map(|role| (path, role))) {
        for key in THEIRS.iter().chain(&["sparkrouter.dev/attempt", "SparkRouter.dev/queue"]) {
            let root = saying(path, role, "", &json!({(*key): EVIL}));
            let refusal = refused(&root, "t", Allowed::default());
            assert!(refusal.is_some_and(|it| it.path.ends_with(&format!("[{key}]"))), "{path:?} {key}");
        }
    }
    for name in [
        "spark.kubernetes.driver.label.sparkrouter.dev/attempt",
        "spark.kubernetes.EXECUTOR.label.sparkrouter.dev/attempt",
        "spark.kubernetes.executor.annotation.sparkrouter.dev/attempt",
        "spark.kubernetes.driver.service.label.sparkrouter.dev/attempt",
        "spark.kubernetes.driver.label.sparkoperator.k8s.io/app-name",
    ] {
        let root = saying(&["spec", "sparkConf"], Role::Driver, "", &json!({name: EVIL}));
        assert_eq!(
            refused(&root, "t", Allowed::default()).unwrap().path,
            format!("t.spec.sparkConf[{name}]")
        );
    }
    let decommission = json!({"spark.kubernetes.executor.decommissionLabel": "sparkrouter.dev/attempt"});
    assert!(
        refused(&saying(&["spec", "sparkConf"], Role::Driver, "", &decommission), "t", Allowed::default())
            .is_some()
    );
    for (path, role) in WRITTEN_OUT.iter().flat_map(|path| Role::ALL.map(|role| (path, role))) {
        for key in ["a=b", "a b", " a", "a\n", ""] {
            let root = saying(path, role, "", &json!({key: EVIL}));
            let refusal = refused(&root, "t", Allowed::default());
            assert!(refusal.is_some_and(|it| it.path.ends_with(&format!("[{key}]"))), "{path:?} {key:?}");
        }
    }
    for file in ["--conf", "--conf=spark.x=y", " -x"] {
        let mut root = template();
        root["spec"]["mainApplicationFile"] = json!(file);
        assert_eq!(refused(&root, "t", Allowed::default()).unwrap().path, "t.spec.mainApplicationFile");
    }
    assert_eq!(refused(&template(), "t", Allowed::default()), None);
}

fn member(parts: &Value) -> MemberClusterSpec {
    let mut spec = json!({"connection": {"inCluster": {}}});
    spec.as_object_mut().unwrap().extend(parts.as_object().unwrap().clone());
    serde_json::from_value(spec).unwrap()
}

fn queue(parts: &Value) -> SparkQueueSpec {
    let mut spec = json!({"routes": [{"clusters": {"names": ["m"]}}]});
    spec.as_object_mut().unwrap().extend(parts.as_object().unwrap().clone());
    serde_json::from_value(spec).unwrap()
}

#[test]
fn members_cannot_change_what_is_counted_before_them() {
    for pattern in SIZES {
        for role in Role::ALL {
            let name = super::place::filled(pattern, Some(role), "").replace('*', "x");
            for part in ["defaults", "fixed"] {
                let parts = json!({part: {"sparkConf": {(name.clone()): "1"}}});
                let why = check_member_parts(&member(&parts)).unwrap_err();
                assert!(why.starts_with(&format!("spec.{part}.sparkConf[{name}]: ")), "{why}");
                assert_eq!(check_queue_parts(&queue(&parts)), Ok(()), "{name}");
            }
        }
    }
    let fine = json!({"defaults": {"sparkConf": {"spark.eventLog.enabled": "true"}, "labels": {"team": "a"},
        "driver": {"serviceAccount": "spark", "nodeSelector": {"pool": "spark"}}}});
    assert_eq!(check_member_parts(&member(&fine)), Ok(()));
}

#[test]
fn parts_must_not_say_what_is_nobodys_to_say() {
    for (parts, path) in [
        (json!({"labels": {"sparkrouter.dev/queue": "x"}}), "labels[sparkrouter.dev/queue]"),
        (json!({"annotations": {"sparkrouter.dev/x": "x"}}), "annotations[sparkrouter.dev/x]"),
        (json!({"driver": {"labels": {"spark-role": "x"}}}), "driver.labels[spark-role]"),
        (
            json!({"executor": {"annotations": {"sparkrouter.dev/x": ""}}}),
            "executor.annotations[sparkrouter.dev/x]",
        ),
        (json!({"executor": {"nodeSelector": {"a=b": ""}}}), "executor.nodeSelector[a=b]"),
        (json!({"sparkConf": {"spark.kubernetes.namespace": "x"}}), "sparkConf[spark.kubernetes.namespace]"),
        (
            json!({"sparkConf": {"spark.kubernetes.driver.pod.name": "x"}}),
            "sparkConf[spark.kubernetes.driver.pod.name]",
        ),
        (json!({"sparkConf": {"spark.master": "x"}}), "sparkConf[spark.master]"),
        (
            json!({"sparkConf": {"spark.kubernetes.driver.label.sparkrouter.dev/x": "x"}}),
            "sparkConf[spark.kubernetes.driver.label.sparkrouter.dev/x]",
        ),
        (json!({"sparkConf": {"spark.x=y": "x"}}), "sparkConf[spark.x=y]"),
    ] {
        for part in ["defaults", "fixed"] {
            let parts = json!({part: parts});
            let expected = format!("spec.{part}.{path}: ");
            for why in [check_queue_parts(&queue(&parts)), check_member_parts(&member(&parts))] {
                let why = why.unwrap_err();
                assert!(why.starts_with(&expected), "{why}");
            }
        }
    }
    let sizes = queue(&json!({"sizes": {"big": {"driver": {"memory": "1.5g"}}}}));
    assert!(check_queue_parts(&sizes).unwrap_err().starts_with("spec.sizes[big].driver.memory: "));
}

#[test]
fn a_size_class_must_be_one_of_the_queues() {
    let with = queue(&json!({"sizes": {"small": {}, "large": {"instances": 20}}}));
    assert_eq!(QueueParts::new(&with, Some("large")).unwrap().size.instances, Some(20));
    assert_eq!(QueueParts::new(&with, None).unwrap().size, SizeClass::default());
    assert_eq!(
        QueueParts::new(&with, Some("huge")).unwrap_err(),
        "spec.size: \"huge\" is no size class of the queue; take one of large, small"
    );
    assert_eq!(
        QueueParts::new(&queue(&json!({})), Some("huge")).unwrap_err(),
        "spec.size: \"huge\" is no size class: the queue has none; remove it"
    );
}

#[test]
fn what_parts_say_of_one_role_wins_over_what_they_say_of_both() {
    let label = |value: &str| BTreeMap::from([("team".to_owned(), value.to_owned())]);
    let parts = ApplicationParts {
        spark_conf: BTreeMap::from([(
            "spark.kubernetes.driver.container.image".to_owned(),
            "weaker".to_owned(),
        )]),
        image: Some("image".to_owned()),
        labels: label("both"),
        driver: RoleParts { labels: label("driver"), ..RoleParts::default() },
        ..ApplicationParts::default()
    };
    let hub = HubId::from("hub");
    let fixed = MemberParts { fixed: parts.clone(), ..MemberParts::default() };
    let defaults = MemberParts { defaults: parts, ..MemberParts::default() };
    for member in [fixed, defaults] {
        let rendered = application(&order(template(), QueueParts::default(), None), &hub, &member).0;
        let [driver, executor] = Role::ALL.map(|role| pod(&rendered, role, false));
        assert_eq!((&driver.labels["team"], &executor.labels["team"]), (&json!("driver"), &json!("both")));
        assert_eq!([driver.image.as_deref(), executor.image.as_deref()], [Some("image"), Some("image")]);
    }
}

#[test]
fn a_pod_template_of_ours_keeps_the_operators_webhook_at_work() {
    let parts = deciding(Fact::PriorityClass, GOOD);
    let rendered = render(&template(), &parts, &MemberParts::default(), None);
    assert_eq!(
        rendered["spec"]["driver"]["template"],
        json!({"spec": {"priorityClassName": GOOD, "containers": [{"name": "spark-kubernetes-driver"}]}})
    );
    let labels = pod(&rendered, Role::Executor, false).labels;
    assert_eq!(labels["sparkoperator.k8s.io/mutated-by-spark-operator"], "true");
    // Its webhook refuses pod templates for a Spark that knows none.
    let mut old = template();
    old["spec"]["sparkVersion"] = json!("2.4.8");
    let rendered = render(&old, &parts, &MemberParts::default(), None);
    assert_eq!(rendered["spec"]["driver"]["template"], Value::Null);
    assert_eq!(pod(&rendered, Role::Driver, true).fact(Fact::PriorityClass), GOOD);
}

#[test]
fn without_parts_nothing_is_touched() {
    for (fact, alias, role) in aliases() {
        let said = saying(alias.path, role, KEY, &value_of(fact, EVIL));
        assert_eq!(effective(&said, &QueueParts::default()), said, "{:?}", alias.path);
        let rendered = render(&said, &ApplicationParts::default(), &MemberParts::default(), None);
        let place = Place::new(alias.path, Some(role), KEY);
        assert_eq!(place.get(&rendered), place.get(&said), "{:?}", alias.path);
    }
}

/// Every property that Spark 4.0 has for Kubernetes, and the few others that decide where and as whom it submits. Those
/// that are in no table say nothing of what queue and member decide.
const SPARKS_OWN: [(&str, bool); 93] = [
    ("spark.archives", true),
    ("spark.files", true),
    ("spark.jars", true),
    ("spark.jars.packages", true),
    ("spark.master", true),
    ("spark.remote", true),
    ("spark.submit.deployMode", true),
    ("spark.submit.pyFiles", true),
    ("spark.kubernetes.allocation.batch.delay", false),
    ("spark.kubernetes.allocation.batch.size", false),
    ("spark.kubernetes.allocation.driver.readinessTimeout", false),
    ("spark.kubernetes.allocation.executor.timeout", false),
    ("spark.kubernetes.allocation.maxPendingPods", false),
    ("spark.kubernetes.allocation.pods.allocator", false),
    ("spark.kubernetes.appKillPodDeletionGracePeriod", false),
    ("spark.kubernetes.authenticate.caCertFile", true),
    ("spark.kubernetes.authenticate.clientCertFile", true),
    ("spark.kubernetes.authenticate.clientKeyFile", true),
    ("spark.kubernetes.authenticate.driver.caCertFile", true),
    ("spark.kubernetes.authenticate.driver.clientKeyFile", true),
    ("spark.kubernetes.authenticate.driver.mounted.oauthTokenFile", true),
    ("spark.kubernetes.authenticate.driver.oauthToken", true),
    ("spark.kubernetes.authenticate.driver.serviceAccountName", true),
    ("spark.kubernetes.authenticate.executor.serviceAccountName", true),
    ("spark.kubernetes.authenticate.oauthToken", true),
    ("spark.kubernetes.authenticate.oauthTokenFile", true),
    ("spark.kubernetes.authenticate.submission.clientCertFile", true),
    ("spark.kubernetes.authenticate.submission.oauthTokenFile", true),
    ("spark.kubernetes.configMap.maxSize", false),
    ("spark.kubernetes.container.image", true),
    ("spark.kubernetes.container.image.pullPolicy", true),
    ("spark.kubernetes.container.image.pullSecrets", true),
    ("spark.kubernetes.context", true),
    ("spark.kubernetes.decommission.script", false),
    ("spark.kubernetes.driver.annotation.x", true),
    ("spark.kubernetes.driver.connectionTimeout", false),
    ("spark.kubernetes.driver.container.image", true),
    ("spark.kubernetes.driver.label.x", true),
    ("spark.kubernetes.driver.limit.cores", true),
    ("spark.kubernetes.driver.master", true),
    ("spark.kubernetes.driver.node.selector.x", true),
    ("spark.kubernetes.driver.ownPersistentVolumeClaim", false),
    ("spark.kubernetes.driver.pod.featureSteps", true),
    ("spark.kubernetes.driver.pod.name", true),
    ("spark.kubernetes.driver.podTemplateContainerName", true),
    ("spark.kubernetes.driver.podTemplateFile", true),
    ("spark.kubernetes.driver.request.cores", true),
    ("spark.kubernetes.driver.requestTimeout", false),
    ("spark.kubernetes.driver.resourceNamePrefix", true),
    ("spark.kubernetes.driver.reusePersistentVolumeClaim", false),
    ("spark.kubernetes.driver.scheduler.name", true),
    ("spark.kubernetes.driver.secretKeyRef.x", true),
    ("spark.kubernetes.driver.secrets.x", true),
    ("spark.kubernetes.driver.service.annotation.x", true),
    ("spark.kubernetes.driver.service.deleteOnTermination", false),
    ("spark.kubernetes.driver.service.label.x", true),
    ("spark.kubernetes.driver.volumes.hostPath.x.options.path", true),
    ("spark.kubernetes.driver.volumes.emptyDir.x.mount.path", false),
    ("spark.kubernetes.driverEnv.x", true),
    ("spark.kubernetes.dynamicAllocation.deleteGracePeriod", false),
    ("spark.kubernetes.executor.annotation.x", true),
    ("spark.kubernetes.executor.checkAllContainers", false),
    ("spark.kubernetes.executor.container.image", true),
    ("spark.kubernetes.executor.decommissionLabelValue", false),
    ("spark.kubernetes.executor.deleteOnTermination", true),
    ("spark.kubernetes.executor.disableConfigMap", false),
    ("spark.kubernetes.executor.label.x", true),
    ("spark.kubernetes.executor.node.selector.x", true),
    ("spark.kubernetes.executor.pod.featureSteps", true),
    ("spark.kubernetes.executor.podNamePrefix", true),
    ("spark.kubernetes.executor.podTemplateFile", true),
    ("spark.kubernetes.executor.request.cores", true),
    ("spark.kubernetes.executor.rollPolicy", false),
    ("spark.kubernetes.executor.scheduler.name", true),
    ("spark.kubernetes.executor.secrets.x", true),
    ("spark.kubernetes.executor.volumes.hostPath.x.mount.path", true),
    ("spark.kubernetes.file.upload.path", true),
    ("spark.kubernetes.hadoop.configMapName", false),
    ("spark.kubernetes.kerberos.krb5.path", false),
    ("spark.kubernetes.kerberos.tokenSecret.name", false),
    ("spark.kubernetes.local.dirs.tmpfs", false),
    ("spark.kubernetes.memoryOverheadFactor", true),
    ("spark.kubernetes.namespace", true),
    ("spark.kubernetes.node.selector.x", true),
    ("spark.kubernetes.pyspark.pythonVersion", true),
    ("spark.kubernetes.report.interval", false),
    ("spark.kubernetes.resource.type", true),
    ("spark.kubernetes.scheduler.name", true),
    ("spark.kubernetes.scheduler.volcano.podGroupTemplateFile", true),
    ("spark.kubernetes.submission.connectionTimeout", false),
    ("spark.kubernetes.submission.waitAppCompletion", true),
    ("spark.kubernetes.submitInDriver", true),
    ("spark.kubernetes.trust.certificates", true),
];

/// A row that gets lost is missed here: the other tests go by the rows that there are.
#[test]
fn every_property_of_sparks_own_is_in_a_table_or_known_to_be_harmless() {
    for (name, is_listed) in SPARKS_OWN {
        let is_fact = fact_of(name).is_some();
        let is_twin = TWINS.iter().any(|twin| parsed(twin.conf, name).is_some());
        let is_size = SIZES.iter().any(|size| parsed(size, name).is_some());
        let is_refused = REFUSED.iter().any(|refused| match refused.path {
            ["spec", "sparkConf", pattern] => parsed(pattern, name).is_some(),
            _ => false,
        });
        assert_eq!(is_fact || is_twin || is_size || is_refused, is_listed, "{name}");
    }
}

/// The same for what is no property.
#[test]
fn no_alias_gets_lost() {
    let counted = |fact| FACTS.iter().find(|(of, _)| *of == fact).map(|(_, aliases)| aliases.len());
    let counts = [
        (Fact::Image, 5),
        (Fact::ServiceAccount, 5),
        (Fact::Scheduler, 6),
        (Fact::PriorityClass, 4),
        (Fact::Tolerations, 2),
        (Fact::NodeSelector, 6),
        (Fact::Label, 4),
        (Fact::Annotation, 3),
    ];
    for (fact, count) in counts {
        assert_eq!(counted(fact), Some(count), "{fact:?}");
    }
    assert_eq!(FACTS.len(), counts.len());
    assert_eq!((QUEUE_KEYS.len(), KEYED.len(), THEIRS.len()), (10, 8, 10));
}
