//! Whether a TracingPolicy's spec has an action that denies: without one its agents only report. Pure.
//!
//! From Tetragon 1.7.0 (`HasEnforcementAction` in `pkg/selectors/kernel.go`, `newPolicyInfoFromSpec` in
//! `pkg/sensors/tracing/policyhandler_linux.go`): only `matchActions` are looked at, and names of actions are compared in
//! lower case. `Signal` is counted here where it sends SIGKILL, and `Override` on an LSM hook where its error is not 0,
//! since 0 lets the call go on.

use serde_json::Value;

/// The lists of a spec whose entries have selectors.
const SECTIONS: [&str; 6] = ["kprobes", "tracepoints", "lsmhooks", "uprobes", "usdts", "fentries"];
/// The number of SIGKILL.
const SIGKILL: i64 = 9;

/// Whether that spec denies anything, on a hook of any kind.
#[must_use]
pub fn denies(spec: &Value) -> bool {
    SECTIONS.iter().any(|section| {
        let on_lsm_hook = *section == "lsmhooks";
        list(spec, section).iter().flat_map(|entry| list(entry, "selectors")).any(|selector| {
            with_macros(spec, selector)
                .flat_map(|part| list(part, "matchActions"))
                .any(|action| action_denies(action, on_lsm_hook))
        })
    })
}

/// The selector, and the macros that it names.
fn with_macros<'a>(spec: &'a Value, selector: &'a Value) -> impl Iterator<Item = &'a Value> {
    let named = list(selector, "macros").iter().filter_map(Value::as_str);
    let macros = named.filter_map(|name| spec.get("selectorsMacros")?.get(name));
    std::iter::once(selector).chain(macros)
}

fn action_denies(action: &Value, on_lsm_hook: bool) -> bool {
    let number = |field: &str| action.get(field).and_then(Value::as_i64).unwrap_or_default();
    let name = action.get("action").and_then(Value::as_str).unwrap_or_default();
    match name.to_lowercase().as_str() {
        "sigkill" | "notifyenforcer" => true,
        "signal" => number("argSig") == SIGKILL,
        "override" => !on_lsm_hook || number("argError") != 0,
        _ => false,
    }
}

/// A list of the object; empty where it is absent or something else.
fn list<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_actions_that_deny_count() {
        let on = |section: &str, action: Value| json!({section: [{"selectors": [{"matchActions": [action]}]}]});
        let table = [
            (on("lsmhooks", json!({"action": "Override", "argError": -1})), true),
            (on("lsmhooks", json!({"action": "Override", "argError": 0})), false),
            (on("lsmhooks", json!({"action": "Override"})), false),
            (on("kprobes", json!({"action": "Override"})), true),
            (on("lsmhooks", json!({"action": "SIGKILL"})), true),
            (on("tracepoints", json!({"action": "Sigkill"})), true),
            (on("kprobes", json!({"action": "NotifyEnforcer"})), true),
            (on("lsmhooks", json!({"action": "Signal", "argSig": 9})), true),
            (on("lsmhooks", json!({"action": "Signal", "argSig": 10})), false),
            (on("lsmhooks", json!({"action": "Post"})), false),
            (on("lsmhooks", json!({})), false),
            (on("other", json!({"action": "Sigkill"})), false),
            (json!({"lsmhooks": [{"hook": "file_open"}]}), false),
            (json!({"lsmhooks": [{"selectors": [{"matchReturnActions": [{"action": "Sigkill"}]}]}]}), false),
            (json!({"lsmhooks": {"selectors": 7}}), false),
            (Value::Null, false),
        ];
        for (spec, expected) in table {
            assert_eq!(denies(&spec), expected, "{spec}");
        }
    }

    #[test]
    fn an_action_of_a_macro_counts_where_a_selector_names_the_macro() {
        let spec = |named: &str| {
            json!({"lsmhooks": [{"selectors": [{"macros": [named]}]}],
                "selectorsMacros": {"kill": {"matchActions": [{"action": "Sigkill"}]}}})
        };
        assert!(denies(&spec("kill")));
        assert!(!denies(&spec("other")));
    }
}
