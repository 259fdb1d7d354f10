//! `cargo xtask <command>`: how people and CI run everything that is not a plain cargo command.
//!
//! Purpose: parse the command line and hand over to one module per command. Owns no state. It must never hold logic
//! that tests need too: that belongs in `spark-router-testkit`.

mod binary;
mod cargo;
mod chaos;
mod crds;
mod demo;
mod format;
mod test;
mod tools;

use clap::{Parser, Subcommand};

/// Build, test and show spark-router.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// One variant per command; each has its own module.
#[derive(Debug, Subcommand)]
enum Command {
    /// Build the control planes, the Spark operator and KWOK into the cache (about 10 minutes, once)
    Tools(tools::Arguments),
    /// Write crds/ from the types, or check that it is up to date
    Crds(crds::Arguments),
    /// Show the router at work: a hub, three members and twenty jobs on this machine (about a minute once all is built)
    Demo(demo::Arguments),
    /// Break a running router in every way for some minutes, and count lost and doubled jobs by the audit logs
    Chaos(chaos::Arguments),
    /// Run the whole test suite, as CI does
    Test(test::Arguments),
}

/// What can go wrong in any command, as the user reads it.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// Building or running the programs under test failed.
    #[error(transparent)]
    Testkit(#[from] spark_router_testkit::Error),
    /// `crds/` could not be written or is out of date.
    #[error(transparent)]
    Crds(#[from] crds::Error),
    /// The demo could not be shown or did not end as it should.
    #[error(transparent)]
    Demo(#[from] demo::Error),
    /// The chaos could not be had, or jobs did not survive it.
    #[error(transparent)]
    Chaos(#[from] chaos::Error),
    /// A check of the suite failed.
    #[error(transparent)]
    Test(#[from] test::Error),
}

fn main() -> std::process::ExitCode {
    let result = match Arguments::parse().command {
        Command::Tools(arguments) => tools::run(&arguments),
        Command::Crds(arguments) => crds::run(&arguments).map_err(Error::from),
        Command::Demo(arguments) => demo::run(&arguments).map_err(Error::from),
        Command::Chaos(arguments) => chaos::run(&arguments).map_err(Error::from),
        Command::Test(arguments) => test::run(&arguments).map_err(Error::from),
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", spark_router_testkit::chain(&error));
            std::process::ExitCode::FAILURE
        }
    }
}
