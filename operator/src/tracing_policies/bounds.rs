//! Bounds on what is read of one TracingPolicy.
//!
//! In: metadata and spec as the API server gives them. Out: a spec that is cheap to judge, or an
//! error. Nothing is left out that could change a verdict: a policy that names [`MAX_HOOKS`]
//! different hooks names one that no kernel has, and so do its first ones.

use std::borrow::Cow;
use std::collections::HashSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use lsm_ready_tetragon::tracing_policy::hook_requirements::MAX_HOOKS;
use lsm_ready_tetragon::tracing_policy::{Error, Name};
use serde_json::Value;

use super::entry::Entry;

/// Maximum number of entries of `spec.lsmhooks`.
pub const MAX_ENTRIES: usize = 1024;
/// Maximum size of a spec, in bytes of JSON.
pub const MAX_BYTES: usize = 256 * 1024;
/// Maximum size of all labels of a policy, in bytes.
const MAX_LABELS: usize = 32 * 1024;
/// Maximum size of a `nodeSelector`, in bytes of JSON.
pub const MAX_SELECTOR: usize = 16 * 1024;
/// Maximum size of one object as it is kept.
pub const MAX_KEPT_BYTES: usize = 512 * 1024;

/// What an object takes without its lists: its name, its effects, and its places in maps.
const BASE: usize = 1024;
/// What a label, a hook or a finding takes beside its texts.
const PER_LABEL: usize = 96;
const PER_HOOK: usize = 256;
const PER_FINDING: usize = 128;
/// A selector is kept twice, with about four bytes for each byte of JSON.
const PER_SELECTOR_BYTE: usize = 8;

/// The spec, without entries that cannot change the verdict.
///
/// Fails if the policy is too large to be judged.
pub(super) fn check<'a>(metadata: &ObjectMeta, spec: &'a Value) -> Result<Cow<'a, Value>, Error> {
    if size_of_labels(metadata) > MAX_LABELS {
        let problem = format!("have more than {MAX_LABELS} bytes, so they are not read");
        return Err(Error { path: "metadata.labels".to_owned(), problem });
    }
    let bytes = selector_bytes(spec);
    if bytes > MAX_SELECTOR {
        let problem = format!("has {bytes} bytes, and selectors of up to {MAX_SELECTOR} are read");
        return Err(Error { path: "spec.nodeSelector".to_owned(), problem });
    }
    let spec = with_fewer_hooks(metadata, spec)?;
    let bytes = serde_json::to_vec(&*spec).map_or(usize::MAX, |bytes| bytes.len());
    if bytes > MAX_BYTES {
        let problem = format!("has {bytes} bytes, and policies of up to {MAX_BYTES} are judged");
        return Err(Error { path: "spec".to_owned(), problem });
    }
    Ok(spec)
}

fn with_fewer_hooks<'a>(metadata: &ObjectMeta, spec: &'a Value) -> Result<Cow<'a, Value>, Error> {
    let entries = spec["lsmhooks"].as_array().map_or(&[][..], Vec::as_slice);
    if entries.len() <= MAX_ENTRIES {
        return Ok(Cow::Borrowed(spec));
    }
    let mut different = HashSet::new();
    let enough = entries.iter().position(|entry| {
        different.extend(entry["hook"].as_str());
        different.len() >= MAX_HOOKS
    });
    let Some(last) = enough else {
        let (name, count) = (Name::of(metadata), entries.len());
        let problem = format!(
            "of {name} has {count} entries, and policies with up to {MAX_ENTRIES} are judged"
        );
        return Err(Error { path: "spec.lsmhooks".to_owned(), problem });
    };
    // A copy of the whole spec would take as much memory as the spec.
    let fields = spec.as_object().into_iter().flatten();
    let fewer = fields.map(|(field, value)| match field.as_str() {
        "lsmhooks" => (field.clone(), Value::from(&entries[..=last])),
        _ => (field.clone(), value.clone()),
    });
    Ok(Cow::Owned(fewer.collect()))
}

/// Fails if what is kept of a policy is too large.
pub(super) fn check_kept(bytes: usize) -> Result<(), Error> {
    if bytes <= MAX_KEPT_BYTES {
        return Ok(());
    }
    let problem = format!(
        "has {bytes} bytes as it is kept, with what was found in it, and policies of up to \
         {MAX_KEPT_BYTES} are judged"
    );
    Err(Error { path: "spec".to_owned(), problem })
}

/// About how much memory the object with that spec takes.
pub(super) fn kept_bytes(entry: &Entry, spec: &Value) -> usize {
    let labels = entry.labels().iter();
    let labels: usize = labels.map(|(key, value)| PER_LABEL + key.len() + value.len()).sum();
    let content: usize = match entry {
        Entry::Unreadable { error, .. } => error.len(),
        Entry::Read(policy) => {
            let hooks = policy.required_hooks.iter();
            let hooks = hooks.map(|hook| PER_HOOK + 2 * hook.hook.len() + hook.field.len());
            let findings = policy.diagnostics.iter();
            let findings = findings.map(|found| PER_FINDING + found.path.len() + found.rule.len());
            hooks.chain(findings).sum()
        }
    };
    let selector = Some(selector_bytes(spec)).filter(|bytes| *bytes <= MAX_SELECTOR);
    BASE + labels + content + PER_SELECTOR_BYTE * selector.unwrap_or_default()
}

/// The size of the `nodeSelector`, in bytes of JSON.
pub(super) fn selector_bytes(spec: &Value) -> usize {
    let selector = spec.get("nodeSelector").filter(|selector| !selector.is_null());
    selector.map_or(0, |selector| selector.to_string().len())
}

fn size_of_labels(metadata: &ObjectMeta) -> usize {
    let labels = metadata.labels.iter().flatten();
    labels.map(|(key, value)| key.len() + value.len()).sum()
}

#[cfg(test)]
mod tests {
    use lsm_ready_tetragon::tracing_policy::TracingPolicy;
    use serde_json::json;

    use super::*;

    fn read(hooks: impl Iterator<Item = String>) -> Result<TracingPolicy, Error> {
        let hooks: Vec<Value> = hooks.map(|hook| json!({"hook": hook})).collect();
        let metadata = ObjectMeta { name: Some("p".to_owned()), ..ObjectMeta::default() };
        let spec = json!({"lsmhooks": hooks});
        let spec = check(&metadata, &spec)?;
        TracingPolicy::from_cluster(&metadata, &spec)
    }

    #[test]
    fn the_first_hooks_of_a_flood_are_judged() {
        let policy = read((0..50_000).map(|number| format!("unknown_{number:05}"))).unwrap();
        assert_eq!(policy.required_hooks.len(), MAX_HOOKS);
    }

    /// A hook that comes last could be the one that a kernel lacks.
    #[test]
    fn many_entries_with_few_hooks_are_refused() {
        let found = read((0..5_000).map(|number| format!("hook_{}", number % 5))).unwrap_err();
        assert_eq!(
            found.to_string(),
            "spec.lsmhooks: of p has 5000 entries, and policies with up \
                                       to 1024 are judged"
        );
        assert!(read((0..1_000).map(|number| format!("hook_{}", number % 5))).is_ok());
    }

    #[test]
    fn a_large_spec_is_refused() {
        let metadata = ObjectMeta { name: Some("p".to_owned()), ..ObjectMeta::default() };
        let spec = json!({"kprobes": ["x".repeat(MAX_BYTES)]});
        let error = check(&metadata, &spec).unwrap_err();
        assert!(error.to_string().contains("spec: has 2621"), "{error}");
    }
}
