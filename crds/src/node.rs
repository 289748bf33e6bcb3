//! `LsmNode`: what one node's probe found out about this boot. It has the Node's name, is owned by
//! the Node, and has only a status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::Evidence;
use crate::lenient;
use crate::schema;
use crate::state::State;

/// The content of an `LsmNode`, which has no spec.
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
    doc = "An LsmNode is the report of the probe on the Node of the same name: what the probe \
           proved about LSM BPF in the node's current boot. Only that probe writes it.",
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
    /// Content of `/proc/sys/kernel/random/boot_id` at the time of the report. Evidence belongs to
    /// a boot: where the Node's `status.nodeInfo.bootID` differs, the report does not count.
    #[serde(rename = "bootID", default)]
    #[schemars(length(max = 64), regex(pattern = "^[ -~]*$"))]
    pub boot_id: String,
    /// Time of the report, by the probe's clock. The probe renews it every half hour, which shows
    /// that the probe still runs.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::or_default"
    )]
    #[schemars(schema_with = "schema::optional_time")]
    pub observed_time: Option<Time>,
    /// Version of the probe that wrote the report.
    #[serde(default)]
    #[schemars(length(max = 64), regex(pattern = "^[ -~]*$"))]
    pub probe_version: String,
    /// The running kernel.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub kernel: Kernel,
    /// The Linux Security Modules that the kernel lists as active. The list explains failures and
    /// is never evidence.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub lsms: Lsms,
    /// Kernel lockdown: `none`, `integrity` or `confidentiality`. Absent where it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = "^[ -~]*$"))]
    pub lockdown: Option<String>,
    /// Whether the kernel has securityfs, and whether it is mounted. The verdict does not depend on
    /// it.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub securityfs: Securityfs,
    /// The highest rung of evidence that the canary program reached.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub evidence: Evidence,
    /// Time of the repair, by the node's clock: since then the evidence is Denied, after an earlier
    /// report of this boot had shown that the node could not deny. Absent where no report of this
    /// boot had shown that. A process that started before this time, and outside every span of
    /// deniedBefore, started on a kernel that could not deny.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::or_default"
    )]
    #[schemars(schema_with = "schema::optional_time")]
    pub denied_since: Option<Time>,
    /// Time since which reports of this boot show that the node cannot deny. Reports that show
    /// neither keep it. Absent while the evidence is Denied.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::or_default"
    )]
    #[schemars(schema_with = "schema::optional_time")]
    pub refused_since: Option<Time>,
    /// The last eight earlier spans of this boot in which the evidence was Denied, oldest first.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "lenient::readable_items"
    )]
    #[schemars(length(max = 8))]
    pub denied_before: Vec<Span>,
    /// Why the evidence is not higher, or `CanaryDenied` at the highest rung. docs/reasons.md
    /// explains the codes.
    #[serde(default)]
    #[schemars(length(max = 64), regex(pattern = schema::CODE))]
    pub reason: String,
    /// The reason in a sentence, with the error that the kernel returned.
    #[serde(default)]
    #[schemars(length(max = 4096), regex(pattern = schema::PRINTABLE))]
    pub message: String,
    /// What to change on this node. Empty where nothing has to be or can be changed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 4096), regex(pattern = schema::PRINTABLE))]
    pub fix: String,
    /// Everything that the probe checked, with its outcome.
    #[serde(default, deserialize_with = "lenient::readable_items")]
    #[schemars(schema_with = "checks_schema")]
    pub checks: Vec<Check>,
    /// Name of the `LsmHookProfile` for this kernel. Absent where the hook trial was not made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = "^([0-9a-f]{64})?$"))]
    pub hook_profile: Option<String>,
}

/// The running kernel, from `uname(2)`.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Kernel {
    /// Release of the kernel, as `uname -r` prints it.
    #[serde(default)]
    #[schemars(length(max = 128), regex(pattern = "^[ -~]*$"))]
    pub release: String,
    /// Machine type, as `uname -m` prints it.
    #[serde(default)]
    #[schemars(length(max = 64), regex(pattern = "^[ -~]*$"))]
    pub machine: String,
}

/// The active Linux Security Modules, in the kernel's order.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Lsms {
    /// Names of the active LSMs. Empty where they could not be read.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(max = 64), regex(pattern = "^[A-Za-z0-9_.-]+$")))]
    pub active: Vec<String>,
    /// Source of the list.
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
    /// The list could not be read.
    #[default]
    Unknown,
}

/// What the node has at `/sys/kernel/security`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum Securityfs {
    /// securityfs is mounted.
    Mounted,
    /// The directory exists and is empty: the kernel has securityfs, but it is not mounted.
    NotMounted,
    /// The directory does not exist: the kernel was built without `CONFIG_SECURITYFS`, and
    /// securityfs cannot be mounted.
    NotInKernel,
    /// The directory could not be read.
    #[default]
    Unknown,
}

/// The schema of the checks of a report. All their texts together are bounded, so that a report has
/// at most about 64 thousand characters.
fn checks_schema(generator: &mut SchemaGenerator) -> Schema {
    let check = generator.subschema_for::<Check>();
    let size = |field: &str| format!("(has(c.{field}) ? size(c.{field}) : 0)");
    let rule =
        format!("self.map(c, {} + {}).sum() <= {MAX_CHECK_TEXTS}", size("detail"), size("fix"));
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "items": check,
        "x-kubernetes-validations": [{
            "rule": rule,
            "message": format!(
                "all details and fixes together have at most {MAX_CHECK_TEXTS} characters"
            ),
        }],
    })
}

/// Maximum number of characters in the details and fixes of all checks. Our probe writes less than
/// 34,000: 15 details of at most 2,000 characters, and one fix of at most 4,000.
const MAX_CHECK_TEXTS: u32 = 49_152;

/// One check of the probe.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Check {
    /// Name of the check: a rung (`Loaded`, `Attached`, `Fired`, `Denied`), or a fact that explains
    /// a rung.
    #[schemars(length(max = 64), regex(pattern = schema::CODE))]
    pub name: String,
    /// Result of the check: `Pass`, `Fail`, or `Unknown` where it could not be tried.
    pub outcome: State,
    /// Code of the outcome. Empty where the check passed without a remark.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64), regex(pattern = schema::CODE))]
    pub reason: String,
    /// What was found: a value, an error number, or the verifier's log.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 2048), regex(pattern = schema::PRINTABLE))]
    pub detail: String,
    /// What to change on this node so that the check passes, where a policy can require the check.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 4096), regex(pattern = schema::PRINTABLE))]
    pub fix: String,
}

/// Name of the check whether programs may use `bpf_probe_read_kernel`.
pub const KERNEL_READS_CHECK: &str = "KernelReads";

/// A span of time in which the node's reports showed that it could deny.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Span {
    /// Beginning of the span. Absent where the first report of the boot had the evidence Denied.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::or_default"
    )]
    #[schemars(schema_with = "schema::optional_time")]
    pub from: Option<Time>,
    /// Time of the last report with the evidence Denied.
    #[schemars(schema_with = "schema::time")]
    pub until: Time,
}

impl Span {
    /// Whether the moment lies in the span.
    #[must_use]
    pub fn has(&self, moment: &Time) -> bool {
        self.from.as_ref().is_none_or(|from| from.0 <= moment.0) && moment.0 <= self.until.0
    }
}

/// Maximum number of spans in a report.
pub const SPANS: usize = 8;

impl LsmNodeStatus {
    /// The check with that name.
    #[must_use]
    pub fn check(&self, name: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }
}
