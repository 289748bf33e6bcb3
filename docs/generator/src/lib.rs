//! The generated pages of docs/.
//!
//! In: the tables, types, metrics and command lines of the other crates, the manifests in config/
//! and the decisions in docs/adr/. Out: each page as a file name and its content. `make docs`
//! writes the pages; `tests/drift.rs` fails where a page in docs/ differs.

pub mod admission_manifests;
pub mod adr_index;
pub mod api_names;
pub mod chart;
pub mod links;
mod markdown;
pub mod prometheus_rule;
pub mod reference;
mod schemas;
pub mod site;
pub mod site_links;

use std::fs;
use std::path::{Path, PathBuf};

use lsm_ready_crds::conditions::docs::fill;

/// A file of docs/ that `make docs` writes. Of conditions.md only the tables are written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Page {
    /// File name below docs/.
    pub name: &'static str,
    /// The text: Markdown, or a JSON Schema.
    pub content: String,
}

/// Why a page cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder or a manifest of config/ cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// A file of the site or of the chart cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// A manifest is not YAML.
    #[error("{}: invalid YAML: {message}", path.display())]
    Manifest { path: PathBuf, message: String },
    /// A value has no JSON form.
    #[error("cannot write the example of {form}: {message}")]
    Example { form: &'static str, message: String },
    /// docs/conditions.md lacks a mark between which a table belongs.
    #[error("docs/conditions.md: {0}")]
    Conditions(String),
    /// The chart's README lacks a mark between which the table belongs.
    #[error("charts/lsm-ready/README.md: the lines {0:?} are missing")]
    Marks([&'static str; 2]),
    /// Links of the built site.
    #[error("these links of the site lead nowhere:\n{}", .0.join("\n"))]
    Links(Vec<String>),
    /// The operator's metrics have no text form.
    #[error("cannot encode the metrics: {0}")]
    Metrics(#[from] std::fmt::Error),
}

/// All generated pages. `root` is the folder with config/ and docs/.
pub fn pages(root: &Path) -> Result<Vec<Page>, Error> {
    let conditions = fill(&read(&root.join("docs/conditions.md"))?).map_err(Error::Conditions)?;
    let mut pages = vec![
        Page { name: "reasons.md", content: lsm_ready_crds::reason::docs::page() },
        Page { name: "boot-parameters.md", content: node_probe::fix::systems::page::page() },
        Page { name: "conditions.md", content: conditions },
        Page { name: "adr/README.md", content: adr_index::page(&root.join("docs/adr"))? },
        Page { name: "api-names.md", content: api_names::page(root)? },
    ];
    pages.extend(reference::pages());
    pages.extend(schemas::files()?);
    Ok(pages)
}

/// What a folder holds, sorted by path.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::Read { path: folder.to_owned(), source };
    let entries = fs::read_dir(folder).map_err(failed)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<Result<_, _>>().map_err(failed)?;
    paths.sort();
    Ok(paths)
}

fn read(file: &Path) -> Result<String, Error> {
    fs::read_to_string(file).map_err(|source| Error::Read { path: file.to_owned(), source })
}
