//! All that is known, sorted by job.
//!
//! Owns it while the judges look at it. Applications belong to the job whose uid is on their label; one whose create was
//! never logged and that nobody saw with its labels belongs to the job that was placed under its name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::Seen;
use super::hub::{self, Course, Write};
use super::life::{Kind, Life};
use super::lives;
use super::runs::{self, Asked};
use super::view::{Job, Member, Queue};
use crate::error::Error;
use crate::evidence::{Backend, Evidence, Injected, Submitted};
use crate::fault::Kind as Fault;

/// One job.
#[derive(Debug, Clone)]
pub(crate) struct JobFacts {
    pub(crate) submitted: Submitted,
    /// As it is on the hub at the end.
    pub(crate) at_end: Option<Job>,
    pub(crate) course: Course,
    /// In the order of their begin.
    pub(crate) applications: Vec<Life>,
    /// In the order of their begin.
    pub(crate) drivers: Vec<Life>,
    /// How many of its creates members refused.
    pub(crate) refused: usize,
    /// Its applications whose drivers the operator doubled.
    pub(crate) operator_doubled: BTreeSet<String>,
}

impl JobFacts {
    /// `namespace/name`.
    pub(crate) fn title(&self) -> String {
        format!("{}/{}", self.submitted.namespace, self.submitted.name)
    }

    /// The application on record: by its uid, else by its name where the uid of either is not known.
    pub(crate) fn recorded(&self) -> Option<&Life> {
        let placement = self.at_end.as_ref()?.status.placement.as_ref()?;
        let here = || self.applications.iter().filter(|life| life.member == placement.cluster);
        let uid = placement.remote_uid.as_ref();
        let by_uid = uid.and_then(|uid| here().find(|life| life.uid.as_ref() == Some(uid)));
        by_uid.or_else(|| {
            here().rfind(|life| {
                (uid.is_none() || life.uid.is_none())
                    && life.namespace == placement.namespace
                    && life.name == placement.remote_name
            })
        })
    }

    /// The uids of all that was ever on record as its application.
    pub(crate) fn recorded_uids(&self) -> impl Iterator<Item = &str> {
        let last = self.at_end.as_ref().and_then(|at_end| at_end.status.placement.as_ref());
        self.course.placements.values().chain(last).filter_map(|placement| placement.remote_uid.as_deref())
    }

    /// The driver pods of an application.
    pub(crate) fn drivers_of<'a>(&'a self, application: &'a Life) -> impl Iterator<Item = &'a Life> {
        self.drivers.iter().filter(|pod| {
            pod.member == application.member && pod.owner.is_some() && pod.owner == application.uid
        })
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) jobs: Vec<JobFacts>,
    /// Applications and driver pods of jobs that nobody submitted.
    pub(crate) strangers: Vec<Life>,
    /// Jobs that the hub took in or has and that nobody submitted, as `namespace/name`.
    pub(crate) unknown_jobs: BTreeSet<String>,
    /// All applications without our label, by member, namespace and name.
    pub(crate) foreign: BTreeSet<(String, String, String)>,
    /// By name.
    pub(crate) members: BTreeMap<String, Member>,
    /// By name.
    pub(crate) queues: BTreeMap<String, Queue>,
    /// What routers wrote on the hub.
    pub(crate) writes: Vec<Write>,
    /// Every start of a job run that came in.
    pub(crate) asked: Vec<Asked>,
    pub(crate) seen: Seen,
    pub(crate) sweep_within: Duration,
    /// When members' API servers or operators were down.
    pub(crate) down: Vec<Injected>,
    /// The last thing that any log tells.
    pub(crate) end: Timestamp,
}

impl Facts {
    /// Reads and sorts everything.
    pub(crate) fn gather(evidence: &Evidence) -> Result<Self, Error> {
        let mut courses = hub::of(&evidence.hub, &evidence.jobs)?;
        let mut seen = Seen::default();
        let mut count = |tally: super::audit::Tally| {
            seen.lines += tally.lines;
            seen.torn += tally.torn;
            seen.too_long += tally.too_long;
        };
        count(courses.tally);
        let (mut all, mut refused, mut end) = (Vec::new(), BTreeMap::<String, usize>::new(), courses.last);
        let mut asked = Vec::new();
        for side in &evidence.members {
            let lives = if side.backend == Backend::EmrContainers {
                let runs = runs::of(side)?;
                asked.extend(runs.asked);
                runs.lives
            } else {
                lives::of(side)?
            };
            count(lives.tally);
            end = end.max(lives.last);
            all.extend(lives.all);
            for (job, times) in lives.refused {
                *refused.entry(job).or_default() += times;
            }
        }
        let mut at_end = Objects::read(evidence)?;
        let mut jobs: Vec<JobFacts> = Vec::with_capacity(evidence.jobs.len());
        let mut place: HashMap<&str, usize> = HashMap::new();
        for submitted in &evidence.jobs {
            place.insert(&submitted.uid, jobs.len());
            jobs.push(JobFacts {
                at_end: at_end.jobs.remove(&submitted.uid),
                course: courses.by_uid.remove(&submitted.uid).unwrap_or_default(),
                refused: refused.get(&submitted.uid).copied().unwrap_or_default(),
                submitted: submitted.clone(),
                applications: Vec::new(),
                drivers: Vec::new(),
                operator_doubled: BTreeSet::new(),
            });
        }
        let placed = placed(&jobs);
        let (mut strangers, mut foreign) = (Vec::new(), BTreeSet::new());
        for mut life in all {
            match life.kind {
                Kind::Application => seen.applications += 1,
                Kind::Driver => seen.driver_pods += 1,
                Kind::Run => seen.job_runs += 1,
            }
            seen.inferred += usize::from(life.is_inferred);
            let name = (life.member.clone(), life.namespace.clone(), life.name.clone());
            if life.job.is_none() && life.is_inferred && !life.is_left {
                // Nobody saw its labels.
                if let Some((job, attempt)) = placed.get(&name) {
                    (life.job, life.attempt) = (Some(job.clone()), Some(*attempt));
                }
            }
            let Some(uid) = &life.job else {
                foreign.insert(name);
                continue;
            };
            match (place.get(uid.as_str()).and_then(|index| jobs.get_mut(*index)), life.kind) {
                (Some(job), Kind::Application | Kind::Run) => job.applications.push(life),
                (Some(job), Kind::Driver) => job.drivers.push(life),
                (None, _) => strangers.push(life),
            }
        }
        let doubled: BTreeSet<_> = evidence.members.iter().flat_map(|side| &side.operator_doubled).collect();
        for job in &mut jobs {
            job.applications.sort_by_key(|life| life.begin);
            job.drivers.sort_by_key(|life| life.begin);
            let uids = job.applications.iter().filter_map(|life| life.uid.as_ref());
            job.operator_doubled = uids.filter(|uid| doubled.contains(uid)).cloned().collect();
        }
        let left = at_end.jobs.values().map(|job| format!("{}/{}", job.namespace, job.name));
        let taken_in = courses.by_uid.into_values().filter_map(|course| course.title);
        Ok(Self {
            unknown_jobs: left.chain(taken_in).collect(),
            jobs,
            strangers,
            foreign,
            members: at_end.members,
            queues: at_end.queues,
            writes: courses.writes,
            asked,
            seen,
            sweep_within: evidence.sweep_within,
            down: evidence.faults.iter().filter(|it| breaks_submission(it.kind)).cloned().collect(),
            end: end.unwrap_or_default(),
        })
    }
}

/// Whether an operator cannot submit while this lasts.
fn breaks_submission(fault: Fault) -> bool {
    matches!(fault, Fault::MemberRestarted | Fault::OperatorCrashed)
}

/// Job and attempt by the member, namespace and name that they were placed under.
fn placed(jobs: &[JobFacts]) -> HashMap<(String, String, String), (String, u32)> {
    let mut placed = HashMap::new();
    for job in jobs {
        let last = job.at_end.as_ref().and_then(|at_end| at_end.status.placement.as_ref());
        for it in job.course.placements.values().chain(last) {
            let name = (it.cluster.clone(), it.namespace.clone(), it.remote_name.clone());
            placed.insert(name, (job.submitted.uid.clone(), it.attempt));
        }
    }
    placed
}

/// The hub's objects at the end.
#[derive(Default)]
struct Objects {
    jobs: BTreeMap<String, Job>,
    members: BTreeMap<String, Member>,
    queues: BTreeMap<String, Queue>,
}

impl Objects {
    fn read(evidence: &Evidence) -> Result<Self, Error> {
        let mut read = Self::default();
        for object in &evidence.hub.objects {
            let bad = |source| Error::Object {
                side: evidence.hub.name.clone(),
                what: format!("{} {}", text(object, "/kind"), text(object, "/metadata/name")),
                source,
            };
            match text(object, "/kind") {
                "RoutedSparkJob" => {
                    let job = Job::of(object).map_err(bad)?;
                    read.jobs.insert(job.uid.clone(), job);
                }
                "MemberCluster" => {
                    let member = Member::of(object).map_err(bad)?;
                    read.members.insert(member.name.clone(), member);
                }
                "SparkQueue" => {
                    let queue = Queue::of(object);
                    read.queues.insert(queue.name.clone(), queue);
                }
                _ => {}
            }
        }
        Ok(read)
    }
}

fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}
