//! The real Kubeflow Spark operator.
//!
//! Purpose: install its CRDs and rights and start it with a `spark-submit`: the stand-in for volume, Spark's own to
//! prove the stand-in right. Owns no state; the process belongs to the cluster. It must never get more rights than its
//! Helm chart gives it, or tests would miss what a real member refuses.

use std::path::PathBuf;
use std::process::Command;

use crate::Error;
use crate::cluster::{Cluster, Part};
use crate::spark_submit::StandIn;
use crate::supervise;

const NAMESPACE: &str = "spark-operator";
const ACCOUNT: &str = "spark-operator-controller";

/// How the operator submits.
#[derive(Debug, Clone, Default)]
pub enum Submit {
    /// [`crate::spark_submit`]: creates the pods that Spark would, in milliseconds.
    #[default]
    StandIn,
    /// Spark's own `spark-submit`.
    Spark {
        /// `SPARK_HOME`: the folder with `bin/spark-submit`.
        home: PathBuf,
        /// More environment: `PATH`, `JAVA_HOME`. `KUBECONFIG` is set to the operator's own token.
        environment: Vec<(String, String)>,
    },
}

/// How the operator is started.
#[derive(Debug, Clone, Default)]
pub struct KubeflowOptions {
    /// How it submits.
    pub submit: Submit,
    /// The namespaces it watches; empty means all.
    pub namespaces: Vec<String>,
    /// More arguments; a flag given here wins over ours.
    pub arguments: Vec<String>,
}

/// Installs the operator's three CRDs: without any of them it exits at once.
pub(crate) async fn install_crds(cluster: &Cluster) -> Result<(), Error> {
    cluster.apply_files(&cluster.tools().spark_operator_crds()).await.map(drop)
}

pub(crate) async fn start(cluster: &Cluster, options: &KubeflowOptions) -> Result<Option<StandIn>, Error> {
    install_crds(cluster).await?;
    cluster.apply_manifest(include_str!("kubeflow-rbac.yaml")).await?;
    let token = cluster.token_for(NAMESPACE, ACCOUNT).await?;
    let kubeconfig = cluster.kubeconfig_with_token(cluster.server(), &token);
    let path = cluster.write("spark-operator.kubeconfig", &kubeconfig)?;

    let (address, health) = (cluster.address().ip(), cluster.port(4000));
    let mut command = Command::new(cluster.tools().program("spark-operator"));
    command.args(["controller", "start", "--leader-election=false", "--enable-metrics=true"]);
    command.arg(format!("--kubeconfig={}", path.display()));
    command.arg(format!("--namespaces={}", options.namespaces.join(",")));
    command.arg(format!("--health-probe-bind-address={address}:{health}"));
    command.arg(format!("--metrics-bind-address={address}:{}", cluster.port(5000)));
    // The defaults are for a JVM per submit; tests push hundreds of jobs through one operator.
    command.args(["--controller-threads=20", "--kube-api-qps=500", "--kube-api-burst=1000"]);
    command.args(["--workqueue-ratelimiter-bucket-qps=500", "--workqueue-ratelimiter-bucket-size=1000"]);
    command.args(&options.arguments);
    // Both are needed even with a kubeconfig: the operator builds spark-submit's --master from them.
    command.env("KUBERNETES_SERVICE_HOST", address.to_string());
    command.env("KUBERNETES_SERVICE_PORT", cluster.address().port().to_string());
    command.env("KUBECONFIG", &path);

    let stand_in = match &options.submit {
        Submit::Spark { home, environment } => {
            command.env("SPARK_HOME", home).envs(environment.iter().map(|(key, value)| (key, value)));
            None
        }
        Submit::StandIn => {
            let submitter = cluster.client_of(&kubeconfig).await?;
            let stand_in = StandIn::start(cluster, submitter).await?;
            command.env("SPARK_HOME", stand_in.home());
            Some(stand_in)
        }
    };
    cluster.launch(Part::SparkOperator, command)?;
    let process = cluster.process(Part::SparkOperator)?;
    let what = format!("the Spark operator of cluster {}", cluster.name());
    supervise::wait(&what, &process, async || {
        let connected = tokio::net::TcpStream::connect((address, health)).await;
        connected.map(drop).map_err(|error| error.to_string())
    })
    .await?;
    Ok(stand_in)
}
