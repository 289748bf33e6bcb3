//! The rules of Tetragon's agent that a file shows: what its policy handler refuses on any kernel.
//!
//! In: `spec` and a release. Out: diagnostics. Fields of a wrong type are reported by the schema.
//! Only policies with `lsmhooks` have rules about hooks. Of other sections, only the schema and the
//! rules of the whole policy are checked.
//!
//! Source: `pkg/sensors/tracing/{policyhandler*,genericlsm,generic,options,message,tags}.go`,
//! `pkg/selectors/kernel.go` and `pkg/sensors/{handler,k8s}.go` of Tetragon v1.3.0 to v1.7.0 and of
//! its development branch (commit 4fbfe2d, August 2026).

mod action;
mod filter;
mod hook;
mod merged;
mod number;
mod selector;
mod words;

use serde_json::{Map, Value};

use self::number::Format;
use crate::tracing_policy::diagnostic::{Collector, Severity, quoted};
use crate::tracing_policy::release::Release::{self, Main, V1_4, V1_6, V1_7};

pub use self::action::{ActionEffect, effect_of};
pub use self::hook::MAX_SELECTORS;
pub use self::merged::Merged;
pub use self::words::IMA_HOOKS;

/// A section of a policy: a list of hooks of one kind.
#[derive(Clone, Copy)]
pub struct Section {
    /// The field of `spec`.
    pub name: &'static str,
    /// The first release that counts it as a section.
    pub since: Release,
}

/// The section with LSM hooks.
pub const LSM_HOOKS: &str = "lsmhooks";

/// All sections.
pub const SECTIONS: [Section; 6] = [
    Section { name: "kprobes", since: Release::V1_3 },
    Section { name: "tracepoints", since: Release::V1_3 },
    Section { name: LSM_HOOKS, since: Release::V1_3 },
    Section { name: "uprobes", since: V1_4 },
    Section { name: "usdts", since: V1_6 },
    Section { name: "fentries", since: V1_7 },
];

/// What the rules need, and where they put what they find.
pub struct Context<'a, 'b> {
    /// The release whose rules are checked.
    pub release: Release,
    /// `spec.selectorsMacros`, if this release has them.
    pub macros: Option<&'a Map<String, Value>>,
    /// Collects the diagnostics.
    pub out: &'b mut Collector,
}

impl Context<'_, '_> {
    fn refuse(&mut self, path: &str, rule: impl Into<String>) {
        self.out.add(self.release, Severity::Agent, path, rule);
    }

    fn unknown(&mut self, path: &str, rule: impl Into<String>) {
        self.out.add(self.release, Severity::Unknown, path, rule);
    }

    fn refuse_longer_values(&mut self, filter: &Value, path: &str, max_len: usize) {
        for (place, value) in values(filter, path).filter(|(_, value)| value.len() > max_len) {
            let len = value.len();
            self.refuse(&place, format!("has {len} bytes; at most {max_len} are allowed"));
        }
    }
}

/// Checks a policy. `is_namespaced` means that it is a TracingPolicyNamespaced.
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
    for (index, hook) in list(spec, LSM_HOOKS).iter().enumerate() {
        if let Value::Object(hook) = hook {
            hook::check(hook, &format!("spec.lsmhooks[{index}]"), context);
        }
    }
}

/// `spec.selectorsMacros`, if that release has them.
#[must_use]
pub fn macros(spec: &Map<String, Value>, release: Release) -> Option<&Map<String, Value>> {
    (release >= V1_7).then(|| spec.get("selectorsMacros").and_then(Value::as_object)).flatten()
}

fn sections(spec: &Map<String, Value>, context: &mut Context<'_, '_>) {
    let present: Vec<&str> = SECTIONS
        .into_iter()
        .filter(|section| section.since <= context.release && !list(spec, section.name).is_empty())
        .map(|section| section.name)
        .collect();
    if present.len() > 1 {
        let rule = format!(
            "has {}, but a policy may have only one of these sections; make a policy for each",
            present.join(" and ")
        );
        context.refuse("spec", rule);
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
            let rule = "is not allowed in a TracingPolicyNamespaced; make a TracingPolicy";
            context.refuse(&format!("spec.{section}"), rule);
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

/// `loader: true` makes the agent load one more sensor.
fn loader(spec: &Map<String, Value>, is_namespaced: bool, context: &mut Context<'_, '_>) {
    if spec.get("loader") != Some(&Value::Bool(true)) {
        return;
    }
    let selects = |name| spec.get(name).is_some_and(|selector: &Value| !is_empty(selector));
    if is_namespaced || selects("podSelector") || selects("containerSelector") {
        let rule =
            "is not supported in a policy that selects pods; remove it, or make a policy for it";
        context.refuse("spec.loader", rule);
    } else {
        context.unknown(
            "spec.loader",
            "needs Linux 5.19 or later; the file does not show the version",
        );
    }
}

fn lists(spec: &Map<String, Value>, context: &mut Context<'_, '_>) {
    for (index, item) in list(spec, "lists").iter().enumerate() {
        let path = format!("spec.lists[{index}]");
        let kind = text(item, "type");
        if !kind.starts_with("generated_") || item.get("validated") == Some(&Value::Bool(true)) {
            continue;
        }
        if count(item) > 0 {
            let rule = format!("is not allowed in a list of type {kind}; remove it");
            context.refuse(&format!("{path}.values"), rule);
        }
        if kind == "generated_ftrace" && text(item, "pattern").is_empty() {
            let rule = "is missing; a list of type generated_ftrace needs it";
            context.refuse(&format!("{path}.pattern"), rule);
        }
    }
}

fn enforcers(spec: &Map<String, Value>, context: &mut Context<'_, '_>) {
    let enforcers = list(spec, "enforcers");
    if enforcers.is_empty() {
        return;
    }
    if enforcers.len() > 1 {
        let rule = format!("has {} entries; only one is allowed", enforcers.len());
        context.refuse("spec.enforcers", rule);
    }
    for (index, enforcer) in enforcers.iter().enumerate() {
        let calls = enforcer.get("calls").and_then(Value::as_array).into_iter().flatten();
        for (number, call) in calls.filter_map(Value::as_str).enumerate() {
            if let Some(rule) = invalid_call(call, spec) {
                context.refuse(&format!("spec.enforcers[{index}].calls[{number}]"), rule);
            }
        }
    }
    let rule = "the file does not show whether the kernel has what enforcers need";
    context.unknown("spec.enforcers", rule);
}

/// Why an enforcer cannot act on that call.
fn invalid_call(call: &str, spec: &Map<String, Value>) -> Option<String> {
    if let Some(name) = call.strip_prefix("list:") {
        let is_defined = list(spec, "lists").iter().any(|list| text(list, "name") == name);
        return (!is_defined)
            .then(|| format!("list {} is not defined in spec.lists", quoted(name)));
    }
    (!is_enforceable(call)).then(|| {
        format!(
            "invalid call {}: write a system call (sys_…) or a security_ function",
            quoted(call)
        )
    })
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
        let rule = format!("invalid value {} of the option {name}: write {wanted}", quoted(value));
        context.refuse(&format!("spec.options[{index}].value"), rule);
    }
}

fn is_positive(value: &str) -> bool {
    let format = Format { base: 10, bits: 64, is_signed: true };
    number::parse(value, format).is_some_and(|number| number > 0)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Whether that is a system call, with or without the prefix of an architecture, or a function of
/// the LSM framework.
fn is_enforceable(call: &str) -> bool {
    let without_prefix = ["__x64_", "__arm64_", "__ia32_", "__arm64_compat_"]
        .iter()
        .find_map(|prefix| call.strip_prefix(prefix));
    let name = without_prefix.unwrap_or(call);
    name.starts_with("sys_") || name.starts_with("security_")
}

/// The entries of a list. Empty if it is missing or not a list.
#[must_use]
pub fn list<'a>(object: &'a Map<String, Value>, name: &str) -> &'a [Value] {
    object.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The text of a field. Empty if it is missing or not text.
#[must_use]
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The number of entries in `values`.
fn count(value: &Value) -> usize {
    value.get("values").and_then(Value::as_array).map_or(0, Vec::len)
}

/// The texts in `values`, each with its path.
fn values<'a>(value: &'a Value, path: &str) -> impl Iterator<Item = (String, &'a str)> {
    let entries = value.get("values").and_then(Value::as_array).into_iter().flatten().enumerate();
    entries.filter_map(move |(index, value)| {
        Some((format!("{path}.values[{index}]"), value.as_str()?))
    })
}
