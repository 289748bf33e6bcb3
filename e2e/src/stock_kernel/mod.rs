//! A stock kernel: in, a series; out, its image, release and build configuration, as `e2e/kernels.sh` unpacks them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{Arch, Error};
use crate::{command, paths};

/// A kernel to boot.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kernel {
    /// What it was built for.
    pub arch: Arch,
    /// Where it was unpacked.
    pub folder: PathBuf,
    /// `uname -r`.
    pub release: String,
    /// The text of its build configuration.
    pub config: String,
}

/// The newest kernel of that series for that architecture, fetched if it is not there.
///
/// # Errors
/// Where it cannot be had.
pub fn fetch(arch: Arch, series: &str) -> Result<Kernel, Error> {
    let mut script = Command::new(paths::sources().join("kernels.sh"));
    let folder = PathBuf::from(command::run(script.arg(series).env("KERNEL_ARCH", arch.name()))?);
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).map_err(|source| Error::Read { path, source })
    };
    Ok(Kernel {
        arch,
        release: read("release")?.trim().to_owned(),
        config: read("config")?,
        folder,
    })
}

impl Kernel {
    /// The list of LSMs that is active where the boot parameters name none.
    pub fn default_lsms(&self) -> &str {
        let line = self.config.lines().find_map(|line| line.strip_prefix("CONFIG_LSM="));
        line.unwrap_or_default().trim_matches('"')
    }

    /// It has `lsm_list_modules(2)`, as from Linux 6.8.
    pub fn lists_lsms_by_call(&self) -> bool {
        self.version() >= (6, 8)
    }

    /// BPF programs can be attached to its functions: on arm64 as from Linux 6.4, where ftrace got direct calls.
    pub fn has_trampolines(&self) -> bool {
        self.arch == Arch::Amd64 || self.version() >= (6, 4)
    }

    fn version(&self) -> (u32, u32) {
        let mut numbers =
            self.release.split(['.', '-', '+']).map_while(|number| number.parse().ok());
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn kernel(release: &str) -> Kernel {
        Kernel {
            arch: Arch::Amd64,
            folder: PathBuf::new(),
            release: release.to_owned(),
            config: "# CONFIG_X is not set\nCONFIG_LSM=\"landlock,yama,bpf\"\n".to_owned(),
        }
    }

    #[test]
    fn releases_are_told_apart() {
        for (release, by_call) in
            [("6.1.0-56-cloud", false), ("6.8.1", true), ("6.12.117+deb12", true), ("7.3-x", true)]
        {
            assert_eq!(kernel(release).lists_lsms_by_call(), by_call, "{release}");
        }
        assert!(kernel("6.1.0").has_trampolines());
        assert!(!Kernel { arch: Arch::Arm64, ..kernel("6.1.0") }.has_trampolines());
        assert!(Kernel { arch: Arch::Arm64, ..kernel("6.12.0") }.has_trampolines());
        assert_eq!(kernel("6.1").default_lsms(), "landlock,yama,bpf");
    }
}
