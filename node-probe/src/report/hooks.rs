//! Judges the hooks that `node-probe check` requires: whether this kernel accepts a program on each
//! of them.
//!
//! In: the hooks' names, and the result of the hook trial. Out: [`Hooks`], an object of the JSON
//! form and a part of the text.

use lsm_ready_crds::hooks::refusal;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::{Reason, State};
use schemars::JsonSchema;
use serde::Serialize;

use super::words;
use crate::hooks::TrialError;

/// The result of a hook trial.
type Trial = Result<LsmHookProfileSpec, TrialError>;

/// What the hook trial says about required hooks.
#[derive(Clone, Debug, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Hooks {
    /// How many hooks accept a program. This and the next two are null if the trial failed.
    pub attachable: Option<usize>,
    /// How many of them accept a sleepable program.
    pub sleepable: Option<usize>,
    /// How many hooks refuse every program.
    pub refused: Option<usize>,
    /// Why the trial failed. Empty if it did not.
    pub error: String,
    /// Each required hook, in the order of the command line.
    pub required: Vec<RequiredHook>,
}

/// One required hook.
#[derive(Clone, Debug, Eq, JsonSchema, PartialEq, Serialize)]
pub struct RequiredHook {
    /// The name as the command line has it.
    pub hook: String,
    /// Whether the hook must accept a sleepable program.
    pub sleepable: bool,
    /// Whether the kernel accepts the program.
    pub outcome: State,
    /// Why the outcome is not `Pass`.
    #[schemars(with = "Option<String>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The reason in a sentence, with similar names of hooks.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Why required hooks do not hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failing {
    pub reason: Reason,
    pub message: String,
}

impl Hooks {
    /// Judges the required hooks.
    pub fn of(plain: &[String], sleepable: &[String], trial: &Trial) -> Self {
        let count = |of: fn(&LsmHookProfileSpec) -> usize| trial.as_ref().ok().map(of);
        let plain = plain.iter().map(|hook| judge(hook, false, trial));
        let sleepable = sleepable.iter().map(|hook| judge(hook, true, trial));
        Self {
            attachable: count(|profile| profile.hooks.len()),
            sleepable: count(|profile| profile.sleepable_hooks.len()),
            refused: count(|profile| profile.refused_hooks.len()),
            error: trial.as_ref().err().map(ToString::to_string).unwrap_or_default(),
            required: plain.chain(sleepable).collect(),
        }
    }

    /// Whether the kernel accepts all required programs.
    pub fn holds(&self) -> State {
        self.required.iter().fold(State::Ready, |worst, required| worst.worst(required.outcome))
    }

    /// Why the hooks do not hold: the first hook that fails, or else the first that is unknown.
    pub fn failing(&self) -> Option<Failing> {
        let not_ready = self.required.iter().filter(|required| required.outcome != State::Ready);
        let worst = not_ready.min_by_key(|required| required.outcome == State::Unknown)?;
        let message = if worst.detail.is_empty() { &self.error } else { &worst.detail };
        Some(Failing { reason: worst.reason?, message: message.clone() })
    }

    /// The part of the text that is about hooks.
    pub fn render(&self) -> String {
        let answer = words::answer(self.holds());
        let mut lines = vec![
            format!("Does this kernel accept programs on the required hooks? {answer}"),
            self.counts(),
        ];
        lines.push(String::new());
        lines.extend(self.required.iter().map(RequiredHook::line));
        words::joined(&lines)
    }

    fn counts(&self) -> String {
        let (Some(attachable), Some(sleepable), Some(refused)) =
            (self.attachable, self.sleepable, self.refused)
        else {
            return format!("  {}", self.error);
        };
        let all = attachable + refused;
        format!(
            "  {all} hooks: {attachable} attachable ({sleepable} of them also sleepable), \
             {refused} refused"
        )
    }
}

impl RequiredHook {
    fn line(&self) -> String {
        let outcome = words::outcome(self.outcome);
        let kind = if self.sleepable { " (sleepable)" } else { "" };
        let reason = self.reason.map_or("", Reason::code);
        format!("  {outcome:<4}  {}{kind} {reason} {}", self.hook, self.detail)
    }
}

fn judge(hook: &str, sleepable: bool, trial: &Trial) -> RequiredHook {
    let refusal = trial.as_ref().map(|profile| refusal(profile, hook, sleepable));
    let (outcome, reason, detail) = match refusal {
        Ok(None) => (State::Ready, None, String::new()),
        Ok(Some(refusal)) => (State::NotReady, Some(refusal.reason), refusal.to_string()),
        // `Hooks::error` has the cause, which is the same for all hooks.
        Err(_) => (State::Unknown, Some(Reason::HookProfileMissing), String::new()),
    };
    RequiredHook { hook: hook.to_owned(), sleepable, outcome, reason, detail }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Two hooks that accept programs, one of them also sleepable programs, and one that refuses
    /// all.
    pub fn profile() -> LsmHookProfileSpec {
        let set = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        LsmHookProfileSpec {
            kernel: "6.12 x86_64".into(),
            hooks: set(&["file_open", "task_alloc"]),
            sleepable_hooks: set(&["file_open"]),
            refused_hooks: set(&["getprocattr"]),
        }
    }

    fn judged(plain: &[&str], sleepable: &[&str], trial: &Trial) -> Hooks {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        Hooks::of(&owned(plain), &owned(sleepable), trial)
    }

    #[test]
    fn each_required_hook_has_an_outcome_and_a_reason() {
        let cases = [
            (&["file_open"][..], &["file_open"][..], State::Ready, &["", ""][..]),
            (&["file_opn"], &[], State::NotReady, &["HookNotInKernel"]),
            (&["getprocattr"], &[], State::NotReady, &["HookNotAttachable"]),
            (&["file_open"], &["task_alloc"], State::NotReady, &["", "HookNotSleepable"]),
        ];
        for (plain, sleepable, holds, reasons) in cases {
            let hooks = judged(plain, sleepable, &Ok(profile()));
            assert_eq!(hooks.holds(), holds, "{hooks:?}");
            let code = |hook: &RequiredHook| hook.reason.map_or("", Reason::code);
            let found: Vec<&str> = hooks.required.iter().map(code).collect();
            assert_eq!(found, reasons, "{hooks:?}");
            let failing = hooks.failing().map(|failing| failing.reason.code());
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
    fn without_a_trial_every_hook_is_unknown() {
        let hooks = judged(&["file_open"], &[], &Err(TrialError("no memory".into())));
        assert_eq!(hooks.holds(), State::Unknown);
        let message = "no memory".to_owned();
        assert_eq!(hooks.failing(), Some(Failing { reason: Reason::HookProfileMissing, message }));
        assert_eq!(serde_json::to_value(&hooks).unwrap()["attachable"], serde_json::Value::Null);
        assert!(hooks.render().contains("NOT KNOWN\n  no memory\n"), "{}", hooks.render());
    }

    #[test]
    fn the_text_suggests_the_right_name() {
        let text =
            judged(&["file_open", "bpf_lsm_file_open"], &["task_alloc"], &Ok(profile())).render();
        let profile = profile();
        let prefixed = refusal(&profile, "bpf_lsm_file_open", false).unwrap();
        let not_sleepable = refusal(&profile, "task_alloc", true).unwrap();
        assert_eq!(
            text,
            format!(
                "Does this kernel accept programs on the required hooks? NO\n  3 hooks: 2 \
                 attachable (1 of them also sleepable), 1 refused\n\n  pass  file_open\n  FAIL  \
                 bpf_lsm_file_open HookNotInKernel {prefixed}\n  FAIL  task_alloc (sleepable) \
                 HookNotSleepable {not_sleepable}\n"
            )
        );
    }
}
