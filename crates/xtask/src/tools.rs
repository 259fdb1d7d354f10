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

/// Builds what is missing, of the batch schedulers too, installs moto, and prints the folder of the control planes' binaries on stdout.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Error> {
    use spark_router_testkit::tools;
    let folder = tools::folder(tools::Set::ControlPlanes)?;
    if !arguments.path {
        build()?;
    }
    println!("{}", folder.display());
    Ok(())
}

/// Builds what is missing of everything that tests run.
pub(crate) fn build() -> Result<(), Error> {
    use spark_router_testkit::tools;
    for set in tools::Set::ALL {
        tools::ensure_set(set, &|line| eprintln!("{line}"))?;
    }
    spark_router_testkit::moto::ensure(&|line| eprintln!("{line}"))?;
    Ok(())
}
