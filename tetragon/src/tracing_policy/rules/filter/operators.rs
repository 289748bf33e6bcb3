//! The operators of a filter: which types of argument each supports, and which values.

use serde_json::Value;

use super::Filter;
use super::argument_type::ArgumentType;
use crate::tracing_policy::diagnostic::quoted;
use crate::tracing_policy::release::Release::{self, Main, V1_4, V1_5, V1_6, V1_7};
use crate::tracing_policy::rules::number::{self, Format};
use crate::tracing_policy::rules::words::{
    self, MAX_POSTFIX_LEN, MAX_PREFIX_LEN, unknown_capability,
};
use crate::tracing_policy::rules::{Context, count, text, values};

/// Maximum number of values that the agent compares one by one.
const MAX_VALUES: usize = 4;
/// Maximum length of a text that is compared as a whole, in bytes.
const MAX_TEXT_LEN: usize = 4096;
/// Maximum length of a value of `SubString`, in bytes.
const MAX_SUBSTRING_LEN: usize = 99;
/// The agent writes each number of a range into a map. What it does with longer ranges is not
/// known.
const MAX_RANGE: i128 = 1_000_000;

/// Checks operator and values of a filter of a hook with these arguments.
pub fn check(filter: &Filter<'_>, args: &[Value], context: &mut Context<'_, '_>) {
    match filter.operator {
        "Equal" | "NotEqual" => equal(filter, context),
        "GT" | "LT" | "GreaterThan" | "LessThan" | "Mask" => compare(filter, context),
        "InMap" | "NotInMap" => in_map(filter, context),
        "InRange" | "NotInRange" => in_range(filter, context),
        "Prefix" | "NotPrefix" => max_len(filter, MAX_PREFIX_LEN, context),
        "Postfix" | "NotPostfix" => postfix(filter, context),
        "SubString" | "SubStringIgnCase" if reads_substrings(filter, context.release) => {
            max_len(filter, MAX_SUBSTRING_LEN, context);
        }
        "SPort" | "NotSPort" | "DPort" | "NotDPort" | "Protocol" | "Family" | "State" | "SAddr"
        | "NotSAddr" | "DAddr" | "NotDAddr" | "SPortPriv" | "NotSportPriv" | "NotSPortPriv"
        | "DPortPriv" | "NotDPortPriv" => {
            socket(filter, context);
        }
        "FileType" | "NotFileType" => file_type(filter, context),
        "CapabilitiesGained" => capabilities_gained(filter, args, context),
        _ => {}
    }
}

/// Whether the agent reads the values of `SubString`. For other types it ignores them.
fn reads_substrings(filter: &Filter<'_>, release: Release) -> bool {
    if release < Main {
        return ["string", "char_buf"].contains(&filter.type_name);
    }
    match filter.argument {
        ArgumentType::Text | ArgumentType::Device | ArgumentType::UnixAddress => true,
        ArgumentType::Number { .. }
        | ArgumentType::Socket
        | ArgumentType::Address
        | ArgumentType::Capabilities
        | ArgumentType::Other => false,
    }
}

fn unsupported(filter: &Filter<'_>, context: &mut Context<'_, '_>) {
    let name = if filter.type_name.is_empty() { "auto" } else { filter.type_name };
    let operator = filter.operator;
    let rule = format!("the operator {operator} does not support an argument of type {name}");
    context.refuse(&format!("{}.operator", filter.path), rule);
}

fn equal(filter: &Filter<'_>, context: &mut Context<'_, '_>) {
    let is_text = match filter.argument {
        ArgumentType::Text => filter.type_name != "dentry" || context.release >= Main,
        ArgumentType::Device | ArgumentType::UnixAddress => true,
        ArgumentType::Number { .. }
        | ArgumentType::Socket
        | ArgumentType::Address
        | ArgumentType::Capabilities
        | ArgumentType::Other => false,
    };
    if !is_text {
        return compare(filter, context);
    }
    max_len(filter, MAX_TEXT_LEN, context);
    if context.release < V1_7 {
        for (place, _) in values(filter.fields, &filter.path).filter(|(_, text)| text.is_empty()) {
            context.refuse(&place, "is empty, which this release does not allow; remove it");
        }
    }
}

/// Operators that compare the values one by one.
fn compare(filter: &Filter<'_>, context: &mut Context<'_, '_>) {
    let count = count(filter.fields);
    if count > MAX_VALUES && context.release >= V1_5 {
        let rule = format!(
            "has {count} values; at most {MAX_VALUES} are allowed. InMap and NotInMap allow more"
        );
        context.refuse(&format!("{}.values", filter.path), rule);
    }
    if count == 0 {
        return;
    }
    let release = context.release;
    match filter.argument {
        ArgumentType::Number { is_small: true, .. } if release < V1_5 => {}
        ArgumentType::Number { is_small: true, .. } if release < V1_7 => {
            unsupported(filter, context);
        }
        ArgumentType::Number { bits, is_signed, .. } => numbers(filter, bits, is_signed, context),
        ArgumentType::Socket if filter.type_name == "socket" && release < V1_4 => {}
        ArgumentType::Socket | ArgumentType::Address | ArgumentType::Device => {
            unsupported(filter, context);
        }
        ArgumentType::Capabilities if release >= V1_5 => masks(filter, context),
        ArgumentType::Text
        | ArgumentType::UnixAddress
        | ArgumentType::Capabilities
        | ArgumentType::Other => {
            if release >= V1_5 || filter.type_name == "char_iovec" {
                unsupported(filter, context);
            }
        }
    }
}

fn numbers(filter: &Filter<'_>, bits: u32, is_signed: bool, context: &mut Context<'_, '_>) {
    for (place, value) in values(filter.fields, &filter.path) {
        let format = Format { base: base(value, context.release), bits, is_signed };
        if number::parse(value, format).is_none() {
            let type_name = filter.type_name;
            let rule = format!("invalid number {} for the type {type_name}", quoted(value));
            context.refuse(&place, rule);
        }
    }
}

/// The base in which the agent reads a number. Before v1.6 the agent guesses the base from the
/// first characters, and then fails on a number that begins with 0x.
fn base(value: &str, release: Release) -> u32 {
    match value {
        _ if release >= V1_6 => 0,
        _ if value.starts_with("0x") => 16,
        _ if value.starts_with('0') => 8,
        _ => 10,
    }
}

/// Sets of capabilities: a number, or names with commas between them.
fn masks(filter: &Filter<'_>, context: &mut Context<'_, '_>) {
    for (place, value) in values(filter.fields, &filter.path) {
        let format = Format { base: base(value, context.release), bits: 64, is_signed: false };
        if number::parse(value, format).is_some() {
            continue;
        }
        let is_known =
            |name: &str| words::CAPABILITIES.contains(&name.trim().to_uppercase().as_str());
        if let Some(other) = value.split(',').find(|name| !is_known(name)) {
            context.refuse(&place, unknown_capability(other, &other.to_uppercase()));
        }
    }
}

fn in_map(filter: &Filter<'_>, context: &mut Context<'_, '_>) {
    let ArgumentType::Number { is_signed, .. } = filter.argument else {
        if values(filter.fields, &filter.path).next().is_some() {
            unsupported(filter, context);
        }
        return;
    };
    for (place, value) in values(filter.fields, &filter.path) {
        if value.starts_with("list:") {
            context.refuse(&place, "lists are not supported on LSM hooks; write the values");
        } else {
            number_or_range(value, is_signed, &place, context);
        }
    }
}

/// A number, or two numbers with a colon between them.
fn number_or_range(value: &str, is_signed: bool, place: &str, context: &mut Context<'_, '_>) {
    let format = Format { base: 10, bits: 64, is_signed };
    let ends: Option<Vec<i128>> = value.split(':').map(|end| number::parse(end, format)).collect();
    match ends.as_deref() {
        Some([first, last]) if (first - last).abs() > MAX_RANGE => {
            let rule = format!(
                "{value} is a range of more than {MAX_RANGE} numbers, and the agent writes each \
                 of them into a map"
            );
            context.unknown(place, rule);
        }
        Some([_] | [_, _]) => {}
        _ => {
            let rule = format!(
                "invalid value {}: write a number, or a range, for example 1024:2048",
                quoted(value)
            );
            context.refuse(place, rule);
        }
    }
}

fn in_range(filter: &Filter<'_>, context: &mut Context<'_, '_>) {
    let count = count(filter.fields);
    if count > MAX_VALUES {
        let rule = format!("has {count} values; at most {MAX_VALUES} are allowed");
        context.refuse(&format!("{}.values", filter.path), rule);
    }
    let ArgumentType::Number { bits, .. } = filter.argument else {
        if count > 0 {
            unsupported(filter, context);
        }
        return;
    };
    let max = if bits == 32 { i128::from(u32::MAX) } else { i128::from(i64::MAX) };
    let format = Format { base: 0, bits: 64, is_signed: true };
    for (place, value) in values(filter.fields, &filter.path) {
        let ends: Option<Vec<i128>> =
            value.split(':').map(|end| number::parse(end, format)).collect();
        if !ends.is_some_and(|ends| ends.len() == 2 && ends.iter().all(|end| *end <= max)) {
            let rule =
                format!("invalid range {}: write a range, for example 1024:2048", quoted(value));
            context.refuse(&place, rule);
        }
    }
}

fn max_len(filter: &Filter<'_>, max: usize, context: &mut Context<'_, '_>) {
    context.refuse_longer_values(filter.fields, &filter.path, max);
}

fn postfix(filter: &Filter<'_>, context: &mut Context<'_, '_>) {
    max_len(filter, MAX_POSTFIX_LEN, context);
    for (place, value) in values(filter.fields, &filter.path) {
        if value.trim_end_matches('\0').is_empty() && filter.type_name != "char_buf" {
            context.refuse(&place, "is empty, which makes the agent crash; remove it");
        }
    }
}

fn socket(filter: &Filter<'_>, context: &mut Context<'_, '_>) {
    let operator = filter.operator;
    if !supports_socket_operators(filter, context.release) {
        return unsupported(filter, context);
    }
    let names: &[&str] = match operator {
        "Protocol" => words::PROTOCOLS,
        "Family" => words::FAMILIES,
        "State" => &words::TCP_STATES,
        _ => &[],
    };
    for (place, value) in values(filter.fields, &filter.path) {
        if operator.ends_with("Addr") {
            address(value, &place, context);
        } else if !operator.ends_with("Priv") && !names.contains(&value) {
            number_or_range(value, false, &place, context);
        }
    }
}

fn supports_socket_operators(filter: &Filter<'_>, release: Release) -> bool {
    let operator = filter.operator;
    let is_destination = operator.contains("DPort") || operator.contains("DAddr");
    match filter.argument {
        ArgumentType::Socket => filter.type_name != "socket" || release >= V1_4,
        ArgumentType::Address => {
            release >= V1_4 && !is_destination && !["Protocol", "State"].contains(&operator)
        }
        ArgumentType::UnixAddress => operator == "Family",
        ArgumentType::Number { .. }
        | ArgumentType::Text
        | ArgumentType::Device
        | ArgumentType::Capabilities
        | ArgumentType::Other => false,
    }
}

fn address(value: &str, place: &str, context: &mut Context<'_, '_>) {
    if !number::is_address(value, context.release) {
        let rule =
            format!("invalid IP address {}: write one, for example 10.0.0.0/8", quoted(value));
        context.refuse(place, rule);
    }
}

fn file_type(filter: &Filter<'_>, context: &mut Context<'_, '_>) {
    if !["file", "path"].contains(&filter.type_name) {
        return unsupported(filter, context);
    }
    if count(filter.fields) > MAX_VALUES {
        let rule = format!("has more than {MAX_VALUES} values");
        context.refuse(&format!("{}.values", filter.path), rule);
    }
    for (place, value) in values(filter.fields, &filter.path) {
        if !words::FILE_TYPES.contains(&value) {
            let known = words::FILE_TYPES.join(", ");
            let rule = format!("unknown type of file {}: write one of {known}", quoted(value));
            context.refuse(&place, rule);
        }
    }
}

/// `args` has the place of the new set, then the place of the old set.
fn capabilities_gained(filter: &Filter<'_>, args: &[Value], context: &mut Context<'_, '_>) {
    let places = filter.fields.get("args").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let is_set = |place: &Value| {
        let arg = place.as_u64().and_then(|place| args.get(usize::try_from(place).ok()?));
        arg.is_some_and(|arg| ArgumentType::of(text(arg, "type")) == ArgumentType::Capabilities)
    };
    if places.len() != 2 || !places.iter().all(is_set) {
        let rule = "CapabilitiesGained needs args with the places of two arguments of a type such \
            as cap_effective: the new set and the old one";
        context.refuse(&format!("{}.args", filter.path), rule);
    }
}
