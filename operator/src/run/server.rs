//! `/healthz`, `/readyz` and `/metrics` over plain HTTP.
//!
//! `/readyz` answers 503 with one line for each thing that is missing, and `/healthz` with one for
//! each thing that does not go on. `kubectl describe pod` shows them.

use std::net::SocketAddr;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};
use tokio::net::TcpListener;

use crate::context::metrics::Metrics;
use crate::run::liveness::Liveness;
use crate::run::readiness::Readiness;

/// What is served.
#[derive(Clone)]
pub struct Served {
    pub liveness: Liveness,
    pub readiness: Readiness,
    pub metrics: Metrics,
}

/// Serves until the future is dropped.
pub async fn serve(address: SocketAddr, served: Served) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    axum::serve(listener, router(served)).await
}

fn router(served: Served) -> Router {
    Router::new()
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .route("/metrics", get(measured))
        .with_state(served)
}

async fn healthy(State(served): State<Served>) -> Response {
    answer("ok\n", "this process does not go on:", &served.liveness.stuck())
}

async fn ready(State(served): State<Served>) -> Response {
    answer("ready\n", "waiting for:", &served.readiness.pending())
}

fn answer(well: &'static str, heading: &str, problems: &[String]) -> Response {
    if problems.is_empty() {
        return well.into_response();
    }
    let text = format!("{heading}\n{}\n", problems.join("\n"));
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn measured(State(served): State<Served>) -> Response {
    match served.metrics.encode() {
        Ok(text) => {
            let form = "text/plain; version=0.0.4; charset=utf-8";
            ([(header::CONTENT_TYPE, form)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
