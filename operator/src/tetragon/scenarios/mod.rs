//! The Tetragon controller against a scripted API server: exact requests, and silence where nothing differs.

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

use super::contest::Contest;
use super::memory::Remembered;
use super::{Error, reconcile};
use crate::context::Context;
use crate::context::fixture::{Exchange, Fixture, policy};

const PATCH: &str =
    "PATCH /apis/apps/v1/namespaces/default/daemonsets/tetragon?&fieldManager=lsm-ready";

/// Tetragon 1.3, which needs the mount.
fn tetragon() -> Value {
    let mut object: Value =
        serde_saphyr::from_str(include_str!("../../../../tetragon/tests/releases/v1.3.yaml"))
            .unwrap();
    object["metadata"]["namespace"] = json!("default");
    object["metadata"]["uid"] = json!("uid-1");
    object
}

/// The same with our label, volume and mount, at that resourceVersion.
fn mounted(version: u32) -> Value {
    let mut object = tetragon();
    object["metadata"]["resourceVersion"] = json!(version.to_string());
    object["metadata"]["labels"]["lsmready.io/securityfs"] = json!("mounted");
    let pod = &mut object["spec"]["template"]["spec"];
    let volume =
        json!({"name": "lsm-ready-securityfs", "hostPath": {"path": "/sys/kernel/security"}});
    pod["volumes"].as_array_mut().unwrap().push(volume);
    let mount = json!({"name": "lsm-ready-securityfs", "mountPath": "/sys/kernel/security", "readOnly": true});
    pod["containers"][1]["volumeMounts"].as_array_mut().unwrap().push(mount);
    object
}

/// Without our mount again, at that resourceVersion.
fn reverted(version: u32) -> Value {
    let mut object = tetragon();
    object["metadata"]["resourceVersion"] = json!(version.to_string());
    object
}

fn asking(securityfs: &Value) -> Value {
    policy(
        "enforce",
        &json!({"tetragon": {"daemonSet": {"namespace": "default"}, "securityfs": securityfs}}),
    )
}

/// What server-side apply is to send.
fn mount() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"namespace": "default", "name": "tetragon", "uid": "uid-1",
            "labels": {"lsmready.io/securityfs": "mounted"}},
        "spec": {"template": {"spec": {
            "volumes": [{"name": "lsm-ready-securityfs",
                "hostPath": {"path": "/sys/kernel/security", "type": "Directory"}}],
            "containers": [{"name": "tetragon", "volumeMounts": [
                {"name": "lsm-ready-securityfs", "mountPath": "/sys/kernel/security", "readOnly": true}]}],
        }}},
    })
}

/// What takes it away.
fn nothing() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"namespace": "default", "name": "tetragon", "uid": "uid-1"},
    })
}

fn scenario(policies: Vec<Value>, script: Vec<Exchange>) -> (Arc<Context>, JoinHandle<()>) {
    let fixture = Fixture::new().with::<DaemonSet>(tetragon());
    policies.into_iter().fold(fixture, Fixture::with::<LsmPolicy>).plays(script)
}

async fn look(object: &Value, ctx: &Arc<Context>) -> Result<Action, Error> {
    reconcile(Arc::new(serde_json::from_value(object.clone()).unwrap()), ctx.clone()).await
}

fn remembered(ctx: &Arc<Context>) -> Remembered {
    ctx.tetragon.recall("uid-1")
}

/// The script is played to its end.
async fn end(ctx: Arc<Context>, played: JoinHandle<()>) {
    drop(ctx);
    played.await.unwrap();
}

#[tokio::test]
async fn the_mount_is_applied_once() {
    let script = vec![Exchange::new(PATCH, mount(), mounted(101)), Exchange::event()];
    let (ctx, played) = scenario(vec![asking(&json!({}))], script);
    assert_eq!(look(&tetragon(), &ctx).await.unwrap(), Action::await_change());
    // Radio silence: for the object of before, which the store may still hold, and for the new one.
    look(&tetragon(), &ctx).await.unwrap();
    look(&mounted(101), &ctx).await.unwrap();
    look(&mounted(102), &ctx).await.unwrap();
    end(ctx, played).await;
}

#[tokio::test]
async fn radio_silence_where_nothing_is_to_be_written() {
    let mut newer = tetragon();
    newer["spec"]["template"]["spec"]["containers"][1]["image"] =
        json!("quay.io/cilium/tetragon:v1.7.0");
    let mut deleted = tetragon();
    deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    for (object, wishes) in [
        (newer, vec![json!({})]),
        (deleted, vec![json!({})]),
        (tetragon(), vec![json!({"mount": "Never"})]),
        (tetragon(), vec![json!({"apply": "Suggest"})]),
        (tetragon(), vec![]),
        (mounted(100), vec![json!({})]),
        (mounted(100), vec![json!({"apply": "Suggest"})]),
    ] {
        let (ctx, played) = scenario(wishes.iter().map(asking).collect(), vec![]);
        assert_eq!(look(&object, &ctx).await.unwrap(), Action::await_change(), "{wishes:?}");
        end(ctx, played).await;
    }
}

#[tokio::test]
async fn what_nobody_wants_is_given_back_once() {
    for wishes in [vec![], vec![json!({"mount": "Never"})]] {
        let script = vec![Exchange::new(PATCH, nothing(), reverted(101)), Exchange::event()];
        let (ctx, played) = scenario(wishes.iter().map(asking).collect(), script);
        look(&mounted(100), &ctx).await.unwrap();
        look(&reverted(101), &ctx).await.unwrap();
        end(ctx, played).await;
    }
}

#[tokio::test]
async fn a_label_of_somebody_else_is_tried_once() {
    let mut labelled = reverted(100);
    labelled["metadata"]["labels"]["lsmready.io/securityfs"] = json!("by hand");
    let script = vec![Exchange::new(PATCH, nothing(), labelled.clone())];
    let (ctx, played) = scenario(vec![], script);
    look(&labelled, &ctx).await.unwrap();
    assert!(remembered(&ctx).label_is_theirs);
    look(&labelled, &ctx).await.unwrap();
    end(ctx, played).await;
}

#[tokio::test]
async fn a_refusal_is_remembered_and_not_repeated_at_once() {
    for (code, reason) in [(403, "Forbidden"), (422, "ApplyFailed")] {
        let script = vec![Exchange::refused(PATCH, mount(), code, "Refused")];
        let (ctx, played) = scenario(vec![asking(&json!({}))], script);
        let again = look(&tetragon(), &ctx).await.unwrap();
        assert_eq!(again, Action::requeue(std::time::Duration::from_mins(1)));
        assert_eq!(remembered(&ctx).failure.unwrap().reason.code(), reason);
        assert_eq!(look(&tetragon(), &ctx).await.unwrap(), again);
        end(ctx, played).await;
    }
}

#[tokio::test]
async fn a_changed_wish_is_tried_at_once() {
    let mut changed = tetragon();
    changed["metadata"]["generation"] = json!(2);
    let script = vec![
        Exchange::refused(PATCH, mount(), 422, "Invalid"),
        Exchange::refused(PATCH, mount(), 422, "Invalid"),
    ];
    let (ctx, played) = scenario(vec![asking(&json!({}))], script);
    look(&tetragon(), &ctx).await.unwrap();
    look(&changed, &ctx).await.unwrap();
    end(ctx, played).await;
}

#[tokio::test]
async fn what_may_pass_is_an_error_and_tried_again() {
    let script = vec![
        Exchange::refused(PATCH, mount(), 500, "InternalError"),
        Exchange::refused(PATCH, mount(), 429, "TooManyRequests"),
        Exchange::new(PATCH, mount(), mounted(101)),
        Exchange::event(),
    ];
    let (ctx, played) = scenario(vec![asking(&json!({}))], script);
    for _ in 0..2 {
        look(&tetragon(), &ctx).await.unwrap_err();
        let failure = remembered(&ctx).failure.unwrap();
        assert!(!failure.lasting);
        assert!(failure.message.contains("the server says"), "{}", failure.message);
    }
    look(&tetragon(), &ctx).await.unwrap();
    assert_eq!(remembered(&ctx).failure, None);
    end(ctx, played).await;
}

#[tokio::test]
async fn a_daemon_set_that_is_gone_is_left_to_the_watch() {
    let (ctx, played) = scenario(
        vec![asking(&json!({}))],
        vec![Exchange::refused(PATCH, mount(), 404, "NotFound")],
    );
    assert_eq!(look(&tetragon(), &ctx).await.unwrap(), Action::await_change());
    assert_eq!(remembered(&ctx), Remembered::default());
    end(ctx, played).await;
}

#[tokio::test]
async fn a_webhook_that_takes_it_out_is_told() {
    let script = vec![Exchange::new(PATCH, mount(), reverted(101))];
    let (ctx, played) = scenario(vec![asking(&json!({}))], script);
    look(&tetragon(), &ctx).await.unwrap();
    look(&reverted(101), &ctx).await.unwrap();
    let failure = remembered(&ctx).failure.unwrap();
    assert!(failure.message.contains("mutating admission webhook"), "{}", failure.message);
    end(ctx, played).await;
}

#[tokio::test]
async fn the_third_revert_is_contested_and_then_there_is_silence() {
    let (ctx, played) = scenario(vec![asking(&json!({}))], vec![Exchange::event()]);
    let now = (ctx.now)();
    let twice_reverted = (0..2)
        .fold(Contest::default(), |contest, _| contest.applied(now).missing(now).0)
        .applied(now);
    ctx.tetragon.remember("uid-1", Remembered { contest: twice_reverted, ..Remembered::default() });
    for version in [106, 107, 108] {
        let again = look(&reverted(version), &ctx).await.unwrap();
        assert_eq!(again, Action::requeue(std::time::Duration::from_mins(10)));
    }
    end(ctx, played).await;
}
