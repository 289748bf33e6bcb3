//! Rendered objects, by kind, namespace and name.

use std::collections::BTreeMap;

use serde_json::Value;

/// The objects of a text of YAML documents.
#[derive(Clone, Debug, Default)]
pub struct Objects(pub BTreeMap<String, Value>);

impl Objects {
    pub fn read(text: &str) -> Self {
        let documents = serde_saphyr::from_multiple::<Value>(text).unwrap();
        let mut objects = BTreeMap::new();
        for object in documents.into_iter().filter(|object| !object.is_null()) {
            let key = key(&object);
            assert!(objects.insert(key.clone(), object).is_none(), "{key} is there twice");
        }
        Self(objects)
    }

    /// For example `Deployment lsm-ready-system/lsm-ready-operator` or `ClusterRole
    /// lsm-ready-probe`.
    pub fn get(&self, key: &str) -> &Value {
        let names = || self.0.keys().map(String::as_str).collect::<Vec<_>>().join("\n");
        self.0.get(key).unwrap_or_else(|| panic!("there is no {key}, but:\n{}", names()))
    }

    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub fn operator(&self) -> &Value {
        &self.get("Deployment lsm-ready-system/lsm-ready-operator")["spec"]["template"]["spec"]
    }

    pub fn probe(&self) -> &Value {
        &self.get("DaemonSet lsm-ready-system/lsm-ready-probe")["spec"]["template"]["spec"]
    }
}

fn key(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let kind = text("/kind").unwrap_or_else(|| panic!("no kind: {object}"));
    let name = text("/metadata/name").unwrap_or_else(|| panic!("no name: {object}"));
    match text("/metadata/namespace") {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

/// Whether Helm runs the object as a hook, and does not install it.
pub fn is_hook(object: &Value) -> bool {
    object.pointer("/metadata/annotations/helm.sh~1hook").is_some()
}
