//! Everything that `config/` installs is found by a cleanup, and the Job may delete it.
#![allow(clippy::unwrap_used, reason = "what cannot be prepared fails the test")]

use std::path::{Path, PathBuf};

use kube::api::DynamicObject;
use lsm_ready_cleanup::installed::{Installation, REST, WRITERS};
use serde_json::{Value, json};

fn config() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config")
}

/// The objects in the YAML files below that folder.
fn objects(folder: &Path) -> Vec<Value> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(objects(&path));
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.extend(serde_saphyr::from_multiple::<Value>(&text).unwrap());
        }
    }
    found
}

/// What is installed: no kustomizations, samples, or objects of the Job itself.
fn installed() -> Vec<Value> {
    let mut found = Vec::new();
    for folder in ["admission", "crd", "default", "operator", "probe", "rbac"] {
        found.extend(objects(&config().join(folder)));
    }
    found.retain(|object| object["kind"] != "Kustomization" && object["kind"] != "Component");
    assert!(found.len() > 20, "only {} objects were found: is the search broken?", found.len());
    found
}

/// The rules of the Job's ClusterRole.
fn rules() -> Vec<Value> {
    let all = objects(&config().join("cleanup"));
    let role = all.iter().find(|object| object["kind"] == "ClusterRole").unwrap();
    role["rules"].as_array().unwrap().clone()
}

fn allows(rule: &Value, verb: &str, group: &str, plural: &str, name: &str) -> bool {
    let has = |field: &str, value: &str| {
        rule[field].as_array().is_some_and(|values| values.contains(&json!(value)))
    };
    let names = rule.get("resourceNames");
    has("verbs", verb)
        && has("apiGroups", group)
        && has("resources", plural)
        && (names.is_none() || has("resourceNames", name))
}

#[test]
fn a_cleanup_finds_every_installed_object_and_the_job_may_delete_it() {
    let installation = Installation { namespace: "lsm-ready-system".into(), keep_job: true };
    let rules = rules();
    for mut object in installed() {
        // The label that kustomize adds.
        object["metadata"]["labels"]["app.kubernetes.io/part-of"] = json!("lsm-ready");
        let (kind, name) = (object["kind"].clone(), object["metadata"]["name"].clone());
        let name = name.as_str().unwrap();
        let rule = WRITERS.into_iter().chain(REST).find(|rule| kind == rule.kind.kind);
        let rule = rule.unwrap_or_else(|| panic!("no cleanup knows the kind {kind} of {name}"));
        let parsed: DynamicObject = serde_json::from_value(object).unwrap();
        assert!(installation.has(rule.sign, &parsed), "no cleanup finds {kind} {name}");
        let (group, plural) = (rule.kind.group, rule.kind.plural);
        let allowed = rules.iter().any(|rule| allows(rule, "delete", group, plural, name));
        assert!(
            allowed,
            "the Job may not delete {kind} {name}: add it to config/cleanup/rbac.yaml"
        );
    }
}

/// Another right to delete would be a right to delete what is not ours.
#[test]
fn the_job_may_delete_by_name_only() {
    for rule in rules() {
        let deletes = rule["verbs"].as_array().unwrap().contains(&json!("delete"));
        assert!(!deletes || rule.get("resourceNames").is_some(), "{rule}");
    }
}
