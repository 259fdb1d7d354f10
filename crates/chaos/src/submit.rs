//! The jobs: submitted in time, and what their owners do to them.
//!
//! Owns no state. The owner speaks to the hub itself, past every fault of the way to it, and asks again until there is an
//! answer: what was asked for is certain.

use std::time::Duration;

use kube::Api;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use spark_router_api::RoutedSparkJob;
use spark_router_testkit::router::objects;
use tokio::time::{Instant, sleep, sleep_until};

use crate::error::Error;
use crate::evidence::{Meant, Submitted};
use crate::hand::insist;
use crate::plan::{Deed, JobPlan, OnMemberLost};
use crate::stage::{NAMESPACES, QUEUES, Stage};

/// How long a job is held back by its owner.
const SUSPENDED: Duration = Duration::from_secs(2);

/// Longer than any run.
const ENDLESS: Duration = Duration::from_hours(24);

/// What its owner did with a job.
pub(crate) struct Owned {
    pub(crate) job: Submitted,
    /// What was done to it.
    pub(crate) deed: Option<Deed>,
}

/// Submits a job when it is due, and does to it what is planned.
pub(crate) async fn own(stage: &Stage<'_>, plan: &JobPlan, started: Instant) -> Result<Owned, Error> {
    sleep_until(started + plan.at).await;
    let namespace = NAMESPACES.get(plan.namespace).copied().unwrap_or(NAMESPACES[0]);
    let api: Api<RoutedSparkJob> = Api::namespaced(stage.hub().client(), namespace);
    let member = plan.member.and_then(|place| stage.sites.get(place)).map(|site| site.name.as_str());
    let object: RoutedSparkJob =
        serde_json::from_value(object(namespace, plan, member)).map_err(|source| Error::Object {
            side: "the schedule".to_owned(),
            what: plan.name.clone(),
            source,
        })?;
    let created = async || match api.create(&PostParams::default(), &object).await {
        // An earlier try was taken and not answered.
        Err(kube::Error::Api(status)) if status.is_already_exists() => api.get(&plan.name).await,
        other => other,
    };
    let created = insist(&format!("submitting {}", plan.name), created).await?;
    let mut job = Submitted {
        namespace: namespace.to_owned(),
        name: plan.name.clone(),
        uid: created.uid().unwrap_or_default(),
        meant: plan.meant,
        deleted: false,
        cancelled: false,
        duplicates_allowed: plan.on_member_lost == OnMemberLost::AllowDuplicate,
    };
    let mut done = None;
    if let Some((after, deed)) = plan.deed {
        sleep(after).await;
        if act(&api, &plan.name, deed).await? {
            done = Some(deed);
        }
        job.deleted = deed == Deed::Delete;
        job.cancelled = deed == Deed::Cancel;
    }
    Ok(Owned { job, deed: done })
}

/// Whether it could still be done: a job may be over and gone.
async fn act(api: &Api<RoutedSparkJob>, name: &str, deed: Deed) -> Result<bool, Error> {
    match deed {
        Deed::Delete => {
            let deleted = async || match api.delete(name, &DeleteParams::default()).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
                other => other.map(drop),
            };
            insist(&format!("deleting {name}"), deleted).await?;
            Ok(true)
        }
        Deed::Cancel => change(api, name, json!({"cancel": true})).await,
        Deed::Edit => match change(api, name, json!({"priority": 7})).await {
            // It is placed already: its priority means nothing any more.
            Err(error) if error.is_refusal(422) => {
                change(api, name, json!({"ttlAfterFinished": "24h"})).await
            }
            other => other,
        },
        Deed::Suspend => {
            let held = change(api, name, json!({"suspend": true})).await?;
            sleep(SUSPENDED).await;
            change(api, name, json!({"suspend": false})).await?;
            Ok(held)
        }
    }
}

async fn change(api: &Api<RoutedSparkJob>, name: &str, spec: Value) -> Result<bool, Error> {
    let patch = Patch::Merge(json!({ "spec": spec }));
    let changed = async || match api.patch(name, &PatchParams::default(), &patch).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(false),
        Err(error) => Err(error),
    };
    insist(&format!("changing {name}"), changed).await
}

fn object(namespace: &str, plan: &JobPlan, member: Option<&str>) -> Value {
    let run = if plan.meant == Meant::RunOn { ENDLESS } else { plan.run };
    let queue = QUEUES.get(plan.queue).copied().unwrap_or(QUEUES[0]);
    let mut job = objects::job(namespace, &plan.name, queue, |template| {
        objects::annotate(template, "script", plan.script);
        // The same for drivers on nodes, and for the stand-in of spark-submit.
        match plan.script {
            "fail" => objects::annotate(template, "exit-code", "1"),
            "submission-failed" => objects::annotate(template, "submit-error", "no such class"),
            _ => {}
        }
        objects::annotate(template, "run-ms", &run.as_millis().to_string());
        objects::annotate(template, "submit-ms", &plan.submit.as_millis().to_string());
        objects::merge(template, json!({"spec": {"executor": {"instances": plan.executors}}}));
    });
    let on_member_lost = match plan.on_member_lost {
        OnMemberLost::Wait => "Wait",
        OnMemberLost::FenceThenMove => "FenceThenMove",
        OnMemberLost::AllowDuplicate => "AllowDuplicate",
    };
    let course = json!({
        "priority": plan.priority,
        "failover": {"onMemberLost": on_member_lost},
        "retry": {"maxAttempts": plan.attempts, "backoff": {"initial": "1s"}},
    });
    objects::merge(&mut job, json!({ "spec": course }));
    let only = if plan.meant == Meant::Wait { Some("nowhere") } else { member };
    if let Some(only) = only {
        objects::merge(&mut job, json!({"spec": {"placement": {"clusterNames": [only]}}}));
    }
    job
}
