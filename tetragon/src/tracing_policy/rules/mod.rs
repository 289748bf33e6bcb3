//! The rules of Tetragon's agent that can be told from the file: what its policy handler refuses on any kernel.
//!
//! In: `spec` and a release. Out: diagnostics. Fields of a wrong type are left to the schema. Only policies with `lsmhooks` get
//! rules about hooks; for other sections the schema and the rules of the whole policy alone are checked.
//!
//! Source: `pkg/sensors/tracing/{policyhandler*,genericlsm,generic,options,message,tags}.go`, `pkg/selectors/kernel.go` and
//! `pkg/sensors/{handler,k8s}.go` of Tetragon v1.3.0 to v1.7.0 and of its development branch (commit 4fbfe2d, August 2026).

mod action;
mod filter;
mod hook;
mod number;
mod selector;
mod words;

use serde_json::{Map, Value};

use crate::tracing_policy::diagnostic::{Collector, Severity, quoted};
use crate::tracing_policy::release::Release::{self, Main, V1_4, V1_6, V1_7};

pub use self::action::{Enforces, enforces};
pub use self::hook::MOST_SELECTORS;
pub use self::selector::Merged;
pub use self::words::IMA_HOOKS;

/// The sections of a policy, each with the first release that counts it.
pub const SECTIONS: [(&str, Release); 6] = [
    ("kprobes", Release::V1_3),
    ("tracepoints", Release::V1_3),
    ("lsmhooks", Release::V1_3),
    ("uprobes", V1_4),
    ("usdts", V1_6),
    ("fentries", V1_7),
];

/// What the rules look at, and where they put what they find.
pub struct Context<'a, 'b> {
    /// The release whose rules these are.
    pub release: Release,
    /// `spec.selectorsMacros`, where this release has them.
    pub macros: Option<&'a Map<String, Value>>,
    /// Diagnostics go there.
    pub out: &'b mut Collector,
}

impl Context<'_, '_> {
    fn refuse(&mut self, path: &str, rule: impl Into<String>) {
        self.out.add(self.release, Severity::Agent, path, rule);
    }

    fn unjudged(&mut self, path: &str, rule: impl Into<String>) {
        self.out.add(self.release, Severity::Unjudged, path, rule);
    }
}

/// Checks a policy. `is_namespaced` says that it is a TracingPolicyNamespaced.
pub fn policy(
    spec: &Map<String, Value>,
    is_namespaced: bool,
    release: Release,
    out: &mut Collector,
) {
    let mut context = Context { release, macros: macros(spec, release), out };
    let context = &mut context;
    sections(spec, context);
    if is_namespaced {
        namespaced(spec, context);
    }
    host_selector(spec, context);
    loader(spec, is_namespaced, context);
    lists(spec, context);
    enforcers(spec, context);
    if release >= V1_4 {
        options(spec, context);
    }
    for (index, hook) in list(spec, "lsmhooks").iter().enumerate() {
        if let Value::Object(hook) = hook {
            hook::check(hook, &format!("spec.lsmhooks[{index}]"), context);
        }
    }
}

/// `spec.selectorsMacros`, where that release has them.
#[must_use]
pub fn macros(spec: &Map<String, Value>, release: Release) -> Option<&Map<String, Value>> {
    (release >= V1_7).then(|| spec.get("selectorsMacros").and_then(Value::as_object)).flatten()
}

fn sections(spec: &Map<String, Value>, context: &mut Context<'_, '_>) {
    let there: Vec<&str> = SECTIONS
        .into_iter()
        .filter(|(name, since)| *since <= context.release && !list(spec, name).is_empty())
        .map(|(name, _)| name)
        .collect();
    if there.len() > 1 {
        let sections = there.join(" and ");
        context.refuse(
            "spec",
            format!(
                "has {sections}; a policy may have one of these sections. Make a policy for each"
            ),
        );
    }
}

fn namespaced(spec: &Map<String, Value>, context: &mut Context<'_, '_>) {
    if context.release >= V1_7 && spec.get("hostSelector").is_some_and(|value| !value.is_null()) {
        let rule =
            "is not allowed in a TracingPolicyNamespaced; remove it, or make a TracingPolicy";
        context.out.add(context.release, Severity::Schema, "spec.hostSelector", rule);
    }
    for section in ["uprobes", "usdts"] {
        if context.release >= Main && !list(spec, section).is_empty() {
            context.refuse(
                &format!("spec.{section}"),
                "is not allowed in a TracingPolicyNamespaced; make a TracingPolicy",
            );
        }
    }
}

fn host_selector(spec: &Map<String, Value>, context: &mut Context<'_, '_>) {
    let host = spec.get("hostSelector").and_then(Value::as_object);
    let selects =
        |name| host.and_then(|host| host.get(name)).is_some_and(|value: &Value| !is_empty(value));
    if context.release == V1_7 && (selects("matchLabels") || selects("matchExpressions")) {
        context.refuse(
            "spec.hostSelector",
            "selects by labels; only {} (all hosts) or leaving it out is allowed",
        );
    }
}

/// `loader: true` adds a sensor of its own.
fn loader(spec: &Map<String, Value>, is_namespaced: bool, context: &mut Context<'_, '_>) {
    if spec.get("loader") != Some(&Value::Bool(true)) {
        return;
    }
    let narrows = |name| spec.get(name).is_some_and(|selector: &Value| !is_empty(selector));
    if is_namespaced || narrows("podSelector") || narrows("containerSelector") {
        context.refuse(
            "spec.loader",
            "is not supported in a policy for some pods; remove it, or make a policy for it",
        );
    } else {
        context.unjudged("spec.loader", "needs Linux 5.19 or newer, which the file cannot tell");
    }
}

fn lists(spec: &Map<String, Value>, context: &mut Context<'_, '_>) {
    for (index, item) in list(spec, "lists").iter().enumerate() {
        let path = format!("spec.lists[{index}]");
        let kind = text(item, "type");
        if !kind.starts_with("generated_") || item.get("validated") == Some(&Value::Bool(true)) {
            continue;
        }
        if item.get("values").and_then(Value::as_array).is_some_and(|values| !values.is_empty()) {
            context.refuse(
                &format!("{path}.values"),
                format!("is not allowed in a list of type {kind}; remove it"),
            );
        }
        if kind == "generated_ftrace" && text(item, "pattern").is_empty() {
            context.refuse(
                &format!("{path}.pattern"),
                "is missing; a list of type generated_ftrace needs it",
            );
        }
    }
}

fn enforcers(spec: &Map<String, Value>, context: &mut Context<'_, '_>) {
    let enforcers = list(spec, "enforcers");
    if enforcers.len() > 1 {
        context.refuse(
            "spec.enforcers",
            format!("has {} entries; only one is allowed", enforcers.len()),
        );
    }
    for (index, enforcer) in enforcers.iter().enumerate() {
        let calls = enforcer
            .get("calls")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        for (number, call) in calls.enumerate() {
            let path = format!("spec.enforcers[{index}].calls[{number}]");
            match call.strip_prefix("list:") {
                Some(name)
                    if !list(spec, "lists").iter().any(|list| text(list, "name") == name) =>
                {
                    context.refuse(
                        &path,
                        format!("list {} is not defined in spec.lists", quoted(name)),
                    );
                }
                None if !is_enforceable(call) => {
                    context.refuse(
                        &path,
                        format!(
                            "{} is neither a system call (sys_…) nor a security_ function",
                            quoted(call)
                        ),
                    );
                }
                _ => {}
            }
        }
    }
    if !enforcers.is_empty() {
        context.unjudged(
            "spec.enforcers",
            "whether the kernel has what enforcers need cannot be told from the file",
        );
    }
}

fn options(spec: &Map<String, Value>, context: &mut Context<'_, '_>) {
    for (index, option) in list(spec, "options").iter().enumerate() {
        let name = option["name"].as_str().unwrap_or_default();
        let value = option["value"].as_str().unwrap_or_default();
        let wanted = match name {
            "policy-mode" if !["enforce", "monitor"].contains(&value) => "enforce or monitor",
            "override-method" if !["fmod-ret", "override-return"].contains(&value) => {
                "fmod-ret or override-return"
            }
            "disable-kprobe-multi" | "disable-uprobe-multi" if !number::is_go_bool(value) => {
                "true or false"
            }
            "sleepable-preload-size" if context.release >= Main && !is_positive(value) => {
                "a number above 0"
            }
            _ => continue,
        };
        let rule = format!("{} is no value of the option {name}; write {wanted}", quoted(value));
        context.refuse(&format!("spec.options[{index}].value"), rule);
    }
}

fn is_positive(value: &str) -> bool {
    number::parse(value, 10, 64, true).is_some_and(|number| number > 0)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => false,
    }
}

/// System calls, also with the prefix of an architecture, and functions of the LSM framework.
fn is_enforceable(call: &str) -> bool {
    let bare = ["__x64_", "__arm64_", "__ia32_", "__arm64_compat_"]
        .iter()
        .find_map(|prefix| call.strip_prefix(prefix));
    let bare = bare.unwrap_or(call);
    bare.starts_with("sys_") || bare.starts_with("security_")
}

/// The entries of a list; none where it is absent or of another type.
#[must_use]
pub fn list<'a>(object: &'a Map<String, Value>, name: &str) -> &'a [Value] {
    object.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The text of a field; empty where it is absent or of another type.
#[must_use]
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The entries of a field that are texts, each with its place.
fn texts<'a>(value: &'a Value, path: &str) -> impl Iterator<Item = (String, &'a str)> {
    let entries = value.get("values").and_then(Value::as_array).into_iter().flatten().enumerate();
    entries.filter_map(move |(index, value)| {
        Some((format!("{path}.values[{index}]"), value.as_str()?))
    })
}
