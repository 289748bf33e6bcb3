//! Answers of real agents, byte by byte: what Tetragon 1.3.0 and 1.7.0 answered on Linux 6.12 with one policy, while `tetra`
//! changed that policy. Recorded in 2026-11; beside each, what came of opening the file that the policy denies.

use super::*;

/// Name and sensor, which are the same in all: 120b "deny-secret", 2a0b "generic_lsm".
const POLICY: &str = "120b64656e792d7365637265742a0b67656e657269635f6c736d";
/// Enabled, and 639,944 bytes.
const ENABLED: &str = "3001480150c88727";

fn message(id: u8, after: &str) -> Vec<u8> {
    let policy = format!("08{id:02x}{POLICY}{after}");
    let text = format!("0a{:02x}{policy}", policy.len() / 2);
    (0..text.len() / 2).map(|place| u8::from_str_radix(&text[2 * place..2 * place + 2], 16).unwrap()).collect()
}

#[test]
fn what_1_7_0_says_while_its_policy_is_changed() {
    let actions = |enforced, monitored| Some(Actions { enforced, monitored });
    for (what, after, state, mode, expected) in [
        ("loaded", format!("{ENABLED}580162020a00"), State::Enabled, Some(Mode::Enforce), actions(0, 0)),
        ("after a denial", format!("{ENABLED}580162040a022001"), State::Enabled, Some(Mode::Enforce), actions(1, 0)),
        ("disabled: opened", "4802".to_owned(), State::Disabled, None, None),
        (
            "monitor: opened",
            format!("{ENABLED}580262060a0420012802"),
            State::Enabled,
            Some(Mode::Monitor),
            actions(1, 2),
        ),
        ("enforce", format!("{ENABLED}580162060a0420012804"), State::Enabled, Some(Mode::Enforce), actions(1, 4)),
    ] {
        let listed = read(&message(2, &after)).unwrap();
        let name = PolicyName::given("", "deny-secret");
        let policy = PolicyAnswer { state, mode, error: String::new(), failed_hooks: vec![] };
        assert_eq!(listed.answer.policies, BTreeMap::from([(name.clone(), policy)]), "{what}");
        assert_eq!(listed.actions.get(&name).copied(), expected, "{what}");
        assert!(listed.answer.is_settled(), "{what}");
    }
    // After `tetra tracingpolicy delete`, and while the object was still in the cluster.
    assert_eq!(read(&[]).unwrap().answer, Answer::none(How::Grpc));
}

#[test]
fn what_1_3_0_says() {
    for (what, after, state, settled) in [
        ("loaded: denied", "300148015088e3f302", State::Enabled, true),
        ("disabled: opened", "4802", State::Disabled, true),
        ("being enabled again: opened", "4805", State::Loading, false),
    ] {
        let Listed { answer, actions } = read(&message(1, after)).unwrap();
        let policy = PolicyAnswer { state, mode: None, error: String::new(), failed_hooks: vec![] };
        assert_eq!(answer.policies, BTreeMap::from([(PolicyName::given("", "deny-secret"), policy)]), "{what}");
        assert!(actions.is_empty() && answer.is_settled() == settled, "{what}");
    }
}
