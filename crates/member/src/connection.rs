//! How the Kubernetes API of a member is reached.
//!
//! Owns no state.

use std::fmt;

use kube::Config;

/// A way to an API server, and what stands for it.
#[derive(Clone)]
pub struct Connection {
    /// Address, certificates and credentials.
    pub config: Config,
    /// Stands for what `config` was made of: links over connections of the same one and with the same settings are the
    /// same. Never a credential itself: it is compared and kept in many places.
    pub fingerprint: String,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A configuration holds credentials.
        f.debug_struct("Connection").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}
