//! The poller of one virtual cluster.
//!
//! Owns what is known of its runs ([`rows`]) and one task. One walk over the active runs an interval shows all that lives,
//! however many there are; a run is looked at by itself only when it has left that list. Must never turn a failed call
//! into news of a run: it only makes the last successful walk older.

pub mod rows;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use parking_lot::RwLock;
use tokio::{sync::Notify, time::Instant};
use tracing::debug;

use self::rows::{ACTIVE, Became, ENDED, Look, Patience, Row, Rows};
use crate::client::{Class, Emr, Failure, JobRun, Query, RunId};

/// Times of a poller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tempo {
    /// Between two walks, at least.
    pub every: Duration,
    /// What is added to it: a part of this that differs each time, so that many pollers do not ask at once.
    pub jitter: Duration,
    /// After a failed walk.
    pub again: Duration,
    /// Runs that left the list looked at together.
    pub looks: usize,
    /// And after one walk in all: the next walk must not wait for thousands that have ended at once.
    pub most_looks: usize,
    /// See [`Patience`].
    pub patience: Patience,
}

impl Default for Tempo {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(15),
            jitter: Duration::from_secs(5),
            again: Duration::from_secs(5),
            looks: 4,
            most_looks: 80,
            patience: Patience::default(),
        }
    }
}

/// Who is told. Called in the poller's task: it must not wait long.
#[async_trait::async_trait]
pub trait Listener: Send + Sync + 'static {
    /// Whether the runs that a member of ours may have made are told apart from the rest; others are not kept.
    fn is_ours(&self, run: &JobRun) -> bool;

    /// These look different now.
    async fn changed(&self, runs: Vec<JobRun>);

    /// These are not shown any more: their history has expired, or they are over for long.
    async fn gone(&self, runs: Vec<JobRun>);

    /// A walk ended.
    fn walked(&self, result: Result<(), &Failure>);
}

/// See the module.
pub struct Poller {
    emr: Emr,
    tempo: Tempo,
    rows: RwLock<Rows>,
    last: RwLock<Option<Timestamp>>,
    walks: AtomicU64,
    now: Notify,
}

impl Poller {
    /// One that does not run yet.
    pub fn new(emr: Emr, tempo: Tempo) -> Arc<Self> {
        Arc::new(Self {
            emr,
            tempo,
            rows: RwLock::default(),
            last: RwLock::default(),
            walks: AtomicU64::new(0),
            now: Notify::new(),
        })
    }

    /// The calls that it makes.
    pub fn emr(&self) -> &Emr {
        &self.emr
    }

    /// Reads what is known.
    pub fn read<T>(&self, look: impl FnOnce(&Rows) -> T) -> T {
        look(&self.rows.read())
    }

    /// A run that a start or another look has shown.
    pub fn told(&self, run: JobRun) -> bool {
        self.rows.write().told(run, Timestamp::now())
    }

    /// Nobody asks for a run any more.
    pub fn forget(&self, id: &RunId) -> Option<JobRun> {
        self.rows.write().forget(id)
    }

    /// When the last walk that succeeded began.
    pub fn last_success(&self) -> Option<Timestamp> {
        *self.last.read()
    }

    /// How many walks were made.
    pub fn walks(&self) -> u64 {
        self.walks.load(Ordering::Relaxed)
    }

    /// Something may have changed: the next walk begins at once. Pushed events may call it.
    pub fn wake(&self) {
        self.now.notify_one();
    }

    /// Polls until it is dropped.
    pub async fn run(self: Arc<Self>, listener: Arc<dyn Listener>) {
        let mut turn = 0_u64;
        loop {
            let result = self.walk(&*listener).await;
            listener.walked(result.as_ref().map(drop));
            let pause = match &result {
                Ok(()) => self.tempo.every + part(self.tempo.jitter, self.emr.virtual_cluster(), turn),
                Err(failure) => {
                    debug!(member.cluster = self.emr.virtual_cluster(), %failure, "job runs could not be listed");
                    self.tempo.again
                }
            };
            turn = turn.wrapping_add(1);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.now.notified() => {}
            }
        }
    }

    /// One walk, and a look at each run that left it.
    async fn walk(&self, listener: &dyn Listener) -> Result<(), Failure> {
        let (began, clock) = (Timestamp::now(), Instant::now());
        self.walks.fetch_add(1, Ordering::Relaxed);
        let mut runs = self.emr.list(Query { states: &ACTIVE, ..Query::default() }).await?;
        runs.retain(|run| listener.is_ours(run) || self.rows.read().get(&run.id).is_some());
        if self.last_success().is_none() {
            // What ended before this process began may be all that shows that a job has run: a record that was put back to
            // an earlier state does not.
            let day = SignedDuration::from_hours(25);
            let after = began.saturating_sub(day).unwrap_or(Timestamp::MIN);
            let ended = Query { states: &ENDED, created_after: Some(after), ..Query::default() };
            let ended = self.emr.list(ended).await?;
            let mut rows = self.rows.write();
            for run in ended.into_iter().filter(|run| listener.is_ours(run)) {
                rows.told(run, Timestamp::now());
            }
        }
        let news = self.rows.write().walked(runs, began, Timestamp::now(), &self.tempo.patience);
        *self.last.write() = Some(began);
        debug!(
            member.cluster = self.emr.virtual_cluster(),
            changed = news.changed.len(),
            left = news.ask.len(),
            took = ?clock.elapsed(),
            "job runs listed"
        );
        self.tell(listener, &news.changed).await;
        if !news.gone.is_empty() {
            listener.gone(news.gone).await;
        }
        // Others each time, where there are more: none may be in the way of the rest for ever.
        let mut ask = news.ask;
        if ask.len() > self.tempo.most_looks {
            let turn = usize::try_from(self.walks()).unwrap_or_default().wrapping_mul(self.tempo.most_looks);
            let at = turn % ask.len();
            ask.rotate_left(at);
            ask.truncate(self.tempo.most_looks);
        }
        for together in ask.chunks(self.tempo.looks.max(1)) {
            let looks = together.iter().map(|id| self.look(id));
            let looked = futures::future::join_all(looks).await;
            let (mut changed, mut gone) = (Vec::new(), Vec::new());
            for (id, seen) in together.iter().zip(looked) {
                match seen {
                    Became::Same => {}
                    Became::Changed => changed.push(id.clone()),
                    Became::Gone(run) => gone.push(*run),
                }
            }
            self.tell(listener, &changed).await;
            if !gone.is_empty() {
                listener.gone(gone).await;
            }
        }
        Ok(())
    }

    async fn look(&self, id: &RunId) -> Became {
        let look = match self.emr.describe(id).await {
            Ok(run) => Look::There(Box::new(run)),
            Err(failure) if failure.class == Class::NoRun => Look::Missing,
            // It is asked about again after the next walk.
            Err(failure) => {
                debug!(member.cluster = self.emr.virtual_cluster(), %failure, "a job run could not be looked at");
                return Became::Same;
            }
        };
        self.rows.write().looked(id, look, Timestamp::now(), &self.tempo.patience)
    }

    async fn tell(&self, listener: &dyn Listener, changed: &[RunId]) {
        if changed.is_empty() {
            return;
        }
        let runs = self.read(|rows| {
            let known = changed.iter().filter_map(|id| rows.get(id));
            known.map(|row: &Row| row.run.clone()).collect::<Vec<_>>()
        });
        listener.changed(runs).await;
    }
}

/// A part of `whole` that depends on who asks and how often: no two pollers stay in step.
fn part(whole: Duration, who: &str, turn: u64) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let hash = RandomState::new().hash_one((who, turn)) % 1000;
    whole.mul_f64(f64::from(u32::try_from(hash).unwrap_or(0)) / 1000.0)
}
