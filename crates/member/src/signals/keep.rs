//! Keeps one reader a source going while it is wanted.
//!
//! Owns what is wanted and the pauses between tries. Each reader is a task of its own. Must never hurry: a source that
//! fails is tried again after a pause that doubles, and nothing is asked of a member whose link is not ready.

use std::{sync::Arc, time::Duration};

use spark_router_core::signal::Signals;
use tokio::sync::watch;
use tracing::{info, warn};

use super::{Kind, WantedSignals, board::Board, kueue, line::Line, quota, yunikorn};
use crate::{
    error::{Error, chain},
    link::Ground,
};

/// Between two tries of a source that fails, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// Changes of one member's signals are told at most this often.
const TELL: Duration = Duration::from_millis(250);
/// A failure is said in so many characters at most.
const LONGEST: usize = 400;

/// The readers of one member. See the module.
pub(crate) struct Readers {
    board: Board,
    wanted: watch::Sender<WantedSignals>,
    /// Counts the times that all connections were made anew.
    renewed: watch::Sender<u64>,
}

impl Default for Readers {
    fn default() -> Self {
        Self {
            board: Board::default(),
            wanted: watch::channel(WantedSignals::default()).0,
            renewed: watch::channel(0).0,
        }
    }
}

impl Readers {
    /// What is known now.
    pub(crate) fn shown(&self) -> Arc<Signals> {
        self.board.shown()
    }

    /// Says what is wanted from now on; the same again is nothing. What says nothing for it is gone at once.
    pub(crate) fn want(&self, wanted: WantedSignals) {
        self.wanted.send_if_modified(|now| {
            let before = std::mem::replace(now, wanted);
            for kind in Kind::ALL {
                self.forget_unless_holds(&before, now, kind);
            }
            before != *now
        });
    }

    fn forget_unless_holds(&self, before: &WantedSignals, now: &WantedSignals, kind: Kind) {
        if before.wants(kind) && !before.holds_for(now, kind) {
            self.board.forget(kind);
        }
    }

    /// What is wanted.
    pub(crate) fn wanted(&self) -> WantedSignals {
        self.wanted.borrow().clone()
    }

    /// Goes on with what another link to the same member has seen.
    pub(crate) fn inherit(&self, older: &Self) {
        self.board.inherit(&older.shown());
    }

    /// The connections were made anew: watches over the old ones may have died unseen.
    pub(crate) fn renewed(&self) {
        self.renewed.send_modify(|count| *count += 1);
    }

    /// Starts the readers, until stopped.
    pub(crate) fn start(self: &Arc<Self>, line: &Arc<dyn Line>, ground: &Ground) {
        for kind in Kind::ALL {
            ground.spawn(self.clone().keep(kind, line.clone()));
        }
        ground.spawn(self.clone().keep_telling(line.clone()));
    }

    async fn keep(self: Arc<Self>, kind: Kind, line: Arc<dyn Line>) {
        let mut wanted = self.wanted.subscribe();
        let mut renewed = self.renewed.subscribe();
        let mut pause = PAUSE.0;
        loop {
            let want = wanted.borrow_and_update().clone();
            if !want.wants(kind) {
                if until_wanted_otherwise(&mut wanted, &want, kind).await.is_none() {
                    return;
                }
                continue;
            }
            renewed.mark_unchanged();
            let error = tokio::select! {
                error = self.read(kind, &want, &*line) => error,
                changed = until_wanted_otherwise(&mut wanted, &want, kind) => {
                    if changed.is_none() {
                        return;
                    }
                    // Once more: an answer to the old question may have come since.
                    self.forget_unless_holds(&want, &wanted.borrow(), kind);
                    continue;
                }
                _ = renewed.changed() => continue,
            };
            // A source that said something since it failed last starts with a short pause again.
            pause = if self.board.is_failing(kind) { (pause * 2).min(PAUSE.1) } else { PAUSE.0 };
            let why: String = in_words(&error).chars().take(LONGEST).collect();
            if self.board.failed(kind, &why) {
                warn!(cluster.name = %line.cluster(), signal = kind.as_str(), error = why, "a signal of a member cannot be read");
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = until_wanted_otherwise(&mut wanted, &want, kind) => {}
                _ = renewed.changed() => {}
            }
        }
    }

    async fn read(&self, kind: Kind, want: &WantedSignals, line: &dyn Line) -> Error {
        line.ready().await;
        match (kind, &want.yunikorn) {
            (Kind::Quota, _) => quota::read(line, &self.board).await,
            (Kind::Kueue, _) => kueue::read(line, &self.board).await,
            (Kind::YuniKorn, Some(settings)) => yunikorn::read(settings, line, &self.board).await,
            // Not wanted, so never called.
            (Kind::YuniKorn, None) => std::future::pending().await,
        }
    }

    /// Tells at once, then not again for a moment.
    async fn keep_telling(self: Arc<Self>, line: Arc<dyn Line>) {
        let mut failing = Vec::new();
        loop {
            self.board.changed().await;
            line.tell();
            for kind in Kind::ALL {
                let is = self.board.is_failing(kind);
                let was = failing.contains(&kind);
                if was && !is && self.wanted.borrow().wants(kind) {
                    info!(cluster.name = %line.cluster(), signal = kind.as_str(), "a signal of a member is read again");
                }
            }
            failing = Kind::ALL.into_iter().filter(|kind| self.board.is_failing(*kind)).collect();
            tokio::time::sleep(TELL).await;
        }
    }
}

/// Returns when a source is wanted differently, `None` when nobody can want it any more.
async fn until_wanted_otherwise(
    wanted: &mut watch::Receiver<WantedSignals>,
    before: &WantedSignals,
    kind: Kind,
) -> Option<()> {
    wanted.wait_for(|now| !now.agrees(before, kind)).await.ok().map(drop)
}

/// A failure with what to do about it, if that can be told.
fn in_words(error: &Error) -> String {
    match error.status() {
        Some(status) if status.code == 403 => {
            format!("{}; apply deploy/kustomize/member there", status.message)
        }
        Some(status) => status.message.clone(),
        None => chain(error),
    }
}
