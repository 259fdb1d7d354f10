//! One member of a run, with what is around it.
//!
//! Owns the fault proxy and the scripted operator of a cluster, or the server of a virtual cluster. It must never know
//! what becomes of jobs there: that is read from logs and records at the end.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::Api;
use kube::api::DynamicObject;
use parking_lot::Mutex;
use serde_json::{Value, json};
use spark_router_testkit::apache::{self, ScriptedApacheOperator};
use spark_router_testkit::fault::FaultProxy;
use spark_router_testkit::moto::{self, CancelEnd, Lane, Moto};
use spark_router_testkit::operator::{Options, ScriptedOperator};
use spark_router_testkit::router::{Installation, jobs, objects};
use spark_router_testkit::{Cluster, Fleet, Part};

use crate::error::Error;
use crate::evidence::Backend;
use crate::fault::{Operators, TOKENS};
use crate::oracle::doubled_in;

/// A run stays so long in CANCEL_PENDING.
const CANCELLING: Duration = Duration::from_millis(700);
/// And so long in PENDING.
const PACE: Duration = Duration::from_millis(50);
/// The last byte of a server's address; the next one has the next.
const SERVERS: u8 = 100;

/// One member.
pub(crate) struct Site<'a> {
    pub(crate) name: String,
    pub(crate) backend: Backend,
    pub(crate) place: Place<'a>,
}

/// Where its jobs run.
pub(crate) enum Place<'a> {
    Cluster(Box<Ground<'a>>),
    Virtual(Virtual),
}

/// A cluster.
pub(crate) struct Ground<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) proxy: FaultProxy,
    operators: Operators,
    backend: Backend,
    /// The scripted one, while it runs.
    operator: tokio::sync::Mutex<Option<Scripted>>,
    /// Applications whose drivers operators of earlier lives doubled.
    doubled: Mutex<BTreeSet<String>>,
}

enum Scripted {
    Kubeflow(ScriptedOperator),
    Apache(ScriptedApacheOperator),
}

/// A virtual cluster, with a server of its own.
pub(crate) struct Virtual {
    pub(crate) moto: Moto,
    pub(crate) id: String,
    /// A token that was used before gives back its run.
    pub(crate) honours_tokens: bool,
}

impl<'a> Site<'a> {
    /// Sets a cluster up as a member; `spec` is merged into that of its object.
    pub(crate) async fn cluster(
        installation: &Installation<'a>,
        (cluster, name): (&'a Cluster, &str),
        (operators, backend): (Operators, Backend),
        mut spec: Value,
    ) -> Result<Self, Error> {
        let proxy = FaultProxy::start(cluster.server(), cluster.authority().certificate()).await?;
        if backend == Backend::Apache {
            objects::merge(&mut spec, json!({"backend": {"apacheSpark": {}}}));
        }
        installation.member_through(name, &proxy, spec).await?;
        let ground = Ground {
            cluster,
            proxy,
            operators,
            backend,
            operator: tokio::sync::Mutex::default(),
            doubled: Mutex::default(),
        };
        if operators != Operators::Kubeflow {
            *ground.operator.lock().await = Some(ground.scripted());
        }
        Ok(Self { name: name.to_owned(), backend, place: Place::Cluster(Box::new(ground)) })
    }

    /// Sets a virtual cluster up as the `number`-th member.
    pub(crate) async fn virtual_cluster(
        installation: &Installation<'_>,
        fleet: &Fleet,
        (name, number): (&str, u8),
        mut spec: Value,
    ) -> Result<Self, Error> {
        let address = fleet.address(SERVERS.saturating_add(number));
        let moto = Moto::start_at(fleet.supervisor(), name, address, Lane::Controlled).await?;
        let honours_tokens = name == TOKENS;
        moto.honour_tokens(honours_tokens).await?;
        moto.go_by_annotations(PACE).await?;
        moto.cancelled_runs_end(CancelEnd::Cancelled(CANCELLING)).await?;
        let made = moto.create_virtual_cluster(name, "eks-1", "spark").await?;
        let backend = json!({
            "virtualClusterId": made.id, "region": moto::REGION, "endpointUrl": moto.url(), "pollSeconds": 1,
            "releases": [{"sparkVersion": "4.0", "releaseLabel": moto::RELEASE}],
            "executionRoles": [{"arn": format!("arn:aws:iam::{}:role/spark-jobs", moto::ACCOUNT)}],
            // The manifest is the same for all members.
            "images": "Ignore",
        });
        objects::merge(&mut spec, json!({"backend": {"emrContainers": backend}}));
        // Takes that of a cluster out.
        spec["connection"] = Value::Null;
        installation.register(name, spec).await?;
        let place = Place::Virtual(Virtual { moto, id: made.id, honours_tokens });
        Ok(Self { name: name.to_owned(), backend: Backend::EmrContainers, place })
    }
}

impl Ground<'_> {
    fn scripted(&self) -> Scripted {
        let client = self.cluster.client();
        if self.backend == Backend::Apache {
            return Scripted::Apache(ScriptedApacheOperator::start(client, apache::Options::default()));
        }
        let options = Options { driver_pods: true, drivers_end: true, ..Options::default() };
        Scripted::Kubeflow(ScriptedOperator::start(client, options))
    }

    /// Whose operator acts here.
    pub(crate) fn backend(&self) -> Backend {
        self.backend
    }

    /// The applications of a namespace.
    pub(crate) fn applications(&self, namespace: &str) -> Api<DynamicObject> {
        let client = self.cluster.client();
        match self.backend {
            Backend::Apache => Api::namespaced_with(client, namespace, &apache::resource()),
            _ => jobs::applications_in(client, namespace),
        }
    }

    /// Stops the operator in whatever it is doing, and starts it again after this time.
    pub(crate) async fn crash_operator(&self, down: Duration) -> Result<(), Error> {
        if self.operators == Operators::Kubeflow {
            self.cluster.stop(Part::SparkOperator)?;
            tokio::time::sleep(down).await;
            return Ok(self.cluster.restart(Part::SparkOperator)?);
        }
        let mut operator = self.operator.lock().await;
        match operator.take() {
            Some(Scripted::Kubeflow(running)) => {
                self.doubled.lock().extend(doubled_by(&running));
                running.stop().await;
            }
            Some(Scripted::Apache(running)) => running.stop().await,
            None => {}
        }
        tokio::time::sleep(down).await;
        *operator = Some(self.scripted());
        Ok(())
    }

    /// The applications whose drivers the operator doubled. Apache's doubles none: it finds what it has made.
    pub(crate) async fn operator_doubled(&self) -> Result<BTreeSet<String>, Error> {
        if self.operators == Operators::Kubeflow {
            return doubled_in(self.cluster.audit().path());
        }
        let mut doubled = self.doubled.lock().clone();
        if let Some(Scripted::Kubeflow(running)) = &*self.operator.lock().await {
            doubled.extend(doubled_by(running));
        }
        Ok(doubled)
    }
}

fn doubled_by(operator: &ScriptedOperator) -> BTreeSet<String> {
    operator.seen().into_iter().filter(|(_, seen)| seen.submits > 1).map(|(uid, _)| uid).collect()
}
