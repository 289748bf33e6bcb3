//! `/healthz`, `/readyz` and `/metrics` over plain HTTP.
//!
//! `/readyz` answers 503 with one pending step in each line, so that `kubectl describe pod` shows
//! them.

use std::net::SocketAddr;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};
use tokio::net::TcpListener;

use crate::context::metrics::Metrics;
use crate::run::readiness::Readiness;

#[derive(Clone)]
struct Served {
    readiness: Readiness,
    metrics: Metrics,
}

/// Serves until the future is dropped.
pub async fn serve(
    address: SocketAddr,
    readiness: Readiness,
    metrics: Metrics,
) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    axum::serve(listener, router(readiness, metrics)).await
}

fn router(readiness: Readiness, metrics: Metrics) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(measured))
        .with_state(Served { readiness, metrics })
}

async fn ready(State(served): State<Served>) -> Response {
    let pending = served.readiness.pending();
    if pending.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for:\n{}\n", pending.join("\n")))
        .into_response()
}

async fn measured(State(served): State<Served>) -> Response {
    match served.metrics.encode() {
        Ok(text) => {
            let form = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, form)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
