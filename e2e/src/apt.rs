//! Debian packages, downloaded and unpacked without installing anything.
//!
//! In: names of packages. Out: their files in a folder. [`Apt::of_system`] knows what the system's
//! own package lists hold; [`Apt::private`] knows other suites and architectures, with lists and a
//! cache in a folder of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{self, run, run_line};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What keeps packages from being had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program failed.
    #[error(transparent)]
    Command(#[from] command::Error),
    /// A file or folder.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why not.
        source: io::Error,
    },
    /// The system knows no packages.
    #[error("{0}")]
    NoLists(&'static str),
}

impl Error {
    /// Makes an error of what failed while doing that.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        |source| Self::Io { doing, source }
    }
}

/// A set of package lists.
#[derive(Clone, Debug, Default)]
pub struct Apt {
    options: Vec<String>,
}

/// This machine's architecture, in Debian's words.
pub fn native_architecture() -> Result<String, Error> {
    Ok(run_line("dpkg --print-architecture")?)
}

/// The Debian suites that the system's apt knows: `MIRROR SUITE` each.
pub fn system_suites() -> Result<Vec<String>, Error> {
    let mut targets = Command::new("apt-get");
    targets.args(["indextargets", "--format", "$(REPO_URI) $(RELEASE)"]);
    let text = run(targets.args(["Created-By: Packages", "Origin: Debian"]))?;
    let mut suites: Vec<String> = text.lines().map(str::to_owned).collect();
    suites.sort_unstable();
    suites.dedup();
    Ok(suites)
}

/// The mirror from which the system gets Debian itself; none where the system is another
/// distribution.
pub fn debian_mirror(suites: &[String]) -> Option<&str> {
    let mirrors = suites.iter().filter_map(|suite| suite.split(' ').next());
    mirrors.into_iter().find(|mirror| !mirror.contains("security"))
}

impl Apt {
    /// The system's own lists. Root fetches them where there are none.
    pub fn of_system() -> Result<Self, Error> {
        let apt = Self::default();
        let targets = run(Command::new("apt-get").args(["indextargets", "Created-By: Packages"]))?;
        if targets.is_empty() {
            return Err(Error::NoLists("apt has no package sources: add Debian's to /etc/apt"));
        }
        if apt.names("linux-image")?.is_empty() {
            if !rustix::process::geteuid().is_root() {
                return Err(Error::NoLists(
                    "apt has no package lists: run `sudo apt-get update` and try again",
                ));
            }
            eprintln!("rig: apt has no package lists: apt-get update");
            apt.update()?;
        }
        Ok(apt)
    }

    /// Lists of these suites (`MIRROR SUITE` each) for an architecture, with their state in `dir`.
    /// Call [`Apt::update`] next.
    pub fn private(dir: &Path, architecture: &str, suites: &[String]) -> Result<Self, Error> {
        let source =
            |suite| format!("deb [arch={architecture} signed-by={KEYRING}] {suite} main\n");
        let sources: Vec<String> = suites.iter().map(source).collect();
        let write = || {
            fs::create_dir_all(dir.join("lists/partial"))?;
            fs::create_dir_all(dir.join("cache/archives/partial"))?;
            fs::write(dir.join("sources.list"), sources.concat())
        };
        write().map_err(Error::io(format!("prepare {}", dir.display())))?;
        let dir = dir.display();
        let options = [
            format!("Dir::Etc::sourcelist={dir}/sources.list"),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            format!("Dir::State::lists={dir}/lists"),
            "Dir::State::status=/dev/null".to_owned(),
            format!("Dir::Cache={dir}/cache"),
            "Acquire::Languages=none".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
            format!("APT::Architecture={architecture}"),
            format!("APT::Architectures::={architecture}"),
        ];
        Ok(Self {
            options: options.into_iter().flat_map(|option| ["-o".to_owned(), option]).collect(),
        })
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.args(&self.options);
        command
    }

    /// Fetches the lists.
    pub fn update(&self) -> Result<(), Error> {
        run(self.program("apt-get").args(["-q", "update"]))?;
        Ok(())
    }

    /// The names of packages that begin like that.
    pub fn names(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let text = run(self.program("apt-cache").args(["pkgnames", prefix]))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// The names of packages on which one depends.
    pub fn depends(&self, package: &str) -> Result<Vec<String>, Error> {
        let text = run(self.program("apt-cache").args(["depends", package]))?;
        Ok(text
            .lines()
            .filter_map(|line| line.trim().split_once("Depends: ")?.1.split(' ').next())
            .map(str::to_owned)
            .collect())
    }

    /// Downloads packages and unpacks them into a folder.
    pub fn unpack(&self, packages: &[String], to: &Path) -> Result<(), Error> {
        let debs = to.with_extension("debs");
        let prepare = || {
            fs::create_dir_all(&debs)?;
            fs::create_dir_all(to)
        };
        prepare().map_err(Error::io(format!("make {}", debs.display())))?;
        run(self.program("apt-get").current_dir(&debs).args(["-q", "download"]).args(packages))?;
        for deb in files(&debs).map_err(Error::io(format!("read {}", debs.display())))? {
            run(Command::new("dpkg-deb").arg("-x").arg(deb).arg(to))?;
        }
        fs::remove_dir_all(&debs).map_err(Error::io(format!("remove {}", debs.display())))
    }
}

fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
}

/// The first file below a folder whose path is the wanted one.
pub fn find(dir: &Path, is_wanted: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
    let mut paths = files(dir).ok()?;
    paths.sort();
    paths.into_iter().find_map(|path| {
        let kind = path.symlink_metadata().ok()?.file_type();
        if kind.is_dir() {
            find(&path, is_wanted)
        } else {
            (kind.is_file() && is_wanted(&path)).then_some(path)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_not_the_one_of_security_updates() {
        let suites = ["http://security.debian.org/ x", "http://deb.debian.org/debian bookworm"];
        assert_eq!(debian_mirror(&suites.map(str::to_owned)), Some("http://deb.debian.org/debian"));
        assert_eq!(debian_mirror(&[]), None);
    }

    #[test]
    fn private_lists_leave_the_systems_alone() {
        let dir = tempfile::tempdir().unwrap();
        let apt = Apt::private(dir.path(), "arm64", &["http://m suite".to_owned()]).unwrap();
        assert!(apt.options.contains(&"APT::Architecture=arm64".to_owned()));
        let sources = fs::read_to_string(dir.path().join("sources.list")).unwrap();
        assert_eq!(sources, format!("deb [arch=arm64 signed-by={KEYRING}] http://m suite main\n"));
    }
}
