//! The Tetragon controller against a scripted API server: exact requests, and none where nothing
//! differs.

mod allowed;
mod gate;
mod rollout;
mod securityfs;
mod stale;
mod taken_back;

use std::sync::Arc;

use k8s_openapi::api::apps::v1::DaemonSet;
use kube_runtime::controller::Action;
use lsm_ready_crds::LsmPolicy;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::revert_backoff::RevertBackoff;
use super::state::DaemonSetState;
use super::{Error, reconcile};
use crate::context::Context;
use crate::context::fixture::{Exchange, Fixture, policy};

const PATCH: &str =
    "PATCH /apis/apps/v1/namespaces/default/daemonsets/tetragon?&fieldManager=lsm-ready";

/// The DaemonSet of Tetragon 1.3, which needs the mount.
fn tetragon() -> Value {
    let mut object: Value =
        serde_saphyr::from_str(include_str!("../../../../tetragon/tests/releases/v1.3.yaml"))
            .unwrap();
    object["metadata"]["namespace"] = json!("default");
    object["metadata"]["uid"] = json!("uid-1");
    object
}

/// The same DaemonSet with our label, volume and mount, at that resourceVersion.
fn mounted(version: u32) -> Value {
    let mut object = tetragon();
    object["metadata"]["resourceVersion"] = json!(version.to_string());
    object["metadata"]["labels"]["lsmready.io/securityfs"] = json!("mounted");
    let pod = &mut object["spec"]["template"]["spec"];
    let volume =
        json!({"name": "lsm-ready-securityfs", "hostPath": {"path": "/sys/kernel/security"}});
    pod["volumes"].as_array_mut().unwrap().push(volume);
    let mount = json!({"name": "lsm-ready-securityfs", "mountPath": "/sys/kernel/security",
        "readOnly": true});
    pod["containers"][1]["volumeMounts"].as_array_mut().unwrap().push(mount);
    object
}

/// The same DaemonSet without our mount, at that resourceVersion.
fn reverted(version: u32) -> Value {
    let mut object = tetragon();
    object["metadata"]["resourceVersion"] = json!(version.to_string());
    object
}

fn policy_with(securityfs: &Value) -> Value {
    policy(
        "enforce",
        &json!({"tetragon": {"daemonSet": {"namespace": "default"}, "securityfs": securityfs}}),
    )
}

/// The object with which server-side apply adds the mount.
fn with_mount() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"namespace": "default", "name": "tetragon", "uid": "uid-1",
            "resourceVersion": "100",
            "labels": {"lsmready.io/securityfs": "mounted"}},
        "spec": {"template": {"spec": {
            "volumes": [{"name": "lsm-ready-securityfs",
                "hostPath": {"path": "/sys/kernel/security", "type": "Directory"}}],
            "containers": [{"name": "tetragon", "volumeMounts": [
                {"name": "lsm-ready-securityfs", "mountPath": "/sys/kernel/security",
                    "readOnly": true}]}],
        }}},
    })
}

/// The object with which server-side apply removes the mount.
fn without_mount() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"namespace": "default", "name": "tetragon", "uid": "uid-1",
            "resourceVersion": "100"},
    })
}

/// The same object, for a decision that was made from that resourceVersion.
fn from_version(version: &str, mut object: Value) -> Value {
    object["metadata"]["resourceVersion"] = json!(version);
    object
}

fn scenario(policies: Vec<Value>, script: Vec<Exchange>) -> (Arc<Context>, JoinHandle<()>) {
    let fixture = Fixture::new().with::<DaemonSet>(tetragon());
    policies.into_iter().fold(fixture, Fixture::with::<LsmPolicy>).plays(script)
}

async fn reconcile_once(object: &Value, ctx: &Arc<Context>) -> Result<Action, Error> {
    reconcile(Arc::new(serde_json::from_value(object.clone()).unwrap()), ctx.clone()).await
}

fn remembered(ctx: &Arc<Context>) -> DaemonSetState {
    ctx.tetragon.recall(&serde_json::from_value(tetragon()).unwrap())
}

/// Waits until the script is played to its end.
async fn end(ctx: Arc<Context>, played: JoinHandle<()>) {
    drop(ctx);
    played.await.unwrap();
}

#[tokio::test]
async fn the_mount_is_applied_once() {
    let script = vec![Exchange::new(PATCH, with_mount(), mounted(101)), Exchange::event()];
    let (ctx, played) = scenario(vec![policy_with(&json!({}))], script);
    assert_eq!(reconcile_once(&tetragon(), &ctx).await.unwrap(), Action::await_change());
    // No request: for the old object, which the store may still hold, and for the new one.
    reconcile_once(&tetragon(), &ctx).await.unwrap();
    reconcile_once(&mounted(101), &ctx).await.unwrap();
    reconcile_once(&mounted(102), &ctx).await.unwrap();
    end(ctx, played).await;
}

#[tokio::test]
async fn where_nothing_is_to_be_written_there_is_no_request() {
    let mut newer = tetragon();
    newer["spec"]["template"]["spec"]["containers"][1]["image"] =
        json!("quay.io/cilium/tetragon:v1.7.0");
    let mut deleted = tetragon();
    deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    for (object, requests) in [
        (newer, vec![json!({})]),
        (deleted, vec![json!({})]),
        (tetragon(), vec![json!({"mount": "Never"})]),
        (tetragon(), vec![json!({"apply": "Suggest"})]),
        (tetragon(), vec![]),
        (mounted(100), vec![json!({})]),
        (mounted(100), vec![json!({"apply": "Suggest"})]),
    ] {
        let (ctx, played) = scenario(requests.iter().map(policy_with).collect(), vec![]);
        assert_eq!(
            reconcile_once(&object, &ctx).await.unwrap(),
            Action::await_change(),
            "{requests:?}"
        );
        end(ctx, played).await;
    }
}

#[tokio::test]
async fn a_mount_that_no_policy_asks_for_is_removed_once() {
    for requests in [vec![], vec![json!({"mount": "Never"})]] {
        let script = vec![Exchange::new(PATCH, without_mount(), reverted(101)), Exchange::event()];
        let (ctx, played) = scenario(requests.iter().map(policy_with).collect(), script);
        reconcile_once(&mounted(100), &ctx).await.unwrap();
        reconcile_once(&reverted(101), &ctx).await.unwrap();
        end(ctx, played).await;
    }
}

/// Another manager has removed our volume, and the policies that are left do not add it.
#[tokio::test]
async fn our_label_alone_is_removed() {
    let mut labelled = reverted(100);
    labelled["metadata"]["labels"]["lsmready.io/securityfs"] = json!("mounted");
    let nowhere =
        json!({"tetragon": {"daemonSet": {"namespace": "default", "container": "agent"}}});
    for policies in [vec![policy_with(&json!({"apply": "Suggest"}))], vec![policy("p", &nowhere)]] {
        let script = vec![Exchange::new(PATCH, without_mount(), reverted(101)), Exchange::event()];
        let (ctx, played) = scenario(policies, script);
        reconcile_once(&labelled, &ctx).await.unwrap();
        reconcile_once(&reverted(101), &ctx).await.unwrap();
        end(ctx, played).await;
    }
}

#[tokio::test]
async fn a_label_of_another_manager_is_removed_once_at_most() {
    let mut labelled = reverted(100);
    labelled["metadata"]["labels"]["lsmready.io/securityfs"] = json!("by hand");
    let script = vec![Exchange::new(PATCH, without_mount(), labelled.clone())];
    let (ctx, played) = scenario(vec![], script);
    reconcile_once(&labelled, &ctx).await.unwrap();
    assert!(remembered(&ctx).label_is_theirs);
    reconcile_once(&labelled, &ctx).await.unwrap();
    end(ctx, played).await;
}

#[tokio::test]
async fn a_refused_write_is_not_repeated_at_once() {
    for (code, reason) in [(403, "Forbidden"), (422, "ApplyFailed")] {
        let script = vec![Exchange::refused(PATCH, with_mount(), code, "Refused")];
        let (ctx, played) = scenario(vec![policy_with(&json!({}))], script);
        let retry = reconcile_once(&tetragon(), &ctx).await.unwrap();
        assert_eq!(retry, Action::requeue(std::time::Duration::from_mins(1)));
        assert_eq!(remembered(&ctx).failure.unwrap().reason.code(), reason);
        assert_eq!(reconcile_once(&tetragon(), &ctx).await.unwrap(), retry);
        end(ctx, played).await;
    }
}

#[tokio::test]
async fn a_refused_write_is_repeated_at_once_when_the_daemon_set_changes() {
    let mut changed = tetragon();
    changed["metadata"]["generation"] = json!(2);
    let script = vec![
        Exchange::refused(PATCH, with_mount(), 422, "Invalid"),
        Exchange::refused(PATCH, with_mount(), 422, "Invalid"),
    ];
    let (ctx, played) = scenario(vec![policy_with(&json!({}))], script);
    reconcile_once(&tetragon(), &ctx).await.unwrap();
    reconcile_once(&changed, &ctx).await.unwrap();
    end(ctx, played).await;
}

#[tokio::test]
async fn a_failure_that_may_pass_is_an_error_and_retried() {
    let script = vec![
        Exchange::refused(PATCH, with_mount(), 500, "InternalError"),
        Exchange::refused(PATCH, with_mount(), 429, "TooManyRequests"),
        Exchange::new(PATCH, with_mount(), mounted(101)),
        Exchange::event(),
    ];
    let (ctx, played) = scenario(vec![policy_with(&json!({}))], script);
    for _ in 0..2 {
        reconcile_once(&tetragon(), &ctx).await.unwrap_err();
        let failure = remembered(&ctx).failure.unwrap();
        assert!(!failure.lasting);
        assert!(failure.message.contains("the server says"), "{}", failure.message);
    }
    reconcile_once(&tetragon(), &ctx).await.unwrap();
    assert_eq!(remembered(&ctx).failure, None);
    end(ctx, played).await;
}

#[tokio::test]
async fn a_daemon_set_that_is_gone_is_forgotten() {
    let (ctx, played) = scenario(
        vec![policy_with(&json!({}))],
        vec![Exchange::refused(PATCH, with_mount(), 404, "NotFound")],
    );
    assert_eq!(reconcile_once(&tetragon(), &ctx).await.unwrap(), Action::await_change());
    assert_eq!(remembered(&ctx), DaemonSetState::default());
    end(ctx, played).await;
}

#[tokio::test]
async fn a_webhook_that_removes_the_mount_is_reported() {
    let script = vec![Exchange::new(PATCH, with_mount(), reverted(101))];
    let (ctx, played) = scenario(vec![policy_with(&json!({}))], script);
    reconcile_once(&tetragon(), &ctx).await.unwrap();
    reconcile_once(&reverted(101), &ctx).await.unwrap();
    let failure = remembered(&ctx).failure.unwrap();
    assert!(failure.message.contains("mutating admission webhook"), "{}", failure.message);
    end(ctx, played).await;
}

#[tokio::test]
async fn after_the_third_revert_nothing_is_written_for_ten_minutes() {
    let (ctx, played) = scenario(vec![policy_with(&json!({}))], vec![Exchange::event()]);
    let now = ctx.moment();
    let mut reverts = RevertBackoff::default();
    for _ in 0..2 {
        reverts.applied(now);
        reverts.missing(now);
    }
    reverts.applied(now);
    let twice_reverted = DaemonSetState { reverts, ..DaemonSetState::default() };
    ctx.tetragon.remember(&serde_json::from_value(tetragon()).unwrap(), twice_reverted);
    for version in [106, 107, 108] {
        let retry = reconcile_once(&reverted(version), &ctx).await.unwrap();
        assert_eq!(retry, Action::requeue(std::time::Duration::from_mins(10)));
    }
    end(ctx, played).await;
}
