//! Where the rig keeps things: everything that it writes is below `target/e2e/`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::stock_kernel::Arch;

/// The checkout.
pub fn workspace() -> PathBuf {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.parent().unwrap_or(crate_dir).to_path_buf()
}

/// The rig's own sources, with the modules in Go and the programs for tests.
pub fn sources() -> PathBuf {
    workspace().join("e2e")
}

/// The folder `target`, or the one of `CARGO_TARGET_DIR`. Always absolute.
pub fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    workspace().join(target.map_or_else(|| PathBuf::from("target"), PathBuf::from))
}

/// `target/e2e`.
pub fn state() -> PathBuf {
    target().join("e2e")
}

/// The folder of the programs in Go: the multi-call binary, its links (`kubectl`, `kubelet`, …),
/// and Helm.
pub fn programs() -> PathBuf {
    state().join("bin")
}

/// A static program that `make static` builds for the images and the virtual machines.
pub fn static_program(name: &str) -> PathBuf {
    static_program_for(Arch::HOST, name)
}

/// A static program of ours for that architecture.
pub fn static_program_for(arch: Arch, name: &str) -> PathBuf {
    workspace().join("target").join(arch.triple()).join("release").join(name)
}

/// Waits until no other process holds the lock on this file, and holds it until the result is
/// dropped.
pub fn lock(path: &Path) -> io::Result<File> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let file = File::create(path)?;
    file.lock()?;
    Ok(file)
}

/// Removes a folder and all that is in it; nothing happens where there is none.
pub fn remove_dir(path: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_dir_all(path))
}

/// Removes a file; nothing happens where there is none.
pub fn remove_file(path: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_file(path))
}

fn absent_is_fine(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
