//! Finds out whether LSM BPF can be used, as the release does it: once, with a program and by the
//! kernel's list.
//!
//! In: the release, the kernel and `/sys/kernel/security`. Out: the answer, which is valid until
//! the process ends, and the lines for the log. (detectLSM in pkg/bpf/detect_linux.go of Tetragon.)

use std::fs;
use std::io;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::config::Release;
use crate::enforce::Probe;

const SECURITYFS: &str = "/sys/kernel/security";
const LSM_LIST: &str = "/sys/kernel/security/lsm";

/// The answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Detected {
    /// Whether LSM policies can be loaded.
    pub lsm: bool,
    /// The lines for the log.
    pub log: String,
}

/// Why the list of LSMs cannot be read.
#[derive(Debug)]
enum NoList {
    Mount(io::Error),
    Read(io::Error),
}

/// Asks the kernel. Some releases mount securityfs for that.
pub fn detect(release: Release) -> Detected {
    // Where the kernel refuses an LSM program, nothing else is tried, and the log has no reason.
    let Ok(mut probe) = Probe::load() else {
        return detected(false, None);
    };
    let list =
        if release >= Release::MOUNTS_SECURITYFS { list_of_own_mount() } else { read_list() };
    answer(list, || probe.attach().map_err(|error| format!("{error:#}")))
}

fn read_list() -> Result<String, NoList> {
    fs::read_to_string(LSM_LIST).map_err(NoList::Read)
}

/// Mounts securityfs where the folder is empty, as in a container without a mount there, and
/// unmounts it again.
fn list_of_own_mount() -> Result<String, NoList> {
    if fs::read_dir(SECURITYFS).map_err(NoList::Read)?.next().is_some() {
        return read_list();
    }
    mount("securityfs", SECURITYFS, "securityfs", MountFlags::RDONLY, None)
        .map_err(|error| NoList::Mount(error.into()))?;
    let list = read_list();
    if let Err(error) = unmount(SECURITYFS, UnmountFlags::empty()) {
        println!(
            "level=error msg=\"failed to unmount {SECURITYFS}\" error=\"{}\"",
            reason(&error.into())
        );
    }
    list
}

/// The list decides first. Where it has `bpf`, a program has to be attached too. It is never fired.
fn answer(list: Result<String, NoList>, attach: impl FnOnce() -> Result<(), String>) -> Detected {
    match list {
        Err(NoList::Mount(error)) => detected(
            false,
            Some(("failed to mount securityfs to /sys/kernel/security", reason(&error))),
        ),
        Err(NoList::Read(error)) => {
            let error = format!("open {LSM_LIST}: {}", reason(&error));
            detected(false, Some(("failed to read /sys/kernel/security/lsm", error)))
        }
        Ok(list) if !list.contains("bpf") => detected(false, None),
        Ok(_) => match attach() {
            Ok(()) => detected(true, None),
            Err(error) => detected(false, Some(("failed to attach LSM probe", error))),
        },
    }
}

fn detected(lsm: bool, problem: Option<(&str, String)>) -> Detected {
    let problem = problem
        .map(|(message, error)| format!("level=error msg=\"{message}\" error=\"{error}\"\n"));
    let log = format!(
        "{}level=info msg=\"BPF detected features: lsm: {lsm}\"",
        problem.unwrap_or_default()
    );
    Detected { lsm, log }
}

/// The text of an error as Go's os package has it: in lower case and without the number.
pub fn reason(error: &io::Error) -> String {
    error.to_string().split(" (os error").next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errno(number: i32) -> io::Error {
        io::Error::from_raw_os_error(number)
    }

    #[test]
    fn a_missing_list_is_reported_as_such() {
        let Detected { lsm, log } = answer(Err(NoList::Read(errno(libc::ENOENT))), || Ok(()));
        assert!(!lsm);
        assert!(log.contains("failed to read /sys/kernel/security/lsm"), "{log}");
        assert!(log.contains("no such file or directory"), "{log}");
        assert!(log.ends_with("lsm: false\""), "{log}");
    }

    #[test]
    fn lsm_is_true_only_when_the_list_has_bpf_and_the_probe_attaches() {
        let listed = |list: &str| Ok(list.to_owned());
        assert!(answer(listed("landlock,bpf\n"), || Ok(())).lsm);
        let Detected { lsm, log } = answer(listed("landlock,yama\n"), || Ok(()));
        assert_eq!(
            (lsm, log.as_str()),
            (false, "level=info msg=\"BPF detected features: lsm: false\"")
        );
        let Detected { lsm, log } = answer(listed("landlock,bpf\n"), || Err("refused".to_owned()));
        assert!(
            !lsm && log.contains("failed to attach LSM probe") && log.contains("refused"),
            "{log}"
        );
    }

    #[test]
    fn an_agent_that_may_not_mount_logs_the_reason_and_finds_no_lsm() {
        let Detected { lsm, log } = answer(Err(NoList::Mount(errno(libc::EPERM))), || Ok(()));
        assert!(
            !lsm && log.contains("failed to mount securityfs")
                && log.contains("operation not permitted"),
            "{log}"
        );
    }
}
