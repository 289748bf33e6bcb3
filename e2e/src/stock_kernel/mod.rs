//! Stock kernels of the distribution, for virtual machines.
//!
//! In: an architecture and a series: `6.12` is the newest packaged patch level of it, `newest` the
//! newest kernel that the distribution packages at all, backports included. Out: a [`Kernel`],
//! unpacked by [`fetch`].

mod arch;
mod fetch;

use std::path::PathBuf;

pub use arch::Arch;
pub use fetch::{Error, fetch};

/// A kernel to boot.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kernel {
    /// The architecture that it was built for.
    pub arch: Arch,
    /// The folder with its image (`vmlinuz`), its modules and its build configuration.
    pub folder: PathBuf,
    /// `uname -r`.
    pub release: String,
    /// The text of its build configuration.
    pub config: String,
}

impl Kernel {
    /// The image to boot.
    pub fn image(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }

    /// The list of LSMs that is active where the boot parameters have none.
    pub fn default_lsms(&self) -> &str {
        let line = self.config.lines().find_map(|line| line.strip_prefix("CONFIG_LSM="));
        line.unwrap_or_default().trim_matches('"')
    }

    /// Whether it has `lsm_list_modules(2)`: from Linux 6.8 on.
    pub fn lists_lsms_by_call(&self) -> bool {
        self.version() >= (6, 8)
    }

    /// Whether BPF programs can be attached to its functions: on arm64 from Linux 6.4 on, where
    /// ftrace got direct calls.
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
pub(crate) mod tests {
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
    fn a_release_says_what_the_kernel_can_do() {
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
