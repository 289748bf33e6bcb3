//! The condition that each state of a rollout gives.

use jiff::Timestamp;
use lsm_ready_crds::ConditionReason;
use serde_json::{Value, json};

use super::agents::Agent;
use super::*;

/// A DaemonSet at template generation 2, with that many desired, updated and available agents.
fn daemon_set(strategy: &str, counts: Option<[i32; 3]>) -> DaemonSet {
    let mut object = json!({
        "metadata": {"namespace": "kube-system", "name": "tetragon", "uid": "uid-1",
            "generation": 2,
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
            "desiredNumberScheduled": desired, "updatedNumberScheduled": updated,
                "numberAvailable": available,
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
        "metadata": {"name": format!("tetragon-{node}"),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"pod-template-generation": template,
                "controller-revision-hash": format!("h{template}")}},
        "spec": {"nodeName": node, "containers": []},
        "status": status,
    })
}

fn waiting(reason: &str) -> Value {
    json!({"containerStatuses": [{"name": "tetragon", "image": "", "imageID": "", "ready": false,
        "restartCount": 3,
        "state": {"waiting": {"reason": reason, "message": "the kubelet's message"}}}]})
}

/// The status of a pod that has been on its node since midnight without a sandbox.
fn without_sandbox() -> Value {
    let mut status = waiting("ContainerCreating");
    status["conditions"] = json!([{"type": "PodReadyToStartContainers", "status": "False",
        "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
    status
}

/// The status of a pod that runs and has not been ready since midnight.
fn not_ready() -> Value {
    json!({
        "conditions": [{"type": "Ready", "status": "False",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        "containerStatuses": [{"name": "tetragon", "image": "", "imageID": "", "ready": true,
            "restartCount": 0,
            "state": {"running": {}}}],
    })
}

fn leaving(gone_by: &str) -> Value {
    let mut pod = pod("n9", "1", &json!({}));
    pod["metadata"]["deletionTimestamp"] = json!(gone_by);
    pod
}

/// The condition of that DaemonSet.
fn rollout(daemon_set: &DaemonSet, survey: Option<&SurveyResult>) -> Finding {
    super::rollout(daemon_set, &Progress::of(daemon_set), survey)
}

fn survey(daemon_set: &DaemonSet, pods: &[Value]) -> SurveyResult {
    let agents: Vec<Agent> =
        pods.iter().map(|pod| Agent::of(&serde_json::from_value(pod.clone()).unwrap())).collect();
    SurveyResult::Blockers(Blockers::of(&Progress::of(daemon_set), &agents, now()))
}

#[test]
fn each_count_has_its_reason() {
    let cases = [
        ("RollingUpdate", None, State::Unknown, ConditionReason::RollingOut),
        ("RollingUpdate", Some([0, 0, 0]), State::NotReady, ConditionReason::NoAgents),
        ("RollingUpdate", Some([3, 1, 2]), State::Unknown, ConditionReason::RollingOut),
        ("RollingUpdate", Some([3, 3, 2]), State::Unknown, ConditionReason::NotAvailable),
        ("RollingUpdate", Some([3, 3, 3]), State::Ready, ConditionReason::RolledOut),
        ("OnDelete", Some([3, 1, 3]), State::NotReady, ConditionReason::OnDelete),
        ("OnDelete", Some([3, 3, 3]), State::Ready, ConditionReason::RolledOut),
    ];
    for (strategy, counts, status, reason) in cases {
        let finding = rollout(&daemon_set(strategy, counts), None);
        assert_eq!((finding.status, finding.reason), (status, reason), "{strategy} {counts:?}");
    }
}

/// Two of five agents are updated, and four available.
const GOING_ON: [i32; 3] = [5, 2, 4];
/// All five agents are updated, and four available.
const ALL_NEW: [i32; 3] = [5, 5, 4];

/// The condition of a rolling update at those counts with those pods.
fn found(counts: [i32; 3], pods: &[Value]) -> (State, ConditionReason) {
    let daemon_set = daemon_set("RollingUpdate", Some(counts));
    let finding = rollout(&daemon_set, Some(&survey(&daemon_set, pods)));
    (finding.status, finding.reason)
}

#[test]
fn each_problem_that_needs_help_has_its_reason() {
    let unschedulable = json!({"conditions": [{"type": "PodScheduled", "status": "False",
        "reason": "Unschedulable", "message": "0/5 nodes are available: 1 Insufficient cpu."}]});
    for (counts, status, reason) in [
        (GOING_ON, waiting("ImagePullBackOff"), ConditionReason::ImagePull),
        (ALL_NEW, waiting("InvalidImageName"), ConditionReason::ImagePull),
        (GOING_ON, waiting("CrashLoopBackOff"), ConditionReason::CrashLooping),
        (ALL_NEW, waiting("RunContainerError"), ConditionReason::ContainerCreateFailed),
        (GOING_ON, without_sandbox(), ConditionReason::ContainerCreateFailed),
        (GOING_ON, unschedulable, ConditionReason::Unschedulable),
        (GOING_ON, not_ready(), ConditionReason::BudgetExhausted),
        (GOING_ON, waiting("ContainerCreating"), ConditionReason::BudgetExhausted),
    ] {
        let pods = [pod("n2", "2", &status)];
        assert_eq!(found(counts, &pods), (State::NotReady, reason), "{status}");
    }
    let late = [leaving("2026-01-01T00:55:00Z")];
    assert_eq!(found(GOING_ON, &late), (State::NotReady, ConditionReason::BudgetExhausted));
}

#[test]
fn the_worst_problem_is_reported() {
    let pods = [pod("n2", "2", &not_ready()), pod("n3", "2", &waiting("ErrImagePull"))];
    assert_eq!(found(GOING_ON, &pods), (State::NotReady, ConditionReason::ImagePull));
}

#[test]
fn a_rollout_that_may_go_on_without_help_is_unknown() {
    let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    // The rollout does not wait for the image of an older template.
    let old = [pod("n1", "2", &ready), pod("n2", "1", &waiting("ImagePullBackOff"))];
    let creating = [pod("n2", "2", &waiting("ContainerCreating"))];
    for (case, counts, pods, reason) in [
        ("no pod is held up", GOING_ON, &[][..], ConditionReason::RollingOut),
        ("an older template", GOING_ON, &old, ConditionReason::RollingOut),
        ("creating, all new", ALL_NEW, &creating, ConditionReason::NotAvailable),
        ("leaving", GOING_ON, &[leaving("2026-01-01T00:55:01Z")], ConditionReason::RollingOut),
    ] {
        assert_eq!(found(counts, pods), (State::Unknown, reason), "{case}");
    }
}

#[test]
fn with_on_delete_an_agent_that_cannot_be_created_is_reported() {
    let daemon_set = daemon_set("OnDelete", Some([3, 1, 2]));
    let held = survey(&daemon_set, &[pod("n2", "2", &waiting("CreateContainerError"))]);
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
        rollout(&daemon_set, Some(&survey(&daemon_set, &[]))).reason,
        ConditionReason::OnDelete
    );
}

#[test]
fn complete_counts_are_enough() {
    let complete = daemon_set("RollingUpdate", Some([1, 1, 1]));
    let before = survey(&complete, &[pod("n1", "2", &waiting("CrashLoopBackOff"))]);
    assert_eq!(rollout(&complete, Some(&before)).status, State::Ready);
}

#[test]
fn the_first_three_agents_are_named_with_a_remedy() {
    let stuck = daemon_set("RollingUpdate", Some([9, 5, 4]));
    let pods: Vec<Value> =
        (1..=5).rev().map(|n| pod(&format!("n{n}"), "2", &waiting("ImagePullBackOff"))).collect();
    let message = rollout(&stuck, Some(&survey(&stuck, &pods))).message;
    assert_eq!(
        message,
        "5 of 9 agents run the present pod template, 4 are available; 5 cannot get their image: on \
         n1 (pod tetragon-n1, container tetragon): ImagePullBackOff: the kubelet's message; on n2 \
         (pod tetragon-n2, container tetragon): ImagePullBackOff: the kubelet's message; on n3 \
         (pod tetragon-n3, container tetragon): ImagePullBackOff: the kubelet's message; and 2 \
         more. Correct the image of DaemonSet kube-system/tetragon, or let these nodes reach its \
         registry (imagePullSecrets, a mirror)"
    );
}

#[test]
fn an_exhausted_budget_names_the_field_and_the_agents_that_use_it_up() {
    let mut stuck = daemon_set("RollingUpdate", Some([20, 5, 18]));
    stuck.spec.as_mut().unwrap().update_strategy = serde_json::from_value(
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}}),
    )
    .unwrap();
    let one = [pod("n1", "2", &not_ready())];
    assert_eq!(
        rollout(&stuck, Some(&survey(&stuck, &one))).reason,
        ConditionReason::RollingOut,
        "one of two"
    );
    let two = [pod("n1", "2", &not_ready()), leaving("2026-01-01T00:00:00Z")];
    let found = rollout(&stuck, Some(&survey(&stuck, &two)));
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
fn without_the_right_to_list_pods_the_counts_decide() {
    let found =
        rollout(&daemon_set("RollingUpdate", Some([3, 1, 2])), Some(&SurveyResult::Forbidden));
    assert_eq!((found.status, found.reason), (State::Unknown, ConditionReason::RollingOut));
    assert!(
        found.message.contains("bind the ClusterRole lsm-ready-agents to it there"),
        "{}",
        found.message
    );
}

#[test]
fn a_rollback_counts_pods_of_an_older_generation() {
    let back = daemon_set("RollingUpdate", Some([3, 2, 2]));
    let old = pod("n1", "1", &waiting("CrashLoopBackOff"));
    let reason = |pods: &[Value]| rollout(&back, Some(&survey(&back, pods))).reason;
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
fn counts_of_an_older_generation_are_ignored() {
    let mut changed = daemon_set("RollingUpdate", Some([3, 3, 3]));
    changed.metadata.generation = Some(3);
    assert_eq!(rollout(&changed, None).status, State::Unknown);
}

#[test]
fn with_on_delete_the_message_says_which_pods_to_delete() {
    let message = rollout(&daemon_set("OnDelete", Some([3, 1, 3])), None).message;
    assert!(message.contains("kubectl -n kube-system get pods -l app=tetragon"), "{message}");
}
