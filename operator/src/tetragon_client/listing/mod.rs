//! The answer of `ListTracingPolicies`, by the published field numbers of api/v1/tetragon/sensors.proto (Tetragon 1.3.0,
//! 1.4.0, 1.7.0 and main of 2026-08). Fields that are not named here are skipped.
//!
//! What each field means was read in pkg/sensors/handler.go and pkg/sensors/collection.go of these versions:
//! - `state` 9. `skipped` (7): the watcher found that the nodeSelector does not match the node, and tracks the policy
//!   without loading it. `partially_enabled` (8): loaded, and one of `hook_statuses` is not `loaded`.
//! - `mode` 11, since 1.4: 0 unless the policy is enabled and has something in the kernel.
//! - `stats` 12, since 1.6, for enabled policies. The kernel programs count an action when they carry it out, and count
//!   it under `monitor_…` when the policy is in monitor mode (bpf/process/generic_calls.h).
//! - `domain` 13, on main. It is a part of a policy's key: `k8s` for objects of the cluster, `static` for files, `grpc` for
//!   what `tetra` adds. Two domains may have a policy of the same name.
//! - `hook_statuses` 14, on main, for kprobes and uprobes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::tetragon_client::answer::{
    Actions, ActionsByPolicy, Answer, HookError, How, LocalName, MAX_HOOKS, MAX_POLICIES, MAX_TEXT,
    MAX_TEXTS, PolicyAnswer, PolicyName,
};
use crate::tetragon_client::error::Why;
use crate::tetragon_client::state::{Mode, State};
use crate::tetragon_client::text::{clean, cut};
use crate::tetragon_client::wire::{Fields, Malformed, Value};

/// The domain of policies that are objects of the cluster.
const KUBERNETES: &str = "k8s";
/// Most policies that are read. A hostile agent can put two million into an answer, which would take a second to read.
const MAX_LISTED: u64 = 16 << 10;
/// Longest name of a domain, in characters.
const MAX_DOMAIN: usize = 63;

/// What an agent lists.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listed {
    /// The policies.
    pub answer: Answer,
    /// Their counters.
    pub actions: ActionsByPolicy,
}

/// Reads a `ListTracingPoliciesResponse`.
///
/// # Errors
/// Where the bytes are no such message, or list more than [`MAX_LISTED`] policies.
pub fn read(message: &[u8]) -> Result<Listed, Why> {
    let mut listed = Listed { answer: Answer::none(How::Grpc), actions: ActionsByPolicy::new() };
    for field in Fields(message) {
        if let (1, policy) = field? {
            listed.add(policy_status(policy)?);
        }
        if listed.answer.counts.total() > MAX_LISTED {
            return Err(Why::TooLarge);
        }
    }
    listed.limit_texts();
    Ok(listed)
}

impl Listed {
    fn add(&mut self, status: Status<'_>) {
        let Status { name, namespace, domain, actions, policy } = status;
        let name = PolicyName::given(namespace, name);
        let answer = &mut self.answer;
        answer.counts.add(policy.state, 1);
        if !["", KUBERNETES].contains(&domain) {
            let name = LocalName { domain: clean(domain, MAX_DOMAIN), policy: name };
            answer.omitted += keep(&mut answer.local, name, policy);
            return;
        }
        if let Some(actions) = actions {
            keep(&mut self.actions, name.clone(), actions);
        }
        answer.omitted += keep(&mut answer.policies, name, policy);
    }

    /// Cuts texts beyond the limit, so that an answer stays small whatever an agent says of a thousand policies.
    fn limit_texts(&mut self) {
        let mut left = MAX_TEXTS;
        for policy in self.answer.policies.values_mut().chain(self.answer.local.values_mut()) {
            let hooks = policy.failed_hooks.iter_mut().map(|hook| &mut hook.hook);
            for text in std::iter::once(&mut policy.error).chain(hooks) {
                cut(text, left);
                left -= text.len();
            }
        }
    }
}

/// Adds an entry to a map that keeps its first [`MAX_POLICIES`]; says how many entries had no room. Of two values for one
/// key the greater counts, so that the order in which an agent lists does not matter.
pub fn keep<K: Ord, V: Ord>(map: &mut BTreeMap<K, V>, key: K, value: V) -> u64 {
    match map.entry(key) {
        Entry::Occupied(mut entry) if *entry.get() < value => *entry.get_mut() = value,
        Entry::Occupied(_) => {}
        Entry::Vacant(entry) => _ = entry.insert(value),
    }
    if map.len() <= MAX_POLICIES {
        return 0;
    }
    map.pop_last();
    1
}

/// A `TracingPolicyStatus`.
struct Status<'a> {
    name: &'a str,
    namespace: &'a str,
    domain: &'a str,
    actions: Option<Actions>,
    policy: PolicyAnswer,
}

fn policy_status(value: Value<'_>) -> Result<Status<'_>, Malformed> {
    let policy = PolicyAnswer {
        state: State::Unclear,
        mode: None,
        error: String::new(),
        failed_hooks: Vec::new(),
    };
    let mut status = Status { name: "", namespace: "", domain: "", actions: None, policy };
    let (mut number, mut enabled) = (0, false);
    for field in value.message()? {
        match field? {
            (2, name) => status.name = name.text()?,
            (3, namespace) => status.namespace = namespace.text()?,
            (6, flag) => enabled = flag.number()? != 0,
            (8, error) => status.policy.error = clean(error.text()?, MAX_TEXT),
            (9, state) => number = state.number()?,
            (11, mode) => status.policy.mode = Mode::numbered(mode.number()?),
            (12, counted) => add_stats(status.actions.get_or_insert_default(), counted)?,
            (13, domain) => status.domain = domain.text()?,
            (14, hook) if status.policy.failed_hooks.len() < MAX_HOOKS => {
                status.policy.failed_hooks.extend(failed_hook(hook)?);
            }
            _ => {}
        }
    }
    status.policy.state = state(number, enabled, &status.policy.error);
    Ok(status)
}

/// `enabled` and `error` are all that agents without the field `state` have to say.
fn state(number: u64, enabled: bool, error: &str) -> State {
    match number {
        0 if enabled => State::Enabled,
        0 if !error.is_empty() => State::LoadError,
        number => State::numbered(number),
    }
}

/// Adds up the `action_counters` (1) of a `TracingPolicyStats`, which are those of the whole policy.
fn add_stats(actions: &mut Actions, stats: Value<'_>) -> Result<(), Malformed> {
    for field in stats.message()? {
        let (1, counters) = field? else { continue };
        for counter in counters.message()? {
            let (number, count) = counter?;
            let sum = match number {
                // signal, override, notify_enforcer, set; each is followed by its count in monitor mode.
                2 | 4 | 6 | 8 => &mut actions.enforced,
                3 | 5 | 7 | 9 => &mut actions.monitored,
                // post and nopost report, and enforce nothing.
                _ => continue,
            };
            *sum = sum.saturating_add(count.number()?);
        }
    }
    Ok(())
}

/// A `HookStatus`, if it is another one than `loaded`.
fn failed_hook(status: Value<'_>) -> Result<Option<HookError>, Malformed> {
    let (mut section, mut state, mut description, mut index) = ("", 0, "", 0);
    for field in status.message()? {
        match field? {
            (1, text) => section = text.text()?,
            (2, number) => state = number.number()?,
            (3, text) => description = text.text()?,
            (4, number) => index = number.number()?,
            _ => {}
        }
    }
    let error = match state {
        1 => return Ok(None),
        2 => "the file's digest is not the one in the policy",
        3 => "there is nothing of this name to attach to",
        4 => "some of the names to attach to are missing",
        _ => "the agent does not say why",
    };
    Ok(Some(HookError {
        hook: clean(&format!("{section}[{index}] {description}"), MAX_TEXT),
        error,
    }))
}

#[cfg(test)]
mod tests;
