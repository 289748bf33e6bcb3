//! `/healthz`, `/readyz` and `/metrics` over plain HTTP.
//!
//! `/readyz` answers 503 with the list of what is pending, one a line, so that `kubectl describe pod` says it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};
use tokio::net::TcpListener;

use crate::context::metrics::Metrics;

/// What has to happen before the operator is ready; cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeSet<&'static str>>>);

impl Readiness {
    /// Waits for these.
    pub fn waiting_for(pending: impl IntoIterator<Item = &'static str>) -> Self {
        Self(Arc::new(Mutex::new(pending.into_iter().collect())))
    }

    /// That has happened.
    pub fn done(&self, what: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(what);
    }

    /// What is still to happen.
    pub fn pending(&self) -> Vec<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

#[derive(Clone)]
struct Served {
    readiness: Readiness,
    metrics: Metrics,
}

/// Serves until dropped.
///
/// # Errors
/// When the address cannot be listened on.
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
