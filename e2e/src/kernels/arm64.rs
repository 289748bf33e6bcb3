//! What machines of arm64 need, made on this machine.
//!
//! In: apt's mirror of Debian, cargo, and the packages of `e2e/prerequisites.sh arm64`. Out:
//! `target/e2e/arm64/` with static programs: busybox, node-probe, guest. They are compiled by the
//! rustc that probe-ebpf/toolchain.sh unpacks, with the arm64 standard library of the same
//! packages, because rustup may not be able to download one. They are built quickly, without
//! link-time optimisation: the emulated processor is patient.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Error;
use crate::apt::{self, Apt};
use crate::command::run;
use crate::paths;

const TRIPLE: &str = "aarch64-unknown-linux-gnu";
const PROGRAMS: [&str; 2] = ["node-probe", "guest"];

/// The folder of the programs.
pub fn folder() -> PathBuf {
    paths::state().join("arm64")
}

/// Makes the programs.
pub fn prepare() -> Result<(), Error> {
    let out = folder();
    let _lock = paths::lock(&out.join(".lock")).map_err(Error::Folder)?;
    let bpf = std::env::var_os("BPF_TARGET_DIR")
        .map_or_else(|| paths::workspace().join("target/bpf"), PathBuf::from);
    run(Command::new(paths::sources().join("prerequisites.sh")).arg("arm64"))?;
    run(Command::new(paths::workspace().join("probe-ebpf/toolchain.sh")).arg(&bpf))?;
    let root = out.join("root");
    if !out.join("root/.complete").exists() {
        unpack(&out, &root)?;
    }
    let busybox = apt::find(&root, &|path| path.ends_with("bin/busybox"));
    let busybox = busybox.ok_or_else(|| Error::Folder(io::ErrorKind::NotFound.into()))?;
    fs::copy(busybox, out.join("busybox")).map_err(Error::Folder)?;
    compile(&out, &bpf)
}

fn unpack(out: &Path, root: &Path) -> Result<(), Error> {
    paths::remove_dir(root).map_err(Error::Folder)?;
    let apt = Apt::private(&out.join(".apt"), "arm64", &apt::system_suites()?)?;
    apt.update()?;
    // The shared library has the compiler's version in its name, and the other package depends on
    // it.
    let std = "libstd-rust-web-";
    let is_version = |rest: &str| rest.chars().all(|c| c.is_ascii_digit() || c == '.');
    let mut packages = apt.depends("libstd-rust-web-dev")?;
    packages.retain(|name| name.strip_prefix(std).is_some_and(is_version));
    packages.extend(["busybox-static", "libstd-rust-web-dev"].map(str::to_owned));
    apt.unpack(&packages, root)?;
    fs::write(root.join(".complete"), "").map_err(Error::Folder)
}

fn compile(out: &Path, bpf: &Path) -> Result<(), Error> {
    let rustc = write_rustc(out, bpf).map_err(Error::Folder)?;
    let target = paths::target().join("arm64");
    let sysroot = out.join("root/usr");
    let flags = format!("--sysroot={} -Ctarget-feature=+crt-static", sysroot.display());
    let mut build = Command::new("cargo");
    build.current_dir(paths::workspace());
    build.env("RUSTC", &rustc).env("CARGO_TARGET_DIR", &target).envs([
        ("CARGO_PROFILE_RELEASE_LTO", "off"),
        ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
        ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc"),
        ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS", flags.as_str()),
    ]);
    build.args(["build", "-q", "--release", "--target", TRIPLE]);
    run(build.args(["-p", "node-probe", "-p", "e2e-guest"]))?;
    let programs = target.join(TRIPLE).join("release");
    let copy = |name: &str| fs::copy(programs.join(name), out.join(name)).map(drop);
    PROGRAMS.iter().try_for_each(|name| copy(name)).map_err(Error::Folder)
}

/// Writes a script that runs the compiler. The compiler finds its libraries by LD_LIBRARY_PATH,
/// which no other program may see.
fn write_rustc(out: &Path, bpf: &Path) -> io::Result<PathBuf> {
    let library_path = fs::read_to_string(bpf.join("library-path"))?;
    let (library_path, compiler) = (library_path.trim(), bpf.join("root/usr/bin/rustc"));
    let compiler = compiler.display();
    let rustc = out.join("rustc");
    fs::write(
        &rustc,
        format!("#!/bin/sh\nLD_LIBRARY_PATH={library_path} exec {compiler} \"$@\"\n"),
    )?;
    fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755))?;
    Ok(rustc)
}
