//! The demo as a user runs it, and what a user with kubectl sees of it.
//!
//! Purpose: start it, read its one line of JSON, look around while it is kept, end it with Ctrl-C. Owns the process, which
//! ends with the test, whatever happens. It must never look where a user could not.

use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use spark_router_testkit::tools;

/// With all programs to build first on a slow machine.
const PATIENCE: Duration = Duration::from_mins(40);

/// A demo that runs, or is kept after its end.
pub(crate) struct Demo {
    child: Child,
    said: Receiver<String>,
    progress: Receiver<String>,
}

impl Demo {
    /// Starts `cargo xtask demo --format json --keep` with more arguments.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(["demo", "--format", "json", "--keep"]).args(arguments);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = lines(child.stdout.take().unwrap(), "stdout");
        let progress = lines(child.stderr.take().unwrap(), "stderr");
        Self { child, said, progress }
    }

    /// What it prints on stdout when all jobs have ended.
    pub(crate) fn report(&self) -> Value {
        let report = self.said.recv_timeout(PATIENCE).expect("the report, or its error above");
        serde_json::from_str(&report).expect("one JSON object")
    }

    /// kubectl with what it then invites to paste.
    pub(crate) fn kubectl(&self) -> Kubectl {
        let exported = |variable: &str| loop {
            let line = self.progress.recv_timeout(Duration::from_mins(1)).expect("what to paste");
            let value = line.trim().strip_prefix("export ").and_then(|it| it.strip_prefix(variable));
            if let Some(value) = value.and_then(|it| it.strip_prefix('=')) {
                break value.split("   #").next().unwrap_or_default().to_owned();
            }
        };
        let program = tools::find().unwrap().program("kubectl");
        Kubectl { program, kubeconfig: exported("KUBECONFIG"), cache: exported("KUBECACHEDIR") }
    }

    /// Ctrl-C: it ends well and leaves neither process nor folder.
    pub(crate) fn end(mut self, kubectl: &Kubectl) {
        let folder = kubectl.folder();
        assert!(folder.is_dir());
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
        assert!(self.said.iter().next().is_none(), "stdout has one line only");
        assert!(!folder.exists(), "{} is left", folder.display());
        let left = processes_with(&folder.to_string_lossy());
        assert!(left.is_empty(), "{left:?}");
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// kubectl for all clusters of a demo.
pub(crate) struct Kubectl {
    program: PathBuf,
    kubeconfig: String,
    cache: String,
}

impl Kubectl {
    /// What it prints for these words on one of the clusters.
    pub(crate) fn run(&self, cluster: &str, words: &[&str]) -> String {
        let mut command = Command::new(&self.program);
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", &self.cache)
            .args(["--context", cluster])
            .args(words);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The items of `kubectl get <what> -o json` on one of the clusters.
    pub(crate) fn get(&self, cluster: &str, what: &[&str]) -> Vec<Value> {
        let words = [&["get", "-o", "json"], what].concat();
        let answer: Value = serde_json::from_str(&self.run(cluster, &words)).unwrap();
        answer["items"].as_array().expect("a list").clone()
    }

    /// The folder of the demo: its first kubeconfig is in a folder of its cluster there.
    fn folder(&self) -> PathBuf {
        let first = self.kubeconfig.split(':').next().unwrap();
        Path::new(first).ancestors().nth(2).unwrap().to_path_buf()
    }
}

/// A text of an object, empty where there is none.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The lines of a pipe as they come; each is also printed.
fn lines(pipe: impl Read + Send + 'static, name: &'static str) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            eprintln!("{name}: {line}");
            let _ = sender.send(line);
        }
    });
    receiver
}

/// Processes whose command line has `needle`, other than this one.
fn processes_with(needle: &str) -> Vec<String> {
    let own = std::process::id().to_string();
    let all =
        std::fs::read_dir("/proc").unwrap().map_while(Result::ok).filter(|entry| *entry.file_name() != *own);
    let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(needle)).collect()
}
