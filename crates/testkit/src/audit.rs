//! The audit log of an API server: what really happened, whatever the clients believe.
//!
//! Purpose: parse it. Owns no state; a [`Mark`] is a position in the file. It must never be read as a live signal: a
//! line is written when its request is done, which may be some milliseconds after the client has its answer, and a
//! watch shows only when it ends.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::Error;

/// The audit log of one cluster.
#[derive(Debug, Clone)]
pub struct Audit {
    path: PathBuf,
}

/// A position in an audit log, for [`Audit::since`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

/// One request that was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The unique id of the request.
    pub id: String,
    /// `create`, `get`, `list`, `watch`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The API group, empty for the core group.
    pub group: String,
    /// The plural resource, empty for requests that are not about one (discovery).
    pub resource: String,
    /// The subresource, empty where there is none.
    pub subresource: String,
    /// The namespace, empty for cluster-wide requests.
    pub namespace: String,
    /// The object's name, empty for lists and for creates with a generated name.
    pub name: String,
    /// The user, `system:serviceaccount:<namespace>:<name>` for a service account.
    pub user: String,
    /// The client's `User-Agent`.
    pub agent: String,
    /// The path with its query.
    pub uri: String,
    /// The HTTP status that the client was sent.
    pub code: u16,
    /// When the request came in, RFC 3339 with microseconds.
    pub received: String,
    /// When it was answered, RFC 3339 with microseconds.
    pub done: String,
    /// The request's body, where the policy keeps it.
    pub request: Option<Value>,
    /// The answer's body, where the policy keeps it.
    pub response: Option<Value>,
}

impl Call {
    /// Whether the server did what it was asked for.
    pub fn succeeded(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// The uid of the object that a create made.
    pub fn created_uid(&self) -> Option<&str> {
        let created = self.verb == "create" && self.subresource.is_empty() && self.succeeded();
        self.response.as_ref().filter(|_| created)?.pointer("/metadata/uid")?.as_str()
    }

    /// A label of the object in the request's body.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.request.as_ref()?.get("metadata")?.get("labels")?.get(key)?.as_str()
    }

    /// `verb resource` or `verb resource/subresource`, for counting.
    pub fn kind(&self) -> String {
        let slash = if self.subresource.is_empty() { "" } else { "/" };
        format!("{} {}{slash}{}", self.verb, self.resource, self.subresource)
    }
}

impl Audit {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The log file: one JSON event per line.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The present end of the log.
    pub fn mark(&self) -> Mark {
        Mark(std::fs::metadata(&self.path).map_or(0, |file| file.len()))
    }

    /// All calls from the start of the cluster.
    pub fn calls(&self) -> Result<Vec<Call>, Error> {
        self.since(Mark::default())
    }

    /// The calls whose answers were written after `mark`. A last line that is still being written is left out.
    pub fn since(&self, mark: Mark) -> Result<Vec<Call>, Error> {
        let failed = |source| Error::File { action: "read", path: self.path.clone(), source };
        let mut file = File::open(&self.path).map_err(failed)?;
        file.seek(SeekFrom::Start(mark.0)).map_err(failed)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines = bytes.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n');
        lines
            .enumerate()
            .filter(|(_, line)| !line.is_empty())
            .map(|(index, line)| {
                serde_json::from_slice::<Line>(line).map(Call::from).map_err(|source| Error::Audit {
                    path: self.path.clone(),
                    line: index + 1,
                    source,
                })
            })
            .collect()
    }
}

/// Counts calls by [`Call::kind`].
pub fn count<'a>(calls: impl IntoIterator<Item = &'a Call>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in calls {
        *counts.entry(call.kind()).or_default() += 1;
    }
    counts
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(rename = "auditID")]
    id: String,
    verb: String,
    #[serde(rename = "requestURI", default)]
    uri: String,
    #[serde(default)]
    user: User,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: Object,
    #[serde(default)]
    response_status: Status,
    #[serde(rename = "requestReceivedTimestamp", default)]
    received: String,
    #[serde(rename = "stageTimestamp", default)]
    done: String,
    request_object: Option<Value>,
    response_object: Option<Value>,
}

#[derive(Deserialize, Default)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Object {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
    api_group: String,
}

#[derive(Deserialize, Default)]
struct Status {
    #[serde(default)]
    code: u16,
}

impl From<Line> for Call {
    fn from(line: Line) -> Self {
        Self {
            id: line.id,
            verb: line.verb,
            group: line.object_ref.api_group,
            resource: line.object_ref.resource,
            subresource: line.object_ref.subresource,
            namespace: line.object_ref.namespace,
            name: line.object_ref.name,
            user: line.user.username,
            agent: line.user_agent,
            uri: line.uri,
            code: line.response_status.code,
            received: line.received,
            done: line.done,
            request: line.request_object,
            response: line.response_object,
        }
    }
}
