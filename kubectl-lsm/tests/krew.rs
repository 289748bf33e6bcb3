//! The manifest for krew, filled in as the release does it, by the rules of krew's own validator.
#![allow(clippy::unwrap_used, reason = "what cannot be prepared fails the test")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const PLATFORMS: [(&str, &str); 4] =
    [("linux", "amd64"), ("linux", "arm64"), ("darwin", "amd64"), ("darwin", "arm64")];
const URL: &str = "https://example.com/lsm-ready";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Exit code and output of the script for these lines of SHA256SUMS.
fn filled_in(sums: &str) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("SHA256SUMS");
    std::fs::write(&file, sums).unwrap();
    let mut command = Command::new(root().join("release/krew.sh"));
    let output = command.args(["1.2.3", URL]).arg(&file).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

fn sum(number: usize) -> String {
    format!("{number:x}").repeat(64)
}

fn sums() -> String {
    let line = |(number, (os, arch)): (usize, &(&str, &str))| {
        format!("{}  kubectl-lsm_ready-{os}-{arch}.tar.gz\n", sum(number))
    };
    PLATFORMS.iter().enumerate().map(line).collect()
}

/// The rules of krew's validation package: names, version, one line of description, and for each
/// platform a selector, an address, a checksum and the program.
#[test]
fn the_manifest_keeps_the_rules_of_krew() {
    let (code, text) = filled_in(&sums());
    assert_eq!(code, 0);
    assert!(!text.contains("{{") && !text.contains('#'), "{text}");
    let manifest: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(manifest["apiVersion"], "krew.googlecontainertools.github.com/v1alpha2");
    assert_eq!(manifest["kind"], "Plugin");
    assert_eq!(manifest["metadata"]["name"], "lsm-ready");
    let spec = &manifest["spec"];
    assert_eq!(spec["version"], "v1.2.3");
    assert_eq!(spec["homepage"], URL);
    let short = spec["shortDescription"].as_str().unwrap();
    assert!(!short.is_empty() && short.len() <= 50 && !short.contains(['\n', '\r']), "{short}");
    let platforms = spec["platforms"].as_array().unwrap();
    assert_eq!(platforms.len(), PLATFORMS.len());
    for (number, (platform, (os, arch))) in platforms.iter().zip(PLATFORMS).enumerate() {
        let labels = &platform["selector"]["matchLabels"];
        assert_eq!((&labels["os"], &labels["arch"]), (&os.into(), &arch.into()));
        let archive = format!("kubectl-lsm_ready-{os}-{arch}.tar.gz");
        assert_eq!(platform["uri"], format!("{URL}/releases/download/v1.2.3/{archive}"));
        assert_eq!(platform["sha256"].as_str().unwrap(), sum(number));
        // kubectl finds a plugin with a dash in its name by a file with an underscore.
        assert_eq!(
            platform["bin"],
            env!("CARGO_BIN_EXE_kubectl-lsm_ready").rsplit('/').next().unwrap()
        );
    }
}

#[test]
fn a_missing_checksum_is_an_error() {
    let without_last: String = sums().split_inclusive('\n').take(3).collect();
    let (code, text) = filled_in(&without_last);
    assert_eq!((code, text.as_str()), (1, ""));
}
