//! The canary: denies one prctl that no other program makes, and counts how often it did.
//!
//! In: `CANARY_NONCE`, 128 random bits of this run. Out: `CANARY_FIRED[0]`, and `-EKEYREJECTED` for
//! `prctl(CANARY_OPTION, nonce[0], nonce[1])`. Every other prctl on the machine is left alone.

use aya_ebpf::{
    macros::{lsm, map},
    maps::Array,
    programs::LsmContext,
};

/// "LSMB", far from every PR_* that Linux defines, so the kernel's own answer is EINVAL. node-probe
/// calls with the same number (`node-probe/src/canary/child.rs`).
const CANARY_OPTION: i32 = 0x4c53_4d42;

/// EKEYREJECTED, with which no prctl of the kernel ends.
const CANARY_ERRNO: i32 = 129;

/// The nonce of this run. It is zero in the object; the loader writes it before it loads the
/// program.
#[unsafe(no_mangle)]
static CANARY_NONCE: [u64; 2] = [0; 2];

/// How many calls the canary has denied.
#[map]
static CANARY_FIRED: Array<u64> = Array::with_max_entries(1, 0);

/// The program on the hook `task_prctl`.
// include/linux/lsm_hook_defs.h: LSM_HOOK(int, -ENOSYS, task_prctl, int option, unsigned long arg2,
// unsigned long arg3, unsigned long arg4, unsigned long arg5)
#[lsm(hook = "task_prctl")]
pub fn canary(ctx: LsmContext) -> i32 {
    let (option, high, low): (i32, u64, u64) = (ctx.arg(0), ctx.arg(1), ctx.arg(2));
    if option != CANARY_OPTION || !is_this_run(high, low) {
        // After a 0 the trampoline calls bpf_lsm_task_prctl itself, whose -ENOSYS makes the kernel
        // go on with its own prctl. So 0 means "not our call" here, not "handled with success".
        //
        // The context has a sixth argument, the answer of the BPF programs before this one. It is
        // always 0 and not read: the trampoline runs LSM programs as "modify return" and stops at
        // the first answer other than 0 (invoke_bpf_mod_ret in arch/*/net/bpf_jit_comp.c).
        return 0;
    }
    if let Some(fired) = CANARY_FIRED.get_ptr_mut(0) {
        // SAFETY: the pointer is into the map, which outlives the program. Only the probe's child,
        // which has one thread, knows the nonce, so there is one writer.
        unsafe { *fired += 1 };
    }
    -CANARY_ERRNO
}

/// Whether the call has this run's nonce. A nonce of zeros was never set, and then no call is ours.
#[inline(always)]
fn is_this_run(high: u64, low: u64) -> bool {
    // SAFETY: this reads a live static. The read is volatile because the compiler would otherwise
    // use the zeros it sees here instead of what the loader writes.
    let nonce = unsafe { core::ptr::read_volatile(&raw const CANARY_NONCE) };
    nonce != [0; 2] && nonce == [high, low]
}
