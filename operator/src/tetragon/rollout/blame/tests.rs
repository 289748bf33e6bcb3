//! Which problems are blamed on our mount, and which are not.

use lsm_ready_crds::LsmPolicy;
use serde_json::{Value, json};

use k8s_openapi::api::apps::v1::DaemonSet;

use super::*;
use crate::context::moment::Moment;
use crate::context::moment::tests::second;
use crate::tetragon::merge::PolicyRequests;
use crate::tetragon::nodes::NodeFacts;
use crate::watch::key::DaemonSetKey;

const IMAGE: &str = "quay.io/cilium/tetragon:v1.3.0";

fn now() -> Moment {
    Moment { time: "2026-01-01T01:00:00Z".parse().unwrap(), ..second(0) }
}

/// The observation of that DaemonSet, for which a policy asks for `mount: Auto`.
fn observe(daemon_set: &DaemonSet) -> Observation<'_> {
    let policy = json!({
        "apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy", "metadata": {"name": "p"},
        "spec": {"tetragon": {"securityfs": {"mount": "Auto"}}},
    });
    let policy: LsmPolicy = serde_json::from_value(policy).unwrap();
    let requests = PolicyRequests::of(&DaemonSetKey::of(daemon_set), [&policy]);
    Observation::new(daemon_set, requests, NodeFacts::default(), now())
}

/// A DaemonSet with our mount, at template generation 2.
fn daemon_set() -> DaemonSet {
    let object = json!({
        "metadata": {"namespace": "kube-system", "name": "tetragon",
            "labels": {"lsmready.io/securityfs": "mounted"},
            "annotations": {"deprecated.daemonset.template.generation": "2"}},
        "spec": {"selector": {}, "template": {"spec": {
            "volumes": [{"name": "lsm-ready-securityfs",
                "hostPath": {"path": "/sys/kernel/security"}}],
            "containers": [{"name": "tetragon", "image": IMAGE}]}}},
    });
    serde_json::from_value(object).unwrap()
}

fn pod(node: &str, template: &str, ours: bool, status: &Value) -> Value {
    let volumes = if ours {
        json!([{"name": "lsm-ready-securityfs", "hostPath": {"path": "/x"}}])
    } else {
        json!([])
    };
    json!({
        "metadata": {"name": format!("tetragon-{node}"),
            "creationTimestamp": "2026-01-01T00:50:00Z",
            "labels": {"pod-template-generation": template}},
        "spec": {"nodeName": node, "volumes": volumes, "containers": [{"name": "tetragon",
            "image": IMAGE}]},
        "status": status,
    })
}

fn waiting(container: &str, reason: &str, message: &str) -> Value {
    json!({"containerStatuses": [{"name": container, "image": "", "imageID": "", "ready": false,
        "restartCount": 0,
        "state": {"waiting": {"reason": reason, "message": message}}}]})
}

/// The status of a pod whose volumes are not mounted since 00:50.
fn without_sandbox() -> Value {
    json!({"conditions": [{"type": "PodReadyToStartContainers", "status": "False",
        "lastTransitionTime": "2026-01-01T00:50:00Z"}],
        "containerStatuses": waiting("tetragon", "ContainerCreating", "")["containerStatuses"]})
}

fn agents(pods: &[Value]) -> Vec<Agent> {
    pods.iter().map(|pod| Agent::of(&serde_json::from_value(pod.clone()).unwrap())).collect()
}

/// The description of the agent that our mount holds up.
fn blamed(pods: &[Value], wrote_template: bool) -> Option<String> {
    blame(&observe(&daemon_set()), &agents(pods), wrote_template)
}

#[test]
fn a_message_that_names_our_volume_or_its_path_is_blamed_on_the_mount() {
    for message in [
        "error mounting \"/sys/kernel/security\" to rootfs: permission denied",
        "MountVolume.SetUp failed for volume \"lsm-ready-securityfs\"",
    ] {
        for reason in ["CreateContainerError", "RunContainerError", "CreateContainerConfigError"] {
            let said =
                blamed(&[pod("n1", "2", true, &waiting("tetragon", reason, message))], false)
                    .unwrap();
            assert!(
                said.starts_with("on n1 (pod tetragon-n1, container tetragon): ")
                    && said.contains(message),
                "{said}"
            );
        }
    }
    let never_ran = json!({"containerStatuses": [{"name": "tetragon", "image": "", "imageID": "",
        "ready": false,
        "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {
            "exitCode": 128, "reason": "StartError",
                "message": "mounting /sys/kernel/security: no such file"}}}]});
    assert!(blamed(&[pod("n1", "2", true, &never_ran)], false).is_some());
}

#[test]
fn another_message_is_blamed_on_the_mount_only_where_nothing_else_changed() {
    let failing = pod(
        "n1",
        "2",
        true,
        &waiting("tetragon", "CreateContainerError", "context deadline exceeded"),
    );
    let volumes = pod("n1", "2", true, &without_sandbox());
    let before = pod("n2", "1", false, &json!({}));
    let mut other_image = before.clone();
    other_image["spec"]["containers"][0]["image"] = json!("quay.io/cilium/tetragon:v1.2.0");
    let mut other_command = before.clone();
    other_command["spec"]["containers"][0]["command"] = json!(["tetragon", "--debug"]);
    for held in [&failing, &volumes] {
        assert!(
            blamed(std::slice::from_ref(held), true).is_some(),
            "we wrote the template: {held}"
        );
        assert!(blamed(&[held.clone(), before.clone()], false).is_some(), "by the pods: {held}");
        assert_eq!(blamed(std::slice::from_ref(held), false), None, "an older rollout: {held}");
        for other in [&other_image, &other_command] {
            assert_eq!(
                blamed(&[held.clone(), other.clone()], false),
                None,
                "more has changed: {held}"
            );
        }
    }
}

#[test]
fn other_problems_are_not_blamed_on_the_mount() {
    let of_another = waiting("export-stdout", "CreateContainerError", "no space left");
    let mut young =
        pod("n1", "2", true, &waiting("tetragon", "CreateContainerError", "name is reserved"));
    young["metadata"]["creationTimestamp"] = json!("2026-01-01T00:59:00Z");
    for (case, held) in [
        (
            "image",
            pod("n1", "2", true, &waiting("tetragon", "ErrImagePull", "/sys/kernel/security")),
        ),
        ("crash", pod("n1", "2", true, &waiting("tetragon", "CrashLoopBackOff", ""))),
        (
            "configuration",
            pod(
                "n1",
                "2",
                true,
                &waiting("tetragon", "CreateContainerConfigError", "no configmap"),
            ),
        ),
        ("another container", pod("n1", "2", true, &of_another)),
        (
            "without our volume",
            pod("n1", "2", false, &waiting("tetragon", "CreateContainerError", "x")),
        ),
        (
            "an older template",
            pod("n1", "1", true, &waiting("tetragon", "CreateContainerError", "x")),
        ),
        ("the problem is young", young),
    ] {
        let present = pod("n9", "2", true, &json!({}));
        assert_eq!(blamed(&[held, present], true), None, "{case}");
    }
}

#[test]
fn a_daemon_set_without_our_mount_is_not_blamed() {
    let mut theirs = daemon_set();
    theirs.metadata.labels = None;
    let held =
        pod("n1", "2", true, &waiting("tetragon", "CreateContainerError", "/sys/kernel/security"));
    assert_eq!(blame(&observe(&theirs), &agents(&[held]), true), None);
}
