//! The parts of a static program that are no crates: the standard library, the C library, and the
//! compiler's run-time.
//!
//! In: the program, and this machine's toolchains. Out: name, version and licence of each part.

use std::process::Command;

use super::Error;
use crate::command::run;
use crate::paths;
use crate::stock_kernel::Arch;

/// A part that no Cargo.lock names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Part {
    pub name: &'static str,
    pub version: String,
    /// An SPDX expression.
    pub licence: &'static str,
    /// What it is and where it is from.
    pub description: &'static str,
}

/// The parts of the static program of that package.
pub fn of_program(package: &str, arch: Arch) -> Result<Vec<Part>, Error> {
    let rustc = run(Command::new("rustc").current_dir(paths::workspace()).arg("--version"))?;
    let mut parts = vec![
        Part {
            name: "rust-std",
            version: version(&rustc),
            licence: "MIT OR Apache-2.0",
            description: "Rust's standard library, from the toolchain of rust-toolchain.toml",
        },
        Part {
            name: "glibc",
            version: c_library(arch)?,
            licence: "LGPL-2.1-or-later",
            description: "The GNU C Library, linked statically from this machine's package",
        },
        Part {
            name: "libgcc",
            version: run(Command::new(arch.cc()).arg("-dumpfullversion"))?,
            licence: "GPL-3.0-or-later WITH GCC-exception-3.1",
            description: "The run-time of the C compiler that links the program",
        },
    ];
    if package == "node-probe" {
        parts.push(bpf_core());
    }
    Ok(parts)
}

/// `core` for the BPF target. Little of it is left in the object, and what is there is inlined.
fn bpf_core() -> Part {
    let recorded = std::fs::read_to_string(paths::target().join("bpf/rustc-version"));
    Part {
        name: "rust-core-bpf",
        version: recorded.map_or_else(|_| "nightly".to_owned(), |text| version(&text)),
        licence: "MIT OR Apache-2.0",
        description: "Rust's core library for the BPF target, from the compiler of \
                      probe-ebpf/toolchain.sh, or from nightly Rust",
    }
}

/// The second word of `rustc 1.95.0 (59807616e 2026-04-14)`.
fn version(text: &str) -> String {
    text.split_whitespace().nth(1).unwrap_or("unknown").to_owned()
}

/// The package's version where there are packages, because it says which fixes it has.
fn c_library(arch: Arch) -> Result<String, Error> {
    let mut query = Command::new("dpkg-query");
    let package = match arch {
        Arch::HOST => "libc6-dev".to_owned(),
        other => format!("libc6-dev-{}-cross", other.name()),
    };
    query.args(["--show", "--showformat=${Version}", &package]);
    match run(&mut query) {
        Ok(version) => Ok(version),
        Err(_) => Ok(run(Command::new("getconf").arg("GNU_LIBC_VERSION"))?.replace("glibc ", "")),
    }
}
