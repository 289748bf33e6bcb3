//! `docgen FOLDER` writes reasons.md and the tables of conditions.md to the folder.

use std::process::ExitCode;
use std::{env, fs, io, path::Path};

use lsm_ready_crds::{conditions, reason};

fn main() -> ExitCode {
    let Some(folder) = env::args().nth(1) else {
        eprintln!("usage: docgen FOLDER");
        return ExitCode::from(64);
    };
    match write(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("docgen: cannot write the pages in {folder}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path) -> io::Result<()> {
    fs::write(folder.join("reasons.md"), reason::docs::page())?;
    let conditions = folder.join("conditions.md");
    let page = fs::read_to_string(&conditions)?;
    fs::write(conditions, conditions::docs::fill(&page).map_err(io::Error::other)?)
}
