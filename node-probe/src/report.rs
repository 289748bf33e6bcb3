//! The report: one check of this machine in its documented, stable form (docs/check-output.md).
//!
//! In: the diagnosis, the facts, the canary's trial and the time it took. Out: [`Report`], which serialises as the JSON
//! of `node-probe check` and becomes the status of an `LsmNode`.

use lsm_ready_crds::node::{Check, KERNEL_READS_CHECK, Kernel, LsmNodeStatus, Lsms, Outcome};
use lsm_ready_crds::{Evidence, Reason};
use serde::{Deserialize, Serialize};

use crate::canary::{Observed, Trial};
use crate::diagnose::{describe, diagnose};
use crate::facts::{Facts, Securityfs};
use crate::fix::fix;
use crate::sys::Answer;

/// Version of the JSON form. It changes when a field changes its meaning or goes; new fields may come without.
pub const SCHEMA: &str = "lsmready.io/check/v1";

/// The LsmNode's limit for one check's detail, and for its message and fix.
const DETAIL_MAX: usize = 2000;
const MESSAGE_MAX: usize = 4000;

/// One check of this machine.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The highest rung proved.
    pub evidence: Evidence,
    /// The code of the reason, `CanaryDenied` at the top.
    pub reason: String,
    /// The reason in a sentence, with the raw error.
    pub message: String,
    /// What to change on this machine; empty where nothing has to be.
    pub fix: String,
    /// The rungs, lowest first, then the facts that explain them.
    pub checks: Vec<Check>,
    /// The running kernel.
    pub kernel: Kernel,
    /// The active LSMs, and where they were read from.
    pub lsms: Lsms,
    /// The lockdown level; null where it could not be read.
    pub lockdown: Option<String>,
    /// This boot's id; empty where it could not be read.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    /// How long the check took, in milliseconds.
    pub duration_ms: u64,
}

/// How the report answers a requirement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Holds {
    /// The evidence reaches it.
    Yes,
    /// It was tried and does not.
    No,
    /// The first rung that is missing could not be tried.
    Untried,
}

impl Report {
    /// Puts it together.
    #[must_use]
    pub fn of(observed: &Observed, facts: &Facts, duration_ms: u64) -> Self {
        let diagnosis = diagnose(observed, facts);
        let mut checks = diagnosis.rungs;
        checks.extend(fact_checks(&observed.trial, facts));
        for check in &mut checks {
            check.detail = cut(&check.detail, DETAIL_MAX);
        }
        Self {
            schema: SCHEMA.to_owned(),
            evidence: diagnosis.evidence,
            reason: diagnosis.reason.code().to_owned(),
            message: cut(&diagnosis.message, MESSAGE_MAX),
            fix: cut(&fix(diagnosis.reason, facts), MESSAGE_MAX),
            checks,
            kernel: facts.kernel.clone(),
            lsms: facts.lsms.clone(),
            lockdown: facts.lockdown.clone(),
            boot_id: facts.boot_id.clone(),
            duration_ms,
        }
    }

    /// Whether the evidence reaches what is required, or could not be tried.
    #[must_use]
    pub fn holds(&self, required: Evidence) -> Holds {
        if self.evidence >= required {
            return Holds::Yes;
        }
        let missing = Evidence::RUNGS.into_iter().find(|rung| *rung > self.evidence);
        let check = missing.and_then(|rung| self.checks.iter().find(|check| check.name == rung.as_str()));
        match check.map(|check| check.outcome) {
            Some(Outcome::Fail) => Holds::No,
            _ => Holds::Untried,
        }
    }

    /// The same as an LsmNode's status. The time is for who writes it.
    #[must_use]
    pub fn into_status(self) -> LsmNodeStatus {
        LsmNodeStatus {
            boot_id: self.boot_id,
            observed_time: None,
            probe_version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: self.kernel,
            lsms: self.lsms,
            lockdown: self.lockdown,
            evidence: self.evidence,
            reason: self.reason,
            message: self.message,
            fix: self.fix,
            checks: self.checks,
            hook_profile: None,
        }
    }
}

/// At most so many characters.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

fn check(name: &str, outcome: Outcome, reason: Option<Reason>, detail: impl Into<String>) -> Check {
    let reason = reason.map_or_else(String::new, |reason| reason.code().to_owned());
    Check { name: name.to_owned(), outcome, reason, detail: detail.into() }
}

/// What explains the rungs, each with the raw value.
fn fact_checks(trial: &Trial, facts: &Facts) -> [Check; 6] {
    [
        active_lsms(facts),
        securityfs(facts),
        btf(facts),
        capabilities(facts),
        bpf_call(trial),
        kernel_reads(trial, facts),
    ]
}

fn active_lsms(facts: &Facts) -> Check {
    let (outcome, reason) = match facts.lists_bpf() {
        Some(true) => (Outcome::Pass, None),
        Some(false) => (Outcome::Fail, Some(Reason::BpfNotInLsmList)),
        None => (Outcome::Unknown, Some(Reason::LsmListUnknown)),
    };
    check("BpfInLsmList", outcome, reason, facts.lsms_detail.clone())
}

fn securityfs(facts: &Facts) -> Check {
    let outcome = match facts.securityfs {
        Securityfs::Mounted => Outcome::Pass,
        Securityfs::Unknown => Outcome::Unknown,
        _ => Outcome::Fail,
    };
    check("Securityfs", outcome, None, facts.securityfs.describe())
}

fn btf(facts: &Facts) -> Check {
    match &facts.btf {
        Some(Ok(btf)) => check("Btf", Outcome::Pass, None, format!("/sys/kernel/btf/vmlinux, {} bytes", btf.bytes)),
        Some(Err(unread)) if unread.missing => {
            check("Btf", Outcome::Fail, Some(Reason::BtfMissing), unread.message.clone())
        }
        Some(Err(unread)) => check("Btf", Outcome::Unknown, None, unread.message.clone()),
        None => check("Btf", Outcome::Unknown, None, "not looked for"),
    }
}

fn capabilities(facts: &Facts) -> Check {
    let Some(bits) = facts.process.capabilities else {
        return check("Capabilities", Outcome::Unknown, None, "/proc/self/status does not say");
    };
    let missing = facts.process.missing_capabilities();
    let held = format!("effective {bits:016x}");
    if facts.process.in_initial_user_namespace == Some(false) {
        let detail = format!("{held}, in a user namespace of its own, where they do not count");
        return check("Capabilities", Outcome::Fail, Some(Reason::MissingCapability), detail);
    }
    if missing.is_empty() {
        return check("Capabilities", Outcome::Pass, None, held);
    }
    let detail = format!("{held}, without {}", missing.join(" and "));
    check("Capabilities", Outcome::Fail, Some(Reason::MissingCapability), detail)
}

fn bpf_call(trial: &Trial) -> Check {
    match trial.bpf_call {
        Some(Answer(libc::EINVAL)) => check("BpfSyscall", Outcome::Pass, None, ""),
        Some(answer) => {
            check("BpfSyscall", Outcome::Fail, None, format!("bpf(2) is answered with {}", answer.describe()))
        }
        None => check("BpfSyscall", Outcome::Unknown, None, "not reached"),
    }
}

fn kernel_reads(trial: &Trial, facts: &Facts) -> Check {
    let lockdown = facts.lockdown.as_deref().unwrap_or("unknown");
    match &trial.kernel_reads {
        Some(Ok(true)) => check(KERNEL_READS_CHECK, Outcome::Pass, None, format!("lockdown={lockdown}")),
        Some(Ok(false)) => {
            let detail = format!("the verifier refuses bpf_probe_read_kernel; lockdown={lockdown}");
            check(KERNEL_READS_CHECK, Outcome::Fail, Some(Reason::KernelReadsForbidden), detail)
        }
        Some(Err(failure)) => {
            check(KERNEL_READS_CHECK, Outcome::Unknown, Some(Reason::KernelReadsUnknown), describe(failure))
        }
        None => check(KERNEL_READS_CHECK, Outcome::Unknown, Some(Reason::KernelReadsUnknown), "not reached"),
    }
}
