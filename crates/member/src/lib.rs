//! One member as seen from the hub.
//!
//! A member is a target that runs Spark. Each has a task group of its own: client, limiter, probe, watch, cache and
//! back-off; a dead one can slow nobody else. Only keys of changed jobs leave this crate (see [`registry`]); what a
//! member says is read from its cache without waiting. Must never be a trigger stream of the controller, and never
//! decides where a job goes.

pub mod apache;
pub mod cache;
pub mod calls;
pub mod canonical;
mod clients;
mod clock;
pub mod connection;
pub mod error;
pub mod error_line;
pub mod kubeconfig;
pub mod kubeflow;
pub mod link;
pub mod links;
pub mod member;
mod operator;
pub mod pods;
mod preflight;
pub mod provider;
pub mod registry;
pub mod render;
mod signals;
mod standing;
pub mod sweep;
mod watch;
mod window;

pub use cache::{Cache, Owned, Seen};
pub use clients::{Limits, MaySend, hub_client};
pub use connection::{Bearer, Connection, Connector, NoToken};
pub use error::Error;
pub use link::{Blueprint, Ground, Link};
pub use member::{
    Asked, Backend, Confirmation, Created, Driver, Fence, Health, Member, StopOrder, Suspended,
};
pub use operator::{Settings, Tempo, thresholds};
pub use provider::{Provider, Providers};
pub use registry::{Claim, Registry, Report, Which};
pub use render::{Order, Rendered};
pub use signals::{NoEndpoint, WantedSignals, YuniKornEndpoint, YuniKornSettings};
pub use standing::{Admission, Denied, Fault, Standing, Taken};
