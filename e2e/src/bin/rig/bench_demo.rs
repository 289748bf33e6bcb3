//! How long the demonstration takes, with everything built.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use e2e::paths;

use crate::Failure;

/// Runs the demonstration, keeps its output in `out`, and prints the times beside their limits.
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
    println!("demo_seconds {}, limit 240", begun.elapsed().as_secs());
    if let Some(seconds) = cluster_seconds(&fs::read_to_string(output)?) {
        println!("of which the cluster {seconds}, limit 90");
    }
    Ok(())
}

/// The time at which the step after the cluster's start began.
fn cluster_seconds(text: &str) -> Option<&str> {
    let line = text.lines().find(|line| line.starts_with("== Install lsm-ready"))?;
    line.rsplit_once('[')?.1.strip_suffix("s]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_the_cluster_is_read_from_the_next_step() {
        let text =
            "== A cluster of three nodes  [0s]\n\n== Install lsm-ready: kubectl apply  [19s]\n";
        assert_eq!(cluster_seconds(text), Some("19"));
    }
}
