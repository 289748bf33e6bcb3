//! Makes a hook profile of a trial's answers. Pure.
//!
//! In: what the child reported, and how it ended. Out: a profile, or the error that says why there
//! is none.

use lsm_ready_crds::node::Kernel;
use lsm_ready_crds::profile::{LsmHookProfileSpec, kernel_name};

use super::trial::Line;
use crate::subprocess::End;
use crate::sys::Answer;

/// The profile's limit for the number of hooks.
const MAX_HOOKS: usize = 480;
/// The profile's limit for the name of a hook.
const MAX_HOOK_NAME: usize = 64;

/// What the parent saw of one trial.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TrialOutput {
    /// What the child reported, in order.
    pub lines: Vec<Line>,
    /// How the child ended.
    pub end: End,
}

/// Why a trial led to no profile.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct TrialError(pub String);

/// The profile, if the trial finished and the kernel accepted a program on some hook.
pub fn profile(output: &TrialOutput, kernel: &Kernel) -> Result<LsmHookProfileSpec, TrialError> {
    check_finished(output)?;
    let mut profile = LsmHookProfileSpec { kernel: kernel_name(kernel), ..Default::default() };
    for line in &output.lines {
        add(&mut profile, line);
    }
    if profile.hooks.is_empty() {
        // A kernel that accepts LSM programs accepts them on some hooks, so the refusals are not
        // about the hooks.
        return Err(TrialError(format!(
            "the kernel refused a program on all of its {} hooks",
            profile.refused_hooks.len()
        )));
    }
    let hooks = profile.hooks.len() + profile.refused_hooks.len();
    if hooks > MAX_HOOKS {
        return Err(TrialError(format!(
            "the kernel has {hooks} hooks, and a profile can hold {MAX_HOOKS}"
        )));
    }
    Ok(profile)
}

/// Whether a profile can hold the name, and a policy can require it.
fn is_hook_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.len() <= MAX_HOOK_NAME
        && name.bytes().all(is_plain)
}

fn check_finished(TrialOutput { lines, end }: &TrialOutput) -> Result<(), TrialError> {
    match lines.iter().find_map(stopped) {
        Some(cause) => Err(TrialError(cause.to_owned())),
        None if lines.last() == Some(&Line::Finished) && *end == End::Finished => Ok(()),
        None => Err(unfinished(end, lines)),
    }
}

fn add(profile: &mut LsmHookProfileSpec, line: &Line) {
    let Line::Hook { name, plain, sleepable } = line else {
        return;
    };
    if !is_hook_name(name) {
        return;
    }
    let is_sleepable = *sleepable == Some(Answer(0));
    // A hook that accepts a sleepable program accepts a program.
    let is_accepted = *plain == Answer(0) || is_sleepable;
    let set = if is_accepted { &mut profile.hooks } else { &mut profile.refused_hooks };
    set.insert(name.clone());
    if is_sleepable {
        profile.sleepable_hooks.insert(name.clone());
    }
}

fn stopped(line: &Line) -> Option<&str> {
    match line {
        Line::Stopped(cause) => Some(cause),
        Line::Hook { .. } | Line::Finished => None,
    }
}

fn unfinished(end: &End, lines: &[Line]) -> TrialError {
    let ended = match end {
        End::TimedOut(ms) => format!("did not finish within {ms} ms and was killed"),
        End::Signal(libc::SIGSYS) => "was ended by a seccomp filter (SIGSYS)".to_owned(),
        End::Signal(signal) => format!("was ended by signal {signal}"),
        End::Exit(code) => format!("exited with code {code}"),
        End::Finished => "exited without a report of its end".to_owned(),
        End::NotStarted(error) => {
            return TrialError(format!(
                "the process of the hook trial could not be started: {error}"
            ));
        }
    };
    let last = lines.iter().rev().find_map(|line| match line {
        Line::Hook { name, .. } => Some(format!("after hook {name}")),
        Line::Stopped(_) | Line::Finished => None,
    });
    let last = last.unwrap_or_else(|| "before the first hook".to_owned());
    TrialError(format!("the hook trial {ended}, {last}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kernel() -> Kernel {
        Kernel { release: "6.12".into(), machine: "x86_64".into() }
    }

    fn hook(name: &str, plain: i32, sleepable: Option<i32>) -> Line {
        Line::Hook { name: name.into(), plain: Answer(plain), sleepable: sleepable.map(Answer) }
    }

    fn profile_of(lines: &[Line], end: End) -> Result<LsmHookProfileSpec, TrialError> {
        profile(&TrialOutput { lines: lines.to_vec(), end }, &kernel())
    }

    #[test]
    fn each_hook_is_sorted_by_its_answers() {
        let lines =
            [hook("a", 0, Some(0)), hook("b", 0, Some(22)), hook("c", 22, None), Line::Finished];
        let profile = profile_of(&lines, End::Finished).unwrap();
        assert_eq!(profile.kernel, "6.12 x86_64");
        assert_eq!(profile.hooks, ["a", "b"].map(str::to_owned).into());
        assert_eq!(profile.sleepable_hooks, ["a"].map(str::to_owned).into());
        assert_eq!(profile.refused_hooks, ["c"].map(str::to_owned).into());
    }

    #[test]
    fn an_unfinished_trial_makes_no_profile() {
        let some = hook("a", 0, Some(0));
        let cases = [
            (vec![some.clone(), Line::Stopped("no memory".into())], End::Finished, "no memory"),
            (vec![some.clone()], End::TimedOut(5), "within 5 ms and was killed, after hook a"),
            (vec![some.clone(), Line::Finished], End::TimedOut(5), "within 5 ms"),
            (vec![], End::Signal(9), "signal 9, before the first hook"),
            (vec![], End::Signal(libc::SIGSYS), "seccomp"),
            (vec![some.clone()], End::Exit(2), "exited with code 2"),
            (vec![some], End::Finished, "without a report"),
            (vec![], End::NotStarted("EAGAIN".into()), "could not be started: EAGAIN"),
            (vec![hook("a", 22, None), Line::Finished], End::Finished, "on all of its 1 hooks"),
        ];
        for (lines, end, expected) in cases {
            let error = profile_of(&lines, end.clone()).unwrap_err().to_string();
            assert!(error.contains(expected), "{end:?}: {error}");
        }
    }

    #[test]
    fn a_profile_holds_only_what_its_schema_accepts() {
        let long = "a".repeat(65);
        let names = ["", "a\nb", "A", "_a", "a-b", "é", long.as_str()];
        let mut lines: Vec<Line> = names.iter().map(|name| hook(name, 0, Some(0))).collect();
        lines.extend([hook("file_open", 22, Some(0)), Line::Finished]);
        let profile = profile_of(&lines, End::Finished).unwrap();
        assert_eq!(profile.hooks, ["file_open"].map(str::to_owned).into());
        assert!(profile.refused_hooks.is_empty() && profile.sleepable_hooks == profile.hooks);

        let many = (0..481).map(|n| hook(&format!("h{n}"), 22 * (n % 2), None));
        let lines: Vec<Line> = many.chain([Line::Finished]).collect();
        let error = profile_of(&lines, End::Finished).unwrap_err().to_string();
        assert_eq!(error, "the kernel has 481 hooks, and a profile can hold 480");
    }

    proptest! {
        #[test]
        fn the_order_of_the_answers_does_not_change_the_digest(
            answers in proptest::collection::btree_map(
                "[a-z][a-z_]{0,7}", (0..2i32, 0..2i32), 1..20,
            ),
            seed: u64,
        ) {
            let mut lines: Vec<Line> = answers
                .iter()
                .map(|(name, (plain, sleepable))| hook(name, *plain, Some(*sleepable)))
                .collect();
            let digest = |lines: &[Line]| {
                let lines = [lines, &[Line::Finished]].concat();
                profile_of(&lines, End::Finished).map(|profile| profile.digest())
            };
            let before = digest(&lines);
            let middle = usize::try_from(seed % lines.len() as u64).unwrap();
            lines.rotate_left(middle);
            prop_assert_eq!(digest(&lines), before);
        }
    }
}
