//! What the test agent enforces: an LSM program on `file_open` that refuses one path; and a program
//! that only tries the kernel.
//!
//! In: `RULE_PATH` and its length, the answer `RULE_VERDICT`, and the offset of `f_path` in `struct
//! file` on the running kernel. The test agent writes all of them into the object's read-only data
//! before it loads the program. Out: the verdict whenever that path is opened, for reading or
//! writing, in any container; 0 for every other path.
#![no_std]
#![no_main]

use core::ffi::c_char;
use core::ptr::read_volatile;

use aya_ebpf::{helpers::generated::bpf_d_path, macros::lsm, programs::LsmContext};

/// The longest path with its final zero; the stack of a program holds 512 bytes.
const LONGEST: usize = 256;

/// The path, as the process that opens it sees it, and zeros.
#[unsafe(no_mangle)]
static RULE_PATH: [u8; LONGEST] = [0; LONGEST];

/// The path's length without the zeros; 0 matches nothing.
#[unsafe(no_mangle)]
static RULE_LENGTH: u32 = 0;

/// The answer when the path is opened: a negative errno, or 0 where the policy only watches.
#[unsafe(no_mangle)]
static RULE_VERDICT: i32 = 0;

/// The offset of `f_path` in `struct file`, in bytes.
#[unsafe(no_mangle)]
static FILE_PATH_OFFSET: u64 = 0;

// LSM_HOOK(int, 0, file_open, struct file *file)                      include/linux/lsm_hook_defs.h
/// The program on `file_open`.
#[lsm(hook = "file_open")]
pub fn file_open(ctx: LsmContext) -> i32 {
    // SAFETY: reads of live statics. They are volatile, or the compiler would use the zeros that it
    // sees here.
    let (offset, length, verdict) = unsafe {
        (
            read_volatile(&raw const FILE_PATH_OFFSET),
            read_volatile(&raw const RULE_LENGTH),
            read_volatile(&raw const RULE_VERDICT),
        )
    };
    let file: *const u8 = ctx.arg(0);
    let mut seen = [0_u8; LONGEST];
    // The helper is allowed on this hook, whose programs may sleep (bpf_d_path_allowed in
    // kernel/trace/bpf_trace.c). SAFETY: the offset is a constant to the verifier, which checks
    // that a `struct path` lies there.
    let size = unsafe {
        bpf_d_path(file.wrapping_add(offset as usize) as *mut _, seen.as_mut_ptr().cast::<c_char>(), LONGEST as u32)
    };
    // The size counts the final zero. A path that does not fit gives an error, and is not the path
    // of the rule.
    if length == 0 || size != i64::from(length) + 1 || !is_rule_path(&seen, length) {
        return 0;
    }
    verdict
}

// LSM_HOOK(int, 0, file_open, struct file *file)                      include/linux/lsm_hook_defs.h
/// The program that is loaded, attached and detached to see whether the kernel allows it. It allows
/// everything.
#[lsm(hook = "file_open")]
pub fn probe(_: LsmContext) -> i32 {
    0
}

#[inline(always)]
fn is_rule_path(seen: &[u8; LONGEST], length: u32) -> bool {
    for at in 0..LONGEST {
        if at >= length as usize {
            return true;
        }
        // SAFETY: reads of a live static, within its bounds.
        if seen[at] != unsafe { read_volatile((&raw const RULE_PATH).cast::<u8>().wrapping_add(at)) } {
            return false;
        }
    }
    true
}

/// Only GPL-compatible programs may call the kernel's helpers, and BPF LSM refuses a program with
/// another licence.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
