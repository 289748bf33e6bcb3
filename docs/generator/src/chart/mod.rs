//! What of charts/lsm-ready follows from other files: its copies of config/, and the table of its
//! values.
//!
//! In: config/, and charts/lsm-ready/values.yaml with its comments. Out: files, by their path from
//! the root. `make chart` writes them; `tests/chart_files.rs` fails where one differs.

pub mod values;

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, files, read};

/// The folder of the chart, below the root.
pub const CHART: &str = "charts/lsm-ready";

/// Between these lines of the chart's README stands the table of values.
const MARKS: [&str; 2] = ["<!-- values -->", "<!-- end of values -->"];

/// A folder of config/, the folder below charts/lsm-ready/files for its copies, and the one file of
/// it where not all are copied.
const COPIES: [(&str, &str, Option<&str>); 10] = [
    ("config/crd/bases", "crds", None),
    ("config/admission", "admission", None),
    ("config/rbac", "rbac", None),
    ("config/rbac/patching", "patching", None),
    ("config/cleanup", "cleanup", Some("rbac.yaml")),
    ("config/monitoring/service-monitor", "monitoring/service-monitor", None),
    ("config/monitoring/pod-monitor", "monitoring/pod-monitor", None),
    ("config/monitoring/rules", "monitoring/rules", Some("prometheus-rule.yaml")),
    ("config/monitoring/dashboard", "monitoring/dashboard", Some("dashboard.json")),
    ("config/monitoring/network-policy", "monitoring/network-policy", None),
];

/// A file that `make chart` writes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct File {
    /// Its path from the root.
    pub path: PathBuf,
    pub content: String,
}

/// All of these files. `root` is the folder with config/ and charts/.
pub fn generated(root: &Path) -> Result<Vec<File>, Error> {
    let mut all = copies(root)?;
    let path = Path::new(CHART).join("README.md");
    let page = read(&root.join(&path))?;
    let table = values::table(&root.join(CHART).join("values.yaml"))?;
    let content = between_marks(&page, &table).ok_or(Error::Marks(MARKS))?;
    all.push(File { path, content });
    Ok(all)
}

/// Writes the files, and removes copies of what is gone.
pub fn write(root: &Path) -> Result<(), Error> {
    let files = generated(root)?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Write { path, source }
    };
    for path in stale(root, &files)? {
        fs::remove_file(root.join(&path)).map_err(failed(&path))?;
    }
    for File { path, content } in files {
        let target = root.join(&path);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(failed(&path))?;
        }
        fs::write(&target, content).map_err(failed(&path))?;
    }
    Ok(())
}

/// Files below charts/lsm-ready/files that are copies of nothing.
pub fn stale(root: &Path, generated: &[File]) -> Result<Vec<PathBuf>, Error> {
    let mut stale = Vec::new();
    for (_, folder, _) in COPIES {
        let folder = Path::new(CHART).join("files").join(folder);
        if !root.join(&folder).is_dir() {
            continue;
        }
        for file in files(&root.join(&folder))? {
            let path = folder.join(file.file_name().unwrap_or_default());
            if !generated.iter().any(|file| file.path == path) {
                stale.push(path);
            }
        }
    }
    Ok(stale)
}

fn copies(root: &Path) -> Result<Vec<File>, Error> {
    let mut copies = Vec::new();
    for (from, to, only) in COPIES {
        if !root.join(from).is_dir() {
            continue;
        }
        for file in files(&root.join(from))? {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let is_wanted = only.map_or(name != "kustomization.yaml", |only| name == only);
            if !is_wanted || !is_yaml_or_json(&file) {
                continue;
            }
            let path = Path::new(CHART).join("files").join(to).join(name);
            copies.push(File { path, content: copied(&format!("{from}/{name}"), &read(&file)?) });
        }
    }
    Ok(copies)
}

fn is_yaml_or_json(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "yaml" || extension == "json")
}

/// JSON has no comments.
fn copied(from: &str, text: &str) -> String {
    if Path::new(from).extension().is_some_and(|extension| extension == "json") {
        return text.to_owned();
    }
    format!("# Copied from {from} by `make chart`. Do not edit.\n{text}")
}

/// The page with another text between the marks. None where a mark is missing.
fn between_marks(page: &str, text: &str) -> Option<String> {
    let [begin, end] = MARKS;
    let (before, rest) = page.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n{text}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let page = "a\n<!-- values -->\nold\n<!-- end of values -->\nb\n";
        let expected = "a\n<!-- values -->\nnew\n<!-- end of values -->\nb\n";
        assert_eq!(between_marks(page, "new").as_deref(), Some(expected));
        assert_eq!(between_marks(expected, "new").as_deref(), Some(expected));
        assert_eq!(between_marks("<!-- values -->", "new"), None);
    }
}
