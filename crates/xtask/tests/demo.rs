//! Runs the demo as a user does and does not believe it: every number of its JSON is counted again with kubectl.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at what it did not expect")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use spark_router_testkit::tools;

/// With all programs to build first on a slow machine.
const PATIENCE: Duration = Duration::from_mins(40);

const MEMBERS: [&str; 3] = ["alpha", "beta", "gamma"];

/// The demo; it ends with the test, whatever happens.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
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

struct Kubectl {
    program: PathBuf,
    kubeconfig: String,
}

impl Kubectl {
    /// The items of `kubectl get <what> -o json` on one of the clusters.
    fn get(&self, cluster: &str, what: &[&str]) -> Vec<Value> {
        let output = Command::new(&self.program)
            .env("KUBECONFIG", &self.kubeconfig)
            .args(["--context", cluster, "get", "-o", "json"])
            .args(what)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        answer["items"].as_array().expect("a list").clone()
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// What must be true of each job, by name: phase, and a word of reason, message or error.
fn end_of(name: &str) -> (&'static str, &'static str) {
    match name {
        "fails" => ("Failed", "ValueError"),
        "rejected" => ("Failed", "should be greater than or equal to 1"),
        "never-fits" => ("Queued", "NeverFits"),
        _ => ("Succeeded", ""),
    }
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

#[test]
fn the_demo_tells_the_truth_and_leaves_nothing() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_xtask"));
    demo.args(["demo", "--format", "json", "--keep"]).stdin(Stdio::null());
    let mut demo = Demo(demo.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let said = lines(demo.0.stdout.take().unwrap(), "stdout");
    let progress = lines(demo.0.stderr.take().unwrap(), "stderr");
    let report = said.recv_timeout(PATIENCE).expect("the report, or its error above");
    let report: Value = serde_json::from_str(&report).expect("one JSON object");

    let kubeconfig = loop {
        let line = progress.recv_timeout(Duration::from_mins(1)).expect("what to paste");
        if let Some(paths) = line.trim().strip_prefix("export KUBECONFIG=") {
            break paths.to_owned();
        }
    };
    let first = kubeconfig.split(':').next().unwrap();
    let folder = Path::new(first).ancestors().nth(2).unwrap().to_path_buf();
    assert!(folder.is_dir());
    let kubectl = Kubectl { program: tools::find().unwrap().program("kubectl"), kubeconfig };

    // The jobs, as any user sees them.
    let jobs = kubectl.get("hub", &["routedsparkjobs", "-n", "demo"]);
    assert_eq!(jobs.len(), 20);
    let mut phases: BTreeMap<&str, usize> = BTreeMap::new();
    let mut as_stated = true;
    for job in &jobs {
        let (name, phase) = (text(job, "/metadata/name"), text(job, "/status/phase"));
        *phases.entry(phase).or_default() += 1;
        let (wanted, word) = end_of(name);
        let status = job["status"].to_string();
        if phase != wanted || !status.contains(word) {
            eprintln!("{name} is not {wanted} with {word:?}: {status}");
            as_stated = false;
        }
    }
    assert_eq!(report["jobs"], json!(phases));
    let retried = jobs.iter().find(|job| text(job, "/metadata/name") == "retried").unwrap();
    assert_eq!(retried.pointer("/status/application/attempts"), Some(&json!(2)));

    // What members hold, as their administrators see it.
    let uids: BTreeSet<&str> = jobs.iter().map(|job| text(job, "/metadata/uid")).collect();
    let mut placements: BTreeMap<&str, usize> = BTreeMap::new();
    let mut per_job: BTreeMap<String, usize> = BTreeMap::new();
    for member in MEMBERS {
        let applications = kubectl.get(member, &["sparkapplications", "--all-namespaces"]);
        placements.insert(member, applications.len());
        for application in &applications {
            let job = application["metadata"]["labels"]["sparkrouter.dev/job-uid"].as_str().unwrap();
            assert!(uids.contains(job), "{application:#}");
            *per_job.entry(job.to_owned()).or_default() += 1;
        }
    }
    assert_eq!(report["placements"], json!(placements));
    let created: usize = per_job.values().sum();
    let most = per_job.values().max().copied().unwrap_or_default();
    let remote = json!({"jobs": per_job.len(), "created": created, "maxPerJob": most});
    assert_eq!(report["remoteApplications"], remote);

    // The weights: 17 jobs that all members could take, and the big one that only alpha and beta could.
    let queues = kubectl.get("hub", &["sparkqueues"]);
    let routes = queues[0]["spec"]["routes"].as_array().unwrap();
    let weight = |member: &str| {
        let route = routes.iter().find(|route| route["clusters"]["names"][0] == member).unwrap();
        route["weight"].as_f64().unwrap()
    };
    let mut fair = true;
    for (member, big) in [("alpha", 50.0 / 80.0), ("beta", 30.0 / 80.0), ("gamma", 0.0)] {
        let expected = 17.0 * weight(member) / 100.0 + big;
        let reported = report["expected"][member].as_f64().unwrap();
        assert!((reported - expected).abs() < 0.01, "{member}: {reported} instead of {expected}");
        let placed = f64::from(u32::try_from(placements[member]).unwrap());
        fair &= (placed - expected).abs() <= 1.0;
    }
    let once = per_job.len() == 18 && created == 18 && most == 1;
    assert_eq!(report["ok"], json!(as_stated && fair && once));
    assert_eq!(report["ok"], json!(true));
    let calls = report["apiCallsPerJob"].as_f64().unwrap();
    assert!(calls > 3.0 && calls <= 12.0, "{calls} API calls a job");
    assert!(report["seconds"].as_f64().unwrap() > 1.0);
    let keys: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys.iter().copied().collect::<BTreeSet<_>>(),
        BTreeSet::from([
            "apiCallsPerJob",
            "expected",
            "jobs",
            "ok",
            "placements",
            "remoteApplications",
            "seconds"
        ])
    );

    // Ctrl-C.
    let pid = demo.0.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
    let status = demo.0.wait().unwrap();
    assert!(status.success(), "{status}");
    assert!(said.iter().next().is_none(), "stdout has one line only");
    assert!(!folder.exists(), "{} is left", folder.display());
    let left = processes_with(&folder.to_string_lossy());
    assert!(left.is_empty(), "{left:?}");
}
