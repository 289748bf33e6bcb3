//! Which DaemonSets get the mount: Tetragon's, and those whose owners allow it, unless Pod Security
//! forbids their pods.

use super::*;
use crate::tetragon::findings;
use crate::watch::key::DaemonSetKey;

/// A DaemonSet of somebody, without hostPath volumes, which a policy names.
fn somebodys() -> Value {
    let mut object = tetragon();
    object["metadata"]["labels"] = json!({});
    object["spec"]["template"]["metadata"]["labels"] = json!({"app": "web"});
    let pod = &mut object["spec"]["template"]["spec"];
    pod["volumes"] = json!([]);
    for container in pod["containers"].as_array_mut().unwrap() {
        container["volumeMounts"] = json!([]);
        container["image"] = json!("registry/web:v1");
    }
    object
}

fn allowed() -> Value {
    let mut object = somebodys();
    object["metadata"]["annotations"]["lsmready.io/securityfs"] = json!("allow");
    object
}

/// Status, reason and message of `SecurityfsMounted`.
fn securityfs(object: &Value, ctx: &Arc<Context>) -> (String, String) {
    let object: DaemonSet = serde_json::from_value(object.clone()).unwrap();
    let policy = ctx.stores.policies.state().first().cloned().unwrap();
    let found = findings(&policy, &DaemonSetKey::of(&object), Some(&object), ctx).securityfs;
    (found.reason.code().to_owned(), found.message)
}

const DRY_RUN: &str =
    "PATCH /apis/apps/v1/namespaces/default/daemonsets/tetragon?&dryRun=All&fieldManager=lsm-ready";

#[tokio::test]
async fn a_policy_alone_changes_and_restarts_no_daemon_set_of_others() {
    let asked = policy(
        "enforce",
        &json!({"tetragon": {"daemonSet": {"namespace": "default"},
        "securityfs": {"mount": "Always"}, "restartStaleAgents": true}}),
    );
    let (ctx, played) = scenario(vec![asked], vec![]);
    let object = somebodys();
    assert_eq!(reconcile_once(&object, &ctx).await.unwrap(), Action::await_change());
    let (reason, message) = securityfs(&object, &ctx);
    assert_eq!(reason, "DaemonSetNotAllowed");
    assert!(message.contains("kubectl annotate daemonset NAME lsmready.io/securityfs=allow"));
    end(ctx, played).await;
}

#[tokio::test]
async fn a_mount_that_was_added_is_removed_also_where_it_is_not_allowed_any_more() {
    let mut object = mounted(100);
    object["spec"]["template"]["spec"]["containers"][1]["image"] = json!("registry/web:v1");
    let script = vec![Exchange::new(PATCH, without_mount(), reverted(101)), Exchange::event()];
    let (ctx, played) = scenario(vec![], script);
    reconcile_once(&object, &ctx).await.unwrap();
    end(ctx, played).await;
}

#[tokio::test]
async fn the_owners_annotation_allows_the_mount_after_a_dry_run() {
    let always = policy_with(&json!({"mount": "Always"}));
    let script = vec![
        Exchange::new(DRY_RUN, with_mount(), mounted(101)),
        Exchange::new(PATCH, with_mount(), mounted(101)),
        Exchange::event(),
    ];
    let (ctx, played) = scenario(vec![always], script);
    reconcile_once(&allowed(), &ctx).await.unwrap();
    end(ctx, played).await;
}

#[tokio::test]
async fn a_mount_that_pod_security_forbids_is_not_added() {
    let always = policy_with(&json!({"mount": "Always"}));
    let warning = r#"299 - "would violate PodSecurity \"restricted:latest\": restricted volume types (volume \"lsm-ready-securityfs\" uses restricted volume type \"hostPath\")""#;
    let script = vec![Exchange::new(DRY_RUN, with_mount(), mounted(101)).with_warning(warning)];
    let (ctx, played) = scenario(vec![always], script);
    let retry = reconcile_once(&allowed(), &ctx).await.unwrap();
    assert_eq!(retry, Action::requeue(std::time::Duration::from_mins(1)));
    let (reason, message) = securityfs(&allowed(), &ctx);
    assert_eq!(reason, "PodsForbidden");
    assert!(message.contains("would violate PodSecurity"), "{message}");
    end(ctx, played).await;
}
