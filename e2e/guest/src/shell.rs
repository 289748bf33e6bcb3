//! Running programs, as a shell does it.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How often a condition is checked.
const PERIOD: Duration = Duration::from_millis(100);

/// A command from its words.
pub fn command(words: &[&str]) -> Command {
    let (program, arguments) = words.split_first().unwrap_or((&"true", &[]));
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// The exit code as a shell gives it: 128 and the number of the signal where a signal ended the
/// program.
pub fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// Runs a program to its end and returns its exit code.
pub fn run(command: &mut Command) -> io::Result<u8> {
    command.status().map(code)
}

/// Runs a program that has to succeed; its output goes where ours goes.
pub fn must(command: &mut Command) -> io::Result<()> {
    match run(command)? {
        0 => Ok(()),
        code => Err(io::Error::other(format!("{command:?} failed with exit code {code}"))),
    }
}

/// Whether a program succeeds. Its output is dropped.
pub fn succeeds(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Waits until a condition holds, and says whether it did before the deadline.
pub fn until(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(PERIOD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_gives_the_code_that_a_shell_gives() {
        assert_eq!(run(&mut command(&["sh", "-c", "exit 3"])).unwrap(), 3);
        assert_eq!(run(&mut command(&["sh", "-c", "kill -9 $$"])).unwrap(), 137);
    }

    #[test]
    fn a_condition_that_never_holds_ends_at_the_deadline() {
        assert!(!until(Duration::ZERO, || false));
        assert!(until(Duration::ZERO, || true));
    }
}
