//! A cluster whose tokens somebody else knows.
//!
//! Purpose: what a cloud adds to an API server. Owns no state.

use super::{Cluster, Part};
use crate::Error;

impl Cluster {
    /// From now on the API server asks a webhook about tokens that it does not know itself. It is started anew with that;
    /// returns when `/readyz` says yes. It keeps a good answer for ten seconds: that is its own, and cannot be turned off.
    pub async fn ask_about_tokens(&self, webhook: &str) -> Result<(), Error> {
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: tokens\n\
             clusters:\n- name: tokens\n  cluster: {{server: \"{webhook}\"}}\n\
             users:\n- name: tokens\n  user: {{}}\n\
             contexts:\n- name: tokens\n  context: {{cluster: tokens, user: tokens}}\n"
        );
        let file = self.write("tokens.kubeconfig", &kubeconfig)?;
        {
            let mut parts = self.parts.lock();
            let running = parts.get_mut(&Part::ApiServer).ok_or_else(|| self.lacks(Part::ApiServer))?;
            running.command.arg(format!("--authentication-token-webhook-config-file={}", file.display()));
            running.command.args([
                "--authentication-token-webhook-version=v1",
                "--authentication-token-webhook-cache-ttl=0",
            ]);
        }
        self.start_apiserver().await
    }
}
