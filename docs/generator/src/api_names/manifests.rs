//! The objects that config/ creates, and its folders for `kubectl apply -k`.
//!
//! In: the manifests. Out: two tables. Samples are examples and CRDs have a section of their own: both are left out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::markdown::{code, codes, table};
use crate::{Error, files, read};

/// The tables.
pub fn section(config: &Path) -> Result<String, Error> {
    let mut manifests = Vec::new();
    list(config, &mut manifests)?;
    let mut objects: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut folders = Vec::new();
    for file in manifests {
        let folder = file.parent().unwrap_or(config);
        let name = folder.strip_prefix(config).unwrap_or(folder).display().to_string();
        for document in documents(&file)? {
            match text(&document, "/kind") {
                "Kustomization" | "Component" => folders.push(name.clone()),
                kind => objects.entry(kind.to_owned()).or_default().push(object(&document)),
            }
        }
    }
    folders.sort_unstable();
    let rows = objects.into_iter().map(|(kind, mut names)| {
        names.sort_unstable();
        names.dedup();
        [kind, codes(names.iter().map(String::as_str))]
    });
    let folders = folders.iter().map(|name| code(&format!("config/{name}"))).collect::<Vec<_>>();
    Ok(format!(
        "{}\nFolders that kustomize reads: {}.\n",
        table(["kind", "names"], rows),
        folders.join(", ")
    ))
}

/// All YAML files below a folder, sorted by path.
fn list(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Error> {
    for path in files(folder)? {
        if path.is_dir() && !path.ends_with("samples") && !path.ends_with("bases") {
            list(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
    Ok(())
}

fn documents(file: &Path) -> Result<Vec<Value>, Error> {
    serde_saphyr::from_multiple(&read(file)?)
        .map_err(|error| Error::Manifest { path: file.to_owned(), message: error.to_string() })
}

/// The object's name, with its namespace where it has one.
fn object(document: &Value) -> String {
    let name = text(document, "/metadata/name");
    match text(document, "/metadata/namespace") {
        "" => name.to_owned(),
        namespace => format!("{namespace}/{name}"),
    }
}

fn text<'a>(document: &'a Value, pointer: &str) -> &'a str {
    document.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
