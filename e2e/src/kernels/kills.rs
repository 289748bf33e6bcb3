//! Killed checks and probe daemons.
//!
//! In: what was loaded before and after. Out: whether anything was left.

use serde::Serialize;

use super::machines::{AtRandom, Killed};
use crate::stock_kernel::Kernel;

/// The outcome of the kills on one kernel.
#[derive(Clone, Debug, Serialize)]
pub struct Kills {
    /// `uname -r`.
    pub kernel: String,
    /// The seed of the random moments.
    pub seed: u64,
    /// Whether a check was killed with its canary attached: not on a kernel to which nothing can be
    /// attached.
    pub while_attached: bool,
    /// The checks killed at random moments.
    pub checks: Met,
    /// The probe daemons killed at random moments.
    pub daemons: Met,
    /// What is wrong, in words.
    pub faults: Vec<String>,
}

/// How many kills met what.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Met {
    /// All kills.
    pub kills: u32,
    /// Those that met a process that was still running.
    pub running: u32,
    /// Those that met a process that had something loaded.
    pub with_loaded: u32,
}

impl Met {
    const fn of(random: &AtRandom) -> Self {
        Self { kills: random.kills, running: random.running, with_loaded: random.with_loaded }
    }
}

/// Judges the kills: the same must be loaded after them as before, and they must have met what they
/// are for.
pub fn judge(kernel: &Kernel, killed: &Killed) -> Kills {
    let Killed { attached, checks, daemons } = killed;
    let links = attached.before.links.len() + usize::from(kernel.has_trampolines());
    let one = [
        (
            attached.attached.links.len() == links,
            "the canary was not attached when killed, where it can be",
        ),
        (
            attached.after == attached.before,
            "something is left of a check that was killed while attached",
        ),
    ];
    let one = one
        .into_iter()
        .filter(|(holds, _)| !holds)
        .map(|(_, fault)| format!("{fault}: {attached:?}"));
    Kills {
        kernel: kernel.release.clone(),
        seed: checks.seed,
        while_attached: kernel.has_trampolines(),
        checks: Met::of(checks),
        daemons: Met::of(daemons),
        faults: one.chain(at_random("check", checks)).chain(at_random("daemon", daemons)).collect(),
    }
}

fn at_random(what: &str, random: &AtRandom) -> Vec<String> {
    let conditions = [
        (random.after == random.before, "something is left of one"),
        (random.running > 0, "no kill met a running one"),
        (random.with_loaded > 0, "no kill met one that had something loaded"),
    ];
    let faults = conditions.into_iter().filter(|(holds, _)| !holds);
    faults.map(|(_, fault)| format!("{what}s killed at random: {fault}: {random:?}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::machines::{Loaded, WhileAttached};
    use super::*;
    use crate::stock_kernel::Arch;
    use crate::stock_kernel::tests::kernel;

    fn clean() -> Killed {
        let before = Loaded { programs: vec![3], ..Loaded::default() };
        let attached = Loaded { programs: vec![3, 9], maps: vec![7], links: vec![1] };
        let random = AtRandom {
            seed: 1,
            kills: 9,
            running: 8,
            with_loaded: 2,
            before: before.clone(),
            after: before.clone(),
        };
        let attached = WhileAttached { before: before.clone(), attached, after: before };
        Killed { attached, checks: random.clone(), daemons: random }
    }

    #[test]
    fn every_fault_of_a_kill_is_found() {
        let faults = |change: fn(&mut Killed)| {
            let mut killed = clean();
            change(&mut killed);
            judge(&kernel("6.1"), &killed).faults.len()
        };
        assert_eq!(faults(|_| {}), 0);
        assert_eq!(faults(|killed| killed.attached.after.maps.push(7)), 1);
        assert_eq!(faults(|killed| killed.attached.attached.links.clear()), 1);
        let arm64 = Kernel { arch: Arch::Arm64, ..kernel("6.1") };
        assert_eq!(judge(&arm64, &clean()).faults.len(), 1, "nothing is attached to this kernel");
        assert_eq!(faults(|killed| killed.checks.after.programs[0] = 4), 1);
        assert_eq!(faults(|killed| killed.daemons.after.maps.push(7)), 1);
        assert_eq!(faults(|killed| killed.checks.with_loaded = 0), 1);
        assert_eq!(faults(|killed| killed.daemons.running = 0), 1);
    }
}
