//! The chart's copies and its table of values are those of config/ and values.yaml, and its schema
//! knows exactly its values.
#![allow(clippy::unwrap_used, reason = "a file that cannot be read fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use lsm_ready_docs::chart::{self, CHART, values};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(name: &str) -> String {
    fs::read_to_string(root().join(CHART).join(name)).unwrap()
}

fn yaml(name: &str) -> Value {
    serde_saphyr::from_str(&text(name)).unwrap()
}

#[test]
fn every_generated_file_of_the_chart_is_up_to_date() {
    let root = root();
    let generated = chart::generated(&root).unwrap();
    assert!(generated.len() > 20, "only {} files: is the search broken?", generated.len());
    for file in &generated {
        let found = fs::read_to_string(root.join(&file.path)).unwrap_or_default();
        let path = file.path.display();
        assert_eq!(found, file.content, "{path} differs: run `make chart`");
    }
    let stale = chart::stale(&root, &generated).unwrap();
    assert_eq!(stale, Vec::<PathBuf>::new(), "copies of nothing: run `make chart`");
}

/// The paths of all properties of a schema, and of those that allow any content.
fn properties(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        properties(property, &path, found);
        found.insert(path);
    }
}

fn keys(values: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, value) in values.as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        keys(value, &path, found);
        found.insert(path);
    }
}

#[test]
fn each_value_is_in_the_schema_and_each_property_of_it_in_the_values() {
    let (mut in_schema, mut in_values) = (BTreeSet::new(), BTreeSet::new());
    let schema: Value = serde_json::from_str(&text("values.schema.json")).unwrap();
    properties(&schema, "", &mut in_schema);
    keys(&yaml("values.yaml"), "", &mut in_values);
    // Helm sets `global` for subcharts. Free maps have names of their own.
    in_schema.remove("global");
    let is_free = |path: &String| path.contains("resources.") || path.contains("kubernetes.io/");
    let in_values: BTreeSet<String> = in_values.into_iter().filter(|path| !is_free(path)).collect();
    let in_schema: BTreeSet<String> = in_schema.into_iter().filter(|path| !is_free(path)).collect();
    assert_eq!(in_schema, in_values);
}

/// A misspelled value must not be ignored.
#[test]
fn no_object_of_the_schema_takes_unknown_names() {
    fn strict(schema: &Value, path: &str) {
        if schema.get("properties").is_some() {
            assert_eq!(schema["additionalProperties"], false, "{path}");
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            strict(property, &format!("{path}.{name}"));
        }
    }
    strict(&serde_json::from_str(&text("values.schema.json")).unwrap(), "");
}

#[test]
fn each_value_has_a_comment() {
    let documented = values::documented(&text("values.yaml"));
    let rows: Vec<_> =
        documented.iter().filter(|one| !values::is_group(one, &documented)).collect();
    assert!(rows.len() > 40, "{rows:?}");
    let mut all = BTreeSet::new();
    keys(&yaml("values.yaml"), "", &mut all);
    let is_above = |path: &str| all.iter().any(|other| other.starts_with(&format!("{path}.")));
    let has_comment = |path: &str| {
        rows.iter().any(|row| row.path == path || path.starts_with(&format!("{}.", row.path)))
    };
    let without: Vec<_> = all.iter().filter(|path| !is_above(path) && !has_comment(path)).collect();
    assert_eq!(without, Vec::<&String>::new());
}

#[test]
fn the_chart_has_the_version_of_the_program() {
    let chart = yaml("Chart.yaml");
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    let images = chart["annotations"]["artifacthub.io/images"].as_str().unwrap();
    assert_eq!(images.matches(&format!(":{}\n", env!("CARGO_PKG_VERSION"))).count(), 2);
}
