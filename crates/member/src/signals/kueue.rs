//! What Kueue's `ClusterQueue`s have left of their nominal quota.
//!
//! Owns no state. Borrowing is not counted: what a cohort lends is only lent until its owner wants it back, and then
//! costs the borrower its running pods; whoever wants jobs to count on it raises the nominal quota. Must never read a
//! queue that holds its workloads back as one with room.

use std::{borrow::Cow, cmp::Ordering, collections::BTreeMap, sync::Arc};

use k8s_openapi::{
    ClusterResourceScope,
    apimachinery::pkg::apis::meta::v1::{APIGroup, ObjectMeta},
};
use kube::{Api, Client, Resource};
use serde::Deserialize;
use serde_json::Value;
use spark_router_core::{resources::Capacity, signal::Room};

use super::{
    Kind,
    board::Board,
    follow::{self, Source},
    line::Line,
    rooms::{Counted, Rooms, both, lower},
};
use crate::error::Error;

const GROUP: &str = "kueue.x-k8s.io";

/// The resources of a flavor that a job needs.
const RESOURCES: [(&str, Counted); 3] =
    [("cpu", Counted::Cpu), ("memory", Counted::Memory), ("pods", Counted::Pods)];

/// Versions in which the fields that are read here are the same; the newest first.
const VERSIONS: [&str; 2] = ["v1beta2", "v1beta1"];

/// Reads until it fails.
pub(super) async fn read(line: &dyn Line, board: &Board) -> Error {
    match version(&line.client()).await {
        Ok(version) => {
            let api: Api<ClusterQueue> = Api::all_with(line.client(), &Served(version));
            follow::follow::<ClusterQueues>(api, line, board).await
        }
        Err(error) => error,
    }
}

/// The version that the member serves.
async fn version(client: &Client) -> Result<&'static str, Error> {
    const DOING: &str = "asking for the versions of kueue.x-k8s.io";
    let request = http::Request::get(format!("/apis/{GROUP}")).body(Vec::new());
    let request = request.map_err(|error| Error::call(DOING)(kube::Error::HttpError(error)))?;
    let group = match client.request::<APIGroup>(request).await {
        Ok(group) => group,
        Err(kube::Error::Api(status)) if status.code == 404 => return Err(Error::NoKueue),
        Err(error) => return Err(Error::call(DOING)(error)),
    };
    let served = |wanted: &&str| group.versions.iter().any(|version| version.version == *wanted);
    VERSIONS.into_iter().find(served).ok_or(Error::NoKueue)
}

/// The version of the API that is in use.
struct Served(&'static str);

impl Default for Served {
    fn default() -> Self {
        Self(VERSIONS[0])
    }
}

/// A `ClusterQueue` as its watch decodes it. Permissive: one odd queue must not hide the others.
#[derive(Clone, Debug, Default, Deserialize)]
struct ClusterQueue {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Option<Spec>,
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    resource_groups: Option<Vec<ResourceGroup>>,
    queueing_strategy: Option<String>,
    stop_policy: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ResourceGroup {
    flavors: Option<Vec<Flavor>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Flavor {
    name: String,
    resources: Option<Vec<Quota>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Quota {
    name: String,
    /// A text or a number, as it was written.
    nominal_quota: Value,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    flavors_reservation: Option<Vec<Reservation>>,
    pending_workloads: i64,
    conditions: Option<Vec<Condition>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Reservation {
    name: String,
    resources: Option<Vec<Reserved>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Reserved {
    name: String,
    total: Value,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
    message: String,
}

impl Resource for ClusterQueue {
    type DynamicType = Served;
    type Scope = ClusterResourceScope;

    fn kind(_: &Served) -> Cow<'_, str> {
        "ClusterQueue".into()
    }

    fn group(_: &Served) -> Cow<'_, str> {
        GROUP.into()
    }

    fn version(served: &Served) -> Cow<'_, str> {
        served.0.into()
    }

    fn plural(_: &Served) -> Cow<'_, str> {
        "clusterqueues".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

struct ClusterQueues;

impl Source for ClusterQueues {
    type Object = ClusterQueue;
    type Key = Arc<str>;
    type Entry = Room;

    const KIND: Kind = Kind::Kueue;
    const OBJECTS: &'static str = "cluster queues";

    fn key(queue: &ClusterQueue) -> Option<Arc<str>> {
        queue.metadata.name.as_deref().map(Into::into)
    }

    fn entry(queue: &ClusterQueue) -> Option<Room> {
        Some(room(queue))
    }

    fn rooms(entries: &BTreeMap<Arc<str>, Room>) -> Rooms {
        Rooms::Kueue(entries.clone())
    }
}

/// What one queue has left. A resource that no flavor names is not limited: whether Kueue then admits everything or
/// nothing is said in its own configuration, which is not visible.
fn room(queue: &ClusterQueue) -> Room {
    let (spec, status) = (queue.spec.clone().unwrap_or_default(), queue.status.clone().unwrap_or_default());
    let mut room = Room { closed: closed(&spec, &status), ..Room::default() };
    for group in spec.resource_groups.iter().flatten() {
        let flavors: Vec<Room> =
            group.flavors.iter().flatten().map(|flavor| flavor_room(flavor, &status)).collect();
        if let Some(largest) = largest(&flavors) {
            // What never fits is what is above every flavor.
            let most = flavors.iter().fold(largest.most, |most, flavor| wider(most, flavor.most));
            room = both(room, &Room { free: largest.free, most, closed: None });
        }
    }
    let waiting = status.pending_workloads;
    if spec.queueing_strategy.as_deref() == Some("StrictFIFO") && waiting > 0 {
        // Whoever comes now stands behind them, whatever is free.
        for counted in Counted::ALL {
            if counted.read(room.free).is_some() || counted == Counted::Jobs {
                lower(counted.of(&mut room.free), 0);
            }
        }
        room.closed.get_or_insert_with(|| format!("StrictFIFO with {waiting} pending workloads").into());
    }
    room
}

/// Why a queue admits nothing, in its own words.
fn closed(spec: &Spec, status: &Status) -> Option<Arc<str>> {
    let inactive = status.conditions.iter().flatten().find(|condition| condition.type_ == "Active");
    if let Some(condition) = inactive.filter(|condition| condition.status == "False") {
        return Some(condition.message.as_str().into());
    }
    match spec.stop_policy.as_deref() {
        Some(policy @ ("Hold" | "HoldAndDrain")) => Some(format!("stopPolicy {policy}").into()),
        _ => None,
    }
}

fn flavor_room(flavor: &Flavor, status: &Status) -> Room {
    let reserved = |resource: &str| {
        let reservation = status
            .flavors_reservation
            .iter()
            .flatten()
            .find(|reservation| reservation.name == flavor.name)?;
        reservation.resources.iter().flatten().find(|reserved| reserved.name == resource)
    };
    let mut room = Room::default();
    for (name, counted) in RESOURCES {
        let Some(quota) = flavor.resources.iter().flatten().find(|quota| quota.name == name) else {
            continue;
        };
        // What can't be read is nothing: it must not widen the choice.
        let most = amount(counted, &quota.nominal_quota).unwrap_or(0);
        let used = reserved(name).map_or(Some(0), |reserved| amount(counted, &reserved.total));
        *counted.of(&mut room.most) = Some(most);
        *counted.of(&mut room.free) = Some(used.map_or(0, |used| most.saturating_sub(used)));
    }
    room
}

fn amount(counted: Counted, quantity: &Value) -> Option<u64> {
    match quantity {
        Value::String(text) => counted.amount(text),
        Value::Number(number) => counted.amount(&number.to_string()),
        // An omitted total is zero.
        Value::Null => Some(0),
        _ => None,
    }
}

/// The flavor with the most left. All pods of a set get the same one, so what is free in one can't be added to what is
/// free in another. Of several the one counts whose scarcest resource goes furthest, compared with the largest quota
/// there is of it.
fn largest(flavors: &[Room]) -> Option<Room> {
    let widest = flavors.iter().fold(Capacity::default(), |widest, flavor| wider(widest, flavor.most));
    let scarcest = |room: &Room| {
        let shares = RESOURCES.iter().filter_map(|(_, counted)| {
            let (free, most) = (counted.read(room.free)?, counted.read(widest)?);
            Some(u128::from(free) * 1_000_000 / u128::from(most.max(1)))
        });
        shares.min().unwrap_or(0)
    };
    let by_total = |a: &Room, b: &Room| a.free.cpu_milli.cmp(&b.free.cpu_milli);
    flavors
        .iter()
        .max_by(|a, b| match scarcest(a).cmp(&scarcest(b)) {
            Ordering::Equal => by_total(a, b),
            other => other,
        })
        .cloned()
}

/// The wider of both in each dimension; a dimension that only one names is the one's.
fn wider(mut a: Capacity, b: Capacity) -> Capacity {
    for counted in Counted::ALL {
        let wider = counted.read(a).max(counted.read(b));
        *counted.of(&mut a) = wider;
    }
    a
}

#[cfg(test)]
#[path = "kueue_tests.rs"]
mod tests;
