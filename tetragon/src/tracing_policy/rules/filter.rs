//! The rules of `matchArgs` and `matchData`: which operators a type of argument takes, and which values.

use serde_json::Value;

use super::selector::{LONGEST_POSTFIX, LONGEST_PREFIX, Merged, unknown_capability};
use super::{Context, number, text, texts, words};
use crate::tracing_policy::diagnostic::quoted;
use crate::tracing_policy::release::Release::{self, V1_4, V1_5, V1_6, V1_7};

/// So many filters a selector may have.
const MOST_FILTERS: usize = 5;
/// So many values a filter may have where they are compared one by one.
const MOST_VALUES: usize = 4;
/// Longest text that is compared as a whole, in bytes.
const LONGEST_TEXT: usize = 4096;
/// Longest part of a text, in bytes.
const LONGEST_PART: usize = 99;
/// The agent writes each number of a range into a map; of ranges beyond this it is not known how they end.
const LONGEST_RANGE: i128 = 1_000_000;

/// Types of arguments, by what they can be compared with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Type {
    /// A number with that many bits.
    Number { bits: u32, is_signed: bool, is_small: bool },
    /// Text, and what is compared as text.
    Text,
    /// Sockets and addresses.
    Socket,
    /// `sockaddr`.
    Address,
    /// `sockaddr_un`.
    UnixAddress,
    /// `net_device`.
    Device,
    /// Sets of capabilities.
    Capabilities,
    /// Anything else.
    Other,
}

impl Type {
    fn of(name: &str) -> Self {
        let number = |bits, is_signed, is_small| Self::Number { bits, is_signed, is_small };
        match name {
            "int" | "int32" | "sint32" | "size_t" => number(32, true, false),
            "int16" | "sint16" | "int8" | "sint8" => number(32, true, true),
            "uint32" => number(32, false, false),
            "uint16" | "uint8" => number(32, false, true),
            "int64" | "sint64" | "long" | "syscall64" => number(64, true, false),
            "uint64" | "ulong" => number(64, false, false),
            "fd" | "file" | "path" | "string" | "char_buf" | "linux_binprm" | "data_loc"
            | "dentry" => Self::Text,
            "net_device" => Self::Device,
            "sock" | "skb" | "socket" => Self::Socket,
            "sockaddr" => Self::Address,
            "sockaddr_un" => Self::UnixAddress,
            "kernel_cap_t" | "cap_inheritable" | "cap_permitted" | "cap_effective" => {
                Self::Capabilities
            }
            _ => Self::Other,
        }
    }
}

/// One filter, and what it is about.
struct Filter<'a> {
    fields: &'a Value,
    operator: &'a str,
    path: String,
    name: &'a str,
    ty: Type,
}

/// Checks the filters of a selector of a hook with these arguments.
pub fn check(selector: &Merged<'_>, args: &[Value], context: &mut Context<'_, '_>) {
    let (path, filters) = selector.get("matchArgs");
    let (data_path, data) = selector.get("matchData");
    if filters.len() + data.len() > MOST_FILTERS {
        let rule = format!(
            "has {} filters; at most {MOST_FILTERS} are allowed",
            filters.len() + data.len()
        );
        context.refuse(path, rule);
    }
    if context.release >= V1_6 && !data.is_empty() {
        context
            .refuse(data_path, "is not supported on LSM hooks, which have no data; use matchArgs");
    }
    let mut parts = 0;
    for (index, filter) in filters.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let operator = text(filter, "operator");
        if operator == "CelExpr" {
            let count = filter.get("values").and_then(Value::as_array).map_or(0, Vec::len);
            if count != 1 {
                context.refuse(
                    &format!("{path}.values"),
                    format!("has {count} expressions; write one"),
                );
            }
            let rule = "whether the kernel and the agent take this expression cannot be told from the file";
            context.unjudged(&path, rule);
            continue;
        }
        let Some(name) = type_name(filter, args, &path, context) else {
            continue;
        };
        if operator.starts_with("SubString") {
            parts += filter.get("values").and_then(Value::as_array).map_or(0, Vec::len);
        }
        values(&Filter { fields: filter, operator, path, name, ty: Type::of(name) }, args, context);
    }
    if parts > 100 {
        context.refuse(path, format!("has {parts} values with SubString; at most 100 are allowed"));
    }
}

/// The type of the argument that a filter is about.
fn type_name<'a>(
    filter: &Value,
    args: &'a [Value],
    path: &str,
    context: &mut Context<'_, '_>,
) -> Option<&'a str> {
    let places = filter.get("args").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let found = if let Some(place) = places.first().filter(|_| context.release >= V1_5) {
        args.get(usize::try_from(place.as_u64()?).ok()?)
    } else {
        let wanted = filter.get("index").and_then(Value::as_u64).unwrap_or_default();
        args.iter().find(|arg| arg.get("index").and_then(Value::as_u64) == Some(wanted))
    };
    if found.is_none() {
        let rule = "is about an argument that args of this hook does not list; add it there, with its index and type";
        context.refuse(path, rule);
    }
    found.map(|arg| text(arg, "type"))
}

fn values(filter: &Filter<'_>, args: &[Value], context: &mut Context<'_, '_>) {
    match filter.operator {
        "Equal" | "NotEqual" => equal(filter, context),
        "GT" | "LT" | "GreaterThan" | "LessThan" | "Mask" => compare(filter, context),
        "InMap" | "NotInMap" => in_map(filter, context),
        "InRange" | "NotInRange" => in_range(filter, context),
        "Prefix" | "NotPrefix" => longest(filter, LONGEST_PREFIX, context),
        "Postfix" | "NotPostfix" => postfix(filter, context),
        "SubString" | "SubStringIgnCase" if takes_parts(filter, context.release) => {
            longest(filter, LONGEST_PART, context);
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

/// Whether the agent looks at the values of `SubString`. Of other types it ignores them.
fn takes_parts(filter: &Filter<'_>, release: Release) -> bool {
    match filter.ty {
        _ if release < Release::Main => ["string", "char_buf"].contains(&filter.name),
        Type::Text | Type::Device | Type::UnixAddress => true,
        _ => false,
    }
}

fn unsupported(filter: &Filter<'_>, context: &mut Context<'_, '_>) {
    let name = if filter.name.is_empty() { "auto" } else { filter.name };
    let rule =
        format!("the operator {} does not go with an argument of type {name}", filter.operator);
    context.refuse(&format!("{}.operator", filter.path), rule);
}

fn equal(filter: &Filter<'_>, context: &mut Context<'_, '_>) {
    let is_text = match filter.ty {
        Type::Text => filter.name != "dentry" || context.release >= Release::Main,
        Type::Device | Type::UnixAddress => true,
        _ => false,
    };
    if !is_text {
        return compare(filter, context);
    }
    longest(filter, LONGEST_TEXT, context);
    for (place, value) in texts(filter.fields, &filter.path) {
        if context.release < V1_7 && value.is_empty() {
            context.refuse(&place, "is empty, which this release does not take; remove it");
        }
    }
}

/// Values that are compared one by one.
fn compare(filter: &Filter<'_>, context: &mut Context<'_, '_>) {
    let count = filter.fields.get("values").and_then(Value::as_array).map_or(0, Vec::len);
    if count > MOST_VALUES && context.release >= V1_5 {
        let rule = format!(
            "has {count} values; at most {MOST_VALUES} are allowed. InMap and NotInMap take more"
        );
        context.refuse(&format!("{}.values", filter.path), rule);
    }
    if count == 0 {
        return;
    }
    match filter.ty {
        Type::Number { is_small: true, .. } if context.release < V1_5 => {}
        Type::Number { is_small: true, .. } if context.release < V1_7 => {
            unsupported(filter, context);
        }
        Type::Number { bits, is_signed, .. } => numbers(filter, bits, is_signed, context),
        Type::Socket if filter.name == "socket" && context.release < V1_4 => {}
        Type::Socket | Type::Address | Type::Device => unsupported(filter, context),
        Type::Capabilities if context.release >= V1_5 => masks(filter, context),
        _ if context.release >= V1_5 || filter.name == "char_iovec" => unsupported(filter, context),
        _ => {}
    }
}

fn numbers(filter: &Filter<'_>, bits: u32, is_signed: bool, context: &mut Context<'_, '_>) {
    for (place, value) in texts(filter.fields, &filter.path) {
        if number::parse(value, base(value, context.release), bits, is_signed).is_none() {
            let rule = format!(
                "{} is no number that an argument of type {} can have",
                quoted(value),
                filter.name
            );
            context.refuse(&place, rule);
        }
    }
}

/// Before v1.6 the agent looks at the first letters itself, and then reads no number that begins with 0x.
fn base(value: &str, release: Release) -> u32 {
    match value {
        _ if release >= V1_6 => 0,
        _ if value.starts_with("0x") => 16,
        _ if value.starts_with('0') => 8,
        _ => 10,
    }
}

fn masks(filter: &Filter<'_>, context: &mut Context<'_, '_>) {
    for (place, value) in texts(filter.fields, &filter.path) {
        if number::parse(value, base(value, context.release), 64, false).is_some() {
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
    let Type::Number { is_signed, .. } = filter.ty else {
        if texts(filter.fields, &filter.path).next().is_some() {
            unsupported(filter, context);
        }
        return;
    };
    for (place, value) in texts(filter.fields, &filter.path) {
        if value.starts_with("list:") {
            context.refuse(&place, "lists are not supported on LSM hooks; write the values");
        } else {
            range(value, is_signed, &place, context);
        }
    }
}

/// A number, or two with a colon between them.
fn range(value: &str, is_signed: bool, place: &str, context: &mut Context<'_, '_>) {
    let ends: Option<Vec<i128>> =
        value.split(':').map(|end| number::parse(end, 10, 64, is_signed)).collect();
    match ends.as_deref() {
        Some([first, last]) if (first - last).abs() > LONGEST_RANGE => {
            context.unjudged(
                place,
                format!(
                    "{value} is a range of more than {LONGEST_RANGE} numbers, each of which the agent writes into a map"
                ),
            );
        }
        Some([_] | [_, _]) => {}
        _ => context.refuse(
            place,
            format!("{} is neither a number nor a range such as 1024:2048", quoted(value)),
        ),
    }
}

fn in_range(filter: &Filter<'_>, context: &mut Context<'_, '_>) {
    let count = filter.fields.get("values").and_then(Value::as_array).map_or(0, Vec::len);
    if count > MOST_VALUES {
        let rule = format!("has {count} values; at most {MOST_VALUES} are allowed");
        context.refuse(&format!("{}.values", filter.path), rule);
    }
    let Type::Number { bits, .. } = filter.ty else {
        if count > 0 {
            unsupported(filter, context);
        }
        return;
    };
    let most = if bits == 32 { i128::from(u32::MAX) } else { i128::from(i64::MAX) };
    for (place, value) in texts(filter.fields, &filter.path) {
        let ends: Option<Vec<i128>> =
            value.split(':').map(|end| number::parse(end, 0, 64, true)).collect();
        if !ends.is_some_and(|ends| ends.len() == 2 && ends.iter().all(|end| *end <= most)) {
            context.refuse(&place, format!("{} is no range such as 1024:2048", quoted(value)));
        }
    }
}

fn longest(filter: &Filter<'_>, most: usize, context: &mut Context<'_, '_>) {
    for (place, value) in texts(filter.fields, &filter.path).filter(|(_, value)| value.len() > most)
    {
        context.refuse(&place, format!("has {} bytes; at most {most} are allowed", value.len()));
    }
}

fn postfix(filter: &Filter<'_>, context: &mut Context<'_, '_>) {
    longest(filter, LONGEST_POSTFIX, context);
    for (place, value) in texts(filter.fields, &filter.path) {
        if value.trim_end_matches('\0').is_empty() && filter.name != "char_buf" {
            context.refuse(&place, "is empty, which makes the agent crash; remove it");
        }
    }
}

fn socket(filter: &Filter<'_>, context: &mut Context<'_, '_>) {
    let operator = filter.operator;
    let is_destination = operator.contains("DPort") || operator.contains("DAddr");
    let fits = match filter.ty {
        Type::Socket => filter.name != "socket" || context.release >= V1_4,
        Type::Address => {
            context.release >= V1_4 && !is_destination && !["Protocol", "State"].contains(&operator)
        }
        Type::UnixAddress => operator == "Family",
        _ => false,
    };
    if !fits {
        return unsupported(filter, context);
    }
    let named: &[&str] = match operator {
        "Protocol" => words::PROTOCOLS,
        "Family" => words::FAMILIES,
        "State" => &words::TCP_STATES,
        _ => &[],
    };
    for (place, value) in texts(filter.fields, &filter.path) {
        if operator.ends_with("Addr") {
            if !number::is_address(value, context.release) {
                context.refuse(
                    &place,
                    format!("{} is no IP address, for example 10.0.0.0/8", quoted(value)),
                );
            }
        } else if !operator.ends_with("Priv") && !named.contains(&value) {
            range(value, false, &place, context);
        }
    }
}

fn file_type(filter: &Filter<'_>, context: &mut Context<'_, '_>) {
    if !["file", "path"].contains(&filter.name) {
        return unsupported(filter, context);
    }
    if filter
        .fields
        .get("values")
        .and_then(Value::as_array)
        .is_some_and(|values| values.len() > MOST_VALUES)
    {
        context.refuse(
            &format!("{}.values", filter.path),
            format!("has more than {MOST_VALUES} values"),
        );
    }
    for (place, value) in texts(filter.fields, &filter.path) {
        if !words::FILE_TYPES.contains(&value) {
            context.refuse(
                &place,
                format!("{} is none of {}", quoted(value), words::FILE_TYPES.join(", ")),
            );
        }
    }
}

/// `args` has the place of the new set, then that of the old one.
fn capabilities_gained(filter: &Filter<'_>, args: &[Value], context: &mut Context<'_, '_>) {
    let places = filter.fields.get("args").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let is_set = |place: &Value| {
        let arg = place.as_u64().and_then(|place| args.get(usize::try_from(place).ok()?));
        arg.is_some_and(|arg| Type::of(text(arg, "type")) == Type::Capabilities)
    };
    if places.len() != 2 || !places.iter().all(is_set) {
        let rule = "CapabilitiesGained needs args with the places of two arguments of a type such as cap_effective: the \
                    new set and the old one";
        context.refuse(&format!("{}.args", filter.path), rule);
    }
}
