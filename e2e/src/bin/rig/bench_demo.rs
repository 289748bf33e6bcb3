//! How long the demonstration takes, with everything built.
//!
//! Out: its output in `demo.txt`, and its times in `demo.json`.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use e2e::paths;
use serde_json::json;

use crate::Failure;

/// Runs the demonstration, and keeps its output and its times in `out`.
pub fn run(images: &[PathBuf], out: &Path) -> Result<(), Failure> {
    eprintln!("rig: the demonstration, with everything built");
    let output = out.join("demo.txt");
    let images: Vec<OsString> = images.iter().map(|path| path.clone().into_os_string()).collect();
    let begun = Instant::now();
    let mut demo = Command::new(paths::sources().join("demo.sh"));
    demo.env_remove("KEEP").env("ARCHIVES", images.join(&OsString::from(",")));
    let status = demo.stdout(File::create(&output)?).status()?;
    if !status.success() {
        return Err(format!(
            "the demonstration failed ({status}): {} has its output",
            output.display()
        )
        .into());
    }
    let cluster = cluster_seconds(&fs::read_to_string(output)?);
    let figures = json!({"seconds": begun.elapsed().as_secs(), "cluster_seconds": cluster});
    println!("{figures}");
    Ok(fs::write(out.join("demo.json"), format!("{figures:#}\n"))?)
}

/// The time at which the step after the cluster's start began.
fn cluster_seconds(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with("== Install lsm-ready"))?;
    line.rsplit_once('[')?.1.strip_suffix("s]")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_the_cluster_is_read_from_the_next_step() {
        let text =
            "== A cluster of three nodes  [0s]\n\n== Install lsm-ready: kubectl apply  [19s]\n";
        assert_eq!(cluster_seconds(text), Some(19));
    }
}
