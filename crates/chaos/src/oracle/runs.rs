//! The lives of all job runs of a virtual cluster, from the record that its server keeps and its runs at the end.
//!
//! Owns what one pass over one record has found so far. A run lives from when a start made it, whether or not anybody heard
//! of that. It must never take an answer for a run, nor a run for one that was answered.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use spark_router_testkit::moto;

use super::audit::Tally;
use super::life::{Kind, Life};
use super::lives::Lives;
use super::names;
use crate::error::Error;
use crate::evidence::{Backend, Side};

/// No line is longer: tags are bounded.
const LONGEST: u64 = 1024 * 1024;

/// Errors that say something of the start, and not of who sent it when.
const REFUSALS: [&str; 2] = ["ValidationException", "ResourceNotFoundException"];

/// How a StartJobRun came out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    pub(crate) member: String,
    /// The run that it made or that its token gave back.
    pub(crate) run: Option<String>,
    /// Its token was known.
    pub(crate) is_known: bool,
    /// How long its answer took, in seconds.
    pub(crate) took: f64,
    /// 0 where nobody heard the answer.
    pub(crate) status: u16,
}

/// What a virtual cluster's evidence tells.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    pub(crate) lives: Lives,
    pub(crate) asked: Vec<Asked>,
}

#[derive(Deserialize)]
struct Line {
    at: Timestamp,
    #[serde(flatten)]
    event: Event,
}

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    Started {
        run: String,
        cluster: String,
        name: String,
        tags: BTreeMap<String, String>,
    },
    Deduplicated {},
    State {
        run: String,
        state: String,
        details: Option<String>,
    },
    Cancelled {
        run: String,
        by: String,
    },
    Asked {
        operation: String,
        job: Option<String>,
        run: Option<String>,
        known: bool,
        done: f64,
        status: u16,
        code: Option<String>,
    },
}

/// Reads a virtual cluster's record and runs.
pub(crate) fn of(side: &Side) -> Result<Runs, Error> {
    let file = File::open(&side.audit).map_err(Error::file("open", &side.audit))?;
    let mut input = BufReader::new(file);
    let mut watch = Watch { member: &side.name, runs: Runs::default(), by_id: HashMap::new() };
    let (mut tally, mut text) = (Tally::default(), String::new());
    loop {
        text.clear();
        let read = (&mut input).take(LONGEST).read_line(&mut text);
        if read.map_err(Error::file("read", &side.audit))? == 0 {
            break;
        }
        tally.lines += 1;
        match serde_json::from_str::<Line>(&text) {
            Ok(line) => watch.line(line),
            // Its server was killed meanwhile.
            Err(_) if !text.ends_with('\n') => tally.torn += 1,
            Err(source) => {
                return Err(Error::Audit { path: side.audit.clone(), line: tally.lines, source });
            }
        }
    }
    watch.runs.lives.tally = tally;
    watch.end(&side.objects);
    Ok(watch.runs)
}

struct Watch<'a> {
    member: &'a str,
    runs: Runs,
    by_id: HashMap<String, usize>,
}

impl Watch<'_> {
    fn line(&mut self, line: Line) {
        let at = line.at;
        self.runs.lives.last = self.runs.lives.last.max(Some(at));
        match line.event {
            Event::Started { run, cluster, name, tags } => self.begin(run, (cluster, name), &tags, at),
            Event::State { run, state, details } => {
                if let Some(life) = self.life(&run) {
                    life.last_seen = life.last_seen.max(at);
                    life.state_was(at, &state, details.as_deref().unwrap_or_default());
                }
            }
            Event::Cancelled { run, by } => {
                if let Some(life) = self.life(&run) {
                    life.cancelled_by_others |= by != moto::ACCESS_KEY;
                    life.deleting.get_or_insert(at);
                }
            }
            Event::Asked { operation, job, run, known, done, status, code } if operation == "StartJobRun" => {
                let is_refused = code.is_some_and(|code| REFUSALS.contains(&&*code));
                if let Some(job) = job.filter(|_| is_refused) {
                    *self.runs.lives.refused.entry(job).or_default() += 1;
                }
                let member = self.member.to_owned();
                self.runs.asked.push(Asked { member, run, is_known: known, took: done, status });
            }
            Event::Asked { .. } | Event::Deduplicated {} => {}
        }
    }

    fn begin(
        &mut self,
        id: String,
        (namespace, name): (String, String),
        tags: &BTreeMap<String, String>,
        at: Timestamp,
    ) {
        let tag = |name: &str| tags.get(name).cloned();
        self.by_id.insert(id.clone(), self.runs.lives.all.len());
        self.runs.lives.all.push(Life {
            kind: Kind::Run,
            backend: Backend::EmrContainers,
            member: self.member.to_owned(),
            // What it is called on its EKS cluster is nobody's matter: placements name the virtual cluster.
            namespace,
            name,
            uid: Some(id),
            job: tag(names::JOB_UID),
            attempt: tag(names::ATTEMPT).and_then(|attempt| attempt.parse().ok()),
            owner: None,
            begin: at,
            is_inferred: false,
            states: Vec::new(),
            last_seen: at,
            deleting: None,
            gone: None,
            went_unseen: false,
            is_left: false,
            is_held: false,
            cancelled_by_others: false,
        });
    }

    fn life(&mut self, id: &str) -> Option<&mut Life> {
        self.runs.lives.all.get_mut(*self.by_id.get(id)?)
    }

    /// A run that its server does not have any more at the end is gone, and no line says how.
    fn end(&mut self, objects: &[Value]) {
        let last = self.runs.lives.last.unwrap_or_default();
        for object in objects.iter().filter(|object| object["kind"] == "JobRun") {
            let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
            let id = text("id");
            if !self.by_id.contains_key(&id) {
                let tags: BTreeMap<String, String> =
                    serde_json::from_value(object["tags"].clone()).unwrap_or_default();
                // The record lacks it: it was there by then at the latest.
                self.begin(id.clone(), (text("cluster"), text("name")), &tags, last);
                if let Some(life) = self.life(&id) {
                    life.is_inferred = true;
                }
            }
            if let Some(life) = self.life(&id) {
                (life.is_left, life.last_seen) = (true, last.max(life.last_seen));
                life.state_was(last, &text("state"), "");
            }
        }
        for life in self.runs.lives.all.iter_mut().filter(|life| !life.is_left) {
            (life.gone, life.went_unseen) = (Some(last.max(life.last_seen)), true);
        }
    }
}

#[cfg(test)]
#[path = "runs_tests.rs"]
mod tests;
