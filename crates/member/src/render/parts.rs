//! What queue and member add to a job's template, and in which order.
//!
//! Owns no state. Pure. From the weakest to the strongest: defaults of the member, defaults of the queue, size class,
//! template, what the queue fixes, what the member fixes. Sizes come from queue and template alone, because what a job
//! reserves is counted before it is known where it goes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use spark_router_api::{
    ApplicationParts, MemberClusterSpec, RoleParts, RoleSize, SizeClass, SparkQueueSpec,
    member::{BatchScheduler, ImageChoice},
    queue::Allowed,
};

use super::{
    batch,
    decide::{self, Whose},
    native,
    place::{Place, Role},
    table::Fact,
};

/// What a queue adds to the templates of its jobs, and lets them do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueParts {
    /// Where the template is silent.
    pub defaults: ApplicationParts,
    /// The job's size class: where the template is silent, before `defaults`.
    pub size: SizeClass,
    /// Whatever the template says.
    pub fixed: ApplicationParts,
    /// What templates may do that is refused otherwise.
    pub allow: Allowed,
}

impl QueueParts {
    /// The parts of `queue` for a job of that size class; none is the template's own size.
    ///
    /// # Errors
    /// What to tell the user when the queue has no such size class.
    pub fn new(queue: &SparkQueueSpec, size: Option<&str>) -> Result<Self, String> {
        let class = match size {
            None => SizeClass::default(),
            Some(name) => queue.sizes.get(name).cloned().ok_or_else(|| {
                let known: Vec<_> = queue.sizes.keys().map(String::as_str).collect();
                if known.is_empty() {
                    format!("spec.size: {name:?} is no size class: the queue has none; remove it")
                } else {
                    format!(
                        "spec.size: {name:?} is no size class of the queue; take one of {}",
                        known.join(", ")
                    )
                }
            })?,
        };
        Ok(Self::of_class(queue, class))
    }

    /// The parts of `queue` for a job of a size class of its; the default one is the template's own size.
    pub fn of_class(queue: &SparkQueueSpec, size: SizeClass) -> Self {
        Self { defaults: queue.defaults.clone(), size, fixed: queue.fixed.clone(), allow: queue.allow }
    }
}

/// What a member adds to every application that runs on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemberParts {
    /// Images by version and language, where nobody names one.
    pub images: Vec<ImageChoice>,
    /// Where template and queue are silent.
    pub defaults: ApplicationParts,
    /// Whatever template and queue say.
    pub fixed: ApplicationParts,
    /// Who schedules the pods.
    pub batch_scheduler: Option<BatchScheduler>,
}

impl From<&MemberClusterSpec> for MemberParts {
    fn from(spec: &MemberClusterSpec) -> Self {
        Self {
            images: spec.images.clone(),
            defaults: spec.defaults.clone(),
            fixed: spec.fixed.clone(),
            batch_scheduler: spec.backend.batch_scheduler(),
        }
    }
}

/// The template (`{apiVersion, kind, metadata, spec}`) with everything that its queue adds: what a job reserves is
/// counted from it, and members add to it. One that is written for another operator comes in Kubeflow's words; see
/// [`native`].
pub fn effective(template: &Value, queue: &QueueParts) -> Value {
    let mut root = native::lifted(template).into_owned();
    fill_size(&mut root, &queue.size);
    fill(&mut root, &queue.defaults);
    fix(&mut root, &queue.fixed);
    root
}

/// An effective template with everything that the member adds, in `remote_queue` of its batch scheduler.
pub fn complete(root: &mut Value, member: &MemberParts, remote_queue: Option<&str>) {
    if let Some(image) = image(root, &member.images) {
        decide::fill(root, Fact::Image, Whose::Both, "", &json!(image));
    }
    fill(root, &member.defaults);
    fix(root, &member.fixed);
    if let (Some(scheduler), Some(queue)) = (member.batch_scheduler, remote_queue) {
        batch::enqueue(root, scheduler, queue);
    }
}

/// The first image for the application's version and language.
fn image<'a>(root: &Value, images: &'a [ImageChoice]) -> Option<&'a str> {
    let text = |pointer| root.pointer(pointer).and_then(Value::as_str);
    let version = text("/spec/sparkVersion")?;
    let language = text("/spec/type").unwrap_or("Scala");
    images
        .iter()
        .find(|choice| {
            let is_version = version
                .strip_prefix(choice.spark_version.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
            is_version && choice.language.is_none_or(|wanted| json!(wanted) == language)
        })
        .map(|choice| choice.image.as_str())
}

fn fill(root: &mut Value, parts: &ApplicationParts) {
    // The strongest first: what it fills is not silent any more.
    for part in decided(parts).into_iter().rev() {
        match part {
            Part::Fact(fact, whose, key, value) => decide::fill(root, fact, whose, key, &value),
            Part::Conf(name, value) => decide::fill_conf(root, name, value),
        }
    }
}

fn fix(root: &mut Value, parts: &ApplicationParts) {
    // Who fixes one of the names of a batch scheduler's queue means the queue: the other names of it go.
    for scheduler in keys(parts).into_iter().filter_map(batch::scheduler_of) {
        batch::forget(root, scheduler);
    }
    for part in decided(parts) {
        match part {
            Part::Fact(fact, whose, key, value) => decide::fix(root, fact, whose, key, &value),
            Part::Conf(name, value) => decide::fix_conf(root, name, value),
        }
    }
}

/// One thing that parts decide.
enum Part<'a> {
    Fact(Fact, Whose, &'a str, Value),
    Conf(&'a str, &'a str),
}

/// What parts decide, from the weakest to the strongest where they say a thing twice.
fn decided(parts: &ApplicationParts) -> Vec<Part<'_>> {
    let mut all: Vec<_> = parts.spark_conf.iter().map(|(name, value)| Part::Conf(name, value)).collect();
    all.extend(parts.image.iter().map(|image| Part::Fact(Fact::Image, Whose::Both, "", json!(image))));
    all.extend(keyed(Fact::Label, Whose::Both, &parts.labels));
    all.extend(keyed(Fact::Annotation, Whose::Both, &parts.annotations));
    let (driver, executor) = (&parts.driver.node_selector, &parts.executor.node_selector);
    let is_common = |key: &str| driver.contains_key(key) && driver.get(key) == executor.get(key);
    all.extend(keyed(Fact::NodeSelector, Whose::Both, driver).filter(|part| is_common(part.key())));
    for (role, own) in [(Role::Driver, &parts.driver), (Role::Executor, &parts.executor)] {
        let RoleParts {
            service_account,
            priority_class_name,
            node_selector,
            tolerations,
            labels,
            annotations,
        } = own;
        let whose = Whose::One(role);
        let named = [(Fact::ServiceAccount, service_account), (Fact::PriorityClass, priority_class_name)];
        all.extend(
            named
                .into_iter()
                .filter_map(|(fact, value)| Some(Part::Fact(fact, whose, "", json!(value.as_ref()?)))),
        );
        if !tolerations.is_empty() {
            all.push(Part::Fact(Fact::Tolerations, whose, "", json!(tolerations)));
        }
        all.extend(keyed(Fact::NodeSelector, whose, node_selector).filter(|part| !is_common(part.key())));
        all.extend(keyed(Fact::Label, whose, labels));
        all.extend(keyed(Fact::Annotation, whose, annotations));
    }
    all
}

impl Part<'_> {
    fn key(&self) -> &str {
        match self {
            Self::Fact(_, _, key, _) | Self::Conf(key, _) => key,
        }
    }
}

fn keyed(fact: Fact, whose: Whose, entries: &BTreeMap<String, String>) -> impl Iterator<Item = Part<'_>> {
    entries.iter().map(move |(key, value)| Part::Fact(fact, whose, key, json!(value)))
}

/// Keys of all labels and annotations in parts.
fn keys(parts: &ApplicationParts) -> BTreeSet<&str> {
    let named = [&parts.labels, &parts.annotations]
        .into_iter()
        .chain(
            [&parts.driver, &parts.executor].into_iter().flat_map(|role| [&role.labels, &role.annotations]),
        )
        .flat_map(|entries| entries.keys().map(String::as_str));
    let by_property = parts.spark_conf.keys().filter_map(|name| match decide::fact_of(name) {
        Some((Fact::Label | Fact::Annotation, _, key)) => Some(key),
        _ => None,
    });
    named.chain(by_property).collect()
}

/// A size class fills what the template leaves out. What the template says of cores in one way is not overruled by the
/// class in the other.
fn fill_size(root: &mut Value, size: &SizeClass) {
    if let Some(instances) = size.instances
        && !is_dynamic(root)
    {
        decide::fill_field(root, Role::Executor, "instances", "spark.executor.instances", json!(instances));
    }
    for (role, own) in [(Role::Driver, &size.driver), (Role::Executor, &size.executor)] {
        let RoleSize { cores, core_request, memory, memory_overhead } = own;
        let name = role.as_str();
        let cores_key = format!("spark.{name}.cores");
        if let Some(request) = core_request
            && !decide::is_said_conf(root, &cores_key)
        {
            let key = format!("spark.kubernetes.{name}.request.cores");
            decide::fill_field(root, role, "coreRequest", &key, json!(request.as_str()));
        }
        if let Some(cores) = cores {
            decide::fill_field(root, role, "cores", &cores_key, json!(cores));
        }
        for (field, conf, value) in
            [("memory", "memory", memory), ("memoryOverhead", "memoryOverhead", memory_overhead)]
        {
            if let Some(value) = value {
                decide::fill_field(root, role, field, &format!("spark.{name}.{conf}"), json!(value));
            }
        }
    }
}

/// Whether Spark chooses the number of executors itself. The typed field decides where it is there; the lower-case key
/// is how the operator spells Spark's.
pub(super) fn is_dynamic(root: &Value) -> bool {
    if let Some(allocation) = root.pointer("/spec/dynamicAllocation").and_then(Value::as_object) {
        return allocation.get("enabled") == Some(&Value::Bool(true));
    }
    let enabled: &Place = &decide::property("spark.dynamicAllocation.enabled");
    enabled.get(root).and_then(Value::as_str).is_some_and(|text| text.trim().eq_ignore_ascii_case("true"))
}
