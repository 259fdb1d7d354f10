//! Templates of what is shown beside a job for those who look further.
//!
//! Owns no state. `{namespace}`, `{name}`, `{applicationId}`, `{submissionId}`, `{driverPod}`, `{jobNamespace}`,
//! `{jobName}` and `{cluster}` stand for the application's own; whoever fills them leaves out what has no value yet.

use spark_router_api::{MemberCluster, member::LinkTemplates};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// The application while it runs.
    pub ui: Option<String>,
    /// The application after its end.
    pub history: Option<String>,
    /// Its logs.
    pub logs: Option<String>,
    /// Where its logs are kept, as programs find them.
    pub log_locations: Vec<String>,
}

impl Links {
    /// Those that a member's object gives.
    pub fn of(object: &MemberCluster) -> Self {
        let LinkTemplates { ui, history, logs } = object.spec.links.clone().unwrap_or_default();
        Self { ui, history, logs, log_locations: Vec::new() }
    }

    /// Where one says nothing, `other` counts.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            ui: self.ui.or(other.ui),
            history: self.history.or(other.history),
            logs: self.logs.or(other.logs),
            log_locations: if self.log_locations.is_empty() {
                other.log_locations
            } else {
                self.log_locations
            },
        }
    }
}
