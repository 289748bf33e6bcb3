//! Whether a policy denies something once it is loaded.
//!
//! `Override` with an error makes a call fail, and `Sigkill` and `Signal` with 9 kill the process,
//! if the policy is in the mode `enforce`. From v1.7 on, the agent sets the mode `monitor_only` for
//! a policy without an enforcing action of its own. Actions of macros do not count for that
//! (`hasEnforcementActions` in policyhandler_linux.go).

use std::fmt;

use serde_json::{Map, Value};

use crate::tracing_policy::release::Release::{self, V1_4, V1_7};
use crate::tracing_policy::rules::{
    ActionEffect, LSM_HOOKS, MAX_SELECTORS, Merged, SECTIONS, effect_of, list, macros, text,
};

/// What a policy does once it is loaded.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Effect {
    /// It can deny something.
    Denies,
    /// It denies nothing.
    DeniesNothing(InertReason),
    /// It has no LSM hooks, so it does nothing through LSM BPF.
    NoLsmHooks,
}

/// Why a policy denies nothing. Earlier variants are closer to denying.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum InertReason {
    /// `Override` is only on hooks whose return value the kernel ignores.
    VoidHooks,
    /// Each `Override` has no error.
    OverrideToZero,
    /// No action enforces anything.
    NoEnforcingAction,
    /// `policy-mode` is `monitor`.
    MonitorMode,
    /// The agent sets `monitor_only`, because only macros have enforcing actions.
    MonitorOnly,
}

impl fmt::Display for InertReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEnforcingAction => {
                "no selector has an enforcing action; to deny, add {action: Override, argError: \
                 -1} or {action: Sigkill} to matchActions"
            }
            Self::OverrideToZero => {
                "Override has no argError, or 0, so the call passes; write a negative error, for \
                 example argError: -1"
            }
            Self::VoidHooks => {
                "Override is on hooks whose return value the kernel ignores; use a hook that can \
                 deny, or Sigkill"
            }
            Self::MonitorMode => {
                "the option policy-mode is monitor; write enforce, or remove the option"
            }
            Self::MonitorOnly => {
                "only macros have enforcing actions, so the agent sets the mode monitor_only; \
                 write one of them into the selector itself"
            }
        })
    }
}

/// Hooks of Linux 5.7 to 7.2 without a return value (`LSM_HOOK(void, …)` in
/// include/linux/lsm_hook_defs.h).
const VOID_HOOKS: [&str; 59] = [
    "audit_rule_free",
    "bdev_free_security",
    "bpf_map_free",
    "bpf_map_free_security",
    "bpf_prog_free",
    "bpf_prog_free_security",
    "bpf_token_free",
    "bprm_committed_creds",
    "bprm_committing_creds",
    "cred_free",
    "cred_getlsmprop",
    "cred_getsecid",
    "cred_transfer",
    "current_getlsmprop_subj",
    "current_getsecid_subj",
    "d_instantiate",
    "file_free_security",
    "file_release",
    "file_set_fowner",
    "inet_conn_established",
    "inet_csk_clone",
    "inode_free_security",
    "inode_free_security_rcu",
    "inode_getlsmprop",
    "inode_getsecid",
    "inode_invalidate_secctx",
    "inode_post_create_tmpfile",
    "inode_post_remove_acl",
    "inode_post_removexattr",
    "inode_post_set_acl",
    "inode_post_setattr",
    "inode_post_setxattr",
    "ipc_getlsmprop",
    "ipc_getsecid",
    "key_free",
    "key_post_create_or_update",
    "msg_msg_free_security",
    "msg_queue_free_security",
    "path_post_mknod",
    "perf_event_free",
    "release_secctx",
    "req_classify_flow",
    "sb_delete",
    "sb_free_mnt_opts",
    "sb_free_security",
    "secmark_refcount_dec",
    "secmark_refcount_inc",
    "sem_free_security",
    "shm_free_security",
    "sk_clone_security",
    "sk_free_security",
    "sk_getsecid",
    "sock_graft",
    "task_free",
    "task_getlsmprop_obj",
    "task_getsecid_obj",
    "task_to_inode",
    "xfrm_policy_free_security",
    "xfrm_state_free_security",
];

/// What the policy does with that release.
#[must_use]
pub fn effect(spec: &Map<String, Value>, release: Release) -> Effect {
    let hooks = list(spec, LSM_HOOKS);
    if hooks.is_empty() {
        return Effect::NoLsmHooks;
    }
    if release >= V1_4 && mode(spec) == Some("monitor") {
        return Effect::DeniesNothing(InertReason::MonitorMode);
    }
    let macros = macros(spec, release);
    if is_forced_to_monitor(spec, release) && some_hook_denies(hooks, macros) {
        return Effect::DeniesNothing(InertReason::MonitorOnly);
    }
    // `None` means that the hook denies. It is less than each reason, so `min` finds it.
    let closest = hooks.iter().map(|hook| why_inert(hook, macros)).min().flatten();
    closest.map_or(Effect::Denies, Effect::DeniesNothing)
}

/// Whether one of these LSM hooks has an action that denies, if the mode allows it.
pub(super) fn some_hook_denies(hooks: &[Value], macros: Option<&Map<String, Value>>) -> bool {
    hooks.iter().any(|hook| why_inert(hook, macros).is_none())
}

/// Whether the agent sets the mode `monitor_only`, because no selector has an enforcing action of
/// its own.
pub(super) fn is_forced_to_monitor(spec: &Map<String, Value>, release: Release) -> bool {
    let mut hooks = SECTIONS.iter().flat_map(|section| list(spec, section.name));
    release >= V1_7 && !hooks.any(has_own_action)
}

/// The value of the last option `policy-mode`.
pub(super) fn mode(spec: &Map<String, Value>) -> Option<&str> {
    let mut options = list(spec, "options").iter().rev();
    let option = options.find(|option| text(option, "name") == "policy-mode")?;
    Some(text(option, "value"))
}

/// Why a hook denies nothing. `None` if it denies.
fn why_inert(hook: &Value, macros: Option<&Map<String, Value>>) -> Option<InertReason> {
    let is_void = VOID_HOOKS.contains(&text(hook, "hook"));
    let of_action = |action: &Value| match effect_of(action) {
        ActionEffect::Override if is_void => Some(InertReason::VoidHooks),
        ActionEffect::Kill | ActionEffect::Override => None,
        ActionEffect::OverrideToZero => Some(InertReason::OverrideToZero),
        ActionEffect::Nothing => Some(InertReason::NoEnforcingAction),
    };
    let selectors = hook.get("selectors").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    selectors
        .iter()
        .take(MAX_SELECTORS)
        .filter_map(Value::as_object)
        .flat_map(|selector| Merged::of(selector, "", macros).entries("matchActions"))
        .map(of_action)
        .min()
        .unwrap_or(Some(InertReason::NoEnforcingAction))
}

/// Whether a selector itself has an action that the agent counts as enforcing.
fn has_own_action(hook: &Value) -> bool {
    const ENFORCING: [&str; 5] = ["sigkill", "signal", "notifyenforcer", "override", "set"];
    let selectors = hook.get("selectors").and_then(Value::as_array).into_iter().flatten();
    let mut actions =
        selectors.filter_map(Value::as_object).flat_map(|selector| list(selector, "matchActions"));
    actions.any(|action| ENFORCING.contains(&text(action, "action").to_ascii_lowercase().as_str()))
}
