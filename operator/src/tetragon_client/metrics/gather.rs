//! The answer that the lines of metrics add up to.

use std::collections::BTreeSet;

use super::sample::{Sample, sample};
use crate::tetragon_client::answer::{
    Actions, ActionsByPolicy, Answer, How, MAX_POLICIES, PolicyName,
};
use crate::tetragon_client::error::Why;
use crate::tetragon_client::listing::{Listed, keep};
use crate::tetragon_client::state::Counts;

/// Most bytes of a line that are looked at. Labels are sorted by name, so the path in `hook` comes before the policy.
const LINE: usize = 8 << 10;

/// Metrics that are being read.
#[derive(Default)]
pub struct Gather {
    line: Vec<u8>,
    counts: Option<Counts>,
    named: BTreeSet<PolicyName>,
    omitted: u64,
    actions: ActionsByPolicy,
}

impl Gather {
    /// The next bytes of the text.
    pub fn feed(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE - self.line.len();
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

    /// The answer.
    ///
    /// # Errors
    /// Where the gauge was not there: an agent that has just started, or no agent.
    pub fn gathered(mut self) -> Result<Listed, Why> {
        self.end_of_line();
        let counts = self.counts.ok_or(Why::NoGauge)?;
        let named = Some(self.named).filter(|named| !named.is_empty() || counts.total() == 0);
        let answer = Answer { named, omitted: self.omitted, counts, ..Answer::none(How::Metrics) };
        Ok(Listed { answer, actions: self.actions })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tetragon_client::state::State;

    const GAUGE: &str = "# TYPE tetragon_tracingpolicy_loaded gauge\n\
        tetragon_tracingpolicy_loaded{state=\"enabled\"} 2\n\
        tetragon_tracingpolicy_loaded{state=\"error\"} 0\n\
        tetragon_tracingpolicy_loaded{state=\"skipped\"} 1\n";

    fn gathered(text: &str, piece: usize) -> Result<Listed, Why> {
        let mut gather = Gather::default();
        text.as_bytes().chunks(piece).for_each(|bytes| gather.feed(bytes));
        gather.gathered()
    }

    fn known(name: &str) -> String {
        format!(
            "tetragon_tracingpolicy_kernel_memory_bytes{{policy=\"{name}\",policy_namespace=\"\"}} 1\n"
        )
    }

    fn acted(hook: &str, action: &str) -> String {
        format!(
            "tetragon_tracingpolicy_selector_actions_total{{action=\"{action}\",hook=\"{hook}\",policy=\"b\",\
             policy_namespace=\"\"}} 3\n"
        )
    }

    #[test]
    fn the_policies_are_counted_named_and_their_actions_added_up() {
        let text = [
            format!("other{{a=\"{}\"}} 1\n", "x".repeat(3 * LINE)),
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
        let expected: Counts =
            [(State::Enabled, 2), (State::Skipped, 1), (State::LoadError, 4)].into_iter().collect();
        for piece in [1, 7, 4096, 1 << 20] {
            let Listed { answer, actions } = gathered(&text, piece).unwrap();
            assert_eq!(answer.counts, expected, "in pieces of {piece}");
            let names: Vec<_> =
                answer.named.into_iter().flatten().map(|policy| policy.name).collect();
            assert_eq!(names, ["a", "b", "c"]);
            let expected = Actions { enforced: 6, monitored: 3 };
            assert_eq!(actions, ActionsByPolicy::from([(PolicyName::given("", "b"), expected)]));
        }
    }

    /// As main of 2026-08 served them on Linux 6.12: its policy is in monitor mode, and denied once before.
    #[test]
    fn the_metrics_of_a_real_agent() {
        let acted = |action: &str, count: u64| {
            format!(
                "tetragon_tracingpolicy_selector_actions_total{{action=\"{action}\",hook=\"lsm:file_open\",hook_index=\"0\",\
                 policy=\"deny-secret\",policy_namespace=\"\",selector_index=\"0\",selector_label=\"\"}} {count}\n"
            )
        };
        let state = |state: &str, count: u64| {
            format!("tetragon_tracingpolicy_loaded{{state=\"{state}\"}} {count}\n")
        };
        let states = ["disabled", "enabled", "error", "load_error", "partially_enabled", "skipped"];
        let text = [
            "tetragon_tracingpolicy_kernel_memory_bytes{policy=\"deny-secret\",policy_namespace=\"\"} 619448\n"
                .to_owned(),
            states.map(|name| state(name, u64::from(name == "enabled"))).concat(),
            acted("monitor_override", 2),
            acted("override", 1),
        ]
        .concat();
        let Listed { answer, actions } = gathered(&text, 100).unwrap();
        let policy = PolicyName::given("", "deny-secret");
        assert_eq!(answer.named, Some(BTreeSet::from([policy.clone()])));
        assert!(answer.is_settled() && answer.counts.of(State::Enabled) == 1);
        assert_eq!(
            actions,
            ActionsByPolicy::from([(policy, Actions { enforced: 1, monitored: 2 })])
        );
    }

    #[test]
    fn an_agent_that_is_starting_has_no_policies_and_is_not_settled() {
        let zeros = GAUGE.replace(['1', '2'], "0");
        let Listed { answer, .. } = gathered(&zeros, 9).unwrap();
        assert_eq!((answer.is_settled(), answer.named), (false, Some(BTreeSet::new())));
        assert_eq!(gathered("go_goroutines 9\n", 5), Err(Why::NoGauge));
    }

    #[test]
    fn policies_without_names_are_not_said_to_be_none() {
        assert_eq!(gathered(GAUGE, 9).unwrap().answer.named, None);
    }

    #[test]
    fn at_most_so_many_names_are_kept() {
        let text: String =
            (0..MAX_POLICIES + 5).rev().map(|number| known(&format!("p{number:05}"))).collect();
        let Listed { answer, .. } = gathered(&(text + GAUGE), 1 << 20).unwrap();
        let named = answer.named.unwrap();
        assert_eq!((named.len(), answer.omitted), (MAX_POLICIES, 5));
        assert_eq!(named.last().unwrap().name, format!("p{:05}", MAX_POLICIES - 1));
    }

    #[test]
    fn the_end_of_a_line_that_is_too_long_is_no_line() {
        let bait =
            format!("{}tetragon_tracingpolicy_loaded{{state=\"enabled\"}} 1\n", "x".repeat(LINE));
        assert_eq!(gathered(&bait, 1 << 20), Err(Why::NoGauge));
    }

    proptest! {
        /// Any bytes are taken, in any pieces, and no more than a line is held.
        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..20_000), piece in 1usize..3000) {
            let mut gather = Gather::default();
            for part in bytes.chunks(piece) {
                gather.feed(part);
                prop_assert!(gather.line.len() <= LINE);
            }
            prop_assert_eq!(gather.gathered(), Err(Why::NoGauge));
        }
    }
}
