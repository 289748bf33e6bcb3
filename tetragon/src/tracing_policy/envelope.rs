//! What an API server requires of any object: version, kind and metadata.
//!
//! In: an object from a file. Out: a diagnostic for each field that the API server refuses, with
//! any release of Tetragon. [`super::schema`] checks the types of the fields. The rules are those
//! of `ValidateObjectMeta` in Kubernetes.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::{Map, Value};

use super::diagnostic::{Collector, Severity, quoted};
use super::release::Releases;
use super::{KINDS, VERSION};

/// Maximum size of all annotations of an object, in bytes.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// Maximum length of an object's name.
const MAX_NAME_LEN: usize = 253;

/// Maximum length of a namespace, and of the name in a label's key.
const MAX_LABEL_LEN: usize = 63;

/// The form of a label's key.
const KEY: &str = "use at most 63 letters, digits, -, _ and ., the first and last a letter or \
    digit. A domain and a slash may come before it, for example example.com/tier";

/// Checks version, kind and metadata of an object from a file.
pub fn check(object: &Map<String, Value>, metadata: &ObjectMeta, out: &mut Collector) {
    let mut check = Check { out };
    check.version(object);
    check.kind(object);
    check.names(metadata);
    check.namespace(metadata.namespace.as_deref().unwrap_or_default());
    check.labels(metadata.labels.as_ref());
    check.annotations(metadata.annotations.as_ref());
    for finalizer in metadata.finalizers.iter().flatten() {
        if !is_qualified_name(finalizer) {
            let rule = format!("invalid finalizer {}: {KEY}", quoted(finalizer));
            check.refuse("metadata.finalizers", rule);
        }
    }
    check.owners(metadata.owner_references.as_deref().unwrap_or_default());
}

struct Check<'a> {
    out: &'a mut Collector,
}

impl Check<'_> {
    fn refuse(&mut self, path: &str, rule: impl Into<String>) {
        self.out.add_for(Releases::ALL, Severity::Schema, path, rule);
    }

    fn version(&mut self, object: &Map<String, Value>) {
        match text_of(object, "apiVersion") {
            Some("") => self.refuse("apiVersion", format!("is missing; write {VERSION}")),
            Some(version) if version != VERSION => {
                let rule =
                    format!("Tetragon's CRDs do not serve {}; write {VERSION}", quoted(version));
                self.refuse("apiVersion", rule);
            }
            Some(_) | None => {}
        }
    }

    fn kind(&mut self, object: &Map<String, Value>) {
        let write = format!("write {} or {}", KINDS[0].0, KINDS[1].0);
        match text_of(object, "kind") {
            Some("") => self.refuse("kind", format!("is missing; {write}")),
            Some(kind) if !KINDS.iter().any(|(known, _)| *known == kind) => {
                self.refuse("kind", format!("unknown kind {}; {write}", quoted(kind)));
            }
            Some(_) | None => {}
        }
    }

    fn names(&mut self, metadata: &ObjectMeta) {
        let name = metadata.name.as_deref().filter(|name| !name.is_empty());
        let prefix = metadata.generate_name.as_deref().filter(|prefix| !prefix.is_empty());
        if let Some(name) = name.filter(|name| !is_subdomain(name)) {
            self.refuse("metadata.name", invalid_name(name));
        }
        // The API server appends letters and digits to the prefix.
        let is_prefix = |prefix: &str| is_subdomain(&format!("{}a", prefix.trim_end_matches('-')));
        if let Some(prefix) = prefix.filter(|prefix| !is_prefix(prefix)) {
            self.refuse("metadata.generateName", invalid_name(prefix));
        }
        if name.is_none() && prefix.is_some() {
            let rule = "kubectl create makes a name of it, but kubectl apply refuses a policy \
                without metadata.name";
            self.out.add_for(Releases::ALL, Severity::Note, "metadata.generateName", rule);
        }
    }

    fn namespace(&mut self, namespace: &str) {
        let is_valid = is_label(namespace) && namespace.len() <= MAX_LABEL_LEN;
        if !namespace.is_empty() && !is_valid {
            let rule = format!(
                "invalid namespace {}: use at most {MAX_LABEL_LEN} lower-case letters, digits and \
                 -, the first and last a letter or digit",
                quoted(namespace)
            );
            self.refuse("metadata.namespace", rule);
        }
    }

    fn labels(&mut self, labels: Option<&BTreeMap<String, String>>) {
        for key in labels.into_iter().flat_map(BTreeMap::keys) {
            if !is_qualified_name(key) {
                let rule = format!("invalid label key {}: {KEY}", quoted(key));
                self.refuse("metadata.labels", rule);
            }
        }
    }

    fn annotations(&mut self, annotations: Option<&BTreeMap<String, String>>) {
        for key in annotations.into_iter().flat_map(BTreeMap::keys) {
            // The domain of an annotation's key may have upper-case letters.
            if !is_qualified_name(&key.to_ascii_lowercase()) {
                let rule = format!("invalid annotation key {}: {KEY}", quoted(key));
                self.refuse("metadata.annotations", rule);
            }
        }
        let size: usize =
            annotations.into_iter().flatten().map(|(key, value)| key.len() + value.len()).sum();
        if size > MAX_ANNOTATIONS {
            let rule = format!("have {size} bytes; at most {MAX_ANNOTATIONS} are allowed");
            self.refuse("metadata.annotations", rule);
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
                self.refuse(&format!("metadata.ownerReferences[{index}].{field}"), rule);
            }
        }
        if owners.iter().filter(|owner| owner.controller == Some(true)).count() > 1 {
            let rule = "more than one owner has controller: true; at most one may have it";
            self.refuse("metadata.ownerReferences", rule);
        }
    }
}

/// The text of a field, empty if it is missing. `None` if it is not text, which the schema reports.
fn text_of<'a>(object: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    match object.get(field) {
        None | Some(Value::Null) => Some(""),
        Some(value) => value.as_str(),
    }
}

fn invalid_name(name: &str) -> String {
    format!(
        "invalid name {}: use at most {MAX_NAME_LEN} lower-case letters, digits, - and ., and \
         begin and end each part with a letter or digit",
        quoted(name)
    )
}

/// Whether that is a DNS subdomain (RFC 1123).
fn is_subdomain(name: &str) -> bool {
    name.len() <= MAX_NAME_LEN && name.split('.').all(is_label)
}

/// Whether that is a DNS label (RFC 1123), of any length.
fn is_label(part: &str) -> bool {
    let is_alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    bytes.first().is_some_and(is_alphanumeric)
        && bytes.last().is_some_and(is_alphanumeric)
        && bytes.iter().all(|byte| is_alphanumeric(byte) || *byte == b'-')
}

/// Whether that is the key of a label: a name, with or without a domain and a slash before it.
fn is_qualified_name(key: &str) -> bool {
    let (domain, name) =
        key.split_once('/').map_or((None, key), |(domain, name)| (Some(domain), name));
    let is_outer = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    domain.is_none_or(is_subdomain)
        && bytes.len() <= MAX_LABEL_LEN
        && is_outer(bytes.first())
        && is_outer(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_valid_label_keys_are_accepted() {
        let long = "a".repeat(MAX_LABEL_LEN);
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
