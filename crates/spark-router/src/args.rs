//! The command line, and what it becomes once it is checked.
//!
//! Owns no state. Every flag can also be given as an environment variable; the flag wins.

use std::{net::SocketAddr, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Routes Spark jobs over many Kubernetes clusters.
///
/// Apply a RoutedSparkJob to the hub cluster; the router picks a member cluster by queue weight and capacity, creates the
/// SparkApplication there and mirrors its status back.
#[derive(Debug, Parser)]
#[command(name = "spark-router", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the router against the hub cluster.
    ///
    /// Finds the hub as kubectl does: KUBECONFIG, ~/.kube/config, or the service account inside a pod. Stops on SIGTERM
    /// or Ctrl-C; running Spark jobs go on without it and are picked up again at the next start.
    Run(Box<Run>),
    /// Say why a job runs where it runs, or what it waits for and where it could go.
    ///
    /// Reads jobs, queues, members and namespaces of the hub with your own rights (get and list on all of them) and asks
    /// the router's own rules. Nothing is created or changed: a manifest given with -f is sent as a server-side dry run,
    /// so that the hub's own checks are made too. Not known here, because only the router's memory has it: the tokens of
    /// rate limits, and a quota that was full a second ago.
    Explain(Explain),
    /// Let jobs go that hold because the hub was put back to an earlier state.
    ///
    /// When the router starts on a hub that was restored, members may show placements that the hub has no record of. What
    /// was placed and is still there is taken up again by itself. But a job that is Queued in the restored state may have
    /// been placed, have run and be gone since, without a trace: it would run twice. So the older jobs of such a queue
    /// hold, with the reason HubRestored; jobs created after the router's start go on.
    ///
    /// Without QUEUE this shows which queues hold, what was seen where and which jobs would be let go, and changes nothing.
    /// With QUEUE it shows the same and lets the held jobs of those queues go. First delete the jobs that are not to run
    /// (again). Applications of jobs that the hub does not know run on; delete them on their member if nobody needs them.
    ///
    /// Uses your own rights: list on sparkqueues and routedsparkjobs, and patch on sparkqueues to let go. It writes the
    /// annotation sparkrouter.dev/acknowledge with the number of the last placement that was shown: what comes to light
    /// later holds the jobs again.
    Acknowledge(Acknowledge),
    /// Try members, queues and weights on a virtual clock before the hub has them.
    ///
    /// Runs the router's own placement over the MemberCluster and SparkQueue manifests of a file and the jobs of a trace,
    /// or over members and jobs made up from a few numbers, and reports shares, waits, utilisation and fairness. Needs no
    /// cluster and creates nothing. What members' own quotas and schedulers would signal does not exist here: declared
    /// capacity counts.
    Simulate(Simulate),
}

/// Flags of `simulate`.
#[derive(Clone, Debug, Args)]
#[command(
    group = clap::ArgGroup::new("load").required(true).args(["trace", "generate"]),
    after_help = "\
A trace is CSV with a header:
  arrival,queue,namespace,cpu,memory,executors,duration
  0,etl,team-a,9,36Gi,8,600
arrival: seconds since the start, or RFC 3339. cpu, memory: of driver and executors together, as Kubernetes quantities.
executors: without the driver (or a column pods: with it). duration: seconds. Optional: priority, and clusters (names of
members with spaces between them). Lines that begin with # are comments.

--generate takes key=value pairs with commas between them:
  jobs=10000      how many, at most 1000000
  load=70         percent of all cores that they ask for on average
  namespaces=4    a queue
  seed=1          the same seed gives the same jobs
and without --members also:
  members=4       at most 1000
  cores=200       of each member, with 4 GiB a core; 0 declares no capacity
  queues=1        every second one shares fairly between its namespaces
  candidates=20   members that a queue routes to
  weights=60/40x1 of a queue's members: here one of 60 and forty of 1

Examples:
  spark-router simulate --members fleet.yaml --trace last-week.csv --plots pictures
  spark-router simulate --members fleet.yaml --generate jobs=100000,load=90
  spark-router simulate --generate jobs=10000,weights=40/30/20/10,cores=0 --format json"
)]
pub(crate) struct Simulate {
    /// MemberCluster and SparkQueue manifests, YAML with --- between them; Namespace manifests give labels for
    /// namespaceSelectors. All members are taken to be ready. - reads standard input.
    #[arg(long, value_name = "FILE", required_unless_present = "generate")]
    pub members: Option<std::path::PathBuf>,

    /// Jobs as CSV; - reads standard input.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<std::path::PathBuf>,

    /// Jobs, and without --members also members and queues, from a few numbers.
    #[arg(long, value_name = "KEY=VALUE,...")]
    pub generate: Option<String>,

    /// Time from a placement until the member's operator has submitted the job.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub submit_delay: Duration,

    /// Time from the submission until all pods of the job are there.
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    pub start_delay: Duration,

    /// Form of the report.
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub format: ReportFormat,

    /// Writes utilisation.svg and wait.svg into this directory.
    #[arg(long, value_name = "DIR")]
    pub plots: Option<std::path::PathBuf>,

    /// No progress on standard error.
    #[arg(short, long)]
    pub quiet: bool,
}

/// Form of a simulation's report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people, with the shares of every queue.
    Text,
    /// One JSON object.
    Json,
}

/// Flags of `explain`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  spark-router explain team-a/daily-report\n  spark-router explain daily-report -n team-a -o json\n  spark-router explain -f job.yaml"
)]
pub(crate) struct Explain {
    /// The job: its name, or namespace/name.
    #[arg(value_name = "[NAMESPACE/]NAME", required_unless_present = "file", conflicts_with = "file")]
    pub job: Option<String>,

    /// A RoutedSparkJob manifest that is not on the hub yet, YAML or JSON; - reads standard input.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<std::path::PathBuf>,

    /// Namespace of the job. Default: that of the manifest, else that of the kubeconfig's context.
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,

    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,

    /// Context of the kubeconfig that leads to the hub. Default: its current one.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// Flags of `acknowledge`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  spark-router acknowledge\n  spark-router acknowledge etl\n  spark-router acknowledge etl adhoc -o json"
)]
pub(crate) struct Acknowledge {
    /// SparkQueues whose held jobs are let go. Default: none, all that hold are shown.
    #[arg(value_name = "QUEUE")]
    pub queues: Vec<String>,

    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,

    /// Context of the kubeconfig that leads to the hub. Default: its current one.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// Form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// One JSON object.
    Json,
}

/// Flags of `run`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Run {
    /// Namespace of the router itself: member kubeconfig Secrets are read only from here. Inside a pod it is found by
    /// itself.
    #[arg(long, env = "SPARK_ROUTER_NAMESPACE", value_name = "NAME")]
    pub namespace: Option<String>,

    /// Identity of this hub, written on every application it creates. Default: uid of the kube-system namespace. Two
    /// hubs must never share one; keep it when a hub is rebuilt under a new uid and its jobs are to be found again.
    #[arg(long, env = "SPARK_ROUTER_HUB_ID", value_name = "ID")]
    pub hub_id: Option<String>,

    /// Name of this process, as events and the lease show it. No two that run at once may have the same; one that is
    /// started again under its name takes its lease back at once. Default: POD_NAME, else HOSTNAME.
    #[arg(long, env = "SPARK_ROUTER_INSTANCE", value_name = "NAME",
          value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub instance: Option<String>,

    /// Whether routers of this hub take turns by the Lease spark-router in --namespace: one leads, the others stand by
    /// with everything loaded. With false this one leads without asking: for a single process, where it may have no
    /// rights on Leases.
    #[arg(long, env = "SPARK_ROUTER_LEASE", value_name = "BOOL", default_value_t = true,
          action = clap::ArgAction::Set)]
    pub lease: bool,

    /// Address for /livez, /readyz and /metrics.
    #[arg(long, env = "SPARK_ROUTER_ADMIN_ADDRESS", value_name = "IP:PORT", default_value = "0.0.0.0:8080")]
    pub admin_address: SocketAddr,

    /// Passes over jobs at once.
    #[arg(long, env = "SPARK_ROUTER_CONCURRENCY", value_name = "N", default_value_t = 128,
          value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub concurrency: u16,

    /// Shortest time that finished applications are kept on members, whatever a MemberCluster says.
    #[arg(long, env = "SPARK_ROUTER_RETENTION_FLOOR", value_name = "DURATION", default_value = "10m", value_parser = duration)]
    pub retention_floor: Duration,

    /// How often each member is swept for finished applications whose job is gone.
    #[arg(long, env = "SPARK_ROUTER_SWEEP_EVERY", value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub sweep_every: Duration,

    /// Most job runs of EMR on EKS that are started a second in one account and region, over all members there. AWS
    /// publishes no rate; it asks for fewer calls where this is too much, and gets them.
    #[arg(long, env = "SPARK_ROUTER_AWS_STARTS_PER_SECOND", value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub aws_starts_per_second: u32,

    /// Whether credentials for AWS may come from the instance metadata of the machine, where nothing else gives any (web
    /// identity, Pod Identity, environment). On a shared node they are more than the router's own.
    #[arg(long, env = "SPARK_ROUTER_AWS_INSTANCE_METADATA", value_name = "BOOL", default_value_t = false,
          action = clap::ArgAction::Set)]
    pub aws_instance_metadata: bool,

    /// Form of the log lines.
    #[arg(long, env = "SPARK_ROUTER_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,

    /// What is logged: a level, or target=level pairs separated by commas. The Kubernetes client libraries log nothing
    /// unless they are named (kube_client=debug, kube_runtime=debug).
    #[arg(long, env = "SPARK_ROUTER_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,
}

/// Form of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl Run {
    /// The name of this process. `variable` reads the environment.
    pub(crate) fn instance(&self, variable: impl Fn(&str) -> Option<String>) -> String {
        let named = ["POD_NAME", "HOSTNAME"].into_iter().filter_map(variable).find(|name| !name.is_empty());
        self.instance.clone().or(named).unwrap_or_else(|| "spark-router".to_owned())
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    spark_router_api::DurationText::new(text).get().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_process_has_the_name_it_is_given_or_that_of_its_pod_or_host() {
        let run = |arguments: &[&str]| {
            let cli = Cli::try_parse_from([&["spark-router", "run"], arguments].concat()).unwrap();
            let Command::Run(run) = cli.command else { panic!("it is run") };
            run
        };
        let host = |name: &str| (name == "HOSTNAME").then(|| "host".to_owned());
        let pod = |name: &str| Some(if name == "POD_NAME" { "pod" } else { "host" }.to_owned());
        let empty = |name: &str| Some(if name == "POD_NAME" { "" } else { "host" }.to_owned());
        assert_eq!(run(&["--instance=own"]).instance(pod), "own");
        assert_eq!(run(&[]).instance(pod), "pod");
        assert_eq!(
            (run(&[]).instance(host), run(&[]).instance(empty)),
            ("host".to_owned(), "host".to_owned())
        );
        assert_eq!(run(&[]).instance(|_| None), "spark-router");
        assert!(run(&[]).lease && !run(&["--lease=false"]).lease);
    }

    #[test]
    fn durations_are_read_and_refused_in_words() {
        let cli = Cli::try_parse_from(["spark-router", "run", "--retention-floor", "1s"]).unwrap();
        let Command::Run(run) = cli.command else { panic!("it is run") };
        assert_eq!(run.retention_floor, Duration::from_secs(1));
        let error =
            Cli::try_parse_from(["spark-router", "run", "--retention-floor", "1d"]).unwrap_err().to_string();
        assert!(error.contains("write it like 90s, 24h or 1h30m"), "{error}");
    }
}
