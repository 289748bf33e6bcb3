//! `docgen FOLDER` writes boot-parameters.md, the page of the documentation that is generated from
//! the table of systems.

use std::process::ExitCode;
use std::{env, fs, path::Path};

use node_probe::fix::systems::page::page;

fn main() -> ExitCode {
    let Some(folder) = env::args().nth(1) else {
        eprintln!("usage: docgen FOLDER");
        return ExitCode::from(64);
    };
    match fs::write(Path::new(&folder).join("boot-parameters.md"), page()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("docgen: cannot write boot-parameters.md to {folder}: {error}");
            ExitCode::FAILURE
        }
    }
}
