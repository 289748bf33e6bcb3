//! What is asked of the API server for Tetragon's policies, request by request, and what is made of its answers.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::context::Context;
use crate::context::fixture::{Exchange, Fixture, policy};
use crate::tracing_policies::snapshot::Snapshot;
use lsm_ready_crds::LsmPolicy;

const GROUPS: &str = "GET /apis";
const LIST: &str = "GET /apis/cilium.io/v1alpha1/tracingpolicies?&limit=500";

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
    let answer = json!({"kind": "APIResourceList", "groupVersion": format!("cilium.io/{version}"), "resources": [
        {"name": plural, "singularName": "", "namespaced": false, "kind": kind, "verbs": ["get", "list", "watch"]}]});
    Exchange::new(&format!("GET /apis/cilium.io/{version}"), Value::Null, answer)
}

/// Follows TracingPolicies until something is known of them.
async fn settled(script: Vec<Exchange>) -> (Arc<Context>, Arc<Snapshot>) {
    let enforce = policy("enforce", &json!({"require": {"tracingPolicies": {}}}));
    let (ctx, writers, served) =
        Fixture::new().with::<LsmPolicy>(enforce).plays_for_a_watch(script);
    let routes = Routes::new(ctx.stores.clone(), ctx.queues.clone(), ctx.metrics.clone());
    let writer = writers.tracing_policies.clone();
    writer.absent(1);
    let follower = Follower {
        client: ctx.client.clone(),
        writer,
        routes: &routes,
        metrics: ctx.metrics.clone(),
        kind: 0,
    };
    tokio::select! {
        () = follower.follow() => {}
        () = ctx.stores.tracing_policies.settled() => {}
        played = served => panic!("the script is over: {played:?}"),
    }
    let snapshot = ctx.stores.tracing_policies.snapshot();
    (ctx, snapshot)
}

#[tokio::test]
async fn no_crd_is_fine_and_known() {
    let (_, snapshot) = settled(vec![Exchange::new(GROUPS, Value::Null, groups(&[]))]).await;
    assert!(snapshot.is_absent());
}

/// Cilium's own version is preferred, and has no TracingPolicy.
#[tokio::test]
async fn the_version_that_has_the_kind_is_listed_and_what_does_not_parse_is_kept_apart() {
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
        .map(|(name, entry)| (name.to_string(), matches!(entry, Entry::Read(_))))
        .collect();
    assert_eq!(found, [("bad".to_owned(), false), ("good".to_owned(), true)]);
    let metrics = ctx.metrics.encode().unwrap();
    assert!(
        metrics.contains(r#"lsm_ready_skipped_objects_total{kind="TracingPolicy"} 1"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_right_that_lacks_is_told_with_its_rule() {
    let (_, snapshot) = settled(vec![
        Exchange::new(GROUPS, Value::Null, groups(&["v1alpha1"])),
        resources("v1alpha1", "tracingpolicies", "TracingPolicy"),
        Exchange::refused(LIST, Value::Null, 403, "Forbidden"),
    ])
    .await;
    assert_eq!(snapshot.trouble(), Some(&Trouble::Forbidden("tracingpolicies")));
    assert!(snapshot.unread().unwrap().contains("resources: [tracingpolicies]"));
}

#[tokio::test]
async fn an_error_is_told_and_nothing_is_taken_for_known() {
    let (_, snapshot) =
        settled(vec![Exchange::refused(GROUPS, Value::Null, 404, "NotFound")]).await;
    assert!(matches!(snapshot.trouble(), Some(Trouble::Unread("tracingpolicies", _))));
    assert!(!snapshot.is_absent() && snapshot.unread().is_some());
}
