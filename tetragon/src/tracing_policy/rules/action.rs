//! The rules of `matchActions`, and what an action enforces.

use serde_json::Value;

use super::{Context, text};
use crate::tracing_policy::diagnostic::quoted;

/// So many actions a selector may have.
const MOST_ACTIONS: usize = 3;

/// The actions that LSM hooks take.
const ALLOWED: [&str; 5] = ["post", "nopost", "sigkill", "signal", "override"];

/// `SIGKILL`, as a number.
const SIGKILL: u64 = 9;

/// What an action does to a call that it is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Enforces {
    /// It kills the process.
    Kill,
    /// It makes the call fail.
    Override,
    /// It lets the call pass: `Override` with an `argError` of 0.
    OverrideToZero,
    /// Nothing.
    Nothing,
}

/// What that action does.
#[must_use]
pub fn enforces(action: &Value) -> Enforces {
    match text(action, "action").to_ascii_lowercase().as_str() {
        // The enforcer kills the process, or makes the call fail. LSM hooks do not take the action.
        "sigkill" | "notifyenforcer" => Enforces::Kill,
        "signal" if action.get("argSig").and_then(Value::as_u64) == Some(SIGKILL) => Enforces::Kill,
        "override"
            if action.get("argError").and_then(Value::as_i64).is_none_or(|error| error == 0) =>
        {
            Enforces::OverrideToZero
        }
        "override" => Enforces::Override,
        _ => Enforces::Nothing,
    }
}

/// Checks `matchActions`.
pub fn check(actions: &[Value], path: &str, context: &mut Context<'_, '_>) {
    if actions.len() > MOST_ACTIONS {
        context.refuse(
            path,
            format!("has {} actions; at most {MOST_ACTIONS} are allowed", actions.len()),
        );
    }
    for (index, action) in actions.iter().enumerate() {
        one(action, &format!("{path}[{index}]"), context);
    }
}

fn one(action: &Value, path: &str, context: &mut Context<'_, '_>) {
    let name = text(action, "action");
    let lower = name.to_ascii_lowercase();
    if !name.is_empty() && !ALLOWED.contains(&lower.as_str()) {
        let rule = format!(
            "{} is not supported on LSM hooks; use Post, NoPost, Sigkill, Signal or Override",
            quoted(name)
        );
        context.refuse(&format!("{path}.action"), rule);
    }
    for stack in ["kernelStackTrace", "userStackTrace"] {
        if lower == "post" && action.get(stack) == Some(&Value::Bool(true)) {
            context.refuse(&format!("{path}.{stack}"), "is not supported on LSM hooks; remove it");
        }
    }
    rate_limit(action, &lower, path, context);
}

fn rate_limit(action: &Value, name: &str, path: &str, context: &mut Context<'_, '_>) {
    let limit = text(action, "rateLimit");
    if limit.is_empty() {
        return;
    }
    if name != "post" {
        return context.refuse(
            &format!("{path}.rateLimit"),
            "is allowed with the action Post alone; remove it",
        );
    }
    let digits = limit.strip_suffix(['s', 'S', 'm', 'M', 'h', 'H']).unwrap_or(limit);
    if super::number::parse(digits, 10, 32, false).is_none() {
        let rule = format!(
            "{} is no time; write a number of seconds, or one with s, m or h, for example 5m",
            quoted(limit)
        );
        context.refuse(&format!("{path}.rateLimit"), rule);
    }
    let scope = text(action, "rateLimitScope");
    if !["", "thread", "process", "global"].contains(&scope) {
        let rule = format!("{} is not one of thread, process and global", quoted(scope));
        context.refuse(&format!("{path}.rateLimitScope"), rule);
    }
}
