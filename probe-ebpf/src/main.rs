//! The BPF programs of the node probe, one file each, in one object.
//!
//! In: this run's constants, which node-probe writes into the object's read-only data before it
//! loads a program. Out: counters in maps, and the answers that the programs give the kernel.
//! Nothing here reads a kernel structure, so the object needs no relocation against the running
//! kernel's BTF and runs on every kernel with BPF LSM.
#![no_std]
#![no_main]

mod canary;

/// The kernel's helpers are open to GPL-compatible programs only, and BPF LSM refuses a program of
/// another licence.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
