//! Makes a failing history as short as it gets: removes steps for as long as the same invariant
//! fails.

use crate::history::{self, Outcome};
use crate::step::Step;

/// The shortest list of steps that was found, and what comes of it.
#[must_use]
pub fn shrink(seed: u64, steps: &[Step], invariant: &str) -> (Vec<Step>, Outcome) {
    let fails = |steps: &[Step]| history::run(seed, steps, false).invariant() == Some(invariant);
    let mut steps = steps.to_vec();
    let mut size = steps.len().div_ceil(2);
    while size > 0 {
        let (mut begin, mut removed) = (0, false);
        while begin < steps.len() {
            let end = (begin + size).min(steps.len());
            let fewer: Vec<Step> = [&steps[..begin], &steps[end..]].concat();
            if fails(&fewer) {
                steps = fewer;
                removed = true;
            } else {
                begin = end;
            }
        }
        // The last round repeats until no single step can go.
        size = if size == 1 && removed { 1 } else { size / 2 };
    }
    let outcome = history::run(seed, &steps, true);
    (steps, outcome)
}
