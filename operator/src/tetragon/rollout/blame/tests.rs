//! Which agents our mount holds up, and which it does not.

use lsm_ready_crds::policy::Mount;
use serde_json::{Value, json};

use super::*;

const IMAGE: &str = "quay.io/cilium/tetragon:v1.3.0";

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

fn wish() -> MountRequest {
    MountRequest {
        container: "tetragon".into(),
        patch: Mount::Auto,
        suggest: Mount::Never,
        without_securityfs: Vec::new(),
    }
}

/// With our mount, of the second template generation.
fn daemon_set() -> DaemonSet {
    let object = json!({
        "metadata": {"namespace": "kube-system", "name": "tetragon", "labels": {"lsmready.io/securityfs": "mounted"},
            "annotations": {"deprecated.daemonset.template.generation": "2"}},
        "spec": {"selector": {}, "template": {"spec": {
            "volumes": [{"name": "lsm-ready-securityfs", "hostPath": {"path": "/sys/kernel/security"}}],
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
        "metadata": {"name": format!("tetragon-{node}"), "creationTimestamp": "2026-01-01T00:50:00Z",
            "labels": {"pod-template-generation": template}},
        "spec": {"nodeName": node, "volumes": volumes, "containers": [{"name": "tetragon", "image": IMAGE}]},
        "status": status,
    })
}

fn waiting(container: &str, reason: &str, message: &str) -> Value {
    json!({"containerStatuses": [{"name": container, "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": reason, "message": message}}}]})
}

/// Its volumes are not mounted since ten to one.
fn without_sandbox() -> Value {
    json!({"conditions": [{"type": "PodReadyToStartContainers", "status": "False",
        "lastTransitionTime": "2026-01-01T00:50:00Z"}],
        "containerStatuses": waiting("tetragon", "ContainerCreating", "")["containerStatuses"]})
}

/// What is said of the agent that is held up by our mount.
fn blamed(pods: &[Value], is_ours: bool) -> Option<String> {
    let agents: Vec<Agent> =
        pods.iter().map(|pod| Agent::of(&serde_json::from_value(pod.clone()).unwrap())).collect();
    let (wish, daemon_set) = (wish(), daemon_set());
    let rollout = Rollout { wish: &wish, container: "tetragon", is_ours };
    blame(&daemon_set, &agents, rollout, now()).map(|blame| blame.said)
}

#[test]
fn what_names_our_volume_or_its_path_is_ours_whoever_wrote_the_template() {
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
    let never_ran = json!({"containerStatuses": [{"name": "tetragon", "image": "", "imageID": "", "ready": false,
        "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {
            "exitCode": 128, "reason": "StartError", "message": "mounting /sys/kernel/security: no such file"}}}]});
    assert!(blamed(&[pod("n1", "2", true, &never_ran)], false).is_some());
}

#[test]
fn what_names_neither_is_ours_only_where_our_mount_is_all_that_changed() {
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
fn other_trouble_is_not_blamed_on_the_mount() {
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
        ("it may pass", young),
    ] {
        let present = pod("n9", "2", true, &json!({}));
        assert_eq!(blamed(&[held, present], true), None, "{case}");
    }
}

#[test]
fn a_daemon_set_without_our_mount_is_not_blamed() {
    let (wish, mut theirs) = (wish(), daemon_set());
    theirs.metadata.labels = None;
    let held =
        pod("n1", "2", true, &waiting("tetragon", "CreateContainerError", "/sys/kernel/security"));
    let agents = [Agent::of(&serde_json::from_value(held).unwrap())];
    assert_eq!(
        blame(
            &theirs,
            &agents,
            Rollout { wish: &wish, container: "tetragon", is_ours: true },
            now()
        ),
        None
    );
}
