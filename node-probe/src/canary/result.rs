//! What a canary's run leaves behind: the raw answer of each step, as data.
//!
//! In: nothing. Out: the types that the child writes, the parent reads and `diagnose` judges.

use serde::{Deserialize, Serialize};

use crate::sys::Answer;

/// How a step ended.
pub type Step = Result<(), Failure>;

/// What a step failed with, as raw as it came.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Failure {
    /// What kind of step refused.
    pub kind: FailureKind,
    /// The errno, where a system call refused.
    pub errno: Option<i32>,
    /// The error in words.
    pub message: String,
    /// What the verifier said; empty where it was not reached or said nothing.
    #[serde(default)]
    pub verifier_log: String,
}

/// The kinds of failure that lead to different reasons.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum FailureKind {
    /// `/sys/kernel/btf/vmlinux` could not be read.
    BtfUnreadable,
    /// It was read and is not valid BTF.
    BtfInvalid,
    /// BTF has no `bpf_lsm_task_prctl`.
    HookNotInBtf,
    /// A map could not be made.
    Map,
    /// The program was refused.
    Program,
    /// Anything else: the message says what.
    Other,
}

/// Everything that one run of the canary showed. A field that is `None` was not reached.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct CanaryResult {
    /// bpf(2) with a command that does not exist; EINVAL where BPF itself answers.
    pub bpf_call: Option<Answer>,
    /// The canary's prctl before anything is loaded; EINVAL where the kernel itself answers.
    pub before: Option<Answer>,
    /// The kernel's BTF was read.
    pub btf: Option<Step>,
    /// The object's maps were made.
    pub maps: Option<Step>,
    /// The verifier took the program.
    pub load: Option<Step>,
    /// The program was attached to its hook.
    pub attach: Option<Step>,
    /// The canary's prctl while attached; EKEYREJECTED where it denies.
    pub ours: Option<Answer>,
    /// The same with a wrong nonce, while attached; EINVAL where only ours is denied.
    pub wrong_nonce: Option<Answer>,
    /// How often the program counted a call of ours.
    pub fired: Option<u64>,
    /// The canary's prctl after detaching; EINVAL again.
    pub after: Option<Answer>,
    /// How long it was attached, in microseconds.
    pub attached_us: Option<u64>,
    /// A program of a type that is no LSM program was loaded, for comparison; tried where ours was refused.
    pub plain_load: Option<Step>,
    /// A program that calls `bpf_probe_read_kernel` may be loaded.
    pub kernel_reads: Option<Result<bool, Failure>>,
    /// The child got to its end.
    pub finished: bool,
}
