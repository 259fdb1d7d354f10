//! How objects are told apart: labels, annotations and finalizers as they stand on objects that exist.
//!
//! Owns no state. Spelled out here and not taken from the router, whose own word is not evidence.

use jiff::Timestamp;
use serde_json::Value;

/// The router's user, on the hub and on members.
pub(crate) const ROUTER: &str = "system:serviceaccount:spark-router:spark-router";
/// Label, and tag of job runs: the uid of the job.
pub(crate) const JOB_UID: &str = "sparkrouter.dev/job-uid";
/// Label: the attempt.
pub(crate) const ATTEMPT: &str = "sparkrouter.dev/attempt";
/// Spark's own label of a pod's role.
pub(crate) const ROLE: &str = "spark-role";
/// The finalizer on jobs.
pub(crate) const JOB: &str = "sparkrouter.dev/job";
/// The finalizer on remote applications.
pub(crate) const OUTCOME: &str = "sparkrouter.dev/outcome";

/// A label.
pub(crate) fn label(object: &Value, name: &str) -> Option<String> {
    Some(object.get("metadata")?.get("labels")?.get(name)?.as_str()?.to_owned())
}

/// The attempt on its label.
pub(crate) fn attempt(object: &Value) -> Option<u32> {
    label(object, ATTEMPT)?.parse().ok()
}

/// Its name.
pub(crate) fn name(object: &Value) -> Option<String> {
    Some(object.pointer("/metadata/name")?.as_str()?.to_owned())
}

/// Its namespace, empty where it has none.
pub(crate) fn namespace(object: &Value) -> String {
    object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Its uid.
pub(crate) fn uid(object: &Value) -> Option<String> {
    Some(object.pointer("/metadata/uid")?.as_str()?.to_owned())
}

/// The uid of the controller that owns it, or of the application: Apache's operator is no controller of its drivers.
pub(crate) fn owner(object: &Value) -> Option<String> {
    let owners = object.pointer("/metadata/ownerReferences")?.as_array()?;
    let controls = |owner: &&Value| owner.get("controller").and_then(Value::as_bool) == Some(true);
    let is_application = |owner: &&Value| owner.get("kind").is_some_and(|kind| kind == "SparkApplication");
    let owner = owners.iter().find(controls).or_else(|| owners.iter().find(is_application))?;
    Some(owner.get("uid")?.as_str()?.to_owned())
}

/// When it was created, to the second.
pub(crate) fn created(object: &Value) -> Option<Timestamp> {
    time(object.pointer("/metadata/creationTimestamp"))
}

/// When an application says that it ended, to the second.
pub(crate) fn ended(object: &Value) -> Option<Timestamp> {
    let apaches = "/status/currentState/lastTransitionTime";
    time(object.pointer("/status/terminationTime")).or_else(|| time(object.pointer(apaches)))
}

fn time(value: Option<&Value>) -> Option<Timestamp> {
    value?.as_str()?.parse().ok()
}

/// Whether our finalizer is on it.
pub(crate) fn is_held(object: &Value) -> bool {
    let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array);
    finalizers.is_some_and(|all| all.iter().any(|finalizer| finalizer == OUTCOME))
}
