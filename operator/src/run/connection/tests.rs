//! Deadlines and the fence, over services that stand for the API server.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, future};
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use tokio::time::{Instant, advance, sleep};
use tower::{BoxError, ServiceBuilder};

use super::deadline::{LIST, REQUEST};
use super::*;
use crate::run::lease::{LEASE_DURATION, RENEW_DEADLINE};

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
        let seconds = deadline.as_secs();
        let wanted = format!("no answer to {method} {path} in {seconds} s, or only 429 or 503");
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

/// A client of a server that has no time for so long. Returns it, and when requests arrived.
fn throttled(lasts: Duration, retry_after: Option<&'static str>) -> (Client, Arrivals) {
    let arrivals = Arrivals::default();
    let (noted, began) = (arrivals.clone(), Instant::now());
    let answer = move |_: Request<Body>| {
        noted.lock().push(began.elapsed());
        let mut answer = Response::builder();
        if began.elapsed() < lasts {
            answer = answer.status(429);
            if let Some(seconds) = retry_after {
                answer = answer.header("Retry-After", seconds);
            }
        }
        future::ready(Ok::<_, BoxError>(answer.body(Body::from(b"{}".to_vec())).unwrap()))
    };
    let service = ServiceBuilder::new()
        .layer_fn(Deadlines::new)
        .layer(retry())
        .service(tower::service_fn(answer));
    (Client::new(service, "default"), arrivals)
}

type Arrivals = Arc<Mutex<Vec<Duration>>>;

#[tokio::test(start_paused = true)]
async fn a_server_that_has_no_time_is_asked_again_when_it_says() {
    let (client, arrivals) = throttled(5 * SECOND, Some("3"));
    assert_eq!(send(&client, "PATCH", "/api/v1/nodes/n1").await.unwrap(), "{}");
    let arrivals: Vec<u64> = arrivals.lock().iter().map(Duration::as_secs).collect();
    assert_eq!(arrivals, [0, 3, 6]);
}

/// However long the server has no time, a request is sent few times, and ends.
#[tokio::test(start_paused = true)]
async fn a_server_that_never_has_time_is_asked_few_times() {
    for (retry_after, most) in [(None, 12), (Some("0"), 12), (Some("1"), 10), (Some("3600"), 1)] {
        let (client, arrivals) = throttled(3600 * SECOND, retry_after);
        let since = Instant::now();
        send(&client, "PATCH", "/api/v1/nodes/n1").await.unwrap_err();
        assert_eq!(since.elapsed(), REQUEST, "{retry_after:?}");
        let sent = arrivals.lock().len();
        assert!(sent <= most, "{retry_after:?}: {sent} times");
    }
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
