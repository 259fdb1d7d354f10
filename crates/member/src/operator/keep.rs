//! The tasks that keep a link alive: probing, checking, watching, calling.
//!
//! Each ends with the link. None ever waits for another: a member whose checks hang is still probed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use kube::Client;
use spark_router_core::id::JobKey;
use tokio::{sync::mpsc, time::MissedTickBehavior};
use tracing::{info, warn};

use crate::{
    link::Ground,
    operator::{Clients, Operator, READ, clients, dialect::Dialect},
    preflight::{self, Found},
    signals::Line,
    standing::Taken,
    watch as applications,
};

/// Out of reach for at least this long: connections may have died unseen, so new ones are made.
const LONG_GAP: Duration = Duration::from_secs(5);
/// A probe that failed at once is repeated after this long, until its deadline.
const PROBE_AGAIN: Duration = Duration::from_millis(100);
/// After an API server was down everything is listed anew, but not more often than this: one that comes and goes would
/// have it done each time.
const LIST_EVERY: Duration = Duration::from_secs(10);
/// The silence of an operator is looked at every so many probes: it goes through the whole cache.
const SILENCE_EVERY: u32 = 5;

impl<D: Dialect> Operator<D> {
    /// Starts everything that keeps the link alive, until stopped.
    pub(super) fn start(self: &Arc<Self>, ground: &Ground) {
        ground.spawn(self.clone().keep_probing());
        ground.spawn(self.clone().keep_checking());
        ground.spawn(self.clone().keep_watching(ground.keys().clone()));
        ground.spawn(self.clone().keep_calling(ground.keys().clone()));
        let line: Arc<dyn Line> = self.clone();
        self.readers.start(&line, ground);
    }

    /// New connections: the old ones may have died without a word, or hold credentials that were replaced.
    fn renew(&self) {
        match clients(&self.settings, &self.connection, &self.calls, &self.may_send) {
            Ok(Clients { work, probe, signal }) => {
                self.work.store(Arc::new(work));
                self.probe.store(Arc::new(probe));
                self.signal.store(Arc::new(signal));
                self.readers.renewed();
            }
            Err(error) => {
                warn!(cluster.name = %self.settings.name, %error, "the link is kept: no new one can be built");
            }
        }
    }

    async fn keep_probing(self: Arc<Self>) {
        let tempo = self.settings.tempo;
        let mut ticks = tokio::time::interval(tempo.probe_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unanswered: Option<Instant> = None;
        let mut count = 0_u32;
        let mut refused = 0_u32;
        let was_down = AtomicBool::new(false);
        let (mut list_due, mut listed) = (false, None::<Instant>);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.probe_now.notified() => {}
            }
            let started = Instant::now();
            let answer =
                tokio::time::timeout(tempo.probe_deadline, self.probe_until_answered(&was_down)).await;
            let was = self.standing.link();
            if let Ok(taken) = answer {
                let back = self.standing.answered(taken);
                let gap = unanswered.take().map(|since| since.elapsed());
                if back && gap.is_some_and(|gap| gap >= LONG_GAP) {
                    self.renew();
                    self.check_now.notify_one();
                    (list_due, listed) = (true, None);
                }
                // It may have been put back to a backup: a watch that goes on from a version of before is told nothing
                // until the server has counted up to it, and never of what happened until then.
                list_due |= was_down.swap(false, Ordering::Relaxed);
                if list_due && listed.is_none_or(|at| at.elapsed() >= LIST_EVERY) {
                    (list_due, listed) = (false, Some(Instant::now()));
                    self.watch_anew.notify_one();
                }
                if taken == Taken::Unauthorized {
                    // A client reads token files anew; a static token stays refused until its Secret changes.
                    if refused.is_multiple_of(10) {
                        self.renew();
                    }
                    refused = refused.saturating_add(1);
                } else if refused > 0 {
                    refused = 0;
                    self.watch_anew.notify_one();
                    self.check_now.notify_one();
                }
            } else {
                unanswered.get_or_insert(started);
                self.standing.missed();
                if let Some(bearer) = &self.connection.bearer {
                    bearer.unanswered();
                }
            }
            let is = self.standing.link();
            if was.as_str() != is.as_str() {
                info!(cluster.name = %self.settings.name, from = was.as_str(), to = is.as_str(), "a member's link changed");
            }
            count = count.wrapping_add(1);
            if count.is_multiple_of(SILENCE_EVERY) {
                self.standing.silent(self.cache.silent(tempo.operator_patience, Instant::now()));
            }
        }
    }

    /// Asks whether the API server is ready to serve. Any answer that is not its own failure counts: also one that the
    /// account may not ask. `was_down` tells that it failed on the way.
    async fn probe_until_answered(&self, was_down: &AtomicBool) -> Taken {
        loop {
            let client = Client::clone(&self.probe.load());
            let Ok(request) = http::Request::get("/readyz").body(Vec::new()) else {
                return Taken::Yes;
            };
            match client.request_text(request).await {
                Ok(_) => return Taken::Yes,
                Err(kube::Error::Api(status)) if status.code == 401 => return Taken::Unauthorized,
                Err(kube::Error::Api(status)) if status.code < 500 => return Taken::Yes,
                Err(_) => {
                    was_down.store(true, Ordering::Relaxed);
                    tokio::time::sleep(PROBE_AGAIN).await;
                }
            }
        }
    }

    async fn keep_checking(self: Arc<Self>) {
        let tempo = self.settings.tempo;
        let mut wait = tempo.recheck.0;
        let mut was_well = false;
        loop {
            let found = tokio::time::timeout(READ * 2, preflight::look::<D>(&self.client())).await;
            let well = match found {
                Ok(Found::Member { identity, version, fault }) => {
                    let fine = fault.is_none();
                    if let Some((reason, message)) = &fault {
                        warn!(cluster.name = %self.settings.name, reason, message, "a member cannot be used");
                    }
                    self.standing.checked(&identity, version, fault);
                    Some(fine)
                }
                Ok(Found::Closed(fault)) => {
                    self.standing.check_failed(fault);
                    Some(false)
                }
                Ok(Found::Unreachable(why)) => {
                    tracing::debug!(cluster.name = %self.settings.name, why, "a member could not be looked at");
                    None
                }
                Err(_) => None,
            };
            let pause = match well {
                Some(true) => {
                    if !was_well {
                        self.watch_anew.notify_one();
                    }
                    wait = tempo.recheck.0;
                    tempo.check_every
                }
                // Unreachable is the probe's business: look again as soon as it may answer.
                None if self.standing.identity().is_none() => tempo.recheck.0.min(Duration::from_secs(1)),
                Some(false) | None => {
                    let now = wait;
                    wait = (wait * 2).min(tempo.recheck.1);
                    now
                }
            };
            was_well = well.unwrap_or(was_well);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.check_now.notified() => tokio::time::sleep(Duration::from_millis(200)).await,
                () = self.told.refused.notified() => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    }

    async fn keep_watching(self: Arc<Self>, keys: mpsc::Sender<JobKey>) {
        // The first check says when there is something to watch.
        self.watch_anew.notified().await;
        loop {
            let watching = applications::run::<D>(
                &self.settings.name,
                self.client(),
                &self.hub,
                &self.cache,
                &keys,
                &self.told,
            );
            tokio::pin!(watching);
            loop {
                tokio::select! {
                    () = &mut watching => return,
                    () = self.told.synced.notified() => self.standing.synced(),
                    () = self.watch_anew.notified() => break,
                }
            }
        }
    }

    /// Calls jobs that found no place for their create.
    async fn keep_calling(self: Arc<Self>, keys: mpsc::Sender<JobKey>) {
        loop {
            let key = self.window.next().await;
            if keys.send(key).await.is_err() {
                return;
            }
        }
    }
}
