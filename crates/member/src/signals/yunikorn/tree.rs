//! YuniKorn's tree of queues, read.
//!
//! Owns no state. Resources come as whole numbers: thousandths of a core, bytes, pods.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, de::IgnoredAny};
use spark_router_core::{resources::Capacity, signal::Room};

use crate::signals::rooms::{Counted, lower};

/// What YuniKorn calls its resources.
const RESOURCES: [(&str, Counted); 3] =
    [("vcore", Counted::Cpu), ("memory", Counted::Memory), ("pods", Counted::Pods)];

type Amounts = Option<BTreeMap<String, i64>>;

/// A queue as `/ws/v1/partition/{partition}/queues` shows it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Queue {
    #[serde(rename = "queuename")]
    name: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    headroom: Amounts,
    #[serde(default)]
    pending_resource: Amounts,
    #[serde(default)]
    max_resource: Amounts,
    /// 0 or absent: no limit.
    #[serde(default)]
    max_running_apps: u64,
    #[serde(default)]
    running_apps: u64,
    /// Accepted ones that hold placeholders already: they count as running for the limit.
    #[serde(default)]
    allocating_accepted_apps: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    children: Option<Vec<Queue>>,
}

/// What the queues from the root down to one have in common.
#[derive(Clone, Default)]
struct Path {
    most: Capacity,
    jobs: Option<u64>,
    closed: Option<Arc<str>>,
}

/// All queues by full path.
///
/// # Errors
/// When the answer is no tree of queues.
pub(super) fn rooms(answer: &[u8]) -> Result<BTreeMap<Arc<str>, Room>, serde_json::Error> {
    let root: Queue = serde_json::from_slice(answer)?;
    let mut rooms = BTreeMap::new();
    // What the root holds at most is the sum of the nodes that are there now: it may grow, so it is no bound.
    let path = limited(&root, Path::default());
    add(&root, &Path { most: Capacity { jobs: path.most.jobs, ..Capacity::default() }, ..path }, &mut rooms);
    Ok(rooms)
}

fn add(queue: &Queue, path: &Path, rooms: &mut BTreeMap<Arc<str>, Room>) {
    let mut free = Capacity { jobs: path.jobs, ..Capacity::default() };
    for (name, counted) in RESOURCES {
        // Headroom is already the least of the whole path. What waits in the queue goes before a new job.
        let Some(headroom) = amount(&queue.headroom, name) else { continue };
        let pending = amount(&queue.pending_resource, name).unwrap_or(0);
        *counted.of(&mut free) = Some(headroom.saturating_sub(pending));
    }
    rooms.insert(queue.name.as_str().into(), Room { free, most: path.most, closed: path.closed.clone() });
    for child in queue.children.iter().flatten() {
        add(child, &limited(child, path.clone()), rooms);
    }
}

/// The path one queue further down.
fn limited(queue: &Queue, mut path: Path) -> Path {
    for (name, counted) in RESOURCES {
        if let Some(most) = amount(&queue.max_resource, name) {
            lower(counted.of(&mut path.most), most);
        }
    }
    if queue.max_running_apps > 0 {
        let allocating = queue.allocating_accepted_apps.as_ref().map_or(0, Vec::len);
        let running = queue.running_apps.saturating_add(u64::try_from(allocating).unwrap_or(u64::MAX));
        lower(&mut path.jobs, queue.max_running_apps.saturating_sub(running));
        lower(&mut path.most.jobs, queue.max_running_apps);
    }
    match queue.status.as_deref() {
        None | Some("Active") => {}
        Some(status) => {
            path.closed.get_or_insert_with(|| format!("{} is {status}", queue.name).into());
        }
    }
    path
}

/// Below zero is nothing.
fn amount(amounts: &Amounts, name: &str) -> Option<u64> {
    amounts.as_ref()?.get(name).map(|amount| u64::try_from(*amount).unwrap_or(0))
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
