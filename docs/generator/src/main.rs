//! `lsm-ready-docs ROOT` writes the generated pages to ROOT/docs, the admission policies for the API
//! server's disk to ROOT/config, and the generated files of the chart to ROOT/charts.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use lsm_ready_docs::{admission_manifests, chart};

fn main() -> ExitCode {
    let Some(root) = env::args().nth(1) else {
        eprintln!("usage: lsm-ready-docs ROOT, for example: lsm-ready-docs .");
        return ExitCode::from(64);
    };
    match write(Path::new(&root)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lsm-ready-docs: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(root: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let manifests = admission_manifests::content(root)?;
    fs::write(root.join(admission_manifests::FILE), manifests)?;
    chart::write(root)?;
    for page in lsm_ready_docs::pages(root)? {
        fs::write(root.join("docs").join(page.name), page.content)?;
    }
    Ok(())
}
