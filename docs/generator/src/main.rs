//! `lsm-ready-docs ROOT` writes the generated pages to ROOT/docs, to ROOT/config the admission
//! policies for the API server's disk and the alerts for the Prometheus Operator, and to
//! ROOT/charts the generated files of the chart. `lsm-ready-docs ROOT site FOLDER` writes the
//! sources of the site, and `lsm-ready-docs ROOT links FOLDER` checks the links of the built site.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use lsm_ready_docs::{admission_manifests, chart, prometheus_rule, site, site_links};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let written = match arguments[..] {
        [root] => write(Path::new(root)),
        [root, "site", folder] => {
            site::write(Path::new(root), Path::new(folder)).map_err(Into::into)
        }
        [root, "links", folder] => {
            site_links::check(&Path::new(root).join(folder)).map_err(Into::into)
        }
        _ => {
            eprintln!("usage: lsm-ready-docs ROOT [site FOLDER|links FOLDER]");
            eprintln!("for example: lsm-ready-docs .");
            return ExitCode::from(64);
        }
    };
    match written {
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
    fs::write(root.join(prometheus_rule::FILE), prometheus_rule::content(root)?)?;
    // After the alerts, which it copies.
    chart::write(root)?;
    for page in lsm_ready_docs::pages(root)? {
        fs::write(root.join("docs").join(page.name), page.content)?;
    }
    Ok(())
}
