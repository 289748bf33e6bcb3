//! The child's side of the hook trial: asks the kernel about each hook, one after the other.
//!
//! In: the kernel. Out: a [`Line`] for each hook as soon as the kernel has answered, and one line
//! at the end.

use std::fs;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::btf;
use crate::sys::{self, Answer, ENOTSUPP};

/// The kernel's BTF.
const BTF: &str = "/sys/kernel/btf/vmlinux";

/// The most memory that the child may map, four times what it needs. It needs nearly all of that
/// for the BTF file.
const MAX_MEMORY: u64 = 64 << 20;

/// How many times a load is retried whose answer is not about the hook.
const RETRIES: u32 = 2;

/// The pause before a retry. The kernel frees the memory of closed programs after an RCU grace
/// period, and before Linux 5.11 that memory counts against RLIMIT_MEMLOCK until then.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// What the child reports.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Line {
    /// The kernel's answers about this hook.
    Hook {
        /// The hook's name, without the prefix `bpf_lsm_`.
        name: String,
        /// The answer to a program.
        plain: Answer,
        /// The answer to a sleepable program. Tried only if the hook accepts a program at all.
        sleepable: Option<Answer>,
    },
    /// The trial stopped early, for this cause.
    Stopped(String),
    /// Every hook was tried.
    Finished,
}

/// Tries every hook.
pub fn run(report: &mut dyn FnMut(&Line)) {
    // Both protect other processes. If the kernel refuses them, the trial is as good.
    sys::be_nice();
    sys::limit_memory(MAX_MEMORY);
    let tried = try_all(report);
    report(&tried.map_or_else(Line::Stopped, |()| Line::Finished));
}

fn try_all(report: &mut dyn FnMut(&Line)) -> Result<(), String> {
    for (name, id) in hooks()? {
        report(&try_hook(name, id)?);
    }
    Ok(())
}

fn hooks() -> Result<Vec<(String, u32)>, String> {
    let bytes = fs::read(BTF).map_err(|error| format!("{BTF}: {error}"))?;
    let hooks = btf::hooks(&bytes).map_err(|error| format!("{BTF}: {error}"))?;
    if hooks.is_empty() {
        return Err(format!(
            "{BTF} has no function bpf_lsm_…: the kernel was built without CONFIG_BPF_LSM"
        ));
    }
    Ok(hooks.into_iter().collect())
}

fn try_hook(name: String, id: u32) -> Result<Line, String> {
    let plain = load(&name, id, false)?;
    let sleepable = if plain == Answer(0) { Some(load(&name, id, true)?) } else { None };
    Ok(Line::Hook { name, plain, sleepable })
}

/// The kernel's answer about the hook. An answer that is not about the hook is retried after a
/// pause.
fn load(name: &str, id: u32, sleepable: bool) -> Result<Answer, String> {
    let mut answer = sys::load_lsm_program(id, sleepable);
    for _ in 0..RETRIES {
        if is_about_the_hook(answer) {
            break;
        }
        thread::sleep(RETRY_AFTER);
        answer = sys::load_lsm_program(id, sleepable);
    }
    if is_about_the_hook(answer) {
        return Ok(answer);
    }
    Err(format!(
        "BPF_PROG_LOAD for hook {name} was refused with {}, an error that is not about the hook",
        answer.describe()
    ))
}

/// Whether the kernel accepted the program, or refused it with an errno of the verifier for a hook.
/// Every other errno is about this process or the machine (EPERM, ENOMEM, EAGAIN, EMFILE, ENOSYS,
/// …).
fn is_about_the_hook(answer: Answer) -> bool {
    matches!(answer.0, 0 | libc::EINVAL | libc::EACCES | libc::ENOENT | libc::EOPNOTSUPP | ENOTSUPP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errnos_about_the_process_or_the_machine_are_not_about_a_hook() {
        for errno in [
            libc::EPERM,
            libc::ENOMEM,
            libc::EAGAIN,
            libc::EINTR,
            libc::EMFILE,
            libc::ENOSYS,
            libc::E2BIG,
        ] {
            assert!(!is_about_the_hook(Answer(errno)), "{errno}");
        }
        for errno in [0, libc::EINVAL, libc::EACCES, ENOTSUPP] {
            assert!(is_about_the_hook(Answer(errno)), "{errno}");
        }
    }
}
