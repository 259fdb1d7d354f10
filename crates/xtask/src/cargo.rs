//! Cargo, called from a program that cargo runs.
//!
//! Purpose: the same cargo, as if called by hand. Owns no state. It must never pass on what cargo told us about our own
//! package: build scripts watch those variables, and half of the dependencies would be built anew.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What `cargo run` sets for the program that it runs.
const ABOUT_US: [&str; 7] = [
    "CARGO_BIN_",
    "CARGO_CRATE_NAME",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PRIMARY_PACKAGE",
    "CARGO_TARGET_TMPDIR",
    "LD_LIBRARY_PATH",
];

/// The folder of the workspace.
pub(crate) fn workspace() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own).to_path_buf()
}

/// `cargo` in the folder of the workspace.
pub(crate) fn command() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace());
    forget_us(&mut command);
    command
}

/// Takes away what `cargo run` says of us.
pub(crate) fn forget_us(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if ABOUT_US.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name.as_ref());
        }
    }
}
