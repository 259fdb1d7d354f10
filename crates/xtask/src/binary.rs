//! The router's binary, built from this workspace.
//!
//! Purpose: ask cargo for it. Owns no state. It must never guess where cargo puts it: target folders can be anywhere.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;

use crate::cargo;

/// Why there is no binary.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Cargo could not be run.
    #[error("can't run cargo")]
    Run(#[source] std::io::Error),
    /// The router does not build.
    #[error("`cargo build --bin spark-router` failed; its messages are above")]
    Build,
}

/// Builds `spark-router` if it is not up to date and returns its path. Cargo's own progress goes to stderr.
pub(crate) async fn build() -> Result<PathBuf, Error> {
    let mut command = tokio::process::Command::from(cargo::command());
    // With the workspace's features, as `cargo test --workspace` builds it too: otherwise half of the dependencies would be
    // built once more.
    command.args([
        "build",
        "--workspace",
        "--bin",
        "spark-router",
        "--message-format=json-render-diagnostics",
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    // `output()` would swallow stderr.
    let output = command.spawn().map_err(Error::Run)?.wait_with_output().await.map_err(Error::Run)?;
    if !output.status.success() {
        return Err(Error::Build);
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    messages.lines().find_map(executable).ok_or(Error::Build)
}

/// One line of cargo's messages, as far as it is of interest.
#[derive(Deserialize)]
struct Message {
    target: Target,
    executable: PathBuf,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

fn executable(line: &str) -> Option<PathBuf> {
    let message: Message = serde_json::from_str(line).ok()?;
    let found = message.target.name == "spark-router" && Path::new(&message.executable).is_file();
    found.then_some(message.executable)
}
