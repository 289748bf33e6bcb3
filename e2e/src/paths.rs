//! Where the harness keeps things: everything it writes is below `target/e2e/`.

use std::path::{Path, PathBuf};

/// The checkout.
pub fn workspace() -> PathBuf {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.parent().unwrap_or(crate_dir).to_path_buf()
}

/// The harness's own sources: scripts and the Go module.
pub fn sources() -> PathBuf {
    workspace().join("e2e")
}

/// `target/e2e`, or its like in `CARGO_TARGET_DIR`. Always absolute.
pub fn state() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    workspace().join(target).join("e2e")
}

/// The folder of the multi-call binary and its links (`kubectl`, `kubelet`, …).
pub fn programs() -> PathBuf {
    state().join("bin")
}
