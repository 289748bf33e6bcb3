//! What a hook profile says to the wish for a hook, in words that help somebody who mistyped its name.
//!
//! In: a profile and a hook's name. Out: nothing where the kernel takes a program there, else a [`Refusal`]. The verdict
//! and `node-probe check` say the same because both ask here.

use std::fmt;

use crate::profile::LsmHookProfileSpec;
use crate::reason::Reason;
use crate::text::nearest;

/// What people write in front of a hook's name: the kernel's functions, and the section names of libbpf.
const PREFIXES: [&str; 4] = ["bpf_lsm_", "security_", "lsm/", "lsm.s/"];

/// Why a required hook does not do. The sentence is made when it is shown: to look for a name like a misspelt one takes
/// a comparison with each of the kernel's.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// `HookNotInKernel`, `HookNotAttachable` or `HookNotSleepable`.
    pub reason: Reason,
    /// The hook as it was asked for.
    hook: &'a str,
    profile: &'a LsmHookProfileSpec,
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hook = self.hook;
        match self.reason {
            Reason::HookNotSleepable => {
                write!(f, "{hook} takes no sleepable program, though it takes others")
            }
            Reason::HookNotAttachable => {
                write!(f, "{hook} is a hook of this kernel on which it takes no program")
            }
            _ => f.write_str(&unheard_of(self.profile, hook)),
        }
    }
}

/// Why this kernel takes no (sleepable) program on that hook; `None` where it does.
#[must_use]
pub fn refusal<'a>(
    profile: &'a LsmHookProfileSpec,
    hook: &'a str,
    sleepable: bool,
) -> Option<Refusal<'a>> {
    let takes = if sleepable { &profile.sleepable_hooks } else { &profile.hooks };
    if takes.contains(hook) {
        return None;
    }
    let reason = if profile.hooks.contains(hook) {
        Reason::HookNotSleepable
    } else if profile.refused_hooks.contains(hook) {
        Reason::HookNotAttachable
    } else {
        Reason::HookNotInKernel
    };
    Some(Refusal { reason, hook, profile })
}

/// The sentence about a name that is no hook of this kernel.
fn unheard_of(profile: &LsmHookProfileSpec, hook: &str) -> String {
    let bare = PREFIXES.iter().find_map(|prefix| hook.strip_prefix(prefix)).unwrap_or(hook);
    let known = || profile.hooks.iter().chain(&profile.refused_hooks).map(String::as_str);
    if bare != hook && known().any(|name| name == bare) {
        return format!("{hook} is no hook's name: write {bare}, without what stands in front");
    }
    match nearest(bare, known()).as_slice() {
        [] => format!("{hook} is no hook of this kernel, and none has a name like it"),
        names => format!("{hook} is no hook of this kernel; did you mean {}?", names.join(" or ")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn profile() -> LsmHookProfileSpec {
        let set = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        LsmHookProfileSpec {
            kernel: "6.12 x86_64".into(),
            hooks: set(&["file_open", "file_lock", "task_alloc", "bprm_check_security"]),
            sleepable_hooks: set(&["file_open", "bprm_check_security"]),
            refused_hooks: set(&["getprocattr"]),
        }
    }

    #[test]
    fn table() {
        use Reason::{HookNotAttachable, HookNotInKernel, HookNotSleepable};
        let cases = [
            ("file_open", false, None),
            ("file_open", true, None),
            ("task_alloc", false, None),
            ("task_alloc", true, Some((HookNotSleepable, "no sleepable program"))),
            ("getprocattr", false, Some((HookNotAttachable, "takes no program"))),
            ("getprocattr", true, Some((HookNotAttachable, "takes no program"))),
            ("file_opn", false, Some((HookNotInKernel, "did you mean file_open?"))),
            ("file_opn", true, Some((HookNotInKernel, "did you mean file_open?"))),
            ("bprm_check", false, Some((HookNotInKernel, "did you mean bprm_check_security?"))),
            ("bpf_lsm_file_open", false, Some((HookNotInKernel, "write file_open, without"))),
            ("lsm.s/file_open", true, Some((HookNotInKernel, "write file_open, without"))),
            ("security_getprocattr", false, Some((HookNotInKernel, "write getprocattr, without"))),
            ("bpf_lsm_file_opne", false, Some((HookNotInKernel, "did you mean file_open?"))),
            ("file_oock", false, Some((HookNotInKernel, "did you mean file_lock or file_open?"))),
            ("quite_another", false, Some((HookNotInKernel, "none has a name like it"))),
            ("", false, Some((HookNotInKernel, "none has a name like it"))),
        ];
        let profile = profile();
        for (hook, sleepable, expected) in cases {
            let found = refusal(&profile, hook, sleepable);
            let reason = found.as_ref().map(|refusal| refusal.reason);
            assert_eq!(reason, expected.map(|(reason, _)| reason), "{hook} {sleepable}");
            let said = found.map(|refusal| refusal.to_string()).unwrap_or_default();
            assert!(
                said.contains(expected.map_or("", |(_, said)| said)),
                "{hook} {sleepable}: {said}"
            );
        }
    }

    proptest! {
        /// Taken exactly where the profile says so, and no text makes it panic.
        #[test]
        fn only_what_the_profile_names_is_taken(hook in "(bpf_lsm_)?(file_open|task_alloc|getprocattr|\\PC{0,12})", sleepable: bool) {
            let profile = profile();
            let takes = if sleepable { &profile.sleepable_hooks } else { &profile.hooks };
            prop_assert_eq!(refusal(&profile, &hook, sleepable).is_none(), takes.contains(&hook));
        }
    }
}
