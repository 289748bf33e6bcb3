//! Answers of real agents, recorded in 2026-11: Tetragon 1.3.0, 1.7.0 and main on Linux 6.12 with
//! one policy, while `tetra` changed that policy. The name of each row says what happened when a
//! process opened the file that the policy denies.

use super::*;

/// Name and sensor, equal in all messages: 120b "deny-secret", 2a0b "generic_lsm".
const POLICY: &str = "120b64656e792d7365637265742a0b67656e657269635f6c736d";
/// Enabled, with 639,944 bytes of kernel memory.
const ENABLED: &str = "3001480150c88727";

fn message(id: u8, after: &str) -> Vec<u8> {
    let policy = format!("08{id:02x}{POLICY}{after}");
    bytes(&format!("0a{:02x}{policy}", policy.len() / 2))
}

fn bytes(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|place| u8::from_str_radix(&text[2 * place..2 * place + 2], 16).unwrap())
        .collect()
}

#[test]
fn answers_of_1_7_0_follow_the_changes_of_a_policy() {
    let actions = |enforced, monitored| Some(Actions { enforced, monitored });
    for (what, after, state, mode, expected) in [
        (
            "loaded",
            format!("{ENABLED}580162020a00"),
            PolicyState::Enabled,
            Some(Mode::Enforce),
            actions(0, 0),
        ),
        (
            "after a denial",
            format!("{ENABLED}580162040a022001"),
            PolicyState::Enabled,
            Some(Mode::Enforce),
            actions(1, 0),
        ),
        ("disabled: opened", "4802".to_owned(), PolicyState::Disabled, None, None),
        (
            "monitor: opened",
            format!("{ENABLED}580262060a0420012802"),
            PolicyState::Enabled,
            Some(Mode::Monitor),
            actions(1, 2),
        ),
        (
            "enforce",
            format!("{ENABLED}580162060a0420012804"),
            PolicyState::Enabled,
            Some(Mode::Enforce),
            actions(1, 4),
        ),
    ] {
        let listed = read(&message(2, &after)).unwrap();
        let name = PolicyName::sanitized("", "deny-secret");
        let policy = PolicyStatus::new(state, mode);
        assert_eq!(listed.answer.policies, BTreeMap::from([(name.clone(), policy)]), "{what}");
        assert_eq!(listed.actions.get(&name).copied(), expected, "{what}");
        assert!(listed.answer.is_settled(), "{what}");
    }
    // After `tetra tracingpolicy delete`, and while the object was still in the cluster.
    assert_eq!(read(&[]).unwrap().answer, Answer::empty(Source::Grpc));
}

#[test]
fn answers_of_1_3_0_follow_the_changes_of_a_policy() {
    for (what, after, state, settled) in [
        ("loaded: denied", "300148015088e3f302", PolicyState::Enabled, true),
        ("disabled: opened", "4802", PolicyState::Disabled, true),
        ("being enabled again: opened", "4805", PolicyState::Loading, false),
    ] {
        let Listing { answer, actions } = read(&message(1, after)).unwrap();
        let policy = PolicyStatus::new(state, None);
        assert_eq!(
            answer.policies,
            BTreeMap::from([(PolicyName::sanitized("", "deny-secret"), policy)]),
            "{what}"
        );
        assert!(actions.is_empty() && answer.is_settled() == settled, "{what}");
    }
}

/// Main of 2026-08 adds counters by selector, and the domain.
#[test]
fn answers_of_main_follow_the_changes_of_a_policy() {
    const ENABLED: &str = "3001480150b8e725";
    const DOMAIN: &str = "6a036b3873";
    let by_selector = |counters: &str| {
        let length = 19 + counters.len() / 2;
        format!(
            "12{length:02x}0a0d6c736d3a66696c655f6f70656e12001a0022{:02x}{counters}",
            counters.len() / 2
        )
    };
    let stats = |counters: &str| {
        let stats = format!("0a{:02x}{counters}{}", counters.len() / 2, by_selector(counters));
        format!("62{:02x}{stats}", stats.len() / 2)
    };
    let enforce = |stats: &str| format!("{ENABLED}5801{stats}{DOMAIN}");
    let monitor = |stats: &str| format!("{ENABLED}5802{stats}{DOMAIN}");
    let actions = |enforced, monitored| Some(Actions { enforced, monitored });
    for (what, after, state, mode, expected) in [
        ("loaded", enforce("62020a00"), PolicyState::Enabled, Some(Mode::Enforce), actions(0, 0)),
        (
            "after denials",
            enforce(&stats("2002")),
            PolicyState::Enabled,
            Some(Mode::Enforce),
            actions(2, 0),
        ),
        ("disabled: opened", format!("4802{DOMAIN}"), PolicyState::Disabled, None, None),
        (
            "monitor: opened",
            monitor(&stats("20012802")),
            PolicyState::Enabled,
            Some(Mode::Monitor),
            actions(1, 2),
        ),
    ] {
        let Listing { answer, actions } = read(&message(2, &after)).unwrap();
        let name = PolicyName::sanitized("", "deny-secret");
        let policy = PolicyStatus::new(state, mode);
        assert_eq!(answer.policies, BTreeMap::from([(name.clone(), policy)]), "{what}");
        assert_eq!(actions.get(&name).copied(), expected, "{what}");
        assert!(answer.local.is_empty(), "{what}");
    }
}

/// One policy with every field, and one that `tetra` added, of the same name in the domain `grpc`.
#[test]
fn a_message_encoded_by_main_is_read() {
    let text = "0a720801120464656e791a047465616d2a0e67656e657269635f6b70726f62653001480850808080\
        8080205803622a0a0e200328808080808080808010500712180a0d6c736d3a66696c655f6f70656e\
        12001a0208012a01786a036b387372140a076b70726f62657310031a057379735f7820020a100802\
        120464656e7948076a0467727063";
    let Listing { answer, actions } = read(&bytes(text)).unwrap();
    let name = PolicyName::sanitized("team", "deny");
    let hook = HookError {
        hook: "kprobes[2] sys_x".into(),
        error: "nothing with this name exists to attach to",
    };
    let policy = PolicyStatus {
        state: PolicyState::PartiallyEnabled,
        mode: Some(Mode::MonitorOnly),
        error: String::new(),
        failed_hooks: vec![hook],
    };
    assert_eq!(answer.policies, BTreeMap::from([(name.clone(), policy)]));
    assert_eq!(actions, BTreeMap::from([(name, Actions { enforced: 3, monitored: 1 << 60 })]));
    let skipped = PolicyStatus {
        state: PolicyState::Skipped,
        mode: None,
        error: String::new(),
        failed_hooks: vec![],
    };
    let local = LocalName { domain: "grpc".into(), policy: PolicyName::sanitized("", "deny") };
    assert_eq!(answer.local, BTreeMap::from([(local, skipped)]));
}
