//! The task that owns fleet, queues and ledger.
//!
//! One writer: everybody else sends commands. It decides at once when idle and takes whatever has queued up meanwhile
//! into one pass, so a burst costs few passes and an idle router no waiting. Jobs that are placed later, when room
//! appears, are called by their keys through the reconcile trigger. Must never do I/O or wait for anybody.

use std::{collections::HashSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use spark_router_core::{
    dispatch::{Answer, Applicant, Dispatcher, Withdrawal},
    id::{JobKey, JobUid, Namespace},
    job::{Job, Placement, Request},
    place::Verdict,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// Commands that may wait for the task; senders wait beyond it.
const BACKLOG: usize = 4096;
/// Commands taken into one pass at most, so that no asker waits for an endless stream of others.
const BATCH: usize = 1024;

type Change = Box<dyn FnOnce(&mut Dispatcher) + Send>;

enum Command {
    Ask(Box<Applicant>, oneshot::Sender<Answer>),
    Change(Change),
}

/// A handle to the dispatcher's task.
#[derive(Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
}

impl Handle {
    /// Starts the task. `called` takes the keys of jobs that are placed without having asked just now.
    pub fn start(
        called: mpsc::Sender<JobKey>,
        stop: CancellationToken,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (commands, inbox) = mpsc::channel(BACKLOG);
        (Self { commands }, tokio::spawn(run(inbox, called, stop)))
    }

    /// Asks for a place: the answer is the decision, or what the job waits for.
    ///
    /// # Errors
    /// [`Error::Stopping`] when the task has ended.
    pub async fn ask(&self, applicant: Applicant) -> Result<Answer, Error> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Ask(Box::new(applicant), reply);
        self.commands.send(command).await.map_err(|_| Error::Stopping)?;
        answer.await.map_err(|_| Error::Stopping)
    }

    /// Changes facts: members, queues, namespaces, restored placements.
    pub async fn change(&self, change: impl FnOnce(&mut Dispatcher) + Send + 'static) {
        // A closed channel means that the process is going down: there is nobody left to tell.
        let _ = self.commands.send(Command::Change(Box::new(change))).await;
    }

    /// Reads something out of the dispatcher.
    ///
    /// # Errors
    /// [`Error::Stopping`] when the task has ended.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Dispatcher) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.change(move |dispatcher| {
            let _ = reply.send(read(dispatcher));
        })
        .await;
        answer.await.map_err(|_| Error::Stopping)
    }

    /// A placement of a job of the namespace `owner` is on the hub's record.
    pub async fn committed(&self, uid: JobUid, owner: Namespace, placement: Placement) {
        self.change(move |dispatcher| dispatcher.committed(&uid, &owner, &placement)).await;
    }

    /// The application exists.
    pub async fn dispatched(&self, uid: JobUid) {
        self.change(move |dispatcher| dispatcher.dispatched(&uid)).await;
    }

    /// The member's operator has submitted the job.
    pub async fn submitted(&self, uid: JobUid) {
        self.change(move |dispatcher| dispatcher.submitted(&uid)).await;
    }

    /// All pods of the job have been seen.
    pub async fn seen(&self, uid: JobUid, at: Timestamp) {
        self.change(move |dispatcher| dispatcher.seen(&uid, at)).await;
    }

    /// Takes a placement back.
    pub async fn withdraw(&self, uid: JobUid, placement: Option<Placement>, why: Withdrawal) {
        self.change(move |dispatcher| dispatcher.withdraw(&uid, placement.as_ref(), why, Timestamp::now()))
            .await;
    }

    /// The job is over or gone.
    pub async fn forget(&self, uid: JobUid) {
        self.change(move |dispatcher| dispatcher.forget(&uid)).await;
    }

    /// The verdicts on a job as of now.
    ///
    /// # Errors
    /// [`Error::Stopping`] when the task has ended.
    pub async fn weigh(&self, applicant: Applicant) -> Result<Option<Vec<Verdict>>, Error> {
        self.read(move |dispatcher| dispatcher.weigh(&applicant, Timestamp::now())).await
    }

    /// Sets or removes a hub namespace's labels.
    pub async fn set_namespace(
        &self,
        namespace: Namespace,
        labels: Option<std::collections::BTreeMap<String, String>>,
    ) {
        self.change(move |dispatcher| dispatcher.set_namespace(namespace, labels)).await;
    }
}

async fn run(mut inbox: mpsc::Receiver<Command>, called: mpsc::Sender<JobKey>, stop: CancellationToken) {
    let mut dispatcher = Dispatcher::default();
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let wake = dispatcher
            .next_wake()
            .map(|at| Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default());
        tokio::select! {
            () = stop.cancelled() => return,
            taken = inbox.recv_many(&mut batch, BATCH) => if taken == 0 { return },
            () = tokio::time::sleep(wake.unwrap_or_default()), if wake.is_some() => {}
        }
        let mut asked = Vec::new();
        for command in batch.drain(..) {
            match command {
                Command::Ask(applicant, reply) => {
                    asked.push((applicant.uid.clone(), reply));
                    dispatcher.enqueue(*applicant);
                }
                Command::Change(change) => change(&mut dispatcher),
            }
        }
        let passed = dispatcher.pass(Timestamp::now());
        let askers: HashSet<JobUid> = asked.iter().map(|(uid, _)| uid.clone()).collect();
        for (uid, reply) in asked {
            if let Some(answer) = dispatcher.answer(&uid) {
                // An asker that went away asks again.
                let _ = reply.send(answer);
            }
        }
        for (uid, key) in passed.decided.into_iter().chain(passed.rephrased) {
            if askers.contains(&uid) {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                sent = called.send(key) => if sent.is_err() { return },
            }
        }
    }
}

/// What a reconcile shares of an applicant.
pub fn applicant(job: &Job, request: &Arc<Request>) -> Applicant {
    Applicant {
        uid: job.uid.clone(),
        key: job.key.clone(),
        created: job.created,
        request: request.clone(),
        refused: job.record.refusals.clone(),
    }
}
