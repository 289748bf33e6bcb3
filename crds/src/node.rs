//! `LsmNode`: what one node's probe has found out about this boot. Named as the Node, owned by it, status only.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Evidence;
use crate::state::State;

/// An `LsmNode` has nothing to be asked for: its content is its status.
#[derive(
    CustomResource, KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize,
)]
#[kube(
    group = "lsmready.io",
    version = "v1alpha1",
    kind = "LsmNode",
    plural = "lsmnodes",
    shortname = "ln",
    category = "lsm-ready",
    no_spec,
    status = "LsmNodeStatus",
    derive = "PartialEq",
    doc = "What the probe on the Node of the same name has proved about LSM BPF in the node's present boot. Written by that probe alone.",
    printcolumn(name = "Evidence", type_ = "string", json_path = ".status.evidence"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason"),
    printcolumn(name = "Kernel", type_ = "string", json_path = ".status.kernel.release"),
    printcolumn(
        name = "LSMs",
        type_ = "string",
        json_path = ".status.lsms.active",
        priority = "1"
    ),
    printcolumn(name = "Observed", type_ = "date", json_path = ".status.observedTime")
)]
pub struct LsmNodeContent {}

/// The probe's report.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LsmNodeStatus {
    /// `/proc/sys/kernel/random/boot_id` at the time of the report. Evidence belongs to a boot: where the Node's own
    /// `status.nodeInfo.bootID` differs, this report says nothing about it.
    #[serde(rename = "bootID", default)]
    #[schemars(length(max = 64))]
    pub boot_id: String,
    /// When the probe last looked (its own clock). Renewed slowly, so that silence can be told from health.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_time: Option<Time>,
    /// Version of the probe that wrote this.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub probe_version: String,
    /// The running kernel.
    #[serde(default)]
    pub kernel: Kernel,
    /// The Linux Security Modules that the kernel lists as active. A hint that explains a failure; never evidence.
    #[serde(default)]
    pub lsms: Lsms,
    /// Kernel lockdown: `none`, `integrity`, `confidentiality`, or absent where it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub lockdown: Option<String>,
    /// Whether this kernel has securityfs, and whether it is mounted. The verdict does not need it.
    #[serde(default)]
    pub securityfs: Securityfs,
    /// The highest rung that the canary climbed.
    #[serde(default)]
    pub evidence: Evidence,
    /// Since when the evidence is Denied, by the node's clock, where an earlier report of the same boot had shown that it was
    /// not. Renewed at each such repair. Absent where no report of this boot had shown that. What was started before this
    /// time, and in no span of deniedBefore, has met a kernel that could not deny.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied_since: Option<Time>,
    /// Since when reports of this boot show that it cannot deny. Kept by reports that show neither, absent while the evidence is
    /// Denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_since: Option<Time>,
    /// Earlier spans of this boot in which the evidence was Denied, oldest first; the last eight of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub denied_before: Vec<Span>,
    /// Why it is no higher, or `CanaryDenied` at the top: one of the codes in docs/reasons.md.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub reason: String,
    /// The reason in a sentence, with the raw error.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub message: String,
    /// What to change on this very node; empty where nothing has to be or can be.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 4096))]
    pub fix: String,
    /// Each thing that was looked at, with its outcome.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub checks: Vec<Check>,
    /// Name of the `LsmHookProfile` that holds for this kernel, where the trial was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub hook_profile: Option<String>,
}

/// The running kernel, as `uname(2)` tells it.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Kernel {
    /// `uname -r`.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub release: String,
    /// `uname -m`.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub machine: String,
}

/// The active Linux Security Modules, in the kernel's order.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Lsms {
    /// Their names; empty where they could not be read.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(max = 64)))]
    pub active: Vec<String>,
    /// Where they were read from.
    #[serde(default)]
    pub source: LsmSource,
}

/// Where the list of active LSMs came from.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum LsmSource {
    /// `lsm_list_modules(2)`, from Linux 6.8.
    Syscall,
    /// `/sys/kernel/security/lsm`.
    Securityfs,
    /// It could not be read.
    #[default]
    Unknown,
}

/// What the node has at `/sys/kernel/security`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum Securityfs {
    /// securityfs is mounted.
    Mounted,
    /// The directory is there and empty: the kernel has securityfs, and it is not mounted.
    NotMounted,
    /// There is no such directory: the kernel was built without `CONFIG_SECURITYFS`, and securityfs cannot be mounted.
    NotInKernel,
    /// It could not be read.
    #[default]
    Unknown,
}

/// One thing that the probe looked at.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Check {
    /// What: one of the rungs (`Loaded`, `Attached`, `Fired`, `Denied`) or a fact that explains them.
    #[schemars(length(max = 64))]
    pub name: String,
    /// How it ended.
    pub outcome: State,
    /// A code for the outcome; empty where it passed without remark.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub reason: String,
    /// The raw evidence: a value read, an errno, the verifier's log.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 2048))]
    pub detail: String,
    /// What to change on this very node so that it passes, where a policy can ask for that by itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 4096))]
    pub fix: String,
}

/// Name of the check that says whether programs may use `bpf_probe_read_kernel`.
pub const KERNEL_READS_CHECK: &str = "KernelReads";

/// A span of time in which a node could deny, as its reports showed.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Span {
    /// Its beginning; absent where the boot's first report said Denied already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Time>,
    /// The last report that said Denied.
    pub until: Time,
}

impl Span {
    /// The moment lies in it.
    #[must_use]
    pub fn has(&self, moment: &Time) -> bool {
        self.from.as_ref().is_none_or(|from| from.0 <= moment.0) && moment.0 <= self.until.0
    }
}

/// Most spans that a report keeps.
pub const SPANS: usize = 8;

/// Whether the proved evidence is enough. Where it is not, the check of the first missing rung tells a
/// failed trial (`NotReady`) from one that could not be made (`Unknown`).
#[must_use]
pub fn evidence_state(proved: Evidence, checks: &[Check], required: Evidence) -> State {
    if proved >= required {
        return State::Ready;
    }
    let missing = Evidence::RUNGS.into_iter().find(|rung| *rung > proved).map(Evidence::as_str);
    let check = checks.iter().find(|check| Some(check.name.as_str()) == missing);
    // A report without the check was not written by our probe. Its evidence is too low all the same.
    match check.map_or(State::NotReady, |check| check.outcome) {
        State::Ready | State::NotReady => State::NotReady,
        State::Unknown => State::Unknown,
    }
}

impl LsmNodeStatus {
    /// The check of that name.
    #[must_use]
    pub fn check(&self, name: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }

    /// The two reports say the same, whenever they were made and whatever was said before them.
    #[must_use]
    pub fn equal_but_for_time(&self, other: &Self) -> bool {
        let timeless = |status: &Self| Self {
            observed_time: None,
            denied_since: None,
            refused_since: None,
            denied_before: Vec::new(),
            ..status.clone()
        };
        timeless(self) == timeless(other)
    }
}
