//! Removes the finalizers of several objects together.
//!
//! Each of these objects may be the one by which the operator has the right to change the others.
//! When the first is gone, the requests for the others would be refused. But the API server
//! authenticates and authorizes a request when its headers arrive, and reads the body after that.
//! So all requests are begun, their bodies wait, and then all bodies are sent.

use std::convert::Infallible;
use std::time::Duration;

use futures::future::join_all;
use futures::stream;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Config;
use kube::client::ConfigExt;
use lsm_ready_cleanup::metadata;
use lsm_ready_crds::names::{FIELD_MANAGER, FINALIZER};
use serde_json::Value;
use tokio::time::{sleep, timeout};
use tower::{BoxError, ServiceBuilder, ServiceExt};

use super::Release;
use super::guarded::Guarded;

/// How long the bodies wait for the headers of all requests to be judged.
const BODIES_WAIT: Duration = Duration::from_secs(2);
/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// As much of an answer is read.
const MAX_ANSWER: usize = 64 * 1024;

/// An object from which our finalizer has to be removed.
pub(super) struct Pending {
    object: String,
    path: String,
    patch: Value,
}

impl Pending {
    pub fn of(guarded: &Guarded, metadata: &ObjectMeta) -> Option<Self> {
        let patch = metadata::remove_finalizer(metadata, FINALIZER)?;
        Some(Self { object: guarded.to_string(), path: guarded.path(), patch })
    }
}

/// Removes the finalizers. Returns an error for each that is still there.
pub(super) async fn remove(
    config: &Config,
    pending: Vec<Pending>,
    release: Release,
) -> Vec<String> {
    let wait = match release {
        Release::OneByOne => Duration::ZERO,
        Release::Together => BODIES_WAIT,
    };
    let removals = pending.into_iter().map(async |one| {
        let object = one.object.clone();
        let removed = timeout(DEADLINE, send(config, one, wait)).await;
        let removed = removed.unwrap_or_else(|_| Err("no answer in time".into()));
        removed.err().map(|error| format!("{object}: {error}"))
    });
    join_all(removals).await.into_iter().flatten().collect()
}

async fn send(config: &Config, pending: Pending, wait: Duration) -> Result<(), BoxError> {
    let Pending { path, patch, .. } = pending;
    let body = StreamBody::new(stream::once(async move {
        sleep(wait).await;
        Ok::<_, Infallible>(Frame::data(Bytes::from(patch.to_string())))
    }));
    let request = Request::patch(format!("{path}?fieldManager={FIELD_MANAGER}"))
        .header(CONTENT_TYPE, "application/json-patch+json")
        .body(body.boxed_unsync())?;
    let connector = config.rustls_https_connector()?;
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .map_err(BoxError::from)
        .service(Client::builder(TokioExecutor::new()).build(connector));
    let answer = service.oneshot(request).await?;
    // An object without its last finalizer is gone.
    if answer.status().is_success() || answer.status() == StatusCode::NOT_FOUND {
        return Ok(());
    }
    let status = answer.status();
    let text = Limited::new(answer.into_body(), MAX_ANSWER).collect().await?.to_bytes();
    Err(format!("{status}: {}", String::from_utf8_lossy(&text)).into())
}
