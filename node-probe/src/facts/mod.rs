//! What this machine says about itself. Facts explain a result and choose the fix; they are never
//! evidence.
//!
//! In: [`Raw`], the texts as the kernel gives them. `read` reads them, and `record` records and
//! replays them. Out: [`Facts`], what the texts mean. Everything but `read` is a pure function that
//! accepts any bytes.

pub mod cmdline;
pub mod kernel_config;
pub mod listed;
pub mod lockdown;
pub mod lsm_list;
pub mod missing;
pub mod os_release;
pub mod process;
pub mod read;
pub mod record;
pub mod securityfs;
mod version;

use lsm_ready_crds::node::{Kernel, LsmSource, Lsms};
use serde::{Deserialize, Serialize};

pub use cmdline::Cmdline;
pub use kernel_config::{Built, ConfigText, KernelConfig};
pub use os_release::{NodeInfo, OsRelease};
pub use process::Process;
pub use record::Schema;
pub use securityfs::Securityfs;
use securityfs::Sources;

pub use crate::btf::BtfNames;
use crate::sys::Answer;

/// A text, or why it could not be read.
pub type Text = Result<String, Unread>;

/// Why a file could not be read.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Unread {
    /// Whether there is no such file.
    pub missing: bool,
    /// The error in words, with the file's path.
    pub message: String,
}

/// The texts as they were read.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Raw {
    pub schema: Schema,
    /// `uname -r` and `uname -m`.
    pub kernel: Kernel,
    /// `/proc/sys/kernel/random/boot_id`.
    #[serde(rename = "bootID")]
    pub boot_id: Text,
    /// `/proc/cmdline`.
    pub cmdline: Text,
    /// The ids of `lsm_list_modules(2)`.
    pub lsm_ids: Result<Vec<u64>, Answer>,
    /// `/sys/kernel/security/lsm`.
    pub lsm_file: Text,
    /// The names in `/sys/kernel/security`, a line each.
    pub securityfs: Text,
    /// `/sys/kernel/security/lockdown`.
    pub lockdown: Text,
    /// `/proc/self/mountinfo`.
    pub mountinfo: Text,
    /// `/proc/self/status`.
    pub status: Text,
    /// `/proc/self/limits`.
    pub limits: Text,
    /// `/proc/self/ns/user`.
    pub user_namespace: Text,
    /// `/etc/os-release`. In a container without one, what Kubernetes says about the node.
    pub os_release: Text,
    /// The names in `/sys/kernel/btf/vmlinux`.
    pub btf: Result<BtfNames, Unread>,
    /// The kernel's configuration, from the first file that has it.
    pub kernel_config: Result<ConfigText, Unread>,
    /// `/proc/sys/kernel/unprivileged_bpf_disabled`.
    pub unprivileged_bpf: Text,
    /// `/sys/class/dmi/id/sys_vendor`.
    pub sys_vendor: Text,
    /// The EFI variable `SecureBoot`: four bytes of attributes, then the value.
    pub secure_boot: Text,
    /// `/run/systemd/container`: the kind of container, if systemd runs in one. Records of earlier
    /// versions lack it.
    #[serde(default = "not_recorded")]
    pub container: Text,
}

fn not_recorded() -> Text {
    Err(Unread { missing: true, message: "not recorded".to_owned() })
}

/// What the texts mean.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Facts {
    /// The running kernel.
    pub kernel: Kernel,
    /// The id of this boot. Empty if it could not be read.
    pub boot_id: String,
    /// The active LSMs.
    pub lsms: Lsms,
    /// The list and where it was read, or why it could not be read.
    pub lsms_detail: String,
    /// Whether sysfs is mounted. Without sysfs, a missing file below `/sys` says nothing about the
    /// kernel.
    pub sysfs: bool,
    /// What is at `/sys/kernel/security`.
    pub securityfs: Securityfs,
    /// The lockdown level, if it could be read.
    pub lockdown: Option<String>,
    /// Why the lockdown level could not be read.
    pub lockdown_detail: String,
    /// The kernel's command line.
    pub cmdline: Cmdline,
    /// The operating system.
    pub os: OsRelease,
    /// This process's capabilities and seccomp mode.
    pub process: Process,
    /// The names in the kernel's BTF, or why BTF could not be read. `None` if it was not read.
    pub btf: Option<Result<BtfNames, Unread>>,
    /// The kernel's configuration, if it could be read.
    pub kernel_config: Option<KernelConfig>,
    /// Why the configuration could not be read.
    pub kernel_config_error: String,
    /// `kernel.unprivileged_bpf_disabled`: 0 if everybody may use bpf(2), 1 or 2 if it needs
    /// capabilities.
    pub unprivileged_bpf: Option<u8>,
    /// The machine's vendor by its firmware. Empty if the firmware names none.
    pub sys_vendor: String,
    /// Whether the machine was started with Secure Boot. `None` without EFI, or if its variables
    /// cannot be read.
    pub secure_boot: Option<bool>,
    /// The kind of container by systemd. Empty if systemd names none.
    pub container: String,
    /// The Node's `spec.providerID`. Empty if there is no Node.
    pub provider_id: String,
}

impl Facts {
    /// Interprets the texts.
    pub fn of(raw: &Raw) -> Self {
        let ActiveLsms { lsms, detail: lsms_detail } = active_lsms(raw);
        let or_empty = |text: &Text| text.clone().unwrap_or_default();
        let kernel_config = raw.kernel_config.as_ref().ok().and_then(KernelConfig::parse);
        let mountinfo = or_empty(&raw.mountinfo);
        Self {
            kernel: raw.kernel.clone(),
            boot_id: or_empty(&raw.boot_id).trim().to_owned(),
            lsms,
            lsms_detail,
            sysfs: raw.securityfs.is_ok() || securityfs::has_sysfs(&mountinfo),
            securityfs: securityfs::find(Sources {
                entries: &raw.securityfs,
                lsm_file: &raw.lsm_file,
                mountinfo: &mountinfo,
                config: kernel_config.as_ref(),
            }),
            lockdown: raw.lockdown.as_ref().ok().and_then(|text| lockdown::level(text)),
            lockdown_detail: match &raw.lockdown {
                Ok(_) => "/sys/kernel/security/lockdown has no level in brackets".to_owned(),
                Err(unread) => unread.message.clone(),
            },
            cmdline: Cmdline::parse(&or_empty(&raw.cmdline)),
            os: OsRelease::parse(&or_empty(&raw.os_release)),
            process: Process::parse(
                &or_empty(&raw.status),
                &or_empty(&raw.limits),
                &or_empty(&raw.user_namespace),
            ),
            btf: Some(raw.btf.clone()),
            kernel_config,
            kernel_config_error: message_of(&raw.kernel_config),
            unprivileged_bpf: or_empty(&raw.unprivileged_bpf).trim().parse().ok(),
            sys_vendor: or_empty(&raw.sys_vendor).trim().to_owned(),
            secure_boot: raw.secure_boot.as_ref().ok().and_then(|text| secure_boot(text)),
            container: or_empty(&raw.container).trim().to_owned(),
            provider_id: String::new(),
        }
    }

    /// Says that the kernel has no BTF: sysfs is mounted without the file, or the kernel was built
    /// without BTF. `None` if the kernel has BTF, or if that is not known.
    pub fn absent_btf(&self) -> Option<String> {
        let unread = self.btf.as_ref()?.as_ref().err()?;
        let is_not_built =
            self.kernel_config.as_ref().is_some_and(|config| config.lacks("CONFIG_DEBUG_INFO_BTF"));
        (unread.missing && self.sysfs || is_not_built)
            .then(|| format!("the kernel has no BTF: {}", unread.message))
    }

    /// Whether `bpf` is among the active LSMs. `None` if their list could not be read.
    pub fn lists_bpf(&self) -> Option<bool> {
        (self.lsms.source != LsmSource::Unknown)
            .then(|| self.lsms.active.iter().any(|name| name == "bpf"))
    }
}

/// Why something could not be read; empty if it could.
fn message_of<T>(read: &Result<T, Unread>) -> String {
    read.as_ref().err().map(|unread| unread.message.clone()).unwrap_or_default()
}

/// The value of the EFI variable, the byte after four bytes of attributes
/// (Documentation/filesystems/efivarfs.rst).
fn secure_boot(variable: &str) -> Option<bool> {
    match variable.chars().nth(4)? {
        '\0' => Some(false),
        '\u{1}' => Some(true),
        _ => None,
    }
}

struct ActiveLsms {
    lsms: Lsms,
    /// The list and where it was read, or why it could not be read.
    detail: String,
}

/// The list of active LSMs by system call, or else by securityfs.
fn active_lsms(raw: &Raw) -> ActiveLsms {
    let by_call = match &raw.lsm_ids {
        Ok(ids) if !ids.is_empty() => {
            let active = lsm_list::from_ids(ids);
            let detail = format!("{} (by lsm_list_modules(2))", active.join(","));
            return ActiveLsms { lsms: Lsms { active, source: LsmSource::Syscall }, detail };
        }
        Ok(_) => "lsm_list_modules(2) lists no LSM".to_owned(),
        Err(errno) => format!("lsm_list_modules(2) failed with {}", errno.describe()),
    };
    match &raw.lsm_file {
        Ok(text) if !lsm_list::parse(text).is_empty() => {
            let active = lsm_list::parse(text);
            let detail = format!("{} (by /sys/kernel/security/lsm; {by_call})", active.join(","));
            ActiveLsms { lsms: Lsms { active, source: LsmSource::Securityfs }, detail }
        }
        Ok(_) => ActiveLsms {
            lsms: Lsms::default(),
            detail: format!("/sys/kernel/security/lsm is empty; {by_call}"),
        },
        Err(unread) => {
            ActiveLsms { lsms: Lsms::default(), detail: format!("{}; {by_call}", unread.message) }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The texts of a machine on which everything works.
    pub fn raw() -> Raw {
        Raw {
            schema: Schema,
            kernel: Kernel { release: "6.12.1".to_owned(), machine: "x86_64".to_owned() },
            boot_id: Ok("b0\n".to_owned()),
            cmdline: Ok("root=/dev/vda lsm=landlock,lockdown,bpf\n".to_owned()),
            lsm_ids: Ok(vec![100, 110, 108, 109]),
            lsm_file: Ok("capability,landlock,lockdown,bpf".to_owned()),
            securityfs: Ok("lsm\nlockdown".to_owned()),
            lockdown: Ok("[none] integrity confidentiality\n".to_owned()),
            mountinfo: Ok("28 22 0:6 / /sys/kernel/security rw - securityfs none rw".to_owned()),
            status: Ok("CapEff:\t000000c000000000\nSeccomp:\t0\n".to_owned()),
            limits: Ok("Max locked memory   8388608   8388608   bytes\n".to_owned()),
            user_namespace: Ok("user:[4026531837]".to_owned()),
            os_release: Ok("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 \
                            (bookworm)\"\n".to_owned()),
            btf: Ok(BtfNames { bytes: 5_000_000, bpf_lsm: 280, canary_hook: true }),
            kernel_config: Ok(ConfigText {
                path: "/proc/config.gz".to_owned(),
                text: "CONFIG_BPF_LSM=y\nCONFIG_SECURITY_APPARMOR=y\nCONFIG_LSM=\"landlock,lockdown,yama\"\n"
                    .to_owned(),
            }),
            unprivileged_bpf: Ok("2\n".to_owned()),
            sys_vendor: Ok("QEMU\n".to_owned()),
            secure_boot: Ok("\u{6}\0\0\0\0".to_owned()),
            container: not_recorded(),
        }
    }

    /// Any bytes as a text of `read`, with these words among them.
    pub fn bytes_with(words: &'static [&'static str]) -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            any::<Vec<u8>>(),
            prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec())
        ];
        proptest::collection::vec(piece, 0..12)
            .prop_map(|pieces| String::from_utf8_lossy(&pieces.concat()).into_owned())
    }

    fn unread() -> Unread {
        Unread { missing: true, message: "/sys/kernel/security/lsm: no such file".to_owned() }
    }

    #[test]
    fn the_system_call_is_preferred_to_the_file() {
        let mut raw = raw();
        assert_eq!(Facts::of(&raw).lsms.source, LsmSource::Syscall);
        raw.lsm_ids = Err(Answer(libc::ENOSYS));
        let facts = Facts::of(&raw);
        assert_eq!((facts.lsms.source, facts.lists_bpf()), (LsmSource::Securityfs, Some(true)));
        assert!(facts.lsms_detail.contains("ENOSYS"), "{}", facts.lsms_detail);
        raw.lsm_file = Err(unread());
        let facts = Facts::of(&raw);
        assert_eq!((facts.lsms.source, facts.lists_bpf()), (LsmSource::Unknown, None));
        assert!(facts.lsms_detail.contains("no such file"), "{}", facts.lsms_detail);
    }

    #[test]
    fn an_empty_list_counts_as_unreadable() {
        let raw = Raw { lsm_ids: Ok(vec![]), lsm_file: Ok("\n".to_owned()), ..raw() };
        assert_eq!(Facts::of(&raw).lists_bpf(), None);
    }

    #[test]
    fn secure_boot_is_read_from_the_fifth_byte() {
        for (text, expected) in [
            ("\u{6}\0\0\0\u{1}", Some(true)),
            ("\u{6}\0\0\0\0", Some(false)),
            ("", None),
            ("1", None),
        ] {
            assert_eq!(secure_boot(text), expected, "{text:?}");
        }
    }

    #[test]
    fn raw_texts_survive_serialisation() {
        let recorded = serde_json::to_string(&raw()).unwrap();
        assert_eq!(serde_json::from_str::<Raw>(&recorded).unwrap(), raw());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            texts in proptest::collection::vec(
                bytes_with(&["bpf", ",", "lsm=", " - securityfs ", "\n", "[", "]"]),
                14,
            ),
            ids in proptest::collection::vec(any::<u64>(), 0..80),
        ) {
            let text = |index: usize| Ok(texts[index].clone());
            let kernel_config = Ok(ConfigText { path: texts[12].clone(), text: texts[13].clone() });
            let facts = Facts::of(&Raw {
                boot_id: text(0),
                cmdline: text(1),
                lsm_ids: Ok(ids),
                lsm_file: text(2),
                lockdown: text(3),
                mountinfo: text(4),
                status: text(5),
                user_namespace: text(6),
                os_release: text(7),
                limits: text(8),
                unprivileged_bpf: text(9),
                sys_vendor: text(10),
                secure_boot: text(11),
                kernel_config,
                ..raw()
            });
            prop_assert_eq!(facts.lists_bpf().is_some(), !facts.lsms.active.is_empty());
        }
    }
}
