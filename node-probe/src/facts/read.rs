//! Reads the texts from this machine. It decides nothing.

use std::fs;
use std::io::{self, ErrorKind, Read};

use lsm_ready_crds::names::SECURITYFS_PATH;

use super::kernel_config::{gunzip, relevant};
use super::{BtfNames, ConfigText, Raw, Schema, Text, Unread};
use crate::{btf, sys};

/// Longer texts are cut.
const MAX_LEN: u64 = 1 << 20;

/// Reads all texts.
pub fn raw() -> Raw {
    let kernel = sys::kernel();
    let kernel_config = kernel_config(&kernel.release);
    Raw {
        schema: Schema,
        kernel,
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
        btf: btf_names("/sys/kernel/btf/vmlinux"),
        kernel_config,
        unprivileged_bpf: text("/proc/sys/kernel/unprivileged_bpf_disabled"),
        sys_vendor: text("/sys/class/dmi/id/sys_vendor"),
        secure_boot: text(
            "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
        ),
        container: text("/run/systemd/container"),
    }
}

fn unread(path: &str, error: &io::Error) -> Unread {
    let missing = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    Unread { missing, message: format!("{path}: {text}") }
}

fn bytes(path: &str) -> Result<Vec<u8>, Unread> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(MAX_LEN).read_to_end(&mut bytes))
        .map(|_| bytes)
        .map_err(|error| unread(path, &error))
}

fn text(path: &str) -> Text {
    bytes(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
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
    fs::read_link(path)
        .map(|target| target.to_string_lossy().into_owned())
        .map_err(|error| unread(path, &error))
}

fn btf_names(path: &str) -> Result<BtfNames, Unread> {
    fs::File::open(path).and_then(btf::count_names).map_err(|error| unread(path, &error))
}

/// The kernel's configuration from the first file that exists. In a container only the first can
/// exist.
fn kernel_config(release: &str) -> Result<ConfigText, Unread> {
    let running = "/proc/config.gz";
    let packed =
        bytes(running).and_then(|packed| gunzip(&packed).map_err(|error| unread(running, &error)));
    let found = |path: &str, text: &str| ConfigText { path: path.to_owned(), text: relevant(text) };
    let mut missing = match packed {
        Ok(text) => return Ok(found(running, &text)),
        Err(unread) => unread,
    };
    for path in [format!("/boot/config-{release}"), format!("/lib/modules/{release}/config")] {
        match text(&path) {
            Ok(text) => return Ok(found(&path, &text)),
            Err(unread) => {
                missing.missing &= unread.missing;
                missing.message = format!("{}; {}", missing.message, unread.message);
            }
        }
    }
    Err(missing)
}
