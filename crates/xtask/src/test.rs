//! `cargo xtask test`: the whole suite, as CI runs it.
//!
//! Purpose: run every check, each with a title and its seconds, and sum up. Owns no state. It must never pass because
//! something was left out: what is skipped is said, and a failed step fails the whole.

mod files;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use spark_router_testkit::chain;

use crate::{cargo, crds, tools};

/// Tests at once in one file. Those that start control planes take up to 2 GB each: more than two would only be slower
/// on a small machine. `RUST_TEST_THREADS` wins.
const THREADS: &str = "2";

/// Arguments of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Leave out the tests that start control planes (minutes)
    #[arg(long)]
    fast: bool,
}

/// Steps failed.
#[derive(Debug, thiserror::Error)]
#[error("failed: {}", .0.join(", "))]
pub(crate) struct Error(Vec<String>);

/// What a step does.
enum Work {
    /// A cargo command with arguments and environment.
    Cargo(&'static [&'static str], &'static [(&'static str, &'static str)]),
    /// `cargo xtask crds --check`.
    Crds,
    /// `cargo xtask tools`.
    Tools,
    /// The files that start control planes.
    Files,
}

/// One check.
struct Step {
    title: &'static str,
    work: Work,
    /// Whether it needs the control planes.
    slow: bool,
}

const STEPS: [Step; 8] = [
    Step { title: "formatting", work: Work::Cargo(&["fmt", "--all", "--check"], &[]), slow: false },
    Step {
        title: "clippy",
        work: Work::Cargo(
            &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
            &[],
        ),
        slow: false,
    },
    Step {
        title: "docs",
        work: Work::Cargo(
            &["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"],
            &[("RUSTDOCFLAGS", "-D warnings")],
        ),
        slow: false,
    },
    Step { title: "crds", work: Work::Crds, slow: false },
    Step {
        title: "unit tests",
        work: Work::Cargo(&["test", "--workspace", "--lib", "--bins", "--locked", "--no-fail-fast"], &[]),
        slow: false,
    },
    Step {
        title: "doc tests",
        work: Work::Cargo(&["test", "--workspace", "--doc", "--locked", "--no-fail-fast"], &[]),
        slow: false,
    },
    Step { title: "control planes", work: Work::Tools, slow: true },
    Step { title: "tests on real control planes", work: Work::Files, slow: true },
];

/// Runs all steps, also after one has failed, and prints a table of them.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Error> {
    let mut table = String::new();
    let mut failed = Vec::new();
    let started = Instant::now();
    for step in &STEPS {
        let (verdict, took) = if arguments.fast && step.slow {
            ("left out (--fast)", Duration::ZERO)
        } else {
            eprintln!("\n==== {} ====", step.title);
            let began = Instant::now();
            let result = step.work.run();
            let (verdict, took) = (if result.is_ok() { "passed" } else { "FAILED" }, began.elapsed());
            if let Err(error) = result {
                eprintln!("error: {}", chain(error.as_ref()));
            }
            eprintln!("==== {}: {verdict} after {:.1} s ====", step.title, took.as_secs_f64());
            (verdict, took)
        };
        if verdict == "FAILED" {
            failed.push(step.title.to_owned());
        }
        // Writing to a String never fails.
        let _ = writeln!(table, "{:<30} {:>8.1} s  {verdict}", step.title, took.as_secs_f64());
    }
    println!("\n{table}{:<30} {:>8.1} s", "all", started.elapsed().as_secs_f64());
    if failed.is_empty() { Ok(()) } else { Err(Error(failed)) }
}

impl Work {
    /// Does it, with its output on ours.
    fn run(&self) -> Result<(), Box<dyn std::error::Error>> {
        match self {
            Self::Cargo(arguments, environment) => {
                let mut command = cargo::command();
                command.args(*arguments).envs(environment.iter().copied());
                if std::env::var_os("RUST_TEST_THREADS").is_none() {
                    command.env("RUST_TEST_THREADS", THREADS);
                }
                let status = command.status()?;
                let said = || format!("cargo {} ended with {status}", arguments.join(" "));
                status.success().then_some(()).ok_or_else(|| said().into())
            }
            Self::Crds => Ok(crds::run(&crds::Arguments::checking())?),
            Self::Tools => Ok(tools::build()?),
            Self::Files => Ok(files::run()?),
        }
    }
}
