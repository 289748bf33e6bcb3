//! The verdict: what a node's report means for a requirement. Everything that calls a node ready or
//! not ready uses it.
//!
//! In: a requirement, the Node's current boot, its report and its hook profile. Out: ready, not
//! ready or unknown, with a reason, a message and a fix. A node is ready only where every part of
//! the requirement was shown in this boot.

use crate::boot_list::{Present, boot_list};
use crate::consistency::{contradiction, evidence_state, gap};
use crate::evidence::Evidence;
use crate::hooks::{Refusal, refusal};
use crate::node::{KERNEL_READS_CHECK, LsmNodeStatus, Securityfs};
use crate::policy::Require;
use crate::probe_version::unknown_version;
use crate::profile::LsmHookProfileSpec;
use crate::reason::Reason;
use crate::state::State;

/// Maximum number of unusable hooks listed in a message.
const MAX_HOOKS_IN_MESSAGE: usize = 5;

/// What a report means for a requirement.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// Ready, not ready, or unknown.
    pub state: State,
    /// A code of docs/reasons.md, or the report's own code, which may be one of another version.
    pub reason: String,
    /// The reason in a sentence.
    pub message: String,
    /// What to change. Empty where nothing has to be or can be changed.
    pub fix: String,
    /// Whether message and fix are texts of the node's own report, or about its report alone. They
    /// may be shown under the node's name only; other places use [`Self::shared`].
    pub is_of_one_node: bool,
}

impl Verdict {
    /// The verdict for a place that is about several nodes, such as the status of a policy. One
    /// node must not choose what people read there and may paste into a shell, so message and fix
    /// come from our own table. A code that is not in it has no fix.
    #[must_use]
    pub fn shared(self) -> Self {
        if !self.is_of_one_node {
            return self;
        }
        let known = Reason::from_code(&self.reason);
        let message = known.map_or(UNLISTED_REASON, Reason::meaning).trim_end_matches('.');
        let fix = known.map_or("", Reason::remedy);
        Self { message: message.to_owned(), fix: fix.to_owned(), ..self }
    }
}

/// Stands for the message of a reason of another version.
const UNLISTED_REASON: &str = "the probe gives a reason that this version of lsm-ready does not \
                               know; read the node's LsmNode";

/// State and reason of a verdict, where no message is needed.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Outcome {
    /// Ready, not ready, or unknown.
    pub state: State,
    /// As [`Verdict::reason`].
    pub reason: String,
}

/// What is known about one node.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// The Node's `status.nodeInfo.bootID`.
    pub boot_id: &'a str,
    /// The status of the node's `LsmNode`.
    pub report: Option<&'a LsmNodeStatus>,
    /// The genuine hook profile that the report names.
    pub profile: Option<&'a LsmHookProfileSpec>,
}

/// What the facts mean for the requirement. `tracingPolicies` is ignored: a caller that knows the
/// TracingPolicies adds their requirements first.
#[must_use]
pub fn verdict(require: &Require, facts: Facts<'_>) -> Verdict {
    verdict_with_hooks(require, facts, || hooks(require, facts.profile))
}

/// Like [`verdict`], with the verdict on the hooks given by the caller. Thousands of nodes can
/// share a hook profile, and the message about a misspelt hook is expensive.
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
    let shortcomings =
        [evidence(require, report), lsms(require, report), kernel_reads(require, report), hooks()];
    // NotReady goes before Unknown, and of equal states the first is reported.
    shortcomings
        .into_iter()
        .flatten()
        .min_by_key(|shortcoming| shortcoming.state == State::Unknown)
        .unwrap_or_else(|| ready(report))
}

/// The state and reason that [`verdict`] gives, without the expensive message about the hooks.
#[must_use]
pub fn outcome(require: &Require, facts: Facts<'_>) -> Outcome {
    let hooks_without_message = || {
        let Some(profile) = facts.profile else {
            return hooks(require, None);
        };
        Some(not_ready(worst_reason(&refusals(require, profile))?, "", ""))
    };
    let Verdict { state, reason, .. } = verdict_with_hooks(require, facts, hooks_without_message);
    Outcome { state, reason }
}

/// Turns ready into unknown where the requirement may be incomplete. `why_incomplete` says why;
/// `None` means that the requirement is complete. What was shown to be missing stays not ready.
#[must_use]
pub fn downgrade_if_incomplete(verdict: Verdict, why_incomplete: Option<&str>) -> Verdict {
    match why_incomplete {
        Some(why) if verdict.state == State::Ready => {
            unknown(Reason::TracingPoliciesUnknown, why, Reason::TracingPoliciesUnknown.remedy())
        }
        _ => verdict,
    }
}

/// The report, if it is about the Node's current boot and does not contradict itself.
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
            "the latest report is about boot {:?}, but the node is in boot {:?}",
            report.boot_id, facts.boot_id
        );
        let fix = "wait for the probe's pod on this node to start; it reports at once";
        return Err(of_one_node(unknown(Reason::ReportFromEarlierBoot, message, fix)));
    }
    match contradiction(report) {
        Some(contradiction) => Err(inconsistent(contradiction)),
        None => Ok(report),
    }
}

fn evidence(require: &Require, report: &LsmNodeStatus) -> Option<Verdict> {
    let required = Evidence::from(require.evidence);
    if report.evidence >= required {
        let version = unknown_version(&report.probe_version).map(unknown_probe);
        return version.or_else(|| gap(report).map(inconsistent));
    }
    let state = evidence_state(report.evidence, &report.checks, required);
    let reason = if report.reason.is_empty() {
        Reason::EvidenceTooLow.code().to_owned()
    } else {
        report.reason.clone()
    };
    let message = if report.message.is_empty() {
        format!("evidence is {}, required is {}", report.evidence.as_str(), required.as_str())
    } else {
        report.message.clone()
    };
    Some(Verdict { state, reason, message, fix: report.fix.clone(), is_of_one_node: true })
}

fn inconsistent(what: String) -> Verdict {
    let reason = Reason::EvidenceInconsistent;
    of_one_node(unknown(reason, what, reason.remedy()))
}

fn unknown_probe(why: String) -> Verdict {
    let reason = Reason::ProbeVersionUnknown;
    of_one_node(unknown(reason, why, reason.remedy()))
}

fn lsms(require: &Require, report: &LsmNodeStatus) -> Option<Verdict> {
    let active = &report.lsms.active;
    let missing: Vec<&str> =
        require.lsms.iter().filter(|lsm| !active.contains(lsm)).map(String::as_str).collect();
    if missing.is_empty() {
        return None;
    }
    let names = missing.join(", ");
    if active.is_empty() {
        let message =
            format!("the list of active LSMs could not be read, so {names} cannot be judged");
        return Some(unknown(Reason::LsmListUnknown, message, lsm_list_fix(report.securityfs)));
    }
    let message = format!("{names} not among the active LSMs {}", active.join(","));
    Some(not_ready(Reason::RequiredLsmInactive, message, boot_fix(&require.lsms, &missing, active)))
}

/// How to make the list of active LSMs readable.
fn lsm_list_fix(securityfs: Securityfs) -> &'static str {
    match securityfs {
        Securityfs::NotInKernel => {
            "this kernel was built without CONFIG_SECURITYFS: boot Linux 6.8 or newer, which has \
             lsm_list_modules(2), or a kernel built with CONFIG_SECURITYFS=y"
        }
        Securityfs::NotMounted => {
            "mount securityfs on the node (mount -t securityfs none /sys/kernel/security), then \
             delete the probe's pod there, so that a new pod sees the mount"
        }
        Securityfs::Mounted | Securityfs::Unknown => {
            "give the probe /sys/kernel/security, as config/probe does with a read-only mount of \
             /sys/kernel"
        }
    }
}

/// The whole list to boot the node with. The steps depend on the boot loader, so `node-probe` on
/// the node prints them.
fn boot_fix(required: &[String], missing: &[&str], active: &[String]) -> String {
    let Some(list) = boot_list(Present { active, ..Present::default() }, required) else {
        return Reason::RequiredLsmInactive.remedy().to_owned();
    };
    let mut fix = format!(
        "boot the node with {}; `node-probe check --require-lsm {}` on it prints the steps",
        list.parameter(),
        missing.join(" --require-lsm ")
    );
    let remark = list.remark();
    if !remark.is_empty() {
        fix.push(' ');
        fix.push_str(&remark);
    }
    fix
}

fn kernel_reads(require: &Require, report: &LsmNodeStatus) -> Option<Verdict> {
    if !require.kernel_reads {
        return None;
    }
    match report.check(KERNEL_READS_CHECK).map(|check| (check.outcome, check)) {
        Some((State::Ready, _)) => None,
        Some((State::NotReady, check)) => {
            let message = format!("programs may not read kernel memory: {}", check.detail);
            // A probe of an earlier version writes no fix.
            let fix = Some(check.fix.as_str()).filter(|fix| !fix.is_empty());
            let fix = fix.unwrap_or(Reason::KernelReadsForbidden.remedy());
            Some(of_one_node(not_ready(Reason::KernelReadsForbidden, message, fix)))
        }
        Some((State::Unknown, _)) | None => Some(unknown(
            Reason::KernelReadsUnknown,
            "it is not known whether programs may read kernel memory",
            Reason::KernelReadsUnknown.remedy(),
        )),
    }
}

/// The verdict on the required hooks for kernels with that profile. `None` where every hook is
/// usable.
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
    let worst = worst_reason(&refusals)?;
    let reported: Vec<String> = refusals
        .iter()
        .filter(|refusal| refusal.reason == worst)
        .take(MAX_HOOKS_IN_MESSAGE)
        .map(ToString::to_string)
        .collect();
    let message = format!("kernel {}: {}", profile.kernel, reported.join("; "));
    let fix = if worst == Reason::HookNotInKernel {
        "correct the hook's name in the policy, or use a kernel that has it"
    } else {
        "use another hook, or a kernel that accepts the program on this hook"
    };
    Some(not_ready(worst, message, fix))
}

fn refusals<'a>(require: &'a Require, profile: &'a LsmHookProfileSpec) -> Vec<Refusal<'a>> {
    let plain = require.hooks.iter().filter_map(|hook| refusal(profile, hook, false));
    let sleepable = require.sleepable_hooks.iter().filter_map(|hook| refusal(profile, hook, true));
    plain.chain(sleepable).collect()
}

/// The reason to report: a missing hook first, then one that accepts no program, then one that
/// accepts no sleepable program.
fn worst_reason(refusals: &[Refusal<'_>]) -> Option<Reason> {
    [Reason::HookNotInKernel, Reason::HookNotAttachable, Reason::HookNotSleepable]
        .into_iter()
        .find(|reason| refusals.iter().any(|refusal| refusal.reason == *reason))
}

fn ready(report: &LsmNodeStatus) -> Verdict {
    let message = format!("{}: shown in boot {}", report.evidence.as_str(), report.boot_id);
    let (reason, fix) = (report.reason.clone(), String::new());
    Verdict { state: State::Ready, reason, message, fix, is_of_one_node: true }
}

fn not_ready(reason: Reason, message: impl Into<String>, fix: impl Into<String>) -> Verdict {
    Verdict {
        state: State::NotReady,
        reason: reason.code().to_owned(),
        message: message.into(),
        fix: fix.into(),
        is_of_one_node: false,
    }
}

fn of_one_node(verdict: Verdict) -> Verdict {
    Verdict { is_of_one_node: true, ..verdict }
}

fn unknown(reason: Reason, message: impl Into<String>, fix: impl Into<String>) -> Verdict {
    Verdict { state: State::Unknown, ..not_ready(reason, message, fix) }
}

#[cfg(test)]
mod tests;
