//! The text of the metrics about policies (pkg/metrics/policymetrics of v1.3.0, v1.7.0 and main of
//! 2026-08).

use std::fmt::Write as _;

use crate::config::Release;
use crate::messages::{ActionCounters, TracingPolicyStatus};
use crate::release::Source;
use crate::states::State;

/// The states that the gauge of every release has, whether or not a policy is in them.
const COUNTED: [State; 4] = [State::Disabled, State::Enabled, State::Error, State::LoadError];
/// The states that only main has.
const COUNTED_SINCE_DOMAINS: [State; 2] = [State::PartiallyEnabled, State::Skipped];

/// The answer of `/metrics`.
pub fn text(source: &Source) -> String {
    let policies = source.statuses();
    let mut text =
        "# HELP tetragon_tracingpolicy_kernel_memory_bytes The amount of kernel memory in bytes used by policies.\n\
        # TYPE tetragon_tracingpolicy_kernel_memory_bytes gauge\n"
            .to_owned();
    for policy in &policies {
        let (labels, bytes) = (labels(policy), policy.kernel_memory_bytes);
        let _ = writeln!(text, "tetragon_tracingpolicy_kernel_memory_bytes{{{labels}}} {bytes}");
    }
    text += "# HELP tetragon_tracingpolicy_loaded The number of loaded tracing policies by state.\n\
        # TYPE tetragon_tracingpolicy_loaded gauge\n";
    let knows_more = source.release() >= Release::LISTS_DOMAINS;
    for state in COUNTED.iter().chain(COUNTED_SINCE_DOMAINS.iter().filter(|_| knows_more)) {
        let count = policies.iter().filter(|policy| policy.state() == *state).count();
        let label = state.name().trim_start_matches("TP_STATE_").to_lowercase();
        let _ = writeln!(text, "tetragon_tracingpolicy_loaded{{state=\"{label}\"}} {count}");
    }
    if knows_more {
        for policy in &policies {
            selector_actions(&mut text, policy);
        }
    }
    text
}

fn labels(policy: &TracingPolicyStatus) -> String {
    format!("policy=\"{}\",policy_namespace=\"{}\"", policy.name, policy.namespace)
}

/// The counters of each selector that are not zero.
fn selector_actions(text: &mut String, policy: &TracingPolicyStatus) {
    for selector in policy.stats.iter().flat_map(|stats| &stats.selector_action_counters) {
        let (hook, policy) = (&selector.hook, labels(policy));
        for (action, count) in selector.action_counters.iter().flat_map(ActionCounters::by_name) {
            if count > 0 {
                let _ = writeln!(
                    text,
                    "tetragon_tracingpolicy_selector_actions_total{{action=\"{action}\",hook=\"{hook}\",hook_index=\"0\",\
                     {policy},selector_index=\"0\",selector_label=\"\"}} {count}"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(release: &str) -> String {
        let refused =
            TracingPolicyStatus { name: "deny".into(), state: 3, ..TracingPolicyStatus::default() };
        text(&Source::new(release.parse().unwrap(), move || vec![refused.clone()]))
    }

    #[test]
    fn one_gauge_counts_policies_by_state_and_another_has_their_names() {
        for line in [
            "tetragon_tracingpolicy_loaded{state=\"load_error\"} 1\n",
            "tetragon_tracingpolicy_loaded{state=\"enabled\"} 0\n",
            "tetragon_tracingpolicy_kernel_memory_bytes{policy=\"deny\",policy_namespace=\"\"} 0\n",
        ] {
            assert!(of("v1.3.0").contains(line), "{line}");
        }
        let skipped = "tetragon_tracingpolicy_loaded{state=\"skipped\"} 0\n";
        assert!(!of("v1.7.0").contains(skipped) && of("v1.8.0").contains(skipped));
    }
}
