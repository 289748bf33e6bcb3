//! Deadlines and the fence, over services that stand for the API server.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, future};
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use tokio::time::{Instant, advance, sleep};
use tower::BoxError;

use super::deadline::{LIST, REQUEST};
use super::*;
use crate::run::election::{LEASE_DURATION, RENEW_DEADLINE};

const SECOND: Duration = Duration::from_secs(1);

/// A server that answers after that time.
fn slow(after: Duration, held: Held) -> Client {
    let answer = move |_: Request<Body>| async move {
        sleep(after).await;
        Ok::<_, BoxError>(Response::new(Body::from(b"{}".to_vec())))
    };
    client_over(tower::service_fn(answer), held)
}

async fn send(client: &Client, method: &str, path: &str) -> Result<String, kube::Error> {
    let request = Request::builder().method(method).uri(path).body(Vec::new()).unwrap();
    client.request_text(request).await
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_ends_with_an_error_that_names_it() {
    let client = slow(3600 * SECOND, Held::without_election());
    for (method, path, deadline) in [
        ("GET", "/api/v1/nodes/n1", REQUEST),
        ("PATCH", "/api/v1/nodes/n1", REQUEST),
        ("GET", "/api/v1/nodes?watch=true", REQUEST),
        ("GET", "/api/v1/nodes?&limit=500", LIST),
    ] {
        let since = Instant::now();
        let error = send(&client, method, path).await.unwrap_err().to_string();
        let path = path.split('?').next().unwrap();
        let wanted = format!("no answer to {method} {path} in {} s", deadline.as_secs());
        assert!(error.ends_with(&wanted), "{error}");
        assert_eq!(since.elapsed().as_secs(), deadline.as_secs());
    }
}

/// A page that the API server needs forty seconds for is no endless loop.
#[tokio::test(start_paused = true)]
async fn a_slow_list_gets_through() {
    let client = slow(40 * SECOND, Held::without_election());
    assert_eq!(send(&client, "GET", "/api/v1/nodes?&limit=500").await.unwrap(), "{}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_whose_end_never_comes_ends_with_an_error_and_a_watch_goes_on() {
    let client = client_over(
        tower::service_fn(|_| async {
            let first = future::ready(Ok::<_, BoxError>(bytes::Bytes::from_static(b"{")));
            let body = futures::stream::once(first).chain(futures::stream::pending());
            let frames = body.map_ok(http_body::Frame::data);
            Ok::<_, BoxError>(Response::new(http_body_util::StreamBody::new(frames)))
        }),
        Held::without_election(),
    );
    let error = send(&client, "GET", "/api/v1/nodes/n1").await.unwrap_err();
    assert!(error.to_string().contains("no answer to GET"), "{error}");
    let watch = Request::get("/api/v1/nodes?watch=true").body(Body::empty()).unwrap();
    let mut body = client.send(watch).await.unwrap().into_body();
    advance(3600 * SECOND).await;
    assert!(http_body_util::BodyExt::frame(&mut body).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_without_the_lease() {
    let held = Held::default();
    let client = slow(Duration::ZERO, held.clone());
    let refused = async || {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let error = send(&client, method, "/api/v1/nodes/n1").await.unwrap_err();
            assert!(NotLeader::is_cause_of(&error), "{error}");
            assert!(error.to_string().contains(&format!("{method} /api/v1/nodes/n1")), "{error}");
        }
    };
    refused().await;
    assert!(send(&client, "GET", "/api/v1/nodes/n1").await.is_ok(), "reads are free");
    held.renewed(Instant::now());
    assert!(send(&client, "PATCH", "/api/v1/nodes/n1").await.is_ok());
    // The process was stopped, or renewals hang: nobody has noticed yet.
    advance(RENEW_DEADLINE).await;
    refused().await;
    held.renewed(Instant::now());
    assert!(send(&client, "PATCH", "/api/v1/nodes/n1").await.is_ok());
    held.lost();
    refused().await;
}

#[tokio::test(start_paused = true)]
async fn a_write_without_an_answer_is_given_up_when_the_lease_ends() {
    let held = Held::default();
    let client = slow(3600 * SECOND, held.clone());
    held.renewed(Instant::now());
    let sent = Instant::now();
    advance(RENEW_DEADLINE.saturating_sub(SECOND)).await;
    let error = send(&client, "PATCH", "/api/v1/nodes/n1").await.unwrap_err();
    assert!(NotLeader::is_cause_of(&error), "{error}");
    assert_eq!(sent.elapsed(), LEASE_DURATION);
}

/// The API server's own certificates and HTTP/2 are tested with its process.
#[test]
fn an_unanswered_connection_is_dropped_before_a_renewal_is_due_again() {
    assert!(KeepAlive::LEASE.notices_within() * 2 <= RENEW_DEADLINE);
    assert!(KeepAlive::WORK.notices_within() < REQUEST);
}
