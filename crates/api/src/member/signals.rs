//! Where the router sees what a member's own quotas and schedulers have room for.
//!
//! Owns no state. Names places, never credentials: they are read with the rights that the router has on the member.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// Where the router sees what a member's own quotas and schedulers have room for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Signals {
    /// Seconds after which a signal is too old to go by. Then declared numbers and the router's own account count; a
    /// route with nothing declared takes no new jobs.
    #[schemars(range(min = 5, max = 3_600))]
    pub stale_after_seconds: u32,
    /// YuniKorn's REST address. Required by routes with the signal yunikorn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub yunikorn: Option<YuniKornSource>,
}

impl Default for Signals {
    fn default() -> Self {
        Self { stale_after_seconds: 30, yunikorn: None }
    }
}

/// How YuniKorn is asked for its queues. Exactly one of url and service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::exactly_one(
    &["url", "service"], "yunikorn must have exactly one of url and service",
)))]
pub struct YuniKornSource {
    /// Address that the router reaches: http or https, without user and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = schema::URL))]
    pub url: Option<String>,
    /// Service on the member, reached through its API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<YuniKornService>,
    /// Its partition.
    #[serde(default = "default_partition")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[-_A-Za-z0-9]+$"))]
    pub partition: String,
    /// Seconds between two reads.
    #[serde(default = "default_poll")]
    #[schemars(range(min = 1, max = 300))]
    pub poll_seconds: u32,
    /// True: its placement rules create a queue with the first application, so one that is not there yet has the room
    /// of the nearest queue above it. False: a queue that is not there takes nothing.
    #[serde(default)]
    pub dynamic_queues: bool,
}

/// A Service on the member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct YuniKornService {
    /// Its namespace.
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::DNS_LABEL))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::DNS_LABEL))]
    pub name: String,
    /// Port of YuniKorn's REST API.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: u32,
}

impl Default for YuniKornService {
    fn default() -> Self {
        Self { namespace: "yunikorn".to_owned(), name: "yunikorn-service".to_owned(), port: 9080 }
    }
}

fn default_partition() -> String {
    "default".to_owned()
}

fn default_poll() -> u32 {
    2
}
