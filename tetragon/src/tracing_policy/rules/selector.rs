//! The rules of a selector, with the macros that it uses.

use serde_json::{Map, Value};

use super::{Context, action, filter, list, number, text, texts, words};
use crate::tracing_policy::diagnostic::quoted;
use crate::tracing_policy::release::Release::{V1_5, V1_7};

/// The lists of a selector that a macro can give.
const FIELDS: [&str; 12] = [
    "matchPIDs",
    "matchArgs",
    "matchData",
    "matchActions",
    "matchReturnArgs",
    "matchReturnActions",
    "matchBinaries",
    "matchParentBinaries",
    "matchNamespaces",
    "matchNamespaceChanges",
    "matchCapabilities",
    "matchCapabilityChanges",
];

/// Longest path of a program.
const LONGEST_BINARY: usize = 255;
/// Longest beginning of a text, in bytes.
pub const LONGEST_PREFIX: usize = 256;
/// Longest end of a text, in bytes.
pub const LONGEST_POSTFIX: usize = 127;
/// So many filters by namespace, and values of each.
const MOST_NAMESPACES: (usize, usize) = (10, 4);
/// Bytes that the agent has for all selectors of one hook.
const SELECTOR_BYTES: usize = 4096;

/// The lists of a selector, its own and those of its macros, each with its place.
pub struct Merged<'a>(Vec<(&'static str, String, &'a [Value])>);

impl<'a> Merged<'a> {
    /// The selector at that place; what is wrong with its macros goes into the context, if there is one.
    pub fn of(
        selector: &'a Map<String, Value>,
        path: &str,
        macros: Option<&'a Map<String, Value>>,
        mut context: Option<&mut Context<'_, '_>>,
    ) -> Self {
        let own = FIELDS
            .into_iter()
            .map(|field| (field, list(selector, field)))
            .filter(|(_, list)| !list.is_empty());
        let mut merged =
            Self(own.map(|(field, list)| (field, format!("{path}.{field}"), list)).collect());
        for name in list(selector, "macros").iter().filter_map(Value::as_str) {
            let Some(called) =
                macros.and_then(|macros| macros.get(name)).and_then(Value::as_object)
            else {
                if let Some(context) = context.as_mut().filter(|context| context.release >= V1_7) {
                    let rule = format!("{} is not defined in spec.selectorsMacros", quoted(name));
                    context.refuse(&format!("{path}.macros"), rule);
                }
                continue;
            };
            merged.add(called, name, path, context.as_deref_mut());
        }
        merged
    }

    fn add(
        &mut self,
        called: &'a Map<String, Value>,
        name: &str,
        path: &str,
        mut context: Option<&mut Context<'_, '_>>,
    ) {
        let place = format!("spec.selectorsMacros.{name}");
        if let Some(context) = context.as_mut().filter(|_| !list(called, "macros").is_empty()) {
            context.refuse(&format!("{place}.macros"), "a macro cannot use other macros");
        }
        for field in FIELDS {
            let entries = list(called, field);
            if entries.is_empty() {
                continue;
            }
            if self.0.iter().any(|(known, ..)| *known == field) {
                if let Some(context) = context.as_mut() {
                    let rule = format!(
                        "macro {} has {field} too; only one of them may have it",
                        quoted(name)
                    );
                    context.refuse(&format!("{path}.{field}"), rule);
                }
            } else {
                self.0.push((field, format!("{place}.{field}"), entries));
            }
        }
    }

    /// A list, with its place.
    #[must_use]
    pub fn get(&self, field: &str) -> (&str, &'a [Value]) {
        self.0
            .iter()
            .find(|(known, ..)| *known == field)
            .map_or(("", &[]), |(_, path, list)| (path, list))
    }
}

/// Checks one selector of a hook with these arguments.
pub fn check(
    selector: &Map<String, Value>,
    args: &[Value],
    path: &str,
    context: &mut Context<'_, '_>,
) {
    let merged = Merged::of(selector, path, context.macros, Some(context));
    let (place, entries) = merged.get("matchReturnArgs");
    if !entries.is_empty() {
        context.refuse(place, "is not supported on LSM hooks; remove it");
    }
    namespaces(merged.get("matchNamespaces"), context);
    for field in ["matchCapabilities", "matchCapabilityChanges"] {
        capabilities(merged.get(field), context);
    }
    namespace_changes(merged.get("matchNamespaceChanges"), context);
    binaries(merged.get("matchBinaries"), context);
    let (place, entries) = merged.get("matchParentBinaries");
    if context.release >= V1_7 && !entries.is_empty() {
        binaries((place, entries), context);
        context.unjudged(
            place,
            "needs an agent that runs with --parents-map-enabled, which the file cannot tell",
        );
    }
    filter::check(&merged, args, context);
    let (place, actions) = merged.get("matchActions");
    action::check(actions, place, context);
}

fn namespaces((path, filters): (&str, &[Value]), context: &mut Context<'_, '_>) {
    let (most, most_values) = MOST_NAMESPACES;
    if filters.len() > most {
        context.refuse(path, format!("has {} filters; at most {most} are allowed", filters.len()));
    }
    for (index, filter) in filters.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let count = filter.get("values").and_then(Value::as_array).map_or(0, Vec::len);
        if count > most_values {
            context.refuse(
                &format!("{path}.values"),
                format!("has {count} values; at most {most_values} are allowed"),
            );
        }
        for (place, value) in texts(filter, &path) {
            if value != "host_ns" && number::parse(value, 10, 32, false).is_none() {
                let rule = format!("{} is neither a namespace's number nor host_ns", quoted(value));
                context.refuse(&place, rule);
            }
        }
    }
}

fn capabilities((path, filters): (&str, &[Value]), context: &mut Context<'_, '_>) {
    for (index, filter) in filters.iter().enumerate() {
        for (place, value) in texts(filter, &format!("{path}[{index}]")) {
            let upper = value.to_uppercase();
            let name = if context.release >= V1_5 { upper.trim() } else { upper.as_str() };
            if !words::CAPABILITIES.contains(&name) {
                context.refuse(&place, unknown_capability(value, name));
            }
        }
    }
}

/// Why that is none of the agent's names for capabilities.
pub fn unknown_capability(value: &str, name: &str) -> String {
    let hint = match name.trim() {
        "CAP_DAC_OVERRIDE" => "; the agent calls it DAC_OVERRIDE".to_owned(),
        bare if words::CAPABILITIES.contains(&format!("CAP_{bare}").as_str()) => {
            format!("; write CAP_{bare}")
        }
        _ => ", for example CAP_SYS_ADMIN".to_owned(),
    };
    format!("{} is no capability that the agent knows{hint}", quoted(value))
}

fn namespace_changes((path, filters): (&str, &[Value]), context: &mut Context<'_, '_>) {
    if filters.len() > 1 {
        context.refuse(path, format!("has {} filters; only one is allowed", filters.len()));
    }
    for (index, filter) in filters.iter().enumerate() {
        for (place, value) in texts(filter, &format!("{path}[{index}]")) {
            if !words::NAMESPACES.contains(&value.to_lowercase().as_str()) {
                context.refuse(
                    &place,
                    format!("{} is no kind of namespace, for example Mnt", quoted(value)),
                );
            }
        }
    }
}

fn binaries((path, filters): (&str, &[Value]), context: &mut Context<'_, '_>) {
    if filters.len() > 1 {
        context.refuse(path, format!("has {} filters; only one is allowed", filters.len()));
    }
    for (index, filter) in filters.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let operator = text(filter, "operator");
        let follows: &[&str] = if context.release >= V1_5 { &["In", "NotIn"] } else { &["In"] };
        if filter.get("followChildren") == Some(&Value::Bool(true)) && !follows.contains(&operator)
        {
            let rule = format!(
                "is not supported with the operator {operator}; use {}",
                follows.join(" or ")
            );
            context.refuse(&format!("{path}.followChildren"), rule);
        }
        let most = match operator {
            "Prefix" | "NotPrefix" => LONGEST_PREFIX,
            "Postfix" | "NotPostfix" => LONGEST_POSTFIX,
            _ => LONGEST_BINARY,
        };
        for (place, value) in texts(filter, &path).filter(|(_, value)| value.len() > most) {
            context
                .refuse(&place, format!("has {} bytes; at most {most} are allowed", value.len()));
        }
    }
}

/// Whether the selectors of a hook fit into the agent's buffer: it panics where they do not. Only what has no other
/// bound is counted.
pub fn size(selectors: &[Value], path: &str, context: &mut Context<'_, '_>) {
    const PIDS: usize = 12;
    const CAPABILITIES: usize = 20;
    let mut bytes = 0;
    for selector in selectors.iter().filter_map(Value::as_object) {
        let merged = Merged::of(selector, path, context.macros, None);
        let values =
            |filter: &Value| filter.get("values").and_then(Value::as_array).map_or(0, Vec::len);
        bytes +=
            merged.get("matchPIDs").1.iter().map(|filter| PIDS + 4 * values(filter)).sum::<usize>();
        bytes += CAPABILITIES
            * (merged.get("matchCapabilities").1.len()
                + merged.get("matchCapabilityChanges").1.len());
    }
    if bytes > SELECTOR_BYTES {
        let rule = format!(
            "needs {bytes} bytes for PIDs and capabilities; the agent has {SELECTOR_BYTES} and crashes"
        );
        context.refuse(&format!("{path}.selectors"), rule);
    }
}
