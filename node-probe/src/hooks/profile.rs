//! What a trial's answers mean. Pure.
//!
//! In: what the child said and how it ended. Out: a profile, or why there is none.

use std::fmt;

use lsm_ready_crds::node::Kernel;
use lsm_ready_crds::profile::LsmHookProfileSpec;

use super::Observed;
use super::trial::Line;
use crate::subprocess::End;
use crate::sys::Answer;

/// Why a trial led to no profile, in a sentence.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TrialError(pub String);

impl fmt::Display for TrialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The profile, if every hook was answered for.
///
/// # Errors
/// Where the trial was not made to its end, or the kernel took no program at all.
pub fn profile(
    Observed { lines, end }: &Observed,
    kernel: &Kernel,
) -> Result<LsmHookProfileSpec, TrialError> {
    if let Some(why) = lines.iter().find_map(stopped) {
        return Err(TrialError(why.to_owned()));
    }
    if lines.last() != Some(&Line::Finished) || *end != End::Finished {
        return Err(broken_off(end, lines));
    }
    let mut profile = LsmHookProfileSpec {
        kernel: format!("{} {}", kernel.release, kernel.machine),
        ..Default::default()
    };
    for line in lines {
        let Line::Hook { name, plain, sleepable } = line else {
            continue;
        };
        let set = if *plain == Answer(0) { &mut profile.hooks } else { &mut profile.refused_hooks };
        set.insert(name.clone());
        if *sleepable == Some(Answer(0)) {
            profile.sleepable_hooks.insert(name.clone());
        }
    }
    if profile.hooks.is_empty() {
        // Then it is not the hooks that it refuses: a kernel that takes LSM programs takes some.
        return Err(TrialError(format!(
            "the kernel took a program on none of its {} hooks",
            profile.refused_hooks.len()
        )));
    }
    Ok(profile)
}

fn stopped(line: &Line) -> Option<&str> {
    match line {
        Line::Stopped(why) => Some(why),
        Line::Hook { .. } | Line::Finished => None,
    }
}

fn broken_off(end: &End, lines: &[Line]) -> TrialError {
    let how = match end {
        End::TimedOut(ms) => format!("did not end within {ms} ms and was killed"),
        End::Signal(libc::SIGSYS) => "was ended by a seccomp filter (SIGSYS)".to_owned(),
        End::Signal(signal) => format!("was ended by signal {signal}"),
        End::Exit(code) => format!("ended with code {code}"),
        End::Finished => "ended without a word about its end".to_owned(),
        End::NotStarted(error) => {
            return TrialError(format!("the hook trial's process could not be started: {error}"));
        }
    };
    let last = lines.iter().rev().find_map(|line| match line {
        Line::Hook { name, .. } => Some(format!("after hook {name}")),
        Line::Stopped(_) | Line::Finished => None,
    });
    TrialError(format!(
        "the hook trial {how}, {}",
        last.unwrap_or_else(|| "before the first hook".to_owned())
    ))
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

    fn judged(lines: &[Line], end: End) -> Result<LsmHookProfileSpec, TrialError> {
        profile(&Observed { lines: lines.to_vec(), end }, &kernel())
    }

    #[test]
    fn each_hook_stands_where_its_answers_put_it() {
        let lines =
            [hook("a", 0, Some(0)), hook("b", 0, Some(22)), hook("c", 22, None), Line::Finished];
        let profile = judged(&lines, End::Finished).unwrap();
        assert_eq!(profile.kernel, "6.12 x86_64");
        assert_eq!(profile.hooks, ["a", "b"].map(str::to_owned).into());
        assert_eq!(profile.sleepable_hooks, ["a"].map(str::to_owned).into());
        assert_eq!(profile.refused_hooks, ["c"].map(str::to_owned).into());
    }

    #[test]
    fn an_unfinished_trial_is_no_profile() {
        let some = hook("a", 0, Some(0));
        let cases = [
            (vec![some.clone(), Line::Stopped("no memory".into())], End::Finished, "no memory"),
            (vec![some.clone()], End::TimedOut(5), "within 5 ms and was killed, after hook a"),
            (vec![some.clone(), Line::Finished], End::TimedOut(5), "within 5 ms"),
            (vec![], End::Signal(9), "signal 9, before the first hook"),
            (vec![], End::Signal(libc::SIGSYS), "seccomp"),
            (vec![some.clone()], End::Exit(2), "ended with code 2"),
            (vec![some], End::Finished, "without a word"),
            (vec![], End::NotStarted("EAGAIN".into()), "could not be started: EAGAIN"),
            (vec![hook("a", 22, None), Line::Finished], End::Finished, "on none of its 1 hooks"),
        ];
        for (lines, end, said) in cases {
            let absence = judged(&lines, end.clone()).unwrap_err().to_string();
            assert!(absence.contains(said), "{end:?}: {absence}");
        }
    }

    proptest! {
        /// The digest is of what was found, not of the order in which it was.
        #[test]
        fn the_same_answers_have_the_same_digest(
            answers in proptest::collection::btree_map("[a-z_]{1,8}", (0..2i32, 0..2i32), 1..20), seed: u64,
        ) {
            let mut lines: Vec<Line> =
                answers.iter().map(|(name, (plain, sleepable))| hook(name, *plain, Some(*sleepable))).collect();
            let digest = |lines: &[Line]| {
                judged(&[lines, &[Line::Finished]].concat(), End::Finished).map(|profile| profile.digest())
            };
            let before = digest(&lines);
            let middle = usize::try_from(seed % lines.len() as u64).unwrap();
            lines.rotate_left(middle);
            prop_assert_eq!(digest(&lines), before);
        }
    }
}
