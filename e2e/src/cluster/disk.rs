//! File systems in files, as disks of virtual machines.

use std::path::Path;
use std::process::Command;

use super::Error;
use crate::command::run;

/// The size of a node's own disk and of the one with its images. The file holds only what is
/// written.
pub const SIZE: &str = "8G";
/// Options of a disk that is written to.
pub const WRITABLE: [&str; 2] = ["-E", "lazy_itable_init=1,root_owner=0:0"];
/// Options of a disk that all nodes share.
pub const READ_ONLY: [&str; 2] = ["-O", "^has_journal"];

/// Makes an ext4 file system of that size in the file `to`, with what is in the folder `from`.
pub fn make(from: &Path, to: &Path, size: &str, options: &[&str]) -> Result<(), Error> {
    let mut make = Command::new("mke2fs");
    make.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin").args(["-q", "-F", "-t", "ext4", "-m", "0"]);
    run(make.args(options).arg("-d").arg(from).arg(to).arg(size))?;
    Ok(())
}

/// Copies a disk. Only the parts with data are copied.
pub fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    run(Command::new("cp").args(["--sparse=always", "--reflink=auto"]).arg(from).arg(to))?;
    Ok(())
}
