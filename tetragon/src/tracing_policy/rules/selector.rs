//! The rules of a selector. In: a selector of a hook. Out: diagnostics.

use serde_json::{Map, Value};

use super::merged::{List, Merged};
use super::words::{self, MAX_POSTFIX_LEN, MAX_PREFIX_LEN, unknown_capability};
use super::{Context, action, count, filter, number, text, values};
use crate::tracing_policy::diagnostic::quoted;
use crate::tracing_policy::release::Release::{V1_5, V1_7};

/// Maximum length of a program's path, in bytes.
const MAX_BINARY_LEN: usize = 255;
/// Maximum number of filters by namespace.
const MAX_NAMESPACES: usize = 10;
/// Maximum number of values of such a filter.
const MAX_NAMESPACE_VALUES: usize = 4;
/// Size of the agent's buffer for all selectors of one hook.
const SELECTOR_BYTES: usize = 4096;

/// Checks one selector of a hook with these arguments.
pub fn check(
    selector: &Map<String, Value>,
    args: &[Value],
    path: &str,
    context: &mut Context<'_, '_>,
) {
    let merged = Merged::of(selector, path, context.macros);
    if context.release >= V1_7 {
        for problem in &merged.problems {
            context.refuse(&problem.path, problem.rule.as_str());
        }
    }
    let return_args = merged.get("matchReturnArgs");
    if !return_args.entries.is_empty() {
        context.refuse(return_args.path, "is not supported on LSM hooks; remove it");
    }
    namespaces(merged.get("matchNamespaces"), context);
    for field in ["matchCapabilities", "matchCapabilityChanges"] {
        capabilities(merged.get(field), context);
    }
    namespace_changes(merged.get("matchNamespaceChanges"), context);
    binaries(merged.get("matchBinaries"), context);
    if context.release >= V1_7 {
        parent_binaries(merged.get("matchParentBinaries"), context);
    }
    filter::check(&merged, args, context);
    action::check(merged.get("matchActions"), context);
}

fn namespaces(list: List<'_>, context: &mut Context<'_, '_>) {
    let filters = list.entries.len();
    if filters > MAX_NAMESPACES {
        let rule = format!("has {filters} filters; at most {MAX_NAMESPACES} are allowed");
        context.refuse(list.path, rule);
    }
    for (index, filter) in list.entries.iter().enumerate() {
        let path = format!("{}[{index}]", list.path);
        let count = count(filter);
        if count > MAX_NAMESPACE_VALUES {
            let rule = format!("has {count} values; at most {MAX_NAMESPACE_VALUES} are allowed");
            context.refuse(&format!("{path}.values"), rule);
        }
        for (place, value) in values(filter, &path) {
            if value != "host_ns" && number::parse(value, number::U32).is_none() {
                let rule =
                    format!("invalid namespace {}: write its number, or host_ns", quoted(value));
                context.refuse(&place, rule);
            }
        }
    }
}

fn capabilities(list: List<'_>, context: &mut Context<'_, '_>) {
    for (index, filter) in list.entries.iter().enumerate() {
        for (place, value) in values(filter, &format!("{}[{index}]", list.path)) {
            let upper = value.to_uppercase();
            let name = if context.release >= V1_5 { upper.trim() } else { upper.as_str() };
            if !words::CAPABILITIES.contains(&name) {
                context.refuse(&place, unknown_capability(value, name));
            }
        }
    }
}

fn namespace_changes(list: List<'_>, context: &mut Context<'_, '_>) {
    at_most_one(list, context);
    for (index, filter) in list.entries.iter().enumerate() {
        for (place, value) in values(filter, &format!("{}[{index}]", list.path)) {
            if !words::NAMESPACES.contains(&value.to_lowercase().as_str()) {
                let rule = format!(
                    "unknown kind of namespace {}: write a kind, for example Mnt",
                    quoted(value)
                );
                context.refuse(&place, rule);
            }
        }
    }
}

fn binaries(list: List<'_>, context: &mut Context<'_, '_>) {
    at_most_one(list, context);
    for (index, filter) in list.entries.iter().enumerate() {
        let path = format!("{}[{index}]", list.path);
        let operator = text(filter, "operator");
        let follows: &[&str] = if context.release >= V1_5 { &["In", "NotIn"] } else { &["In"] };
        let follow_children = filter.get("followChildren") == Some(&Value::Bool(true));
        if follow_children && !follows.contains(&operator) {
            let follows = follows.join(" or ");
            let rule = format!("is not supported with the operator {operator}; use {follows}");
            context.refuse(&format!("{path}.followChildren"), rule);
        }
        let max_len = match operator {
            "Prefix" | "NotPrefix" => MAX_PREFIX_LEN,
            "Postfix" | "NotPostfix" => MAX_POSTFIX_LEN,
            _ => MAX_BINARY_LEN,
        };
        context.refuse_longer_values(filter, &path, max_len);
    }
}

fn parent_binaries(list: List<'_>, context: &mut Context<'_, '_>) {
    if list.entries.is_empty() {
        return;
    }
    binaries(list, context);
    context.unknown(
        list.path,
        "needs an agent that runs with --parents-map-enabled; the file does not show it",
    );
}

fn at_most_one(list: List<'_>, context: &mut Context<'_, '_>) {
    let filters = list.entries.len();
    if filters > 1 {
        context.refuse(list.path, format!("has {filters} filters; only one is allowed"));
    }
}

/// Checks whether the selectors of a hook fit into the agent's buffer. If they do not fit, the
/// agent panics. Only lists without another limit are counted.
pub fn size(selectors: &[Value], path: &str, context: &mut Context<'_, '_>) {
    const PIDS: usize = 12;
    const CAPABILITIES: usize = 20;
    let mut bytes = 0;
    for selector in selectors.iter().filter_map(Value::as_object) {
        let merged = Merged::of(selector, path, context.macros);
        let pids = merged.entries("matchPIDs").iter().map(|filter| PIDS + 4 * count(filter));
        let capabilities = merged.entries("matchCapabilities").len()
            + merged.entries("matchCapabilityChanges").len();
        bytes += pids.sum::<usize>() + CAPABILITIES * capabilities;
    }
    if bytes > SELECTOR_BYTES {
        let rule = format!(
            "needs {bytes} bytes for PIDs and capabilities; the agent has {SELECTOR_BYTES} and \
             crashes"
        );
        context.refuse(&format!("{path}.selectors"), rule);
    }
}
