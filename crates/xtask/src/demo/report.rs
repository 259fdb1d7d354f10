//! What came of the jobs, and whether that is right.
//!
//! Purpose: read it back from the API servers and the audit logs and judge it. Owns no state. It must never take the
//! router's own account (queue status, metrics, log) for a fact.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kube::api::{Api, ListParams};
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use spark_router_api::{MemberCluster, RoutedSparkJob, SparkQueue};
use spark_router_testkit::Cluster;
use spark_router_testkit::router::jobs;
use spark_router_testkit::router::oracle::{Purpose, RouterCalls};

use super::Error;
use super::cast::{Player, QUEUE_NAME};
use super::evidence::Evidence;
use super::stage::{NAMESPACE, Stage};

/// The object that `--format json` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// Jobs by phase, from the hub.
    jobs: BTreeMap<String, usize>,
    /// Jobs by the member that created their application, from the members' audit logs; or by the virtual cluster that
    /// holds their job run.
    placements: BTreeMap<String, usize>,
    /// How many of those jobs the weights entitle each member to.
    expected: BTreeMap<String, f64>,
    /// Applications and job runs that members have ever created for jobs, by the same witnesses.
    remote_applications: Remote,
    /// The router's calls for the lives of the jobs, on hub and members, divided by the number of jobs. Without events,
    /// writes of executor counts alone, and what goes on without jobs too (watches, probes, status of members, walks over
    /// all job runs). Of AWS the calls for one run count: StartJobRun, DescribeJobRun, CancelJobRun, ListJobRuns by name.
    api_calls_per_job: f64,
    /// From `kubectl apply` to the end of the last job.
    seconds: f64,
    /// Whether every job ended as stated, every member's placements are within one job of its weight, and there was
    /// exactly one remote application for each placed job.
    ok: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Remote {
    jobs: usize,
    created: usize,
    max_per_job: usize,
}

/// A report, what is wrong, and what is not in the object.
#[derive(Debug)]
pub(super) struct Findings {
    /// The jobs as they ended, from the hub.
    pub(super) jobs: Vec<RoutedSparkJob>,
    /// The object.
    pub(super) report: Report,
    /// Everything that keeps it from being ok.
    pub(super) objections: Vec<String>,
    weights: BTreeMap<String, u32>,
    passed_over: BTreeMap<String, usize>,
    calls: RouterCalls,
}

impl Findings {
    /// Reads the hub and judges it by the evidence.
    pub(super) async fn read(
        stage: &Stage,
        players: &[Player],
        evidence: Evidence,
        seconds: f64,
    ) -> Result<Self, Error> {
        let Evidence { remote, calls } = evidence;
        let hub = stage.fleet.hub();
        let jobs: Vec<RoutedSparkJob> = list(hub, Some(NAMESPACE), "the jobs").await?;
        let queues: Vec<SparkQueue> = list(hub, None, "the queues").await?;
        let members: Vec<MemberCluster> = list(hub, None, "the members").await?;
        let weights = weights(&queues);

        let mut objections = objections(players, &jobs);
        let mut placements: BTreeMap<String, usize> = weights.keys().map(|name| (name.clone(), 0)).collect();
        let mut expected: BTreeMap<String, f64> = weights.keys().map(|name| (name.clone(), 0.0)).collect();
        let mut passed_over: BTreeMap<String, usize> = BTreeMap::new();
        for job in &jobs {
            let Some(application) = remote.of(&job.uid().unwrap_or_default()).next() else { continue };
            *placements.entry(application.cluster.clone()).or_default() += 1;
            if application.cluster != jobs::cluster(job) {
                objections.push(format!(
                    "its application is on {}, but {}",
                    application.cluster,
                    jobs::describe(job)
                ));
            }
            let candidates = candidates(job, &weights, &members);
            for member in candidates.passed_over {
                *passed_over.entry(member).or_default() += 1;
            }
            for (member, share) in shares(&candidates.weights) {
                *expected.entry(member).or_default() += share;
            }
        }
        for (member, share) in &expected {
            let placed = placements.get(member).copied().unwrap_or_default();
            let off = float(placed) - share;
            if off.abs() > 1.0 {
                objections.push(format!("{member} got {placed} jobs, but its weight is worth {share:.2}"));
            }
        }
        let remote_applications =
            Remote { jobs: remote.jobs(), created: remote.created(), max_per_job: remote.max_per_job() };
        let placed: usize = placements.values().sum();
        for (member, times) in passed_over.iter().filter(|(_, times)| **times * 2 > placed) {
            objections.push(format!(
                "{member} did not count for {times} of {placed} jobs: it was not Ready, or full"
            ));
        }
        if remote_applications != (Remote { jobs: placed, created: placed, max_per_job: 1 }) {
            objections.push(format!(
                "{placed} jobs have applications, but members created {remote_applications:?}"
            ));
        }
        let mut phases: BTreeMap<String, usize> = BTreeMap::new();
        for job in &jobs {
            *phases.entry(jobs::phase(job).to_owned()).or_default() += 1;
        }
        let report = Report {
            jobs: phases,
            placements,
            expected: expected.into_iter().map(|(member, share)| (member, rounded(share))).collect(),
            remote_applications,
            api_calls_per_job: rounded(calls.per_job(jobs.len())),
            seconds: rounded(seconds),
            ok: objections.is_empty(),
        };
        Ok(Self { jobs, report, objections, weights, passed_over, calls })
    }

    /// Adds what else is wrong: with anything, the run is not ok.
    pub(super) fn object(&mut self, objections: Vec<String>) {
        self.objections.extend(objections);
        self.report.ok = self.objections.is_empty();
    }

    /// The share of each member, and what there is beside it, for people.
    pub(super) fn text(&self) -> String {
        let Report { placements, expected, remote_applications: remote, api_calls_per_job, seconds, .. } =
            &self.report;
        let mut text = String::from("MEMBER     WEIGHT   PLACED   EXPECTED\n");
        for (member, weight) in &self.weights {
            let placed = placements.get(member).copied().unwrap_or_default();
            let share = expected.get(member).copied().unwrap_or_default();
            // Writing to a String never fails.
            let _ = writeln!(text, "{member:<10} {weight:>6} {placed:>8} {share:>10.2}");
        }
        for (member, times) in &self.passed_over {
            let _ =
                writeln!(text, "{member} was no candidate for {times} of them: it was not Ready, or full");
        }
        let Remote { jobs, created, max_per_job } = remote;
        let (events, counts) = (self.calls.total(Purpose::Event), self.calls.total(Purpose::ExecutorCounts));
        let _ = write!(
            text,
            "\n{created} remote applications for {jobs} placed jobs, at most {max_per_job} a job\n\
             {api_calls_per_job:.1} API calls a job, without {events} events and {counts} writes of executor counts\n\
             {seconds:.1} s from the first job to the end of the last"
        );
        text
    }

    /// The calls in detail.
    pub(super) fn calls(&self) -> impl Iterator<Item = String> {
        self.calls.lines()
    }

    /// The calls to one member that are for jobs (or are not), by kind and number.
    pub(super) fn calls_to(&self, member: &str, for_jobs: bool) -> String {
        let these = self.calls.to(member).filter(|(purpose, ..)| (*purpose == Purpose::Job) == for_jobs);
        let these: Vec<_> = these.map(|(_, kind, count)| format!("{count} {kind}")).collect();
        if these.is_empty() { "none".to_owned() } else { these.join(", ") }
    }
}

fn objections(players: &[Player], jobs: &[RoutedSparkJob]) -> Vec<String> {
    let found = |player: &Player| jobs.iter().find(|job| job.name_any() == player.name);
    let ends = players.iter().filter_map(|player| match found(player) {
        Some(job) => player.end.objection(job),
        None => Some(format!("the job {} is gone", player.name)),
    });
    let mut objections: Vec<_> = ends.collect();
    if jobs.len() != players.len() {
        objections.push(format!("there are {} jobs instead of {}", jobs.len(), players.len()));
    }
    objections
}

/// The weight of each member, from the queue's own spec.
fn weights(queues: &[SparkQueue]) -> BTreeMap<String, u32> {
    let routes =
        queues.iter().filter(|queue| queue.name_any() == QUEUE_NAME).flat_map(|queue| &queue.spec.routes);
    let named = routes
        .flat_map(|route| route.clusters.names.iter().flatten().map(|name| (name.clone(), route.weight)));
    named.collect()
}

/// The members that could take a job.
struct Candidates {
    /// Their weights.
    weights: BTreeMap<String, u32>,
    /// Members that fit, but were not Ready (or full) when the job was placed.
    passed_over: Vec<String>,
}

/// Who could take a job, by what the user wrote (queue, declared cpu, `clusterNames`), less those that were not Ready when
/// it was placed. The latter is from the job's record, because nothing else knows it afterwards. It is none on a machine
/// that is not overloaded, it is said, and it is an objection where it concerns most of the jobs.
fn candidates(
    job: &RoutedSparkJob,
    weights: &BTreeMap<String, u32>,
    members: &[MemberCluster],
) -> Candidates {
    let cores = cores(&job.spec.template.spec);
    let named = job.spec.placement.as_ref().map(|it| it.cluster_names.as_slice()).unwrap_or_default();
    let placement = job.status.as_ref().and_then(|status| status.placement.as_ref());
    let excluded = placement.map(|placement| placement.excluded.as_slice()).unwrap_or_default();
    let fits = |name: &String| {
        if !named.is_empty() && !named.contains(name) {
            return false;
        }
        let member = members.iter().find(|member| member.name_any() == *name);
        member.is_some_and(|member| declared_cores(member).is_none_or(|declared| cores <= declared))
    };
    let fitting = weights.iter().filter(|(name, _)| fits(name)).map(|(name, weight)| (name.clone(), *weight));
    let (passed_over, weights): (BTreeMap<_, _>, _) = fitting.partition(|(name, _)| excluded.contains(name));
    Candidates { weights, passed_over: passed_over.into_keys().collect() }
}

/// What one job adds to each member's expected number: its weight among the candidates.
///
/// A job that all members could take adds weight / 100 to each. The big one adds nothing to the member that declares less
/// cpu than it asks for, and more to the others: a member neither gains nor loses by jobs that it could not have had. A
/// job without a remote application (rejected, or waiting) is not placed and adds nothing.
fn shares(candidates: &BTreeMap<String, u32>) -> Vec<(String, f64)> {
    let sum: u32 = candidates.values().sum();
    let share = |weight: u32| f64::from(weight) / f64::from(sum.max(1));
    candidates.iter().map(|(name, weight)| (name.clone(), share(*weight))).collect()
}

/// The cores that a template of this demo asks for; they write them all out.
fn cores(spec: &serde_json::Map<String, Value>) -> u64 {
    let number =
        |role: &str, field: &str| spec.get(role).and_then(|it| it.get(field)).and_then(Value::as_u64);
    let executors = number("executor", "instances").unwrap_or(1) * number("executor", "cores").unwrap_or(1);
    number("driver", "cores").unwrap_or(1) + executors
}

/// The cpu that a member of this demo declares: whole cores.
fn declared_cores(member: &MemberCluster) -> Option<u64> {
    let spec = serde_json::to_value(&member.spec).unwrap_or_default();
    spec.pointer("/capacity/cpu")?.as_str()?.parse().ok()
}

async fn list<K>(cluster: &Cluster, namespace: Option<&str>, what: &'static str) -> Result<Vec<K>, Error>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let api: Api<K> = Api::all(cluster.client());
    let failed = |source| Error::Read { what, cluster: cluster.name().to_owned(), source: Box::new(source) };
    let all = api.list(&ListParams::default()).await.map_err(failed)?.items;
    let ours = |object: &K| namespace.is_none() || object.namespace().as_deref() == namespace;
    Ok(all.into_iter().filter(ours).collect())
}

fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// Three decimals are enough to compare.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use spark_router_testkit::manifest;

    use super::*;
    use crate::demo::cast;

    fn parsed<K: DeserializeOwned>(yaml: &str) -> Vec<K> {
        let objects = manifest::parse(yaml).unwrap();
        objects.iter().map(|it| serde_json::from_value(serde_json::to_value(it).unwrap()).unwrap()).collect()
    }

    #[test]
    fn a_job_counts_only_where_it_could_go() {
        let members: Vec<MemberCluster> = parsed(cast::MEMBERS);
        let weights = weights(&parsed(cast::QUEUE));
        let jobs: Vec<RoutedSparkJob> = parsed(&cast::all().unwrap().0);
        let job = |name: &str| jobs.iter().find(|job| job.name_any() == name).unwrap().clone();
        let of = |name: &str| shares(&candidates(&job(name), &weights, &members).weights);
        let share = |name: &str, share: f64| (name.to_owned(), share);
        assert_eq!(of("scala-pi-1"), [share("alpha", 0.5), share("beta", 0.3), share("gamma", 0.2)]);
        assert_eq!(of("big"), [share("alpha", 0.625), share("beta", 0.375)]);
        assert_eq!(of("never-fits"), []);
        let mut passed_over = serde_json::to_value(job("scala-pi-1")).unwrap();
        passed_over["status"] = serde_json::json!({"placement": {
            "cluster": "alpha", "memberIdentity": "", "attempt": 1, "namespace": "", "remoteName": "", "queue": "etl",
            "seq": 1, "excluded": ["beta"], "at": "2026-01-01T00:00:00Z",
            "demand": {"jobs": 1, "pods": 3, "cpuMilli": 3000, "memoryBytes": 1},
        }});
        let found = candidates(&serde_json::from_value(passed_over).unwrap(), &weights, &members);
        assert_eq!(found.passed_over, ["beta"]);
        let [alpha, gamma] = shares(&found.weights).try_into().unwrap();
        assert!(
            (alpha.1 - 5.0 / 7.0).abs() < 1e-9 && (gamma.1 - 2.0 / 7.0).abs() < 1e-9,
            "{alpha:?} {gamma:?}"
        );
    }
}
