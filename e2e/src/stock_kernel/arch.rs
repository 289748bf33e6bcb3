//! Architectures of guests: in, Debian's name; out, where things for it are and how they are compiled.

use std::path::PathBuf;

use serde::Serialize;

use super::Error;
use crate::paths;

/// An architecture, by Debian's name.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// x86-64.
    #[default]
    Amd64,
    /// 64-bit ARM.
    Arm64,
}

impl Arch {
    /// Debian's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The compiler for C.
    pub const fn cc(self) -> &'static str {
        match self {
            Self::Amd64 => "cc",
            Self::Arm64 => "aarch64-linux-gnu-gcc",
        }
    }

    /// The node-probe to try: `NODE_PROBE`, or the one that the Makefile builds; and whatever else only it needs.
    ///
    /// # Errors
    /// Where it is not there.
    pub fn files(self) -> Result<Vec<(PathBuf, String)>, Error> {
        let (built, busybox) = match self {
            Self::Amd64 => (
                paths::workspace().join("target/x86_64-unknown-linux-gnu/release/node-probe"),
                None,
            ),
            Self::Arm64 => {
                let folder = paths::state().join("arm64");
                (
                    folder.join("node-probe"),
                    Some((folder.join("busybox"), "/bin/busybox".to_owned())),
                )
            }
        };
        let probe = std::env::var_os("NODE_PROBE").map_or(built, PathBuf::from);
        if !probe.is_file() {
            return Err(Error::NoProbe(probe));
        }
        Ok([(probe, "/bin/node-probe".to_owned())].into_iter().chain(busybox).collect())
    }
}
