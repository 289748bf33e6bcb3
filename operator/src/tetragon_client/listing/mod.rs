//! Reads the answer of `ListTracingPolicies`, by the published field numbers of
//! api/v1/tetragon/sensors.proto (Tetragon 1.3.0, 1.4.0, 1.7.0 and main of 2026-08). Other fields
//! are skipped.
//!
//! The meaning of the fields, from pkg/sensors/handler.go and pkg/sensors/collection.go:
//! - `state` 9. `skipped` (7): the nodeSelector does not match the node, so the agent tracks the
//!   policy without loading it. `partially_enabled` (8): loaded, and one of `hook_statuses` is not
//!   `loaded`.
//! - `mode` 11, since 1.4: 0 unless the policy is enabled and has something in the kernel.
//! - `stats` 12, since 1.6, for enabled policies. The kernel programs count an action when they
//!   carry it out. In monitor mode they count it under `monitor_…` (bpf/process/generic_calls.h).
//! - `domain` 13, on main. It is part of a policy's key: `k8s` for objects of the cluster, `static`
//!   for files, `grpc` for policies added with `tetra`. Two domains may have a policy of the same
//!   name.
//! - `hook_statuses` 14, on main, for kprobes and uprobes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::protobuf::{Fields, Malformed, Value};
use crate::tetragon_client::answer::{
    Actions, ActionsByPolicy, Answer, HookError, LocalName, MAX_HOOKS, MAX_POLICIES, MAX_TEXT,
    MAX_TEXTS, PolicyName, PolicyStatus, Source,
};
use crate::tetragon_client::error::AskError;
use crate::tetragon_client::state::{Mode, PolicyState};
use crate::tetragon_client::text::sanitize;

/// The domain of policies that are objects of the cluster.
const KUBERNETES: &str = "k8s";
/// Maximum number of policies read. A hostile agent can put two million into an answer; reading
/// them would take a second.
const MAX_LISTED: u64 = 16 << 10;
/// Maximum length of the name of a domain, in characters.
const MAX_DOMAIN: usize = 63;

/// The policies of an agent, and their counters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listing {
    pub answer: Answer,
    pub actions: ActionsByPolicy,
}

/// Reads a `ListTracingPoliciesResponse`. Fails for malformed bytes and for more than
/// [`MAX_LISTED`] policies.
pub fn read(message: &[u8]) -> Result<Listing, AskError> {
    let mut listing =
        Listing { answer: Answer::empty(Source::Grpc), actions: ActionsByPolicy::new() };
    for field in Fields(message) {
        if let (1, policy) = field? {
            listing.add(policy_status(policy)?);
        }
        if listing.answer.counts.total() > MAX_LISTED {
            return Err(AskError::TooLarge);
        }
    }
    listing.limit_texts();
    Ok(listing)
}

impl Listing {
    fn add(&mut self, listed: ListedPolicy<'_>) {
        let ListedPolicy { name, namespace, domain, actions, status } = listed;
        let name = PolicyName::sanitized(namespace, name);
        let answer = &mut self.answer;
        answer.counts.add(status.state, 1);
        if !["", KUBERNETES].contains(&domain) {
            let name = LocalName { domain: sanitize(domain, MAX_DOMAIN), policy: name };
            answer.omitted += keep(&mut answer.local, name, status);
            return;
        }
        if let Some(actions) = actions {
            keep(&mut self.actions, name.clone(), actions);
        }
        answer.omitted += keep(&mut answer.policies, name, status);
    }

    /// Removes texts that exceed [`MAX_TEXTS`], so that an answer stays small even if an agent
    /// reports errors of a thousand policies.
    fn limit_texts(&mut self) {
        let mut left = MAX_TEXTS;
        for policy in self.answer.policies.values_mut().chain(self.answer.local.values_mut()) {
            let hooks = policy.failed_hooks.iter_mut().map(|hook| &mut hook.hook);
            for text in std::iter::once(&mut policy.error).chain(hooks) {
                if text.len() > left {
                    text.clear();
                }
                left -= text.len();
            }
        }
    }
}

/// Adds an entry to a map that keeps its first [`MAX_POLICIES`] entries. Returns how many entries
/// had no room. The greater of two values for one key stays, so that the order of an agent's list
/// does not matter.
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
struct ListedPolicy<'a> {
    name: &'a str,
    namespace: &'a str,
    domain: &'a str,
    actions: Option<Actions>,
    status: PolicyStatus,
}

fn policy_status(message: Value<'_>) -> Result<ListedPolicy<'_>, Malformed> {
    let status = PolicyStatus::new(PolicyState::Unclear, None);
    let mut policy = ListedPolicy { name: "", namespace: "", domain: "", actions: None, status };
    let (mut number, mut enabled) = (0, false);
    for field in message.message()? {
        match field? {
            (2, name) => policy.name = name.text()?,
            (3, namespace) => policy.namespace = namespace.text()?,
            (6, flag) => enabled = flag.number()? != 0,
            (8, error) => policy.status.error = sanitize(error.text()?, MAX_TEXT),
            (9, state) => number = state.number()?,
            (11, mode) => policy.status.mode = Mode::numbered(mode.number()?),
            (12, counted) => add_stats(policy.actions.get_or_insert_default(), counted)?,
            (13, domain) => policy.domain = domain.text()?,
            (14, hook) if policy.status.failed_hooks.len() < MAX_HOOKS => {
                policy.status.failed_hooks.extend(failed_hook(hook)?);
            }
            _ => {}
        }
    }
    policy.status.state = state(number, enabled, &policy.status.error);
    Ok(policy)
}

/// The state of a policy. Agents without the field `state` give only `enabled` and `error`.
fn state(number: u64, enabled: bool, error: &str) -> PolicyState {
    match number {
        0 if enabled => PolicyState::Enabled,
        0 if !error.is_empty() => PolicyState::LoadError,
        number => PolicyState::numbered(number),
    }
}

/// Adds the `action_counters` (1) of a `TracingPolicyStats`. They cover the whole policy.
fn add_stats(actions: &mut Actions, stats: Value<'_>) -> Result<(), Malformed> {
    for field in stats.message()? {
        let (1, counters) = field? else { continue };
        for counter in counters.message()? {
            let (number, count) = counter?;
            let sum = match number {
                // signal, override, notify_enforcer, set. The next number is the count in monitor
                // mode.
                2 | 4 | 6 | 8 => &mut actions.enforced,
                3 | 5 | 7 | 9 => &mut actions.monitored,
                // post and nopost only report.
                _ => continue,
            };
            *sum = sum.saturating_add(count.number()?);
        }
    }
    Ok(())
}

/// Reads a `HookStatus`; `None` if the hook is loaded.
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
        2 => "the digest of the file differs from the policy",
        3 => "nothing with this name exists to attach to",
        4 => "some of the names to attach to are missing",
        _ => "the agent gives no reason",
    };
    Ok(Some(HookError {
        hook: sanitize(&format!("{section}[{index}] {description}"), MAX_TEXT),
        error,
    }))
}

#[cfg(test)]
mod tests;
