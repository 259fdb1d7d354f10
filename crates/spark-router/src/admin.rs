//! `/livez`, `/readyz` and `/metrics`.
//!
//! Owns the listener. Answers from memory: a probe never waits for a cluster.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use prometheus_client::{encoding::text::encode, registry::Registry};
use spark_router_controller::readiness::Readiness;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// What the pages show.
#[derive(Clone)]
pub(crate) struct Pages {
    /// What is still pending.
    pub readiness: Readiness,
    /// All metrics.
    pub registry: Arc<Registry>,
}

/// The content type without which Prometheus 3 refuses the page.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Listens, before anything else is started: a port that is taken is said at once.
///
/// # Errors
/// [`Error::Listen`].
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}

/// Serves until stopped.
pub(crate) async fn serve(listener: TcpListener, pages: Pages, stop: CancellationToken) {
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(pages);
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "probes and metrics are not served any more");
    }
}

async fn readyz(State(pages): State<Pages>) -> impl IntoResponse {
    let pending = pages.readiness.pending();
    if pending.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for: {}\n", pending.join(", ")))
    }
}

async fn metrics(State(pages): State<Pages>) -> impl IntoResponse {
    let mut page = String::new();
    match encode(&mut page, &pages.registry) {
        Ok(()) => (StatusCode::OK, [(header::CONTENT_TYPE, OPEN_METRICS)], page),
        Err(error) => {
            let text = format!("cannot write the metrics: {error}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text)
        }
    }
}
