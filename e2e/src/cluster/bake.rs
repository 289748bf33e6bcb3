//! The images that virtual machines find on their disk when they start.
//!
//! In: image archives. Out: a file system with containerd's folder, in which they are imported and
//! unpacked. An import takes about a minute in an emulated machine for an image of 150 MB, and a
//! second here. The file system is kept between runs; its name is a digest of what the archives
//! contain, so another build of an image is another file.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use super::{Error, config, disk};
use crate::command::{run, run_long};
use crate::paths::{self, remove_dir, remove_file};

const SCRIPT: &str = include_str!("bake.sh");
/// A change of the layout makes all older file systems useless.
const LAYOUT: &str = "1";
/// How many file systems are kept. Each takes as much room as its images take unpacked.
const KEPT: usize = 3;

/// Returns a file system that holds these images. It is made where there is none.
pub async fn bake(archives: &[PathBuf]) -> Result<PathBuf, Error> {
    let dir = paths::state().join("disks");
    let doing = "prepare the disk with the images";
    fs::create_dir_all(&dir).map_err(Error::io(doing))?;
    let baked = dir.join(format!("{}.img", digest(archives)?));
    if baked.exists() {
        File::open(&baked)
            .and_then(|file| file.set_modified(SystemTime::now()))
            .map_err(Error::io(doing))?;
        return Ok(baked);
    }
    let work = dir.join("partial");
    let prepare = || {
        remove_dir(&work)?;
        fs::create_dir_all(work.join("root"))?;
        fs::write(work.join("containerd.toml"), config::containerd_without_pods(&work.join("root")))
    };
    prepare().map_err(Error::io(doing))?;
    import(&work, archives).await?;
    let partial = work.join("disk.img");
    disk::make(&work.join("root"), &partial, disk::SIZE, &disk::WRITABLE)?;
    let finish = || {
        fs::rename(&partial, &baked)?;
        remove_dir(&work)?;
        keep_newest(&dir, KEPT)
    };
    finish().map_err(Error::io(doing))?;
    Ok(baked)
}

/// A digest of what the archives contain. Their order and names do not matter.
fn digest(archives: &[PathBuf]) -> Result<String, Error> {
    let lines = run(Command::new("sha256sum").arg("--").args(archives))?;
    let mut digests: Vec<&str> =
        lines.lines().filter_map(|line| line.split_whitespace().next()).collect();
    digests.sort_unstable();
    digests.dedup();
    Ok(crate::image::sha256(format!("{LAYOUT} {}", digests.join(" ")).as_bytes()))
}

async fn import(work: &Path, archives: &[PathBuf]) -> Result<(), Error> {
    let mut import = Command::new("unshare");
    // A process namespace, so that containerd ends with the script, also when the script is killed.
    import.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    import.arg("--propagation=private");
    import.args(["--", "sh", "-c", SCRIPT, "bake.sh"]);
    import.arg(work).args(archives);
    run_long(import, None).await?;
    Ok(())
}

/// Removes all file systems but the ones that were used last.
fn keep_newest(dir: &Path, kept: usize) -> io::Result<()> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "img") {
            found.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    found.sort();
    let old = found.len().saturating_sub(kept);
    found[..old].iter().try_for_each(|(_, path)| remove_file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archives(dir: &Path, files: &[(&str, &str)]) -> Vec<PathBuf> {
        let write = |(name, text): &(&str, &str)| {
            let path = dir.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        files.iter().map(write).collect()
    }

    #[test]
    fn the_digest_depends_only_on_the_content() {
        let dir = tempfile::tempdir().unwrap();
        let first = digest(&archives(dir.path(), &[("a", "1"), ("b", "2")])).unwrap();
        let moved = digest(&archives(dir.path(), &[("c", "2"), ("d", "1"), ("e", "1")])).unwrap();
        let rebuilt = digest(&archives(dir.path(), &[("a", "1"), ("b", "3")])).unwrap();
        let fewer = digest(&archives(dir.path(), &[("a", "1")])).unwrap();
        assert_eq!(first, moved);
        assert_ne!(first, rebuilt);
        assert_ne!(first, fewer);
        assert!(digest(&[dir.path().join("missing")]).is_err());
    }

    #[test]
    fn only_the_file_systems_that_were_used_last_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        for (age, name) in ["new.img", "used.img", "old.img", "other"].iter().enumerate() {
            let file = File::create(dir.path().join(name)).unwrap();
            let age = std::time::Duration::from_secs(60 * age as u64);
            file.set_modified(SystemTime::now() - age).unwrap();
        }
        keep_newest(dir.path(), 2).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["new.img", "other", "used.img"]);
    }
}
