//! The child's side of the hook trial: asks the kernel about each hook, one after the other.
//!
//! In: the kernel. Out: a [`Line`] for each hook as soon as it is answered, and one at the end.

use std::fs;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::btf;
use crate::sys::{self, Answer};

/// Where the kernel offers its BTF.
const BTF: &str = "/sys/kernel/btf/vmlinux";

/// The most memory that the child may map: four times what it takes, nearly all of which is the file of BTF.
const MEMORY: u64 = 64 << 20;

/// How often an answer is asked for again that is not about the hook.
const RETRIES: u32 = 2;

/// Before that, time for the kernel to give back what closed programs took: it does so after an RCU grace period, and
/// before Linux 5.11 it counts that memory against RLIMIT_MEMLOCK.
const PAUSE: Duration = Duration::from_millis(100);

/// What the child says.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Line {
    /// The kernel has answered for this hook.
    Hook {
        /// Its name, without the `bpf_lsm_` in front.
        name: String,
        /// To a program.
        plain: Answer,
        /// To a sleepable one; tried where it takes a program at all.
        sleepable: Option<Answer>,
    },
    /// The trial cannot go on, and why.
    Stopped(String),
    /// Every hook was tried.
    Finished,
}

/// Tries every hook.
pub fn run(say: &mut dyn FnMut(&Line)) {
    // Both only spare others: where they are refused, the trial is as good.
    sys::be_nice();
    sys::limit_memory(MEMORY);
    let end = match hooks() {
        Ok(hooks) => hooks.into_iter().try_for_each(|(name, id)| {
            say(&attempt(name, id)?);
            Ok(())
        }),
        Err(error) => Err(error),
    };
    say(&end.map_or_else(Line::Stopped, |()| Line::Finished));
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

/// Asks about one hook.
fn attempt(name: String, id: u32) -> Result<Line, String> {
    let plain = ask(&name, id, false)?;
    let sleepable = if plain == Answer(0) { Some(ask(&name, id, true)?) } else { None };
    Ok(Line::Hook { name, plain, sleepable })
}

/// The kernel's answer about the hook. One that is not about the hook is asked for again, after a pause.
fn ask(name: &str, id: u32, sleepable: bool) -> Result<Answer, String> {
    let mut answer = sys::load_lsm_program(id, sleepable);
    for _ in 0..RETRIES {
        if is_about_the_hook(answer) {
            break;
        }
        thread::sleep(PAUSE);
        answer = sys::load_lsm_program(id, sleepable);
    }
    if is_about_the_hook(answer) {
        return Ok(answer);
    }
    Err(format!(
        "BPF_PROG_LOAD for {name} was refused with {}, which says nothing about the hook",
        answer.describe()
    ))
}

/// The kernel took the program, or gave an errno with which the verifier refuses one for where it wants to go:
/// everything else is about this process or the machine (EPERM, ENOMEM, EAGAIN, EMFILE, ENOSYS, …).
fn is_about_the_hook(answer: Answer) -> bool {
    /// The kernel's internal "not supported", which bpf(2) lets out.
    const ENOTSUPP: i32 = 524;
    matches!(answer.0, 0 | libc::EINVAL | libc::EACCES | libc::ENOENT | libc::EOPNOTSUPP | ENOTSUPP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortage_and_refusal_of_everything_are_not_about_a_hook() {
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
        for errno in [0, libc::EINVAL, libc::EACCES, 524] {
            assert!(is_about_the_hook(Answer(errno)), "{errno}");
        }
    }
}
