//! The canary: denies one prctl that nobody else makes, and counts how often it did.
//!
//! In: `CANARY_NONCE`, 128 random bits of this run. Out: `CANARY_FIRED[0]`, and `-EKEYREJECTED` for
//! `prctl(CANARY_OPTION, nonce[0], nonce[1])`. Every other prctl of the system goes on untouched.

use aya_ebpf::{
    macros::{lsm, map},
    maps::Array,
    programs::LsmContext,
};

/// "LSMB": far from every PR_* that Linux defines, so the kernel's own answer to it is EINVAL.
/// node-probe calls with the same number (in `node-probe/src/canary/`).
const CANARY_OPTION: i32 = 0x4c53_4d42;

/// EKEYREJECTED: no prctl of the kernel's own ends with it.
const CANARY_ERRNO: i32 = 129;

/// This run's nonce, written by the loader before the program is loaded; zero in the object.
#[unsafe(no_mangle)]
static CANARY_NONCE: [u64; 2] = [0; 2];

/// How often the canary denied its call.
#[map]
static CANARY_FIRED: Array<u64> = Array::with_max_entries(1, 0);

// LSM_HOOK(int, -ENOSYS, task_prctl, int option, unsigned long arg2, unsigned long arg3,
//          unsigned long arg4, unsigned long arg5)                     include/linux/lsm_hook_defs.h
//
// A sixth context slot holds the answer of the BPF programs before this one. It is not read, as it
// is always 0: the trampoline runs LSM programs as "modify return" and stops at the first that
// answers anything else (invoke_bpf_mod_ret in arch/*/net/bpf_jit_comp.c). After a 0 it calls
// bpf_lsm_task_prctl itself, whose -ENOSYS makes the kernel go on with its own prctl, so 0 is "not
// our business" here and not "handled, succeeded".
/// The program on `task_prctl`.
#[lsm(hook = "task_prctl")]
pub fn canary(ctx: LsmContext) -> i32 {
    let (option, high, low): (i32, u64, u64) = (ctx.arg(0), ctx.arg(1), ctx.arg(2));
    if option != CANARY_OPTION || !is_this_run(high, low) {
        return 0;
    }
    if let Some(fired) = CANARY_FIRED.get_ptr_mut(0) {
        // SAFETY: the pointer comes from the map, which outlives the program; the probe's child is
        // one thread, and no other process knows the nonce, so nobody else writes.
        unsafe { *fired += 1 };
    }
    -CANARY_ERRNO
}

/// A nonce of zeros was never set, and then no call is ours.
#[inline(always)]
fn is_this_run(high: u64, low: u64) -> bool {
    // SAFETY: reads of a live static. Volatile, as the compiler would otherwise fold in the zeros
    // it sees here, which are not what the loader puts there.
    let nonce = unsafe { core::ptr::read_volatile(&raw const CANARY_NONCE) };
    nonce != [0; 2] && nonce == [high, low]
}
