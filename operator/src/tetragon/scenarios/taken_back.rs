//! An agent cannot be created with our mount: the mount is taken back once, and not added again
//! before something changes.

use k8s_openapi::api::core::v1::Node;
use lsm_ready_crds::LsmNode;
use lsm_ready_crds::State;

use lsm_ready_tetragon::plan::MountRequest;

use super::rollout::{EVENTS, PODS, events};
use super::*;
use crate::context::fixture::{node, report};
use crate::tetragon::condition::Findings;
use crate::tetragon::findings;
use crate::watch::key::DaemonSetKey;

/// The DaemonSet with our mount. One of three agents is updated, and two are available.
fn rolling() -> Value {
    let mut object = mounted(100);
    object["metadata"]["generation"] = json!(2);
    object["metadata"]["annotations"]["deprecated.daemonset.template.generation"] = json!("2");
    object["status"] = json!({"currentNumberScheduled": 3, "numberMisscheduled": 0,
        "numberReady": 2,
        "desiredNumberScheduled": 3, "updatedNumberScheduled": 1, "numberAvailable": 2,
            "observedGeneration": 2});
    object
}

fn pods(reason: &str, message: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": [{
        "metadata": {"name": "tetragon-n1", "namespace": "default",
            "labels": {"pod-template-generation": "2"},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "tetragon", "uid": "uid-1",
                    "controller": true}]},
        "spec": {"nodeName": "n1", "containers": [],
            "volumes": [{"name": "lsm-ready-securityfs",
                "hostPath": {"path": "/sys/kernel/security"}}]},
        "status": {"containerStatuses": [{"name": "tetragon", "image": "", "imageID": "",
            "ready": false,
            "restartCount": 0, "state": {"waiting": {"reason": reason, "message": message}}}]},
    }]})
}

/// The value of our label after the mount was taken back.
fn mark() -> String {
    let daemon_set: DaemonSet = serde_json::from_value(rolling()).unwrap();
    let request = MountRequest {
        container: "tetragon".into(),
        patch: lsm_ready_crds::policy::Mount::Auto,
        suggest: lsm_ready_crds::policy::Mount::Never,
        without_securityfs: Vec::new(),
    };
    lsm_ready_tetragon::taken_back::mark(&daemon_set, &request)
}

/// The DaemonSet without our mount, with that mark.
fn taken() -> Value {
    let mut object = reverted(101);
    object["metadata"]["labels"]["lsmready.io/securityfs"] = json!(mark());
    object
}

fn take_back() -> Value {
    let mut object = without_mount();
    object["metadata"]["labels"] = json!({"lsmready.io/securityfs": mark()});
    object
}

fn conditions(object: &Value, ctx: &Arc<Context>) -> Findings {
    let object: DaemonSet = serde_json::from_value(object.clone()).unwrap();
    let policy = ctx.stores.policies.state().first().cloned().unwrap();
    findings(&policy, &DaemonSetKey::of(&object), Some(&object), ctx)
}

fn now() -> Action {
    Action::requeue(std::time::Duration::ZERO)
}

const MESSAGE: &str = "error mounting \"/sys/kernel/security\": permission\n\u{1b}[31mdenied";

#[tokio::test]
async fn the_mount_is_taken_back_once() {
    let script = vec![
        Exchange::new(PODS, Value::Null, pods("CreateContainerError", MESSAGE)),
        Exchange::new(PATCH, take_back(), taken()),
        Exchange::event(),
    ];
    let (ctx, played) = scenario(vec![policy_with(&json!({}))], script);
    assert_eq!(reconcile_once(&rolling(), &ctx).await.unwrap(), now());
    let found = conditions(&rolling(), &ctx);
    assert_eq!(
        (found.rolled_out.status, found.rolled_out.reason.code()),
        (State::NotReady, "ContainerCreateFailed")
    );
    assert!(
        found.rolled_out.message.contains("permission \u{fffd}[31mdenied"),
        "{}",
        found.rolled_out.message
    );
    assert_eq!(found.securityfs.reason.code(), "TakenBack");
    reconcile_once(&rolling(), &ctx).await.unwrap();
    for version in 101..104 {
        let mut object = taken();
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        assert_eq!(reconcile_once(&object, &ctx).await.unwrap(), Action::await_change());
    }
    let found = conditions(&taken(), &ctx);
    assert_eq!(
        (found.securityfs.status, found.securityfs.reason.code()),
        (State::NotReady, "TakenBack")
    );
    assert!(
        found.securityfs.message.contains("on n1 (pod tetragon-n1"),
        "{}",
        found.securityfs.message
    );
    assert!(found.stalled.is_some());
    end(ctx, played).await;
}

/// The DaemonSet controller deletes an agent, and the API server refuses the next one.
#[tokio::test]
async fn the_mount_is_taken_back_when_pods_with_it_are_forbidden() {
    let nobody = json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": []});
    let forbidden = "Error creating: pods \"tetragon-x\" is forbidden: violates PodSecurity \
        \"restricted:latest\": restricted volume types (volume \"lsm-ready-securityfs\")";
    let script = vec![
        Exchange::new(PODS, Value::Null, nobody),
        Exchange::new(EVENTS, Value::Null, events(&[forbidden])),
        Exchange::new(PATCH, take_back(), taken()),
        Exchange::event(),
    ];
    let (ctx, played) = scenario(vec![policy_with(&json!({}))], script);
    assert_eq!(reconcile_once(&rolling(), &ctx).await.unwrap(), now());
    reconcile_once(&rolling(), &ctx).await.unwrap();
    let found = conditions(&taken(), &ctx);
    assert_eq!(found.securityfs.reason.code(), "TakenBack");
    assert!(found.securityfs.message.contains("violates PodSecurity"), "{:?}", found.securityfs);
    end(ctx, played).await;
}

#[tokio::test]
async fn without_the_right_to_read_events_the_mount_stays() {
    let nobody = json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": []});
    let script = vec![
        Exchange::new(PODS, Value::Null, nobody),
        Exchange::refused(EVENTS, Value::Null, 403, "Forbidden"),
    ];
    let (ctx, played) = scenario(vec![policy_with(&json!({}))], script);
    reconcile_once(&rolling(), &ctx).await.unwrap();
    reconcile_once(&rolling(), &ctx).await.unwrap();
    end(ctx, played).await;
}

#[tokio::test]
async fn a_restart_of_the_operator_does_not_add_the_mount_again() {
    let (ctx, played) = scenario(vec![policy_with(&json!({}))], vec![]);
    assert_eq!(reconcile_once(&taken(), &ctx).await.unwrap(), Action::await_change());
    let found = conditions(&taken(), &ctx);
    assert_eq!((found.securityfs.reason.code(), found.stalled.is_some()), ("TakenBack", true));
    end(ctx, played).await;
}

#[tokio::test]
async fn after_a_change_of_the_pod_template_or_request_the_mount_is_added_again() {
    let mut changed = taken();
    changed["spec"]["template"]["metadata"]["annotations"] =
        json!({"kubectl.kubernetes.io/restartedAt": "x"});
    for (object, securityfs) in [(changed, json!({})), (taken(), json!({"mount": "Always"}))] {
        let body = from_version("101", with_mount());
        let script = vec![Exchange::new(PATCH, body, mounted(102)), Exchange::event()];
        let (ctx, played) = scenario(vec![policy_with(&securityfs)], script);
        reconcile_once(&object, &ctx).await.unwrap();
        end(ctx, played).await;
    }
}

#[tokio::test]
async fn without_a_policy_the_mark_is_removed() {
    let body = from_version("101", without_mount());
    let script = vec![Exchange::new(PATCH, body, reverted(102)), Exchange::event()];
    let (ctx, played) = scenario(vec![], script);
    reconcile_once(&taken(), &ctx).await.unwrap();
    reconcile_once(&reverted(102), &ctx).await.unwrap();
    end(ctx, played).await;
}

#[tokio::test]
async fn for_problems_of_another_cause_the_mount_stays() {
    for (reason, message) in [("CrashLoopBackOff", MESSAGE), ("ErrImagePull", MESSAGE)] {
        let (ctx, played) = scenario(
            vec![policy_with(&json!({}))],
            vec![Exchange::new(PODS, Value::Null, pods(reason, message))],
        );
        assert_eq!(
            reconcile_once(&rolling(), &ctx).await.unwrap(),
            Action::requeue(std::time::Duration::from_secs(10))
        );
        reconcile_once(&rolling(), &ctx).await.unwrap();
        end(ctx, played).await;
    }
}

#[tokio::test]
async fn the_owner_can_hold_the_removal_and_a_window_cannot() {
    let window = json!({"daemonSet": {"namespace": "default"}, "window": {"start": "01:00",
        "duration": "30m"}});
    let listed = || Exchange::new(PODS, Value::Null, pods("CreateContainerError", MESSAGE));
    let script = vec![listed(), Exchange::new(PATCH, take_back(), taken()), Exchange::event()];
    let (ctx, played) = scenario(vec![policy("enforce", &json!({ "tetragon": window }))], script);
    reconcile_once(&rolling(), &ctx).await.unwrap();
    reconcile_once(&rolling(), &ctx).await.unwrap();
    end(ctx, played).await;

    let mut held = rolling();
    held["metadata"]["annotations"]["lsmready.io/apply"] = json!("hold");
    let (ctx, played) = scenario(vec![policy_with(&json!({}))], vec![listed()]);
    reconcile_once(&held, &ctx).await.unwrap();
    assert_eq!(
        reconcile_once(&held, &ctx).await.unwrap(),
        Action::requeue(std::time::Duration::from_secs(10))
    );
    let found = conditions(&held, &ctx);
    assert!(
        found.securityfs.message.contains("does not remove the mount, because the owner"),
        "{}",
        found.securityfs.message
    );
    end(ctx, played).await;
}

#[tokio::test]
async fn a_refused_removal_is_reported_and_retried_once_a_minute() {
    let script = vec![
        Exchange::new(PODS, Value::Null, pods("CreateContainerError", MESSAGE)),
        Exchange::refused(PATCH, take_back(), 403, "Forbidden"),
    ];
    let (ctx, played) = scenario(vec![policy_with(&json!({}))], script);
    reconcile_once(&rolling(), &ctx).await.unwrap();
    reconcile_once(&rolling(), &ctx).await.unwrap();
    reconcile_once(&rolling(), &ctx).await.unwrap();
    let found = conditions(&rolling(), &ctx);
    assert!(
        found.securityfs.message.contains("could not be removed"),
        "{}",
        found.securityfs.message
    );
    assert!(found.stalled.is_some());
    end(ctx, played).await;
}

/// That DaemonSet, on one node for each list of active LSMs.
fn with_lsms(
    object: &Value,
    lsms: &[&[&str]],
    script: Vec<Exchange>,
) -> (Arc<Context>, JoinHandle<()>) {
    let mut fixture =
        Fixture::new().with::<DaemonSet>(object.clone()).with::<LsmPolicy>(policy_with(&json!({})));
    for (name, active) in ["n1", "n2"].iter().zip(lsms) {
        let mut report = report(name, "Denied", "CanaryDenied");
        report["status"]["lsms"] = json!({ "active": active });
        fixture = fixture.with::<Node>(node(name)).with::<LsmNode>(report);
    }
    fixture.plays(script)
}

#[tokio::test]
async fn a_mount_that_app_armor_keeps_every_agent_from_using_is_not_added() {
    let mut object = tetragon();
    object["spec"]["template"]["spec"]["containers"][1]["securityContext"] =
        json!({"privileged": false});
    let (with, without) = (&["bpf", "apparmor"][..], &["bpf"][..]);
    let (ctx, played) = with_lsms(&object, &[with, with], vec![]);
    reconcile_once(&object, &ctx).await.unwrap();
    let found = conditions(&object, &ctx);
    assert_eq!((found.securityfs.reason.code(), found.stalled.is_some()), ("AppArmor", true));
    assert!(
        found.securityfs.message.contains("AppArmor is active on 2 nodes (n1, n2)"),
        "{}",
        found.securityfs.message
    );
    end(ctx, played).await;
    // Where one agent can use the mount, it is added, and the condition says where it does not
    // help.
    let mut written = mounted(101);
    written["spec"]["template"]["spec"]["containers"][1]["securityContext"] =
        json!({"privileged": false});
    let script = vec![Exchange::new(PATCH, with_mount(), written.clone()), Exchange::event()];
    let (ctx, played) = with_lsms(&object, &[with, without], script);
    reconcile_once(&object, &ctx).await.unwrap();
    let found = conditions(&written, &ctx);
    assert_eq!(
        (found.securityfs.status, found.securityfs.reason.code()),
        (State::NotReady, "AppArmor")
    );
    assert!(
        found.hardened.message.contains("AppArmor is active on 1 nodes (n1)"),
        "{}",
        found.hardened.message
    );
    end(ctx, played).await;
    // A privileged container is not confined.
    let script = vec![Exchange::new(PATCH, with_mount(), mounted(101)), Exchange::event()];
    let (ctx, played) = with_lsms(&tetragon(), &[with, with], script);
    reconcile_once(&tetragon(), &ctx).await.unwrap();
    end(ctx, played).await;
}
