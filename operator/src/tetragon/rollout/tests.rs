//! What each state of a rollout comes to.

use jiff::Timestamp;
use lsm_ready_crds::ConditionReason;
use serde_json::{Value, json};

use super::agents::Agent;
use super::*;

/// Of the second template generation, with that many desired, updated and available agents.
fn daemon_set(strategy: &str, counts: Option<[i32; 3]>) -> DaemonSet {
    let mut object = json!({
        "metadata": {"namespace": "kube-system", "name": "tetragon", "uid": "uid-1", "generation": 2,
            "annotations": {"deprecated.daemonset.template.generation": "2"}},
        "spec": {
            "selector": {"matchLabels": {"app": "tetragon"}},
            "template": {},
            "updateStrategy": {"type": strategy},
        },
    });
    if let Some([desired, updated, available]) = counts {
        object["status"] = json!({
            "currentNumberScheduled": desired, "numberMisscheduled": 0, "numberReady": available,
            "desiredNumberScheduled": desired, "updatedNumberScheduled": updated, "numberAvailable": available,
            "observedGeneration": 2,
        });
    }
    serde_json::from_value(object).unwrap()
}

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

/// A pod on that node, made from that template generation, with that status.
fn pod(node: &str, template: &str, status: &Value) -> Value {
    json!({
        "metadata": {"name": format!("tetragon-{node}"), "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"pod-template-generation": template, "controller-revision-hash": format!("h{template}")}},
        "spec": {"nodeName": node, "containers": []},
        "status": status,
    })
}

fn waiting(reason: &str) -> Value {
    json!({"containerStatuses": [{"name": "tetragon", "image": "", "imageID": "", "ready": false, "restartCount": 3,
        "state": {"waiting": {"reason": reason, "message": "the kubelet's message"}}}]})
}

/// On its node since midnight, and without a sandbox.
fn without_sandbox() -> Value {
    let mut status = waiting("ContainerCreating");
    status["conditions"] = json!([{"type": "PodReadyToStartContainers", "status": "False",
        "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
    status
}

/// Running and not ready since midnight.
fn not_ready() -> Value {
    json!({
        "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        "containerStatuses": [{"name": "tetragon", "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "state": {"running": {}}}],
    })
}

fn leaving(gone_by: &str) -> Value {
    let mut pod = pod("n9", "1", &json!({}));
    pod["metadata"]["deletionTimestamp"] = json!(gone_by);
    pod
}

fn seen(daemon_set: &DaemonSet, pods: &[Value]) -> Seen {
    let agents: Vec<Agent> =
        pods.iter().map(|pod| Agent::of(&serde_json::from_value(pod.clone()).unwrap())).collect();
    Seen::Agents(Held::of(daemon_set, &agents, now()))
}

#[test]
fn each_state_has_its_reason() {
    let table = [
        ("RollingUpdate", None, State::Unknown, ConditionReason::RollingOut),
        ("RollingUpdate", Some([0, 0, 0]), State::NotReady, ConditionReason::NoAgents),
        ("RollingUpdate", Some([3, 1, 2]), State::Unknown, ConditionReason::RollingOut),
        ("RollingUpdate", Some([3, 3, 2]), State::Unknown, ConditionReason::NotAvailable),
        ("RollingUpdate", Some([3, 3, 3]), State::Ready, ConditionReason::RolledOut),
        ("OnDelete", Some([3, 1, 3]), State::NotReady, ConditionReason::OnDelete),
        ("OnDelete", Some([3, 3, 3]), State::Ready, ConditionReason::RolledOut),
    ];
    for (strategy, counts, status, reason) in table {
        let finding = rollout(&daemon_set(strategy, counts), None);
        assert_eq!((finding.status, finding.reason), (status, reason), "{strategy} {counts:?}");
    }
}

#[test]
fn each_way_to_stick_has_its_reason() {
    let (going_on, all_new) = ([5, 2, 4], [5, 5, 4]);
    let unschedulable = json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/5 nodes are available: 1 Insufficient cpu."}]});
    let of_two = |pods: &[Value]| {
        [pod("n1", "2", &json!({"conditions": [{"type": "Ready", "status": "True"}]}))]
            .iter()
            .chain(pods)
            .cloned()
            .collect::<Vec<_>>()
    };
    let table = [
        ("no pod is held up", going_on, vec![], State::Unknown, ConditionReason::RollingOut),
        (
            "pull",
            going_on,
            vec![pod("n2", "2", &waiting("ImagePullBackOff"))],
            State::NotReady,
            ConditionReason::ImagePull,
        ),
        (
            "name",
            all_new,
            vec![pod("n2", "2", &waiting("InvalidImageName"))],
            State::NotReady,
            ConditionReason::ImagePull,
        ),
        (
            "crash",
            going_on,
            vec![pod("n2", "2", &waiting("CrashLoopBackOff"))],
            State::NotReady,
            ConditionReason::CrashLooping,
        ),
        (
            "run",
            all_new,
            vec![pod("n2", "2", &waiting("RunContainerError"))],
            State::NotReady,
            ConditionReason::ContainerCreateFailed,
        ),
        (
            "volumes",
            going_on,
            vec![pod("n2", "2", &without_sandbox())],
            State::NotReady,
            ConditionReason::ContainerCreateFailed,
        ),
        (
            "no place",
            going_on,
            vec![pod("n2", "2", &unschedulable)],
            State::NotReady,
            ConditionReason::Unschedulable,
        ),
        // The image of an older template is nothing that the rollout waits for.
        (
            "old",
            going_on,
            of_two(&[pod("n2", "1", &waiting("ImagePullBackOff"))]),
            State::Unknown,
            ConditionReason::RollingOut,
        ),
        (
            "not ready",
            going_on,
            vec![pod("n2", "2", &not_ready())],
            State::NotReady,
            ConditionReason::BudgetExhausted,
        ),
        (
            "creating",
            going_on,
            vec![pod("n2", "2", &waiting("ContainerCreating"))],
            State::NotReady,
            ConditionReason::BudgetExhausted,
        ),
        (
            "creating, all new",
            all_new,
            vec![pod("n2", "2", &waiting("ContainerCreating"))],
            State::Unknown,
            ConditionReason::NotAvailable,
        ),
        (
            "leaving",
            going_on,
            vec![leaving("2026-01-01T00:55:01Z")],
            State::Unknown,
            ConditionReason::RollingOut,
        ),
        (
            "late",
            going_on,
            vec![leaving("2026-01-01T00:55:00Z")],
            State::NotReady,
            ConditionReason::BudgetExhausted,
        ),
        // The worst is told first.
        (
            "two",
            going_on,
            vec![pod("n2", "2", &not_ready()), pod("n3", "2", &waiting("ErrImagePull"))],
            State::NotReady,
            ConditionReason::ImagePull,
        ),
    ];
    for (case, counts, pods, status, reason) in table {
        let daemon_set = daemon_set("RollingUpdate", Some(counts));
        let finding = rollout(&daemon_set, Some(&seen(&daemon_set, &pods)));
        assert_eq!(
            (finding.status, finding.reason),
            (status, reason),
            "{case}: {}",
            finding.message
        );
    }
}

#[test]
fn an_agent_that_cannot_be_created_is_told_with_on_delete_too() {
    let daemon_set = daemon_set("OnDelete", Some([3, 1, 2]));
    let held = seen(&daemon_set, &[pod("n2", "2", &waiting("CreateContainerError"))]);
    let found = rollout(&daemon_set, Some(&held));
    assert_eq!(found.reason, ConditionReason::ContainerCreateFailed);
    assert!(
        found
            .message
            .contains("There is no log; `kubectl -n kube-system describe pod tetragon-n2`"),
        "{}",
        found.message
    );
    assert_eq!(
        rollout(&daemon_set, Some(&seen(&daemon_set, &[]))).reason,
        ConditionReason::OnDelete
    );
}

#[test]
fn complete_counts_need_no_pods() {
    let complete = daemon_set("RollingUpdate", Some([1, 1, 1]));
    let before = seen(&complete, &[pod("n1", "2", &waiting("CrashLoopBackOff"))]);
    assert_eq!(rollout(&complete, Some(&before)).status, State::Ready);
}

#[test]
fn the_first_three_are_named_with_a_way_out() {
    let stuck = daemon_set("RollingUpdate", Some([9, 5, 4]));
    let pods: Vec<Value> =
        (1..=5).rev().map(|n| pod(&format!("n{n}"), "2", &waiting("ImagePullBackOff"))).collect();
    let message = rollout(&stuck, Some(&seen(&stuck, &pods))).message;
    assert_eq!(
        message,
        "5 of 9 agents run the present pod template, 4 are available; 5 cannot get their image: on n1 (pod tetragon-n1, \
         container tetragon): ImagePullBackOff: the kubelet's message; on n2 (pod tetragon-n2, container tetragon): \
         ImagePullBackOff: the kubelet's message; on n3 (pod tetragon-n3, container tetragon): ImagePullBackOff: the \
         kubelet's message; and 2 more. Correct the image of DaemonSet kube-system/tetragon, or let these nodes reach \
         its registry (imagePullSecrets, a mirror)"
    );
}

#[test]
fn an_exhausted_budget_names_the_field_and_those_that_use_it_up() {
    let mut stuck = daemon_set("RollingUpdate", Some([20, 5, 18]));
    stuck.spec.as_mut().unwrap().update_strategy = serde_json::from_value(
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}}),
    )
    .unwrap();
    let one = [pod("n1", "2", &not_ready())];
    assert_eq!(
        rollout(&stuck, Some(&seen(&stuck, &one))).reason,
        ConditionReason::RollingOut,
        "one of two"
    );
    let two = [pod("n1", "2", &not_ready()), leaving("2026-01-01T00:00:00Z")];
    let found = rollout(&stuck, Some(&seen(&stuck, &two)));
    assert_eq!(found.reason, ConditionReason::BudgetExhausted);
    for part in [
        "maxUnavailable: 10%",
        "on n1 (pod tetragon-n1): its containers run and it is not ready",
        "on n9",
    ] {
        assert!(found.message.contains(part), "{part} in {}", found.message);
    }
}

#[test]
fn without_the_right_to_list_pods_the_counts_tell_and_say_so() {
    let found = rollout(&daemon_set("RollingUpdate", Some([3, 1, 2])), Some(&Seen::Forbidden));
    assert_eq!((found.status, found.reason), (State::Unknown, ConditionReason::RollingOut));
    assert!(
        found.message.contains("bind it the ClusterRole lsm-ready-agents there"),
        "{}",
        found.message
    );
}

#[test]
fn a_rollback_takes_up_pods_of_an_older_generation() {
    let back = daemon_set("RollingUpdate", Some([3, 2, 2]));
    let old = pod("n1", "1", &waiting("CrashLoopBackOff"));
    let reason = |pods: &[Value]| rollout(&back, Some(&seen(&back, pods))).reason;
    assert_eq!(
        reason(std::slice::from_ref(&old)),
        ConditionReason::CrashLooping,
        "no pod has the present generation"
    );
    let mut of_the_same_revision = pod("n2", "2", &json!({}));
    of_the_same_revision["metadata"]["labels"]["controller-revision-hash"] = json!("h1");
    assert_eq!(reason(&[old.clone(), of_the_same_revision]), ConditionReason::CrashLooping);
    assert_eq!(
        reason(&[
            old,
            pod("n2", "2", &json!({"conditions": [{"type": "Ready", "status": "True"}]}))
        ]),
        ConditionReason::RollingOut
    );
}

#[test]
fn counts_of_an_older_generation_say_nothing() {
    let mut changed = daemon_set("RollingUpdate", Some([3, 3, 3]));
    changed.metadata.generation = Some(3);
    assert_eq!(rollout(&changed, None).status, State::Unknown);
}

#[test]
fn on_delete_says_which_pods() {
    let message = rollout(&daemon_set("OnDelete", Some([3, 1, 3])), None).message;
    assert!(message.contains("kubectl -n kube-system get pods -l app=tetragon"), "{message}");
}
