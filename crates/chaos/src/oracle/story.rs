//! Evidence by hand: what two members and a hub would have logged, told in seconds.
//!
//! Owns the folder with the logs. Times are seconds after [`super::life::tests::at`]`(0)`; the job `pi` has the uid
//! `uid-pi`, its first attempt on m1 the name `pi-1` and the uid `m1-pi-1`.

mod emr;
mod end;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::life::tests::at;
use crate::evidence::{Backend, Evidence, Meant, Submitted};

pub(crate) use emr::{merged, started};
pub(crate) use end::one;

pub(crate) use super::names::ROUTER;
pub(crate) const TEAM: &str = "team";

/// An object as it is now.
type Objects = BTreeMap<(String, String), Value>;

pub(crate) struct Story {
    folder: tempfile::TempDir,
    lines: BTreeMap<String, Vec<String>>,
    objects: BTreeMap<String, Objects>,
    /// How often each name was used on each member.
    used: BTreeMap<(String, String), u32>,
    /// Where that is not Kubeflow's operator.
    backends: BTreeMap<String, Backend>,
    pub(crate) evidence: Evidence,
}

/// A placement of an attempt of a job, with its uid.
pub(crate) fn placement(job: &str, attempt: u32, cluster: &str) -> Value {
    json!({
        "cluster": cluster, "memberIdentity": format!("id-{cluster}"), "attempt": attempt, "namespace": TEAM,
        "remoteName": format!("{job}-{attempt}"), "remoteUid": format!("{cluster}-{job}-{attempt}"),
        "queue": "etl", "seq": 1,
    })
}

/// A row of a history.
pub(crate) fn row(attempt: u32, cluster: &str, outcome: &str, reason: &str) -> Value {
    json!({"attempt": attempt, "cluster": cluster, "outcome": outcome, "reason": reason, "remoteName": "r"})
}

/// Merges objects; a null removes.
pub(crate) fn merge(into: &mut Value, change: Value) {
    let Value::Object(change) = change else {
        *into = change;
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in change {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(&key);
        } else {
            merge(&mut into[key.as_str()], value);
        }
    }
}

impl Story {
    /// Two members that are Ready, a queue, and nothing else.
    pub(crate) fn new() -> Self {
        let mut story = Self {
            folder: tempfile::tempdir().unwrap(),
            lines: BTreeMap::new(),
            objects: BTreeMap::new(),
            used: BTreeMap::new(),
            backends: BTreeMap::new(),
            evidence: Evidence::default(),
        };
        story.set("hub", json!({"kind": "SparkQueue", "metadata": {"name": "etl"}, "spec": {}}));
        for member in ["m1", "m2"] {
            story.objects.entry(member.to_owned()).or_default();
            story.lines.entry(member.to_owned()).or_default();
            story.set(
                "hub",
                json!({
                    "kind": "MemberCluster", "metadata": {"name": member}, "spec": {},
                    "status": {
                        "identity": format!("id-{member}"),
                        "conditions": [{
                            "type": "Ready", "status": "True", "reason": "Ready", "message": "",
                            "lastTransitionTime": at(0).to_string(),
                        }],
                    },
                }),
            );
        }
        story
    }

    fn key(object: &Value) -> (String, String) {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        (text("/kind"), text("/metadata/name"))
    }

    /// Puts an object where it is read at the end.
    pub(crate) fn set(&mut self, side: &str, object: Value) {
        self.objects.entry(side.to_owned()).or_default().insert(Self::key(&object), object);
    }

    /// Changes an object as it is read at the end.
    pub(crate) fn change(&mut self, side: &str, kind: &str, name: &str, change: Value) {
        let key = (kind.to_owned(), name.to_owned());
        merge(self.objects.get_mut(side).unwrap().get_mut(&key).unwrap(), change);
    }

    /// Takes an object away without a line.
    pub(crate) fn take(&mut self, side: &str, kind: &str, name: &str) -> Value {
        let key = (kind.to_owned(), name.to_owned());
        self.objects.get_mut(side).unwrap().remove(&key).unwrap()
    }

    /// Logs a request; `more` is merged into the line.
    pub(crate) fn log(&mut self, side: &str, second: i64, what: (&str, &str, &str), code: u16, more: Value) {
        let (verb, resource, name) = what;
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let group = match resource {
            "routedsparkjobs" => "sparkrouter.dev",
            "sparkapplications" => "sparkoperator.k8s.io",
            _ => "",
        };
        let mut line = json!({
            "verb": verb, "requestURI": "/", "user": {"username": ROUTER},
            "objectRef": {
                "resource": resource, "subresource": subresource, "namespace": TEAM, "name": name, "apiGroup": group,
            },
            "responseStatus": {"code": code},
            "requestReceivedTimestamp": at(second).to_string(),
            "stageTimestamp": (at(second) + jiff::SignedDuration::from_millis(10)).to_string(),
        });
        merge(&mut line, more);
        // As in real logs, the kind comes first.
        let rest = line.to_string();
        let text = format!("{{\"kind\":\"Event\",{}", rest.strip_prefix('{').unwrap());
        self.lines.entry(side.to_owned()).or_default().push(text);
    }

    /// Writes a line as it is.
    pub(crate) fn raw(&mut self, side: &str, text: &str) {
        self.lines.entry(side.to_owned()).or_default().push(text.to_owned());
    }

    /// Somebody submits a job; `spec` is merged into its spec.
    pub(crate) fn submit(&mut self, second: i64, name: &str, spec: Value) -> &mut Submitted {
        let mut object = json!({
            "kind": "RoutedSparkJob",
            "metadata": {
                "name": name, "namespace": TEAM, "uid": format!("uid-{name}"), "generation": 1,
                "creationTimestamp": at(second).to_string(),
            },
            "spec": {"queue": "etl"},
        });
        merge(&mut object["spec"], spec);
        self.log("hub", second, ("create", "routedsparkjobs", name), 201, json!({"responseObject": object}));
        self.set("hub", object);
        self.evidence.jobs.push(Submitted {
            namespace: TEAM.to_owned(),
            name: name.to_owned(),
            uid: format!("uid-{name}"),
            meant: Meant::Succeed,
            deleted: false,
            cancelled: false,
            duplicates_allowed: false,
        });
        self.evidence.jobs.last_mut().unwrap()
    }

    /// The router writes a status: phase and reason, and what follows from them; `more` is merged into it.
    pub(crate) fn status(&mut self, second: i64, name: &str, phase: &str, reason: &str, more: Value) {
        let (succeeded, finished) = match phase {
            "Succeeded" => ("True", "True"),
            "Failed" | "Cancelled" => ("False", "True"),
            _ => ("Unknown", "False"),
        };
        let before = self.objects["hub"][&("RoutedSparkJob".to_owned(), name.to_owned())].clone();
        let condition = |kind: &str, status: &str| {
            let old = before.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
            let same = old.filter(|it| it["type"] == kind && it["status"] == status);
            let since = same.map(|it| it["lastTransitionTime"].clone()).next();
            json!({
                "type": kind, "status": status, "reason": reason, "message": format!("{reason} on m1"),
                "lastTransitionTime": since.unwrap_or_else(|| json!(at(second).to_string())),
            })
        };
        let placed = if more.get("placement").is_some() { "True" } else { "False" };
        let mut status = json!({
            "observedGeneration": 1, "phase": phase, "reason": reason, "message": format!("{reason} on m1"),
            "conditions": [
                condition("Accepted", "True"), condition("Placed", placed),
                condition("Succeeded", succeeded), condition("Finished", finished),
            ],
        });
        merge(&mut status, more);
        self.write_status(second, name, status);
    }

    /// The router writes this very status.
    pub(crate) fn write_status(&mut self, second: i64, name: &str, status: Value) {
        let body = json!({"requestObject": {"metadata": {"name": name}, "status": status.clone()}});
        self.log("hub", second, ("patch", "routedsparkjobs/status", name), 200, body);
        let key = ("RoutedSparkJob".to_owned(), name.to_owned());
        self.objects.get_mut("hub").unwrap().get_mut(&key).unwrap()["status"] = status;
    }

    /// A job that was asked to go goes.
    pub(crate) fn job_goes(&mut self, second: i64, name: &str) {
        self.log(
            "hub",
            second,
            ("delete", "routedsparkjobs", name),
            200,
            json!({"user": {"username": "admin"}}),
        );
        self.take("hub", "RoutedSparkJob", name);
    }

    /// The second object of a name has the uid of the first and `-again`.
    fn application(&mut self, second: i64, member: &str, job: &str, attempt: u32, name: &str) -> Value {
        let used = self.used.entry((member.to_owned(), name.to_owned())).or_default();
        let again = "-again".repeat(usize::try_from(*used).unwrap());
        *used += 1;
        json!({
            "kind": "SparkApplication",
            "metadata": {
                "name": name, "namespace": TEAM, "uid": format!("{member}-{name}{again}"),
                "creationTimestamp": at(second).to_string(), "finalizers": ["sparkrouter.dev/outcome"],
                "labels": {"sparkrouter.dev/job-uid": format!("uid-{job}"), "sparkrouter.dev/attempt": attempt.to_string()},
            },
        })
    }

    /// An application is created under a name of one's own.
    pub(crate) fn creates_as(&mut self, second: i64, member: &str, job: &str, attempt: u32, name: &str) {
        let object = self.application(second, member, job, attempt, name);
        let mut asked = object.clone();
        merge(&mut asked, json!({"metadata": {"uid": null, "creationTimestamp": null}}));
        let bodies = json!({"requestObject": asked, "responseObject": object});
        self.log(member, second, ("create", "sparkapplications", name), 201, bodies);
        self.set(member, object);
    }

    /// An attempt's application is created.
    pub(crate) fn creates(&mut self, second: i64, member: &str, job: &str, attempt: u32) {
        self.creates_as(second, member, job, attempt, &format!("{job}-{attempt}"));
    }

    /// An attempt's application is created, its client dies, and the log has an error.
    pub(crate) fn creates_unheard(&mut self, second: i64, member: &str, job: &str, attempt: u32) {
        let name = format!("{job}-{attempt}");
        let object = self.application(second, member, job, attempt, &name);
        let mut asked = object.clone();
        merge(&mut asked, json!({"metadata": {"uid": null, "creationTimestamp": null}}));
        let bodies = json!({"requestObject": asked, "responseObject": {"kind": "Status", "metadata": {}, "code": 504}});
        self.log(member, second, ("create", "sparkapplications", &name), 504, bodies);
        self.set(member, object);
    }

    /// The operator writes a state.
    pub(crate) fn state(&mut self, second: i64, member: &str, name: &str, state: &str) {
        self.state_because(second, member, name, state, "");
    }

    /// The operator writes a state and what went wrong.
    pub(crate) fn state_because(&mut self, second: i64, member: &str, name: &str, state: &str, error: &str) {
        let status = json!({"applicationState": {"state": state, "errorMessage": error}});
        let body = json!({"requestObject": {"metadata": {"name": name}, "status": status.clone()}, "user": {"username": "admin"}});
        self.log(member, second, ("update", "sparkapplications/status", name), 200, body);
        self.change(member, "SparkApplication", name, json!({"status": status}));
    }

    /// A driver pod is created for an application.
    pub(crate) fn driver(&mut self, second: i64, member: &str, job: &str, attempt: u32, name: &str) {
        let object = json!({
            "kind": "Pod",
            "metadata": {
                "name": name, "namespace": TEAM, "uid": format!("{member}-{name}-{second}"),
                "creationTimestamp": at(second).to_string(),
                "labels": {
                    "spark-role": "driver", "sparkrouter.dev/job-uid": format!("uid-{job}"),
                    "sparkrouter.dev/attempt": attempt.to_string(),
                },
                "ownerReferences": [{"controller": true, "uid": format!("{member}-{job}-{attempt}")}],
            },
            "status": {"phase": "Pending"},
        });
        self.log(member, second, ("create", "pods", name), 201, json!({"responseObject": object}));
        self.set(member, object);
    }

    /// A driver pod's phase changes.
    pub(crate) fn phase(&mut self, second: i64, member: &str, name: &str, phase: &str) {
        let body = json!({"requestObject": {"status": {"phase": phase}}});
        self.log(member, second, ("patch", "pods/status", name), 200, body);
        self.change(member, "Pod", name, json!({"status": {"phase": phase}}));
    }

    /// A driver pod is deleted at once.
    pub(crate) fn pod_goes(&mut self, second: i64, member: &str, name: &str) {
        let mut object = self.take(member, "Pod", name);
        let going = json!({"metadata": {"deletionTimestamp": at(second).to_string(), "deletionGracePeriodSeconds": 0}});
        merge(&mut object, going);
        self.log(member, second, ("delete", "pods", name), 200, json!({"responseObject": object}));
    }

    /// A job is deleted, and the router lets it go.
    pub(crate) fn lets_go(&mut self, asked: i64, second: i64, name: &str) {
        let admin = json!({"user": {"username": "admin"}});
        self.log("hub", asked, ("delete", "routedsparkjobs", name), 200, admin);
        let body = json!({"requestObject": {"metadata": {"finalizers": []}}});
        self.log("hub", second, ("patch", "routedsparkjobs", name), 200, body);
        self.take("hub", "RoutedSparkJob", name);
    }

    /// An application that nothing holds is deleted.
    pub(crate) fn goes(&mut self, second: i64, member: &str, name: &str) {
        let object = self.take(member, "SparkApplication", name);
        let gone =
            json!({"responseStatus": {"status": "Success", "details": {"uid": object["metadata"]["uid"]}}});
        self.log(member, second, ("delete", "sparkapplications", name), 200, gone);
    }

    /// A job that goes its way on m1 within ten seconds.
    pub(crate) fn succeeds(&mut self, second: i64, name: &str) {
        self.submit(second, name, json!({}));
        self.dispatches(second, name, 1, "m1");
        let (remote, pod) = (format!("{name}-1"), format!("{name}-1-driver"));
        self.state(second + 8, "m1", &remote, "COMPLETED");
        self.phase(second + 7, "m1", &pod, "Succeeded");
        let end = json!({"placement": placement(name, 1, "m1"), "application": {"state": "COMPLETED"}});
        self.status(second + 9, name, "Succeeded", "JobSucceeded", end);
    }

    /// A job is placed, and runs five seconds later.
    pub(crate) fn dispatches(&mut self, second: i64, name: &str, attempt: u32, member: &str) {
        let mut unseen = placement(name, attempt, member);
        merge(&mut unseen, json!({"remoteUid": null}));
        self.status(second + 1, name, "Dispatched", "Placed", json!({"placement": unseen}));
        let remote = format!("{name}-{attempt}");
        self.creates(second + 2, member, name, attempt);
        self.driver(second + 3, member, name, attempt, &format!("{remote}-driver"));
        self.state(second + 3, member, &remote, "SUBMITTED");
        self.phase(second + 4, member, &format!("{remote}-driver"), "Running");
        self.state(second + 4, member, &remote, "RUNNING");
        let running =
            json!({"placement": placement(name, attempt, member), "application": {"state": "RUNNING"}});
        self.status(second + 5, name, "Running", "Running", running);
    }
}
