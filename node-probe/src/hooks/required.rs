//! The hooks that `node-probe check` is asked for: whether this kernel takes a program on each of them.
//!
//! In: the names, and what the trial led to. Out: [`Hooks`], which is an object of the JSON form and a part of the text.

use lsm_ready_crds::State;
use std::fmt::Write as _;

use lsm_ready_crds::Reason;
use lsm_ready_crds::hooks::refusal;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use serde::{Deserialize, Serialize};

use super::Absence;

/// What the hook trial says to the hooks that are required.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Hooks {
    /// How many hooks take a program; null, as the next two, where the trial could not be made.
    pub attachable: Option<usize>,
    /// How many of them take a sleepable one.
    pub sleepable: Option<usize>,
    /// How many take none.
    pub refused: Option<usize>,
    /// Why the trial could not be made; empty where it was.
    pub absence: String,
    /// Each hook asked for, in the order of the command line.
    pub required: Vec<RequiredHook>,
}

/// One hook that is required.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RequiredHook {
    /// As it was asked for.
    pub hook: String,
    /// A sleepable program was asked for.
    pub sleepable: bool,
    /// Whether the kernel takes it; unknown where the trial could not be made.
    pub outcome: State,
    /// A code of docs/reasons.md; left out where it does.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The reason in a sentence, with the names that may have been meant.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Hooks {
    /// Judges what is required by what the trial led to.
    pub fn of(
        plain: &[String],
        sleepable: &[String],
        trial: &Result<LsmHookProfileSpec, Absence>,
    ) -> Self {
        let count = |of: fn(&LsmHookProfileSpec) -> usize| trial.as_ref().ok().map(of);
        let wanted =
            plain.iter().map(|hook| (hook, false)).chain(sleepable.iter().map(|hook| (hook, true)));
        Self {
            attachable: count(|profile| profile.hooks.len()),
            sleepable: count(|profile| profile.sleepable_hooks.len()),
            refused: count(|profile| profile.refused_hooks.len()),
            absence: trial.as_ref().err().map(ToString::to_string).unwrap_or_default(),
            required: wanted.map(|(hook, sleepable)| required(hook, sleepable, trial)).collect(),
        }
    }

    /// Whether the kernel takes a program on all of them.
    pub fn holds(&self) -> State {
        let all = |outcome| self.required.iter().all(|required| required.outcome == outcome);
        match self.required.iter().any(|required| required.outcome == State::NotReady) {
            true => State::NotReady,
            false if all(State::Ready) => State::Ready,
            false => State::Unknown,
        }
    }

    /// The gravest reason for which they do not hold, with a sentence.
    pub fn failing(&self) -> Option<(Reason, String)> {
        let worst = self.required.iter().filter(|required| required.outcome != State::Ready);
        let worst = worst.min_by_key(|required| required.outcome == State::Unknown)?;
        let sentence = if worst.detail.is_empty() { &self.absence } else { &worst.detail };
        Some((Reason::from_code(&worst.reason)?, sentence.clone()))
    }

    /// The part of the text that is about hooks.
    pub fn render(&self) -> String {
        let verdict = match self.holds() {
            State::Ready => "yes",
            State::NotReady => "NO",
            State::Unknown => "NOT KNOWN",
        };
        let mut text = format!("Does this kernel take programs on the required hooks? {verdict}\n");
        // Writing to a String cannot fail.
        match (self.attachable, self.sleepable, self.refused) {
            (Some(attachable), Some(sleepable), Some(refused)) => {
                writeln!(
                    text,
                    "  of {} hooks {attachable} do, {sleepable} also sleepable ones",
                    attachable + refused
                )
            }
            _ => writeln!(text, "  {}", self.absence),
        }
        .ok();
        text.push('\n');
        for required in &self.required {
            let outcome = match required.outcome {
                State::Ready => "pass",
                State::NotReady => "FAIL",
                State::Unknown => "?",
            };
            let kind = if required.sleepable { " (sleepable)" } else { "" };
            let line = format!(
                "  {outcome:<4}  {}{kind} {} {}",
                required.hook, required.reason, required.detail
            );
            writeln!(text, "{}", line.trim_end()).ok();
        }
        text
    }
}

fn required(
    hook: &str,
    sleepable: bool,
    trial: &Result<LsmHookProfileSpec, Absence>,
) -> RequiredHook {
    let judged = trial.as_ref().map(|profile| refusal(profile, hook, sleepable));
    let (outcome, reason, detail) = match judged {
        Ok(None) => (State::Ready, String::new(), String::new()),
        Ok(Some(refusal)) => {
            (State::NotReady, refusal.reason.code().to_owned(), refusal.to_string())
        }
        // Why stands in `absence`, once for all.
        Err(_) => (State::Unknown, Reason::HookProfileMissing.code().to_owned(), String::new()),
    };
    RequiredHook { hook: hook.to_owned(), sleepable, outcome, reason, detail }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Two hooks that take programs, one of them sleepable ones, and one that takes none.
    pub fn profile() -> LsmHookProfileSpec {
        let set = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        LsmHookProfileSpec {
            kernel: "6.12 x86_64".into(),
            hooks: set(&["file_open", "task_alloc"]),
            sleepable_hooks: set(&["file_open"]),
            refused_hooks: set(&["getprocattr"]),
        }
    }

    fn judged(
        plain: &[&str],
        sleepable: &[&str],
        trial: &Result<LsmHookProfileSpec, Absence>,
    ) -> Hooks {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        Hooks::of(&owned(plain), &owned(sleepable), trial)
    }

    #[test]
    fn table() {
        let cases = [
            (&["file_open"][..], &["file_open"][..], State::Ready, &["", ""][..]),
            (&["file_opn"], &[], State::NotReady, &["HookNotInKernel"]),
            (&["getprocattr"], &[], State::NotReady, &["HookNotAttachable"]),
            (&["file_open"], &["task_alloc"], State::NotReady, &["", "HookNotSleepable"]),
        ];
        for (plain, sleepable, holds, reasons) in cases {
            let hooks = judged(plain, sleepable, &Ok(profile()));
            assert_eq!(hooks.holds(), holds, "{hooks:?}");
            let found: Vec<&str> =
                hooks.required.iter().map(|required| required.reason.as_str()).collect();
            assert_eq!(found, reasons, "{hooks:?}");
            let failing = hooks.failing().map(|(reason, _)| reason.code());
            assert_eq!(
                failing,
                reasons.iter().copied().find(|reason| !reason.is_empty()),
                "{hooks:?}"
            );
            assert_eq!(
                (hooks.attachable, hooks.sleepable, hooks.refused),
                (Some(2), Some(1), Some(1))
            );
        }
    }

    #[test]
    fn without_a_trial_nothing_is_known() {
        let hooks = judged(&["file_open"], &[], &Err(Absence("no memory".into())));
        assert_eq!(hooks.holds(), State::Unknown);
        assert_eq!(hooks.failing(), Some((Reason::HookProfileMissing, "no memory".to_owned())));
        assert_eq!(serde_json::to_value(&hooks).unwrap()["attachable"], serde_json::Value::Null);
        assert!(hooks.render().contains("NOT KNOWN\n  no memory\n"), "{}", hooks.render());
    }

    #[test]
    fn the_text_says_what_may_have_been_meant() {
        let text =
            judged(&["file_open", "bpf_lsm_file_open"], &["task_alloc"], &Ok(profile())).render();
        assert_eq!(
            text,
            "Does this kernel take programs on the required hooks? NO\n  of 3 hooks 2 do, 1 also sleepable ones\n\n  \
             pass  file_open\n  \
             FAIL  bpf_lsm_file_open HookNotInKernel bpf_lsm_file_open is not the name of a hook: write file_open, \
             without the prefix\n  \
             FAIL  task_alloc (sleepable) HookNotSleepable task_alloc accepts programs, but no sleepable ones\n"
        );
    }
}
