//! What a run of the canary leaves behind: the raw answer of each step, as data.
//!
//! In: nothing. Out: the types that the child writes, the parent reads and `report::diagnose`
//! judges.

use serde::{Deserialize, Serialize};

use crate::sys::Answer;

/// How a step ended.
pub type Step = Result<(), Failure>;

/// Why a step failed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Failure {
    /// The part of the canary that failed.
    pub kind: FailureKind,
    /// The errno, if a system call was refused.
    pub errno: Option<i32>,
    /// The error in words.
    pub message: String,
    /// The verifier's log. Empty if the verifier was not reached or logged nothing.
    #[serde(default)]
    pub verifier_log: String,
}

/// The kinds of failure that lead to different reasons.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum FailureKind {
    /// `/sys/kernel/btf/vmlinux` could not be read.
    BtfUnreadable,
    /// `/sys/kernel/btf/vmlinux` is not valid BTF.
    BtfInvalid,
    /// BTF has no `bpf_lsm_task_prctl`.
    HookNotInBtf,
    /// A map could not be created.
    Map,
    /// The program was refused.
    Program,
    /// Anything else; the message says what.
    Other,
}

/// Everything that one run of the canary showed. A field is `None` if its step was not reached.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct CanaryResult {
    /// bpf(2) with a command that does not exist. EINVAL if BPF itself answers.
    pub bpf_call: Option<Answer>,
    /// The canary's prctl before anything is loaded. EINVAL if the kernel itself answers.
    pub before: Option<Answer>,
    /// Reading the kernel's BTF.
    pub btf: Option<Step>,
    /// Creating the object's maps.
    pub maps: Option<Step>,
    /// Loading the program, which the verifier checks.
    pub load: Option<Step>,
    /// Attaching the program to its hook.
    pub attach: Option<Step>,
    /// The canary's prctl while attached. EKEYREJECTED if the program denies it.
    pub ours: Option<Answer>,
    /// The same prctl with a wrong nonce, while attached. EINVAL if only our own call is denied.
    pub wrong_nonce: Option<Answer>,
    /// How many calls of ours the program counted.
    pub fired: Option<u64>,
    /// The canary's prctl after detaching. EINVAL again.
    pub after: Option<Answer>,
    /// How long the program was attached, in microseconds.
    pub attached_us: Option<u64>,
    /// Loading a program of another type, for comparison. Tried only if ours was refused.
    pub plain_load: Option<Step>,
    /// Whether a program that calls `bpf_probe_read_kernel` may be loaded.
    pub kernel_reads: Option<Result<bool, Failure>>,
    /// Whether the child made all of its steps.
    pub finished: bool,
}
