//! Nodes whose kernels have no securityfs: nothing is written, and the condition names them.

use k8s_openapi::api::core::v1::Node;
use lsm_ready_crds::LsmNode;
use lsm_ready_crds::State;

use super::*;
use crate::context::fixture::{node, report};
use crate::tetragon::findings;
use crate::watch::key::DaemonSetKey;

fn reporting(name: &str, securityfs: &str) -> Value {
    let mut report = report(name, "Denied", "CanaryDenied");
    report["status"]["securityfs"] = json!(securityfs);
    report
}

/// Two nodes, of which the second has no securityfs in its kernel.
fn mixed(
    daemon_set: Value,
    securityfs: &Value,
    script: Vec<Exchange>,
) -> (Arc<Context>, JoinHandle<()>) {
    Fixture::new()
        .with::<DaemonSet>(daemon_set)
        .with::<Node>(node("n1"))
        .with::<Node>(node("n2"))
        .with::<LsmNode>(reporting("n1", "Mounted"))
        .with::<LsmNode>(reporting("n2", "NotInKernel"))
        .with::<LsmPolicy>(asking(securityfs))
        .plays(script)
}

/// State, reason and message of `SecurityfsMounted`, and whether the policy is stalled.
fn told(object: &Value, securityfs: &Value, ctx: &Context) -> (State, String, String, bool) {
    let policy: LsmPolicy = serde_json::from_value(asking(securityfs)).unwrap();
    let key = DaemonSetKey { namespace: "default".into(), name: "tetragon".into() };
    let daemon_set: DaemonSet = serde_json::from_value(object.clone()).unwrap();
    let findings = findings(&policy, &key, Some(&daemon_set), ctx);
    let found = findings.securityfs;
    (found.status, found.reason.code().to_owned(), found.message, findings.stalled.is_some())
}

#[tokio::test]
async fn the_mount_is_not_added_where_an_agent_could_not_start_with_it() {
    for securityfs in [json!({}), json!({"mount": "Always"}), json!({"apply": "Suggest"})] {
        let (ctx, played) = mixed(tetragon(), &securityfs, vec![]);
        look(&tetragon(), &ctx).await.unwrap();
        let (status, found, message, is_stalled) = told(&tetragon(), &securityfs, &ctx);
        assert_eq!(
            (status, found.as_str(), is_stalled),
            (State::NotReady, "NodesWithoutSecurityfs", true)
        );
        assert!(
            message.contains("on node n2:") && message.contains("CONFIG_SECURITYFS"),
            "{message}"
        );
        end(ctx, played).await;
    }
}

#[tokio::test]
async fn nodes_without_an_agent_hold_nothing_up() {
    let mut elsewhere = tetragon();
    elsewhere["spec"]["template"]["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": "n1"});
    let script = vec![Exchange::new(PATCH, mount(), mounted(101)), Exchange::event()];
    let (ctx, played) = mixed(elsewhere.clone(), &json!({}), script);
    look(&elsewhere, &ctx).await.unwrap();
    end(ctx, played).await;
}

#[tokio::test]
async fn a_mount_that_is_not_ours_is_told_and_left_alone() {
    for (path, expected) in
        [("/sys/kernel/security", "NodesWithoutSecurityfs"), ("/sys/kernel", "AlreadyMounted")]
    {
        let mut theirs = tetragon();
        let pod = &mut theirs["spec"]["template"]["spec"];
        pod["volumes"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "own", "hostPath": {"path": path}}));
        let mounts = pod["containers"][1]["volumeMounts"].as_array_mut().unwrap();
        mounts.push(json!({"name": "own", "mountPath": path, "readOnly": true}));
        let (ctx, played) = mixed(theirs.clone(), &json!({}), vec![]);
        look(&theirs, &ctx).await.unwrap();
        assert_eq!(told(&theirs, &json!({}), &ctx).1, expected, "{path}");
        end(ctx, played).await;
    }
}

#[tokio::test]
async fn a_node_that_joins_later_does_not_take_the_mount_from_the_others() {
    let (ctx, played) = mixed(mounted(100), &json!({}), vec![]);
    look(&mounted(100), &ctx).await.unwrap();
    let (status, found, message, is_stalled) = told(&mounted(100), &json!({}), &ctx);
    assert_eq!(
        (status, found.as_str(), is_stalled),
        (State::NotReady, "NodesWithoutSecurityfs", true)
    );
    assert!(
        message.contains("cannot start on node n2:") && message.contains("leaves the mount"),
        "{message}"
    );
    end(ctx, played).await;
}
