//! The verdict: what a node's report means for a requirement. Used by everything that says ready or not.
//!
//! In: a requirement, the Node's present boot, its report and its hook profile. Out: ready, not ready or unknown, with
//! a reason, a sentence and a fix. Ready is said only where every part of the requirement was shown in this boot.

use crate::boot_list::{Present, boot_list};
use crate::evidence::Evidence;
use crate::hooks::{Refusal, refusal};
use crate::node::{KERNEL_READS_CHECK, LsmNodeStatus, Securityfs, evidence_state};
use crate::policy::Require;
use crate::profile::LsmHookProfileSpec;
use crate::reason::Reason;
use crate::state::State;

/// Of so many hooks is told why they do not do: a message has to stay readable.
const MAX_HOOKS_IN_MESSAGE: usize = 5;

/// What a report means for a requirement.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// Ready, not ready, or not known.
    pub state: State,
    /// A code of docs/reasons.md; the report's own code where that says it best (also one of another version).
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// What to change; empty where nothing has to be or can be.
    pub fix: String,
}

/// What is known about one node.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// The Node's `status.nodeInfo.bootID`.
    pub boot_id: &'a str,
    /// The status of its `LsmNode`.
    pub report: Option<&'a LsmNodeStatus>,
    /// The genuine hook profile that the report names.
    pub profile: Option<&'a LsmHookProfileSpec>,
}

/// What the facts mean for the requirement. `tracingPolicies` is not looked at: who knows them adds what they ask for.
#[must_use]
pub fn verdict(require: &Require, facts: Facts<'_>) -> Verdict {
    verdict_with_hooks(require, facts, || hooks(require, facts.profile))
}

/// The same, where the verdict on the hooks is known already: thousands of nodes share a profile, and to say what is
/// wrong with a misspelt hook takes a comparison with each of the kernel's.
#[must_use]
pub fn verdict_with_hooks(
    require: &Require,
    facts: Facts<'_>,
    hooks: impl FnOnce() -> Option<Verdict>,
) -> Verdict {
    let report = match current_report(facts) {
        Ok(report) => report,
        Err(unknown) => return unknown,
    };
    let failings =
        [evidence(require, report), lsms(require, report), kernel_reads(require, report), hooks()];
    // The worst is told: a shown failing before an unknown one, and of equals the first.
    failings
        .into_iter()
        .flatten()
        .min_by_key(|failing| failing.state == State::Unknown)
        .unwrap_or_else(|| ready(report))
}

/// The report, if it is about the Node's present boot.
fn current_report(facts: Facts<'_>) -> Result<&LsmNodeStatus, Verdict> {
    let Some(report) = facts.report else {
        return Err(unknown(
            Reason::NoReport,
            "the probe has not reported from this node yet",
            "check that the lsm-ready probe's pod runs on this node",
        ));
    };
    if report.boot_id.is_empty() || report.boot_id != facts.boot_id {
        let message = format!(
            "the newest report is about boot {:?}, the node is in boot {:?}",
            report.boot_id, facts.boot_id
        );
        return Err(unknown(
            Reason::ReportFromEarlierBoot,
            message,
            "wait for the probe's pod on this node to start; it reports at once",
        ));
    }
    Ok(report)
}

fn evidence(require: &Require, report: &LsmNodeStatus) -> Option<Verdict> {
    let wanted = Evidence::from(require.evidence);
    let state = evidence_state(report.evidence, &report.checks, wanted);
    if state == State::Ready {
        return None;
    }
    let reason = if report.reason.is_empty() {
        Reason::EvidenceTooLow.code().to_owned()
    } else {
        report.reason.clone()
    };
    let message = if report.message.is_empty() {
        format!("evidence is {}, required is {}", report.evidence.as_str(), wanted.as_str())
    } else {
        report.message.clone()
    };
    Some(Verdict { state, reason, message, fix: report.fix.clone() })
}

fn lsms(require: &Require, report: &LsmNodeStatus) -> Option<Verdict> {
    let missing: Vec<&str> = require
        .lsms
        .iter()
        .filter(|lsm| !report.lsms.active.contains(lsm))
        .map(String::as_str)
        .collect();
    if missing.is_empty() {
        return None;
    }
    if report.lsms.active.is_empty() {
        let message = format!(
            "the list of active LSMs could not be read, so {} cannot be judged",
            missing.join(", ")
        );
        return Some(unknown(Reason::LsmListUnknown, message, list_unknown_fix(report)));
    }
    let message = format!(
        "{} not among the active LSMs {}",
        missing.join(", "),
        report.lsms.active.join(",")
    );
    Some(not_ready(
        Reason::RequiredLsmInactive,
        message,
        boot_with(&require.lsms, &missing, &report.lsms.active),
    ))
}

fn list_unknown_fix(report: &LsmNodeStatus) -> &'static str {
    match report.securityfs {
        Securityfs::NotInKernel => {
            "this kernel was built without CONFIG_SECURITYFS: boot Linux 6.8 or newer, which has lsm_list_modules(2), or a \
             kernel built with CONFIG_SECURITYFS=y"
        }
        Securityfs::NotMounted => {
            "mount securityfs on the node (mount -t securityfs none /sys/kernel/security) and delete the probe's pod there, so \
             that it starts anew"
        }
        Securityfs::Mounted | Securityfs::Unknown => {
            "give the probe /sys/kernel/security, as config/probe does with a read-only mount of /sys/kernel"
        }
    }
}

/// The whole list to boot the node with. The steps depend on the boot loader, which the probe on the node knows.
fn boot_with(required: &[String], missing: &[&str], active: &[String]) -> String {
    let Some(list) = boot_list(Present { active, ..Present::default() }, required) else {
        return Reason::RequiredLsmInactive.remedy().to_owned();
    };
    let remark = Some(list.remark())
        .filter(|remark| !remark.is_empty())
        .map_or_else(String::new, |text| format!(" {text}"));
    format!(
        "boot the node with {}; `node-probe check --require-lsm {}` on it prints the steps{remark}",
        list.parameter(),
        missing.join(" --require-lsm ")
    )
}

fn kernel_reads(require: &Require, report: &LsmNodeStatus) -> Option<Verdict> {
    if !require.kernel_reads {
        return None;
    }
    match report.check(KERNEL_READS_CHECK) {
        Some(check) if check.outcome == State::Ready => None,
        Some(check) if check.outcome == State::NotReady => Some(not_ready(
            Reason::KernelReadsForbidden,
            format!("programs may not read kernel memory: {}", check.detail),
            // A probe of an earlier version gives none.
            if check.fix.is_empty() {
                Reason::KernelReadsForbidden.remedy()
            } else {
                check.fix.as_str()
            },
        )),
        _ => Some(unknown(
            Reason::KernelReadsUnknown,
            "whether programs may read kernel memory could not be found out",
            Reason::KernelReadsUnknown.remedy(),
        )),
    }
}

/// What is wrong with the required hooks on a kernel of that profile; nothing where all of them take a program.
#[must_use]
pub fn hooks(require: &Require, profile: Option<&LsmHookProfileSpec>) -> Option<Verdict> {
    if require.hooks.is_empty() && require.sleepable_hooks.is_empty() {
        return None;
    }
    let Some(profile) = profile else {
        return Some(unknown(
            Reason::HookProfileMissing,
            "the node has published no hook profile, so the required hooks cannot be judged",
            "",
        ));
    };
    let refusals = refusals(require, profile);
    let gravest = gravest(&refusals)?;
    let told =
        refusals.iter().filter(|refusal| refusal.reason == gravest).take(MAX_HOOKS_IN_MESSAGE);
    let message = format!(
        "kernel {}: {}",
        profile.kernel,
        told.map(ToString::to_string).collect::<Vec<_>>().join("; ")
    );
    let fix = match gravest {
        Reason::HookNotInKernel => {
            "correct the hook's name in the policy, or use a kernel that has it"
        }
        _ => "use another hook or a kernel on which it takes the program",
    };
    Some(not_ready(gravest, message, fix))
}

fn refusals<'a>(require: &'a Require, profile: &'a LsmHookProfileSpec) -> Vec<Refusal<'a>> {
    let plain = require.hooks.iter().filter_map(|hook| refusal(profile, hook, false));
    let sleepable = require.sleepable_hooks.iter().filter_map(|hook| refusal(profile, hook, true));
    plain.chain(sleepable).collect()
}

/// The reason that is told: a hook that is not there at all before one that refuses, and that before a lesser wish.
fn gravest(refusals: &[Refusal<'_>]) -> Option<Reason> {
    [Reason::HookNotInKernel, Reason::HookNotAttachable, Reason::HookNotSleepable]
        .into_iter()
        .find(|reason| refusals.iter().any(|refusal| refusal.reason == *reason))
}

/// State and reason as [`verdict`] says them, without the sentence about the hooks, which costs most where many hooks are
/// unknown to a kernel.
#[must_use]
pub fn outcome(require: &Require, facts: Facts<'_>) -> (State, String) {
    let brief = || {
        let Some(profile) = facts.profile else {
            return hooks(require, None);
        };
        Some(not_ready(gravest(&refusals(require, profile))?, "", ""))
    };
    let verdict = verdict_with_hooks(require, facts, brief);
    (verdict.state, verdict.reason)
}

/// The verdict where it is not known what else is asked for, with why: ready becomes unknown, and what is shown to be
/// missing stays so.
#[must_use]
pub fn downgrade_if_incomplete(verdict: Verdict, unread: Option<&str>) -> Verdict {
    match unread {
        Some(why) if verdict.state == State::Ready => {
            unknown(Reason::TracingPoliciesUnknown, why, Reason::TracingPoliciesUnknown.remedy())
        }
        _ => verdict,
    }
}

fn ready(report: &LsmNodeStatus) -> Verdict {
    let message = format!("{}: shown in boot {}", report.evidence.as_str(), report.boot_id);
    Verdict { state: State::Ready, reason: report.reason.clone(), message, fix: String::new() }
}

fn not_ready(reason: Reason, message: impl Into<String>, fix: impl Into<String>) -> Verdict {
    Verdict {
        state: State::NotReady,
        reason: reason.code().to_owned(),
        message: message.into(),
        fix: fix.into(),
    }
}

fn unknown(reason: Reason, message: impl Into<String>, fix: impl Into<String>) -> Verdict {
    Verdict { state: State::Unknown, ..not_ready(reason, message, fix) }
}

#[cfg(test)]
mod tests;
