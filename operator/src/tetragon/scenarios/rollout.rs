//! The agents' pods are read while a rollout goes on, and not afterwards.

use lsm_ready_crds::State;

use super::*;
use crate::tetragon::findings;
use crate::watch::key::DaemonSetKey;

pub(super) const PODS: &str = "GET /api/v1/namespaces/default/pods?\
    &labelSelector=app.kubernetes.io%2Finstance%3Dtetragon%2Capp.kubernetes.io%2Fname%3Dtetragon&limit=500";

/// The DaemonSet's Events about pods that could not be made.
pub(super) const EVENTS: &str = "GET /api/v1/namespaces/default/events?\
    &fieldSelector=involvedObject.uid%3Duid-1%2Creason%3DFailedCreate&limit=50";

/// A list of Events with these messages, first seen a minute after midnight.
pub(super) fn events(messages: &[&str]) -> Value {
    let items = messages.iter().map(|message| {
        json!({"metadata": {"name": "e", "namespace": "default"}, "involvedObject": {},
            "reason": "FailedCreate", "message": message,
            "firstTimestamp": "2026-01-01T00:01:00Z", "lastTimestamp": "2026-01-01T00:01:00Z"})
    });
    json!({"apiVersion": "v1", "kind": "EventList", "metadata": {},
        "items": items.collect::<Vec<_>>()})
}

/// The DaemonSet with our mount, and the counts `[desired, updated, available]`.
fn rolling([desired, updated, available]: [i32; 3]) -> Value {
    let mut object = mounted(100);
    object["metadata"]["generation"] = json!(2);
    object["metadata"]["annotations"]["deprecated.daemonset.template.generation"] = json!("2");
    object["status"] = json!({
        "currentNumberScheduled": desired, "numberMisscheduled": 0, "numberReady": available,
        "desiredNumberScheduled": desired, "updatedNumberScheduled": updated,
            "numberAvailable": available,
        "observedGeneration": 2});
    object
}

/// An agent of the present template on that node, owned by that DaemonSet, whose image cannot be
/// pulled.
fn without_image(node: &str, owner: &str) -> Value {
    json!({
        "metadata": {"name": format!("tetragon-{node}"), "namespace": "default",
            "labels": {"pod-template-generation": "2"},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "tetragon", "uid": owner,
                    "controller": true}]},
        "spec": {"nodeName": node, "containers": []},
        "status": {"containerStatuses": [{"name": "tetragon", "image": "", "imageID": "",
            "ready": false,
            "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff",
                "message": "no such image"}}}]},
    })
}

fn page(pods: &[Value], next: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "PodList", "metadata": {"continue": next}, "items": pods})
}

/// Status, reason and message of `TetragonRolledOut`.
fn conditions(object: &Value, ctx: &Arc<Context>) -> (State, String, String) {
    let object: DaemonSet = serde_json::from_value(object.clone()).unwrap();
    let policy = ctx.stores.policies.state().first().cloned().unwrap();
    let found = findings(&policy, &DaemonSetKey::of(&object), Some(&object), ctx).rolled_out;
    (found.status, found.reason.code().to_owned(), found.message)
}

fn seconds(seconds: u64) -> Action {
    Action::requeue(std::time::Duration::from_secs(seconds))
}

#[tokio::test]
async fn the_pods_are_read_page_by_page_and_at_most_every_ten_seconds() {
    let script = vec![
        Exchange::new(
            PODS,
            Value::Null,
            page(&[without_image("n2", "uid-1"), without_image("n1", "another")], "next"),
        ),
        Exchange::new(
            &format!("{PODS}&continue=next"),
            Value::Null,
            page(&[without_image("n3", "uid-1")], ""),
        ),
        Exchange::new(EVENTS, Value::Null, events(&[])),
    ];
    let (ctx, played) = scenario(vec![policy_with(&json!({}))], script);
    let stuck = rolling([5, 3, 3]);
    assert_eq!(reconcile_once(&stuck, &ctx).await.unwrap(), seconds(10));
    assert_eq!(reconcile_once(&stuck, &ctx).await.unwrap(), seconds(10));
    let (status, reason, message) = conditions(&stuck, &ctx);
    assert_eq!((status, reason.as_str()), (State::NotReady, "ImagePull"));
    assert!(
        message.contains("2 cannot get their image: on n2 ") && message.contains("on n3 "),
        "{message}"
    );
    // A complete rollout: nothing is read, and nothing is remembered.
    let complete = rolling([5, 5, 5]);
    assert_eq!(reconcile_once(&complete, &ctx).await.unwrap(), Action::await_change());
    assert_eq!(conditions(&complete, &ctx).0, State::Ready);
    assert_eq!(remembered(&ctx), DaemonSetState::default());
    end(ctx, played).await;
}

#[tokio::test]
async fn without_the_right_to_list_pods_the_counts_decide() {
    for (code, part) in [(403, "ClusterRole lsm-ready-agents"), (500, "lsm-ready tries again")] {
        let script = vec![Exchange::refused(PODS, Value::Null, code, "Refused")];
        let (ctx, played) = scenario(vec![policy_with(&json!({}))], script);
        let stuck = rolling([5, 3, 3]);
        assert_eq!(reconcile_once(&stuck, &ctx).await.unwrap(), seconds(10));
        let (status, reason, message) = conditions(&stuck, &ctx);
        assert_eq!((status, reason.as_str()), (State::Unknown, "RollingOut"));
        assert!(message.contains(part), "{message}");
        end(ctx, played).await;
    }
}

/// Every kubelet may write Events, about any object. An agent with the mount shows that such pods
/// can be made, so no Event is read.
#[tokio::test]
async fn a_forged_event_takes_no_mount_away_while_an_agent_has_it() {
    let mut agent = without_image("n1", "uid-1");
    agent["spec"]["volumes"] = json!([{"name": "lsm-ready-securityfs",
        "hostPath": {"path": "/sys/kernel/security"}}]);
    let script = vec![Exchange::new(PODS, Value::Null, page(&[agent], ""))];
    let (ctx, played) = scenario(vec![policy_with(&json!({}))], script);
    let stuck = rolling([5, 3, 3]);
    assert_eq!(reconcile_once(&stuck, &ctx).await.unwrap(), seconds(10));
    end(ctx, played).await;
}

#[tokio::test]
async fn without_a_policy_no_pod_is_read() {
    let mut theirs = rolling([5, 3, 3]);
    theirs["metadata"]["labels"].as_object_mut().unwrap().remove("lsmready.io/securityfs");
    let (ctx, played) = scenario(vec![], vec![]);
    assert_eq!(reconcile_once(&theirs, &ctx).await.unwrap(), Action::await_change());
    end(ctx, played).await;
}

#[tokio::test]
async fn downtime_is_counted_until_the_rollout_is_complete() {
    let mut written = rolling([5, 0, 5]);
    written["metadata"]["resourceVersion"] = json!("101");
    written["status"]["observedGeneration"] = json!(1);
    let script = vec![Exchange::new(PATCH, with_mount(), written), Exchange::event()];
    let (ctx, played) = scenario(vec![policy_with(&json!({}))], script);
    let mut before = tetragon();
    before["metadata"]["annotations"]["deprecated.daemonset.template.generation"] = json!("1");
    reconcile_once(&before, &ctx).await.unwrap();
    assert!(remembered(&ctx).disruption.is_some());
    let mut complete = rolling([5, 5, 5]);
    complete["metadata"]["resourceVersion"] = json!("102");
    reconcile_once(&complete, &ctx).await.unwrap();
    assert_eq!(remembered(&ctx).disruption, None);
    // The clock of the scenarios stands still.
    let metrics = ctx.metrics.encode().unwrap();
    assert!(metrics.contains("lsm_ready_agent_unready_node_seconds_total 0.0"), "{metrics}");
    end(ctx, played).await;
}
