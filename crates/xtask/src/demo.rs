//! `cargo xtask demo`: the whole thing on this machine, with one command.
//!
//! Purpose: start real control planes and the real router, send jobs through, judge what came of them, and say it. Owns
//! everything it starts, for as long as it runs. It must never call a run good on the router's word: the verdict is read
//! from the API servers and their audit logs, and from the record of whoever plays AWS.

mod cast;
mod cloud;
mod evidence;
mod mixed;
mod play;
mod report;
mod spark;
mod stage;
mod standin;

use std::time::Instant;

use spark_router_testkit::{chain, spark_submit};

use crate::format::Format;
use stage::Stage;

/// Arguments of `cargo xtask demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Run real Spark instead: three jobs on three members, in about two minutes (needs Java 17, Python 3.9 and 4 GB)
    #[arg(long)]
    spark: bool,
    /// Three kinds of members for the same jobs: clusters with Kubeflow's operator (real) and Apache's (scripted), and a
    /// virtual cluster of Amazon EMR on EKS (played by moto; needs Python 3.9)
    #[arg(long, conflicts_with = "spark")]
    mixed: bool,
    /// Leave everything running until Ctrl-C, and print what to paste to look around
    #[arg(long)]
    keep: bool,
    /// What stdout gets at the end; progress goes to stderr
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Why the demo could not be shown, or did not end as it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The control planes or the router could not be started or asked.
    #[error(transparent)]
    Testkit(#[from] spark_router_testkit::Error),
    /// An API server did not answer a question of the verdict.
    #[error("can't read {what} from {cluster}")]
    Read {
        /// What was asked for.
        what: &'static str,
        /// The cluster.
        cluster: String,
        /// The cause.
        source: Box<kube::Error>,
    },
    /// Something of this process failed.
    #[error("can't {0}")]
    System(&'static str, #[source] std::io::Error),
    /// There is no router to show.
    #[error(transparent)]
    Binary(#[from] crate::binary::Error),
    /// The report could not be written.
    #[error("can't write the report as JSON")]
    Json(#[from] serde_json::Error),
    /// The run is not what it should be.
    #[error("the demo did not end as it should:\n  - {}", .0.join("\n  - "))]
    Verdict(Vec<String>),
    /// Ctrl-C.
    #[error("interrupted; everything is taken away")]
    Interrupted,
}

/// Runs the demo. An error also if any job did not end as stated.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Error> {
    if arguments.spark {
        spark::check()?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Error::System("start the async runtime", source))?;
    let shown = runtime.block_on(async {
        let progress = Progress::new();
        let show = async {
            if arguments.spark {
                Box::pin(spark::show(arguments.format, progress)).await
            } else if arguments.mixed {
                Box::pin(mixed::show(arguments.format, progress)).await
            } else {
                Box::pin(standin::show(arguments.format, progress)).await
            }
        };
        let (stage, shown) = tokio::select! {
            shown = show => shown?,
            // Dropping the show takes everything away.
            () = interrupted() => return Err(Error::Interrupted),
        };
        if let Err(error) = &shown {
            let words = stage.router.log_tail(30);
            progress.say(&format!("{}; the router's last words:\n{words}", chain(error)));
        }
        if arguments.keep {
            keep(&stage, arguments.format).await;
        }
        shown
    });
    // The operators leave it, empty, when they are gone.
    spark_submit::remove_template_folder();
    shown
}

/// Says what there is to see, and waits for Ctrl-C.
async fn keep(stage: &Stage, format: Format) {
    let invitation = stage.invitation();
    match format {
        Format::Text => println!("\n{invitation}"),
        Format::Json => eprintln!("\n{invitation}"),
    }
    interrupted().await;
}

/// Returns at Ctrl-C. Without a handler there is nothing to wait for: the signal then ends the process, and what it
/// started ends with it.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Progress for people, on stderr, with the seconds since the start.
#[derive(Debug, Clone, Copy)]
struct Progress(Instant);

impl Progress {
    fn new() -> Self {
        Self(Instant::now())
    }

    fn say(self, line: &str) {
        eprintln!("{:>5.1} s  {line}", self.0.elapsed().as_secs_f64());
    }
}
