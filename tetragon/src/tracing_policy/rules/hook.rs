//! The rules of one entry of `spec.lsmhooks`.

use serde_json::{Map, Value};

use super::{Context, list, selector};
use crate::tracing_policy::diagnostic::{Severity, quoted};
use crate::tracing_policy::release::Release::{V1_4, V1_5, V1_7};

/// So many selectors an entry may have. Before v1.7 nobody checks it, and the BPF programs look at no more.
pub const MOST_SELECTORS: usize = 5;
/// The highest index of an argument, and the number of arguments less one.
const HIGHEST_ARG: usize = 4;
/// The highest `sizeArgIndex`.
const HIGHEST_SIZE_ARG: u64 = 15;
/// Shortest message and tag, in bytes.
const SHORTEST: usize = 2;

/// Types of the CRD that the agent does not take as an argument's type by themselves.
const NOT_BY_THEMSELVES: [&str; 2] = ["auto", "bpf_cmd"];

/// Checks one entry.
pub fn check(hook: &Map<String, Value>, path: &str, context: &mut Context<'_, '_>) {
    texts(hook, path, context);
    args(list(hook, "args"), path, context);
    let selectors = list(hook, "selectors");
    if selectors.len() > MOST_SELECTORS {
        let rule =
            format!("has {} selectors; at most {MOST_SELECTORS} are allowed", selectors.len());
        let path = format!("{path}.selectors");
        if context.release >= V1_7 {
            context.refuse(&path, rule);
        } else {
            context.out.add(
                context.release,
                Severity::Remark,
                &path,
                format!("{rule}, and the agent ignores the others"),
            );
        }
    }
    for (index, selector) in selectors.iter().enumerate() {
        if let Value::Object(selector) = selector {
            selector::check(
                selector,
                list(hook, "args"),
                &format!("{path}.selectors[{index}]"),
                context,
            );
        }
    }
    selector::size(selectors, path, context);
}

fn texts(hook: &Map<String, Value>, path: &str, context: &mut Context<'_, '_>) {
    if hook.get("hook").and_then(Value::as_str).is_some_and(str::is_empty) {
        context.refuse(
            &format!("{path}.hook"),
            "is empty; write the name of an LSM hook, for example file_open",
        );
    }
    let message = hook.get("message").and_then(Value::as_str).unwrap_or_default();
    if !message.is_empty() && message.len() < SHORTEST {
        context.refuse(
            &format!("{path}.message"),
            "is too short; write at least 2 letters, or leave it out",
        );
    }
    for (index, tag) in list(hook, "tags").iter().enumerate() {
        if tag.as_str().is_some_and(|tag| tag.len() < SHORTEST) {
            context.refuse(
                &format!("{path}.tags[{index}]"),
                "is too short; a tag has at least 2 letters",
            );
        }
    }
}

fn args(args: &[Value], path: &str, context: &mut Context<'_, '_>) {
    // Since v1.5 the place in the list counts; a sixth entry makes the agent panic.
    if context.release >= V1_5 && args.len() > HIGHEST_ARG + 1 {
        let rule = format!("has {} arguments; at most {} are allowed", args.len(), HIGHEST_ARG + 1);
        context.refuse(&format!("{path}.args"), rule);
    }
    for (number, arg) in args.iter().enumerate() {
        let path = format!("{path}.args[{number}]");
        if let Some(index) = arg.get("index").and_then(Value::as_u64)
            && index > HIGHEST_ARG as u64
        {
            context.refuse(
                &format!("{path}.index"),
                format!("is {index}; the highest index is {HIGHEST_ARG}"),
            );
        }
        arg_type(arg, &path, context);
        if let Some(index) = arg.get("sizeArgIndex").and_then(Value::as_u64)
            && index > HIGHEST_SIZE_ARG
        {
            let rule = format!("is {index}; the highest index is {HIGHEST_SIZE_ARG}");
            context.refuse(&format!("{path}.sizeArgIndex"), rule);
        }
    }
}

/// With `resolve` the type comes from the kernel's BTF, if the fields that it names are there.
fn arg_type(arg: &Value, path: &str, context: &mut Context<'_, '_>) {
    let resolve = arg.get("resolve").and_then(Value::as_str).unwrap_or_default();
    if context.release >= V1_4 && !resolve.is_empty() {
        let rule = format!(
            "{}: whether the kernel has these fields cannot be told from the file",
            quoted(resolve)
        );
        return context.unjudged(&format!("{path}.resolve"), rule);
    }
    match arg.get("type").and_then(Value::as_str) {
        None if arg.get("type").is_none_or(Value::is_null) => {
            context.refuse(
                &format!("{path}.type"),
                "is missing; without resolve an LSM hook needs it, for example type: file",
            );
        }
        Some(given) if NOT_BY_THEMSELVES.contains(&given) => {
            let rule = format!(
                "{given} is not supported here without resolve; write the argument's type, for example file"
            );
            context.refuse(&format!("{path}.type"), rule);
        }
        _ => {}
    }
}
