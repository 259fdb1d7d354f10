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

    /// Form of the log lines.
    #[arg(long, env = "SPARK_ROUTER_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,

    /// What is logged: a level, or target=level pairs separated by commas.
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
    fn durations_are_read_and_refused_in_words() {
        let cli = Cli::try_parse_from(["spark-router", "run", "--retention-floor", "1s"]).unwrap();
        let Command::Run(run) = cli.command else { panic!("it is run") };
        assert_eq!(run.retention_floor, Duration::from_secs(1));
        let error =
            Cli::try_parse_from(["spark-router", "run", "--retention-floor", "1d"]).unwrap_err().to_string();
        assert!(error.contains("write it like 90s, 24h or 1h30m"), "{error}");
    }
}
