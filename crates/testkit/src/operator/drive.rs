//! Carries one application through its states.
//!
//! Purpose: one task per application; waits as the table says, then writes. Owns the application's view and knows
//! whether it started a driver. It must never write over a change that it has not seen: every write carries the
//! version that it was computed from.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Error};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep, sleep_until};

use super::application::{Status, View, Wire, resource};
use super::driver_pod::DriverPod;
use super::script::{Next, Turn, Wish, next};
use super::{Detail, Seen, Shared};

/// Between tries when the API server doesn't answer.
const BACKOFF: Duration = Duration::from_millis(200);

const ALREADY_EXISTS: &str = "driver pod already exist";

/// The object is gone: there is nothing left to do.
struct Gone;

struct Drive {
    shared: Arc<Shared>,
    view: View,
    /// The spec that runs; an edit is seen by the difference.
    spec_hash: u64,
    /// Without driver pods, this is the driver.
    driver: bool,
    /// When the status was written last.
    entered: Instant,
    cleaned: bool,
}

pub(super) async fn run(shared: Arc<Shared>, view: View, mut changes: Receiver<Option<View>>) {
    let spec_hash = view.spec_hash;
    let mut drive = Drive { shared, view, spec_hash, driver: false, entered: Instant::now(), cleaned: false };
    loop {
        let edited = drive.view.spec_hash != drive.spec_hash && !drive.view.state().is_empty();
        let next = match next(&drive.view) {
            _ if edited && !drive.view.deleting => Next::Go(Duration::ZERO, Turn::To("INVALIDATING")),
            next => next,
        };
        let done = match next {
            Next::Rest => changes.changed().await.map_err(|_| Gone).and_then(|()| drive.merge(&mut changes)),
            Next::Go(after, turn) => {
                tokio::select! {
                    biased;
                    changed = changes.changed() => changed.map_err(|_| Gone).and_then(|()| drive.merge(&mut changes)),
                    () = sleep_until(drive.entered + after) => drive.act(turn).await,
                }
            }
        };
        if done.is_err() {
            return;
        }
        if drive.view.deleting && !drive.cleaned {
            // As the real operator: it deletes the driver itself and leaves the status as it is.
            drive.cleaned = true;
            drive.remove_driver().await;
        }
    }
}

impl Drive {
    fn merge(&mut self, changes: &mut Receiver<Option<View>>) -> Result<(), Gone> {
        match &*changes.borrow_and_update() {
            None => return Err(Gone),
            Some(view) if view.newer_than(&self.view) => self.view = view.clone(),
            Some(_) => {}
        }
        Ok(())
    }

    async fn act(&mut self, turn: Turn) -> Result<(), Gone> {
        if turn == Turn::Submit {
            if self.view.state() == "PENDING_RERUN" {
                self.remove_driver().await;
            }
            self.spec_hash = self.view.spec_hash;
            return self.submit().await;
        }
        match turn {
            Turn::Run => self.set_driver(None).await,
            Turn::Succeed | Turn::End("COMPLETED") => self.set_driver(Some(0)).await,
            Turn::Fail("driver pod not found") | Turn::Suspend | Turn::To("INVALIDATING") => {
                self.remove_driver().await;
            }
            Turn::Fail(_) => self.set_driver(Some(1)).await,
            _ => {}
        }
        if turn == Turn::To("INVALIDATING") {
            self.spec_hash = self.view.spec_hash;
        }
        let status = self.after(turn);
        match self.write(&status).await {
            Ok(()) => Ok(()),
            Err(Error::Api(answer)) if answer.code == 409 => self.refresh().await,
            Err(error) => self.patience(&error).await,
        }
    }

    /// The status after a turn other than a submit.
    fn after(&self, turn: Turn) -> Status {
        let view = &self.view;
        let mut status = view.status.clone();
        let state = match turn {
            Turn::Submit => "SUBMITTED",
            Turn::Register => {
                self.register(&mut status);
                "SUBMITTED"
            }
            Turn::Run => {
                let executors = if view.script.detail == Detail::Full { "PENDING" } else { "RUNNING" };
                status.executor_state = view.all_executors(executors);
                "RUNNING"
            }
            Turn::Staff => {
                status.executor_state = view.all_executors("RUNNING");
                "RUNNING"
            }
            Turn::To(state) => state,
            Turn::Succeed => {
                status.termination_time = Some(now());
                "SUCCEEDING"
            }
            Turn::Fail(why) => {
                status.termination_time = Some(now());
                why.clone_into(&mut status.application_state.error_message);
                "FAILING"
            }
            Turn::End(state) => {
                status.termination_time.get_or_insert_with(now);
                let last = if state == "COMPLETED" { "COMPLETED" } else { "FAILED" };
                status.executor_state.values_mut().for_each(|executor| last.clone_into(executor));
                state
            }
            Turn::Rerun(reset) => {
                if reset {
                    (status.execution_attempts, status.submission_attempts) = (0, 0);
                }
                status.application_state.error_message.clear();
                "PENDING_RERUN"
            }
            Turn::Suspend => "SUSPENDING",
        };
        state.clone_into(&mut status.application_state.state);
        status
    }

    fn register(&self, status: &mut Status) {
        status.spark_application_id = application_id(&status.submission_id);
        status.driver_info.service = format!("{}-ui-svc", self.view.name);
        status.driver_info.port = 4040;
    }

    /// What the real operator does with a new application, its weakness included: it submits, then writes the status
    /// with the version that it had read before, and when that is refused it begins again.
    async fn submit(&mut self) -> Result<(), Gone> {
        let before = self.view.state().to_owned();
        loop {
            sleep(self.view.script.submit).await;
            let status = self.spark_submit().await;
            loop {
                let error = match self.write(&status).await {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                };
                if matches!(&error, Error::Api(answer) if answer.code == 409) {
                    self.refresh().await?;
                } else {
                    self.patience(&error).await?;
                }
                if self.view.state() != before || self.view.deleting {
                    return Ok(());
                }
                if self.shared.options.double_submit {
                    break;
                }
            }
        }
    }

    /// One run of `spark-submit`: the status that comes of it.
    async fn spark_submit(&mut self) -> Status {
        let attempts = self.view.status.submission_attempts + 1;
        let submission = submission_id(&self.view.uid, attempts);
        self.shared.note(&self.view.uid, |seen| seen.submits += 1);
        let failure = match self.view.script.wish {
            _ if self.shared.broken.load(Ordering::Relaxed) => {
                Some("failed to run spark-submit: exit status 1: pods is forbidden".to_owned())
            }
            Wish::SubmissionFailed => {
                Some("failed to run spark-submit: exit status 1: class not found".to_owned())
            }
            Wish::Quota => Some(format!(
                "failed to run spark-submit: pods \"{}\" is forbidden: exceeded quota: spark, requested: \
                 requests.cpu=1, used: requests.cpu=10, limited: requests.cpu=10",
                self.view.driver
            )),
            Wish::NoSuchScript => Some("the scripted operator knows no such script".to_owned()),
            wish => {
                let refused = self.start_driver(&submission).await.err();
                refused.or_else(|| (wish == Wish::DriverExists).then(|| ALREADY_EXISTS.to_owned()))
            }
        };
        if failure.as_deref() == Some(ALREADY_EXISTS) {
            // Whoever started it, it runs.
            self.set_driver(None).await;
            self.leave_driver_to_itself();
        }
        let mut status = self.view.status.clone();
        status.submission_attempts = attempts;
        status.submission_id = submission;
        status.last_submission_attempt_time = Some(now());
        status.termination_time = None;
        status.spark_application_id.clear();
        status.executor_state.clear();
        status.driver_info.pod_name.clone_from(&self.view.driver);
        status.application_state.error_message.clear();
        match failure {
            None => {
                status.execution_attempts += 1;
                "SUBMITTED".clone_into(&mut status.application_state.state);
                if self.view.script.detail != Detail::Full {
                    self.register(&mut status);
                }
            }
            Some(why) => {
                "SUBMISSION_FAILED".clone_into(&mut status.application_state.state);
                status.application_state.error_message = why;
            }
        }
        status
    }

    /// The error is what spark-submit would say.
    async fn start_driver(&mut self, submission: &str) -> Result<(), String> {
        if self.shared.options.driver_pods {
            let pod = DriverPod::of(self.shared.client.clone(), &self.view);
            let application = application_id(submission);
            let created = loop {
                match self.shared.call(pod.create(submission, &application)).await {
                    Ok(created) => break created,
                    // The namespace is being deleted, or its quota is used up: spark-submit fails.
                    Err(Error::Api(answer)) if answer.code < 500 => {
                        return Err(format!("failed to run spark-submit: {}", answer.message));
                    }
                    Err(error) => tracing::debug!(%error, "creating a driver pod is tried again"),
                }
                sleep(BACKOFF).await;
            };
            if !created {
                return Err(ALREADY_EXISTS.to_owned());
            }
        } else if self.driver {
            return Err(ALREADY_EXISTS.to_owned());
        }
        self.driver = true;
        self.shared.note(&self.view.uid, |seen| seen.drivers += 1);
        Ok(())
    }

    async fn set_driver(&mut self, exit_code: Option<u8>) {
        self.driver = exit_code.is_none();
        if self.shared.options.driver_pods {
            let pod = DriverPod::of(self.shared.client.clone(), &self.view);
            if let Err(error) = self.shared.call(pod.set(exit_code)).await {
                tracing::warn!(%error, "the phase of a driver pod was not set");
            }
        }
    }

    /// The driver runs on, whatever becomes of this operator, and ends in its time.
    fn leave_driver_to_itself(&self) {
        let options = &self.shared.options;
        if !options.drivers_end || !options.driver_pods || self.view.script.wish == Wish::HangRunning {
            return;
        }
        let (client, view) = (self.shared.client.clone(), self.view.clone());
        let fails = view.script.fail_attempts > 0 || view.script.wish == Wish::DriverLost;
        tokio::spawn(async move {
            sleep(view.script.run).await;
            while let Err(error) = DriverPod::of(client.clone(), &view).set(Some(u8::from(fails))).await {
                tracing::debug!(%error, "the end of a driver pod is tried again");
                sleep(BACKOFF).await;
            }
        });
    }

    async fn remove_driver(&mut self) {
        self.driver = false;
        if self.shared.options.driver_pods {
            let pod = DriverPod::of(self.shared.client.clone(), &self.view);
            if let Err(error) = self.shared.call(pod.remove()).await {
                tracing::warn!(%error, "a driver pod was not deleted");
            }
        }
    }

    /// Replaces the status, if the object is still the version that we know.
    async fn write(&mut self, status: &Status) -> Result<(), Error> {
        #[derive(Debug, Clone, Deserialize)]
        struct Written {
            metadata: ObjectMeta,
        }
        let view = &self.view;
        let body = json!({
            "apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "SparkApplication",
            "metadata": {"name": view.name, "namespace": view.namespace, "resourceVersion": view.version},
            "status": status,
        });
        let path = format!(
            "/apis/sparkoperator.k8s.io/v1beta2/namespaces/{}/sparkapplications/{}/status",
            view.namespace, view.name
        );
        let request = http::Request::put(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body.to_string().into_bytes())
            .map_err(Error::HttpError)?;
        let written: Written = self.shared.call(self.shared.client.request(request)).await?;
        let state = status.application_state.state.as_str();
        self.shared.note(&view.uid, |seen: &mut Seen| {
            if seen.states.last().is_none_or(|last| last != state) {
                seen.states.push(state.to_owned());
            }
        });
        self.view.status = status.clone();
        self.view.version = written.metadata.resource_version.unwrap_or_default();
        self.entered = Instant::now();
        Ok(())
    }

    /// Reads the object anew.
    async fn refresh(&mut self) -> Result<(), Gone> {
        let api: Api<Wire> =
            Api::namespaced_with(self.shared.client.clone(), &self.view.namespace, &resource());
        match self.shared.call(api.get_opt(&self.view.name)).await {
            Ok(object) => {
                let fresh = object.and_then(|object| View::of(&object, &self.shared.options));
                self.view = fresh.filter(|fresh| fresh.uid == self.view.uid).ok_or(Gone)?;
                Ok(())
            }
            Err(error) => self.patience(&error).await,
        }
    }

    async fn patience(&self, error: &Error) -> Result<(), Gone> {
        if matches!(error, Error::Api(answer) if answer.code == 404) {
            return Err(Gone);
        }
        tracing::debug!(%error, "the scripted operator tries again");
        sleep(BACKOFF).await;
        Ok(())
    }
}

/// The real operator writes whole seconds.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// Shaped like a UUID, new for every submit.
fn submission_id(uid: &str, attempt: u32) -> String {
    let text = format!("{uid}/{attempt}/{}", Timestamp::now().as_nanosecond());
    let hex = data_encoding::HEXLOWER.encode(&Sha256::digest(text));
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
    format!("{}-{}-4{}-8{}-{}", part(0..8), part(8..12), part(12..15), part(15..18), part(18..30))
}

fn application_id(submission: &str) -> String {
    let hex = data_encoding::HEXLOWER.encode(&Sha256::digest(submission));
    format!("spark-{}", hex.get(..32).unwrap_or(&hex))
}
