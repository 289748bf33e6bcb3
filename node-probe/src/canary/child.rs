//! The child's side: makes the canary's steps, one after the other, as far as the kernel allows.
//!
//! In: a function to report to. Out: the [`CanaryResult`], reported after every step.

use std::time::Instant;

use aya::Btf;
use aya::programs::ProgramType;
use aya::sys::{BpfHelper, is_helper_supported, is_program_supported};

use super::loader::{self, Loaded};
use super::result::{CanaryResult, Failure, FailureKind, Step};
use crate::sys::{self, Answer};

/// "LSMB", far from every PR_* that Linux defines. `probe-ebpf/src/canary.rs` denies calls with
/// this option.
pub const CANARY_OPTION: i32 = 0x4c53_4d42;

/// Makes the steps, and calls `report` with the result so far after each of them.
pub fn run(report: &mut dyn FnMut(&CanaryResult)) {
    let mut steps = Steps { result: CanaryResult::default(), report };
    // The failed step has noted its error already.
    let refused = steps.climb().is_none();
    steps.compare(refused);
    steps.result.finished = true;
    steps.report();
}

struct Steps<'a> {
    result: CanaryResult,
    report: &'a mut dyn FnMut(&CanaryResult),
}

impl Steps<'_> {
    fn report(&mut self) {
        (self.report)(&self.result);
    }

    /// Stores and reports how a step ended. Returns the step's value if the next step can follow.
    fn note<T>(
        &mut self,
        field: fn(&mut CanaryResult) -> &mut Option<Step>,
        ended: Result<T, Failure>,
    ) -> Option<T> {
        let (step, value) = match ended {
            Ok(value) => (Ok(()), Some(value)),
            Err(failure) => (Err(failure), None),
        };
        *field(&mut self.result) = Some(step);
        self.report();
        value
    }

    fn climb(&mut self) -> Option<()> {
        self.result.bpf_call = Some(sys::bpf_without_command());
        self.report();
        let nonce = self.nonce()?;
        self.result.before = Some(call(nonce));
        let btf = self.note(|result| &mut result.btf, loader::read_btf())?;
        let mut canary = self.note(|result| &mut result.maps, loader::create_maps(&btf, nonce))?;
        self.note(|result| &mut result.load, canary.load(&btf))?;
        self.deny(&mut canary, btf, nonce)
    }

    fn nonce(&mut self) -> Option<[u64; 2]> {
        let nonce = sys::random_nonce().map_err(|error| Failure {
            kind: FailureKind::Other,
            errno: error.raw_os_error(),
            message: "getrandom(2) returned no random bits".to_owned(),
            verifier_log: String::new(),
        });
        match nonce {
            Ok(nonce) => Some(nonce),
            Err(failure) => self.note(|result| &mut result.maps, Err(failure)),
        }
    }

    /// Attaches, calls and detaches. Every prctl on the machine is slower in between, so nothing
    /// else is done there.
    fn deny(&mut self, canary: &mut Loaded, btf: Btf, nonce: [u64; 2]) -> Option<()> {
        drop(btf);
        let attached = Instant::now();
        let link = self.note(|result| &mut result.attach, canary.attach())?;
        self.result.ours = Some(call(nonce));
        self.result.wrong_nonce = Some(call([nonce[0], !nonce[1]]));
        let detached = canary.detach(link);
        self.result.attached_us = u64::try_from(attached.elapsed().as_micros()).ok();
        self.result.after = Some(call(nonce));
        self.result.fired = canary.fired().ok();
        if let Err(failure) = detached {
            self.result.attach = Some(Err(failure));
        }
        self.report();
        Some(())
    }

    /// Tries what helps to explain the result, after the canary is detached.
    fn compare(&mut self, refused: bool) {
        if refused {
            self.result.plain_load = Some(plain_load());
        }
        let reads =
            is_helper_supported(ProgramType::SocketFilter, BpfHelper::BPF_FUNC_probe_read_kernel);
        self.result.kernel_reads = Some(reads.map_err(|error| loader::program_failure(&error)));
    }
}

/// The canary's call.
fn call(nonce: [u64; 2]) -> Answer {
    sys::prctl(CANARY_OPTION, nonce[0], nonce[1])
}

/// Loads two instructions as a socket filter, a type that policies about LSM programs do not
/// concern.
fn plain_load() -> Step {
    match is_program_supported(ProgramType::SocketFilter) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure {
            kind: FailureKind::Program,
            errno: Some(libc::EINVAL),
            message: "the kernel does not know socket filters".to_owned(),
            verifier_log: String::new(),
        }),
        Err(error) => Err(loader::program_failure(&error)),
    }
}
