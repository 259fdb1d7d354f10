//! `cargo xtask tools`: builds the programs that tests and the demo run against.
//!
//! Purpose: print what [`spark_router_testkit::tools::ensure`] does. Owns no state. It must never build anything by
//! itself: tests call the same library function.

use crate::Error;

/// Arguments of `cargo xtask tools`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print the folder on stdout and build nothing
    #[arg(long)]
    path: bool,
}

/// Builds what is missing and prints the folder of the binaries on stdout.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Error> {
    use spark_router_testkit::tools;
    let folder = if arguments.path {
        tools::folder()?
    } else {
        tools::ensure(&|line| eprintln!("{line}"))?.folder().to_path_buf()
    };
    println!("{}", folder.display());
    Ok(())
}
