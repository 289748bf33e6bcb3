//! Whether a policy that loads denies anything.
//!
//! A call is denied by `Override` with an error, or its process is killed, if the policy is in the mode `enforce`. From
//! v1.7 on the agent puts a policy into the mode `monitor_only` that has no enforcing action of its own; those of macros
//! do not count for that (`hasEnforcementActions` in policyhandler_linux.go).

use std::fmt;

use serde_json::{Map, Value};

use crate::tracing_policy::release::Release::{self, V1_4, V1_7};
use crate::tracing_policy::rules::{
    Enforces, MOST_SELECTORS, Merged, SECTIONS, enforces, list, macros, text,
};

/// What a policy does once it is loaded.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Effect {
    /// It can deny something.
    Denies,
    /// It denies nothing.
    DeniesNothing(InertReason),
    /// It has no LSM hooks, and so does nothing through LSM BPF.
    NoLsmHooks,
}

/// Why a policy denies nothing.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum InertReason {
    /// The only enforcing actions are `Override` on hooks whose value the kernel ignores.
    VoidHooks,
    /// The only enforcing actions are `Override` without an error.
    OverrideToZero,
    /// No action is an enforcing one.
    NoEnforcingAction,
    /// `policy-mode` is `monitor`.
    MonitorMode,
    /// The agent forces `monitor_only`, since only macros have enforcing actions.
    MonitorOnly,
}

impl fmt::Display for InertReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEnforcingAction => {
                "no selector has an enforcing action; to deny, add {action: Override, argError: -1} or {action: Sigkill} \
                 to matchActions"
            }
            Self::OverrideToZero => {
                "Override has no argError, or 0, which lets the call pass; write a negative error, for example argError: -1"
            }
            Self::VoidHooks => {
                "Override is on hooks whose return value the kernel ignores; use a hook that can deny, or Sigkill"
            }
            Self::MonitorMode => "the option policy-mode is monitor; write enforce, or remove the option",
            Self::MonitorOnly => {
                "the enforcing actions are in macros alone, so the agent sets the mode monitor_only; write one of them \
                 into the selector itself"
            }
        })
    }
}

/// Hooks of Linux 5.7 to 7.2 that return nothing (`LSM_HOOK(void, …)` in include/linux/lsm_hook_defs.h).
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
    let hooks = list(spec, "lsmhooks");
    if hooks.is_empty() {
        return Effect::NoLsmHooks;
    }
    if release >= V1_4 && mode(spec) == Some("monitor") {
        return Effect::DeniesNothing(InertReason::MonitorMode);
    }
    let macros = macros(spec, release);
    if is_forced_to_monitor(spec, release) && acts(hooks, macros) {
        return Effect::DeniesNothing(InertReason::MonitorOnly);
    }
    // `None` stands for nothing that is missing, and is the least.
    let missing = hooks.iter().map(|hook| strongest(hook, macros)).min().flatten();
    missing.map_or(Effect::Denies, Effect::DeniesNothing)
}

/// Whether some of these LSM hooks has an action that denies, if the mode lets it.
pub(super) fn acts(hooks: &[Value], macros: Option<&Map<String, Value>>) -> bool {
    hooks.iter().any(|hook| strongest(hook, macros).is_none())
}

/// Whether the agent sets the mode `monitor_only`: no selector of any hook has an enforcing action of its own.
pub(super) fn is_forced_to_monitor(spec: &Map<String, Value>, release: Release) -> bool {
    let mut hooks = SECTIONS.iter().flat_map(|(section, _)| list(spec, section));
    release >= V1_7 && !hooks.any(has_own_action)
}

/// The value of the last option `policy-mode`.
pub(super) fn mode(spec: &Map<String, Value>) -> Option<&str> {
    let options = list(spec, "options").iter().rev();
    options
        .filter(|option| text(option, "name") == "policy-mode")
        .map(|option| text(option, "value"))
        .next()
}

/// What keeps a hook from denying, and nothing where it denies. The least is nearest to denying.
fn strongest(hook: &Value, macros: Option<&Map<String, Value>>) -> Option<InertReason> {
    let is_void = VOID_HOOKS.contains(&text(hook, "hook"));
    let judge = |enforces| match enforces {
        Enforces::Override if is_void => Some(InertReason::VoidHooks),
        Enforces::Kill | Enforces::Override => None,
        Enforces::OverrideToZero => Some(InertReason::OverrideToZero),
        Enforces::Nothing => Some(InertReason::NoEnforcingAction),
    };
    let selectors = hook.get("selectors").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let actions = selectors.iter().take(MOST_SELECTORS).filter_map(Value::as_object);
    let actions =
        actions.flat_map(|selector| Merged::of(selector, "", macros, None).get("matchActions").1);
    let all: Vec<Option<InertReason>> = actions.map(|action| judge(enforces(action))).collect();
    if all.contains(&None) && !all.is_empty() {
        return None;
    }
    let of = |wanted| all.contains(&Some(wanted)).then_some(wanted);
    of(InertReason::VoidHooks)
        .or_else(|| of(InertReason::OverrideToZero))
        .or(Some(InertReason::NoEnforcingAction))
}

/// Whether a selector itself has an action that the agent counts as enforcing.
fn has_own_action(hook: &Value) -> bool {
    let selectors = hook.get("selectors").and_then(Value::as_array).into_iter().flatten();
    let actions =
        selectors.filter_map(Value::as_object).flat_map(|selector| list(selector, "matchActions"));
    actions.into_iter().any(|action| {
        ["sigkill", "signal", "notifyenforcer", "override", "set"]
            .contains(&text(action, "action").to_ascii_lowercase().as_str())
    })
}
