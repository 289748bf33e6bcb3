//! `crdgen FOLDER` writes the `CustomResourceDefinition`s to the folder.

use std::process::ExitCode;
use std::{env, fs, path::Path};

use lsm_ready_crds::manifest;

fn main() -> ExitCode {
    let Some(folder) = env::args().nth(1) else {
        eprintln!("usage: crdgen FOLDER");
        return ExitCode::from(64);
    };
    match write(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crdgen: cannot write the definitions to {folder}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    fs::create_dir_all(folder)?;
    for (name, content) in manifest::files()? {
        fs::write(folder.join(name), content)?;
    }
    Ok(())
}
