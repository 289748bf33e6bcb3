//! What somebody should know about a policy that loads.

use std::collections::HashSet;

use lsm_ready_crds::names::NODE_LABEL_PREFIX;
use serde_json::{Map, Value};

use crate::tracing_policy::diagnostic::{Collector, Severity, quoted};
use crate::tracing_policy::hook_requirements::ima_hash;
use crate::tracing_policy::release::Release::{V1_3, V1_7};
use crate::tracing_policy::release::Releases;
use crate::tracing_policy::rules::{IMA_HOOKS, SECTIONS, list, text};

/// Adds the remarks about that `spec`.
pub fn add(spec: &Map<String, Value>, out: &mut Collector) {
    let mut seen = HashSet::new();
    let mut duplicates = HashSet::new();
    let macros = spec.get("selectorsMacros").and_then(Value::as_object);
    for (index, entry) in list(spec, "lsmhooks").iter().enumerate() {
        let path = format!("spec.lsmhooks[{index}]");
        let hook = text(entry, "hook");
        if !seen.insert(hook) && duplicates.insert(hook) {
            let rule =
                format!("is the second entry for {}: the agent loses events of it", quoted(hook));
            out.add_for(Releases::until(V1_7), Severity::Remark, &path, rule);
        }
        if let Some(entry) = entry.as_object() {
            one(entry, hook, &path, macros, out);
        }
    }
    uprobes(spec, out);
    if let Some(selector) = spec.get("nodeSelector") {
        node_selector(selector, out);
    }
}

fn one(
    entry: &Map<String, Value>,
    hook: &str,
    path: &str,
    macros: Option<&Map<String, Value>>,
    out: &mut Collector,
) {
    if let Some(field) = ima_hash(entry, path, macros) {
        let rule = if IMA_HOOKS.contains(&hook) {
            "gives a hash from Linux 5.11 on; on older kernels the policy loads without it"
                .to_owned()
        } else {
            format!(
                "gives no hash on {hook}, only on {}; the policy loads without it",
                IMA_HOOKS.join(", ")
            )
        };
        out.add_for(Releases::ALL, Severity::Remark, &field, rule);
    }
    for (index, selector) in
        list(entry, "selectors").iter().filter_map(Value::as_object).enumerate()
    {
        if !list(selector, "matchReturnActions").is_empty() {
            let path = format!("{path}.selectors[{index}].matchReturnActions");
            out.add_for(
                Releases::ALL,
                Severity::Remark,
                &path,
                "is ignored on LSM hooks; use matchActions",
            );
        }
    }
}

/// v1.3 does not count uprobes as a section, and loads the hooks alone.
fn uprobes(spec: &Map<String, Value>, out: &mut Collector) {
    let others = SECTIONS.iter().filter(|(name, _)| !["lsmhooks", "uprobes"].contains(name));
    let has_others = others.into_iter().any(|(name, _)| !list(spec, name).is_empty());
    if !has_others && !list(spec, "lsmhooks").is_empty() && !list(spec, "uprobes").is_empty() {
        let rule = "is ignored beside lsmhooks";
        out.add_for(Releases::only(V1_3), Severity::Remark, "spec.uprobes", rule);
    }
}

/// A selector of nodes that lsm-ready shows to be good unloads the policy while a node is not known.
fn node_selector(selector: &Value, out: &mut Collector) {
    for key in
        selector.get("matchLabels").and_then(Value::as_object).into_iter().flat_map(Map::keys)
    {
        advise(key, &format!("spec.nodeSelector.matchLabels.{key}"), out);
    }
    let expressions =
        selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten();
    for (index, expression) in expressions.enumerate() {
        if text(expression, "operator") == "In" {
            advise(
                text(expression, "key"),
                &format!("spec.nodeSelector.matchExpressions[{index}]"),
                out,
            );
        }
    }
}

fn advise(key: &str, path: &str, out: &mut Collector) {
    let Some(label) = key.strip_prefix(NODE_LABEL_PREFIX) else {
        return;
    };
    let bad = if label == "bpf" { "\"false\"" } else { "not-ready" };
    let rule = format!(
        "enforcement fails open: the agent unloads the policy from a node that becomes unknown. To keep it loaded there, \
         write {{key: {key}, operator: NotIn, values: [{bad}]}} into matchExpressions instead"
    );
    out.add_for(Releases::ALL, Severity::Remark, path, rule);
}
