//! Fetching a kernel's packages and unpacking them below `target/e2e/kernels/`.
//!
//! apt's own package lists and mirror are used, and nothing is installed into the system. A series
//! that is there already costs nothing; delete its folder to get a newer one. Kernels of another
//! architecture have a folder of that name.

use std::cmp::Ordering;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Arch, Kernel};
use crate::apt::{self, Apt};
use crate::command::{self, run};
use crate::paths;

/// The name of the series that is the newest kernel there is.
const NEWEST: &str = "newest";
/// The suite with the newest kernels, of the same Debian mirror.
const BACKPORTS: &str = "trixie-backports";

/// What keeps a kernel from being had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The packages.
    #[error(transparent)]
    Apt(#[from] apt::Error),
    /// A program failed.
    #[error(transparent)]
    Command(#[from] command::Error),
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        source: io::Error,
    },
    /// There is no such package.
    #[error(
        "there is no packaged kernel of series {series} for {arch}: see `apt-cache pkgnames linux-image`"
    )]
    NoKernel {
        /// What was asked for.
        series: String,
        /// Debian's name of the architecture.
        arch: &'static str,
    },
}

/// A package of a kernel, and the lists that have it.
struct Image {
    apt: Apt,
    package: String,
}

/// The newest kernel of that series for that architecture, fetched where it is not there.
pub fn fetch(arch: Arch, series: &str) -> Result<Kernel, Error> {
    let native = apt::native_architecture()? == arch.name();
    let all = paths::state().join("kernels");
    let all = if native { all } else { all.join(arch.name()) };
    fs::create_dir_all(&all).map_err(apt::Error::io(format!("make {}", all.display())))?;
    let _lock = paths::lock(&all.join(".lock")).map_err(apt::Error::io("lock the kernels"))?;
    let folder = all.join(series);
    if !folder.join("release").exists() || !folder.join("config").exists() {
        unpack(&folder, series, &image(&all, arch, series, native)?)?;
    }
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).map_err(|source| Error::Read { path, source })
    };
    let (release, config) = (read("release")?.trim().to_owned(), read("config")?);
    Ok(Kernel { arch, folder, release, config })
}

/// The package of the kernel: by the system's own lists or, for another architecture or the newest
/// kernel, by others.
fn image(all: &Path, arch: Arch, series: &str, native: bool) -> Result<Image, Error> {
    let system = Apt::of_system()?;
    let no_kernel = || Error::NoKernel { series: series.to_owned(), arch: arch.name() };
    if let Some(apt) = other_lists(all, arch, series, native)? {
        if apt.update().is_ok()
            && let Some(package) = newest_image(&apt.names("linux-image-")?, arch, series)
        {
            return Ok(Image { apt, package });
        }
        if !native {
            return Err(no_kernel());
        }
        eprintln!(
            "rig: {series}: there is no {BACKPORTS} here; taking the newest of the usual suites"
        );
    }
    let package =
        newest_image(&system.names("linux-image-")?, arch, series).ok_or_else(no_kernel)?;
    Ok(Image { apt: system, package })
}

/// Lists beside the system's, where those will not do.
fn other_lists(all: &Path, arch: Arch, series: &str, native: bool) -> Result<Option<Apt>, Error> {
    let system = apt::system_suites()?;
    let Some(mirror) = apt::debian_mirror(&system).map(str::to_owned) else {
        return Ok(None);
    };
    let mut suites = if native { Vec::new() } else { system };
    if series == NEWEST {
        let suite = std::env::var("BACKPORTS_SUITE").unwrap_or_else(|_| BACKPORTS.to_owned());
        suites.push(format!("{mirror} {suite}"));
    }
    if suites.is_empty() {
        return Ok(None);
    }
    Ok(Some(Apt::private(&all.join(".apt"), arch.name(), &suites)?))
}

/// The newest image of that series: of Debian's cloud flavour, or else of Ubuntu's generic one.
fn newest_image(names: &[String], arch: Arch, series: &str) -> Option<String> {
    let of_series = |name: &&String| {
        let version = name.trim_start_matches("linux-image-");
        match series {
            NEWEST => version.starts_with(|c: char| c.is_ascii_digit()),
            _ => version.strip_prefix(series).is_some_and(|rest| rest.starts_with(['.', '-'])),
        }
    };
    [format!("-cloud-{}", arch.name()), "-generic".to_owned()].iter().find_map(|flavour| {
        let found = names.iter().filter(of_series).filter(|name| name.ends_with(flavour));
        found.max_by(|a, b| by_version(a, b)).cloned()
    })
}

/// Compares names as `sort -V` does: numbers in them count as numbers.
fn by_version(a: &str, b: &str) -> Ordering {
    parts(a).cmp(&parts(b))
}

/// The numbers of a name, each with the text before it.
fn parts(name: &str) -> Vec<(String, u64)> {
    let mut parts = vec![(String::new(), 0_u64)];
    let mut in_number = false;
    for c in name.chars() {
        if let Some(digit) = c.to_digit(10) {
            if let Some((_, number)) = parts.last_mut() {
                *number = number.saturating_mul(10).saturating_add(digit.into());
            }
            in_number = true;
            continue;
        }
        if in_number {
            parts.push((String::new(), 0));
            in_number = false;
        }
        if let Some((text, _)) = parts.last_mut() {
            text.push(c);
        }
    }
    parts
}

/// Ubuntu keeps modules and configuration in a package of their own, newer Debian has one for each
/// of its parts.
fn unpack(folder: &Path, series: &str, image: &Image) -> Result<(), Error> {
    let release = image.package.trim_start_matches("linux-image-");
    let depends = image.apt.depends(&image.package)?;
    let of_release = ["base", "binary", "modules"].map(|part| format!("linux-{part}-{release}"));
    let parts = depends.into_iter().filter(|name| of_release.contains(name));
    let packages: Vec<String> = [image.package.clone()].into_iter().chain(parts).collect();
    eprintln!("rig: kernel {series}: downloading {}", image.package);
    let work = folder.with_file_name(format!(".{series}.partial"));
    let doing = || apt::Error::io(format!("unpack {}", image.package));
    paths::remove_dir(&work).map_err(doing())?;
    fs::create_dir_all(work.join("modules/lib")).map_err(doing())?;
    let root = work.join("root");
    image.apt.unpack(&packages, &root)?;
    arrange(&work, &root, release).map_err(doing())?;
    run(depmod().arg("-b").arg(work.join("modules")).arg(release))?;
    let finish = || {
        fs::write(work.join("release"), format!("{release}\n"))?;
        paths::remove_dir(folder)?;
        fs::rename(&work, folder)
    };
    finish().map_err(doing())?;
    Ok(())
}

/// Moves what is needed out of the unpacked packages, wherever it is in them.
fn arrange(work: &Path, root: &Path, release: &str) -> io::Result<()> {
    let missing = |what: &str| io::Error::other(format!("no {what} in the packages"));
    let name = |path: &Path| {
        path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let image = apt::find(root, &|path| name(path).starts_with("vmlinuz"));
    fs::rename(image.ok_or_else(|| missing("vmlinuz"))?, work.join("vmlinuz"))?;
    let config = apt::find(root, &|path| {
        name(path).starts_with("config-") || path.ends_with(format!("modules/{release}/config"))
    });
    fs::rename(config.ok_or_else(|| missing("configuration"))?, work.join("config"))?;
    let modules = [root.join("usr/lib/modules"), root.join("lib/modules")];
    let modules = modules.iter().find(|folder| folder.is_dir());
    fs::rename(modules.ok_or_else(|| missing("modules"))?, work.join("modules/lib/modules"))?;
    fs::remove_dir_all(root)
}

fn depmod() -> Command {
    let mut depmod = Command::new("depmod");
    depmod.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
    depmod
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_image_of_a_series_is_taken_by_number() {
        let names = [
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-10-cloud-amd64",
            "linux-image-6.1.0-56-amd64",
            "linux-image-6.12.9+deb12-cloud-amd64",
            "linux-image-6.12.30+deb12-cloud-amd64",
            "linux-image-cloud-amd64",
        ]
        .map(str::to_owned);
        let newest = |series| newest_image(&names, Arch::Amd64, series);
        assert_eq!(newest("6.1").as_deref(), Some("linux-image-6.1.0-10-cloud-amd64"));
        assert_eq!(newest("6.12").as_deref(), Some("linux-image-6.12.30+deb12-cloud-amd64"));
        assert_eq!(newest(NEWEST).as_deref(), Some("linux-image-6.12.30+deb12-cloud-amd64"));
        assert_eq!(newest("6.2"), None);
        assert_eq!(newest_image(&names, Arch::Arm64, NEWEST), None);
        let ubuntu = ["linux-image-6.8.0-31-generic".to_owned()];
        assert!(newest_image(&ubuntu, Arch::Amd64, "6.8").is_some());
    }
}
