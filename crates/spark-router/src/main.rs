//! The program: reads its flags, starts the parts, stops them.
//!
//! Holds wiring only. What the router decides is in `core`, what it does in `controller` and `member`.

mod acknowledge;
mod admin;
mod args;
mod error;
mod explain;
mod hub;
mod kinds;
mod simulate;
mod telemetry;

use std::{process::ExitCode, sync::Arc};

use clap::Parser;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Config};
use prometheus_client::registry::Registry;
use spark_router_controller::{Settings, readiness::Readiness};
use spark_router_core::id::HubId;
use spark_router_member::calls::Calls;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    args::{Cli, Command, Run},
    error::Error,
};

fn main() -> ExitCode {
    // Both kube and the admin server use rustls; one provider for the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let result = match Cli::parse().command {
        Command::Run(run) => telemetry::start(&run.log, run.log_format).and_then(|()| {
            let result = on_runtime(serve(*run));
            if let Err(error) = &result {
                tracing::error!(error = error as &dyn std::error::Error, "spark-router stops");
            }
            result
        }),
        Command::Explain(explain) => on_runtime(explain::explain(explain)),
        Command::Acknowledge(acknowledge) => on_runtime(acknowledge::acknowledge(acknowledge)),
        Command::Simulate(simulate) => simulate::simulate(&simulate),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

fn on_runtime(work: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Runtime)?;
    runtime.block_on(work)
}

/// The error and its causes on one line of stderr, also where logging could not be started.
fn report(error: &Error) {
    eprintln!("spark-router: {}", spark_router_member::error::chain(error));
}

async fn serve(run: Run) -> Result<(), Error> {
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    let listener = admin::listen(run.admin_address).await?;

    let mut registry = Registry::default();
    let calls = Calls::register(&mut registry);
    let config = Config::infer().await.map_err(|error| Error::NoHub(Box::new(error)))?;
    let own_namespace = run.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let client = spark_router_member::hub_client(config.clone(), &calls).map_err(Error::Client)?;
    let readiness = Readiness::pending_on(&spark_router_controller::PARTS);
    let mut settings = Settings {
        hub_id: HubId::new(String::new()),
        namespace: own_namespace,
        instance: run.instance(|name| std::env::var(name).ok()),
        lease: run.lease,
        concurrency: run.concurrency,
        retention_floor: run.retention_floor,
        sweep_every: run.sweep_every,
        providers: kinds::providers(
            kinds::clients(run.aws_starts_per_second),
            run.aws_instance_metadata,
            calls.clone(),
        ),
        hub_config: config,
        calls,
        readiness: readiness.clone(),
        metrics: spark_router_controller::metrics::Metrics::register(&mut registry),
    };
    let pages = admin::Pages { readiness, registry: Arc::new(registry) };
    let admin = tokio::spawn(admin::serve(listener, pages, stop.clone()));

    settings.hub_id = match run.hub_id {
        Some(id) => HubId::new(id),
        None => tokio::select! {
            id = identity(client.clone()) => id?,
            () = stop.cancelled() => return Ok(()),
        },
    };
    info!(hub.id = %settings.hub_id, version = env!("CARGO_PKG_VERSION"), "starting");
    let result = spark_router_controller::run(client, settings, stop.clone()).await;
    stop.cancel();
    // A listener that fails to close must not keep the process.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(2), admin).await;
    info!("stopped; running jobs go on");
    result.map_err(Error::Controller)
}

/// Who this hub is. Waits for a hub that is not up yet; gives up at once where rights are missing.
async fn identity(client: kube::Client) -> Result<HubId, Error> {
    loop {
        match Api::<Namespace>::all(client.clone()).get("kube-system").await {
            Ok(namespace) => return namespace.metadata.uid.map(HubId::new).ok_or(Error::NoIdentity),
            Err(error @ kube::Error::Api(_)) if is_final(&error) => {
                return Err(Error::Identity(Box::new(error)));
            }
            Err(error) => {
                tracing::warn!(%error, "the hub does not answer yet");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        }
    }
}

fn is_final(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429)
}

fn stop_on_signals(stop: CancellationToken) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Runtime)?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("asked to stop");
        stop.cancel();
    });
    Ok(())
}
