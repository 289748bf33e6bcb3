//! What another kernel has to have, where no boot parameter helps. In: the reason and the facts. Out: all that this kernel
//! lacks, by its configuration and its version, and where to get one that has it.

use lsm_ready_crds::Reason;

use super::systems;
use crate::facts::{Facts, missing};

/// Boot another kernel: with what this one lacks.
pub(super) fn another(reason: Reason, facts: &Facts) -> String {
    let missing::Words { built, version } = missing::words(facts);
    let built = built.map(|built| format!("This kernel was {built}."));
    let version = version.map(|version| format!("{version}."));
    let parts = [
        built.unwrap_or_default(),
        version.unwrap_or_default(),
        reason.remedy().to_owned(),
        from_the_maker(facts),
    ];
    parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// Where the maker has a kernel that has all of it.
fn from_the_maker(facts: &Facts) -> String {
    let release = &facts.kernel.release;
    if release.contains("microsoft-standard") {
        return "WSL: run `wsl --update` and then `wsl --shutdown` on Windows; current kernels of WSL have both."
            .to_owned();
    }
    if release.contains("uek") && facts.kernel_is_before((5, 15)) == Some(true) {
        return "Oracle Linux: install UEK R7 (kernel-uek 5.15) or newer, which has both."
            .to_owned();
    }
    systems::locked(facts).map_or_else(String::new, str::to_owned)
}
