//! What each state of affairs comes to in a policy's status.

use jiff::Timestamp;
use lsm_ready_crds::ConditionReason;
use serde_json::{Value, json};

use super::super::contest::Contest;
use super::super::memory::Failure;
use super::*;

/// The conditions of that policy, where nothing is known of AppArmor on the nodes.
fn findings(
    policy: &LsmPolicy,
    daemon_set: (&DaemonSetKey, Option<&DaemonSet>),
    wishes: &Wishes,
    state: (&Remembered, &Gate),
) -> Findings {
    findings_on(&AppArmorOn::default(), policy, daemon_set, wishes, state)
}

fn daemon_set(image: &str, ours: bool) -> DaemonSet {
    let mut container =
        json!({"name": "tetragon", "image": image, "securityContext": {"privileged": true}});
    let mut object = json!({
        "metadata": {"namespace": "kube-system", "name": "tetragon", "generation": 1},
        "spec": {"selector": {}, "template": {"spec": {"volumes": []}}},
        "status": {"currentNumberScheduled": 3, "numberMisscheduled": 0, "numberReady": 3, "numberAvailable": 3,
            "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "observedGeneration": 1},
    });
    if ours {
        object["metadata"]["labels"] = json!({"lsmready.io/securityfs": "mounted"});
        object["spec"]["template"]["spec"]["volumes"] =
            json!([{"name": "lsm-ready-securityfs", "hostPath": {"path": "/sys/kernel/security"}}]);
        container["volumeMounts"] = json!([{"name": "lsm-ready-securityfs", "mountPath": "/sys/kernel/security", "readOnly": true}]);
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

/// What the first of those policies is told.
fn told(policies: &[Value], daemon_set: Option<&DaemonSet>, remembered: &Remembered) -> Findings {
    let policies: Vec<LsmPolicy> = policies
        .iter()
        .enumerate()
        .map(|(n, tetragon)| policy(&format!("p{n}"), tetragon))
        .collect();
    let wishes = Wishes::of(&key(), &policies);
    findings(&policies[0], (&key(), daemon_set), &wishes, (remembered, &Gate::Open))
}

fn wish(mount: &str, apply: &str) -> Value {
    json!({"securityfs": {"mount": mount, "apply": apply}})
}

fn failed(reason: ConditionReason, lasting: bool) -> Remembered {
    let write = Write::Mount { container: "tetragon".into() };
    let failure = Failure {
        reason,
        message: "what to do".into(),
        lasting,
        write,
        generation: Some(1),
        tried: Timestamp::UNIX_EPOCH,
    };
    Remembered { failure: Some(failure), ..Remembered::default() }
}

fn contested() -> Remembered {
    let mut contest = Contest::default();
    for _ in 0..4 {
        contest = contest.missing(Timestamp::UNIX_EPOCH).0.applied(Timestamp::UNIX_EPOCH);
    }
    Remembered { contest, ..Remembered::default() }
}

#[test]
fn each_state_has_its_reason() {
    use State::{NotReady as False, Ready as True, Unknown};
    let (none, auto, suggest, never) = (
        Remembered::default(),
        wish("Auto", "Patch"),
        wish("Auto", "Suggest"),
        wish("Never", "Patch"),
    );
    let elsewhere = json!({"daemonSet": {"container": "agent"}});
    let (old, new, ours) = (old(), new(), ours());
    for (policy, object, remembered, expected) in [
        (&auto, Some(&ours), &none, (True, ConditionReason::Mounted, True, false)),
        (&auto, Some(&new), &none, (True, ConditionReason::MountsItself, True, false)),
        (
            &auto,
            Some(&daemon_set("tetragon:v1.1.0", false)),
            &none,
            (False, ConditionReason::NoLsmHooks, True, true),
        ),
        (&auto, Some(&old), &none, (False, ConditionReason::Pending, Unknown, false)),
        (&auto, None, &none, (False, ConditionReason::DaemonSetNotFound, False, false)),
        (&never, None, &none, (Unknown, ConditionReason::NotWanted, False, false)),
        (&never, Some(&old), &none, (Unknown, ConditionReason::NotWanted, True, false)),
        (&never, Some(&ours), &none, (Unknown, ConditionReason::NotWanted, True, false)),
        (&suggest, Some(&old), &none, (False, ConditionReason::Suggested, True, true)),
        (&suggest, Some(&ours), &none, (True, ConditionReason::Mounted, True, false)),
        (&elsewhere, Some(&old), &none, (False, ConditionReason::ContainerNotFound, True, true)),
        (&auto, Some(&old), &contested(), (False, ConditionReason::Contested, True, true)),
        (
            &auto,
            Some(&old),
            &failed(ConditionReason::Forbidden, true),
            (False, ConditionReason::Forbidden, True, true),
        ),
        (
            &auto,
            Some(&old),
            &failed(ConditionReason::ApplyFailed, false),
            (False, ConditionReason::ApplyFailed, True, false),
        ),
        // What is in order stays so, whatever was once remembered.
        (&auto, Some(&ours), &contested(), (True, ConditionReason::Mounted, True, false)),
    ] {
        let found = told(std::slice::from_ref(policy), object, remembered);
        let word = (
            found.securityfs.status,
            found.securityfs.reason,
            found.rolled_out.status,
            found.stalled.is_some(),
        );
        assert_eq!(word, expected, "{policy} {:?}", found.securityfs);
    }
}

#[test]
fn what_the_agent_need_not_do_is_advice() {
    let none = Remembered::default();
    let excess = |object: Option<&DaemonSet>| {
        let found = told(&[wish("Auto", "Patch")], object, &none);
        (found.hardened.status, found.hardened.reason, found.stalled)
    };
    assert_eq!(excess(Some(&ours())), (State::NotReady, ConditionReason::Privileged.into(), None));
    assert_eq!(excess(None), (State::Unknown, ConditionReason::DaemonSetNotFound.into(), None));
    let mut tidy = serde_json::to_value(ours()).unwrap();
    let seen = lsm_ready_tetragon::tested::ALL[0].capabilities;
    tidy["spec"]["template"]["spec"]["containers"][0]["securityContext"] = json!({
        "seccompProfile": {"type": "RuntimeDefault"}, "capabilities": {"drop": ["ALL"], "add": seen}});
    let mut tidy: DaemonSet = serde_json::from_value(tidy).unwrap();
    assert_eq!(excess(Some(&tidy)), (State::Ready, ConditionReason::NothingFound.into(), None));
    let pod = tidy.spec.as_mut().unwrap().template.spec.as_mut().unwrap();
    pod.host_pid = Some(true);
    pod.containers[0].image = Some("tetragon:latest".into());
    let found = told(&[wish("Auto", "Patch")], Some(&tidy), &none).hardened;
    assert_eq!(found.reason, ConditionReason::HostPid);
    assert!(
        found.message.contains("hostPID") && found.message.contains("tetragon:latest"),
        "each is told: {found:?}"
    );
}

#[test]
fn stalled_repeats_what_to_do() {
    let found =
        told(&[wish("Auto", "Patch")], Some(&old()), &failed(ConditionReason::Forbidden, true));
    let stalled = found.stalled.unwrap();
    assert_eq!((stalled.type_, stalled.status), (STALLED, State::Ready));
    assert_eq!(
        (stalled.reason, stalled.message),
        (found.securityfs.reason, found.securityfs.message)
    );
}

#[test]
fn a_contest_tells_both_ways_out() {
    let message = told(&[wish("Auto", "Patch")], Some(&old()), &contested()).securityfs.message;
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
fn the_overruled_say_by_whom() {
    let none = Remembered::default();
    let never =
        told(&[wish("Never", "Patch"), wish("Auto", "Patch")], Some(&ours()), &none).securityfs;
    assert_eq!((never.status, never.reason), (State::Ready, ConditionReason::Overruled));
    assert!(
        never.message.contains("LsmPolicy p1 is followed, which says mount: Auto, apply: Patch"),
        "{never:?}"
    );
    let suggest =
        told(&[wish("Auto", "Suggest"), wish("Auto", "Patch")], Some(&ours()), &none).securityfs;
    assert_eq!((suggest.status, suggest.reason), (State::Ready, ConditionReason::Overruled));
    // One that wants nothing is not held up by what another fails to get.
    let unconcerned = told(&[wish("Never", "Patch"), wish("Auto", "Suggest")], Some(&old()), &none);
    assert_eq!(unconcerned.securityfs.reason, ConditionReason::NotWanted);
    assert_eq!(unconcerned.stalled, None);
}

#[test]
fn a_closed_gate_is_told_before_what_failed_earlier() {
    let until = Gate::Until { opens: Timestamp::UNIX_EPOCH, policies: "p0".into() };
    let held = Gate::Held { word: "hold".into() };
    let policies = [policy("p0", &wish("Auto", "Patch"))];
    let wishes = Wishes::of(&key(), &policies);
    let failed = failed(ConditionReason::Forbidden, true);
    let told = |object: &DaemonSet, gate: &Gate| {
        findings(&policies[0], (&key(), Some(object)), &wishes, (&failed, gate))
    };
    let waits = told(&old(), &until);
    assert_eq!(
        (waits.securityfs.status, waits.securityfs.reason),
        (State::NotReady, ConditionReason::OutsideWindow)
    );
    assert_eq!(
        (waits.rolled_out.status, waits.rolled_out.reason),
        (State::Unknown, ConditionReason::Pending)
    );
    assert_eq!(waits.stalled, None, "it ends by itself");
    let held_back = told(&old(), &held);
    assert_eq!(
        (held_back.securityfs.reason, held_back.stalled.is_some()),
        (ConditionReason::Held, true)
    );
    assert_eq!(held_back.rolled_out.status, State::Ready, "nothing is under way");
    // Where nothing is to be written there is nothing to hold.
    assert_eq!(told(&ours(), &held).securityfs.reason, ConditionReason::Mounted);
    let mut left = daemon_set("tetragon:v1.7.0", false);
    left.metadata.labels =
        Some([("lsmready.io/securityfs".to_owned(), "mounted".to_owned())].into());
    let later = told(&left, &until).securityfs;
    assert!(
        later.message.contains("is taken out later: agents are restarted in the window only"),
        "{later:?}"
    );
}

#[test]
fn another_container_is_a_conflict() {
    let found = told(
        &[json!({"daemonSet": {"container": "z"}}), json!({})],
        Some(&old()),
        &Remembered::default(),
    );
    // Both are as old, so the first by name, which is the one that is told, decides.
    assert_eq!(found.securityfs.reason, ConditionReason::ContainerNotFound);
    let policies =
        [policy("a", &json!({})), policy("b", &json!({"daemonSet": {"container": "z"}}))];
    let wishes = Wishes::of(&key(), &policies);
    let found = findings(
        &policies[1],
        (&key(), Some(&old())),
        &wishes,
        (&Remembered::default(), &Gate::Open),
    );
    assert_eq!(found.securityfs.reason, ConditionReason::ContainerConflict);
    assert!(found.stalled.is_some());
}

#[test]
fn leftovers_that_cannot_go_are_told() {
    let mut object = daemon_set("tetragon:v1.7.0", false);
    object.metadata.labels =
        Some([("lsmready.io/securityfs".to_owned(), "mounted".to_owned())].into());
    let mut refused = failed(ConditionReason::Forbidden, true);
    refused.failure.as_mut().unwrap().write = Write::GiveBack;
    let found = told(&[wish("Auto", "Patch")], Some(&object), &refused);
    assert_eq!(found.securityfs.reason, ConditionReason::MountsItself);
    assert!(
        found.securityfs.message.contains("could not be taken out: what to do"),
        "{:?}",
        found.securityfs
    );
}
