//! API servers that are overloaded: watches that fall behind again and again, or end at once. In
//! virtual time.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::*;
use crate::context::fixture::{Fixture, Stored, node};

/// Which lists and watches were asked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Asked {
    lists: usize,
    watches: usize,
}

/// An API server that answers lists and watches by these functions of what was asked before.
struct Server {
    list: fn(Asked) -> Vec<Value>,
    watch: fn(Asked) -> Vec<Value>,
}

impl Server {
    /// Watches Nodes for that long. Returns what was asked, and the names in the store.
    async fn watched(self, lists: Lists, duration: Duration) -> (Asked, Vec<String>) {
        let asked = Arc::new(Mutex::new(Asked::default()));
        let client = self.client(asked.clone());
        let (ctx, mut writers, _server) = Fixture::new().plays_for_a_watch(Vec::new());
        let triggers = Triggers::new(ctx.clone());
        let writer = std::mem::take(<Node as Stored>::writer(&mut writers));
        let parts = Parts { lists, ..nodes(&triggers) };
        let store = writer.as_reader();
        timeout(duration, watch(&client, writer, parts)).await.unwrap_err();
        let names = store.state().iter().map(|node| node.name_any()).collect();
        let asked = *asked.lock();
        (asked, names)
    }

    fn client(self, asked: Arc<Mutex<Asked>>) -> Client {
        let server = Arc::new(self);
        let answer = move |request: Request<Body>| {
            let (asked, server) = (asked.clone(), server.clone());
            async move {
                let query = request.uri().query().unwrap_or_default();
                let mut asked = asked.lock();
                let answer = if query.contains("sendInitialEvents") {
                    asked.lists += 1;
                    lines(&(server.list)(*asked))
                } else if query.contains("watch=true") {
                    asked.watches += 1;
                    lines(&(server.watch)(*asked))
                } else {
                    asked.lists += 1;
                    let items = (server.list)(*asked);
                    json!({"kind": "List", "apiVersion": "v1", "items": items,
                        "metadata": {"resourceVersion": "7"}})
                    .to_string()
                };
                Ok::<_, Infallible>(Response::new(Body::from(answer.into_bytes())))
            }
        };
        Client::new(tower::service_fn(answer), "default")
    }
}

/// The events of a watch, which ends after them.
fn lines(events: &[Value]) -> String {
    events.iter().map(|event| event.to_string() + "\n").collect()
}

fn event(type_: &str, object: &Value) -> Value {
    json!({"type": type_, "object": object})
}

fn too_old() -> Value {
    event(
        "ERROR",
        &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410,
            "reason": "Expired", "message": "too old resource version"}),
    )
}

fn end_of_list() -> Value {
    event(
        "BOOKMARK",
        &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"resourceVersion": "7",
            "annotations": {"k8s.io/initial-events-end": "true"}}}),
    )
}

const TEN_MINUTES: Duration = Duration::from_mins(10);

/// Each watch shows a change, and then falls behind: without the change it would be the same.
#[tokio::test(start_paused = true)]
async fn a_watch_that_falls_behind_again_and_again_lists_ever_more_seldom() {
    for lists in [Lists::Paged, Lists::Streamed] {
        let server = Server {
            list: |_| vec![event("ADDED", &node("n1")), end_of_list()],
            watch: |_| vec![event("MODIFIED", &node("n2")), too_old()],
        };
        let server = match lists {
            Lists::Paged => Server { list: |_| vec![node("n1")], ..server },
            Lists::Streamed => server,
        };
        let (asked, names) = server.watched(lists, TEN_MINUTES).await;
        // 0.2 + 0.4 + … + 25.6 seconds are 9 lists, and each further one comes 30 seconds later.
        assert!((20..=40).contains(&asked.lists), "{lists:?}: {asked:?}");
        assert!(names.contains(&"n1".to_owned()), "{names:?}");
    }
}

/// A list that breaks in its middle costs as much as a whole one.
#[tokio::test(start_paused = true)]
async fn a_list_that_breaks_again_and_again_is_asked_for_ever_more_seldom() {
    let server =
        Server { list: |_| vec![event("ADDED", &node("n1")), too_old()], watch: |_| Vec::new() };
    let (asked, names) = server.watched(Lists::Streamed, TEN_MINUTES).await;
    assert!((20..=40).contains(&asked.lists), "{asked:?}");
    assert_eq!((asked.watches, names.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_at_once_is_asked_for_once_a_second() {
    let server = Server { list: |_| vec![node("n1")], watch: |_| Vec::new() };
    let (asked, names) = server.watched(Lists::Paged, TEN_MINUTES).await;
    assert_eq!(asked.lists, 1);
    assert!((500..=601).contains(&asked.watches), "{asked:?}");
    assert_eq!(names, ["n1"]);
}

/// The API server may delete and create objects while it sends the list.
#[tokio::test(start_paused = true)]
async fn what_is_deleted_during_a_streaming_list_is_gone_after_it() {
    let server = Server {
        list: |_| {
            let added = ["n1", "n2", "n3"].map(|name| event("ADDED", &node(name)));
            let gone = ["n1", "n2"].map(|name| event("DELETED", &node(name)));
            let again = event("ADDED", &node("n2"));
            added.into_iter().chain(gone).chain([again, end_of_list()]).collect()
        },
        watch: |_| Vec::new(),
    };
    let (asked, mut names) = server.watched(Lists::Streamed, Duration::from_secs(5)).await;
    assert_eq!(asked.lists, 1, "the list does not begin anew");
    names.sort_unstable();
    assert_eq!(names, ["n2", "n3"]);
}
