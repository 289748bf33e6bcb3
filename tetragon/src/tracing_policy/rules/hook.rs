//! The rules of one entry of `spec.lsmhooks`.

use serde_json::{Map, Value};

use super::{Context, list, selector};
use crate::tracing_policy::diagnostic::{Severity, quoted};
use crate::tracing_policy::release::Release::{V1_4, V1_5, V1_7};

/// Maximum number of selectors in an entry. Releases before v1.7 do not check it, but their BPF
/// programs ignore further ones.
pub const MAX_SELECTORS: usize = 5;
/// The highest index of an argument, and the maximum number of arguments minus one.
const MAX_ARG: usize = 4;
/// The highest `sizeArgIndex`.
const MAX_SIZE_ARG: u64 = 15;
/// Minimum length of messages and tags, in bytes.
const MIN_LEN: usize = 2;

/// Types of the CRD that the agent does not accept as the type of an argument without `resolve`.
const ONLY_WITH_RESOLVE: [&str; 2] = ["auto", "bpf_cmd"];

/// Checks one entry.
pub fn check(hook: &Map<String, Value>, path: &str, context: &mut Context<'_, '_>) {
    name(hook, path, context);
    message_and_tags(hook, path, context);
    let args = list(hook, "args");
    check_args(args, path, context);
    let selectors = list(hook, "selectors");
    if selectors.len() > MAX_SELECTORS {
        too_many_selectors(selectors.len(), &format!("{path}.selectors"), context);
    }
    for (index, selector) in selectors.iter().enumerate() {
        if let Value::Object(selector) = selector {
            selector::check(selector, args, &format!("{path}.selectors[{index}]"), context);
        }
    }
    selector::size(selectors, path, context);
}

fn too_many_selectors(count: usize, path: &str, context: &mut Context<'_, '_>) {
    let rule = format!("has {count} selectors; at most {MAX_SELECTORS} are allowed");
    if context.release >= V1_7 {
        context.refuse(path, rule);
    } else {
        let rule = format!("{rule}, and the agent ignores the others");
        context.out.add(context.release, Severity::Note, path, rule);
    }
}

fn name(hook: &Map<String, Value>, path: &str, context: &mut Context<'_, '_>) {
    if hook.get("hook").and_then(Value::as_str).is_some_and(str::is_empty) {
        let rule = "is empty; write the name of an LSM hook, for example file_open";
        context.refuse(&format!("{path}.hook"), rule);
    }
}

fn message_and_tags(hook: &Map<String, Value>, path: &str, context: &mut Context<'_, '_>) {
    let message = hook.get("message").and_then(Value::as_str).unwrap_or_default();
    if !message.is_empty() && message.len() < MIN_LEN {
        let rule = "is too short; write at least 2 letters, or leave it out";
        context.refuse(&format!("{path}.message"), rule);
    }
    for (index, tag) in list(hook, "tags").iter().enumerate() {
        if tag.as_str().is_some_and(|tag| tag.len() < MIN_LEN) {
            let rule = "is too short; a tag has at least 2 letters";
            context.refuse(&format!("{path}.tags[{index}]"), rule);
        }
    }
}

fn check_args(args: &[Value], path: &str, context: &mut Context<'_, '_>) {
    // Since v1.5 an argument is found by its place in the list. A sixth one makes the agent panic.
    if context.release >= V1_5 && args.len() > MAX_ARG + 1 {
        let rule = format!("has {} arguments; at most {} are allowed", args.len(), MAX_ARG + 1);
        context.refuse(&format!("{path}.args"), rule);
    }
    for (number, arg) in args.iter().enumerate() {
        let path = format!("{path}.args[{number}]");
        check_index(arg, "index", MAX_ARG as u64, &path, context);
        check_type(arg, &path, context);
        check_index(arg, "sizeArgIndex", MAX_SIZE_ARG, &path, context);
    }
}

fn check_index(arg: &Value, field: &str, max: u64, path: &str, context: &mut Context<'_, '_>) {
    if let Some(index) = arg.get(field).and_then(Value::as_u64)
        && index > max
    {
        let rule = format!("is {index}; the highest index is {max}");
        context.refuse(&format!("{path}.{field}"), rule);
    }
}

/// With `resolve` the type comes from the kernel's BTF, if the kernel has the fields.
fn check_type(arg: &Value, path: &str, context: &mut Context<'_, '_>) {
    let resolve = arg.get("resolve").and_then(Value::as_str).unwrap_or_default();
    if context.release >= V1_4 && !resolve.is_empty() {
        let rule = format!(
            "{}: the file does not show whether the kernel has these fields",
            quoted(resolve)
        );
        return context.unknown(&format!("{path}.resolve"), rule);
    }
    let path = format!("{path}.type");
    match arg.get("type").and_then(Value::as_str) {
        None if arg.get("type").is_none_or(Value::is_null) => {
            let rule = "is missing; without resolve an LSM hook needs it, for example type: file";
            context.refuse(&path, rule);
        }
        Some(given) if ONLY_WITH_RESOLVE.contains(&given) => {
            let rule = format!(
                "{given} is not supported here without resolve; write the argument's type, for \
                 example file"
            );
            context.refuse(&path, rule);
        }
        // The schema reports a type that is not text.
        Some(_) | None => {}
    }
}
