//! Carries one application through its states.
//!
//! Purpose: one task per application; waits as the table says, then acts and writes. Owns the application's status and the
//! operator's finalizer on it. Like the real one it reconciles one application in one place at a time, and asks for a
//! driver that may be there already.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::{Error, ResourceExt as _};
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::sleep;

use super::driver_pod::DriverPods;
use super::identity::application_id;
use super::script::Plan;
use super::{FINALIZER, Shared, Wire, resource};

/// Between tries when the API server doesn't answer.
const BACKOFF: Duration = Duration::from_millis(100);

/// The status as it was written last.
#[derive(Debug, Default)]
struct Course {
    states: Vec<(u64, Value)>,
    run: u64,
}

impl Course {
    /// Where another operator left off.
    fn of(application: &Wire) -> Self {
        let status = application.status.clone().unwrap_or_default();
        let history = status["stateTransitionHistory"].as_object().cloned().unwrap_or_default();
        let mut states: Vec<_> =
            history.into_iter().filter_map(|(number, state)| Some((number.parse().ok()?, state))).collect();
        states.sort_by_key(|(number, _)| *number);
        Self { states, run: status["currentAttemptSummary"]["attemptInfo"]["id"].as_u64().unwrap_or(0) }
    }

    fn state(&self) -> &str {
        let last = self.states.last().and_then(|(_, state)| state["currentStateSummary"].as_str());
        last.unwrap_or_default()
    }

    fn add(&mut self, mut state: Value) {
        state["lastTransitionTime"] = json!(Timestamp::now());
        let number = self.states.last().map_or(0, |(number, _)| number + 1);
        if state["currentStateSummary"] == "ScheduledToRestart" {
            self.run += 1;
        }
        self.states.push((number, state));
    }

    fn status(&self) -> Value {
        let history: serde_json::Map<_, _> =
            self.states.iter().map(|(number, state)| (number.to_string(), state.clone())).collect();
        json!({
            "currentState": self.states.last().map(|(_, state)| state),
            "stateTransitionHistory": history,
            "currentAttemptSummary": {"attemptInfo": {"id": self.run}},
        })
    }
}

pub(super) async fn run(shared: Arc<Shared>, mut changes: Receiver<Option<Wire>>) {
    let Some(first) = changes.borrow_and_update().clone() else { return };
    let mut course = Course::of(&first);
    loop {
        let Some(application) = changes.borrow_and_update().clone() else { return };
        let is_ours = application.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
        let plan = Plan::of(application.annotations(), &application.spec, shared.options.step);
        let tried = if application.metadata.deletion_timestamp.is_some() {
            if is_ours { clean_up(&shared, &application).await } else { Ok(()) }
        } else if !is_ours {
            // Nobody looks at it: then nobody holds it either.
            match plan.next(course.state(), course.run) {
                Some(_) => hold(&shared, &application).await,
                None => Ok(()),
            }
        } else if let Some((after, next)) = plan.next(course.state(), course.run) {
            tokio::select! {
                biased;
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    continue;
                }
                () = sleep(after) => {}
            }
            let went = go(&shared, &application, &mut course, next).await;
            if went.is_ok() {
                continue;
            }
            went
        } else {
            Ok(())
        };
        match tried {
            Ok(()) => {
                if changes.changed().await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "the scripted operator tries again");
                sleep(BACKOFF).await;
            }
        }
    }
}

fn api(shared: &Shared, application: &Wire) -> Api<Wire> {
    Api::namespaced_with(shared.client.clone(), &application.namespace().unwrap_or_default(), &resource())
}

/// Puts its finalizer behind those that are there.
async fn hold(shared: &Shared, application: &Wire) -> Result<(), Error> {
    let mut finalizers = application.finalizers().to_vec();
    finalizers.push(FINALIZER.to_owned());
    finalize(shared, application, &finalizers).await
}

async fn finalize(shared: &Shared, application: &Wire, finalizers: &[String]) -> Result<(), Error> {
    let patch = json!({"metadata": {
        "uid": application.uid(), "resourceVersion": application.resource_version(), "finalizers": finalizers,
    }});
    let api = api(shared, application);
    match api.patch(&application.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await {
        // Changed meanwhile, or gone: the watch tells.
        Err(Error::Api(answer)) if matches!(answer.code, 404 | 409) => Ok(()),
        other => other.map(drop),
    }
}

/// The driver first, then itself.
async fn clean_up(shared: &Shared, application: &Wire) -> Result<(), Error> {
    DriverPods::of(shared.client.clone(), application).remove().await?;
    let others: Vec<_> =
        application.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER).cloned().collect();
    finalize(shared, application, &others).await
}

/// Acts, and writes the state that it leads to.
async fn go(
    shared: &Shared,
    application: &Wire,
    course: &mut Course,
    next: &'static str,
) -> Result<(), Error> {
    let uid = application.uid().unwrap_or_default();
    let (namespace, name) = (application.namespace().unwrap_or_default(), application.name_any());
    let id = application_id(&namespace, &name, course.run);
    let pods = DriverPods::of(shared.client.clone(), application);
    let mut state = json!({"currentStateSummary": next, "message": message(next)});
    match next {
        "DriverRequested" => {
            let made = u32::from(pods.create(&id).await?);
            shared.note(&uid, |seen| seen.drivers += made);
        }
        "DriverStarted" => drop(pods.set(&id, None).await?),
        "Succeeded" => state["lastObservedDriverStatus"] = pods.set(&id, Some(0)).await?,
        "Failed" => state["lastObservedDriverStatus"] = pods.set(&id, Some(1)).await?,
        "DriverEvicted" => drop(pods.set(&id, Some(143)).await?),
        "ResourceReleased" | "ScheduledToRestart" => pods.remove().await?,
        _ => {}
    }
    course.add(state);
    let patch = json!({"status": course.status()});
    let api = api(shared, application);
    let written = api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await;
    if let Err(error) = written {
        if !matches!(&error, Error::Api(answer) if answer.code == 404) {
            course.states.pop();
            return Err(error);
        }
        return Ok(());
    }
    shared.note(&uid, |seen| seen.states.push(next.to_owned()));
    Ok(())
}

fn message(state: &str) -> &'static str {
    match state {
        "Failed" => {
            "Driver has one or more failed critical container(s), refer last observed status for details."
        }
        "SchedulingFailure" => "Failed to request driver from scheduler backend.",
        "DriverStartTimedOut" => {
            "The driver has not responded to the initial health check request within the allotted start-up time."
        }
        _ => "",
    }
}
