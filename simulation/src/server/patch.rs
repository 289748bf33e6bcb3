//! What patches do to objects: merge patches, the strategic merge of a Node's conditions, and
//! server-side apply of what this operator applies.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// Annotation in which the API server counts a DaemonSet's pod templates.
pub const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// RFC 7396.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(target) = target.as_object_mut() else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// A strategic merge of `status.conditions`, by type.
pub fn merge_conditions(object: &mut Value, conditions: &[Value]) {
    for condition in conditions {
        let conditions = list(&mut object["status"]["conditions"]);
        match conditions.iter_mut().find(|present| present["type"] == condition["type"]) {
            Some(present) => merge(present, condition),
            None => conditions.push(condition.clone()),
        }
    }
}

/// The list at that place. It is made where there is none.
pub fn list(value: &mut Value) -> &mut Vec<Value> {
    if !value.is_array() {
        *value = json!([]);
    }
    match value {
        Value::Array(list) => list,
        _ => unreachable!("it was made a list"),
    }
}

/// Counts a changed pod template, as the API server does.
pub fn count_template(before: &Value, after: &mut Value) {
    if before["spec"]["template"] != after["spec"]["template"] {
        let count = before["metadata"]["annotations"][TEMPLATE_GENERATION].as_str();
        let count: u64 = count.and_then(|count| count.parse().ok()).unwrap_or_default();
        after["metadata"]["annotations"][TEMPLATE_GENERATION] = json!((count + 1).to_string());
    }
}

/// What one manager applies to a DaemonSet.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Applied {
    labels: Map<String, Value>,
    volumes: Vec<Value>,
    /// The container and the mount.
    mounts: Vec<Mount>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Mount {
    container: String,
    mount: Value,
}

impl Applied {
    /// Reads what is applied. The error names a field that is not modelled.
    pub fn read(object: &Value) -> Result<Self, String> {
        only(object, &["apiVersion", "kind", "metadata", "spec"])?;
        let metadata = &object["metadata"];
        only(metadata, &["name", "namespace", "uid", "resourceVersion", "labels"])?;
        let (spec, template) = (&object["spec"], &object["spec"]["template"]);
        only(spec, &["template"])?;
        only(template, &["spec"])?;
        only(&template["spec"], &["volumes", "containers"])?;
        let items = |field: &str| template["spec"][field].as_array().cloned().unwrap_or_default();
        let mut mounts = Vec::new();
        for container in items("containers") {
            only(&container, &["name", "volumeMounts"])?;
            let name = container["name"].as_str().unwrap_or_default();
            for mount in container["volumeMounts"].as_array().into_iter().flatten() {
                mounts.push(Mount { container: name.to_owned(), mount: mount.clone() });
            }
        }
        let labels = metadata["labels"].as_object().cloned().unwrap_or_default();
        Ok(Self { labels, volumes: items("volumes"), mounts })
    }

    /// Removes everything of it from the object.
    pub fn withdraw(&self, object: &mut Value) {
        if let Some(labels) = object["metadata"]["labels"].as_object_mut() {
            labels.retain(|key, _| !self.labels.contains_key(key));
        }
        let pod = &mut object["spec"]["template"]["spec"];
        let names: BTreeSet<&str> = self.volumes.iter().filter_map(name).collect();
        if let Some(volumes) = pod["volumes"].as_array_mut() {
            volumes.retain(|volume| name(volume).is_none_or(|name| !names.contains(name)));
        }
        for Mount { container, mount } in &self.mounts {
            if let Some(mounts) = mounts(pod, container) {
                mounts.retain(|present| present["mountPath"] != mount["mountPath"]);
            }
        }
    }

    /// Adds everything of it to the object, or changes what is there under the same keys.
    pub fn add(&self, object: &mut Value) {
        for (key, value) in &self.labels {
            object["metadata"]["labels"][key] = value.clone();
        }
        let pod = &mut object["spec"]["template"]["spec"];
        for volume in &self.volumes {
            let volumes = list(&mut pod["volumes"]);
            match volumes.iter_mut().find(|present| present["name"] == volume["name"]) {
                Some(present) => merge(present, volume),
                None => volumes.push(volume.clone()),
            }
        }
        for Mount { container, mount } in &self.mounts {
            let Some(mounts) = mounts(pod, container) else { continue };
            match mounts.iter_mut().find(|present| present["mountPath"] == mount["mountPath"]) {
                Some(present) => merge(present, mount),
                None => mounts.push(mount.clone()),
            }
        }
    }
}

fn name(value: &Value) -> Option<&str> {
    value["name"].as_str()
}

fn mounts<'a>(pod: &'a mut Value, container: &str) -> Option<&'a mut Vec<Value>> {
    let containers = pod["containers"].as_array_mut()?;
    let container = containers.iter_mut().find(|present| present["name"] == container)?;
    Some(list(&mut container["volumeMounts"]))
}

/// The error names a field that is not one of these.
pub fn only(object: &Value, fields: &[&str]) -> Result<(), String> {
    let mut keys = object.as_object().into_iter().flat_map(|object| object.keys());
    keys.find(|key| !fields.contains(&key.as_str()))
        .map_or(Ok(()), |key| Err(format!("the field {key:?} of {object}")))
}
