//! What a policy asks of a kernel: hooks that take its programs.
//!
//! From `pkg/sensors/tracing/genericlsm.go`, in which the known releases agree:
//! - each entry of `spec.lsmhooks` attaches two programs (`generic_lsm_core`, `generic_lsm_output`) to its hook;
//! - `imaHash: true` in one of its `matchActions`, or in those of a macro, attaches a third one, which is sleepable
//!   (`lsm.s/generic_lsm_ima_…`). The agent has it for eleven hooks ([`IMA_HOOKS`]) and from Linux 5.11 on; elsewhere it
//!   loads the policy without the hash;
//! - all of them read kernel memory, whatever the policy matches.

use std::collections::{BTreeMap, HashSet};

use lsm_ready_crds::policy::Require;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use serde_json::{Map, Value};

use crate::tracing_policy::rules::{IMA_HOOKS, Merged, list};

/// Longest name of a hook in an `LsmHookProfile`, whose schema says so; the kernel's own longest has 33 letters.
pub const LONGEST_HOOK: usize = 64;

/// So many different hooks of a policy are kept. No kernel has as many (Linux 7.2 has 284), so a policy with more
/// asks for one that does not exist, and so do the first ones of it.
pub const MOST_HOOKS: usize = 512;

/// First version of Linux for which the agent has programs that give a hash.
const IMA_SINCE: (u32, u32) = (5, 11);

/// The hooks that a policy asks for, by name, each once.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HookRequirements(BTreeMap<String, HookRequirement>);

/// What is asked of one hook.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HookRequirement {
    /// The hook as the policy names it, without `bpf_lsm_`.
    pub hook: String,
    /// It has to take a sleepable program, from Linux 5.11 on.
    pub sleepable: bool,
    /// Its programs read kernel memory, which lockdown=confidentiality forbids: so far all of Tetragon's do.
    pub reads_memory: bool,
    /// The field of the policy that asks for it.
    pub why: String,
}

impl HookRequirements {
    /// What that `spec` asks for. Entries that cannot be read ask for nothing here; `is_complete` says whether there are
    /// none.
    #[must_use]
    pub fn of(spec: &Map<String, Value>) -> (Self, bool) {
        let macros = spec.get("selectorsMacros").and_then(Value::as_object);
        let mut asks = Self::default();
        let mut is_complete =
            spec.get("lsmhooks").is_none_or(|hooks| hooks.is_array() || hooks.is_null());
        for (index, entry) in list(spec, "lsmhooks").iter().enumerate() {
            let path = format!("spec.lsmhooks[{index}]");
            let hook = entry.get("hook").and_then(Value::as_str).filter(|hook| is_hook_name(hook));
            let (Some(hook), Some(entry)) = (hook, entry.as_object()) else {
                is_complete = false;
                continue;
            };
            let ima = ima_hash(entry, &path, macros).filter(|_| IMA_HOOKS.contains(&hook));
            let (sleepable, why) = (ima.is_some(), ima.unwrap_or(path));
            asks.insert(HookRequirement {
                hook: hook.to_owned(),
                sleepable,
                reads_memory: true,
                why,
            });
        }
        (asks, is_complete)
    }

    /// Each hook, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &HookRequirement> {
        self.0.values()
    }

    /// The policy has no LSM hooks, so that any kernel does as far as they go.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of hooks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds what is asked for to the requirement of a node with that profile, each hook once.
    pub fn add_to(&self, require: &mut Require, profile: Option<&LsmHookProfileSpec>) {
        let gives_hashes = gives_hashes(profile);
        let mut known: HashSet<String> = require.hooks.iter().cloned().collect();
        let mut sleepable: HashSet<String> = require.sleepable_hooks.iter().cloned().collect();
        for ask in self.iter() {
            let (list, known) = if ask.sleepable && gives_hashes {
                (&mut require.sleepable_hooks, &mut sleepable)
            } else {
                (&mut require.hooks, &mut known)
            };
            if known.insert(ask.hook.clone()) {
                list.push(ask.hook.clone());
            }
            require.kernel_reads |= ask.reads_memory;
        }
    }

    /// Whether what is asked of a node depends on its kernel.
    #[must_use]
    pub fn depend_on_kernel(&self) -> bool {
        self.iter().any(|ask| ask.sleepable)
    }

    /// Of two entries for one hook the stronger wish counts.
    fn insert(&mut self, ask: HookRequirement) {
        let is_full = self.0.len() >= MOST_HOOKS;
        match self.0.get_mut(&ask.hook) {
            Some(present) if ask.sleepable && !present.sleepable => *present = ask,
            Some(_) => {}
            None if is_full => {}
            None => drop(self.0.insert(ask.hook.clone(), ask)),
        }
    }
}

impl HookRequirement {
    /// What a node with that profile has to be able to do for this hook alone.
    #[must_use]
    pub fn require(&self, profile: Option<&LsmHookProfileSpec>) -> Require {
        let hook = vec![self.hook.clone()];
        let base = Require { kernel_reads: self.reads_memory, ..Require::default() };
        if self.sleepable && gives_hashes(profile) {
            Require { sleepable_hooks: hook, ..base }
        } else {
            Require { hooks: hook, ..base }
        }
    }
}

/// Whether the agent has programs for hashes on that kernel. Of an unknown kernel it is taken to.
fn gives_hashes(profile: Option<&LsmHookProfileSpec>) -> bool {
    let Some(profile) = profile else { return true };
    let mut numbers = profile.kernel.split(['.', '-', ' ', '+']).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= IMA_SINCE,
        _ => true,
    }
}

/// Whether a kernel could have a hook of that name.
#[must_use]
pub fn is_hook_name(hook: &str) -> bool {
    (1..=LONGEST_HOOK).contains(&hook.len()) && hook.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The field by which an entry asks for a file's hash, if one does.
#[must_use]
pub fn ima_hash(
    entry: &Map<String, Value>,
    path: &str,
    macros: Option<&Map<String, Value>>,
) -> Option<String> {
    let selectors = list(entry, "selectors").iter().enumerate();
    selectors.filter_map(|(index, selector)| Some((index, selector.as_object()?))).find_map(
        |(index, selector)| {
            let merged = Merged::of(selector, &format!("{path}.selectors[{index}]"), macros, None);
            let (place, actions) = merged.get("matchActions");
            let asking = actions
                .iter()
                .position(|action| action.get("imaHash") == Some(&Value::Bool(true)))?;
            Some(format!("{place}[{asking}].imaHash"))
        },
    )
}
