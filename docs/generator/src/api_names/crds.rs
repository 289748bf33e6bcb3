//! The kinds and their fields, from the CustomResourceDefinitions.

use lsm_ready_crds::manifest::definitions;
use serde_json::Value;

use crate::markdown::{code, codes, heading, table};

/// A row for each kind.
pub fn kinds() -> String {
    let rows = definitions().into_iter().map(|crd| {
        let versions: Vec<_> =
            crd.spec.versions.iter().map(|version| version.name.as_str()).collect();
        let short = crd.spec.names.short_names.clone().unwrap_or_default();
        [
            code(&crd.spec.names.kind),
            code(&format!("{}/{}", crd.spec.group, versions.join(","))),
            code(&crd.spec.names.plural),
            codes(short.iter().map(String::as_str)),
            crd.spec.scope,
        ]
    });
    table(["kind", "API version", "plural", "short names", "scope"], rows)
}

/// For each kind, the paths of all fields of spec and status.
pub fn fields() -> String {
    let mut text = "`kubectl explain KIND.FIELD` says what a field means.\n".to_owned();
    for crd in definitions() {
        let kind = &crd.spec.names.kind;
        let mut paths = Vec::new();
        for version in &crd.spec.versions {
            let schema = serde_json::to_value(&version.schema).unwrap_or_default();
            collect("", &schema["openAPIV3Schema"], &mut paths);
        }
        paths.retain(|path| path.starts_with("spec.") || path.starts_with("status."));
        text.push_str(&heading(kind));
        let lines = paths.iter().flat_map(|path| ["- `", path, "`\n"]);
        text.extend(lines);
    }
    text
}

/// The path of each property; `[]` stands for an item of a list, `{}` for a value of a map.
fn collect(path: &str, schema: &Value, paths: &mut Vec<String>) {
    if let Some(properties) = schema["properties"].as_object() {
        for (name, property) in properties {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            paths.push(path.clone());
            collect(&path, property, paths);
        }
    }
    if schema["items"].is_object() {
        collect(&format!("{path}[]"), &schema["items"], paths);
    }
    if schema["additionalProperties"].is_object() {
        collect(&format!("{path}{{}}"), &schema["additionalProperties"], paths);
    }
}
