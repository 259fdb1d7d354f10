//! The batch schedulers of members, and under which name each knows a queue.
//!
//! Owns no state. Must never hand a job to a queue that the member cannot tell apart: what cannot be expressed there is
//! an error that names the field.

use std::sync::Arc;

use super::Inexpressible;
use crate::id::QueueName;

/// A batch scheduler on a member, which has queues of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BatchScheduler {
    /// Apache YuniKorn: queues are paths below `root`.
    YuniKorn,
    /// Volcano: queues have plain names.
    Volcano,
    /// Kueue: applications name a LocalQueue.
    Kueue,
}

const SUB_QUEUE: &str = "spec.subQueue";
const REMOTE_QUEUE: &str = "remoteQueue of the route";

impl BatchScheduler {
    /// The queue that a job is handed to there, if any. `below` is the job's own path below it.
    ///
    /// # Errors
    /// The field that asks for what the member cannot do: a path where there are none, or one that is longer than the
    /// label in which pods carry it.
    pub fn remote_queue(
        scheduler: Option<Self>,
        queue: &QueueName,
        named: Option<&Arc<str>>,
        below: Option<&str>,
    ) -> Result<Option<Arc<str>>, Inexpressible> {
        const LONGEST_LABEL: usize = 63;
        let path = Self::path(scheduler, queue, named, below)?;
        if path.as_ref().is_some_and(|path| path.len() > LONGEST_LABEL) {
            let field = if below.is_some() { SUB_QUEUE } else { REMOTE_QUEUE };
            let why = "its full path there has more than 63 characters, which a pod's label cannot hold";
            return Err(Inexpressible::new(field, why));
        }
        Ok(path)
    }

    fn path(
        scheduler: Option<Self>,
        queue: &QueueName,
        named: Option<&Arc<str>>,
        below: Option<&str>,
    ) -> Result<Option<Arc<str>>, Inexpressible> {
        let Some(scheduler) = scheduler else {
            return match (named, below) {
                (_, Some(_)) => Err(Inexpressible::new(
                    SUB_QUEUE,
                    "its MemberCluster names no batchScheduler to hand a queue to",
                )),
                (Some(_), None) => Err(Inexpressible::new(
                    REMOTE_QUEUE,
                    "its MemberCluster names no batchScheduler to hand a queue to",
                )),
                (None, None) => Ok(None),
            };
        };
        match (scheduler, below) {
            (Self::YuniKorn, below) => {
                let base: Arc<str> = match named {
                    Some(named) if **named == *"root" || named.starts_with("root.") => named.clone(),
                    Some(named) => format!("root.{named}").into(),
                    None => format!("root.{queue}").into(),
                };
                Ok(Some(below.map_or_else(|| base.clone(), |below| format!("{base}.{below}").into())))
            }
            (Self::Volcano, Some(_)) => Err(Inexpressible::new(SUB_QUEUE, "Volcano's queues have no paths")),
            (Self::Kueue, Some(_)) => Err(Inexpressible::new(SUB_QUEUE, "Kueue's LocalQueues have no paths")),
            (Self::Volcano | Self::Kueue, None) => {
                Ok(Some(named.cloned().unwrap_or_else(|| queue.as_str().into())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_handed_on_in_the_schedulers_own_form() {
        use BatchScheduler::{Kueue, Volcano, YuniKorn};
        let queue = QueueName::from("etl");
        let named: Arc<str> = "root.prod.etl".into();
        let plain: Arc<str> = "prod".into();
        let of = |scheduler, named: Option<&Arc<str>>, below| {
            BatchScheduler::remote_queue(scheduler, &queue, named, below)
                .map(|queue| queue.map(|queue| queue.to_string()))
                .map_err(|error| error.field.into_owned())
        };
        for (scheduler, named, below, expected) in [
            (Some(YuniKorn), None, None, Ok(Some("root.etl"))),
            (Some(YuniKorn), None, Some("reports.daily"), Ok(Some("root.etl.reports.daily"))),
            (Some(YuniKorn), Some(&named), Some("daily"), Ok(Some("root.prod.etl.daily"))),
            (Some(YuniKorn), Some(&plain), None, Ok(Some("root.prod"))),
            (Some(Volcano), None, None, Ok(Some("etl"))),
            (Some(Kueue), Some(&plain), None, Ok(Some("prod"))),
            (Some(Kueue), None, Some("daily"), Err("spec.subQueue")),
            (Some(Volcano), None, Some("daily"), Err("spec.subQueue")),
            (None, None, None, Ok(None)),
            (None, None, Some("daily"), Err("spec.subQueue")),
            (None, Some(&plain), None, Err("remoteQueue of the route")),
            (Some(YuniKorn), Some(&named), Some(&"x".repeat(50)), Err("spec.subQueue")),
        ] {
            let expected = expected.map(|queue| queue.map(str::to_owned)).map_err(str::to_owned);
            assert_eq!(of(scheduler, named, below), expected);
        }
    }
}
