//! The child's side: climbs the rungs, one after the other, as far as the kernel lets it.
//!
//! In: a place to report to. Out: the trial, reported after every step.

use std::time::Instant;

use aya::Btf;
use aya::programs::ProgramType;
use aya::sys::{BpfHelper, is_helper_supported, is_program_supported};

use super::loader::{self, Loaded};
use super::result::{CanaryResult, Failure, FailureKind, Step};
use crate::sys::{self, Answer};

/// "LSMB": far from every PR_* that Linux defines. `probe-ebpf/src/canary.rs` denies calls with this option.
pub const CANARY_OPTION: i32 = 0x4c53_4d42;

/// Climbs, and calls `report` with the trial so far after each step.
pub fn run(report: &mut dyn FnMut(&CanaryResult)) {
    let mut climber = Steps { trial: CanaryResult::default(), report };
    // The error is in the trial already.
    let refused = climber.climb().is_none();
    climber.compare(refused);
    climber.trial.finished = true;
    climber.say();
}

struct Steps<'a> {
    trial: CanaryResult,
    report: &'a mut dyn FnMut(&CanaryResult),
}

impl Steps<'_> {
    fn say(&mut self) {
        (self.report)(&self.trial);
    }

    /// Notes how a step ended; its value if it is to go on.
    fn note<T>(
        &mut self,
        field: fn(&mut CanaryResult) -> &mut Option<Step>,
        result: Result<T, Failure>,
    ) -> Option<T> {
        let (step, value) = match result {
            Ok(value) => (Ok(()), Some(value)),
            Err(failure) => (Err(failure), None),
        };
        *field(&mut self.trial) = Some(step);
        self.say();
        value
    }

    fn climb(&mut self) -> Option<()> {
        self.trial.bpf_call = Some(sys::bpf_without_command());
        self.say();
        let nonce = self.nonce()?;
        self.trial.before = Some(call(nonce));
        let btf = self.note(|trial| &mut trial.btf, loader::read_btf())?;
        let mut canary = self.note(|trial| &mut trial.maps, loader::make_maps(&btf, nonce))?;
        self.note(|trial| &mut trial.load, canary.load(&btf))?;
        self.deny(&mut canary, btf, nonce)
    }

    fn nonce(&mut self) -> Option<[u64; 2]> {
        let nonce = sys::random_nonce().map_err(|error| Failure {
            kind: FailureKind::Other,
            errno: error.raw_os_error(),
            message: "getrandom(2) gave no nonce".to_owned(),
            verifier_log: String::new(),
        });
        match nonce {
            Ok(nonce) => Some(nonce),
            Err(failure) => self.note(|trial| &mut trial.maps, Err(failure)),
        }
    }

    /// Everything between attaching and detaching, which other processes' prctl pays for: as little as can be.
    fn deny(&mut self, canary: &mut Loaded, btf: Btf, nonce: [u64; 2]) -> Option<()> {
        drop(btf);
        let attached = Instant::now();
        let link = self.note(|trial| &mut trial.attach, canary.attach())?;
        self.trial.ours = Some(call(nonce));
        self.trial.wrong_nonce = Some(call([nonce[0], !nonce[1]]));
        let detached = canary.detach(link);
        self.trial.attached_us = u64::try_from(attached.elapsed().as_micros()).ok();
        self.trial.after = Some(call(nonce));
        self.trial.fired = canary.fired().ok();
        if let Err(failure) = detached {
            self.trial.attach = Some(Err(failure));
        }
        self.say();
        Some(())
    }

    /// What else helps to explain the outcome, once nothing is attached any more.
    fn compare(&mut self, refused: bool) {
        if refused {
            self.trial.plain_load = Some(plain_load());
        }
        let reads =
            is_helper_supported(ProgramType::SocketFilter, BpfHelper::BPF_FUNC_probe_read_kernel);
        self.trial.kernel_reads = Some(reads.map_err(|error| loader::program_failure(&error)));
    }
}

/// The canary's call.
fn call(nonce: [u64; 2]) -> Answer {
    sys::prctl(CANARY_OPTION, nonce[0], nonce[1])
}

/// Loads two instructions as a socket filter: a type that no LSM policy is about.
fn plain_load() -> Step {
    match is_program_supported(ProgramType::SocketFilter) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure {
            kind: FailureKind::Program,
            errno: Some(libc::EINVAL),
            message: "the kernel knows no socket filters".to_owned(),
            verifier_log: String::new(),
        }),
        Err(error) => Err(loader::program_failure(&error)),
    }
}
