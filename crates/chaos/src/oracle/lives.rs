//! The lives of all remote applications and driver pods of a member, from its audit log and its objects at the end.
//!
//! Owns what one pass over one log has found so far, a few hundred bytes an object. A create whose client died is logged
//! with an error instead of a uid: it counts from when it came in, if anything later shows that it took effect. It must
//! never take an object for gone without a proof, nor one that was only asked about for one that was there.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::audit::{Line, Tally};
use super::life::{Kind, Life};
use super::look::{is_being_deleted, is_last_look, is_of, state_in};
use super::names;
use crate::error::Error;
use crate::evidence::{Backend, Side};

/// What a member's evidence tells.
#[derive(Debug, Default)]
pub(crate) struct Lives {
    pub(crate) all: Vec<Life>,
    /// Creates of applications that the member refused for another reason than their name, by the job's uid.
    pub(crate) refused: BTreeMap<String, usize>,
    pub(crate) tally: Tally,
    /// The last thing that the log tells.
    pub(crate) last: Option<Timestamp>,
}

/// Lines without one of these are of no interest.
const WORDS: [&str; 2] = ["\"resource\":\"sparkapplications\"", "\"resource\":\"pods\""];

/// Reads a member's log and objects.
pub(crate) fn of(side: &Side) -> Result<Lives, Error> {
    let mut reader = super::audit::Reader::open(&side.audit, &WORDS)?;
    let mut watch = Watch::new(&side.name, side.backend);
    while let Some(line) = reader.next_line()? {
        watch.line(&line);
    }
    watch.last = watch.last.max(reader.passed_at());
    Ok(watch.end(&side.objects, reader.tally))
}

type Key = (Kind, String, String);

/// A create that may have taken effect.
struct Maybe {
    at: Timestamp,
    job: Option<String>,
    attempt: Option<u32>,
}

/// How it is known that an object is gone.
#[derive(Clone, Copy)]
enum Going {
    /// It is not.
    Not,
    /// It was not found, perhaps by a server that did not serve its kind yet: a later sign says otherwise.
    NotFound,
    /// It was seen to go, by a request that was answered then.
    Seen(Timestamp),
}

struct Watch<'a> {
    member: &'a str,
    backend: Backend,
    lives: Vec<Life>,
    /// When the create of each was answered: what was asked before that tells nothing of it.
    answered: Vec<Timestamp>,
    /// How each is known to be gone.
    going: Vec<Going>,
    by_name: HashMap<Key, usize>,
    by_uid: HashMap<String, usize>,
    maybe: HashMap<Key, Maybe>,
    refused: BTreeMap<String, usize>,
    last: Option<Timestamp>,
}

impl<'a> Watch<'a> {
    fn new(member: &'a str, backend: Backend) -> Self {
        Self {
            member,
            backend,
            lives: Vec::new(),
            answered: Vec::new(),
            going: Vec::new(),
            by_name: HashMap::new(),
            by_uid: HashMap::new(),
            maybe: HashMap::new(),
            refused: BTreeMap::new(),
            last: None,
        }
    }

    fn line(&mut self, line: &Line) {
        self.last = self.last.max(Some(line.done));
        let kind = match (line.group.as_str(), line.resource.as_str()) {
            ("sparkoperator.k8s.io" | "spark.apache.org", "sparkapplications") => Kind::Application,
            ("", "pods") => Kind::Driver,
            _ => return,
        };
        if line.is_dry_run || !matches!(line.subresource.as_str(), "" | "status") {
            return;
        }
        match line.verb.as_str() {
            "create" => self.create(kind, line),
            "deletecollection" if line.is_ok() => {
                let items = line.response.as_ref().and_then(|list| list.get("items"));
                for item in items.and_then(Value::as_array).into_iter().flatten() {
                    if let Some(index) = self.find(kind, line, Some(item)) {
                        self.deletion(index, line.received);
                    }
                }
            }
            "get" | "update" | "patch" | "delete" if line.code == 404 => self.missing(kind, line),
            "update" | "patch" | "delete" if line.is_ok() => self.change(kind, line),
            _ => {}
        }
    }

    fn create(&mut self, kind: Kind, line: &Line) {
        let Some(name) = created_name(line) else { return };
        let key = (kind, line.namespace.clone(), name);
        if line.is_ok() {
            let Some(object) = line.object().filter(|object| is_of(kind, object)) else { return };
            self.maybe.remove(&key);
            if let Some(before) = self.by_name.get(&key).copied() {
                // Two cannot have the name at once.
                self.seen_to_go(before, line);
            }
            let index = self.begin(key, line.received, line.done, false);
            self.describe(index, object);
            return;
        }
        if line.is_unclear() {
            let labels = line.request.as_ref();
            let maybe = Maybe {
                at: line.received,
                job: labels.and_then(|object| names::label(object, names::JOB_UID)),
                attempt: labels.and_then(names::attempt),
            };
            if kind == Kind::Application || line.request.as_ref().is_some_and(|pod| is_of(kind, pod)) {
                self.maybe.entry(key).or_insert(maybe);
            }
            return;
        }
        let job = line.request.as_ref().and_then(|object| names::label(object, names::JOB_UID));
        if line.code == 409 {
            self.shown(&key, line);
        } else if let (Kind::Application, Some(job)) = (kind, job) {
            *self.refused.entry(job).or_default() += 1;
        }
    }

    /// Something has the name: where none is known that has it, an unclear create took effect after all.
    fn shown(&mut self, key: &Key, line: &Line) {
        let known = self.by_name.get(key).copied().filter(|index| !self.went_before(*index, line));
        if let Some(index) = known {
            self.revive(index, line.received);
        } else if self.maybe.contains_key(key) {
            self.begin(key.clone(), line.received, line.done, true);
        }
    }

    fn change(&mut self, kind: Kind, line: &Line) {
        let object = line.object();
        let Some(index) = self.find(kind, line, object) else { return };
        let at = line.received;
        if let Some(life) = self.lives.get_mut(index) {
            life.last_seen = life.last_seen.max(at);
        }
        self.revive(index, at);
        if let Some(object) = object.filter(|object| names::uid(object).is_some()) {
            self.describe(index, object);
        }
        let body = if line.subresource == "status" { line.request.as_ref() } else { line.response.as_ref() };
        if let (Some(body), Some(life)) = (body, self.lives.get_mut(index)) {
            if line.subresource == "status" {
                if let Some((state, error)) = state_in(kind, body) {
                    life.state_was(at, state, error);
                }
            } else {
                shows_state(life, body, at);
            }
        }
        let left = line.response.as_ref().filter(|left| left.pointer("/metadata/name").is_some());
        match line.verb.as_str() {
            "delete" if line.status == "Success" => self.seen_to_go(index, line),
            "delete" if left.is_some_and(|left| is_last_look(kind, left)) => self.seen_to_go(index, line),
            "delete" => self.deletion(index, at),
            _ if left.is_some_and(|left| is_being_deleted(left) && is_last_look(kind, left)) => {
                self.seen_to_go(index, line);
            }
            _ => {}
        }
    }

    /// A request was answered with "not found".
    fn missing(&mut self, kind: Kind, line: &Line) {
        let key = (kind, line.namespace.clone(), line.name.clone());
        let Some(index) = self.by_name.get(&key).copied() else { return };
        let (Some(life), Some(going)) = (self.lives.get_mut(index), self.going.get_mut(index)) else {
            return;
        };
        let is_after = self.answered.get(index).is_some_and(|answered| *answered < line.received);
        if is_after && life.gone.is_none() {
            (life.gone, *going) = (Some(line.received), Going::NotFound);
        }
    }

    /// The life that a line speaks of, begun where a sign of an unknown one is found.
    fn find(&mut self, kind: Kind, line: &Line, object: Option<&Value>) -> Option<usize> {
        let uid = object.and_then(names::uid).or_else(|| line.uid.clone()).or_else(|| precondition(line));
        if let Some(index) = uid.as_ref().and_then(|uid| self.by_uid.get(uid)) {
            return Some(*index);
        }
        let name = object.and_then(names::name).unwrap_or_else(|| line.name.clone());
        let key = (kind, line.namespace.clone(), name);
        if let Some(index) = self.by_name.get(&key).copied() {
            let life = self.lives.get(index)?;
            let is_other = uid.is_some() && life.uid.is_some() && life.uid != uid;
            if !is_other && !self.went_before(index, line) {
                return Some(index);
            }
        }
        let is_known_kind = match kind {
            Kind::Application | Kind::Run => true,
            Kind::Driver => self.maybe.contains_key(&key) || object.is_some_and(|pod| is_of(kind, pod)),
        };
        is_known_kind.then(|| {
            let created = object.and_then(names::created).map(end_of_second);
            let begin = created.map_or(line.received, |created| created.min(line.received));
            self.begin(key, begin, line.done, true)
        })
    }

    fn begin(&mut self, key: Key, at: Timestamp, answered: Timestamp, is_inferred: bool) -> usize {
        let maybe = self.maybe.remove(&key);
        let (kind, namespace, name) = key.clone();
        let begin = maybe.as_ref().map_or(at, |maybe| maybe.at);
        let (job, attempt) = maybe.map_or((None, None), |maybe| (maybe.job, maybe.attempt));
        let index = self.lives.len();
        self.lives.push(Life {
            kind,
            backend: self.backend,
            member: self.member.to_owned(),
            namespace,
            name,
            uid: None,
            job,
            attempt,
            owner: None,
            begin,
            is_inferred,
            states: Vec::new(),
            last_seen: at,
            deleting: None,
            gone: None,
            went_unseen: false,
            is_left: false,
            is_held: false,
            cancelled_by_others: false,
        });
        self.answered.push(answered);
        self.going.push(Going::Not);
        self.by_name.insert(key, index);
        index
    }

    fn describe(&mut self, index: usize, object: &Value) {
        let Some(life) = self.lives.get_mut(index) else { return };
        life.job = names::label(object, names::JOB_UID).or(life.job.take());
        life.attempt = names::attempt(object).or(life.attempt);
        life.owner = names::owner(object).or(life.owner.take());
        if let Some(uid) = names::uid(object) {
            self.by_uid.entry(uid.clone()).or_insert(index);
            life.uid.get_or_insert(uid);
        }
    }

    fn deletion(&mut self, index: usize, at: Timestamp) {
        if let Some(life) = self.lives.get_mut(index) {
            life.deleting.get_or_insert(at);
        }
    }

    fn seen_to_go(&mut self, index: usize, line: &Line) {
        let (Some(life), Some(going)) = (self.lives.get_mut(index), self.going.get_mut(index)) else {
            return;
        };
        if !matches!(going, Going::Seen(_)) {
            (life.gone, *going) = (Some(line.received), Going::Seen(line.done));
        }
    }

    /// Whether it was seen to go before the request came in. Lines are not in the order of what they tell.
    fn went_before(&self, index: usize, line: &Line) -> bool {
        self.going.get(index).is_some_and(|going| matches!(going, Going::Seen(done) if *done < line.received))
    }

    /// It was not found before, and is there after all.
    fn revive(&mut self, index: usize, at: Timestamp) {
        let (Some(life), Some(going)) = (self.lives.get_mut(index), self.going.get_mut(index)) else {
            return;
        };
        if matches!(going, Going::NotFound) && life.gone.is_some_and(|gone| gone < at) {
            (life.gone, *going) = (None, Going::Not);
        }
    }

    fn end(mut self, objects: &[Value], tally: Tally) -> Lives {
        for object in objects {
            let kind = match object.get("kind").and_then(Value::as_str) {
                Some("SparkApplication") => Kind::Application,
                Some("Pod") if is_of(Kind::Driver, object) => Kind::Driver,
                _ => continue,
            };
            self.left(kind, object);
        }
        let last = self.last;
        for (life, going) in self.lives.iter_mut().zip(&self.going).filter(|(life, _)| !life.is_left) {
            life.went_unseen = !matches!(going, Going::Seen(_));
            if life.gone.is_none() {
                life.gone = last.map(|last| last.max(life.last_seen));
            }
        }
        Lives { all: self.lives, refused: self.refused, tally, last }
    }

    /// An object that is there at the end.
    fn left(&mut self, kind: Kind, object: &Value) {
        let (Some(name), Some(uid)) = (names::name(object), names::uid(object)) else { return };
        let key = (kind, names::namespace(object), name);
        let by_name = self.by_name.get(&key).copied().filter(|index| {
            self.lives.get(*index).is_some_and(|life| life.uid.as_ref().is_none_or(|known| *known == uid))
        });
        let index = self.by_uid.get(&uid).copied().or(by_name).unwrap_or_else(|| {
            let begin = names::created(object).map(end_of_second).or(self.last).unwrap_or_default();
            self.begin(key, begin, begin, true)
        });
        self.describe(index, object);
        let Some(life) = self.lives.get_mut(index) else { return };
        (life.is_left, life.gone, life.is_held) = (true, None, names::is_held(object));
        life.last_seen = life.last_seen.max(self.last.unwrap_or(life.last_seen));
        if is_being_deleted(object) {
            life.deleting.get_or_insert(life.last_seen);
        }
        shows_state(life, object, life.last_seen);
    }
}

/// An object that is seen in a state that no line tells of: its own word counts for when it ended.
fn shows_state(life: &mut Life, object: &Value, seen: Timestamp) {
    let Some((state, error)) = state_in(life.kind, object) else { return };
    if state == life.native() || life.states.last().is_some_and(|last| last.at > seen) {
        return;
    }
    let at = names::ended(object).map_or(seen, |ended| ended.min(seen));
    let at = life.states.last().map_or(at.max(life.begin), |before| before.at.max(at));
    life.state_was(at, state, error);
}

/// The name of what was created: a generated one is in the answer only.
fn created_name(line: &Line) -> Option<String> {
    let asked = Some(line.name.clone()).filter(|name| !name.is_empty());
    asked.or_else(|| line.object().and_then(names::name))
}

/// The uid that a delete was bound to.
fn precondition(line: &Line) -> Option<String> {
    let uid = line.request.as_ref()?.pointer("/preconditions/uid")?.as_str()?;
    Some(uid.to_owned())
}

/// An object's own time has whole seconds: it was created before the next one.
fn end_of_second(time: Timestamp) -> Timestamp {
    time.checked_add(SignedDuration::from_millis(999)).unwrap_or(time)
}

#[cfg(test)]
#[path = "lives_tests.rs"]
mod tests;
