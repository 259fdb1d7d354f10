//! Reads an audit log line by line.
//!
//! Owns one open log and one line at a time: logs are larger than memory should have to be. A line that is longer than any
//! that matters is passed over and counted. An API server that was killed may have left half a line, at the end or with
//! the first line of its next life behind it; the whole one counts.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;

/// No line that matters is longer: an API server's largest body is 3 MiB, and a line has two of them at most.
const LONGEST: u64 = 8 * 1024 * 1024;

/// Where the API server notes which of an account's tokens came.
const CREDENTIAL: &str = "authentication.kubernetes.io/credential-id";

/// How every line begins.
const START: &str = "{\"kind\":\"Event\"";

/// A request that was answered.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) verb: String,
    pub(crate) user: String,
    /// What the user proved itself by: two processes of one account have two tokens.
    pub(crate) credential: Option<String>,
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// It was only tried out.
    pub(crate) is_dry_run: bool,
    /// 0 where there was no answer.
    pub(crate) code: u16,
    /// `status` of an answer that is a Status: `Success` after the delete of an object that is gone.
    pub(crate) status: String,
    /// The uid that such an answer speaks of.
    pub(crate) uid: Option<String>,
    pub(crate) received: Timestamp,
    pub(crate) done: Timestamp,
    pub(crate) request: Option<Value>,
    pub(crate) response: Option<Value>,
}

impl Line {
    /// Done as asked.
    pub(crate) fn is_ok(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Perhaps done: the client went away, or the server did, before there was an answer.
    pub(crate) fn is_unclear(&self) -> bool {
        self.code == 0 || self.code >= 500
    }

    /// The object of the answer, else of the request.
    pub(crate) fn object(&self) -> Option<&Value> {
        let is_object = |body: &&Value| body.pointer("/metadata/name").is_some_and(Value::is_string);
        self.response.as_ref().filter(is_object).or_else(|| self.request.as_ref().filter(is_object))
    }

    /// The API server has just been started: it lists the roles that it brings along, once.
    pub(crate) fn is_new_life(&self) -> bool {
        self.user == "system:apiserver" && self.verb == "list" && self.resource == "clusterroles"
    }
}

/// What was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Lines altogether.
    pub(crate) lines: u64,
    /// Half lines.
    pub(crate) torn: u64,
    /// Lines that are too long.
    pub(crate) too_long: u64,
}

/// See the module.
pub(crate) struct Reader<'a> {
    path: PathBuf,
    input: BufReader<File>,
    words: &'a [&'a str],
    buffer: Vec<u8>,
    /// The last line that was passed over.
    passed: Vec<u8>,
    pub(crate) tally: Tally,
}

impl<'a> Reader<'a> {
    /// Reads the lines in which one of these words is found.
    pub(crate) fn open(path: &Path, words: &'a [&'a str]) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::file("open", path))?;
        Ok(Self {
            path: path.to_owned(),
            input: BufReader::with_capacity(256 * 1024, file),
            words,
            buffer: Vec::new(),
            passed: Vec::new(),
            tally: Tally::default(),
        })
    }

    /// The next line that matters; `None` at the end.
    pub(crate) fn next_line(&mut self) -> Result<Option<Line>, Error> {
        while self.fill()? {
            let is_whole = self.buffer.last() == Some(&b'\n');
            let text = String::from_utf8_lossy(&self.buffer);
            let text = text.trim_end();
            if !self.words.iter().any(|word| text.contains(word)) {
                if is_whole {
                    std::mem::swap(&mut self.buffer, &mut self.passed);
                }
                continue;
            }
            match serde_json::from_str::<Wire>(text) {
                Ok(wire) => return Ok(Some(wire.into())),
                Err(source) => {
                    let whole = text.rfind(START).filter(|at| *at > 0).and_then(|at| text.get(at..));
                    if let Some(wire) = whole.and_then(|whole| serde_json::from_str::<Wire>(whole).ok()) {
                        self.tally.torn += 1;
                        return Ok(Some(wire.into()));
                    }
                    if is_whole {
                        return Err(Error::Audit { path: self.path.clone(), line: self.tally.lines, source });
                    }
                    self.tally.torn += 1;
                }
            }
        }
        Ok(None)
    }

    /// When the last line was written that was passed over: the run went on until then.
    pub(crate) fn passed_at(&self) -> Option<Timestamp> {
        serde_json::from_slice::<Wire>(&self.passed).ok().map(|wire| wire.done)
    }

    /// Fetches a line; false at the end.
    fn fill(&mut self) -> Result<bool, Error> {
        loop {
            self.buffer.clear();
            let failed = Error::file("read", &self.path);
            let mut bounded = (&mut self.input).take(LONGEST);
            if bounded.read_until(b'\n', &mut self.buffer).map_err(failed)? == 0 {
                return Ok(false);
            }
            self.tally.lines += 1;
            if bounded.limit() > 0 || self.buffer.last() == Some(&b'\n') {
                return Ok(true);
            }
            self.tally.too_long += 1;
            self.input.skip_until(b'\n').map_err(Error::file("read", &self.path))?;
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    verb: String,
    #[serde(rename = "requestURI", default)]
    uri: String,
    #[serde(default)]
    user: User,
    #[serde(default)]
    object_ref: Object,
    #[serde(default)]
    response_status: Answer,
    #[serde(rename = "requestReceivedTimestamp")]
    received: Timestamp,
    #[serde(rename = "stageTimestamp")]
    done: Timestamp,
    request_object: Option<Value>,
    response_object: Option<Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct User {
    username: String,
    extra: HashMap<String, Vec<String>>,
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
#[serde(default)]
struct Answer {
    code: u16,
    status: String,
    details: Details,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Details {
    uid: Option<String>,
}

impl From<Wire> for Line {
    fn from(wire: Wire) -> Self {
        Self {
            verb: wire.verb,
            user: wire.user.username,
            credential: wire.user.extra.get(CREDENTIAL).and_then(|ids| ids.first()).cloned(),
            group: wire.object_ref.api_group,
            resource: wire.object_ref.resource,
            subresource: wire.object_ref.subresource,
            namespace: wire.object_ref.namespace,
            name: wire.object_ref.name,
            is_dry_run: wire.uri.contains("dryRun="),
            code: wire.response_status.code,
            status: wire.response_status.status,
            uid: wire.response_status.details.uid,
            received: wire.received,
            done: wire.done,
            request: wire.request_object,
            response: wire.response_object,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str) -> String {
        format!(
            "{START},\"verb\":\"create\",\"objectRef\":{{\"resource\":\"pods\",\"name\":\"{name}\"}},\
             \"requestReceivedTimestamp\":\"2026-01-01T00:00:00.000001Z\",\
             \"stageTimestamp\":\"2026-01-01T00:00:00.000002Z\"}}"
        )
    }

    #[test]
    fn the_time_of_lines_that_are_passed_over_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        std::fs::write(&path, format!("{}\n{}\nhalf", event("a"), event("b"))).unwrap();
        let mut reader = Reader::open(&path, &["nothing"]).unwrap();
        assert!(reader.next_line().unwrap().is_none());
        assert_eq!(reader.passed_at(), Some("2026-01-01T00:00:00.000002Z".parse().unwrap()));
    }

    fn read(text: &str) -> Result<(Vec<String>, Tally), Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        std::fs::write(&path, text).unwrap();
        let mut reader = Reader::open(&path, &["\"pods\""]).unwrap();
        let mut names = Vec::new();
        while let Some(line) = reader.next_line()? {
            assert!(line.is_unclear(), "it has no answer");
            names.push(line.name);
        }
        Ok((names, reader.tally))
    }

    #[test]
    fn lines_of_other_things_are_passed_over() {
        let text = format!("{}\n{{\"other\":1}}\n{}\n", event("a"), event("b"));
        let (names, tally) = read(&text).unwrap();
        assert_eq!((names, tally.lines, tally.torn), (vec!["a".to_owned(), "b".to_owned()], 3, 0));
    }

    #[test]
    fn half_a_line_at_the_end_or_before_a_new_life_is_counted() {
        let whole = event("a");
        let half = whole.get(..70).unwrap();
        let (names, tally) = read(&format!("{whole}\n{half}")).unwrap();
        assert_eq!((names.len(), tally.torn), (1, 1));
        let (names, tally) = read(&format!("{half}{}\n{whole}\n", event("b"))).unwrap();
        assert_eq!((names, tally.torn), (vec!["b".to_owned(), "a".to_owned()], 1));
        let (names, _) = read(&whole).unwrap();
        assert_eq!(names, ["a"], "a last line without its line feed is whole");
    }

    #[test]
    fn a_spoilt_line_is_an_error_and_a_huge_one_is_passed_over() {
        let error = read(&format!("{}\n{{\"pods\"\n", event("a"))).unwrap_err();
        assert!(matches!(error, Error::Audit { line: 2, .. }), "{error:?}");
        let huge = "x".repeat(usize::try_from(LONGEST).unwrap() + 10);
        let (names, tally) = read(&format!("{huge}\n{}\n", event("a"))).unwrap();
        assert_eq!((names.len(), tally.too_long, tally.lines), (1, 1, 2));
        let (names, tally) = read(&format!("{}\n", event(&"y".repeat(100_000)))).unwrap();
        assert_eq!((names.len(), tally.too_long), (1, 0));
    }
}
