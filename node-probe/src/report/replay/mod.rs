//! `node-probe check --from`: what recorded facts say about a machine on which nothing is tried.
//!
//! In: the facts. Out: a report whose evidence is always `None`. Facts can show that LSM BPF cannot
//! work, but never that it works: if nothing contradicts, the reason is `NotTried`.

use std::time::Duration;

use lsm_ready_crds::{Evidence, Reason};

use super::diagnose::Diagnosis;
use super::{Check, Report, checks};
use crate::canary::CanaryResult;
use crate::facts::Facts;
use crate::facts::missing::{Missing, describe, missing, with_missing};

/// The report on recorded facts.
pub fn report(facts: &Facts, took: Duration) -> Report {
    let nothing_tried = checks::explain(&CanaryResult::default(), facts);
    Report::from_diagnosis(diagnose(facts), nothing_tried, facts, took)
}

/// Why a rung is out of reach.
struct Obstacle {
    rung: Evidence,
    reason: Reason,
    detail: String,
}

/// Finds the lowest rung that the facts show to be out of reach.
pub fn diagnose(facts: &Facts) -> Diagnosis {
    let obstacle =
        not_loadable(facts).or_else(|| not_attachable(facts)).or_else(|| not_active(facts));
    let check = |rung: Evidence| match &obstacle {
        Some(obstacle) if obstacle.rung == rung => {
            Check::failed(rung.as_str(), obstacle.reason, obstacle.detail.clone())
        }
        _ => Check::unknown(rung.as_str(), "not tried: only recorded facts were read"),
    };
    let rungs = Evidence::RUNGS.into_iter().map(check).collect();
    let (reason, message) = match &obstacle {
        Some(Obstacle { reason, detail, .. }) => {
            (*reason, format!("the recorded facts show that LSM BPF cannot work: {detail}"))
        }
        None => (
            Reason::NotTried,
            "nothing was tried: only recorded facts were read, and nothing in them shows that LSM \
             BPF cannot work"
                .to_owned(),
        ),
    };
    Diagnosis { evidence: Evidence::None, reason, message, rungs }
}

fn not_loadable(facts: &Facts) -> Option<Obstacle> {
    let obstacle = |reason, detail: &str| {
        Some(Obstacle { rung: Evidence::Loaded, reason, detail: with_missing(detail, facts) })
    };
    if let Some(absent) = facts.absent_btf() {
        return obstacle(Reason::BtfMissing, &absent);
    }
    match facts.btf.as_ref()? {
        Ok(btf) if !btf.canary_hook => {
            let detail = format!(
                "the kernel's BTF has no hook bpf_lsm_task_prctl ({} names bpf_lsm_*)",
                btf.bpf_lsm
            );
            obstacle(Reason::HookNotInBtf, &detail)
        }
        // BTF is always that of the running kernel, so a configuration that contradicts is another
        // kernel's.
        Ok(_) => None,
        Err(_) => not_built(facts),
    }
}

/// BTF could not be read, so only the configuration and the version can show what the kernel lacks.
fn not_built(facts: &Facts) -> Option<Obstacle> {
    let missing = missing(facts);
    let lacks = |option: &'static str| missing.contains(&Missing::Option(option));
    let is_too_old = facts.kernel.machine == "x86_64"
        && missing.iter().any(|one| matches!(one, Missing::Version { .. }));
    let reason = if lacks("CONFIG_BPF_SYSCALL") {
        Reason::ProgramTypeUnsupported
    } else if lacks("CONFIG_BPF_LSM") || is_too_old {
        Reason::HookNotInBtf
    } else {
        return None;
    };
    Some(Obstacle { rung: Evidence::Loaded, reason, detail: describe(facts) })
}

fn not_attachable(facts: &Facts) -> Option<Obstacle> {
    (facts.has_trampolines() == Some(false)).then(|| Obstacle {
        rung: Evidence::Attached,
        reason: Reason::TrampolineUnsupported,
        detail: format!(
            "{} has no BPF trampolines on Linux {}",
            facts.kernel.machine, facts.kernel.release
        ),
    })
}

fn not_active(facts: &Facts) -> Option<Obstacle> {
    let detail = match facts.lists_bpf() {
        Some(true) => return None,
        Some(false) => format!("bpf is not among the active LSMs {}", facts.lsms_detail),
        None => facts.left_out_by("bpf")?,
    };
    Some(Obstacle { rung: Evidence::Fired, reason: Reason::BpfNotInLsmList, detail })
}

#[cfg(test)]
mod tests;
