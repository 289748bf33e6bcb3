//! Whether a policy in the cluster has an action that denies, on hooks of any kind, and whether it only monitors.
//!
//! In: `spec` as the API server gives it, also of a policy that cannot be read or is refused: agents have something to say
//! about it too. Out: [`Enforcement`]. Answers of agents are compared with it.
//!
//! About LSM hooks it agrees with [`super::effect`]. The mode is kept apart from the actions, since people set the mode of
//! a loaded policy by `tetra tracingpolicy set-mode`. A policy with macros is judged as Tetragon v1.7 and later do, since
//! no older release takes it.

use serde_json::{Map, Value};

use super::effect::{acts, is_forced_to_monitor, mode};
use super::release::Release;
use super::rules::{Enforces, Merged, SECTIONS, enforces, list, macros};
use super::without_points;

/// What a policy's text says about denying.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Enforcement {
    /// It has an action that denies.
    pub denies: bool,
    /// The agent loads it in a mode that denies nothing, whatever its actions are.
    pub monitors: bool,
}

impl Enforcement {
    /// That of the policy with this spec.
    #[must_use]
    pub fn of(spec: &Value) -> Self {
        let mut spec = spec.clone();
        without_points(&mut spec);
        let Value::Object(spec) = spec else {
            return Self::default();
        };
        let hooks = list(&spec, LSM_HOOKS);
        let others = SECTIONS.iter().filter(|(section, _)| *section != LSM_HOOKS);
        let of_others =
            others.flat_map(|(section, _)| list(&spec, section)).any(|entry| denies(entry, &spec));
        let denies = of_others || acts(hooks, macros(&spec, Release::Main));
        let is_forced = denies && is_forced_to_monitor(&spec, Release::Main);
        Self { denies, monitors: is_forced || mode(&spec) == Some("monitor") }
    }
}

const LSM_HOOKS: &str = "lsmhooks";

/// Whether an entry of another section has an action that denies. `Override` does so there without `argError` too.
fn denies(entry: &Value, spec: &Map<String, Value>) -> bool {
    let macros = macros(spec, Release::Main);
    let selectors = entry
        .get("selectors")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object);
    let mut actions =
        selectors.flat_map(|selector| Merged::of(selector, "", macros, None).get("matchActions").1);
    actions.any(|action| enforces(action) != Enforces::Nothing)
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
        let on = |section: &str, action: Value| json!({section: [{"selectors": [{"matchActions": [action]}]}]});
        let on_hook = |hook: &str, action: Value| json!({"lsmhooks": [{"hook": hook, "selectors": [{"matchActions": [action]}]}]});
        let table = [
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
            // The kernel ignores what this hook returns.
            (on_hook("task_free", json!({"action": "Override", "argError": -1})), false),
            (on_hook("task_free", json!({"action": "Sigkill"})), true),
            (json!({"lsmhooks": [{"hook": "file_open"}]}), false),
            (
                json!({"lsmhooks": [{"selectors": [{"matchReturnActions": [{"action": "Sigkill"}]}]}]}),
                false,
            ),
            (json!({"lsmhooks": {"selectors": 7}}), false),
            (Value::Null, false),
        ];
        for (spec, expected) in table {
            assert_eq!(denies(&spec), expected, "{spec}");
        }
    }

    #[test]
    fn an_action_of_a_macro_counts_where_a_selector_names_the_macro() {
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
            "no selector has an action of its own, so the agent sets the mode monitor_only"
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
