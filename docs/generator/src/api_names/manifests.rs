//! The objects, images, Secrets, paths and folders of config/.
//!
//! In: the manifests. Out: a table. Samples and integrations are examples, and CRDs have a section
//! of their own: they are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::markdown::{codes, table};
use crate::{Error, files, read};

/// What the manifests name.
#[derive(Debug, Default)]
struct Names {
    /// Names of objects, by their kind.
    objects: BTreeMap<String, BTreeSet<String>>,
    folders: BTreeSet<String>,
    images: BTreeSet<String>,
    secrets: BTreeSet<String>,
    mount_paths: BTreeSet<String>,
}

/// The tables.
pub fn section(config: &Path) -> Result<String, Error> {
    let mut manifests = Vec::new();
    list(config, &mut manifests)?;
    let mut names = Names::default();
    for manifest in manifests {
        names.add(config, &manifest)?;
    }
    Ok(names.render())
}

impl Names {
    fn add(&mut self, config: &Path, file: &Path) -> Result<(), Error> {
        let text = read(file)?;
        self.secrets.extend(values_of(&text, "secretName: "));
        self.mount_paths.extend(values_of(&text, "mountPath: "));
        for document in documents(file, &text)? {
            match string(&document, "/kind") {
                "Kustomization" | "Component" => {
                    let folder = file.parent().and_then(|folder| folder.strip_prefix(config).ok());
                    self.folders
                        .extend(folder.map(|folder| format!("config/{}", folder.display())));
                    let images = document["images"].as_array().into_iter().flatten();
                    self.images.extend(images.map(|image| string(image, "/name").to_owned()));
                }
                // The rules of Prometheus and their tests are no objects.
                "" => {}
                kind => {
                    self.objects.entry(kind.to_owned()).or_default().insert(object(&document));
                }
            }
        }
        Ok(())
    }

    fn render(self) -> String {
        let others = [
            ("image", self.images),
            ("Secret that a pod mounts", self.secrets),
            ("path of a mount in a pod", self.mount_paths),
            ("folder for `kubectl apply -k` or for an overlay", self.folders),
        ];
        let others = others.map(|(what, names)| (what.to_owned(), names));
        let rows = self.objects.into_iter().chain(others);
        table(
            ["kind", "names"],
            rows.map(|(what, names)| [what, codes(names.iter().map(String::as_str))]),
        )
    }
}

/// The values of a key, also in patches that are text inside of YAML.
fn values_of(text: &str, key: &str) -> Vec<String> {
    let values =
        text.lines().filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(key));
    values.map(|value| value.trim().to_owned()).collect()
}

/// All YAML files below a folder, sorted by path.
fn list(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Error> {
    let is_left_out =
        |path: &Path| ["samples", "bases", "integrations"].iter().any(|name| path.ends_with(name));
    for path in files(folder)? {
        if path.is_dir() && !is_left_out(&path) {
            list(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
    Ok(())
}

fn documents(file: &Path, text: &str) -> Result<Vec<Value>, Error> {
    serde_saphyr::from_multiple(text)
        .map_err(|error| Error::Manifest { path: file.to_owned(), message: error.to_string() })
}

/// The object's name, with its namespace if it has one.
fn object(document: &Value) -> String {
    let name = string(document, "/metadata/name");
    match string(document, "/metadata/namespace") {
        "" => name.to_owned(),
        namespace => format!("{namespace}/{name}"),
    }
}

fn string<'a>(document: &'a Value, pointer: &str) -> &'a str {
    document.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
