//! Reads one line of metrics, in the text format of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use crate::tetragon_client::answer::{Actions, PolicyName};
use crate::tetragon_client::state::PolicyState;

/// Every integer up to this number is exact in a double.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// A line about policies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Sample {
    /// `tetragon_tracingpolicy_loaded{state}`: the number of policies in that state. Every release
    /// has `load_error`, `error`, `disabled` and `enabled`; main also has `skipped` and
    /// `partially_enabled`. No release has `loading`.
    Loaded(PolicyState, u64),
    /// `tetragon_tracingpolicy_kernel_memory_bytes{policy, policy_namespace}`, since 1.3: the agent
    /// knows that policy, in any state.
    Known(PolicyName),
    /// `tetragon_tracingpolicy_selector_actions_total{policy, policy_namespace, hook, hook_index,
    /// selector_index, selector_label, action}` on main: how often the action was carried out.
    Acted(PolicyName, Actions),
}

/// Reads a line; `None` if it is not about policies or malformed.
pub fn sample(line: &[u8]) -> Option<Sample> {
    // Most lines are about other things and end here.
    let rest = std::str::from_utf8(line.strip_prefix(b"tetragon_tracingpolicy_")?).ok()?;
    let (metric, rest) = rest.split_once('{')?;
    let mut labels = Labels(rest);
    match metric {
        "loaded" => {
            let [state] = labels.values(["state"])?;
            Some(Sample::Loaded(PolicyState::named(&state), labels.count()?))
        }
        "kernel_memory_bytes" => {
            let [policy, namespace] = labels.values(["policy", "policy_namespace"])?;
            Some(Sample::Known(PolicyName::sanitized(&namespace, &policy)))
        }
        "selector_actions_total" => {
            let [policy, namespace, action] =
                labels.values(["policy", "policy_namespace", "action"])?;
            let actions = enforcing_actions(&action, labels.count()?)?;
            Some(Sample::Acted(PolicyName::sanitized(&namespace, &policy), actions))
        }
        _ => None,
    }
}

/// Counts an action that enforces. `post` and `nopost` only report.
fn enforcing_actions(action: &str, count: u64) -> Option<Actions> {
    match action {
        "signal" | "override" | "notify_enforcer" | "set" => {
            Some(Actions { enforced: count, monitored: 0 })
        }
        "monitor_signal" | "monitor_override" | "monitor_notify_enforcer" | "monitor_set" => {
            Some(Actions { enforced: 0, monitored: count })
        }
        _ => None,
    }
}

/// The text after `{`: labels up to `}`, then a value and an optional timestamp.
struct Labels<'a>(&'a str);

impl Labels<'_> {
    /// The values of these labels. The first label is required; the others are empty if missing.
    /// Afterwards `self` is the text after `}`.
    fn values<const N: usize>(&mut self, names: [&str; N]) -> Option<[String; N]> {
        let mut found = [const { None }; N];
        while let Some((name, value)) = self.label()? {
            if let Some(place) = names.iter().position(|wanted| *wanted == name) {
                found[place] = Some(value);
            }
        }
        found.first()?.as_ref()?;
        Some(found.map(Option::unwrap_or_default))
    }

    /// The next label, `name="value"`, and a comma if another follows. `Some(None)` at `}`.
    #[allow(
        clippy::option_option,
        reason = "the end of the labels and a malformed line are different"
    )]
    fn label(&mut self) -> Option<Option<(String, String)>> {
        let rest = self.0.trim_start_matches([' ', ',']);
        if let Some(rest) = rest.strip_prefix('}') {
            self.0 = rest;
            return Some(None);
        }
        let (name, rest) = rest.split_once('=')?;
        let rest = rest.trim_start().strip_prefix('"')?;
        let (value, rest) = unescape(rest)?;
        self.0 = rest;
        Some(Some((name.trim().to_owned(), value)))
    }

    /// The value as a count; `None` if it is not a non-negative integer. Both 1 and 1e+00 are one.
    fn count(&self) -> Option<u64> {
        let value: f64 = self.0.split_whitespace().next()?.parse().ok()?;
        let exact = value.fract() == 0.0 && (0.0..=MAX_EXACT).contains(&value);
        exact.then(|| format!("{value:.0}").parse().ok())?
    }
}

/// Reads a value up to its closing quote; returns it with the rest. The escapes are `\\`, `\"` and
/// `\n`.
fn unescape(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => match chars.next()? {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Option<Sample> {
        sample(line.as_bytes())
    }

    fn acted(enforced: u64, monitored: u64) -> Sample {
        Sample::Acted(PolicyName::sanitized("", "deny"), Actions { enforced, monitored })
    }

    #[test]
    fn the_gauge_is_read_by_state() {
        for (labels_and_value, expected) in [
            (r#"state="disabled"} 1"#, Some((PolicyState::Disabled, 1))),
            (r#"state="enabled"} 2e+00"#, Some((PolicyState::Enabled, 2))),
            (r#"state="skipped",} 3 1700000000000"#, Some((PolicyState::Skipped, 3))),
            (r#"a="}\",state=\"error\"",state="load_error"} 4"#, Some((PolicyState::LoadError, 4))),
            (r#"state="partially_enabled"} 0"#, Some((PolicyState::PartiallyEnabled, 0))),
            (r#"state="new"} 5"#, Some((PolicyState::Unclear, 5))),
            (r#"state="enabled"} NaN"#, None),
            (r#"state="enabled"} -1"#, None),
            (r#"state="enabled"} 1.5"#, None),
            (r#"state="enabled"} 1e300"#, None),
            (r#"state="enabled"}"#, None),
            (r#"state="enabled 1"#, None),
            (r"state=enabled} 1", None),
            (r#"other="enabled"} 1"#, None),
            (r"} 1", None),
        ] {
            let line = format!("tetragon_tracingpolicy_loaded{{{labels_and_value}");
            assert_eq!(
                of(&line),
                expected.map(|(state, count)| Sample::Loaded(state, count)),
                "{line}"
            );
        }
    }

    #[test]
    fn the_memory_metric_names_policies() {
        let line = |namespace: &str, value: &str| {
            format!(
                "tetragon_tracingpolicy_kernel_memory_bytes\
                 {{policy=\"deny\",policy_namespace=\"{namespace}\"}} {value}"
            )
        };
        assert_eq!(
            of(&line("team", "1.2e+06")),
            Some(Sample::Known(PolicyName::sanitized("team", "deny")))
        );
        assert_eq!(of(&line("", "0")), Some(Sample::Known(PolicyName::sanitized("", "deny"))));
    }

    #[test]
    fn enforcing_actions_are_counted_by_policy() {
        let line = |action: &str| {
            format!(
                "tetragon_tracingpolicy_selector_actions_total{{action=\"{action}\",\
                 hook=\"uprobe:/a,b}}\\\"c:x\",hook_index=\"0\",policy=\"deny\",\
                 policy_namespace=\"\",selector_index=\"1\",selector_label=\"\"}} 7"
            )
        };
        for action in ["signal", "override", "notify_enforcer", "set"] {
            assert_eq!(of(&line(action)), Some(acted(7, 0)), "{action}");
            assert_eq!(of(&line(&format!("monitor_{action}"))), Some(acted(0, 7)), "{action}");
        }
        for action in ["post", "nopost", "monitor_post", ""] {
            assert_eq!(of(&line(action)), None, "{action}");
        }
    }

    #[test]
    fn other_lines_are_skipped() {
        for line in [
            "",
            "# TYPE tetragon_tracingpolicy_loaded gauge",
            r#"tetragon_tracingpolicy_loaded_total{state="enabled"} 1"#,
            " tetragon_tracingpolicy_loaded{state=\"enabled\"} 1",
            "tetragon_tracingpolicy_loaded 1",
            "go_goroutines 9",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
        assert_eq!(sample(b"tetragon_tracingpolicy_loaded{state=\"\xff\"} 1"), None);
    }
}
