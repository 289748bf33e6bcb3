//! How the agents' pods are read while a rollout goes on, and that nothing is read afterwards.

use lsm_ready_crds::State;

use super::*;
use crate::tetragon::findings;
use crate::watch::key::DaemonSetKey;

pub(super) const PODS: &str = "GET /api/v1/namespaces/default/pods?\
    &labelSelector=app.kubernetes.io%2Finstance%3Dtetragon%2Capp.kubernetes.io%2Fname%3Dtetragon&limit=500";

/// With our mount, of which the DaemonSet controller says `[desired, updated, available]`.
fn rolling([desired, updated, available]: [i32; 3]) -> Value {
    let mut object = mounted(100);
    object["metadata"]["generation"] = json!(2);
    object["metadata"]["annotations"]["deprecated.daemonset.template.generation"] = json!("2");
    object["status"] = json!({
        "currentNumberScheduled": desired, "numberMisscheduled": 0, "numberReady": available,
        "desiredNumberScheduled": desired, "updatedNumberScheduled": updated, "numberAvailable": available,
        "observedGeneration": 2});
    object
}

/// An agent of the present template on that node, owned by that DaemonSet, whose image cannot be pulled.
fn without_image(node: &str, owner: &str) -> Value {
    json!({
        "metadata": {"name": format!("tetragon-{node}"), "namespace": "default",
            "labels": {"pod-template-generation": "2"},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "tetragon", "uid": owner, "controller": true}]},
        "spec": {"nodeName": node, "containers": []},
        "status": {"containerStatuses": [{"name": "tetragon", "image": "", "imageID": "", "ready": false,
            "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]},
    })
}

fn page(pods: &[Value], next: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "PodList", "metadata": {"continue": next}, "items": pods})
}

/// TetragonRolledOut as the policy is told.
fn told(object: &Value, ctx: &Arc<Context>) -> (State, String, String) {
    let object: DaemonSet = serde_json::from_value(object.clone()).unwrap();
    let policy = ctx.stores.policies.state().first().cloned().unwrap();
    let found = findings(&policy, &DaemonSetKey::of(&object), Some(&object), ctx).rolled_out;
    (found.status, found.reason.code().to_owned(), found.message)
}

fn seconds(seconds: u64) -> Action {
    Action::requeue(std::time::Duration::from_secs(seconds))
}

#[tokio::test]
async fn the_pods_are_read_page_by_page_and_not_again_at_once() {
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
    ];
    let (ctx, played) = scenario(vec![asking(&json!({}))], script);
    let stuck = rolling([5, 3, 3]);
    assert_eq!(look(&stuck, &ctx).await.unwrap(), seconds(10));
    assert_eq!(look(&stuck, &ctx).await.unwrap(), seconds(10));
    let (status, reason, message) = told(&stuck, &ctx);
    assert_eq!((status, reason.as_str()), (State::NotReady, "ImagePull"));
    assert!(
        message.contains("2 cannot get their image: on n2 ") && message.contains("on n3 "),
        "{message}"
    );
    // Complete: nothing is read, and nothing remembered.
    let complete = rolling([5, 5, 5]);
    assert_eq!(look(&complete, &ctx).await.unwrap(), Action::await_change());
    assert_eq!(told(&complete, &ctx).0, State::Ready);
    assert_eq!(remembered(&ctx), Remembered::default());
    end(ctx, played).await;
}

#[tokio::test]
async fn without_the_right_to_read_pods_the_counts_tell() {
    for (code, part) in [(403, "ClusterRole lsm-ready-agents"), (500, "which is tried again")] {
        let script = vec![Exchange::refused(PODS, Value::Null, code, "Refused")];
        let (ctx, played) = scenario(vec![asking(&json!({}))], script);
        let stuck = rolling([5, 3, 3]);
        assert_eq!(look(&stuck, &ctx).await.unwrap(), seconds(10));
        let (status, reason, message) = told(&stuck, &ctx);
        assert_eq!((status, reason.as_str()), (State::Unknown, "RollingOut"));
        assert!(message.contains(part), "{message}");
        end(ctx, played).await;
    }
}

#[tokio::test]
async fn where_no_policy_is_told_no_pod_is_read() {
    let mut theirs = rolling([5, 3, 3]);
    theirs["metadata"]["labels"].as_object_mut().unwrap().remove("lsmready.io/securityfs");
    let (ctx, played) = scenario(vec![], vec![]);
    assert_eq!(look(&theirs, &ctx).await.unwrap(), Action::await_change());
    end(ctx, played).await;
}

#[tokio::test]
async fn what_we_cause_is_counted_until_it_is_over() {
    let mut written = rolling([5, 0, 5]);
    written["metadata"]["resourceVersion"] = json!("101");
    written["status"]["observedGeneration"] = json!(1);
    let script = vec![Exchange::new(PATCH, mount(), written), Exchange::event()];
    let (ctx, played) = scenario(vec![asking(&json!({}))], script);
    let mut before = tetragon();
    before["metadata"]["annotations"]["deprecated.daemonset.template.generation"] = json!("1");
    look(&before, &ctx).await.unwrap();
    assert!(remembered(&ctx).caused.is_some());
    let mut complete = rolling([5, 5, 5]);
    complete["metadata"]["resourceVersion"] = json!("102");
    look(&complete, &ctx).await.unwrap();
    assert_eq!(remembered(&ctx).caused, None);
    // The clock of scenarios stands still.
    let metrics = ctx.metrics.encode().unwrap();
    assert!(metrics.contains("lsm_ready_agent_unready_node_seconds_total 0.0"), "{metrics}");
    end(ctx, played).await;
}
