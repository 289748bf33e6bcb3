//! The conditions that each state of the DaemonSet, the policies and the controller gives.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use serde_json::{Value, json};

use super::*;
use crate::context::moment::tests::second;
use crate::tetragon::gate::Gate;
use crate::tetragon::merge::PolicyRequests;
use crate::tetragon::nodes::NodeFacts;
use crate::tetragon::revert_backoff::RevertBackoff;
use crate::tetragon::state::Failure;
use crate::tetragon::write::Write;

fn daemon_set(image: &str, ours: bool) -> DaemonSet {
    let mut container =
        json!({"name": "tetragon", "image": image, "securityContext": {"privileged": true}});
    let mut object = json!({
        "metadata": {"namespace": "kube-system", "name": "tetragon", "generation": 1},
        "spec": {"selector": {}, "template": {"spec": {"volumes": []}}},
        "status": {"currentNumberScheduled": 3, "numberMisscheduled": 0, "numberReady": 3,
            "numberAvailable": 3,
            "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "observedGeneration": 1},
    });
    if ours {
        object["metadata"]["labels"] = json!({"lsmready.io/securityfs": "mounted"});
        object["spec"]["template"]["spec"]["volumes"] =
            json!([{"name": "lsm-ready-securityfs", "hostPath": {"path": "/sys/kernel/security"}}]);
        container["volumeMounts"] = json!([{"name": "lsm-ready-securityfs",
            "mountPath": "/sys/kernel/security", "readOnly": true}]);
    }
    object["spec"]["template"]["spec"]["containers"] = json!([container]);
    serde_json::from_value(object).unwrap()
}

fn old() -> DaemonSet {
    daemon_set("tetragon:v1.3.0", false)
}

fn new() -> DaemonSet {
    daemon_set("tetragon:v1.7.0", false)
}

fn ours() -> DaemonSet {
    daemon_set("tetragon:v1.3.0", true)
}

fn policy(name: &str, tetragon: &Value) -> LsmPolicy {
    let spec = serde_json::from_value(json!({ "tetragon": tetragon })).unwrap();
    LsmPolicy::new(name, spec)
}

fn key() -> DaemonSetKey {
    DaemonSetKey { namespace: "kube-system".into(), name: "tetragon".into() }
}

/// The observation of that DaemonSet, which those policies name, through an open gate.
fn observe<'a>(daemon_set: &'a DaemonSet, policies: &[LsmPolicy]) -> Observation<'a> {
    let requests = PolicyRequests::of(&key(), policies);
    Observation::new(daemon_set, requests, NodeFacts::default(), second(0))
}

/// The conditions of the first of those policies.
fn conditions(
    policies: &[Value],
    daemon_set: Option<&DaemonSet>,
    state: &DaemonSetState,
) -> Findings {
    let named = |(n, tetragon)| policy(&format!("p{n}"), tetragon);
    let policies: Vec<LsmPolicy> = policies.iter().enumerate().map(named).collect();
    match daemon_set {
        Some(daemon_set) => findings(&policies[0], &observe(daemon_set, &policies), state),
        None => without_daemon_set(&policies[0], &key()),
    }
}

fn request(mount: &str, apply: &str) -> Value {
    json!({"securityfs": {"mount": mount, "apply": apply}})
}

fn failed(reason: ConditionReason, lasting: bool) -> DaemonSetState {
    let write = Write::Mount { container: "tetragon".into() };
    let failure = Failure {
        reason,
        message: "what to do".into(),
        lasting,
        write,
        generation: Some(1),
        tried: second(0).instant,
    };
    DaemonSetState { failure: Some(failure), ..DaemonSetState::default() }
}

fn contested() -> DaemonSetState {
    let mut reverts = RevertBackoff::default();
    for _ in 0..4 {
        reverts.missing(second(0));
        reverts.applied(second(0));
    }
    DaemonSetState { reverts, ..DaemonSetState::default() }
}

/// `SecurityfsMounted` with its reason, `TetragonRolledOut`, and whether the policy is stalled.
type Expected = (State, ConditionReason, State, bool);

fn expect(
    policy: &Value,
    daemon_set: Option<&DaemonSet>,
    state: &DaemonSetState,
    expected: Expected,
) {
    let found = conditions(std::slice::from_ref(policy), daemon_set, state);
    let securityfs = found.securityfs;
    let seen =
        (securityfs.status, securityfs.reason, found.rolled_out.status, found.stalled.is_some());
    assert_eq!(seen, expected, "{policy} {securityfs:?}");
}

#[test]
fn each_plan_has_its_reason() {
    use State::{NotReady as False, Ready as True, Unknown};
    let (auto, suggest) = (request("Auto", "Patch"), request("Auto", "Suggest"));
    let never = request("Never", "Patch");
    let elsewhere = json!({"daemonSet": {"container": "agent"}});
    let (old, new, ours) = (old(), new(), ours());
    let older = daemon_set("tetragon:v1.1.0", false);
    for (policy, object, expected) in [
        (&auto, Some(&ours), (True, ConditionReason::Mounted, True, false)),
        (&auto, Some(&new), (True, ConditionReason::MountsItself, True, false)),
        (&auto, Some(&older), (False, ConditionReason::NoLsmHooks, True, true)),
        (&auto, Some(&old), (False, ConditionReason::Pending, Unknown, false)),
        (&auto, None, (False, ConditionReason::DaemonSetNotFound, False, false)),
        (&never, None, (Unknown, ConditionReason::NotWanted, False, false)),
        (&never, Some(&old), (Unknown, ConditionReason::NotWanted, True, false)),
        (&never, Some(&ours), (Unknown, ConditionReason::NotWanted, True, false)),
        (&suggest, Some(&old), (False, ConditionReason::Suggested, True, true)),
        (&suggest, Some(&ours), (True, ConditionReason::Mounted, True, false)),
        (&elsewhere, Some(&old), (False, ConditionReason::ContainerNotFound, True, true)),
    ] {
        expect(policy, object, &DaemonSetState::default(), expected);
    }
}

#[test]
fn each_state_has_its_reason() {
    use State::{NotReady as False, Ready as True};
    let auto = request("Auto", "Patch");
    let (old, ours) = (old(), ours());
    let forbidden = failed(ConditionReason::Forbidden, true);
    let apply_failed = failed(ConditionReason::ApplyFailed, false);
    for (object, state, expected) in [
        (&old, &contested(), (False, ConditionReason::Contested, True, true)),
        (&old, &forbidden, (False, ConditionReason::Forbidden, True, true)),
        (&old, &apply_failed, (False, ConditionReason::ApplyFailed, True, false)),
        // A mount that is there is reported as mounted, whatever happened before.
        (&ours, &contested(), (True, ConditionReason::Mounted, True, false)),
    ] {
        expect(&auto, Some(object), state, expected);
    }
}

#[test]
fn rights_that_the_agent_does_not_need_are_advice() {
    let none = DaemonSetState::default();
    let excess = |object: Option<&DaemonSet>| {
        let found = conditions(&[request("Auto", "Patch")], object, &none);
        (found.hardened.status, found.hardened.reason, found.stalled)
    };
    assert_eq!(excess(Some(&ours())), (State::NotReady, ConditionReason::Privileged, None));
    assert_eq!(excess(None), (State::Unknown, ConditionReason::DaemonSetNotFound, None));
    let mut tidy = serde_json::to_value(ours()).unwrap();
    let seen = lsm_ready_tetragon::tested::ALL[0].capabilities;
    tidy["spec"]["template"]["spec"]["containers"][0]["securityContext"] = json!({
        "seccompProfile": {"type": "RuntimeDefault"}, "capabilities": {"drop": ["ALL"],
            "add": seen}});
    let mut tidy: DaemonSet = serde_json::from_value(tidy).unwrap();
    assert_eq!(excess(Some(&tidy)), (State::Ready, ConditionReason::NothingFound, None));
    let pod = tidy.spec.as_mut().unwrap().template.spec.as_mut().unwrap();
    pod.host_pid = Some(true);
    pod.containers[0].image = Some("tetragon:latest".into());
    let found = conditions(&[request("Auto", "Patch")], Some(&tidy), &none).hardened;
    assert_eq!(found.reason, ConditionReason::HostPid);
    assert!(
        found.message.contains("hostPID") && found.message.contains("tetragon:latest"),
        "each is reported: {found:?}"
    );
}

#[test]
fn stalled_repeats_the_message_of_securityfs_mounted() {
    let found = conditions(
        &[request("Auto", "Patch")],
        Some(&old()),
        &failed(ConditionReason::Forbidden, true),
    );
    let stalled = found.stalled.unwrap();
    assert_eq!((stalled.type_, stalled.status), (STALLED, State::Ready));
    assert_eq!(
        (stalled.reason, stalled.message),
        (found.securityfs.reason, found.securityfs.message)
    );
}

#[test]
fn a_contested_mount_has_two_remedies() {
    let message =
        conditions(&[request("Auto", "Patch")], Some(&old()), &contested()).securityfs.message;
    for part in [
        "ignoreDifferences:",
        "managedFieldsManagers: [lsm-ready]",
        "apply: Suggest",
        "extraVolumes:",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert!(message.contains("pauses until 1970-01-01T00:10:00Z"), "{message}");
}

#[test]
fn an_overruled_policy_names_the_policy_that_is_followed() {
    let none = DaemonSetState::default();
    let never =
        conditions(&[request("Never", "Patch"), request("Auto", "Patch")], Some(&ours()), &none)
            .securityfs;
    assert_eq!((never.status, never.reason), (State::Ready, ConditionReason::Overruled));
    assert!(
        never.message.contains("LsmPolicy p1 is followed, which says mount: Auto, apply: Patch"),
        "{never:?}"
    );
    let suggest =
        conditions(&[request("Auto", "Suggest"), request("Auto", "Patch")], Some(&ours()), &none)
            .securityfs;
    assert_eq!((suggest.status, suggest.reason), (State::Ready, ConditionReason::Overruled));
    // A policy that asks for nothing is not stalled by what another policy fails to get.
    let unaffected =
        conditions(&[request("Never", "Patch"), request("Auto", "Suggest")], Some(&old()), &none);
    assert_eq!(unaffected.securityfs.reason, ConditionReason::NotWanted);
    assert_eq!(unaffected.stalled, None);
}

fn gates() -> (Gate, Gate) {
    let until = Gate::Until { opens: Timestamp::UNIX_EPOCH, policies: "p0".into() };
    (until, Gate::Held { word: "hold".into() })
}

/// The conditions before that gate, where an earlier write was forbidden.
fn before(gate: &Gate, object: &DaemonSet) -> Findings {
    let policies = [policy("p0", &request("Auto", "Patch"))];
    let observed = Observation { gate: gate.clone(), ..observe(object, &policies) };
    findings(&policies[0], &observed, &failed(ConditionReason::Forbidden, true))
}

#[test]
fn a_closed_gate_is_reported_rather_than_an_earlier_failure() {
    let (until, held) = gates();
    let waits = before(&until, &old());
    assert_eq!(
        (waits.securityfs.status, waits.securityfs.reason),
        (State::NotReady, ConditionReason::OutsideWindow)
    );
    assert_eq!(
        (waits.rolled_out.status, waits.rolled_out.reason),
        (State::Unknown, ConditionReason::Pending)
    );
    assert_eq!(waits.stalled, None, "it ends without help");
    let held_back = before(&held, &old());
    assert_eq!(
        (held_back.securityfs.reason, held_back.stalled.is_some()),
        (ConditionReason::Held, true)
    );
    assert_eq!(held_back.rolled_out.status, State::Ready, "nothing is under way");
}

#[test]
fn a_closed_gate_is_reported_only_where_something_is_to_be_written() {
    let (until, held) = gates();
    assert_eq!(before(&held, &ours()).securityfs.reason, ConditionReason::Mounted);
    let later = before(&until, &with_our_label_only()).securityfs;
    assert!(
        later.message.contains("is removed later: agents are restarted only in the window"),
        "{later:?}"
    );
}

/// A release that needs no mount, with our label left on it.
fn with_our_label_only() -> DaemonSet {
    let mut object = daemon_set("tetragon:v1.7.0", false);
    let label = ("lsmready.io/securityfs".to_owned(), "mounted".to_owned());
    object.metadata.labels = Some([label].into());
    object
}

#[test]
fn the_oldest_policy_decides_which_container_is_the_agents() {
    let other = json!({"daemonSet": {"container": "z"}});
    let none = DaemonSetState::default();
    let found = conditions(&[other.clone(), json!({})], Some(&old()), &none);
    // Both policies have the same age, so the first by name decides: the one that is reported here.
    assert_eq!(found.securityfs.reason, ConditionReason::ContainerNotFound);
    let policies = [policy("a", &json!({})), policy("b", &other)];
    let found = findings(&policies[1], &observe(&old(), &policies), &none);
    assert_eq!(found.securityfs.reason, ConditionReason::ContainerConflict);
    assert!(found.stalled.is_some());
}

#[test]
fn a_removal_that_failed_is_reported() {
    let mut refused = failed(ConditionReason::Forbidden, true);
    refused.failure.as_mut().unwrap().write = Write::Remove;
    let found = conditions(&[request("Auto", "Patch")], Some(&with_our_label_only()), &refused);
    assert_eq!(found.securityfs.reason, ConditionReason::MountsItself);
    assert!(
        found.securityfs.message.contains("could not be removed: what to do"),
        "{:?}",
        found.securityfs
    );
}
