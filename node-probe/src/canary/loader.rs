//! Loads and attaches the canary's program with aya, and turns aya's errors into raw [`Failure`]s.
//!
//! In: the kernel's BTF and the nonce of this run. Out: a [`Loaded`] canary. Dropping it detaches
//! and frees everything.

use std::error::Error;
use std::io;

use aya::maps::{Array, MapError};
use aya::programs::lsm::LsmLinkId;
use aya::programs::{Lsm, ProgramError};
use aya::{Btf, BtfError, Ebpf, EbpfError, EbpfLoader, VerifierLogLevel};

use super::result::{Failure, FailureKind};
use crate::sys::describe_errno;

/// The object that the build script compiles from `probe-ebpf/`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/probe.o"));

const PROGRAM: &str = "canary";
const HOOK: &str = "task_prctl";
const NONCE: &str = "CANARY_NONCE";
const FIRED: &str = "CANARY_FIRED";

/// The canary's maps and program. Only this process holds them.
pub struct Loaded(Ebpf);

/// Reads the running kernel's BTF, which takes about 18 MB of memory until it is dropped.
pub fn read_btf() -> Result<Btf, Failure> {
    Btf::from_sys_fs().map_err(|error| btf_failure(&error))
}

/// Creates the maps, with the nonce as constant data of the program.
pub fn create_maps(btf: &Btf, nonce: [u64; 2]) -> Result<Loaded, Failure> {
    let loaded = EbpfLoader::new()
        .btf(Some(btf))
        .override_global(NONCE, &nonce[..], true)
        // No statistics: they differ from run to run, and each difference would cause a write of
        // the report.
        .verifier_log_level(VerifierLogLevel::DEBUG)
        .load(OBJECT);
    loaded.map(Loaded).map_err(|error| match &error {
        EbpfError::BtfError(error) => btf_failure(error),
        EbpfError::MapError(_) => failure(FailureKind::Map, &error),
        _ => failure(FailureKind::Other, &error),
    })
}

impl Loaded {
    fn program(&mut self) -> Result<&mut Lsm, Failure> {
        let program = self.0.program_mut(PROGRAM).ok_or_else(|| missing(PROGRAM))?;
        program.try_into().map_err(|error: ProgramError| program_failure(&error))
    }

    /// Loads the program, which the verifier checks.
    pub fn load(&mut self, btf: &Btf) -> Result<(), Failure> {
        self.program()?.load(HOOK, btf).map_err(|error| program_failure(&error))
    }

    pub fn attach(&mut self) -> Result<LsmLinkId, Failure> {
        self.program()?.attach().map_err(|error| program_failure(&error))
    }

    /// Detaches the program. When this returns, the kernel has taken it off the hook.
    pub fn detach(&mut self, link: LsmLinkId) -> Result<(), Failure> {
        self.program()?.detach(link).map_err(|error| program_failure(&error))
    }

    /// How many calls the program denied.
    pub fn fired(&self) -> Result<u64, Failure> {
        let map = self.0.map(FIRED).ok_or_else(|| missing(FIRED))?;
        let counter: Array<_, u64> = Array::try_from(map).map_err(|error| map_failure(&error))?;
        counter.get(&0, 0).map_err(|error| map_failure(&error))
    }
}

fn missing(name: &str) -> Failure {
    let message = format!("the probe's own object has no {name}");
    Failure { kind: FailureKind::Other, errno: None, message, verifier_log: String::new() }
}

fn map_failure(error: &MapError) -> Failure {
    failure(FailureKind::Map, error)
}

fn btf_failure(error: &BtfError) -> Failure {
    let kind = match error {
        BtfError::FileError { .. } => FailureKind::BtfUnreadable,
        BtfError::UnknownBtfTypeName { .. } => FailureKind::HookNotInBtf,
        _ => FailureKind::BtfInvalid,
    };
    failure(kind, error)
}

/// The failure of a refused program. The verifier's log has its own field and is not part of the
/// message.
pub fn program_failure(error: &ProgramError) -> Failure {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => Failure {
            kind: FailureKind::Program,
            errno: io_error.raw_os_error(),
            message: "BPF_PROG_LOAD was refused".to_owned(),
            verifier_log: verifier_log.to_string().trim_matches(['\0', '\n', ' ']).to_owned(),
        },
        ProgramError::Btf(error) => btf_failure(error),
        error => failure(FailureKind::Program, error),
    }
}

/// The errno of an error. std makes an error without one if a file does not fit into memory.
fn errno_of(error: &io::Error) -> Option<i32> {
    error.raw_os_error().or((error.kind() == io::ErrorKind::OutOfMemory).then_some(libc::ENOMEM))
}

/// Any error, with its causes in one line and the errno of the deepest cause.
fn failure(kind: FailureKind, error: &(dyn Error + 'static)) -> Failure {
    let mut lines = Vec::new();
    let mut errno = None;
    let mut cause = Some(error);
    while let Some(error) = cause {
        let refusal = error.downcast_ref::<io::Error>().and_then(errno_of);
        lines.push(refusal.map_or_else(|| error.to_string(), describe_errno));
        errno = refusal.or(errno);
        cause = error.source();
    }
    // Some of aya's errors print their cause too: drop the cause then.
    lines.dedup_by(|cause, outer| outer.contains(cause.as_str()));
    Failure { kind, errno, message: lines.join(": "), verifier_log: String::new() }
}
