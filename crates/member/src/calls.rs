//! Counts the API calls that this process makes, by cluster, verb and resource.
//!
//! Owns the metric handles. Sits in every client, the hub's too, below its queues: only what goes out is counted. Labels
//! come from paths that this program builds, so their number is bounded by its code, never by users' names.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{Method, Request, Response, StatusCode};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use tower::{Layer, Service};

/// The `member_cluster` of calls to the hub.
pub const HUB: &str = "hub";

/// Labels of a counted call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabels {
    /// The cluster: [`HUB`] or the name of a member.
    pub member_cluster: String,
    /// As in audit logs: get, list, watch, create, update, patch, delete, deletecollection.
    pub verb: &'static str,
    /// Plural and subresource; `nonresource` for all other paths.
    pub resource: String,
    /// HTTP status; `error` without an answer, `cancelled` where nobody waited for one any more.
    pub code: String,
}

/// Labels of a call's time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TimeLabels {
    /// The cluster.
    pub member_cluster: String,
    /// As in [`CallLabels`].
    pub verb: &'static str,
}

/// Labels of what is counted per member.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct MemberLabels {
    /// The member.
    pub member_cluster: String,
}

/// See the module. Clones share the counts.
#[derive(Clone, Debug)]
pub struct Calls {
    count: Family<CallLabels, Counter>,
    time: Family<TimeLabels, Histogram, fn() -> Histogram>,
    orphans: Family<MemberLabels, Gauge>,
}

fn times() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 16))
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            count: Family::default(),
            time: Family::new_with_constructor(times),
            orphans: Family::default(),
        }
    }
}

impl Calls {
    /// Counters that show up in `registry`, all below the prefix `sparkrouter`.
    pub fn register(registry: &mut Registry) -> Self {
        let calls = Self::default();
        let ours = registry.sub_registry_with_prefix("sparkrouter");
        ours.register("api_calls", "Calls to the API servers of hub and members", calls.count.clone());
        ours.register_with_unit(
            "api_call_latency",
            "Time from sending a call to the head of its answer",
            Unit::Seconds,
            calls.time.clone(),
        );
        ours.register(
            "orphans",
            "Applications on a member that still run although their job is gone from the hub",
            calls.orphans.clone(),
        );
        calls
    }

    /// How many calls were made with these labels, over all codes.
    pub fn total(&self, member_cluster: &str, verb: &'static str, resource: &str) -> u64 {
        // Families cannot be iterated: the codes that occur are few and known.
        [
            "200",
            "201",
            "202",
            "400",
            "401",
            "403",
            "404",
            "409",
            "410",
            "422",
            "429",
            "500",
            "503",
            "504",
            "error",
            "cancelled",
        ]
        .into_iter()
        .filter_map(|code| {
            let labels = CallLabels {
                member_cluster: member_cluster.to_owned(),
                verb,
                resource: resource.to_owned(),
                code: code.to_owned(),
            };
            self.count.get(&labels).map(|counter| counter.get())
        })
        .sum()
    }

    /// The layer that counts the calls of one client.
    pub fn layer(&self, member_cluster: &str) -> CountLayer {
        CountLayer { calls: self.clone(), member_cluster: member_cluster.to_owned() }
    }

    /// Counts a call to a member that does not go through [`Self::layer`]. `code` is from the few of [`CallLabels::code`].
    pub fn note(&self, member_cluster: &str, verb: &'static str, resource: &str, code: &str, took: Duration) {
        let (member_cluster, resource, code) =
            (member_cluster.to_owned(), resource.to_owned(), code.to_owned());
        let time = TimeLabels { member_cluster: member_cluster.clone(), verb };
        self.count.get_or_create(&CallLabels { member_cluster, verb, resource, code }).inc();
        self.time.get_or_create(&time).observe(took.as_secs_f64());
    }

    pub(crate) fn set_orphans(&self, member_cluster: &str, number: usize) {
        let labels = MemberLabels { member_cluster: member_cluster.to_owned() };
        self.orphans.get_or_create(&labels).set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// Takes a removed member's series away.
    pub(crate) fn forget(&self, member_cluster: &str) {
        self.orphans.remove(&MemberLabels { member_cluster: member_cluster.to_owned() });
    }
}

/// See [`Calls::layer`].
#[derive(Clone, Debug)]
pub struct CountLayer {
    calls: Calls,
    member_cluster: String,
}

impl<S> Layer<S> for CountLayer {
    type Service = Count<S>;

    fn layer(&self, inner: S) -> Count<S> {
        Count { inner, calls: self.calls.clone(), member_cluster: self.member_cluster.clone() }
    }
}

/// Counts what goes through it.
#[derive(Clone, Debug)]
pub struct Count<S> {
    inner: S,
    calls: Calls,
    member_cluster: String,
}

impl<S, B, A> Service<Request<B>> for Count<S>
where
    S: Service<Request<B>, Response = Response<A>>,
    S::Future: Send + 'static,
{
    type Response = Response<A>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<A>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (verb, resource) = verb_and_resource(request.method(), request.uri());
        let mut running = Running {
            calls: self.calls.clone(),
            labels: CallLabels {
                member_cluster: self.member_cluster.clone(),
                verb,
                resource,
                code: "cancelled".to_owned(),
            },
            started: Instant::now(),
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            running.ended(answer.as_ref().map(Response::status).ok());
            answer
        })
    }
}

/// A call under way; counted when it ends in any way.
struct Running {
    calls: Calls,
    labels: CallLabels,
    started: Instant,
}

impl Running {
    fn ended(&mut self, status: Option<StatusCode>) {
        status.as_ref().map_or("error", StatusCode::as_str).clone_into(&mut self.labels.code);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.calls.count.get_or_create(&self.labels).inc();
        let time = TimeLabels { member_cluster: self.labels.member_cluster.clone(), verb: self.labels.verb };
        self.calls.time.get_or_create(&time).observe(self.started.elapsed().as_secs_f64());
    }
}

/// The verb and the resource of a request, as the API server's audit log has them.
fn verb_and_resource(method: &Method, uri: &http::Uri) -> (&'static str, String) {
    let mut parts = uri.path().split('/').filter(|part| !part.is_empty());
    let rest: Vec<&str> = match parts.next() {
        Some("api") => parts.skip(1).collect(),
        Some("apis") => parts.skip(2).collect(),
        _ => Vec::new(),
    };
    // A namespace is a scope only where something follows it.
    let rest = match rest.as_slice() {
        ["namespaces", _, tail @ ..] if !tail.is_empty() => tail,
        all => all,
    };
    let (resource, named) = match rest {
        [] => ("nonresource".to_owned(), true),
        [plural] => ((*plural).to_owned(), false),
        [plural, _] => ((*plural).to_owned(), true),
        [plural, _, sub, ..] => (format!("{plural}/{sub}"), true),
    };
    let watching = uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"));
    let verb = match *method {
        Method::GET | Method::HEAD if watching => "watch",
        Method::GET | Method::HEAD if named => "get",
        Method::GET | Method::HEAD => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if named => "delete",
        Method::DELETE => "deletecollection",
        _ => "other",
    };
    (verb, resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_named_as_in_audit_logs() {
        let group = "/apis/sparkoperator.k8s.io/v1beta2";
        for (method, path, expected) in [
            (
                Method::GET,
                format!("{group}/sparkapplications?labelSelector=a%3Db&watch=true&timeoutSeconds=50"),
                ("watch", "sparkapplications"),
            ),
            (
                Method::GET,
                format!("{group}/sparkapplications?labelSelector=a"),
                ("list", "sparkapplications"),
            ),
            (Method::GET, format!("{group}/namespaces/n/sparkapplications/x"), ("get", "sparkapplications")),
            (
                Method::POST,
                format!("{group}/namespaces/n/sparkapplications?timeout=10s"),
                ("create", "sparkapplications"),
            ),
            (
                Method::PATCH,
                format!("{group}/namespaces/n/sparkapplications/x"),
                ("patch", "sparkapplications"),
            ),
            (
                Method::DELETE,
                format!("{group}/namespaces/n/sparkapplications/x"),
                ("delete", "sparkapplications"),
            ),
            (
                Method::DELETE,
                format!("{group}/namespaces/n/sparkapplications"),
                ("deletecollection", "sparkapplications"),
            ),
            (Method::GET, "/api/v1/namespaces/n/pods/p/log?tailLines=1".to_owned(), ("get", "pods/log")),
            (Method::GET, "/api/v1/namespaces/kube-system".to_owned(), ("get", "namespaces")),
            (Method::GET, "/api/v1/namespaces".to_owned(), ("list", "namespaces")),
            (
                Method::POST,
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews".to_owned(),
                ("create", "selfsubjectaccessreviews"),
            ),
            (
                Method::PATCH,
                "/apis/sparkrouter.dev/v1alpha1/namespaces/a/routedsparkjobs/j/status".to_owned(),
                ("patch", "routedsparkjobs/status"),
            ),
            (Method::GET, "/readyz".to_owned(), ("get", "nonresource")),
            (Method::GET, group.to_owned(), ("get", "nonresource")),
        ] {
            let (verb, resource) = verb_and_resource(&method, &path.parse().unwrap());
            assert_eq!((verb, resource.as_str()), expected, "{method} {path}");
        }
    }
}
