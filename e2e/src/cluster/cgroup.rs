//! The cgroup that holds every container of the node on this machine, in each mounted hierarchy.
//!
//! In: the mounted hierarchies, of either version. Out: the processes inside; in the end the cgroup
//! is removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::process::Record;
use crate::wait::{self, TimedOut};

/// The cgroup's path in its hierarchy.
pub const ROOT: &str = "/lsm-ready";
/// How long the cgroup may take to be empty: the kernel frees killed processes a moment later.
const EMPTY: Duration = Duration::from_secs(20);

/// Makes the cgroup in every hierarchy.
pub fn create() -> io::Result<()> {
    roots().iter().try_for_each(fs::create_dir_all)
}

/// The processes in the cgroup and below.
pub fn members() -> Vec<Record> {
    let folders = roots().into_iter().flat_map(|root| below(&root));
    let lists = folders.filter_map(|folder| fs::read_to_string(folder.join("cgroup.procs")).ok());
    let mut pids: Vec<u32> = lists
        .flat_map(|list| list.lines().filter_map(|l| l.parse().ok()).collect::<Vec<_>>())
        .collect();
    pids.sort_unstable();
    pids.dedup();
    pids.into_iter().filter_map(Record::of).collect()
}

/// Removes the cgroup and all below it, once no process is left inside.
pub async fn remove() -> Result<(), TimedOut> {
    let roots = roots();
    wait::until(EMPTY, "the cgroups to be empty", async || {
        for folder in roots.iter().flat_map(|root| below(root)) {
            match fs::remove_dir(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(format!("{}: {error}", folder.display()));
                }
                _ => {}
            }
        }
        Ok(())
    })
    .await
}

fn roots() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    hierarchies(&mounts).into_iter().map(|mount| mount.join(ROOT.trim_start_matches('/'))).collect()
}

/// The mount points of cgroup hierarchies in `/proc/self/mountinfo`.
fn hierarchies(mountinfo: &str) -> Vec<PathBuf> {
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let is_cgroup = matches!(after.split(' ').next(), Some("cgroup" | "cgroup2"));
        is_cgroup.then(|| before.split(' ').nth(4).map(PathBuf::from))?
    };
    mountinfo.lines().filter_map(mount).collect()
}

/// A folder and all below it, the deepest first; nothing when it is not there.
fn below(root: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(root) else {
        return Vec::new();
    };
    let folders =
        entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut all: Vec<PathBuf> = folders.flat_map(|entry| below(&entry.path())).collect();
    all.push(root.to_owned());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_found_among_other_mounts() {
        let mountinfo = "22 1 0:20 / /sys rw - sysfs sysfs rw\n\
            31 30 0:27 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
            32 30 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let expected = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"].map(PathBuf::from);
        assert_eq!(hierarchies(mountinfo), expected);
    }
}
