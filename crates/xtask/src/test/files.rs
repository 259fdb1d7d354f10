//! The test files that start control planes: which there are, which run alone, and running them.
//!
//! Purpose: much of such a test is waiting, so three files run at once, each with one set of control planes; those that
//! measure time, or fill the machine by themselves, have it to themselves. Owns no state. It must never leave out a
//! file: whatever cargo builds as an integration test is run.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use super::THREADS;
use crate::cargo;

/// Files with the machine to themselves, by package and name, and why.
const ALONE: [(&str, &str, &str); 21] = [
    ("spark-router", "black_hole", "measures how late jobs are"),
    ("spark-router", "calls", "counts calls, which a slow machine changes"),
    ("spark-router", "chaos", "breaks things in time"),
    ("spark-router", "chaos_mixed", "breaks things in time"),
    ("spark-router", "crash", "cuts at stated moments"),
    ("spark-router", "leader", "measures how soon another router takes over"),
    ("spark-router", "mixed", "compares shares, and measures jobs a second"),
    ("spark-router", "routing", "compares shares, which a member that answers late changes"),
    ("spark-router", "spark_killed", "runs real Spark"),
    ("spark-router", "suspect", "is about members that answer late"),
    ("spark-router", "yunikorn", "YuniKorn has one port"),
    ("spark-router-member", "signals", "measures how fast signals are seen"),
    ("spark-router-member", "signals_yunikorn", "YuniKorn has one port"),
    ("spark-router-model", "protocol", "fills every core"),
    ("spark-router-testkit", "batch_schedulers", "YuniKorn has one port"),
    ("spark-router-testkit", "fault", "measures delays"),
    ("spark-router-testkit", "operator", "measures jobs a second"),
    ("spark-router-testkit", "spark", "runs real Spark"),
    ("xtask", "demo", "compares shares"),
    ("xtask", "demo_mixed", "compares shares"),
    ("xtask", "spark", "runs real Spark"),
];

/// Files at once. A set of control planes takes up to 2 GB; a test that waits takes a third of a core.
const AT_ONCE: usize = 3;

/// Why the tests did not pass.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Cargo or a test could not be started, or its output not be kept.
    #[error("running {what}")]
    Run {
        /// What was run.
        what: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Cargo did not build the tests; it has said why.
    #[error("the tests do not build")]
    Build,
    /// Cargo printed a line that is no message of its own.
    #[error("cargo printed {line:?}")]
    Message {
        /// The line.
        line: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A file that should run alone is none that was built.
    #[error("{0} is listed as running alone, and there is no such test")]
    Unknown(String),
    /// Tests failed.
    #[error("failed: {}", .0.join(", "))]
    Failed(Vec<String>),
}

/// One built test file.
#[derive(Debug)]
struct TestFile {
    /// `package::file`.
    name: String,
    executable: PathBuf,
    /// The folder of its package, where cargo would run it.
    folder: PathBuf,
    alone: bool,
}

/// How a file ended.
struct Ended {
    name: String,
    passed: bool,
    seconds: f64,
}

/// Builds all test files and runs them, also after one has failed.
///
/// # Errors
/// [`Error::Failed`] names the files that failed; the others say why nothing was run.
pub(crate) fn run() -> Result<(), Error> {
    let (alone, shared): (Vec<_>, Vec<_>) = build()?.into_iter().partition(|file| file.alone);
    let all = alone.len() + shared.len();
    eprintln!("{all} files: {} by themselves, {} of them {AT_ONCE} at a time", alone.len(), shared.len());
    let ended = Mutex::new(Vec::new());
    let note = |result: Ended| {
        let mut ended = lock(&ended);
        ended.push(result);
        let Some(Ended { name, passed, seconds }) = ended.last() else { return };
        let verdict = if *passed { "passed" } else { "FAILED" };
        eprintln!("---- {}/{all} {name}: {verdict} after {seconds:.1} s ----", ended.len());
    };
    let mut failure = None;
    for file in &alone {
        eprintln!("---- {} ----", file.name);
        note(file.run()?);
    }
    let queue = Mutex::new(VecDeque::from(shared));
    let printing = Mutex::new(());
    thread::scope(|scope| {
        let worker = || -> Result<(), Error> {
            loop {
                let Some(file) = lock(&queue).pop_front() else { return Ok(()) };
                let (result, output) = file.run_quietly()?;
                let _turn = lock(&printing);
                eprintln!("---- {} ----", file.name);
                eprint!("{output}");
                note(result);
            }
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            match worker.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => failure = Some(error),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    if let Some(error) = failure {
        return Err(error);
    }
    let mut ended = ended.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    ended.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    for Ended { name, passed, seconds } in &ended {
        eprintln!("{name:<40} {seconds:>8.1} s  {}", if *passed { "passed" } else { "FAILED" });
    }
    let failed: Vec<_> = ended.into_iter().filter(|file| !file.passed).map(|file| file.name).collect();
    if failed.is_empty() { Ok(()) } else { Err(Error::Failed(failed)) }
}

/// A lock whose holder panicked is still good: what it guards is written in one step.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Builds every integration test of the workspace.
fn build() -> Result<Vec<TestFile>, Error> {
    let arguments = ["test", "--workspace", "--test", "*", "--locked", "--no-run"];
    let what = format!("cargo {}", arguments.join(" "));
    let failed = |source| Error::Run { what: what.clone(), source };
    let mut cargo = cargo::command()
        .args(arguments)
        .arg("--message-format=json-render-diagnostics")
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut files = Vec::new();
    for line in cargo.stdout.take().map(BufReader::new).into_iter().flat_map(BufReader::lines) {
        files.extend(test_file(&line.map_err(failed)?)?);
    }
    if !cargo.wait().map_err(failed)?.success() {
        return Err(Error::Build);
    }
    for (package, file, _) in ALONE {
        let name = format!("{package}::{file}");
        if !files.iter().any(|file| file.name == name) {
            return Err(Error::Unknown(name));
        }
    }
    Ok(files)
}

/// The test file that a message of cargo tells of, if it does.
fn test_file(line: &str) -> Result<Option<TestFile>, Error> {
    #[derive(serde::Deserialize)]
    struct Message {
        reason: String,
        manifest_path: Option<PathBuf>,
        package_id: Option<String>,
        target: Option<Target>,
        executable: Option<PathBuf>,
    }
    #[derive(serde::Deserialize)]
    struct Target {
        kind: Vec<String>,
        name: String,
    }
    let message: Message =
        serde_json::from_str(line).map_err(|source| Error::Message { line: line.to_owned(), source })?;
    let Message {
        reason,
        manifest_path: Some(manifest),
        package_id: Some(package),
        target: Some(target),
        executable: Some(executable),
    } = message
    else {
        return Ok(None);
    };
    if reason != "compiler-artifact" || target.kind != ["test"] {
        return Ok(None);
    }
    // `path+file:///…/crates/member#spark-router-member@0.1.0`, or `…/crates/xtask#0.1.0` where folder and package have
    // one name.
    let folder = manifest.parent().unwrap_or(Path::new("/")).to_path_buf();
    let package = match package.rsplit_once('#').map(|(_, id)| id.split_once('@')) {
        Some(Some((name, _))) => name.to_owned(),
        _ => folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let alone = ALONE.iter().any(|(of, file, _)| *of == package && *file == target.name);
    Ok(Some(TestFile { name: format!("{package}::{}", target.name), executable, folder, alone }))
}

impl TestFile {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.executable);
        cargo::forget_us(&mut command);
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder);
        if std::env::var_os("RUST_TEST_THREADS").is_none() {
            command.env("RUST_TEST_THREADS", THREADS);
        }
        command
    }

    /// With its output on ours.
    fn run(&self) -> Result<Ended, Error> {
        let began = Instant::now();
        let status = self.command().status().map_err(|source| self.failure(source))?;
        Ok(self.ended(status.success(), began))
    }

    /// With its output kept, for two of them would mix theirs; it never runs two tests at once.
    fn run_quietly(&self) -> Result<(Ended, String), Error> {
        let failed = |source| self.failure(source);
        let began = Instant::now();
        let mut kept = tempfile::tempfile().map_err(failed)?;
        let both = [kept.try_clone().map_err(failed)?, kept.try_clone().map_err(failed)?];
        let [out, err] = both.map(Stdio::from);
        let status =
            self.command().env("RUST_TEST_THREADS", "1").stdout(out).stderr(err).status().map_err(failed)?;
        let mut bytes = Vec::new();
        kept.rewind().and_then(|()| kept.read_to_end(&mut bytes)).map_err(failed)?;
        Ok((self.ended(status.success(), began), String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn ended(&self, passed: bool, began: Instant) -> Ended {
        Ended { name: self.name.clone(), passed, seconds: began.elapsed().as_secs_f64() }
    }

    fn failure(&self, source: std::io::Error) -> Error {
        Error::Run { what: self.name.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_says_of_a_test_file_is_read() {
        let said = |package: &str, kind: &str| {
            let line = serde_json::json!({
                "reason": "compiler-artifact", "package_id": package, "manifest_path": "/w/crates/xtask/Cargo.toml",
                "target": {"kind": [kind], "name": "demo"}, "executable": "/w/target/demo-1", "fresh": true,
            });
            test_file(&line.to_string()).ok().flatten().map(|file| (file.name, file.alone))
        };
        let demo = Some(("xtask::demo".to_owned(), true));
        assert_eq!(said("path+file:///w/crates/xtask#0.1.0", "test"), demo);
        assert_eq!(said("path+file:///w/crates/x#xtask@0.1.0", "test"), demo);
        let other = Some(("spark-router-api::demo".to_owned(), false));
        assert_eq!(said("path+file:///w/crates/api#spark-router-api@0.1.0", "test"), other);
        assert_eq!(said("path+file:///w/crates/xtask#0.1.0", "bin"), None);
    }

    #[test]
    fn other_messages_are_none_and_other_lines_are_named() {
        assert!(matches!(test_file(r#"{"reason":"build-finished","success":true}"#), Ok(None)));
        let error = test_file("warning: no").err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some(r#"cargo printed "warning: no""#));
    }
}
