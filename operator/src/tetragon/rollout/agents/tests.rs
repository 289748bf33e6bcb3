//! The problem that each state of a pod shows.

use serde_json::{Value, json};

use super::*;

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

/// A pod whose init container and only container are in those states.
fn agent(init: &Value, main: &Value, restarts: i32) -> Agent {
    let status = |name: &str, state: &Value| {
        let (now, last) =
            (state.get("now").unwrap_or(state), state.get("last").cloned().unwrap_or(json!({})));
        json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": restarts,
            "state": now,
            "lastState": last})
    };
    let pod = json!({
        "metadata": {"name": "tetragon-x", "creationTimestamp": "2026-01-01T00:58:00Z"},
        "spec": {"nodeName": "n1", "containers": []},
        "status": {"initContainerStatuses": [status("init", init)],
            "containerStatuses": [status("tetragon", main)]},
    });
    Agent::of(&serde_json::from_value(pod).unwrap())
}

fn waiting(reason: &str) -> Value {
    json!({"waiting": {"reason": reason, "message": "because"}})
}

fn ended(code: i32) -> Value {
    json!({"terminated": {"exitCode": code, "reason": "Error", "message": "no BTF\n"}})
}

/// An init container that ended well.
fn done() -> Value {
    json!({"terminated": {"exitCode": 0}})
}

fn never_ran() -> Value {
    json!({"terminated": {"exitCode": 128, "reason": "StartError", "message": "no such file"}})
}

/// Kind, container and message of the problem of a pod with those containers.
fn problem(init: &Value, main: &Value, restarts: i32) -> Option<(ProblemKind, String, String)> {
    let found = agent(init, main, restarts).problem(now())?;
    Some((found.kind, found.container.unwrap_or_default(), found.message))
}

#[test]
fn a_container_that_goes_on_without_help_has_no_problem() {
    let running = json!({"running": {"startedAt": "2026-01-01T00:59:00Z"}});
    for (main, restarts) in [
        (running, 0),
        (waiting("ContainerCreating"), 0),
        // The kubelet restarts a container at once after its first failure.
        (ended(1), 0),
        (done(), 3),
    ] {
        assert_eq!(problem(&done(), &main, restarts), None, "{main}");
    }
}

#[test]
fn each_state_of_a_container_shows_its_problem() {
    use ProblemKind::{ContainerCreateFailed, CrashLooping};
    let after = |reason: &str, last: Value| json!({"now": waiting(reason), "last": last});
    let config_error = "CreateContainerConfigError";
    for (main, restarts, kind, message) in [
        (
            after("CrashLoopBackOff", ended(1)),
            4,
            CrashLooping,
            "CrashLoopBackOff; it ended with Error, exit code 1: no BTF",
        ),
        (waiting(config_error), 0, ContainerCreateFailed, "CreateContainerConfigError: because"),
        // An earlier end says nothing about a container that cannot be created now.
        (
            after("CreateContainerError", ended(1)),
            3,
            ContainerCreateFailed,
            "CreateContainerError: because",
        ),
        (never_ran(), 0, ContainerCreateFailed, "StartError: no such file"),
        (
            after("CrashLoopBackOff", never_ran()),
            2,
            ContainerCreateFailed,
            "StartError: no such file",
        ),
        (waiting("PostStartHookError"), 0, CrashLooping, "PostStartHookError: because"),
        (ended(137), 1, CrashLooping, "it ended with Error, exit code 137: no BTF"),
    ] {
        let expected = Some((kind, "tetragon".to_owned(), message.to_owned()));
        assert_eq!(problem(&done(), &main, restarts), expected, "{main}");
    }
}

#[test]
fn an_init_container_can_have_the_problem() {
    let found = problem(&waiting("ImagePullBackOff"), &waiting("PodInitializing"), 0);
    let message = "ImagePullBackOff: because".to_owned();
    assert_eq!(found, Some((ProblemKind::ImagePull, "init".to_owned(), message)));
}

#[test]
fn a_pod_that_is_not_scheduled_names_its_node() {
    let pod = json!({
        "metadata": {"name": "tetragon-x"},
        "spec": {"containers": [],
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In",
                "values": ["n7"]}]}]}}}},
        "status": {"conditions": [{"type": "PodScheduled", "status": "False",
            "reason": "Unschedulable",
            "message": "0/9 nodes are available:\n1 Too many pods."}]},
    });
    let found = Agent::of(&serde_json::from_value(pod).unwrap()).problem(now()).unwrap();
    assert_eq!((found.kind, found.node.as_str()), (ProblemKind::Unschedulable, "n7"));
    assert_eq!(found.message, "Unschedulable: 0/9 nodes are available: 1 Too many pods.");
}

#[test]
fn an_agent_is_unavailable_after_five_minutes() {
    let since = |since: &str| {
        let mut agent = agent(&json!({}), &waiting("ContainerCreating"), 0);
        agent.since = Some(since.parse().unwrap());
        agent.problem(now()).map(|found| found.message)
    };
    assert_eq!(since("2026-01-01T00:55:01Z"), None);
    assert_eq!(
        since("2026-01-01T00:55:00Z").as_deref(),
        Some("ContainerCreating: because since 2026-01-01T00:55:00Z")
    );
    // The clock was set back.
    assert_eq!(since("2026-01-01T02:00:00Z"), None);
}

#[test]
fn a_pod_without_a_sandbox_is_held_up_after_two_minutes() {
    let since = |since: &str, status: &str| {
        let pod = json!({
            "metadata": {"name": "tetragon-x"},
            "spec": {"nodeName": "n1", "containers": []},
            "status": {"conditions": [
                {"type": "PodReadyToStartContainers", "status": status,
                    "lastTransitionTime": since}]},
        });
        Agent::of(&serde_json::from_value(pod).unwrap()).problem(now()).map(|found| found.kind)
    };
    assert_eq!(since("2026-01-01T00:58:01Z", "False"), None);
    assert_eq!(since("2026-01-01T00:58:00Z", "False"), Some(ProblemKind::ContainerCreateFailed));
    assert_eq!(since("2026-01-01T00:00:00Z", "True"), None, "an image may be pulled for long");
}

#[test]
fn messages_are_on_one_line_and_truncated() {
    assert_eq!(shortened("a\n  b\u{1b}[31m\u{202e}"), "a b\u{fffd}[31m\u{fffd}");
    let long = shortened(&"ä".repeat(1000));
    assert_eq!(long.chars().count(), MAX_LEN);
}
