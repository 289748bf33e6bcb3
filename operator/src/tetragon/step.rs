//! What to do now about a plan: a pure function of the plan, what is remembered, and the time.
//!
//! A plan says what should be; this says whether to write it now, later, or to wait for what was written already to
//! come back through the watch.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::DaemonSet;
use lsm_ready_crds::ConditionReason;
use lsm_ready_tetragon::plan::{MountRequest, Plan, labelled, plan};
use lsm_ready_tetragon::refusal::Refusal;

use super::apply::{Error, Outcome};
use super::contest::{Contest, Turn};
use super::gate::Gate;
use super::memory::{Failure, Remembered};
use super::rollout::blame::Blame;
use super::rollout::held::template;
use super::rollout::unready::Caused;
use crate::watch::key::DaemonSetKey;

/// How long a mount that was refused is not tried again, unless the DaemonSet or the wish changes.
const MOUNT_AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// The same for giving back, which nobody waits for.
const GIVE_BACK_AGAIN: SignedDuration = SignedDuration::from_hours(1);

/// What to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Nothing until something changes.
    Rest,
    /// Nothing before then.
    Wait(Timestamp),
    /// Write.
    Write(Write),
}

/// The things that are ever written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Write {
    /// Our label, volume and mount.
    Mount {
        /// Name of the container.
        container: String,
    },
    /// Nothing, so that what is ours goes.
    GiveBack,
    /// Nothing but a label that says that agents could not be created with the mount.
    TakeBack {
        /// The label's value.
        mark: String,
        /// Which agent, and what the kubelet or the runtime says.
        said: String,
    },
}

impl Write {
    /// How long it is not tried again after it was refused.
    pub const fn retry(&self) -> SignedDuration {
        match self {
            Self::Mount { .. } | Self::TakeBack { .. } => MOUNT_AGAIN,
            Self::GiveBack => GIVE_BACK_AGAIN,
        }
    }
}

/// What to do, and the memory with this moment in it.
pub fn step(
    (daemon_set, plan): (&DaemonSet, &Plan),
    gate: &Gate,
    mut remembered: Remembered,
    now: Timestamp,
) -> (Remembered, Step) {
    if is_older(daemon_set, remembered.written.as_deref()) {
        return (remembered, Step::Rest);
    }
    let write = match plan {
        Plan::Patch { container, .. } => Write::Mount { container: container.clone() },
        Plan::Remove { .. } => Write::GiveBack,
        Plan::NotWanted => {
            let Remembered { written, look, stale, caused, .. } = remembered;
            return (
                Remembered { written, look, stale, caused, ..Remembered::default() },
                Step::Rest,
            );
        }
        Plan::Keep { .. } if blamed(&remembered, daemon_set).is_some() => {
            return take_back(daemon_set, gate, remembered, now);
        }
        _ => {
            if !matches!(plan, Plan::Refused(Refusal::TakenBack { .. })) {
                remembered.taken_back = None;
            }
            remembered.failure = None;
            remembered.label_is_theirs = false;
            remembered.gate = Gate::Open;
            return (remembered, Step::Rest);
        }
    };
    remembered.gate = gate.clone();
    match gate {
        Gate::Open => {}
        Gate::Until { opens, .. } => return (remembered, Step::Wait(*opens)),
        Gate::Never { .. } | Gate::Invalid { .. } | Gate::Held { .. } | Gate::TooLarge { .. } => {
            return (remembered, Step::Rest);
        }
    }
    if let Some(retry) =
        remembered.failure.as_ref().and_then(|failure| retry(failure, &write, daemon_set, now))
    {
        return (remembered, Step::Wait(retry));
    }
    match write {
        Write::TakeBack { .. } => (remembered, Step::Rest),
        Write::GiveBack if remembered.label_is_theirs => (remembered, Step::Rest),
        Write::GiveBack => {
            // Who gives back has nothing to fight for.
            remembered.contest = Contest::default();
            (remembered, Step::Write(write))
        }
        Write::Mount { .. } => {
            remembered.label_is_theirs = false;
            let (contest, turn) = remembered.contest.missing(now);
            remembered.contest = contest;
            match turn {
                Turn::Apply => (remembered, Step::Write(write)),
                Turn::Wait(until) => (remembered, Step::Wait(until)),
            }
        }
    }
}

/// The agent that our mount holds up.
pub fn blamed<'a>(remembered: &'a Remembered, daemon_set: &DaemonSet) -> Option<&'a Blame> {
    remembered.look.as_ref()?.blame(daemon_set)
}

/// Takes the mount back. An agent is down because of us, so neither window nor budget is waited for; only the word of the
/// DaemonSet's owner holds it.
fn take_back(
    daemon_set: &DaemonSet,
    gate: &Gate,
    mut remembered: Remembered,
    now: Timestamp,
) -> (Remembered, Step) {
    let Some(Blame { said, mark }) = blamed(&remembered, daemon_set).cloned() else {
        return (remembered, Step::Rest);
    };
    if matches!(gate, Gate::Held { .. }) {
        remembered.gate = gate.clone();
        return (remembered, Step::Rest);
    }
    let write = Write::TakeBack { mark, said };
    match remembered.failure.as_ref().and_then(|failure| retry(failure, &write, daemon_set, now)) {
        Some(retry) => (remembered, Step::Wait(retry)),
        None => (remembered, Step::Write(write)),
    }
}

/// The memory with what came of a write in it.
pub fn after(
    (daemon_set, wish): (&DaemonSet, &MountRequest),
    write: &Write,
    outcome: &Result<Outcome, Error>,
    mut remembered: Remembered,
    now: Timestamp,
) -> Remembered {
    let failure = |reason, message, lasting, on: &DaemonSet| {
        Some(Failure {
            reason,
            message,
            lasting,
            write: write.clone(),
            generation: on.metadata.generation,
            tried: now,
        })
    };
    match outcome {
        Ok(Outcome::Gone) => return Remembered::default(),
        Ok(Outcome::Refused(reason, message)) => {
            remembered.failure = failure(*reason, message.clone(), true, daemon_set);
        }
        Err(error) => {
            let message = format!("{error}; it is tried again");
            remembered.failure = failure(ConditionReason::ApplyFailed, message, false, daemon_set);
        }
        Ok(Outcome::Written(written)) => {
            remembered.written.clone_from(&written.metadata.resource_version);
            if template(written) != template(daemon_set) {
                remembered.caused = Some(Caused::by(daemon_set, written, now));
            }
            remembered.failure = None;
            match (write, plan(written, wish)) {
                (Write::GiveBack, _) => remembered.label_is_theirs = labelled(written),
                (Write::TakeBack { said, .. }, _) => {
                    remembered.taken_back = Some(said.clone());
                    remembered.contest = Contest::default();
                    remembered.look = None;
                }
                (Write::Mount { .. }, Plan::Keep { .. }) => {
                    remembered.contest = remembered.contest.applied(now);
                }
                (Write::Mount { .. }, _) => {
                    remembered.failure =
                        failure(ConditionReason::ApplyFailed, taken_out(written), true, written);
                }
            }
        }
    }
    remembered
}

/// The API server took the mount, and yet its answer does not hold it.
fn taken_out(written: &DaemonSet) -> String {
    format!(
        "the API server took the mount for DaemonSet {}, but its answer does not hold it: a mutating admission webhook \
         takes it out; exempt the DaemonSet from it, or say apply: Suggest",
        DaemonSetKey::of(written)
    )
}

/// When the write may be tried again, where it is not yet.
fn retry(
    failure: &Failure,
    write: &Write,
    daemon_set: &DaemonSet,
    now: Timestamp,
) -> Option<Timestamp> {
    let same = failure.write == *write && failure.generation == daemon_set.metadata.generation;
    let retry = failure.tried.checked_add(write.retry()).ok()?;
    (failure.lasting && same && now < retry).then_some(retry)
}

/// Whether the object is from before that resourceVersion. They are decimal numbers that grow (KEP-5504); where one is
/// not, nothing is known, and what is written twice by server-side apply changes nothing.
fn is_older(daemon_set: &DaemonSet, written: Option<&str>) -> bool {
    let number = |version: Option<&str>| version.and_then(|version| version.parse::<u64>().ok());
    match (number(daemon_set.metadata.resource_version.as_deref()), number(written)) {
        (Some(seen), Some(written)) => seen < written,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(version: &str) -> DaemonSet {
        serde_json::from_value(json!({"metadata": {"resourceVersion": version, "generation": 1}}))
            .unwrap()
    }

    fn mount() -> Write {
        Write::Mount { container: "tetragon".into() }
    }

    fn wanted() -> Plan {
        Plan::Patch { container: "tetragon".into(), need: lsm_ready_tetragon::plan::Need::Always }
    }

    fn minute(minutes: i64) -> Timestamp {
        Timestamp::from_second(minutes * 60).unwrap()
    }

    #[test]
    fn what_is_older_than_our_write_is_left_alone() {
        let written =
            |version: &str| Remembered { written: Some(version.into()), ..Remembered::default() };
        for (seen, last, expected) in [
            ("99", "100", Step::Rest),
            ("100", "100", Step::Write(mount())),
            ("1000", "999", Step::Write(mount())),
            // Where versions are no numbers, nothing is known and the write changes nothing.
            ("a", "100", Step::Write(mount())),
        ] {
            assert_eq!(
                step((&at(seen), &wanted()), &Gate::Open, written(last), minute(0)).1,
                expected,
                "{seen} {last}"
            );
        }
    }

    #[test]
    fn a_lasting_failure_waits_unless_something_changed() {
        let failed = |lasting, generation, write| {
            let failure = Failure {
                reason: ConditionReason::Forbidden,
                message: String::new(),
                lasting,
                write,
                generation: Some(generation),
                tried: minute(0),
            };
            Remembered { failure: Some(failure), ..Remembered::default() }
        };
        let other = Write::Mount { container: "agent".into() };
        for (remembered, now, expected) in [
            (failed(true, 1, mount()), minute(0), Step::Wait(minute(1))),
            (failed(true, 1, mount()), minute(1), Step::Write(mount())),
            (failed(true, 0, mount()), minute(0), Step::Write(mount())),
            (failed(true, 1, other), minute(0), Step::Write(mount())),
            (failed(false, 1, mount()), minute(0), Step::Write(mount())),
        ] {
            assert_eq!(
                step((&at("1"), &wanted()), &Gate::Open, remembered.clone(), now).1,
                expected,
                "{remembered:?}"
            );
        }
        let give_back = Plan::Remove { superseded: None };
        let refused = failed(true, 1, Write::GiveBack);
        assert_eq!(
            step((&at("1"), &give_back), &Gate::Open, refused, minute(59)).1,
            Step::Wait(minute(60))
        );
    }

    #[test]
    fn a_closed_gate_writes_nothing_and_counts_no_revert() {
        let reverted =
            Remembered { contest: Contest::default().applied(minute(0)), ..Remembered::default() };
        let until = Gate::Until { opens: minute(9), policies: "p".into() };
        let held = Gate::Held { word: "hold".into() };
        for plan in [wanted(), Plan::Remove { superseded: None }] {
            for (gate, expected) in [(&until, Step::Wait(minute(9))), (&held, Step::Rest)] {
                let (kept, found) = step((&at("1"), &plan), gate, reverted.clone(), minute(1));
                assert_eq!(found, expected, "{plan:?}");
                assert_eq!(kept, Remembered { gate: gate.clone(), ..reverted.clone() });
            }
        }
        let (kept, _) = step((&at("1"), &Plan::NotWanted), &held, reverted, minute(1));
        assert_eq!(kept, Remembered::default(), "nothing is to be written, so nothing is held");
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let remembered = Remembered {
            label_is_theirs: true,
            written: Some("1".into()),
            ..Remembered::default()
        };
        let (kept, _) =
            step((&at("2"), &Plan::NotWanted), &Gate::Open, remembered.clone(), minute(0));
        assert_eq!(kept, Remembered { written: Some("1".into()), ..Remembered::default() });
        let (kept, _) = step((&at("2"), &wanted()), &Gate::Open, remembered, minute(0));
        assert!(!kept.label_is_theirs, "what we add now is ours to give back");
    }
}
