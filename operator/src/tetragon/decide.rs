//! What to do about a plan now, and what becomes of the state.
//!
//! In: the observation and the DaemonSet's state. Out: a [`Decision`]: write now, wait until a
//! time, or rest. Needs no client. The plan says what should be; the decision says when to write
//! it: not before an earlier write has come back through the watch, not while the gate is closed,
//! and not again at once after a refusal or a revert.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use lsm_ready_crds::ConditionReason;
use lsm_ready_tetragon::agent::agent;
use lsm_ready_tetragon::plan::{Plan, has_only_our_label, labelled, owned, pod};
use lsm_ready_tetragon::refusal::Refusal;
use lsm_ready_tetragon::taken_back;
use lsm_ready_tetragon::view::{View, view};

use super::gate::Gate;
use super::observe::Observation;
use super::revert_backoff::{RevertBackoff, Turn};
use super::rollout::downtime::Disruption;
use super::rollout::progress::Progress;
use super::state::{Attempt, DaemonSetState};
use super::write::{Error, Outcome, Write};

/// The API server accepted the mount, and its answer does not contain it.
const REMOVED_BY_WEBHOOK: &str = "the API server accepted the mount, but a mutating admission \
    webhook removes it; exempt the DaemonSet from that webhook, or set apply: Suggest";

/// What to do now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Decision {
    /// Nothing until something changes.
    Rest,
    /// Nothing before this time.
    Wait(Timestamp),
    /// Write.
    Write(Write),
}

impl Decision {
    /// When to decide again, where nothing is to be written before.
    pub const fn wait_until(&self) -> Option<Timestamp> {
        match self {
            Self::Wait(until) => Some(*until),
            Self::Rest | Self::Write(_) => None,
        }
    }

    /// Takes no mount away while it is unknown what some policies ask for: one of them may have
    /// asked for it. `unread` are these policies.
    pub fn unless_unread(self, unread: &[String], daemon_set: &DaemonSet) -> Self {
        match &self {
            Self::Write(Write::Remove) if !unread.is_empty() => Self::Rest,
            // It may move the mount to another container.
            Self::Write(Write::Mount { .. }) if !unread.is_empty() && owned(daemon_set) => {
                Self::Rest
            }
            Self::Write(_) | Self::Wait(_) | Self::Rest => self,
        }
    }
}

impl DaemonSetState {
    /// Decides what to do, and notes this moment in the state.
    pub fn decide(&mut self, observed: &Observation<'_>) -> Decision {
        if self.is_newer_than(observed.daemon_set) {
            return Decision::Rest;
        }
        match &observed.plan {
            Plan::Patch { container, .. } => self.add_mount(container, observed),
            Plan::Remove { .. } => self.remove_mount(observed),
            Plan::Keep { .. } => match self.blame(&observed.rollout).map(str::to_owned) {
                Some(cause) => self.take_back(cause, observed),
                None => self.settle(&observed.plan),
            },
            // The label would say that our mount is there.
            Plan::Suggest { .. } | Plan::Refused(_) if has_only_our_label(observed.daemon_set) => {
                self.remove_mount(observed)
            }
            Plan::NotNeeded(_) | Plan::Suggest { .. } | Plan::Refused(_) => {
                self.settle(&observed.plan)
            }
            Plan::NotWanted => self.forget_writes(),
        }
    }

    fn add_mount(&mut self, container: &str, observed: &Observation<'_>) -> Decision {
        let write = Write::Mount { container: container.to_owned() };
        if let Some(later) = self.hold_back(&write, observed) {
            return later;
        }
        self.label_is_theirs = false;
        match self.reverts.missing(observed.now) {
            Turn::Apply => Decision::Write(write),
            Turn::Wait(until) => Decision::Wait(until),
        }
    }

    fn remove_mount(&mut self, observed: &Observation<'_>) -> Decision {
        if let Some(later) = self.hold_back(&Write::Remove, observed) {
            return later;
        }
        if self.label_is_theirs {
            return Decision::Rest;
        }
        // Removing our mount ends any contest.
        self.reverts = RevertBackoff::default();
        Decision::Write(Write::Remove)
    }

    /// An agent is down because of our mount, so neither window nor budget delays this. Only the
    /// DaemonSet's owner can hold it, by annotation.
    fn take_back(&mut self, cause: String, observed: &Observation<'_>) -> Decision {
        if matches!(observed.gate, Gate::Held { .. }) {
            self.gate = observed.gate.clone();
            return Decision::Rest;
        }
        let mark = taken_back::mark(observed.daemon_set, &observed.request);
        let write = Write::TakeBack { mark, cause };
        self.retry_at(&write, observed).map_or(Decision::Write(write), Decision::Wait)
    }

    /// Nothing is to be written, so nothing can fail or be held. The reverts still count.
    fn settle(&mut self, plan: &Plan) -> Decision {
        if !matches!(plan, Plan::Refused(Refusal::TakenBack { .. })) {
            self.taken_back = None;
        }
        self.failure = None;
        self.label_is_theirs = false;
        self.gate = Gate::Open;
        Decision::Rest
    }

    /// No policy asks for a mount and nothing of ours is there. Only what is known about the agents
    /// is kept.
    fn forget_writes(&mut self) -> Decision {
        *self = Self {
            written: self.written.take(),
            survey: self.survey.take(),
            stale: std::mem::take(&mut self.stale),
            disruption: self.disruption.take(),
            ..Self::default()
        };
        Decision::Rest
    }

    /// What to do instead of the write while the gate is closed, or while it is too early to try
    /// again.
    fn hold_back(&mut self, write: &Write, observed: &Observation<'_>) -> Option<Decision> {
        self.gate = observed.gate.clone();
        if observed.gate == Gate::Open {
            return self.retry_at(write, observed).map(Decision::Wait);
        }
        Some(observed.gate.opens_at().map_or(Decision::Rest, Decision::Wait))
    }

    /// When the write may be tried again, where it was refused and neither it nor the DaemonSet has
    /// changed since.
    fn retry_at(&self, write: &Write, observed: &Observation<'_>) -> Option<Timestamp> {
        let failure = self.failure.as_ref().filter(|failure| failure.lasting)?;
        let generation = observed.daemon_set.metadata.generation;
        let same = failure.write == *write && failure.generation == generation;
        let retry = observed.now.until(failure.tried + write.retry_after());
        retry.filter(|_| same)
    }

    /// The DaemonSet does not show our newest write yet. Versions are decimal numbers that grow
    /// (KEP-5504). Where a version is not a number, nothing is known, and the decision may repeat a
    /// write; a server-side apply that is repeated changes nothing.
    fn is_newer_than(&self, daemon_set: &DaemonSet) -> bool {
        let number = |version: &Option<String>| version.as_ref()?.parse::<u64>().ok();
        match (number(&daemon_set.metadata.resource_version), number(&self.written)) {
            (Some(seen), Some(written)) => seen < written,
            (None, _) | (_, None) => false,
        }
    }
}

impl DaemonSetState {
    /// Records the result of a write. Returns whether the DaemonSet now is as the write wanted it.
    pub fn record(
        &mut self,
        write: &Write,
        outcome: &Result<Outcome, Error>,
        observed: &Observation<'_>,
    ) -> bool {
        let attempt = Attempt { write, daemon_set: observed.daemon_set, at: observed.now.instant };
        match outcome {
            Ok(Outcome::Written(written)) => return self.record_written(write, written, observed),
            Ok(Outcome::Gone) => *self = Self::default(),
            Ok(Outcome::Refused { reason, message }) => {
                self.failure = Some(attempt.refused(*reason, message));
            }
            Err(error) => self.failure = Some(attempt.failed(error)),
        }
        false
    }

    /// Records the eviction of a stale agent, which replaces it.
    pub fn record_eviction(&mut self, observed: &Observation<'_>) {
        self.disruption = Some(Disruption::by_eviction(&observed.rollout, observed.now));
    }

    fn record_written(
        &mut self,
        write: &Write,
        written: &DaemonSet,
        observed: &Observation<'_>,
    ) -> bool {
        self.failure = None;
        self.written.clone_from(&written.metadata.resource_version);
        let rollout = Progress::of(written);
        if rollout.template != observed.rollout.template {
            self.disruption = Some(Disruption::by(&observed.rollout, &rollout, observed.now));
        }
        match write {
            Write::Remove => self.label_is_theirs = labelled(written),
            Write::TakeBack { cause, .. } => {
                self.taken_back = Some(cause.clone());
                self.reverts = RevertBackoff::default();
                self.survey = None;
            }
            Write::Mount { container } if has_our_mount(written, container) => {
                self.reverts.applied(observed.now);
            }
            Write::Mount { .. } => {
                let attempt = Attempt { write, daemon_set: written, at: observed.now.instant };
                let refused = attempt.refused(ConditionReason::ApplyFailed, REMOVED_BY_WEBHOOK);
                self.failure = Some(refused);
            }
        }
        self.failure.is_none() && !self.label_is_theirs
    }
}

/// Whether the agent sees securityfs through our mount.
fn has_our_mount(daemon_set: &DaemonSet, container: &str) -> bool {
    let view = pod(daemon_set).and_then(|pod| {
        let container = agent(pod, container).ok()?;
        Some(view(pod, container, owned(daemon_set)))
    });
    matches!(view, Some(View::Ours(_)))
}

#[cfg(test)]
mod tests {
    use lsm_ready_crds::names;
    use lsm_ready_tetragon::plan::Need;
    use serde_json::json;

    use super::*;
    use crate::context::moment::Moment;
    use crate::context::moment::tests::second;
    use crate::tetragon::merge::PolicyRequests;
    use crate::tetragon::nodes::NodeFacts;
    use crate::tetragon::state::Failure;

    fn at(version: &str) -> DaemonSet {
        serde_json::from_value(json!({"metadata": {"resourceVersion": version, "generation": 1}}))
            .unwrap()
    }

    fn mount() -> Write {
        Write::Mount { container: "tetragon".into() }
    }

    fn wanted() -> Plan {
        Plan::Patch { container: "tetragon".into(), need: Need::Always }
    }

    fn minute(minutes: u64) -> Moment {
        second(minutes * 60)
    }

    /// The observation of that DaemonSet with that plan, and an open gate.
    fn observe(daemon_set: &DaemonSet, plan: Plan, now: Moment) -> Observation<'_> {
        let (requests, nodes) = (PolicyRequests::default(), NodeFacts::default());
        Observation { plan, ..Observation::new(daemon_set, requests, nodes, now) }
    }

    #[test]
    fn an_object_from_before_our_write_is_ignored() {
        for (seen, last, expected) in [
            ("99", "100", Decision::Rest),
            ("100", "100", Decision::Write(mount())),
            ("1000", "999", Decision::Write(mount())),
            // Where a version is not a number, nothing is known, and the write changes nothing.
            ("a", "100", Decision::Write(mount())),
        ] {
            let mut state =
                DaemonSetState { written: Some(last.into()), ..DaemonSetState::default() };
            let decision = state.decide(&observe(&at(seen), wanted(), minute(0)));
            assert_eq!(decision, expected, "{seen} {last}");
        }
    }

    fn failed(lasting: bool, generation: i64, write: Write) -> DaemonSetState {
        let failure = Failure {
            reason: ConditionReason::Forbidden,
            message: String::new(),
            lasting,
            write,
            generation: Some(generation),
            tried: minute(0).instant,
        };
        DaemonSetState { failure: Some(failure), ..DaemonSetState::default() }
    }

    #[test]
    fn a_lasting_failure_waits_unless_something_changed() {
        let other = Write::Mount { container: "agent".into() };
        for (mut state, now, expected) in [
            (failed(true, 1, mount()), minute(0), Decision::Wait(minute(1).time)),
            (failed(true, 1, mount()), minute(1), Decision::Write(mount())),
            (failed(true, 0, mount()), minute(0), Decision::Write(mount())),
            (failed(true, 1, other), minute(0), Decision::Write(mount())),
            (failed(false, 1, mount()), minute(0), Decision::Write(mount())),
        ] {
            let decision = state.decide(&observe(&at("1"), wanted(), now));
            assert_eq!(decision, expected, "{state:?}");
        }
        let give_back = Plan::Remove { superseded: None };
        let mut refused = failed(true, 1, Write::Remove);
        assert_eq!(
            refused.decide(&observe(&at("1"), give_back, minute(9))),
            Decision::Wait(minute(10).time)
        );
    }

    #[test]
    fn a_closed_gate_writes_nothing_and_counts_no_revert() {
        let mut reverted = DaemonSetState::default();
        reverted.reverts.applied(minute(0));
        let until = Gate::Until { opens: minute(9).time, policies: "p".into() };
        let held = Gate::Held { word: "hold".into() };
        let daemon_set = at("1");
        for plan in [wanted(), Plan::Remove { superseded: None }] {
            for (gate, expected) in
                [(&until, Decision::Wait(minute(9).time)), (&held, Decision::Rest)]
            {
                let observed = Observation {
                    gate: gate.clone(),
                    ..observe(&daemon_set, plan.clone(), minute(1))
                };
                let mut state = reverted.clone();
                assert_eq!(state.decide(&observed), expected, "{plan:?}");
                assert_eq!(state, DaemonSetState { gate: gate.clone(), ..reverted.clone() });
            }
        }
        let observed =
            Observation { gate: held, ..observe(&daemon_set, Plan::NotWanted, minute(1)) };
        reverted.decide(&observed);
        assert_eq!(reverted, DaemonSetState::default(), "there is nothing to hold");
    }

    #[test]
    fn no_mount_is_removed_or_moved_while_a_policy_is_unread() {
        let label = json!({names::DAEMON_SET_LABEL: "managed"});
        let ours: DaemonSet =
            serde_json::from_value(json!({"metadata": {"labels": label}})).unwrap();
        let unread = ["p".to_owned()];
        let decide = |write: &Write, unread: &[String], daemon_set: &DaemonSet| {
            Decision::Write(write.clone()).unless_unread(unread, daemon_set)
        };
        assert_eq!(decide(&Write::Remove, &unread, &ours), Decision::Rest);
        assert_eq!(decide(&mount(), &unread, &ours), Decision::Rest);
        assert_eq!(decide(&mount(), &unread, &at("1")), Decision::Write(mount()));
        assert_eq!(decide(&Write::Remove, &[], &ours), Decision::Write(Write::Remove));
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let state = DaemonSetState {
            label_is_theirs: true,
            written: Some("1".into()),
            ..DaemonSetState::default()
        };
        let mut unwanted = state.clone();
        unwanted.decide(&observe(&at("2"), Plan::NotWanted, minute(0)));
        let expected = DaemonSetState { label_is_theirs: false, ..state.clone() };
        assert_eq!(unwanted, expected);
        let mut mounting = state;
        mounting.decide(&observe(&at("2"), wanted(), minute(0)));
        assert!(!mounting.label_is_theirs, "what we add now is ours to remove");
    }
}
