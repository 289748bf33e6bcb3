//! Notes: what the author of a policy should know although the policy loads.

use std::collections::HashSet;

use lsm_ready_crds::names::NODE_LABEL_PREFIX;
use serde_json::{Map, Value};

use crate::tracing_policy::diagnostic::{Collector, Severity, quoted};
use crate::tracing_policy::hook_requirements::ima_hash;
use crate::tracing_policy::release::Release::{V1_3, V1_7};
use crate::tracing_policy::release::Releases;
use crate::tracing_policy::rules::{IMA_HOOKS, LSM_HOOKS, SECTIONS, list, text};

/// Adds the notes about that `spec`.
pub fn add(spec: &Map<String, Value>, out: &mut Collector) {
    let mut seen = HashSet::new();
    let mut duplicates = HashSet::new();
    let macros = spec.get("selectorsMacros").and_then(Value::as_object);
    for (index, entry) in list(spec, LSM_HOOKS).iter().enumerate() {
        let path = format!("spec.lsmhooks[{index}]");
        let hook = text(entry, "hook");
        if !seen.insert(hook) && duplicates.insert(hook) {
            let rule =
                format!("is the second entry for {}, so the agent loses events", quoted(hook));
            out.add_for(Releases::until(V1_7), Severity::Note, &path, rule);
        }
        if let Some(entry) = entry.as_object() {
            if let Some(field) = ima_hash(entry, &path, macros) {
                out.add_for(Releases::ALL, Severity::Note, &field, about_hash(hook));
            }
            return_actions(entry, &path, out);
        }
    }
    uprobes(spec, out);
    if let Some(selector) = spec.get("nodeSelector") {
        node_selector(selector, out);
    }
}

fn about_hash(hook: &str) -> String {
    if IMA_HOOKS.contains(&hook) {
        return "gives a hash from Linux 5.11 on; on older kernels the policy loads without it"
            .to_owned();
    }
    let hooks = IMA_HOOKS.join(", ");
    format!("gives no hash on {hook}, only on {hooks}; the policy loads without it")
}

fn return_actions(entry: &Map<String, Value>, path: &str, out: &mut Collector) {
    let selectors = list(entry, "selectors").iter().filter_map(Value::as_object);
    for (index, selector) in selectors.enumerate() {
        if !list(selector, "matchReturnActions").is_empty() {
            let path = format!("{path}.selectors[{index}].matchReturnActions");
            let rule = "is ignored on LSM hooks; use matchActions";
            out.add_for(Releases::ALL, Severity::Note, &path, rule);
        }
    }
}

/// v1.3 does not count uprobes as a section, and loads only the hooks.
fn uprobes(spec: &Map<String, Value>, out: &mut Collector) {
    let has = |name: &str| !list(spec, name).is_empty();
    let mut others =
        SECTIONS.iter().filter(|section| ![LSM_HOOKS, "uprobes"].contains(&section.name));
    if has(LSM_HOOKS) && has("uprobes") && !others.any(|section| has(section.name)) {
        let rule = "is ignored beside lsmhooks";
        out.add_for(Releases::only(V1_3), Severity::Note, "spec.uprobes", rule);
    }
}

/// A policy that selects nodes by lsm-ready's label `ready` is unloaded while a node is unknown.
fn node_selector(selector: &Value, out: &mut Collector) {
    let labels = selector.get("matchLabels").and_then(Value::as_object).into_iter();
    for key in labels.flat_map(Map::keys) {
        label(key, &format!("spec.nodeSelector.matchLabels.{key}"), out);
    }
    let expressions =
        selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten();
    for (index, expression) in expressions.enumerate() {
        if text(expression, "operator") == "In" {
            let path = format!("spec.nodeSelector.matchExpressions[{index}]");
            label(text(expression, "key"), &path, out);
        }
    }
}

fn label(key: &str, path: &str, out: &mut Collector) {
    let Some(label) = key.strip_prefix(NODE_LABEL_PREFIX) else {
        return;
    };
    let excluded = if label == "bpf" { "\"false\"" } else { "not-ready" };
    let rule = format!(
        "the agent unloads the policy from a node that becomes unknown, so enforcement fails \
         open. To keep it loaded, write {{key: {key}, operator: NotIn, values: [{excluded}]}} \
         into matchExpressions instead"
    );
    out.add_for(Releases::ALL, Severity::Note, path, rule);
}
