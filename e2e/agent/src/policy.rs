//! The rules of a TracingPolicy that this agent can enforce. Pure.
//!
//! In: the spec. Out: the paths that may not be opened, or why the policy cannot be loaded.

use serde::Deserialize;
use serde_json::Value;

/// The longest path that the BPF program compares, without its final zero.
pub const LONGEST: usize = 255;

/// One path, and the answer when it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub path: String,
    /// A negative errno, or 0 where the policy only watches.
    pub verdict: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    lsmhooks: Vec<Hook>,
}

#[derive(Deserialize)]
struct Hook {
    hook: String,
    #[serde(default)]
    selectors: Vec<Selector>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selector {
    #[serde(default)]
    match_args: Vec<Argument>,
    #[serde(default)]
    match_actions: Vec<Action>,
    /// Other conditions of the selector, which are not supported here.
    #[serde(flatten)]
    other: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
struct Argument {
    index: u32,
    operator: String,
    #[serde(default)]
    values: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Action {
    action: String,
    #[serde(default)]
    arg_error: i32,
}

/// The rules of a policy. A policy without LSM hooks has none: it is not enforced here.
pub fn rules(spec: &Value) -> Result<Vec<Rule>, String> {
    let spec: Spec = serde_json::from_value(spec.clone())
        .map_err(|error| format!("the spec cannot be read: {error}"))?;
    let mut rules = Vec::new();
    for hook in &spec.lsmhooks {
        if hook.hook != "file_open" {
            return Err(format!(
                "lsm hook {:?} is not known to this agent, only \"file_open\" is",
                hook.hook
            ));
        }
        for selector in &hook.selectors {
            rules.extend(selector_rules(selector)?);
        }
    }
    Ok(rules)
}

fn selector_rules(selector: &Selector) -> Result<Vec<Rule>, String> {
    if let Some(other) = selector.other.keys().next() {
        return Err(format!("selector {other:?} is not known to this agent"));
    }
    let [argument] = selector.match_args.as_slice() else {
        return Err("a selector needs exactly one of matchArgs here".to_owned());
    };
    if argument.index != 0 || argument.operator != "Equal" {
        return Err("matchArgs can be compared with operator Equal at index 0 here".to_owned());
    }
    let verdict = verdict(&selector.match_actions)?;
    let rule = |path: &String| match path.len() {
        1..=LONGEST => Ok(Rule { path: path.clone(), verdict }),
        length => {
            Err(format!("a path of {length} bytes cannot be compared here; 1 to {LONGEST} can"))
        }
    };
    argument.values.iter().map(rule).collect()
}

/// Override answers with the policy's error. Post, and no action at all, only watch.
fn verdict(actions: &[Action]) -> Result<i32, String> {
    let mut verdict = 0;
    for action in actions {
        match action.action.as_str() {
            "Override" if (-4095..0).contains(&action.arg_error) => verdict = action.arg_error,
            "Override" => {
                return Err(format!("argError {} is not a negative errno", action.arg_error));
            }
            "Post" | "NoPost" => {}
            other => return Err(format!("action {other:?} is not known to this agent")),
        }
    }
    Ok(verdict)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(operator: &str, path: &str, action: &Value) -> Value {
        json!({"lsmhooks": [{"hook": "file_open", "args": [{"index": 0, "type": "file"}], "selectors": [{
            "matchArgs": [{"index": 0, "operator": operator, "values": [path]}], "matchActions": [action],
        }]}]})
    }

    #[test]
    fn an_override_denies_and_a_post_only_watches() {
        let denied = json!({"action": "Override", "argError": -1});
        let rule = |verdict| Ok(vec![Rule { path: "/tmp/secret".to_owned(), verdict }]);
        assert_eq!(rules(&spec("Equal", "/tmp/secret", &denied)), rule(-1));
        assert_eq!(rules(&spec("Equal", "/tmp/secret", &json!({"action": "Post"}))), rule(0));
        assert_eq!(rules(&json!({"kprobes": [{"call": "x"}]})), Ok(Vec::new()));
    }

    #[test]
    fn a_policy_that_is_not_fully_supported_is_an_error() {
        let denied = json!({"action": "Override", "argError": -1});
        let long = "x".repeat(LONGEST + 1);
        for (spec, word) in [
            (spec("Prefix", "/tmp", &denied), "Equal"),
            (spec("Equal", &long, &denied), "256 bytes"),
            (spec("Equal", "", &denied), "0 bytes"),
            (spec("Equal", "/x", &json!({"action": "Sigkill"})), "Sigkill"),
            (spec("Equal", "/x", &json!({"action": "Override", "argError": 1})), "argError"),
            (json!({"lsmhooks": [{"hook": "bpf"}]}), "bpf"),
            (
                json!({"lsmhooks": [{"hook": "file_open", "selectors": [{"matchBinaries": []}]}]}),
                "matchBinaries",
            ),
        ] {
            let error = rules(&spec).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
