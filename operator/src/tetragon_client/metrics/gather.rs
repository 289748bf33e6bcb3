//! Adds up the lines of the metrics to one answer.

use std::collections::BTreeSet;

use super::sample::{Sample, sample};
use crate::tetragon_client::answer::{
    Actions, ActionsByPolicy, Answer, MAX_POLICIES, PolicyName, Source,
};
use crate::tetragon_client::error::AskError;
use crate::tetragon_client::listing::{Listing, keep};
use crate::tetragon_client::state::StateCounts;

/// Maximum number of bytes of a line that are read. Labels are sorted by name, so the long path in
/// `hook` comes before the policy.
const MAX_LINE: usize = 8 << 10;

/// What was read so far.
#[derive(Default)]
pub struct Gather {
    line: Vec<u8>,
    counts: Option<StateCounts>,
    named: BTreeSet<PolicyName>,
    omitted: u64,
    actions: ActionsByPolicy,
}

impl Gather {
    /// Reads the next bytes of the text.
    pub fn feed(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = MAX_LINE - self.line.len();
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                self.end_of_line();
            }
        }
    }

    fn end_of_line(&mut self) {
        match sample(&self.line) {
            Some(Sample::Loaded(state, count)) => {
                self.counts.get_or_insert_default().add(state, count);
            }
            Some(Sample::Known(policy)) => self.know(policy),
            Some(Sample::Acted(policy, more)) => self.act(policy, more),
            None => {}
        }
        self.line.clear();
    }

    fn know(&mut self, policy: PolicyName) {
        self.named.insert(policy);
        if self.named.len() > MAX_POLICIES {
            self.named.pop_last();
            self.omitted += 1;
        }
    }

    fn act(&mut self, policy: PolicyName, more: Actions) {
        let so_far = self.actions.get(&policy).copied().unwrap_or_default();
        let enforced = so_far.enforced.saturating_add(more.enforced);
        let monitored = so_far.monitored.saturating_add(more.monitored);
        keep(&mut self.actions, policy, Actions { enforced, monitored });
    }

    /// The answer. Fails if the gauge was missing: the agent has just started, or is no agent.
    pub fn finish(mut self) -> Result<Listing, AskError> {
        self.end_of_line();
        let counts = self.counts.ok_or(AskError::NoGauge)?;
        let named = Some(self.named).filter(|named| !named.is_empty() || counts.total() == 0);
        let answer =
            Answer { named, omitted: self.omitted, counts, ..Answer::empty(Source::Metrics) };
        Ok(Listing { answer, actions: self.actions })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tetragon_client::state::PolicyState;

    const GAUGE: &str = "# TYPE tetragon_tracingpolicy_loaded gauge\n\
        tetragon_tracingpolicy_loaded{state=\"enabled\"} 2\n\
        tetragon_tracingpolicy_loaded{state=\"error\"} 0\n\
        tetragon_tracingpolicy_loaded{state=\"skipped\"} 1\n";

    fn gathered(text: &str, piece: usize) -> Result<Listing, AskError> {
        let mut gather = Gather::default();
        text.as_bytes().chunks(piece).for_each(|bytes| gather.feed(bytes));
        gather.finish()
    }

    fn known(name: &str) -> String {
        format!(
            "tetragon_tracingpolicy_kernel_memory_bytes\
             {{policy=\"{name}\",policy_namespace=\"\"}} 1\n"
        )
    }

    fn acted(hook: &str, action: &str) -> String {
        format!(
            "tetragon_tracingpolicy_selector_actions_total{{action=\"{action}\",hook=\"{hook}\",\
             policy=\"b\",policy_namespace=\"\"}} 3\n"
        )
    }

    #[test]
    fn policies_are_counted_and_named_and_their_actions_are_summed() {
        let text = [
            format!("other{{a=\"{}\"}} 1\n", "x".repeat(3 * MAX_LINE)),
            GAUGE.to_owned(),
            known("b"),
            known("a"),
            known("c"),
            acted("lsm:file_open", "override"),
            acted(&format!("uprobe:{}", "/x".repeat(2000)), "signal"),
            acted("lsm:file_open", "monitor_signal"),
            // No line break at the end.
            "tetragon_tracingpolicy_loaded{state=\"load_error\"} 4".to_owned(),
        ]
        .concat();
        let expected: StateCounts =
            [(PolicyState::Enabled, 2), (PolicyState::Skipped, 1), (PolicyState::LoadError, 4)]
                .into_iter()
                .collect();
        for piece in [1, 7, 4096, 1 << 20] {
            let Listing { answer, actions } = gathered(&text, piece).unwrap();
            assert_eq!(answer.counts, expected, "in pieces of {piece}");
            let names: Vec<_> =
                answer.named.into_iter().flatten().map(|policy| policy.name).collect();
            assert_eq!(names, ["a", "b", "c"]);
            let expected = Actions { enforced: 6, monitored: 3 };
            assert_eq!(
                actions,
                ActionsByPolicy::from([(PolicyName::sanitized("", "b"), expected)])
            );
        }
    }

    /// Recorded from main of 2026-08 on Linux 6.12. The policy is in monitor mode, and denied once
    /// before.
    #[test]
    fn metrics_of_a_real_agent_are_read() {
        let acted = |action: &str, count: u64| {
            format!(
                "tetragon_tracingpolicy_selector_actions_total{{action=\"{action}\",\
                 hook=\"lsm:file_open\",hook_index=\"0\",policy=\"deny-secret\",\
                 policy_namespace=\"\",selector_index=\"0\",selector_label=\"\"}} {count}\n"
            )
        };
        let state = |state: &str, count: u64| {
            format!("tetragon_tracingpolicy_loaded{{state=\"{state}\"}} {count}\n")
        };
        let states = ["disabled", "enabled", "error", "load_error", "partially_enabled", "skipped"];
        let text = [
            "tetragon_tracingpolicy_kernel_memory_bytes\
             {policy=\"deny-secret\",policy_namespace=\"\"} 619448\n"
                .to_owned(),
            states.map(|name| state(name, u64::from(name == "enabled"))).concat(),
            acted("monitor_override", 2),
            acted("override", 1),
        ]
        .concat();
        let Listing { answer, actions } = gathered(&text, 100).unwrap();
        let policy = PolicyName::sanitized("", "deny-secret");
        assert_eq!(answer.named, Some(BTreeSet::from([policy.clone()])));
        assert!(answer.is_settled() && answer.counts.of(PolicyState::Enabled) == 1);
        assert_eq!(
            actions,
            ActionsByPolicy::from([(policy, Actions { enforced: 1, monitored: 2 })])
        );
    }

    #[test]
    fn an_agent_that_is_starting_has_no_policies_and_is_not_settled() {
        let zeros = GAUGE.replace(['1', '2'], "0");
        let Listing { answer, .. } = gathered(&zeros, 9).unwrap();
        assert_eq!((answer.is_settled(), answer.named), (false, Some(BTreeSet::new())));
        assert_eq!(gathered("go_goroutines 9\n", 5), Err(AskError::NoGauge));
    }

    #[test]
    fn counted_policies_without_names_give_no_names() {
        assert_eq!(gathered(GAUGE, 9).unwrap().answer.named, None);
    }

    #[test]
    fn only_the_first_names_are_kept() {
        let text: String =
            (0..MAX_POLICIES + 5).rev().map(|number| known(&format!("p{number:05}"))).collect();
        let Listing { answer, .. } = gathered(&(text + GAUGE), 1 << 20).unwrap();
        let named = answer.named.unwrap();
        assert_eq!((named.len(), answer.omitted), (MAX_POLICIES, 5));
        assert_eq!(named.last().unwrap().name, format!("p{:05}", MAX_POLICIES - 1));
    }

    #[test]
    fn the_end_of_an_overlong_line_is_not_read_as_a_line() {
        let bait = format!(
            "{}tetragon_tracingpolicy_loaded{{state=\"enabled\"}} 1\n",
            "x".repeat(MAX_LINE)
        );
        assert_eq!(gathered(&bait, 1 << 20), Err(AskError::NoGauge));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_with_bounded_memory(
            bytes in prop::collection::vec(any::<u8>(), 0..20_000),
            piece in 1usize..3000,
        ) {
            let mut gather = Gather::default();
            for part in bytes.chunks(piece) {
                gather.feed(part);
                prop_assert!(gather.line.len() <= MAX_LINE);
            }
            prop_assert_eq!(gather.finish(), Err(AskError::NoGauge));
        }
    }
}
