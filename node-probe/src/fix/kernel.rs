//! What another kernel needs, if no boot parameter helps. In: the reason and the facts. Out:
//! everything that this kernel lacks by its configuration and its version, and where to get one
//! that has it.

use lsm_ready_crds::Reason;

use super::systems;
use crate::facts::{Facts, missing};

/// Says which kernel to boot instead, and what this one lacks.
pub(super) fn another(reason: Reason, facts: &Facts) -> String {
    let missing::Words { built, version } = missing::words(facts);
    let built = built.map(|built| format!("This kernel was {built}."));
    let version = version.map(|version| format!("{version}."));
    let parts = [
        built.unwrap_or_default(),
        version.unwrap_or_default(),
        reason.remedy().to_owned(),
        from_the_vendor(facts),
    ];
    parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// Where the vendor offers a kernel that has everything.
fn from_the_vendor(facts: &Facts) -> String {
    let release = &facts.kernel.release;
    if release.contains("microsoft-standard") {
        return "WSL: run `wsl --update` and then `wsl --shutdown` on Windows. Current kernels of \
                WSL have LSM BPF and BTF."
            .to_owned();
    }
    if release.contains("uek") && facts.kernel_is_before((5, 15)) == Some(true) {
        return "Oracle Linux: install UEK R7 (kernel-uek 5.15) or newer, which has LSM BPF and BTF."
            .to_owned();
    }
    systems::locked(facts).map_or_else(String::new, str::to_owned)
}
