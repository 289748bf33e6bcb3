//! What each state of a pod comes to.

use serde_json::{Value, json};

use super::*;

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

/// A pod whose only container, and init container, are in those states.
fn agent(init: &Value, main: &Value, restarts: i32) -> Agent {
    let status = |name: &str, state: &Value| {
        let (now, last) =
            (state.get("now").unwrap_or(state), state.get("last").cloned().unwrap_or(json!({})));
        json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": restarts, "state": now,
            "lastState": last})
    };
    let pod = json!({
        "metadata": {"name": "tetragon-x", "creationTimestamp": "2026-01-01T00:58:00Z"},
        "spec": {"nodeName": "n1", "containers": []},
        "status": {"initContainerStatuses": [status("init", init)], "containerStatuses": [status("tetragon", main)]},
    });
    Agent::of(&serde_json::from_value(pod).unwrap())
}

fn waiting(reason: &str) -> Value {
    json!({"waiting": {"reason": reason, "message": "because"}})
}

fn ended(code: i32) -> Value {
    json!({"terminated": {"exitCode": code, "reason": "Error", "message": "no BTF\n"}})
}

#[test]
fn each_state_of_a_container() {
    use Kind::{ContainerCreateFailed, CrashLooping, ImagePull};
    let (running, done) = (
        json!({"running": {"startedAt": "2026-01-01T00:59:00Z"}}),
        json!({"terminated": {"exitCode": 0}}),
    );
    let crashed = json!({"now": waiting("CrashLoopBackOff"), "last": ended(1)});
    let never_ran =
        json!({"terminated": {"exitCode": 128, "reason": "StartError", "message": "no such file"}});
    let table = [
        (&done, &running, 0, None),
        (&done, &waiting("ContainerCreating"), 0, None),
        (
            &waiting("ImagePullBackOff"),
            &waiting("PodInitializing"),
            0,
            Some((ImagePull, "init", "ImagePullBackOff: because")),
        ),
        (
            &done,
            &crashed,
            4,
            Some((
                CrashLooping,
                "tetragon",
                "CrashLoopBackOff; it ended with Error, exit code 1: no BTF",
            )),
        ),
        (
            &done,
            &waiting("CreateContainerConfigError"),
            0,
            Some((ContainerCreateFailed, "tetragon", "CreateContainerConfigError: because")),
        ),
        // What was created before and ended says nothing of a container that cannot be created now.
        (
            &done,
            &json!({"now": waiting("CreateContainerError"), "last": ended(1)}),
            3,
            Some((ContainerCreateFailed, "tetragon", "CreateContainerError: because")),
        ),
        (
            &done,
            &never_ran,
            0,
            Some((ContainerCreateFailed, "tetragon", "StartError: no such file")),
        ),
        (
            &done,
            &json!({"now": waiting("CrashLoopBackOff"), "last": never_ran}),
            2,
            Some((ContainerCreateFailed, "tetragon", "StartError: no such file")),
        ),
        (
            &done,
            &waiting("PostStartHookError"),
            0,
            Some((CrashLooping, "tetragon", "PostStartHookError: because")),
        ),
        // The first failure is followed by another try at once.
        (&done, &ended(1), 0, None),
        (
            &done,
            &ended(137),
            1,
            Some((CrashLooping, "tetragon", "it ended with Error, exit code 137: no BTF")),
        ),
        (&done, &done, 3, None),
    ];
    for (init, main, restarts, expected) in table {
        let found = agent(init, main, restarts).trouble(now());
        let found = found
            .as_ref()
            .map(|found| (found.kind, found.container.as_deref().unwrap(), found.said.as_str()));
        assert_eq!(found, expected, "{init} {main}");
    }
}

#[test]
fn a_pod_that_is_not_scheduled_names_its_node_all_the_same() {
    let pod = json!({
        "metadata": {"name": "tetragon-x"},
        "spec": {"containers": [], "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n7"]}]}]}}}},
        "status": {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/9 nodes are available:\n1 Too many pods."}]},
    });
    let found = Agent::of(&serde_json::from_value(pod).unwrap()).trouble(now()).unwrap();
    assert_eq!((found.kind, found.node.as_str()), (Kind::Unschedulable, "n7"));
    assert_eq!(found.said, "Unschedulable: 0/9 nodes are available: 1 Too many pods.");
}

#[test]
fn patience_ends_after_five_minutes() {
    let since = |since: &str| {
        let mut agent = agent(&json!({}), &waiting("ContainerCreating"), 0);
        agent.since = Some(since.parse().unwrap());
        agent.trouble(now()).map(|found| found.said)
    };
    assert_eq!(since("2026-01-01T00:55:01Z"), None);
    assert_eq!(
        since("2026-01-01T00:55:00Z").as_deref(),
        Some("ContainerCreating: because since 2026-01-01T00:55:00Z")
    );
    // A clock that was set back.
    assert_eq!(since("2026-01-01T02:00:00Z"), None);
}

#[test]
fn a_pod_without_a_sandbox_is_held_up_after_two_minutes() {
    let since = |since: &str, status: &str| {
        let pod = json!({
            "metadata": {"name": "tetragon-x"},
            "spec": {"nodeName": "n1", "containers": []},
            "status": {"conditions": [
                {"type": "PodReadyToStartContainers", "status": status, "lastTransitionTime": since}]},
        });
        Agent::of(&serde_json::from_value(pod).unwrap()).trouble(now()).map(|found| found.kind)
    };
    assert_eq!(since("2026-01-01T00:58:01Z", "False"), None);
    assert_eq!(since("2026-01-01T00:58:00Z", "False"), Some(Kind::ContainerCreateFailed));
    assert_eq!(since("2026-01-01T00:00:00Z", "True"), None, "an image may be pulled for long");
}

#[test]
fn long_messages_are_cut() {
    assert_eq!(shortened("a\n  b\u{1b}[31m\u{0}"), "a b [31m");
    let long = shortened(&"ä".repeat(1000));
    assert_eq!(long.chars().count(), LONGEST);
}
