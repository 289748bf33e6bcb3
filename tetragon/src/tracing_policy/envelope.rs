//! What an API server demands of any object: version, kind, and metadata.
//!
//! In: an object from a file. Out: a diagnostic for each field that the API server refuses, whatever Tetragon's release is.
//! The types of the fields are checked by [`super::schema`]. The rules are those of `ValidateObjectMeta` in Kubernetes.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::{Map, Value};

use super::diagnostic::{Collector, Severity, quoted};
use super::release::Releases;
use super::{KINDS, VERSION};

/// Most bytes that all annotations of an object may have together.
const MOST_ANNOTATIONS: usize = 256 * 1024;

/// Longest name of an object.
const LONGEST_NAME: usize = 253;

/// Longest namespace, and longest name in the key of a label.
const LONGEST_PART: usize = 63;

/// Checks version, kind and metadata of a file's object.
pub fn check(object: &Map<String, Value>, metadata: &ObjectMeta, out: &mut Collector) {
    let mut check = Check { out };
    check.kind(object);
    check.name(metadata);
    check.labels(metadata);
    for finalizer in
        metadata.finalizers.iter().flatten().filter(|finalizer| !is_qualified_name(finalizer))
    {
        check.add("metadata.finalizers", format!("{} is invalid; {KEY}", quoted(finalizer)));
    }
    check.owners(metadata.owner_references.as_deref().unwrap_or_default());
}

/// The form of a label's key.
const KEY: &str = "use at most 63 letters, digits, -, _ and ., the first and last a letter or digit, and before it, if \
                   wanted, a domain and a slash, for example example.com/tier";

struct Check<'a> {
    out: &'a mut Collector,
}

impl Check<'_> {
    fn add(&mut self, path: &str, rule: impl Into<String>) {
        self.out.add_for(Releases::ALL, Severity::Schema, path, rule);
    }

    fn kind(&mut self, object: &Map<String, Value>) {
        // A value that is no text is the schema's matter.
        let text = |field: &str| match object.get(field) {
            None | Some(Value::Null) => Some(""),
            Some(value) => value.as_str(),
        };
        match text("apiVersion") {
            Some("") => self.add("apiVersion", format!("is missing; write {VERSION}")),
            Some(version) if version != VERSION => {
                self.add(
                    "apiVersion",
                    format!(
                        "{} is not served by Tetragon's CRDs; write {VERSION}",
                        quoted(version)
                    ),
                );
            }
            _ => {}
        }
        let kinds = format!("write {} or {}", KINDS[0].0, KINDS[1].0);
        match text("kind") {
            Some("") => self.add("kind", format!("is missing; {kinds}")),
            Some(kind) if !KINDS.iter().any(|(known, _)| *known == kind) => {
                self.add("kind", format!("unknown kind {}; {kinds}", quoted(kind)));
            }
            _ => {}
        }
    }

    fn name(&mut self, metadata: &ObjectMeta) {
        let name = metadata.name.as_deref().filter(|name| !name.is_empty());
        let prefix = metadata.generate_name.as_deref().filter(|prefix| !prefix.is_empty());
        let rule = |name: &str| {
            format!(
                "{} can be no object's name: at most {LONGEST_NAME} lower-case letters, digits, - and ., each part begins \
                 and ends with a letter or digit",
                quoted(name)
            )
        };
        if let Some(name) = name.filter(|name| !is_subdomain(name)) {
            self.add("metadata.name", rule(name));
        }
        // The API server appends letters and digits to it.
        if let Some(prefix) =
            prefix.filter(|prefix| !is_subdomain(&format!("{}a", prefix.trim_end_matches('-'))))
        {
            self.add("metadata.generateName", rule(prefix));
        }
        if name.is_none() && prefix.is_some() {
            let rule = "kubectl create makes a name of it; kubectl apply refuses a policy without metadata.name";
            self.out.add_for(Releases::ALL, Severity::Remark, "metadata.generateName", rule);
        }
        if let Some(namespace) =
            metadata.namespace.as_deref().filter(|namespace| !namespace.is_empty())
            && !(is_label(namespace) && namespace.len() <= LONGEST_PART)
        {
            let rule = format!(
                "{} can be no namespace: at most {LONGEST_PART} lower-case letters, digits and -, the first and last a \
                 letter or digit",
                quoted(namespace)
            );
            self.add("metadata.namespace", rule);
        }
    }

    fn labels(&mut self, metadata: &ObjectMeta) {
        let keys = |map: &Option<BTreeMap<String, String>>| {
            map.iter().flatten().map(|(key, _)| key.clone()).collect()
        };
        let labels: Vec<String> = keys(&metadata.labels);
        for key in labels.iter().filter(|key| !is_qualified_name(key)) {
            self.add("metadata.labels", format!("{} cannot be a label's key; {KEY}", quoted(key)));
        }
        let annotations: Vec<String> = keys(&metadata.annotations);
        // The domain of an annotation's key may have upper-case letters.
        for key in annotations.iter().filter(|key| !is_qualified_name(&key.to_ascii_lowercase())) {
            self.add(
                "metadata.annotations",
                format!("{} cannot be an annotation's key; {KEY}", quoted(key)),
            );
        }
        let size: usize =
            metadata.annotations.iter().flatten().map(|(key, value)| key.len() + value.len()).sum();
        if size > MOST_ANNOTATIONS {
            self.add(
                "metadata.annotations",
                format!("have {size} bytes; at most {MOST_ANNOTATIONS} are allowed"),
            );
        }
    }

    fn owners(&mut self, owners: &[OwnerReference]) {
        for (index, owner) in owners.iter().enumerate() {
            let fields = [
                ("apiVersion", &owner.api_version),
                ("kind", &owner.kind),
                ("name", &owner.name),
                ("uid", &owner.uid),
            ];
            for (field, _) in fields.into_iter().filter(|(_, value)| value.is_empty()) {
                let rule = "is missing; an owner has apiVersion, kind, name and uid";
                self.add(&format!("metadata.ownerReferences[{index}].{field}"), rule);
            }
        }
        if owners.iter().filter(|owner| owner.controller == Some(true)).count() > 1 {
            self.add(
                "metadata.ownerReferences",
                "more than one owner has controller: true; at most one may have it",
            );
        }
    }
}

/// A DNS subdomain (RFC 1123).
fn is_subdomain(name: &str) -> bool {
    name.len() <= LONGEST_NAME && name.split('.').all(is_label)
}

/// A DNS label (RFC 1123) of any length.
fn is_label(part: &str) -> bool {
    let is_outer = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let bytes = part.as_bytes();
    is_outer(bytes.first())
        && is_outer(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
}

/// The key of a label: a name, and before it, if wanted, a domain and a slash.
fn is_qualified_name(key: &str) -> bool {
    let (domain, name) =
        key.split_once('/').map_or((None, key), |(domain, name)| (Some(domain), name));
    let is_outer = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    domain.is_none_or(is_subdomain)
        && bytes.len() <= LONGEST_PART
        && is_outer(bytes.first())
        && is_outer(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_labels_are_told_from_others() {
        let long = "a".repeat(LONGEST_PART);
        for (key, expected) in [
            ("tier", true),
            ("Tier_1.a-b", true),
            ("example.com/tier", true),
            ("", false),
            ("a b", false),
            ("-a", false),
            ("a/", false),
            ("/a", false),
            ("a/b/c", false),
            ("Example.com/tier", false),
            (long.as_str(), true),
            (&format!("a{long}"), false),
        ] {
            assert_eq!(is_qualified_name(key), expected, "{key:?}");
        }
    }
}
