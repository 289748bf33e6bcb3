//! The rules of `matchArgs` and `matchData`: which operators a type of argument supports, and which
//! values.

mod argument_type;
mod operators;

use serde_json::Value;

use super::merged::{List, Merged};
use super::{Context, count, text};
use crate::tracing_policy::release::Release::{V1_5, V1_6};
use argument_type::ArgumentType;

/// Maximum number of filters in a selector.
const MAX_FILTERS: usize = 5;
/// Maximum number of values with the operators `SubString…` in a selector.
const MAX_SUBSTRINGS: usize = 100;

/// One filter, and the argument that it compares.
struct Filter<'a> {
    fields: &'a Value,
    operator: &'a str,
    path: String,
    /// The name of the argument's type.
    type_name: &'a str,
    argument: ArgumentType,
}

/// Checks the filters of a selector of a hook with these arguments.
pub fn check(selector: &Merged<'_>, args: &[Value], context: &mut Context<'_, '_>) {
    let (filters, data) = (selector.get("matchArgs"), selector.get("matchData"));
    let total = filters.entries.len() + data.entries.len();
    if total > MAX_FILTERS {
        let rule = format!("has {total} filters; at most {MAX_FILTERS} are allowed");
        context.refuse(filters.path, rule);
    }
    if context.release >= V1_6 && !data.entries.is_empty() {
        let rule = "is not supported on LSM hooks, which have no data; use matchArgs";
        context.refuse(data.path, rule);
    }
    let substrings = check_each(filters, args, context);
    if substrings > MAX_SUBSTRINGS {
        let rule =
            format!("has {substrings} values with SubString; at most {MAX_SUBSTRINGS} are allowed");
        context.refuse(filters.path, rule);
    }
}

/// Checks each filter. Returns the number of values with the operators `SubString…`.
fn check_each(filters: List<'_>, args: &[Value], context: &mut Context<'_, '_>) -> usize {
    let mut substrings = 0;
    for (index, fields) in filters.entries.iter().enumerate() {
        let path = format!("{}[{index}]", filters.path);
        let operator = text(fields, "operator");
        if operator == "CelExpr" {
            expression(fields, &path, context);
            continue;
        }
        let Some(type_name) = type_name(fields, args, &path, context) else {
            continue;
        };
        if operator.starts_with("SubString") {
            substrings += count(fields);
        }
        let argument = ArgumentType::of(type_name);
        operators::check(&Filter { fields, operator, path, type_name, argument }, args, context);
    }
    substrings
}

fn expression(filter: &Value, path: &str, context: &mut Context<'_, '_>) {
    let count = count(filter);
    if count != 1 {
        context.refuse(&format!("{path}.values"), format!("has {count} expressions; write one"));
    }
    let rule =
        "has an expression; the file does not show whether the kernel and the agent accept it";
    context.unknown(path, rule);
}

/// The type of the argument that a filter compares.
fn type_name<'a>(
    filter: &Value,
    args: &'a [Value],
    path: &str,
    context: &mut Context<'_, '_>,
) -> Option<&'a str> {
    let found = argument(filter, args, context.release >= V1_5);
    if found.is_none() {
        let rule = "compares an argument that args of this hook does not list; add it there, with \
            its index and type";
        context.refuse(path, rule);
    }
    found.map(|arg| text(arg, "type"))
}

/// The argument that a filter names: by its place in `args`, which v1.5 and later support, or by
/// its index.
fn argument<'a>(filter: &Value, args: &'a [Value], has_places: bool) -> Option<&'a Value> {
    let places = filter.get("args").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if let Some(place) = places.first().filter(|_| has_places) {
        return args.get(usize::try_from(place.as_u64()?).ok()?);
    }
    let wanted = filter.get("index").and_then(Value::as_u64).unwrap_or_default();
    args.iter().find(|arg| arg.get("index").and_then(Value::as_u64) == Some(wanted))
}
