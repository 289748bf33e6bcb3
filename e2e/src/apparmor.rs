//! AppArmor policies for virtual machines.
//!
//! In: a policy as text. The parser comes from the package apparmor of Debian or Ubuntu, which is
//! downloaded and not installed. Out: the form that a kernel takes at
//! /sys/kernel/security/apparmor/.load, for the features of AppArmor 3.0.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::apt::{Apt, Error};
use crate::command::run;
use crate::paths;

/// Compiles the policy in the file `policy` into the file `out`.
pub fn compile(policy: &Path, out: &Path) -> Result<(), Error> {
    let root = parser()?;
    let mut parser = Command::new(root.join("sbin/apparmor_parser"));
    parser.args([
        "--config-file",
        "/dev/null",
        "--skip-kernel-load",
        "--skip-cache",
        "--features-file",
    ]);
    run(parser.arg(root.join("etc/apparmor.d/abi/3.0")).arg("--ofile").arg(out).arg(policy))?;
    Ok(())
}

/// The folder with the package's files.
fn parser() -> Result<PathBuf, Error> {
    let root = paths::state().join("apparmor");
    let _lock =
        paths::lock(&root.with_extension("lock")).map_err(Error::io("lock the AppArmor parser"))?;
    if root.join("sbin/apparmor_parser").exists() {
        return Ok(root);
    }
    eprintln!("rig: downloading the package apparmor");
    let partial = root.with_extension("partial");
    let package = ["apparmor".to_owned()];
    let apt = Apt::of_system()?;
    // Old package lists may name files that the mirror has removed.
    if apt.unpack(&package, &partial).is_err() {
        apt.update()?;
        apt.unpack(&package, &partial)?;
    }
    let replace = || {
        paths::remove_dir(&root)?;
        fs::rename(&partial, &root)
    };
    replace().map_err(Error::io(format!("make {}", root.display())))?;
    Ok(root)
}
