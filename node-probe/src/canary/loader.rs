//! Loads and attaches the canary's program with aya, and turns aya's errors into raw [`Failure`]s.
//!
//! In: the kernel's BTF and this run's nonce. Out: a [`Loaded`] canary; dropping it detaches and frees everything.

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

/// The canary's maps and program, in this process alone.
pub struct Loaded(Ebpf);

/// Reads the running kernel's BTF. This costs about 18 MB of memory until it is dropped.
///
/// # Errors
/// Where `/sys/kernel/btf/vmlinux` is missing, unreadable or not BTF.
pub fn read_btf() -> Result<Btf, Failure> {
    Btf::from_sys_fs().map_err(|error| btf_failure(&error))
}

/// Makes the maps, with the nonce as constant data of the program to be loaded.
///
/// # Errors
/// Where the kernel refuses a map.
pub fn make_maps(btf: &Btf, nonce: [u64; 2]) -> Result<Loaded, Failure> {
    let loaded = EbpfLoader::new()
        .btf(Some(btf))
        .override_global(NONCE, &nonce[..], true)
        // Without statistics, which differ from one try to the next and would make each look like news.
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

    /// Hands the program to the verifier.
    ///
    /// # Errors
    /// Where BTF has no such hook or the kernel refuses the program.
    pub fn load(&mut self, btf: &Btf) -> Result<(), Failure> {
        self.program()?.load(HOOK, btf).map_err(|error| program_failure(&error))
    }

    /// Attaches the program to its hook.
    ///
    /// # Errors
    /// Where the kernel refuses to.
    pub fn attach(&mut self) -> Result<LsmLinkId, Failure> {
        self.program()?.attach().map_err(|error| program_failure(&error))
    }

    /// Detaches it again. The kernel has taken the program off the hook when this returns.
    ///
    /// # Errors
    /// Where the link is gone already.
    pub fn detach(&mut self, link: LsmLinkId) -> Result<(), Failure> {
        self.program()?.detach(link).map_err(|error| program_failure(&error))
    }

    /// How often the program denied its call.
    ///
    /// # Errors
    /// Where the counter cannot be read.
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

/// A refused program, with the verifier's log beside the errno rather than in the message.
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

/// The errno of an error; std itself makes one without, where a file does not fit into memory.
fn errno_of(error: &io::Error) -> Option<i32> {
    error.raw_os_error().or((error.kind() == io::ErrorKind::OutOfMemory).then_some(libc::ENOMEM))
}

/// Any error, with its causes in one line and the errno at the bottom of them.
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
    // Some of aya's errors print their cause themselves.
    lines.dedup_by(|cause, outer| outer.contains(cause.as_str()));
    Failure { kind, errno, message: lines.join(": "), verifier_log: String::new() }
}
