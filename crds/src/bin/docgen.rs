//! `docgen FOLDER` writes the pages of the documentation that follow from the types: reasons.md.

use std::process::ExitCode;
use std::{env, fs, path::Path};

use lsm_ready_crds::reason::docs::page;

fn main() -> ExitCode {
    let Some(folder) = env::args().nth(1) else {
        eprintln!("usage: docgen FOLDER");
        return ExitCode::from(64);
    };
    match fs::write(Path::new(&folder).join("reasons.md"), page()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("docgen: cannot write reasons.md to {folder}: {error}");
            ExitCode::FAILURE
        }
    }
}
