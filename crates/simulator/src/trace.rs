//! Jobs from a CSV file.
//!
//! Owns no state. A line that cannot be read is an error with its number, never a job left out.

use std::{collections::HashMap, io::Read, sync::Arc, time::Duration};

use jiff::Timestamp;
use spark_router_core::{
    id::{ClusterName, Namespace, QueueName},
    job::{Constraints, Request},
    resources::{Resources, cpu_milli, memory_bytes},
};

use crate::Error;

/// A job that will arrive.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When.
    pub at: Timestamp,
    /// Its namespace.
    pub namespace: Namespace,
    /// What it asks for. Shared by jobs that ask for the same.
    pub request: Arc<Request>,
    /// How long it runs once its pods are there.
    pub duration: Duration,
}

const EXAMPLE: &str = "arrival,queue,namespace,cpu,memory,executors,duration";
const KNOWN: [&str; 10] = [
    "arrival",
    "queue",
    "namespace",
    "cpu",
    "memory",
    "executors",
    "pods",
    "duration",
    "priority",
    "clusters",
];

/// Where each column is.
struct Columns {
    arrival: usize,
    queue: usize,
    namespace: usize,
    cpu: usize,
    memory: usize,
    /// Executors, or pods with the driver among them.
    pods: (usize, &'static str),
    duration: usize,
    priority: Option<usize>,
    clusters: Option<usize>,
}

impl Columns {
    fn find(header: &csv::StringRecord) -> Result<Self, Error> {
        if let Some(column) = header.iter().find(|column| !KNOWN.contains(column)) {
            return Err(Error::UnknownColumn { column: column.to_owned(), known: KNOWN.join(", ") });
        }
        let at = |name: &str| header.iter().position(|column| column == name);
        let must = |column: &'static str| at(column).ok_or(Error::Column { column, example: EXAMPLE });
        Ok(Self {
            arrival: must("arrival")?,
            queue: must("queue")?,
            namespace: must("namespace")?,
            cpu: must("cpu")?,
            memory: must("memory")?,
            pods: match at("pods") {
                Some(n) => (n, "pods"),
                None => (must("executors")?, "executors"),
            },
            duration: must("duration")?,
            priority: at("priority"),
            clusters: at("clusters"),
        })
    }
}

/// One line.
struct Line<'a> {
    number: u64,
    record: &'a csv::StringRecord,
}

impl Line<'_> {
    fn text(&self, at: usize) -> &str {
        self.record.get(at).unwrap_or_default()
    }

    fn read<T>(
        &self,
        at: usize,
        column: &'static str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Error> {
        let value = self.text(at);
        read(value).ok_or_else(|| Error::Value {
            line: self.number,
            column,
            value: value.to_owned(),
            expected: expected.to_owned(),
        })
    }
}

/// Reads a trace. Jobs come out in order of their arrival, whatever the order of the lines.
///
/// # Errors
/// The first line and column that cannot be read, and what is expected there.
pub fn read(from: impl Read) -> Result<Vec<Arrival>, Error> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(from);
    let columns = Columns::find(reader.headers()?)?;
    let mut requests: HashMap<(QueueName, i32, String, Resources), Arc<Request>> = HashMap::new();
    let mut namespaces: HashMap<String, Namespace> = HashMap::new();
    let mut arrivals = Vec::new();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record)? {
        let line = Line { number: record.position().map_or(0, csv::Position::line), record: &record };
        arrivals.push(arrival(&line, &columns, &mut requests, &mut namespaces)?);
    }
    if arrivals.is_empty() {
        return Err(Error::NoJobs);
    }
    arrivals.sort_by_key(|arrival| arrival.at);
    Ok(arrivals)
}

fn arrival(
    line: &Line<'_>,
    columns: &Columns,
    requests: &mut HashMap<(QueueName, i32, String, Resources), Arc<Request>>,
    namespaces: &mut HashMap<String, Namespace>,
) -> Result<Arrival, Error> {
    let at = line.read(
        columns.arrival,
        "arrival",
        "a time: seconds since the start like 12.5, or RFC 3339 like 2026-01-01T00:00:00Z",
        |text| text.parse().ok().or_else(|| Timestamp::UNIX_EPOCH.checked_add(seconds(text)?).ok()),
    )?;
    let name = "a name of lower-case letters, digits and -";
    let queue =
        line.read(columns.queue, "queue", name, |text| is_name(text).then(|| QueueName::from(text)))?;
    let namespace =
        line.read(columns.namespace, "namespace", name, |text| is_name(text).then(|| text.to_owned()))?;
    let namespace = namespaces.entry(namespace).or_insert_with_key(|name| Namespace::new(name)).clone();
    let cpu = line.read(
        columns.cpu,
        "cpu",
        "the cpu of driver and executors together: a Kubernetes quantity like 500m or 12",
        |text| cpu_milli(text).ok(),
    )?;
    let memory = line.read(
        columns.memory,
        "memory",
        "the memory of driver and executors together: a Kubernetes quantity like 512Mi or 40Gi",
        |text| memory_bytes(text).ok(),
    )?;
    let (n, column) = columns.pods;
    let pods = if column == "pods" {
        line.read(n, column, "a number of pods with the driver among them, from 1 to 1000000", |text| {
            text.parse().ok().filter(|pods| (1..=1_000_000).contains(pods))
        })?
    } else {
        line.read(n, column, "a number of executors from 0 to 1000000", |text| {
            text.parse::<u64>()
                .ok()
                .filter(|executors| *executors <= 1_000_000)
                .map(|executors| executors + 1)
        })?
    };
    let duration = line.read(columns.duration, "duration", "a number of seconds like 90 or 0.5", |text| {
        seconds(text).and_then(|duration| Duration::try_from(duration).ok())
    })?;
    let priority = columns.priority.map_or(Ok(0), |n| {
        line.read(n, "priority", "a whole number like 10, or empty", |text| {
            if text.is_empty() { Some(0) } else { text.parse().ok() }
        })
    })?;
    let clusters = columns.clusters.map_or(Ok(String::new()), |n| {
        line.read(n, "clusters", "names of members with spaces between them, or empty", |text| {
            text.split_whitespace().all(is_name).then(|| text.to_owned())
        })
    })?;
    let demand = Resources { jobs: 1, pods, cpu_milli: cpu, memory_bytes: memory };
    let request = requests.entry((queue, priority, clusters, demand)).or_insert_with_key(|asked| {
        let (queue, priority, clusters, demand) = asked;
        let names = clusters.split_whitespace().map(ClusterName::from).collect();
        Arc::new(request(queue.clone(), *priority, names, *demand))
    });
    Ok(Arrival { at, namespace, request: request.clone(), duration })
}

/// What a simulated job asks for.
pub(crate) fn request(
    queue: QueueName,
    priority: i32,
    names: Vec<ClusterName>,
    demand: Resources,
) -> Request {
    Request {
        queue,
        priority,
        constraints: Constraints { names, ..Constraints::default() },
        spark_version: "".into(),
        expressed: <_>::default(),
        sub_queue: None,
        demand,
        parts: 0,
        spec_hash: String::new(),
    }
}

/// Seconds with at most nine decimals, below a hundred years.
fn seconds(text: &str) -> Option<jiff::SignedDuration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let seconds: i64 = whole.parse().ok().filter(|seconds| *seconds <= 3_155_760_000)?;
    let nanos = format!("{fraction:0<9}").parse().ok()?;
    Some(jiff::SignedDuration::new(seconds, nanos))
}

fn is_name(text: &str) -> bool {
    let is_inner =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    !text.is_empty() && text.len() <= 253 && text.bytes().all(is_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(csv: &str) -> String {
        read(csv.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn jobs_are_read_and_come_in_order() {
        let csv = "# two jobs\narrival,queue,namespace,cpu,memory,executors,duration,priority,clusters\n\
                   10.5,etl,team-a,500m,1Gi,2,60,7,eu-1 us-1\n2, etl ,team-b,4,8Gi,0,0.25,,\n";
        let jobs = read(csv.as_bytes()).unwrap();
        assert_eq!(jobs.len(), 2);
        assert_eq!(jobs[0].at.as_second(), 2);
        assert_eq!(jobs[0].duration, Duration::from_millis(250));
        assert_eq!(jobs[1].at.as_millisecond(), 10_500);
        let request = &jobs[1].request;
        assert_eq!((request.priority, request.demand.pods, request.demand.cpu_milli), (7, 3, 500));
        assert_eq!(request.constraints.names, [ClusterName::from("eu-1"), ClusterName::from("us-1")]);
    }

    #[test]
    fn a_bad_line_is_named_with_its_column_its_value_and_what_is_expected() {
        let header = "arrival,queue,namespace,cpu,memory,pods,duration\n";
        assert_eq!(
            error(&format!("{header}0,etl,a,1,1Gi,1,5\n1,etl,a,two,1Gi,1,5\n")),
            "line 3, column cpu: \"two\" is not the cpu of driver and executors together: a Kubernetes quantity like \
             500m or 12"
        );
        for (line, column) in [
            ("yesterday,etl,a,1,1Gi,1,5", "arrival"),
            ("-1,etl,a,1,1Gi,1,5", "arrival"),
            ("0,ETL,a,1,1Gi,1,5", "queue"),
            ("0,etl,,1,1Gi,1,5", "namespace"),
            ("0,etl,a,1,1gb,1,5", "memory"),
            ("0,etl,a,1,1Gi,0,5", "pods"),
            ("0,etl,a,1,1Gi,1,-5", "duration"),
        ] {
            let error = error(&format!("{header}{line}\n"));
            assert!(error.starts_with(&format!("line 2, column {column}: ")), "{error}");
        }
        assert_eq!(
            error("arrival,queue\n"),
            format!("the header has no column namespace; write a first line like {EXAMPLE}")
        );
        assert!(
            error("arrival,cores\n")
                .starts_with("the header has a column \"cores\", which is none of arrival")
        );
        assert_eq!(error(header), "the trace has no jobs");
    }
}
