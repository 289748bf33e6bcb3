//! Stale agents: one eviction, with the pod's UID and resourceVersion, and no request where no node
//! was repaired.

use k8s_openapi::api::core::v1::Node;
use lsm_ready_crds::LsmNode;

use super::rollout::PODS;
use super::*;
use crate::context::fixture::{node, report};

const EVICT: &str = "POST /api/v1/namespaces/default/pods/tetragon-n1/eviction?";

/// The DaemonSet with our mount, and one agent, which is new and available.
fn whole() -> Value {
    let mut object = mounted(100);
    object["status"] = json!({"currentNumberScheduled": 1, "numberMisscheduled": 0,
        "numberReady": 1,
        "desiredNumberScheduled": 1, "updatedNumberScheduled": 1, "numberAvailable": 1,
            "observedGeneration": 1});
    object
}

/// The agent on n1, started at that minute past midnight.
fn agent(uid: &str, minute: u32) -> Value {
    json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": [{
        "metadata": {"name": "tetragon-n1", "namespace": "default", "uid": uid,
            "resourceVersion": "7", "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "tetragon", "uid": "uid-1",
                "controller": true}]},
        "spec": {"nodeName": "n1", "containers": []},
        "status": {"conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [
            {"name": "tetragon", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "state": {"running": {"startedAt": format!("2026-01-01T00:{minute:02}:00Z")}}}]},
    }]})
}

fn eviction(uid: &str) -> Value {
    json!({"apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": "tetragon-n1", "namespace": "default"},
        "deleteOptions": {"preconditions": {"uid": uid, "resourceVersion": "7"}}})
}

/// A node that was repaired at 00:05, and the policy.
fn repaired(restart: bool, script: Vec<Exchange>) -> (Arc<Context>, JoinHandle<()>) {
    let mut report = report("n1", "Denied", "CanaryDenied");
    report["status"]["deniedSince"] = json!("2026-01-01T00:05:00Z");
    let asked = json!({"daemonSet": {"namespace": "default"}, "restartStaleAgents": restart});
    Fixture::new()
        .with::<DaemonSet>(tetragon())
        .with::<Node>(node("n1"))
        .with::<LsmNode>(report)
        .with::<LsmPolicy>(policy("enforce", &json!({"tetragon": asked})))
        .plays(script)
}

fn minute() -> Action {
    Action::requeue(std::time::Duration::from_mins(1))
}

fn success() -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Success"})
}

#[tokio::test]
async fn a_stale_agent_is_evicted_once() {
    let script = vec![
        Exchange::new(PODS, Value::Null, agent("old", 1)),
        Exchange::new(EVICT, eviction("old"), success()),
        Exchange::event(),
        Exchange::new(PODS, Value::Null, agent("new", 6)),
    ];
    let (ctx, played) = repaired(true, script);
    assert_eq!(reconcile_once(&whole(), &ctx).await.unwrap(), minute());
    assert_eq!(reconcile_once(&whole(), &ctx).await.unwrap(), Action::await_change());
    assert_eq!(reconcile_once(&whole(), &ctx).await.unwrap(), Action::await_change());
    end(ctx, played).await;
}

#[tokio::test]
async fn an_agent_that_mounts_securityfs_itself_can_be_stale() {
    let mut newer = whole();
    newer["spec"]["template"]["spec"]["containers"][1]["image"] =
        json!("quay.io/cilium/tetragon:v1.7.0");
    newer["metadata"]["labels"].as_object_mut().unwrap().remove("lsmready.io/securityfs");
    let pod = &mut newer["spec"]["template"]["spec"];
    let is_theirs = |entry: &Value| entry["name"] != "lsm-ready-securityfs";
    pod["volumes"].as_array_mut().unwrap().retain(is_theirs);
    pod["containers"][1]["volumeMounts"].as_array_mut().unwrap().retain(is_theirs);
    let script = vec![
        Exchange::new(PODS, Value::Null, agent("old", 1)),
        Exchange::new(EVICT, eviction("old"), success()),
        Exchange::event(),
        Exchange::new(PODS, Value::Null, agent("new", 6)),
    ];
    let (ctx, played) = repaired(true, script);
    assert_eq!(reconcile_once(&newer, &ctx).await.unwrap(), minute());
    assert_eq!(reconcile_once(&newer, &ctx).await.unwrap(), Action::await_change());
    end(ctx, played).await;
}

#[tokio::test]
async fn an_agent_that_started_while_its_node_could_deny_is_not_evicted() {
    let mut report = report("n1", "Denied", "CanaryDenied");
    report["status"]["deniedSince"] = json!("2026-01-01T00:05:00Z");
    report["status"]["deniedBefore"] = json!([{"until": "2026-01-01T00:02:00Z"}]);
    let asked = json!({"daemonSet": {"namespace": "default"}, "restartStaleAgents": true});
    let (ctx, played) = Fixture::new()
        .with::<DaemonSet>(tetragon())
        .with::<Node>(node("n1"))
        .with::<LsmNode>(report)
        .with::<LsmPolicy>(policy("enforce", &json!({"tetragon": asked})))
        .plays(vec![Exchange::new(PODS, Value::Null, agent("old", 1))]);
    assert_eq!(reconcile_once(&whole(), &ctx).await.unwrap(), Action::await_change());
    end(ctx, played).await;
}

#[tokio::test]
async fn no_agent_is_restarted_without_need() {
    // No policy asks for restarts.
    let (ctx, played) = repaired(false, vec![]);
    assert_eq!(reconcile_once(&whole(), &ctx).await.unwrap(), Action::await_change());
    end(ctx, played).await;
    // The release has no LSM policies.
    let mut older = whole();
    older["spec"]["template"]["spec"]["containers"][1]["image"] =
        json!("quay.io/cilium/tetragon:v1.1.0");
    let (ctx, played) = repaired(true, vec![]);
    assert_eq!(reconcile_once(&older, &ctx).await.unwrap(), Action::await_change());
    end(ctx, played).await;
    // The owner holds the DaemonSet.
    let mut held = whole();
    held["metadata"]["annotations"]["lsmready.io/apply"] = json!("hold");
    let (ctx, played) = repaired(true, vec![]);
    assert_eq!(reconcile_once(&held, &ctx).await.unwrap(), Action::await_change());
    end(ctx, played).await;
}

#[tokio::test]
async fn a_disruption_budget_is_respected_and_a_missing_right_is_reported() {
    let refused = |code| {
        vec![
            Exchange::new(PODS, Value::Null, agent("old", 1)),
            Exchange::refused(EVICT, eviction("old"), code, "Refused"),
        ]
    };
    let script = [refused(429), refused(403)].into_iter().flatten().collect();
    let (ctx, played) = repaired(true, script);
    assert_eq!(reconcile_once(&whole(), &ctx).await.unwrap(), minute());
    assert_eq!(remembered(&ctx).stale.refused, None);
    assert_eq!(reconcile_once(&whole(), &ctx).await.unwrap(), minute());
    let refused = remembered(&ctx).stale.refused.unwrap();
    assert!(
        refused.contains("ClusterRole lsm-ready-restarting")
            && refused.contains("the server says Refused"),
        "{refused}"
    );
    end(ctx, played).await;
}

/// The pod has changed since it was listed: perhaps another leader has restarted it.
#[tokio::test]
async fn an_agent_that_changed_meanwhile_is_judged_anew() {
    let script = vec![
        Exchange::new(PODS, Value::Null, agent("old", 1)),
        Exchange::refused(EVICT, eviction("old"), 409, "Conflict"),
        Exchange::new(PODS, Value::Null, agent("old", 1)),
        Exchange::new(EVICT, eviction("old"), success()),
        Exchange::event(),
    ];
    let (ctx, played) = repaired(true, script);
    assert_eq!(reconcile_once(&whole(), &ctx).await.unwrap(), minute());
    assert_eq!(remembered(&ctx).stale.refused, None);
    assert_eq!(reconcile_once(&whole(), &ctx).await.unwrap(), minute());
    end(ctx, played).await;
}
