//! What stands around each try of a call.
//!
//! Owns what one call is counted as, and whether a try of it went out. It asks at the last moment whether this process
//! may change anything now: behind the SDK's own waits, credentials and signatures.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use aws_sdk_emrcontainers::config::{
    ConfigBag, Intercept, RuntimeComponents,
    interceptors::{BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef},
};
use aws_smithy_runtime_api::box_error::BoxError;
use parking_lot::Mutex;
use spark_router_member::{MaySend, calls::Calls};

/// On whose behalf a member's calls are made.
#[derive(Clone, Debug)]
pub struct Guarding {
    /// The member, as calls are counted.
    pub cluster: String,
    /// Where they are counted.
    pub calls: Calls,
    /// Whether anything may be changed.
    pub may_send: MaySend,
}

/// Another router leads, or may: nothing is changed on members.
#[derive(Debug, thiserror::Error)]
#[error("not sent: this router does not lead now")]
pub(super) struct NotLeading;

/// What a call is counted as.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) verb: &'static str,
    pub(crate) resource: &'static str,
    pub(crate) changes: bool,
}

/// One call under way. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Guard(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    guarding: Guarding,
    kind: Kind,
    was_sent: AtomicBool,
    /// Since when a try is under way.
    since: Mutex<Option<Instant>>,
}

impl Guard {
    pub(crate) fn new(guarding: &Guarding, kind: Kind) -> Self {
        let (was_sent, since) = (AtomicBool::new(false), Mutex::default());
        Self(Arc::new(Inner { guarding: guarding.clone(), kind, was_sent, since }))
    }

    /// Whether a try of it was handed to the connection.
    pub(crate) fn was_sent(&self) -> bool {
        self.0.was_sent.load(Ordering::Acquire)
    }
}

impl Inner {
    fn count(&self, code: &str) {
        let Some(since) = self.since.lock().take() else { return };
        let Guarding { cluster, calls, .. } = &self.guarding;
        calls.note(cluster, self.kind.verb, self.kind.resource, code, since.elapsed());
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.count("cancelled");
    }
}

impl Intercept for Guard {
    fn name(&self) -> &'static str {
        "SparkRouterGuard"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if self.0.kind.changes && !self.0.guarding.may_send.now() {
            return Err(NotLeading.into());
        }
        self.0.was_sent.store(true, Ordering::Release);
        *self.0.since.lock() = Some(Instant::now());
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        match context.response() {
            Some(answer) => self.0.count(&answer.status().as_u16().to_string()),
            None => self.0.count("error"),
        }
        Ok(())
    }
}
