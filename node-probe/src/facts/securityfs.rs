//! What is at `/sys/kernel/security`.
//!
//! In: the entries of that directory, `/proc/self/mountinfo`, the list of active LSMs and the
//! kernel's configuration. Out: whether securityfs is there, and if not, which of several causes it
//! has, since each needs another fix.

use lsm_ready_crds::names::SECURITYFS_PATH;
use lsm_ready_crds::node;

use super::{KernelConfig, Text};

/// The directory of sysfs in which securityfs is mounted.
const PARENT: &str = "/sys/kernel";
/// The path of that directory inside sysfs.
const PARENT_IN_SYSFS: &str = "/kernel";
/// The option that builds securityfs into a kernel.
pub const OPTION: &str = "CONFIG_SECURITYFS";

/// What this process sees of securityfs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Securityfs {
    /// It is mounted, with its files.
    Mounted,
    /// Single files of it are mounted, but not the directory.
    FileMount,
    /// The directory exists and is empty: nothing is mounted on it, here or on the host.
    Empty,
    /// The kernel was built without it: sysfs has no such directory, or the configuration says so.
    NotInKernel,
    /// There is no such directory and no sysfs, so the cause is not known.
    Missing,
    /// It could not be read.
    #[default]
    Unknown,
}

/// The texts that show what is there.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The names in `/sys/kernel/security`, a line each.
    pub entries: &'a Text,
    /// `/sys/kernel/security/lsm`.
    pub lsm_file: &'a Text,
    /// `/proc/self/mountinfo`. Empty if it could not be read.
    pub mountinfo: &'a str,
    /// The kernel's configuration, if it could be read.
    pub config: Option<&'a KernelConfig>,
}

impl Securityfs {
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Mounted => "mounted at /sys/kernel/security",
            Self::FileMount => {
                "only single files of securityfs are mounted below \
                                /sys/kernel/security"
            }
            Self::Empty => "/sys/kernel/security is empty: securityfs is not mounted there",
            Self::NotInKernel => {
                "there is no /sys/kernel/security: this kernel was built without CONFIG_SECURITYFS"
            }
            Self::Missing => "there is no /sys/kernel/security, and /sys/kernel is not sysfs",
            Self::Unknown => "/sys/kernel/security could not be read",
        }
    }
}

impl From<Securityfs> for node::Securityfs {
    fn from(found: Securityfs) -> Self {
        match found {
            Securityfs::Mounted | Securityfs::FileMount => Self::Mounted,
            Securityfs::Empty => Self::NotMounted,
            Securityfs::NotInKernel => Self::NotInKernel,
            Securityfs::Missing | Securityfs::Unknown => Self::Unknown,
        }
    }
}

/// Finds out what is there.
pub fn find(sources: Sources<'_>) -> Securityfs {
    let Sources { entries, lsm_file, mountinfo, config } = sources;
    let is_empty = entries.as_ref().is_ok_and(|names| names.trim().is_empty());
    // Only kernels with securityfs have the empty directory in sysfs, so a configuration that
    // contradicts is another kernel's.
    if !is_empty && lsm_file.is_err() && config.is_some_and(|config| config.says_not_set(OPTION)) {
        return Securityfs::NotInKernel;
    }
    if entries.as_ref().is_err_and(|unread| unread.missing) {
        return if has_sysfs(mountinfo) { Securityfs::NotInKernel } else { Securityfs::Missing };
    }
    let mounts =
        mountinfo.lines().filter_map(Mount::parse).filter(|mount| mount.kind == "securityfs");
    let points: Vec<&str> = mounts.map(|mount| mount.point).collect();
    if points.contains(&SECURITYFS_PATH) {
        return Securityfs::Mounted;
    }
    let is_inside = |point: &&str| {
        point.strip_prefix(SECURITYFS_PATH).is_some_and(|rest| rest.starts_with('/'))
    };
    match entries {
        _ if points.iter().any(is_inside) => Securityfs::FileMount,
        Ok(_) if is_empty => Securityfs::Empty,
        Ok(_) => Securityfs::Mounted,
        Err(_) => Securityfs::Unknown,
    }
}

/// Whether this process sees sysfs' own directory at `/sys/kernel`, by `/proc/self/mountinfo`. If
/// another file system is mounted there or above it, a missing file says nothing about the kernel.
pub fn has_sysfs(mountinfo: &str) -> bool {
    let covering =
        mountinfo.lines().filter_map(Mount::parse).filter(|mount| mount.rest(PARENT).is_some());
    // The deepest mount is the visible one; of several at the same place it is the last.
    let seen = covering.max_by_key(|mount| mount.point.trim_end_matches('/').len());
    seen.is_some_and(|mount| {
        let within =
            mount.rest(PARENT).map(|rest| format!("{}{rest}", mount.root.trim_end_matches('/')));
        mount.kind == "sysfs" && within.as_deref() == Some(PARENT_IN_SYSFS)
    })
}

/// One line of mountinfo: `ID PARENT DEV ROOT POINT OPTIONS… - TYPE SOURCE …`
/// (Documentation/filesystems/proc.rst).
struct Mount<'a> {
    /// The directory inside the file system that is mounted.
    root: &'a str,
    /// The mount point.
    point: &'a str,
    /// The file system's type.
    kind: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        Some(Self { root: fields.next()?, point: fields.next()?, kind: kind.split(' ').next()? })
    }

    /// The rest of the path behind the mount point: empty, or beginning with a slash. `None` if the
    /// path is not at or below the mount point.
    fn rest<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix(self.point.trim_end_matches('/'))?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Unread;
    use super::*;
    use crate::facts::kernel_config::tests::config;
    use crate::facts::tests::bytes_with;

    const SYSFS: &str = "1 2 0:7 / /sys rw - sysfs s rw";
    const DIRECTORY: &str = "1 2 0:7 / /sys rw - sysfs s rw\n3 1 0:6 / /sys/kernel/security ro,x \
                             shared:1 - securityfs none rw";
    const FILE: &str = "3 1 0:6 /lsm /sys/kernel/security/lsm ro - securityfs none rw";

    /// A text, or else whether the file is missing.
    fn seen(text: Result<&str, bool>) -> Text {
        text.map(str::to_owned).map_err(|missing| Unread { missing, message: String::new() })
    }

    fn found(entries: &Text, lsm_file: &Text, mountinfo: &str, built: &str) -> Securityfs {
        find(Sources { entries, lsm_file, mountinfo, config: config(built).as_ref() })
    }

    #[test]
    fn each_cause_is_recognised() {
        for (entries, mountinfo, expected) in [
            (seen(Ok("lsm")), DIRECTORY, Securityfs::Mounted),
            (seen(Ok("lsm")), "", Securityfs::Mounted),
            (seen(Ok("lsm")), FILE, Securityfs::FileMount),
            (seen(Ok("")), "", Securityfs::Empty),
            (seen(Ok("")), SYSFS, Securityfs::Empty),
            (seen(Err(true)), SYSFS, Securityfs::NotInKernel),
            (seen(Err(true)), "", Securityfs::Missing),
            (seen(Err(true)), "1 2 0:7 / /sys rw - tmpfs s rw", Securityfs::Missing),
            (seen(Err(false)), "", Securityfs::Unknown),
        ] {
            assert_eq!(
                found(&entries, &entries, mountinfo, ""),
                expected,
                "{entries:?} {mountinfo}"
            );
        }
    }

    #[test]
    fn the_configuration_decides_if_the_list_cannot_be_read() {
        let (without, with) = ("# CONFIG_SECURITYFS is not set\n", "CONFIG_SECURITYFS=y\n");
        for (entries, lsm_file, built, expected) in [
            (seen(Err(true)), seen(Err(true)), without, Securityfs::NotInKernel),
            (seen(Err(true)), seen(Err(true)), with, Securityfs::Missing),
            // An excerpt of a configuration, without a line about securityfs.
            (seen(Err(true)), seen(Err(true)), "CONFIG_IMA=y\n", Securityfs::Missing),
            // The file or the directory exists, so the configuration is another kernel's.
            (seen(Ok("lsm")), seen(Ok("capability,yama")), without, Securityfs::Mounted),
            (seen(Ok("")), seen(Err(true)), without, Securityfs::Empty),
        ] {
            assert_eq!(
                found(&entries, &lsm_file, "", built),
                expected,
                "{entries:?} {lsm_file:?} {built}"
            );
        }
    }

    #[test]
    fn sysfs_is_recognised_by_the_visible_mount() {
        let mount = |root: &str, point: &str, kind: &str| {
            format!("1 2 0:7 {root} {point} ro,nosuid - {kind} none rw\n")
        };
        let sysfs = mount("/", "/sys", "sysfs");
        for (mountinfo, expected) in [
            (sysfs.clone(), true),
            (String::new(), false),
            (mount("/", "/", "overlay"), false),
            (mount("/", "/", "overlay") + &sysfs, true),
            (sysfs.clone() + &mount("/", "/sys/kernel", "tmpfs"), false),
            (sysfs.clone() + &mount("/", "/sys", "tmpfs"), false),
            (sysfs.clone() + &mount("/", "/sys/kernel/btf", "tmpfs"), true),
            (sysfs + &mount("/kernel", "/sys/kernel", "sysfs"), true),
            (mount("/kernel", "/sys/kernel", "sysfs"), true),
            (mount("/fs", "/sys/kernel", "sysfs"), false),
            (mount("/", "/sys/kernelx", "sysfs"), false),
            ("cut off".to_owned(), false),
        ] {
            assert_eq!(has_sysfs(&mountinfo), expected, "{mountinfo}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            entries in bytes_with(&["lsm", "\n"]),
            mounts in bytes_with(&[
                " - ", "securityfs", "sysfs", "/sys/kernel/security", "/lsm", "\n", " ",
            ]),
        ) {
            let found = found(&Ok(entries.clone()), &Ok(entries), &mounts, "");
            let possible = [Securityfs::Mounted, Securityfs::FileMount, Securityfs::Empty];
            prop_assert!(possible.contains(&found));
        }
    }
}
