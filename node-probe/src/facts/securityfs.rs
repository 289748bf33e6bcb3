//! What is at `/sys/kernel/security`. In: its entries and `/proc/self/mountinfo`. Out: which of the ways it can be
//! there or not, as each needs another remedy.

use lsm_ready_crds::names::SECURITYFS_PATH;

use super::Text;

/// How securityfs shows itself to this process.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Securityfs {
    /// Mounted, with its files.
    Mounted,
    /// Single files of it are mounted, not the directory.
    FileMount,
    /// The directory is there and empty: nothing is mounted on it, here or on the host it comes from.
    Empty,
    /// There is no such directory: no sysfs, or a kernel without securityfs.
    Missing,
    /// It could not be read.
    #[default]
    Unknown,
}

impl Securityfs {
    /// In a few words.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Mounted => "mounted at /sys/kernel/security",
            Self::FileMount => "only single files of it are mounted below /sys/kernel/security",
            Self::Empty => "/sys/kernel/security is empty: securityfs is not mounted there",
            Self::Missing => "there is no /sys/kernel/security",
            Self::Unknown => "/sys/kernel/security could not be read",
        }
    }
}

/// Finds out from the directory's entries (a line each) and the mounts.
#[must_use]
pub fn find(entries: &Text, mountinfo: &str) -> Securityfs {
    let mounts: Vec<&str> = mountinfo.lines().filter_map(securityfs_mount).collect();
    if mounts.contains(&SECURITYFS_PATH) {
        return Securityfs::Mounted;
    }
    let inside = |point: &&str| point.strip_prefix(SECURITYFS_PATH).is_some_and(|rest| rest.starts_with('/'));
    if mounts.iter().any(inside) {
        return Securityfs::FileMount;
    }
    match entries {
        Ok(names) if names.trim().is_empty() => Securityfs::Empty,
        Ok(_) => Securityfs::Mounted,
        Err(unread) if unread.missing => Securityfs::Missing,
        Err(_) => Securityfs::Unknown,
    }
}

/// The mount point of a line of mountinfo, if it is a securityfs: `ID PARENT DEV ROOT POINT OPTIONS… - TYPE SOURCE …`
/// (Documentation/filesystems/proc.rst).
fn securityfs_mount(line: &str) -> Option<&str> {
    let (mount, kind) = line.split_once(" - ")?;
    (kind.split(' ').next()? == "securityfs").then(|| mount.split(' ').nth(4))?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Unread;
    use super::*;
    use crate::facts::tests::bytes_with;

    const DIRECTORY: &str =
        "1 2 0:7 / /sys rw - sysfs s rw\n3 1 0:6 / /sys/kernel/security ro,x shared:1 - securityfs none rw";
    const FILE: &str = "3 1 0:6 /lsm /sys/kernel/security/lsm ro - securityfs none rw";

    #[test]
    fn the_ways_are_told_apart() {
        let entries = |names: &str| Ok(names.to_owned());
        let missing = |missing| Err(Unread { missing, message: String::new() });
        for (entries, mountinfo, expected) in [
            (entries("lsm"), DIRECTORY, Securityfs::Mounted),
            (entries("lsm"), "", Securityfs::Mounted),
            (entries("lsm"), FILE, Securityfs::FileMount),
            (entries(""), "", Securityfs::Empty),
            (missing(true), "", Securityfs::Missing),
            (missing(false), "", Securityfs::Unknown),
        ] {
            assert_eq!(find(&entries, mountinfo), expected, "{entries:?} {mountinfo}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            names in bytes_with(&["lsm", "\n"]),
            mounts in bytes_with(&[" - ", "securityfs", "/sys/kernel/security", "/lsm", "\n", " "]),
        ) {
            prop_assert!(!matches!(find(&Ok(names), &mounts), Securityfs::Missing | Securityfs::Unknown));
        }
    }
}
