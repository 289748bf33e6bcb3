//! A stand-in for Tetragon's agent, where its image cannot be pulled: it finds out whether LSM BPF can be used in the
//! way release 1.3 does, once, and then only waits for its end.
//!
//! In: `/sys/kernel/security/lsm`. Out: a log with `lsm: true` or `lsm: false` and the reason. As with Tetragon
//! (pkg/bpf/detect_linux.go of v1.3.0), the answer is kept for as long as the process lives, so a mount that comes
//! later helps only after a restart.

use std::fs;
use std::io;
use std::process::ExitCode;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

const LSM_LIST: &str = "/sys/kernel/security/lsm";

fn main() -> ExitCode {
    // First of all, as the first process of a container ignores a signal that it does not handle.
    let mut signals = match Signals::new([SIGINT, SIGTERM]) {
        Ok(signals) => signals,
        Err(error) => {
            println!("level=error msg=\"could not listen for signals: {error}\"");
            return ExitCode::FAILURE;
        }
    };
    println!("{}", report(&fs::read_to_string(LSM_LIST)));
    signals.forever().next();
    ExitCode::SUCCESS
}

/// The log lines for what reading the list gave.
fn report(list: &io::Result<String>) -> String {
    match list {
        Err(error) => {
            // Go's os package words its errors in lower case and without the number.
            let reason = error.to_string().split(" (os error").next().unwrap_or_default().to_lowercase();
            format!(
                "level=warning msg=\"failed to read {LSM_LIST}\" error=\"open {LSM_LIST}: {reason}\"\n\
                 level=info msg=\"BPF: detected features: lsm: false\""
            )
        }
        Ok(list) => {
            let lsm = list.contains("bpf");
            format!("level=info msg=\"BPF: detected features: lsm: {lsm}\" lsms={}", list.trim())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_list_is_reported_as_such() {
        let lines = report(&Err(io::Error::from_raw_os_error(2)));
        assert!(lines.contains("failed to read /sys/kernel/security/lsm"), "{lines}");
        assert!(lines.contains("no such file or directory"), "{lines}");
        assert!(lines.ends_with("lsm: false\""), "{lines}");
    }

    #[test]
    fn the_list_decides() {
        assert!(report(&Ok("landlock,bpf\n".to_owned())).contains("lsm: true"));
        assert!(report(&Ok("landlock,yama\n".to_owned())).contains("lsm: false"));
    }
}
