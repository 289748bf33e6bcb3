//! Killed checks: in, what was loaded before and after; out, whether anything was left behind.

use serde::Serialize;

use super::guest::{AtRandom, WhileAttached};
use super::kernel::Kernel;

/// What became of the killed checks on one kernel.
#[derive(Clone, Debug, Serialize)]
pub struct Kills {
    /// `uname -r`.
    pub kernel: String,
    /// What the moments were drawn with.
    pub seed: u64,
    /// How many checks were killed at random moments.
    pub kills: u32,
    /// How many of them were still running.
    pub running: u32,
    /// How many of them had something loaded.
    pub with_loaded: u32,
    /// What is not as it has to be.
    pub faults: Vec<String>,
}

/// The kernel has loaded after the kills what it had before them, and the kills met what they were to meet.
#[must_use]
pub fn judge(kernel: &Kernel, attached: &WhileAttached, random: &AtRandom) -> Kills {
    let checks = [
        (attached.attached.links.len() == attached.before.links.len() + 1, "the canary was not attached when killed"),
        (attached.after == attached.before, "something is left of a check that was killed while attached"),
        (random.after == random.before, "something is left of a check that was killed at random"),
        (random.running > 0, "no kill met a running check"),
        (random.with_loaded > 0, "no kill met a check that had something loaded"),
    ];
    let faults = checks.into_iter().filter(|(holds, _)| !holds);
    Kills {
        kernel: kernel.release.clone(),
        seed: random.seed,
        kills: random.kills,
        running: random.running,
        with_loaded: random.with_loaded,
        faults: faults.map(|(_, fault)| format!("{fault}: {attached:?} {random:?}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::guest::Loaded;
    use super::super::kernel::tests::kernel;
    use super::*;

    fn clean() -> (WhileAttached, AtRandom) {
        let before = Loaded { programs: vec![3], ..Loaded::default() };
        let attached = Loaded { programs: vec![3, 9], maps: vec![7], links: vec![1] };
        (
            WhileAttached { before: before.clone(), attached, after: before.clone() },
            AtRandom { seed: 1, kills: 9, running: 8, with_loaded: 2, before: before.clone(), after: before },
        )
    }

    #[test]
    fn what_is_left_is_found() {
        let faults = |change: fn(&mut WhileAttached, &mut AtRandom)| {
            let (mut attached, mut random) = clean();
            change(&mut attached, &mut random);
            judge(&kernel("6.1"), &attached, &random).faults.len()
        };
        assert_eq!(faults(|_, _| {}), 0);
        assert_eq!(faults(|attached, _| attached.after.maps.push(7)), 1);
        assert_eq!(faults(|attached, _| attached.attached.links.clear()), 1);
        assert_eq!(faults(|_, random| random.after.programs[0] = 4), 1);
        assert_eq!(faults(|_, random| random.with_loaded = 0), 1);
        assert_eq!(faults(|_, random| random.running = 0), 1);
    }
}
