//! Whether a policy in the cluster has an action that denies, on hooks of any kind, and whether it
//! only monitors.
//!
//! In: `spec` as the API server gives it, also if it is invalid or Tetragon refuses it, because
//! agents report such policies too. Out: an [`Enforcement`], to be compared with what the agents
//! report.
//!
//! For LSM hooks it agrees with [`super::effect`]. Mode and actions are separate, because people
//! change the mode of a loaded policy with `tetra tracingpolicy set-mode`. A policy with macros is
//! judged as v1.7 and later do, because no older release accepts it.

use serde_json::{Map, Value};

use super::effect::{is_forced_to_monitor, mode, some_hook_denies};
use super::release::Release;
use super::rules::{ActionEffect, LSM_HOOKS, Merged, SECTIONS, effect_of, list, macros};
use super::without_fractions;

/// What a policy's text says about denying.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Enforcement {
    /// It has an action that denies.
    pub denies: bool,
    /// The agent loads it in a mode that denies nothing, whatever its actions are.
    pub monitors: bool,
}

impl Enforcement {
    /// The enforcement of the policy with this spec.
    #[must_use]
    pub fn of(spec: &Value) -> Self {
        let mut spec = spec.clone();
        without_fractions(&mut spec);
        let Value::Object(spec) = spec else {
            return Self::default();
        };
        let others = SECTIONS.iter().filter(|section| section.name != LSM_HOOKS);
        let mut entries = others.flat_map(|section| list(&spec, section.name));
        let denies = entries.any(|entry| entry_denies(entry, &spec))
            || some_hook_denies(list(&spec, LSM_HOOKS), macros(&spec, Release::Main));
        let is_forced = denies && is_forced_to_monitor(&spec, Release::Main);
        Self { denies, monitors: is_forced || mode(&spec) == Some("monitor") }
    }
}

/// Whether an entry of another section has an action that denies. There, `Override` denies without
/// `argError` too.
fn entry_denies(entry: &Value, spec: &Map<String, Value>) -> bool {
    let macros = macros(spec, Release::Main);
    let selectors = entry.get("selectors").and_then(Value::as_array).into_iter().flatten();
    let mut actions = selectors
        .filter_map(Value::as_object)
        .flat_map(|selector| Merged::of(selector, "", macros).entries("matchActions"));
    actions.any(|action| effect_of(action) != ActionEffect::Nothing)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn denies(spec: &Value) -> bool {
        Enforcement::of(spec).denies
    }

    #[test]
    fn only_actions_that_deny_count() {
        let on = |section: &str, action: Value| {
            let selectors = json!([{"matchActions": [action]}]);
            json!({section: [{ "selectors": selectors }]})
        };
        let on_hook = |hook: &str, action: Value| {
            json!({"lsmhooks": [{"hook": hook,
            "selectors": [{"matchActions": [action]}]}]})
        };
        let cases = [
            (on("lsmhooks", json!({"action": "Override", "argError": -1})), true),
            (on("lsmhooks", json!({"action": "Override", "argError": -1.0})), true),
            (on("lsmhooks", json!({"action": "Override", "argError": 0})), false),
            (on("lsmhooks", json!({"action": "Override"})), false),
            (on("kprobes", json!({"action": "Override"})), true),
            (on("lsmhooks", json!({"action": "SIGKILL"})), true),
            (on("tracepoints", json!({"action": "Sigkill"})), true),
            (on("kprobes", json!({"action": "NotifyEnforcer"})), true),
            (on("lsmhooks", json!({"action": "Signal", "argSig": 9})), true),
            (on("lsmhooks", json!({"action": "Signal", "argSig": 10})), false),
            (on("lsmhooks", json!({"action": "Post"})), false),
            (on("kprobes", json!({"action": "Post"})), false),
            (on("lsmhooks", json!({})), false),
            (on("other", json!({"action": "Sigkill"})), false),
            (on_hook("file_open", json!({"action": "Override", "argError": -1})), true),
            // The kernel ignores the return value of this hook.
            (on_hook("task_free", json!({"action": "Override", "argError": -1})), false),
            (on_hook("task_free", json!({"action": "Sigkill"})), true),
            (json!({"lsmhooks": [{"hook": "file_open"}]}), false),
            (
                json!({"lsmhooks": [
                    {"selectors": [{"matchReturnActions": [{"action": "Sigkill"}]}]},
                ]}),
                false,
            ),
            (json!({"lsmhooks": {"selectors": 7}}), false),
            (Value::Null, false),
        ];
        for (spec, expected) in cases {
            assert_eq!(denies(&spec), expected, "{spec}");
        }
    }

    #[test]
    fn an_action_of_a_macro_counts_if_a_selector_uses_the_macro() {
        let spec = |section: &str, named: &str| {
            json!({section: [{"selectors": [{"macros": [named]}]}],
                "selectorsMacros": {"kill": {"matchActions": [{"action": "Sigkill"}]}}})
        };
        for section in ["lsmhooks", "kprobes"] {
            assert!(denies(&spec(section, "kill")));
            assert!(!denies(&spec(section, "other")));
        }
        let forced = |section: &str| Enforcement::of(&spec(section, "kill")).monitors;
        assert!(
            forced("lsmhooks"),
            "no selector has its own action, so the agent sets the mode monitor_only"
        );
        assert!(forced("kprobes"));
        let mut own = spec("lsmhooks", "kill");
        own["lsmhooks"][0]["selectors"][0]["matchActions"] =
            json!([{"action": "Override", "argError": -1}]);
        assert_eq!(Enforcement::of(&own), Enforcement { denies: true, monitors: false });
    }

    #[test]
    fn the_last_policy_mode_counts() {
        let option = |value: &str| json!({"name": "policy-mode", "value": value});
        for (options, expected) in [
            (json!([option("monitor")]), true),
            (json!([option("enforce")]), false),
            (json!([option("monitor"), option("enforce")]), false),
            (json!([{"name": "other", "value": "monitor"}]), false),
            (json!("monitor"), false),
        ] {
            assert_eq!(
                Enforcement::of(&json!({ "options": options })).monitors,
                expected,
                "{options}"
            );
        }
    }
}
