//! Messages in the shape of each release, byte by byte, and malformed messages.

mod real_agents;

use proptest::prelude::*;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::*;
use crate::tetragon_client::state::StateCounts;

/// Encodes a field with a number.
fn number(field: u32, value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(field, WireType::Varint, &mut bytes);
    encode_varint(value, &mut bytes);
    bytes
}

/// Encodes a field with a text or a message.
fn bytes(field: u32, value: impl AsRef<[u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(field, WireType::LengthDelimited, &mut bytes);
    encode_varint(value.as_ref().len() as u64, &mut bytes);
    bytes.extend_from_slice(value.as_ref());
    bytes
}

fn policy(name: &str, fields: &[Vec<u8>]) -> Vec<u8> {
    bytes(1, [bytes(2, name), fields.concat()].concat())
}

fn listed(policies: &[Vec<u8>]) -> Listing {
    read(&policies.concat()).unwrap()
}

fn named(name: &str) -> PolicyName {
    PolicyName::sanitized("", name)
}

fn plain(state: PolicyState, mode: Option<Mode>) -> PolicyStatus {
    PolicyStatus::new(state, mode)
}

fn counts(states: &[(PolicyState, u64)]) -> StateCounts {
    states.iter().copied().collect()
}

/// Fields 1 to 10, written out: id, name, namespace, info, sensors, enabled, filter_id, error,
/// state, memory.
#[test]
fn all_fields_of_1_3_are_read() {
    let status = [
        &[0x08, 7][..],
        &[
            0x12, 1, b'p', 0x1a, 1, b'n', 0x22, 1, b'i', 0x2a, 1, b's', 0x2a, 1, b't', 0x30, 1,
            0x38, 5,
        ],
        &[0x42, 2, b'n', b'o', 0x48, 3, 0x50, 99],
    ]
    .concat();
    let message = [&[0x0a, u8::try_from(status.len()).unwrap()][..], &status].concat();
    let Listing { answer, actions } = read(&message).unwrap();
    let expected = PolicyStatus { error: "no".into(), ..plain(PolicyState::LoadError, None) };
    assert_eq!(answer.policies, BTreeMap::from([(PolicyName::sanitized("n", "p"), expected)]));
    assert_eq!((answer.counts, answer.omitted), (counts(&[(PolicyState::LoadError, 1)]), 0));
    assert!(actions.is_empty() && answer.local.is_empty() && answer.named.is_none());
}

/// Field 11, mode: 1 enforce, 2 monitor; 3 monitor_only since 1.7.
#[test]
fn the_modes_of_1_4_and_1_7_are_read() {
    for (mode, expected) in [
        (0, None),
        (1, Some(Mode::Enforce)),
        (2, Some(Mode::Monitor)),
        (3, Some(Mode::MonitorOnly)),
        (4, Some(Mode::Unclear)),
        (u64::MAX, Some(Mode::Unclear)),
    ] {
        let listed = listed(&[policy("p", &[vec![0x48, 1], number(11, mode)])]);
        assert_eq!(
            listed.answer.policies[&named("p")],
            plain(PolicyState::Enabled, expected),
            "{mode}"
        );
    }
}

/// Field 12, stats, since 1.6: action_counters (1) with one counter a field, of which each
/// enforcing action has two.
#[test]
fn the_counters_of_1_6_are_summed() {
    let counters: Vec<Vec<u8>> = (1..=10).map(|counter| number(counter, 1 << counter)).collect();
    let stats = bytes(12, bytes(1, counters.concat()));
    let listed = listed(&[policy("p", &[number(9, 1), stats]), policy("q", &[number(9, 1)])]);
    let expected = Actions { enforced: 4 + 16 + 64 + 256, monitored: 8 + 32 + 128 + 512 };
    assert_eq!(listed.actions, BTreeMap::from([(named("p"), expected)]));
    assert_eq!(listed.answer.policies[&named("p")], listed.answer.policies[&named("q")]);
}

/// On main the stats have counters by selector (2) too, which the sum already has.
#[test]
fn counters_by_selector_are_not_added_again() {
    let counters = bytes(1, number(4, 3));
    let by_selector = bytes(2, [bytes(1, "lsm:file_open"), bytes(4, number(4, 3))].concat());
    let listed =
        listed(&[policy("p", &[number(9, 1), bytes(12, [counters, by_selector].concat())])]);
    assert_eq!(listed.actions[&named("p")], Actions { enforced: 3, monitored: 0 });
}

/// Field 13, domain, on main: a policy of another domain is another policy.
#[test]
fn policies_of_other_domains_are_kept_apart() {
    let of = |domain: &str, state| {
        policy("p", &[number(9, state), bytes(13, domain), bytes(12, bytes(1, []))])
    };
    let listed = listed(&[of("grpc", 3), of("k8s", 1), of("static", 7)]);
    assert_eq!(
        listed.answer.policies,
        BTreeMap::from([(named("p"), plain(PolicyState::Enabled, None))])
    );
    let local = |domain: &str| LocalName { domain: domain.into(), policy: named("p") };
    let expected = [
        (local("grpc"), plain(PolicyState::LoadError, None)),
        (local("static"), plain(PolicyState::Skipped, None)),
    ];
    assert_eq!(listed.answer.local, BTreeMap::from(expected));
    assert_eq!(listed.answer.counts.total(), 3);
    assert_eq!(listed.actions.len(), 1);
}

/// Field 14, hook_statuses, on main: section 1, state 2, hook_description 3, hook_idx 4.
#[test]
fn hooks_that_were_not_attached_are_named() {
    let hook = |state, index| {
        bytes(
            14,
            [bytes(1, "kprobes"), number(2, state), bytes(3, "sys_x"), number(4, index)].concat(),
        )
    };
    let hooks = [hook(1, 0), hook(3, 1), hook(4, 2), hook(2, 3), hook(0, 4)];
    let listed = listed(&[policy("p", &[number(9, 8), number(11, 1), hooks.concat()])]);
    let failed: Vec<String> = listed.answer.policies[&named("p")]
        .failed_hooks
        .iter()
        .map(|HookError { hook, error }| format!("{hook}: {error}"))
        .collect();
    assert_eq!(
        failed,
        [
            "kprobes[1] sys_x: nothing with this name exists to attach to",
            "kprobes[2] sys_x: some of the names to attach to are missing",
            "kprobes[3] sys_x: the digest of the file differs from the policy",
        ]
    );
    assert_eq!(listed.answer.policies[&named("p")].state, PolicyState::PartiallyEnabled);
}

#[test]
fn the_state_field_overrides_the_older_fields() {
    for (fields, expected) in [
        (vec![number(6, 1)], PolicyState::Enabled),
        (vec![bytes(8, "no")], PolicyState::LoadError),
        (vec![], PolicyState::Unclear),
        (vec![number(9, 3), number(6, 1)], PolicyState::LoadError),
        (vec![number(9, 77), number(6, 1)], PolicyState::Unclear),
        // A negative number of an enumeration has ten bytes.
        (vec![number(9, u64::MAX)], PolicyState::Unclear),
        // The last of two equal fields counts.
        (vec![number(9, 3), number(9, 1)], PolicyState::Enabled),
    ] {
        let listed = listed(&[policy("p", &fields)]);
        assert_eq!(listed.answer.policies[&named("p")].state, expected, "{fields:x?}");
    }
}

#[test]
fn texts_are_sanitized_and_limited() {
    let long = format!("no\n\u{1b}[1m{}", "ä".repeat(1000));
    let policies: Vec<_> =
        (0..100).map(|number| policy(&format!("p{number:02}"), &[bytes(8, &long)])).collect();
    let Listing { answer, .. } = listed(&policies);
    let errors: Vec<&String> = answer.policies.values().map(|policy| &policy.error).collect();
    assert!(errors[0].starts_with("no [1mä") && errors[0].ends_with('…'), "{}", errors[0]);
    assert_eq!(errors[0].chars().count(), MAX_TEXT);
    assert!(errors.iter().map(|error| error.len()).sum::<usize>() <= MAX_TEXTS);
    assert_eq!(*errors[99], "");
    assert_eq!(answer.counts.of(PolicyState::LoadError), 100);
}

#[test]
fn policies_without_room_are_counted_as_omitted() {
    let policies: Vec<_> =
        (0..MAX_POLICIES + 9).rev().map(|n| policy(&format!("{n:05}"), &[number(9, 1)])).collect();
    let Listing { answer, .. } = listed(&policies);
    assert_eq!((answer.policies.len(), answer.omitted), (MAX_POLICIES, 9));
    assert_eq!(answer.counts.of(PolicyState::Enabled), (MAX_POLICIES + 9) as u64);
    assert_eq!(
        answer.policies.last_key_value().unwrap().0.name,
        format!("{:05}", MAX_POLICIES - 1)
    );
}

#[test]
fn millions_of_policies_are_refused() {
    let message = bytes(1, []).repeat(2 << 20);
    assert_eq!(message.len(), crate::tetragon_client::Limits::GRPC_BYTES);
    assert_eq!(read(&message), Err(AskError::TooLarge));
}

#[test]
fn a_thousand_policies_with_long_names_hooks_and_errors_fit() {
    let hook = |index| {
        bytes(
            14,
            [bytes(1, "kprobes"), number(2, 1), bytes(3, "x".repeat(60)), number(4, index)]
                .concat(),
        )
    };
    let policies: Vec<_> = (0..MAX_POLICIES as u64)
        .map(|number_of| {
            let name = format!("{}-{number_of:04}", "n".repeat(248));
            let hooks: Vec<u8> = (0..20).flat_map(hook).collect();
            let sensors = bytes(5, "generic_kprobe").repeat(20);
            let fields = [
                bytes(3, "m".repeat(63)),
                number(9, 3),
                bytes(8, "e".repeat(1000)),
                sensors,
                hooks,
            ];
            policy(&name, &fields)
        })
        .collect();
    let message = policies.concat();
    assert!(message.len() < crate::tetragon_client::Limits::GRPC_BYTES, "{}", message.len());
    let Listing { answer, .. } = read(&message).unwrap();
    assert_eq!((answer.policies.len(), answer.omitted), (MAX_POLICIES, 0));
}

#[test]
fn malformed_messages_are_an_error() {
    for message in [
        number(1, 1),
        bytes(1, number(2, 1)),
        bytes(1, [0x12, 9, b'p']),
        bytes(1, bytes(2, [0xff])),
        bytes(1, bytes(9, "enabled")),
        bytes(1, number(12, 1)),
        bytes(1, bytes(14, [0xff; 12])),
    ] {
        assert_eq!(read(&message), Err(AskError::OtherProtocol), "{message:x?}");
    }
    // Fields of later versions are no error, whatever their type.
    assert!(
        read(&[number(9, 1), bytes(1, number(99, 1)), bytes(1, bytes(4711, "new"))].concat())
            .is_ok()
    );
}

prop_compose! {
    fn any_policy()(
        name in "[a-e]",
        domain in "k8s|grpc||static",
        state in 0u64..12,
        mode in 0u64..5,
        sum in 0u64..9,
    )
        -> Vec<u8>
    {
        let stats = bytes(12, bytes(1, number(4, sum)));
        policy(&name, &[number(9, state), number(11, mode), bytes(13, domain), stats])
    }
}

proptest! {
    #[test]
    fn every_policy_is_counted_once_in_any_order(
        mut policies in prop::collection::vec(any_policy(), 0..30),
    ) {
        let first = listed(&policies);
        prop_assert_eq!(first.answer.counts.total(), policies.len() as u64);
        policies.reverse();
        prop_assert_eq!(listed(&policies), first);
    }

    /// Whatever an agent writes into a text, no control character and no mark that reorders text
    /// gets through.
    #[test]
    fn every_text_is_sanitized(
        text in "\\PC{0,40}[\u{0}-\u{1f}\u{7f}-\u{9f}\u{200b}\u{202e}\u{feff}]\\PC{0,400}",
    ) {
        let hook = bytes(14, [bytes(1, &text), number(2, 3), bytes(3, &text)].concat());
        let fields = |domain| [bytes(3, &text), bytes(8, &text), bytes(13, domain), hook.clone()];
        let policies = [policy(&text, &fields("k8s")), policy(&text, &fields(&text))];
        let Listing { answer, .. } = listed(&policies);
        let texts = |name: &PolicyName, policy: &PolicyStatus| {
            let hooks = policy.failed_hooks.iter().map(|hook| hook.hook.clone());
            [name.to_string(), policy.error.clone()].into_iter().chain(hooks).collect::<Vec<_>>()
        };
        let of_cluster = answer.policies.iter().flat_map(|(name, policy)| texts(name, policy));
        let of_others = answer.local.iter().flat_map(|(name, policy)| {
            texts(&name.policy, policy).into_iter().chain([name.domain.clone()])
        });
        let all: Vec<String> = of_cluster.chain(of_others).collect();
        prop_assert!(all.len() >= 6, "{:?}", all);
        for text in all {
            prop_assert_eq!(sanitize(&text, 1000), text);
        }
    }

    /// Also inside a policy.
    #[test]
    fn any_bytes_are_read_or_refused(message in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&message);
        let _ = read(&bytes(1, &message));
        let _ = read(&bytes(1, bytes(14, &message)));
    }
}
