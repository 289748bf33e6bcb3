//! What another kernel has to have, where no boot parameter helps. In: the reason and the facts. Out: all that this kernel
//! lacks, by its configuration and its version, and where to get one that has it.

use lsm_ready_crds::Reason;

use super::systems;
use crate::facts::{Built, Facts};

/// What LSM programs need of a kernel's configuration.
const NEEDED: [&str; 2] = ["CONFIG_BPF_LSM", "CONFIG_DEBUG_INFO_BTF"];

/// The first version of Linux with BPF LSM.
const FIRST: (u32, u32) = (5, 7);

/// Boot another kernel: with what this one lacks.
pub(super) fn another(reason: Reason, facts: &Facts) -> String {
    let parts = [lacks(facts), too_old(facts), reason.way_out().to_owned(), from_the_maker(facts)];
    parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// The options that its configuration says are not set.
fn lacks(facts: &Facts) -> String {
    let Some(config) = &facts.kernel_config else { return String::new() };
    let lacking: Vec<&str> = NEEDED.into_iter().filter(|option| config.get(option) == Built::NotSet).collect();
    if lacking.is_empty() {
        return String::new();
    }
    format!("This kernel was built without {} ({} says so).", lacking.join(" and "), config.path)
}

/// Red Hat has put BPF LSM into its kernel 4.18, so a version says nothing about that.
fn too_old(facts: &Facts) -> String {
    let release = &facts.kernel.release;
    if facts.kernel_is_before(FIRST) != Some(true) || release.contains(".el8") && !release.contains("uek") {
        return String::new();
    }
    format!("It is Linux {release}, and BPF LSM came with Linux {}.{}.", FIRST.0, FIRST.1)
}

/// Where the maker has a kernel that has all of it.
fn from_the_maker(facts: &Facts) -> String {
    let release = &facts.kernel.release;
    if release.contains("microsoft-standard") {
        return "WSL: run `wsl --update` and then `wsl --shutdown` on Windows; current kernels of WSL have both."
            .to_owned();
    }
    if release.contains("uek") && facts.kernel_is_before((5, 15)) == Some(true) {
        return "Oracle Linux: install UEK R7 (kernel-uek 5.15) or newer, which has both.".to_owned();
    }
    systems::locked(facts).map_or_else(String::new, str::to_owned)
}
