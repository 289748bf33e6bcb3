//! The BPF programs of the node probe, one file per program, in one object.
//!
//! In: the constants of this run, which node-probe writes to the object's read-only data before it
//! loads a program. Out: counters in maps, and the programs' answers to the kernel. No program
//! reads a kernel structure, so the object needs no relocation against the kernel's BTF and runs on
//! every kernel with BPF LSM.
#![no_std]
#![no_main]

mod canary;

/// The kernel offers its helpers to GPL-compatible programs only, and BPF LSM refuses programs with
/// another licence.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
