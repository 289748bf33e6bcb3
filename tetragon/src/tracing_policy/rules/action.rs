//! The rules of `matchActions`, and what an action enforces.

use serde_json::Value;

use super::merged::List;
use super::number::{self, U32};
use super::{Context, text};
use crate::tracing_policy::diagnostic::quoted;

/// Maximum number of actions in a selector.
const MAX_ACTIONS: usize = 3;

/// The actions that LSM hooks support.
const ALLOWED: [&str; 5] = ["post", "nopost", "sigkill", "signal", "override"];

/// `SIGKILL`, as a number.
const SIGKILL: u64 = 9;

/// What an action does to the call that matches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ActionEffect {
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
pub fn effect_of(action: &Value) -> ActionEffect {
    match text(action, "action").to_ascii_lowercase().as_str() {
        // The enforcer kills the process, or makes the call fail. LSM hooks do not support it.
        "sigkill" | "notifyenforcer" => ActionEffect::Kill,
        "signal" if action.get("argSig").and_then(Value::as_u64) == Some(SIGKILL) => {
            ActionEffect::Kill
        }
        "override" => match action.get("argError").and_then(Value::as_i64) {
            None | Some(0) => ActionEffect::OverrideToZero,
            Some(_) => ActionEffect::Override,
        },
        _ => ActionEffect::Nothing,
    }
}

/// Checks `matchActions`.
pub fn check(actions: List<'_>, context: &mut Context<'_, '_>) {
    let count = actions.entries.len();
    if count > MAX_ACTIONS {
        let rule = format!("has {count} actions; at most {MAX_ACTIONS} are allowed");
        context.refuse(actions.path, rule);
    }
    for (index, action) in actions.entries.iter().enumerate() {
        check_one(action, &format!("{}[{index}]", actions.path), context);
    }
}

fn check_one(action: &Value, path: &str, context: &mut Context<'_, '_>) {
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
    if lower == "post" {
        rate_limit(action, path, context);
    } else if !text(action, "rateLimit").is_empty() {
        let rule = "is allowed only with the action Post; remove it";
        context.refuse(&format!("{path}.rateLimit"), rule);
    }
}

fn rate_limit(action: &Value, path: &str, context: &mut Context<'_, '_>) {
    let limit = text(action, "rateLimit");
    if limit.is_empty() {
        return;
    }
    let digits = limit.strip_suffix(['s', 'S', 'm', 'M', 'h', 'H']).unwrap_or(limit);
    if number::parse(digits, U32).is_none() {
        let rule = format!(
            "invalid duration {}: write a number of seconds, or a number with s, m or h, for \
             example 5m",
            quoted(limit)
        );
        context.refuse(&format!("{path}.rateLimit"), rule);
    }
    let scope = text(action, "rateLimitScope");
    if !["", "thread", "process", "global"].contains(&scope) {
        let rule = format!("invalid scope {}: write thread, process or global", quoted(scope));
        context.refuse(&format!("{path}.rateLimitScope"), rule);
    }
}
