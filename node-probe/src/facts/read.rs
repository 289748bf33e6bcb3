//! Reads the texts from this machine. The thin edge of `facts`: no decisions here.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use lsm_ready_crds::names::SECURITYFS_PATH;
use lsm_ready_crds::node::Kernel;

use super::{Raw, Text, Unread};
use crate::sys;

/// No text that is read here is longer; what is, is cut.
const LONGEST: u64 = 1 << 20;

/// Reads everything.
#[must_use]
pub fn raw() -> Raw {
    let (release, machine) = sys::uname();
    Raw {
        kernel: Kernel { release, machine },
        boot_id: text("/proc/sys/kernel/random/boot_id"),
        cmdline: text("/proc/cmdline"),
        lsm_ids: sys::lsm_list_modules(),
        lsm_file: text("/sys/kernel/security/lsm"),
        securityfs: entries(SECURITYFS_PATH),
        lockdown: text("/sys/kernel/security/lockdown"),
        mountinfo: text("/proc/self/mountinfo"),
        status: text("/proc/self/status"),
        limits: text("/proc/self/limits"),
        user_namespace: link("/proc/self/ns/user"),
        os_release: text("/etc/os-release").or_else(|_| text("/usr/lib/os-release")),
        btf: size("/sys/kernel/btf/vmlinux"),
    }
}

fn unread(path: &str, error: &io::Error) -> Unread {
    let missing = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    Unread { missing, message: format!("{path}: {text}") }
}

fn text(path: &str) -> Text {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(LONGEST).read_to_end(&mut bytes))
        .map(|_| String::from_utf8_lossy(&bytes).into_owned())
        .map_err(|error| unread(path, &error))
}

fn entries(path: &str) -> Text {
    let names = |directory: fs::ReadDir| {
        directory
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()
            .map(|names| names.join("\n"))
    };
    fs::read_dir(path).and_then(names).map_err(|error| unread(path, &error))
}

fn link(path: &str) -> Text {
    fs::read_link(path).map(|target| target.to_string_lossy().into_owned()).map_err(|error| unread(path, &error))
}

fn size(path: &str) -> Text {
    // Opened, and not only looked at, so that a file that may not be read is told from one that may.
    fs::File::open(Path::new(path))
        .and_then(|file| file.metadata())
        .map(|metadata| metadata.len().to_string())
        .map_err(|error| unread(path, &error))
}
