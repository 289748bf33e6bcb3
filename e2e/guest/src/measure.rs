//! Measures one boot from several places: `guest measure PLACE…`.
//!
//! In: places, which are what a process can see and may do. Out: for each place an object with what
//! node-probe says there, what the truth program finds there, and what the text-based ways would
//! say there.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use e2e_guest::Place;
use serde::Serialize;
use serde_json::Value;

use crate::shell::{self, command};

const JIT: &str = "/proc/sys/net/core/bpf_jit_enable";
/// Whether BTF is there and the kernel was built with BPF LSM.
const CONFIG: &str =
    r#"[ -e /sys/kernel/btf/vmlinux ] && grep -q ^CONFIG_BPF_LSM=y "/boot/config-$(uname -r)""#;
/// The deadline is long, because the processor may be emulated on a busy machine.
const CHECK: [&str; 6] = ["node-probe", "check", "--deadline", "4m", "--output", "json"];
/// The user and group `nobody` of the ramdisk's /etc/passwd.
const NOBODY: u32 = 65534;

#[derive(Serialize)]
struct Measured {
    place: Place,
    exit: u8,
    exit_attached: Option<u8>,
    report: Value,
    truth: Value,
    lsm_list: bool,
    btf_and_config: bool,
}

/// Measures in every place and prints an object for each.
pub fn run(places: &[&str]) -> io::Result<u8> {
    for name in places {
        println!("{}", serde_json::to_string(&measure(place(name)?)?)?);
    }
    Ok(0)
}

fn place(name: &str) -> io::Result<Place> {
    let found = Place::ALL.into_iter().find(|place| place.name() == name);
    found.ok_or_else(|| io::Error::other(format!("there is no place {name:?}")))
}

fn measure(place: Place) -> io::Result<Measured> {
    if place == Place::JitOff {
        fs::write(JIT, "0")?;
    }
    let check = in_place(place, &CHECK).stderr(Stdio::inherit()).output()?;
    let attached = (place == Place::Host).then(|| {
        let check = [&CHECK[..], &["--require", "attached"]].concat();
        shell::run(in_place(place, &check).stdout(Stdio::null()))
    });
    let truth = in_place(place, &["truth"]).stderr(Stdio::inherit()).output()?;
    let list = ["grep", "-q", "bpf", "/sys/kernel/security/lsm"];
    let measured = Measured {
        place,
        exit: shell::code(check.status),
        exit_attached: attached.transpose()?,
        report: json_or_null(&check.stdout)?,
        truth: json_or_null(&truth.stdout)?,
        lsm_list: shell::succeeds(&mut in_place(place, &list)),
        btf_and_config: shell::succeeds(&mut in_place(place, &["sh", "-c", CONFIG])),
    };
    if place == Place::JitOff {
        fs::write(JIT, "1")?;
    }
    Ok(measured)
}

/// The JSON that a program has printed; null where it printed nothing.
fn json_or_null(output: &[u8]) -> io::Result<Value> {
    if output.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(output)?) }
}

/// The command, to be run in that place.
fn in_place(place: Place, words: &[&str]) -> Command {
    let behind = |before: &[&str]| command(&[before, words].concat());
    match place {
        Place::Host | Place::JitOff => command(words),
        // A mount namespace of its own, in which `within` hides something first.
        Place::SecurityfsEmpty
        | Place::SecurityfsMissing
        | Place::SysfsMissing
        | Place::BtfMissing => behind(&["unshare", "-m", "/init", "within", place.name()]),
        // The numbers are CAP_SYS_ADMIN (which stands for both), CAP_PERFMON and CAP_BPF.
        Place::OnlyBpfAndPerfmon => behind(&["confine", "-k", "38", "-k", "39"]),
        Place::CapBpfMissing => behind(&["confine", "-c", "21", "-c", "39"]),
        Place::CapPerfmonMissing => behind(&["confine", "-c", "21", "-c", "38"]),
        Place::Nobody => {
            let mut command = command(words);
            command.uid(NOBODY).gid(NOBODY);
            command
        }
        Place::UserNamespace => behind(&["unshare", "-U", "-r"]),
        // The number is EPERM, and further down ENOSYS.
        Place::SeccompEperm => behind(&["confine", "-b", "1"]),
        Place::SeccompEnosys => behind(&["confine", "-b", "38"]),
        Place::SeccompKill => behind(&["confine", "-b", "kill"]),
        Place::SeccompPrctl => behind(&["confine", "-p", "1"]),
    }
}

/// Hides what the place lacks, in the mount namespace in which this runs, and runs a command there.
pub fn within(name: &str, words: &[&str]) -> io::Result<u8> {
    let script = match place(name)? {
        Place::SecurityfsEmpty => "umount /sys/kernel/security",
        Place::SecurityfsMissing => {
            "umount /sys/kernel/security; mkdir -p /run/btf; mount --bind /sys/kernel/btf /run/btf; \
             mount -t tmpfs none /sys/kernel; mkdir /sys/kernel/btf; mount --bind /run/btf /sys/kernel/btf"
        }
        Place::SysfsMissing => "umount -l /sys",
        Place::BtfMissing => "mount -t tmpfs none /sys/kernel/btf",
        other => {
            return Err(io::Error::other(format!(
                "nothing is hidden in the place {}",
                other.name()
            )));
        }
    };
    shell::must(&mut command(&["sh", "-e", "-c", script]))?;
    Err(command(words).exec())
}
