//! Finds out whether LSM BPF can be used, as the release does it: by the kernel's list, once.
//!
//! In: the release and `/sys/kernel/security`. Out: the answer, which holds for as long as the process lives, and the
//! lines that the log gets. (detectLSM in pkg/bpf/detect_linux.go of Tetragon.)

use std::fs;
use std::io;

use rustix::mount::{MountFlags, mount};

use crate::config::Release;

const SECURITYFS: &str = "/sys/kernel/security";
const LSM_LIST: &str = "/sys/kernel/security/lsm";

/// What was found out.
#[derive(Debug, PartialEq, Eq)]
pub struct Detected {
    /// Whether LSM policies can be loaded.
    pub lsm: bool,
    /// What the log says about it.
    pub log: String,
}

/// Asks the kernel, which may take mounting its security file system.
pub fn detect(release: Release) -> Detected {
    let mounted = if release >= Release::MOUNTS_SECURITYFS { mount_if_empty() } else { Ok(()) };
    answer(mounted, fs::read_to_string(LSM_LIST))
}

/// An empty folder is what a container has there that was given nothing.
fn mount_if_empty() -> io::Result<()> {
    if fs::read_dir(SECURITYFS)?.next().is_some() {
        return Ok(());
    }
    Ok(mount("securityfs", SECURITYFS, "securityfs", MountFlags::RDONLY, None)?)
}

fn answer(mounted: io::Result<()>, list: io::Result<String>) -> Detected {
    let log = match (mounted, list) {
        (Err(error), _) => {
            format!("level=error msg=\"failed to mount securityfs to {SECURITYFS}\" error=\"{}\"", reason(&error))
        }
        (Ok(()), Err(error)) => {
            let reason = reason(&error);
            format!("level=warning msg=\"failed to read {LSM_LIST}\" error=\"open {LSM_LIST}: {reason}\"")
        }
        (Ok(()), Ok(list)) => {
            let (lsm, list) = (list.contains("bpf"), list.trim());
            return Detected { lsm, log: format!("level=info msg=\"BPF: detected features: lsm: {lsm}\" lsms={list}") };
        }
    };
    Detected { lsm: false, log: format!("{log}\nlevel=info msg=\"BPF: detected features: lsm: false\"") }
}

/// Go's os package words its errors in lower case and without the number.
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
        let Detected { lsm, log } = answer(Ok(()), Err(errno(libc::ENOENT)));
        assert!(!lsm);
        assert!(log.contains("failed to read /sys/kernel/security/lsm"), "{log}");
        assert!(log.contains("no such file or directory"), "{log}");
        assert!(log.ends_with("lsm: false\""), "{log}");
    }

    #[test]
    fn the_list_decides() {
        assert!(answer(Ok(()), Ok("landlock,bpf\n".to_owned())).lsm);
        let Detected { lsm, log } = answer(Ok(()), Ok("landlock,yama\n".to_owned()));
        assert!(!lsm && log.ends_with("lsm: false\" lsms=landlock,yama"), "{log}");
    }

    #[test]
    fn who_may_not_mount_says_so_and_uses_nothing() {
        let Detected { lsm, log } = answer(Err(errno(libc::EPERM)), Ok("landlock,bpf\n".to_owned()));
        assert!(!lsm && log.contains("failed to mount securityfs") && log.contains("operation not permitted"), "{log}");
    }
}
