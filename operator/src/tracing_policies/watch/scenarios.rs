//! The requests to the API server for Tetragon's policies, one by one, and the snapshot made of its
//! answers.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use http::{Request, Response};
use kube::api::GroupVersionKind;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::*;
use crate::context::Context;
use crate::context::fixture::{Exchange, Fixture, policy};
use crate::tracing_policies::snapshot::{Snapshot, channel};
use lsm_ready_crds::LsmPolicy;

const GROUPS: &str = "GET /apis";
const LIST: &str = "GET /apis/cilium.io/v1alpha1/tracingpolicies?&limit=10";

fn groups(versions: &[&str]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| json!({"groupVersion": format!("cilium.io/{version}"), "version": version}))
        .collect();
    let groups = if versions.is_empty() {
        json!([])
    } else {
        json!([{"name": "cilium.io", "versions": versions, "preferredVersion": versions[0]}])
    };
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

fn resources(version: &str, plural: &str, kind: &str) -> Exchange {
    let resource = json!({"name": plural, "singularName": "", "namespaced": false, "kind": kind,
        "verbs": ["get", "list", "watch"]});
    let answer = json!({"kind": "APIResourceList", "groupVersion": format!("cilium.io/{version}"),
        "resources": [resource]});
    Exchange::new(&format!("GET /apis/cilium.io/{version}"), Value::Null, answer)
}

/// Watches TracingPolicies until the snapshot is settled.
async fn settled(script: Vec<Exchange>) -> (Arc<Context>, Arc<Snapshot>) {
    let enforce = policy("enforce", &json!({"require": {"tracingPolicies": {}}}));
    let (ctx, writers, served) =
        Fixture::new().with::<LsmPolicy>(enforce).plays_for_a_watch(script);
    let writer = writers.tracing_policies.clone();
    writer.absent(1);
    let kind_watch = KindWatch::new(ctx.client.clone(), writer, &|| {}, ctx.metrics.clone(), 0);
    tokio::select! {
        biased;
        () = kind_watch.run() => {}
        () = ctx.stores.tracing_policies.settled() => {}
        ended = served => panic!("the script is over: {ended:?}"),
    }
    let snapshot = ctx.stores.tracing_policies.snapshot();
    (ctx, snapshot)
}

#[tokio::test]
async fn a_missing_crd_means_no_policies() {
    let (_, snapshot) = settled(vec![Exchange::new(GROUPS, Value::Null, groups(&[]))]).await;
    assert!(snapshot.is_absent());
}

/// The preferred version is Cilium's own, which has no TracingPolicy.
#[tokio::test]
async fn the_version_with_the_kind_is_listed_and_unreadable_objects_are_kept_apart() {
    let object =
        |name: &str, hooks: Value| json!({"metadata": {"name": name}, "spec": {"lsmhooks": hooks}});
    let items = [object("good", json!([{"hook": "file_open"}])), object("bad", json!("file_open"))];
    let list = json!({"kind": "TracingPolicyList", "apiVersion": "cilium.io/v1alpha1",
        "metadata": {"resourceVersion": "7"}, "items": items});
    let (ctx, snapshot) = settled(vec![
        Exchange::new(GROUPS, Value::Null, groups(&["v2", "v1alpha1"])),
        resources("v2", "ciliumnodes", "CiliumNode"),
        resources("v1alpha1", "tracingpolicies", "TracingPolicy"),
        Exchange::new(LIST, Value::Null, list),
    ])
    .await;
    let found: Vec<(String, bool)> = snapshot
        .objects()
        .map(|(name, object)| (name.to_string(), matches!(object.entry, Entry::Read(_))))
        .collect();
    assert_eq!(found, [("bad".to_owned(), false), ("good".to_owned(), true)]);
    let metrics = ctx.metrics.encode().unwrap();
    assert!(
        metrics.contains(r#"lsm_ready_skipped_objects_total{kind="TracingPolicy"} 1"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_missing_right_is_reported_with_its_rule() {
    let (_, snapshot) = settled(vec![
        Exchange::new(GROUPS, Value::Null, groups(&["v1alpha1"])),
        resources("v1alpha1", "tracingpolicies", "TracingPolicy"),
        Exchange::refused(LIST, Value::Null, 403, "Forbidden"),
    ])
    .await;
    assert_eq!(snapshot.error(), Some(&ReadError::Forbidden("tracingpolicies")));
    assert!(snapshot.unlisted().unwrap().contains("resources: [tracingpolicies]"));
}

/// One failure at a start is not told: nodes show what was read before.
#[tokio::test(start_paused = true)]
async fn after_one_error_nothing_is_known_yet_and_the_next_answer_counts() {
    let (_, snapshot) = settled(vec![
        Exchange::refused(GROUPS, Value::Null, 500, "InternalError"),
        Exchange::new(GROUPS, Value::Null, groups(&[])),
    ])
    .await;
    assert!(snapshot.error().is_none() && snapshot.is_absent());
}

#[tokio::test(start_paused = true)]
async fn after_two_errors_nothing_counts_as_known() {
    let refused = || Exchange::refused(GROUPS, Value::Null, 404, "NotFound");
    let (_, snapshot) = settled(vec![refused(), refused()]).await;
    assert!(matches!(snapshot.error(), Some(ReadError::Failed("tracingpolicies", _))));
    assert!(!snapshot.is_absent() && snapshot.unlisted().is_some());
}

/// A watch that ended begins with a new list. Policies deleted meanwhile come without an event.
#[tokio::test]
async fn a_fresh_list_forgets_deleted_policies() {
    let (ctx, writers, _) = Fixture::new().plays_for_a_watch(vec![]);
    let writer = writers.tracing_policies.clone();
    let (client, metrics) = (ctx.client.clone(), ctx.metrics.clone());
    let kind_watch = KindWatch::new(client, writer, &|| {}, metrics, 0);
    let object = |name: &str| {
        let object = json!({"metadata": {"name": name}, "spec": {"lsmhooks": []}});
        serde_json::from_value::<Seen>(object).unwrap()
    };
    let mut list = Kept::default();
    for names in [&["goes", "stays"][..], &["stays"]] {
        kind_watch.apply(Event::Init, &mut list);
        for name in names {
            kind_watch.apply(Event::InitApply(object(name)), &mut list);
        }
        kind_watch.apply(Event::InitDone, &mut list);
        let snapshot = ctx.stores.tracing_policies.snapshot();
        let listed: Vec<String> = snapshot.objects().map(|(name, _)| name.to_string()).collect();
        assert_eq!(listed, names);
    }
}

fn event(type_: &str, name: &str) -> Value {
    json!({"type": type_, "object": named(name)})
}

fn named(name: &str) -> Value {
    json!({"apiVersion": "cilium.io/v1alpha1", "kind": "TracingPolicy",
        "metadata": {"name": name, "resourceVersion": "8"},
        "spec": {"lsmhooks": [{"hook": "file_open"}]}})
}

/// Watches for that long. `list` and `watch` give the objects and the events of the answers, of
/// which so many lists were asked for before. Returns after how many seconds how many objects were
/// published.
async fn published(
    duration: Duration,
    list: fn(usize) -> Vec<Value>,
    watch: fn(usize) -> Vec<Value>,
) -> Vec<(u64, usize)> {
    let lists = Arc::new(AtomicUsize::new(0));
    let answer = move |request: Request<Body>| {
        let body = if request.uri().query().unwrap_or_default().contains("watch=true") {
            let events = watch(lists.load(Ordering::Relaxed));
            events.iter().map(|event| event.to_string() + "\n").collect::<Vec<_>>().concat()
        } else {
            let items = list(lists.fetch_add(1, Ordering::Relaxed));
            json!({"kind": "TracingPolicyList", "apiVersion": "cilium.io/v1alpha1",
                "metadata": {"resourceVersion": "7"}, "items": items})
            .to_string()
        };
        async move { Ok::<_, Infallible>(Response::new(Body::from(body.into_bytes()))) }
    };
    let client = Client::new(tower::service_fn(answer), "default");
    let (reader, writer) = channel();
    writer.absent(1);
    let (published, start) = (Mutex::new(Vec::new()), Instant::now());
    let on_change = || {
        let count = reader.snapshot().objects().count();
        published.lock().push((start.elapsed().as_secs(), count));
    };
    let kind_watch = KindWatch::new(client, writer, &on_change, Metrics::default(), 0);
    let version = GroupVersionKind::gvk(GROUP, "v1alpha1", KINDS[0].0);
    let resource = ApiResource::from_gvk_with_plural(&version, KINDS[0].1);
    timeout(duration, kind_watch.watch(&resource)).await.unwrap_err();
    published.into_inner()
}

/// Somebody creates 1,000 policies at once. The first is published at once, the others a second
/// later.
#[tokio::test(start_paused = true)]
async fn many_changes_are_published_together() {
    let list = |_| Vec::new();
    let watch = |_| (0..1_000).map(|number| event("ADDED", &format!("p{number}"))).collect();
    let published = published(Duration::from_secs(20), list, watch).await;
    assert_eq!(published, [(0, 0), (0, 1), (1, 1_000)]);
}

/// The watch does not say that a policy was deleted.
#[tokio::test(start_paused = true)]
async fn all_is_listed_again_after_a_quarter_of_an_hour() {
    let list = |lists| if lists == 0 { vec![named("goes")] } else { Vec::new() };
    let published = published(Duration::from_mins(20), list, |_| Vec::new()).await;
    assert_eq!(published, [(0, 1), (900, 0)]);
}
