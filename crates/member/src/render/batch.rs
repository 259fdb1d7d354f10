//! The queue of a member's batch scheduler.
//!
//! Owns no state. Pure. Where a member has a batch scheduler, the route and the job's sub-queue decide the queue, and
//! nothing in a template may: not even by joining an application or a group that is in another one.

use serde_json::{Value, json};
use spark_router_api::member::BatchScheduler;

use super::{
    decide::{self, Whose},
    keys::{KUEUE_QUEUE, QUEUE_KEYS, VOLCANO_QUEUE, YUNIKORN_OLD_QUEUE, YUNIKORN_QUEUE},
    place::{Place, Role},
    table::Fact,
};

/// Hands the application to `queue` of `scheduler`.
pub(super) fn enqueue(root: &mut Value, scheduler: BatchScheduler, queue: &str) {
    forget(root, scheduler);
    let options = |field| Place::new(&["spec", "batchSchedulerOptions", "{key}"], None, field);
    let batch_scheduler = Place::new(&["spec", "batchScheduler"], None, "");
    match scheduler {
        BatchScheduler::YuniKorn => {
            schedule(root, "yunikorn");
            batch_scheduler.set(root, json!("yunikorn"));
            // The operator makes a label of it, and of one that is no label a pod that is refused.
            if is_label(queue) {
                options("queue").set(root, json!(queue));
                for label in [YUNIKORN_QUEUE, YUNIKORN_OLD_QUEUE] {
                    decide::fix(root, Fact::Label, Whose::Both, label, &json!(queue));
                }
            } else {
                decide::fix(root, Fact::Annotation, Whose::Both, YUNIKORN_QUEUE, &json!(queue));
            }
        }
        BatchScheduler::Volcano => {
            schedule(root, "volcano");
            batch_scheduler.set(root, json!("volcano"));
            options("queue").set(root, json!(queue));
            // For an operator that makes no groups: Volcano then makes one for the pods.
            decide::fix(root, Fact::Annotation, Whose::Both, VOLCANO_QUEUE, &json!(queue));
        }
        BatchScheduler::Kueue => {
            batch_scheduler.remove(root);
            decide::fix(root, Fact::Label, Whose::Both, KUEUE_QUEUE, &json!(queue));
        }
    }
}

/// Clears everything by which an application gets into a queue of `scheduler`.
pub(super) fn forget(root: &mut Value, scheduler: BatchScheduler) {
    for (_, key) in QUEUE_KEYS.iter().filter(|(of, _)| *of == scheduler) {
        decide::clear(root, Fact::Label, key);
        decide::clear(root, Fact::Annotation, key);
        Place::new(&["metadata", "annotations", "{key}"], None, key).remove(root);
    }
    Place::new(&["spec", "batchSchedulerOptions", "queue"], None, "").remove(root);
    decide::property("spark.kubernetes.scheduler.volcano.podGroupTemplateFile").remove(root);
}

/// The scheduler of a queue that somebody names by this label or annotation.
pub(super) fn scheduler_of(key: &str) -> Option<BatchScheduler> {
    QUEUE_KEYS.iter().find(|(_, of)| *of == key).map(|(scheduler, _)| *scheduler)
}

fn schedule(root: &mut Value, name: &str) {
    for role in Role::ALL {
        decide::fix(root, Fact::Scheduler, Whose::One(role), "", &json!(name));
    }
    decide::property("spark.kubernetes.scheduler.name").remove(root);
}

/// Whether Kubernetes takes it for a label's value.
fn is_label(text: &str) -> bool {
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && is_end(text.chars().next())
        && is_end(text.chars().last())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}
