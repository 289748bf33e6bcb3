//! Why a kernel accepts no program on a required hook, with a suggestion for a mistyped name.
//!
//! In: a hook profile and a hook's name. Out: nothing where the kernel accepts a program there,
//! otherwise a [`Refusal`]. The verdict and `node-probe check` both use it, so they print the same
//! text.

use std::fmt;

use crate::profile::LsmHookProfileSpec;
use crate::reason::Reason;
use crate::text::nearest;

/// Prefixes that people write before a hook's name: those of kernel functions and of libbpf
/// sections.
const PREFIXES: [&str; 4] = ["bpf_lsm_", "security_", "lsm/", "lsm.s/"];

/// Why a required hook cannot be used on a kernel. The text is made by `Display`, because the
/// search for a similar name compares with every hook of the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// `HookNotInKernel`, `HookNotAttachable` or `HookNotSleepable`.
    pub reason: Reason,
    hook: &'a str,
    profile: &'a LsmHookProfileSpec,
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hook = self.hook;
        match self.reason {
            Reason::HookNotSleepable => {
                write!(f, "{hook} accepts programs, but no sleepable ones")
            }
            Reason::HookNotAttachable => {
                write!(f, "{hook} exists in this kernel but accepts no program")
            }
            _ => f.write_str(&not_in_kernel(self.profile, hook)),
        }
    }
}

/// Why the kernel accepts no (sleepable) program on the hook. `None` where it accepts one.
#[must_use]
pub fn refusal<'a>(
    profile: &'a LsmHookProfileSpec,
    hook: &'a str,
    sleepable: bool,
) -> Option<Refusal<'a>> {
    let usable = if sleepable { &profile.sleepable_hooks } else { &profile.hooks };
    if usable.contains(hook) {
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

fn not_in_kernel(profile: &LsmHookProfileSpec, hook: &str) -> String {
    let bare = PREFIXES.iter().find_map(|prefix| hook.strip_prefix(prefix)).unwrap_or(hook);
    let known = || profile.hooks.iter().chain(&profile.refused_hooks).map(String::as_str);
    if bare != hook && known().any(|name| name == bare) {
        return format!("{hook} is not the name of a hook: write {bare}, without the prefix");
    }
    match nearest(bare, known()).as_slice() {
        [] => format!("{hook} is not a hook of this kernel, and no hook has a similar name"),
        names => {
            format!("{hook} is not a hook of this kernel; did you mean {}?", names.join(" or "))
        }
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
    fn each_unusable_hook_has_a_reason_and_a_hint() {
        use Reason::{HookNotAttachable, HookNotInKernel, HookNotSleepable};
        let cases = [
            ("file_open", false, None),
            ("file_open", true, None),
            ("task_alloc", false, None),
            ("task_alloc", true, Some((HookNotSleepable, "no sleepable ones"))),
            ("getprocattr", false, Some((HookNotAttachable, "accepts no program"))),
            ("getprocattr", true, Some((HookNotAttachable, "accepts no program"))),
            ("file_opn", false, Some((HookNotInKernel, "did you mean file_open?"))),
            ("file_opn", true, Some((HookNotInKernel, "did you mean file_open?"))),
            ("bprm_check", false, Some((HookNotInKernel, "did you mean bprm_check_security?"))),
            ("bpf_lsm_file_open", false, Some((HookNotInKernel, "write file_open, without"))),
            ("lsm.s/file_open", true, Some((HookNotInKernel, "write file_open, without"))),
            ("security_getprocattr", false, Some((HookNotInKernel, "write getprocattr, without"))),
            ("bpf_lsm_file_opne", false, Some((HookNotInKernel, "did you mean file_open?"))),
            ("file_oock", false, Some((HookNotInKernel, "did you mean file_lock or file_open?"))),
            ("quite_another", false, Some((HookNotInKernel, "no hook has a similar name"))),
            ("", false, Some((HookNotInKernel, "no hook has a similar name"))),
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
        /// A hook is usable exactly where the profile lists it, and no text makes the function
        /// panic.
        #[test]
        fn exactly_the_hooks_of_the_profile_are_usable(hook in "(bpf_lsm_)?(file_open|task_alloc|getprocattr|\\PC{0,12})", sleepable: bool) {
            let profile = profile();
            let usable = if sleepable { &profile.sleepable_hooks } else { &profile.hooks };
            prop_assert_eq!(refusal(&profile, &hook, sleepable).is_none(), usable.contains(&hook));
        }
    }
}
