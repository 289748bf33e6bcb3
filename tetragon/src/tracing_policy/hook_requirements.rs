//! What a policy requires of a kernel: hooks that accept its programs.
//!
//! The known releases agree in this (`pkg/sensors/tracing/genericlsm.go`):
//! - each entry of `spec.lsmhooks` attaches two programs (`generic_lsm_core`, `generic_lsm_output`)
//!   to its hook;
//! - `imaHash: true` in one of its `matchActions`, or in those of a macro, attaches a third
//!   program,
//!   which is sleepable (`lsm.s/generic_lsm_ima_…`). The agent has it for eleven hooks
//!   ([`IMA_HOOKS`]) and from Linux 5.11 on. Elsewhere it loads the policy without the hash;
//! - all of them read kernel memory, whatever the policy matches.

use std::collections::{BTreeMap, HashSet};

use lsm_ready_crds::policy::Require;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use serde_json::{Map, Value};

use crate::tracing_policy::rules::{IMA_HOOKS, Merged, list};

/// Maximum length of a hook's name in an `LsmHookProfile`, by its schema. The longest name in the
/// kernel has 33 letters.
pub const MAX_HOOK_LEN: usize = 64;

/// Maximum number of different hooks that are kept for one policy. No kernel has as many (Linux 7.2
/// has 284), so a policy with more names a hook that does not exist, and so do its first ones.
pub const MAX_HOOKS: usize = 512;

/// The first version of Linux for which the agent has programs that compute a hash.
const IMA_SINCE: (u32, u32) = (5, 11);

/// The hooks that a policy requires, in the order of their names.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HookRequirements {
    by_name: BTreeMap<String, HookRequirement>,
    is_complete: bool,
}

/// What a policy requires of one hook.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HookRequirement {
    /// The hook as the policy names it, without `bpf_lsm_`.
    pub hook: String,
    /// The hook has to accept a sleepable program, from Linux 5.11 on.
    pub sleepable: bool,
    /// The programs read kernel memory, which lockdown=confidentiality forbids. All of Tetragon's
    /// do.
    pub reads_memory: bool,
    /// The field of the policy that requires it.
    pub field: String,
}

impl HookRequirements {
    /// What that `spec` requires. Invalid entries of `spec.lsmhooks` are skipped, and make it
    /// incomplete.
    #[must_use]
    pub fn of(spec: &Map<String, Value>) -> Self {
        let macros = spec.get("selectorsMacros").and_then(Value::as_object);
        let is_list = spec.get("lsmhooks").is_none_or(|hooks| hooks.is_array() || hooks.is_null());
        let mut requirements = Self { is_complete: is_list, ..Self::default() };
        for (index, entry) in list(spec, "lsmhooks").iter().enumerate() {
            let path = format!("spec.lsmhooks[{index}]");
            let hook = entry.get("hook").and_then(Value::as_str).filter(|hook| is_hook_name(hook));
            let (Some(hook), Some(entry)) = (hook, entry.as_object()) else {
                requirements.is_complete = false;
                continue;
            };
            let ima = ima_hash(entry, &path, macros).filter(|_| IMA_HOOKS.contains(&hook));
            requirements.insert(HookRequirement {
                hook: hook.to_owned(),
                sleepable: ima.is_some(),
                reads_memory: true,
                field: ima.unwrap_or(path),
            });
        }
        requirements
    }

    /// Whether each entry of `spec.lsmhooks` was valid, so that no requirement is missing here.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The requirements, in the order of the hooks' names.
    pub fn iter(&self) -> impl Iterator<Item = &HookRequirement> {
        self.by_name.values()
    }

    /// Whether the policy requires no hook, so that it loads on any kernel.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The number of hooks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Adds these hooks to the requirement of a node with that profile, each hook once.
    ///
    /// No kernel has [`MAX_HOOKS`] hooks, so a requirement that names as many is not met. More are
    /// not added.
    pub fn add_to(&self, require: &mut Require, profile: Option<&LsmHookProfileSpec>) {
        let computes_hashes = computes_hashes(profile);
        let mut plain: HashSet<String> = require.hooks.iter().cloned().collect();
        let mut sleepable: HashSet<String> = require.sleepable_hooks.iter().cloned().collect();
        for HookRequirement { hook, sleepable: is_sleepable, reads_memory, .. } in self.iter() {
            let (list, present) = if *is_sleepable && computes_hashes {
                (&mut require.sleepable_hooks, &mut sleepable)
            } else {
                (&mut require.hooks, &mut plain)
            };
            if list.len() < MAX_HOOKS && present.insert(hook.clone()) {
                list.push(hook.clone());
            }
            require.kernel_reads |= reads_memory;
        }
    }

    /// Whether the requirement of a node depends on its kernel.
    #[must_use]
    pub fn depend_on_kernel(&self) -> bool {
        self.iter().any(|requirement| requirement.sleepable)
    }

    /// Of two entries for one hook, the one with the stronger requirement counts.
    fn insert(&mut self, new: HookRequirement) {
        let is_full = self.by_name.len() >= MAX_HOOKS;
        match self.by_name.get_mut(&new.hook) {
            Some(present) if new.sleepable && !present.sleepable => *present = new,
            Some(_) => {}
            None if is_full => {}
            None => drop(self.by_name.insert(new.hook.clone(), new)),
        }
    }
}

impl HookRequirement {
    /// What a node with that profile needs for this hook alone.
    #[must_use]
    pub fn require(&self, profile: Option<&LsmHookProfileSpec>) -> Require {
        let hook = vec![self.hook.clone()];
        let base = Require { kernel_reads: self.reads_memory, ..Require::default() };
        if self.sleepable && computes_hashes(profile) {
            Require { sleepable_hooks: hook, ..base }
        } else {
            Require { hooks: hook, ..base }
        }
    }
}

/// Whether the agent has programs that compute a hash on that kernel. For an unknown kernel the
/// answer is yes.
fn computes_hashes(profile: Option<&LsmHookProfileSpec>) -> bool {
    let Some(profile) = profile else { return true };
    let mut numbers = profile.kernel.split(['.', '-', ' ', '+']).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= IMA_SINCE,
        _ => true,
    }
}

/// Whether a hook could have that name.
#[must_use]
pub fn is_hook_name(hook: &str) -> bool {
    (1..=MAX_HOOK_LEN).contains(&hook.len()) && hook.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The field by which an entry of `spec.lsmhooks` requires a file's hash, if it does.
#[must_use]
pub fn ima_hash(
    entry: &Map<String, Value>,
    path: &str,
    macros: Option<&Map<String, Value>>,
) -> Option<String> {
    list(entry, "selectors").iter().enumerate().find_map(|(index, selector)| {
        let path = format!("{path}.selectors[{index}]");
        let merged = Merged::of(selector.as_object()?, &path, macros);
        let actions = merged.get("matchActions");
        let is_hash = |action: &Value| action.get("imaHash") == Some(&Value::Bool(true));
        let place = actions.entries.iter().position(is_hash)?;
        Some(format!("{}[{place}].imaHash", actions.path))
    })
}
