//! System calls, each in a safe function. The only module with `unsafe` in it.
//!
//! In: plain numbers. Out: the kernel's answer: success, or an errno.
//!
//! rustix makes the calls that it knows. What is left is what it has no function for: `bpf(2)`,
//! `lsm_list_modules(2)` and a prctl option that Linux does not define.

#![expect(unsafe_code, reason = "raw system calls; each has its SAFETY line")]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use lsm_ready_crds::node::Kernel;
use rustix::process::{Resource, Rlimit, Signal};
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};

/// The kernel's internal errno for "not supported". bpf(2) returns it to user space although no
/// libc defines it.
pub const ENOTSUPP: i32 = 524;

/// How the kernel answered a call: 0 for success, else the errno.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Answer(pub i32);

impl Answer {
    fn of(result: i64) -> Self {
        if result >= 0 {
            Self(0)
        } else {
            Self(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
        }
    }

    /// The errno's name and text, `EINVAL (Invalid argument)`, or `success`.
    pub fn describe(self) -> String {
        describe_errno(self.0)
    }
}

/// The errno's name and text, or `success` for 0.
pub fn describe_errno(errno: i32) -> String {
    let name = match errno {
        0 => return "success".to_owned(),
        ENOTSUPP => return "ENOTSUPP (operation is not supported)".to_owned(),
        libc::EPERM => "EPERM",
        libc::ENOENT => "ENOENT",
        libc::E2BIG => "E2BIG",
        libc::EAGAIN => "EAGAIN",
        libc::ENOMEM => "ENOMEM",
        libc::EACCES => "EACCES",
        libc::EFAULT => "EFAULT",
        libc::EBUSY => "EBUSY",
        libc::EINVAL => "EINVAL",
        libc::ENFILE => "ENFILE",
        libc::EMFILE => "EMFILE",
        libc::ENOSPC => "ENOSPC",
        libc::ENOSYS => "ENOSYS",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        libc::EKEYREJECTED => "EKEYREJECTED",
        _ => return io::Error::from_raw_os_error(errno).to_string(),
    };
    let text = io::Error::from_raw_os_error(errno).to_string();
    format!("{name} ({})", text.split(" (os error").next().unwrap_or_default())
}

/// `prctl(option, second, third, 0, 0)` with an option that Linux does not define.
pub fn prctl(option: i32, second: u64, third: u64) -> Answer {
    // SAFETY: this crate passes the canary's option only, which the kernel does not know, so no
    // argument is used as a pointer.
    Answer::of(i64::from(unsafe { libc::prctl(option, second, third, 0u64, 0u64) }))
}

/// Asks the kernel to kill this process when the thread that started it ends.
pub fn die_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Calls `bpf(2)` with a command that does not exist. The answer is EINVAL if the call reaches the
/// kernel's BPF, and anything else if a seccomp filter answers first.
pub fn bpf_without_command() -> Answer {
    const NO_SUCH_COMMAND: libc::c_long = 0x7fff;
    // SAFETY: a null attribute of size 0 is never followed.
    Answer::of(unsafe { libc::syscall(libc::SYS_bpf, NO_SUCH_COMMAND, 0usize, 0usize) })
}

/// Gives this process the lowest priority. A refusal is ignored: the process then runs at its old
/// priority.
pub fn be_nice() {
    rustix::process::setpriority_process(None, 19).ok();
}

/// Limits the memory that this process may map. A refusal is ignored: the process then runs without
/// the limit.
pub fn limit_memory(bytes: u64) {
    let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
    rustix::process::setrlimit(Resource::As, limit).ok();
}

/// The attribute of `BPF_PROG_LOAD` up to `attach_btf_id` (include/uapi/linux/bpf.h). The kernel
/// reads the fields behind it as zero.
#[repr(C)]
#[derive(Default)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log: [u64; 2],
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf: [u64; 4],
    line_info_cnt: u32,
    attach_btf_id: u32,
}

/// Loads an LSM program of two instructions (return 0) for the kernel function with that BTF id,
/// and closes it again without attaching it.
pub fn load_lsm_program(btf_id: u32, sleepable: bool) -> Answer {
    const BPF_PROG_LOAD: libc::c_long = 5;
    const BPF_PROG_TYPE_LSM: u32 = 29;
    const BPF_LSM_MAC: u32 = 27;
    const BPF_F_SLEEPABLE: u32 = 1 << 4;
    /// `r0 = 0` and `exit`. All bytes but the opcodes are zero, so the byte order does not matter.
    const PROGRAM: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    let attribute = ProgLoad {
        prog_type: BPF_PROG_TYPE_LSM,
        insn_cnt: 2,
        insns: PROGRAM.as_ptr().expose_provenance() as u64,
        license: c"GPL".as_ptr().expose_provenance() as u64,
        prog_flags: if sleepable { BPF_F_SLEEPABLE } else { 0 },
        prog_name: *b"lsm_ready_trial\0",
        expected_attach_type: BPF_LSM_MAC,
        attach_btf_id: btf_id,
        ..ProgLoad::default()
    };
    // SAFETY: the kernel reads `attribute` and what it points to, a constant program and licence,
    // and writes nothing.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attribute, size_of_val(&attribute))
    };
    let answer = Answer::of(result);
    if let Ok(fd @ 0..) = i32::try_from(result) {
        // SAFETY: the kernel has just opened this file descriptor for us, and nothing else uses it.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
    }
    answer
}

/// The ids of the active LSMs by `lsm_list_modules(2)`, which exists since Linux 6.8.
///
/// # Errors
/// The errno: ENOSYS before 6.8; EPERM or ENOSYS from seccomp profiles older than the call.
pub fn lsm_list_modules() -> Result<Vec<u64>, Answer> {
    /// The same number on every architecture (include/uapi/asm-generic/unistd.h).
    const SYS_LSM_LIST_MODULES: libc::c_long = 461;
    let mut ids = [0u64; 64];
    let mut size = u32::try_from(size_of_val(&ids)).unwrap_or(0);
    // SAFETY: the kernel writes at most `size` bytes to `ids` and the size it needs to `size`; both
    // live on.
    let count =
        unsafe { libc::syscall(SYS_LSM_LIST_MODULES, ids.as_mut_ptr(), &raw mut size, 0u32) };
    usize::try_from(count)
        .map_or_else(|_| Err(Answer::of(-1)), |count| Ok(ids.iter().take(count).copied().collect()))
}

/// The running kernel by `uname(2)`.
pub fn kernel() -> Kernel {
    let name = rustix::system::uname();
    let text = |field: &std::ffi::CStr| field.to_string_lossy().into_owned();
    Kernel { release: text(name.release()), machine: text(name.machine()) }
}

/// 128 random bits from the kernel.
pub fn random_nonce() -> io::Result<[u64; 2]> {
    let mut bytes = [[0u8; 8]; 2];
    let written = getrandom(bytes.as_flattened_mut(), GetRandomFlags::empty())?;
    if written == size_of_val(&bytes) {
        Ok(bytes.map(u64::from_ne_bytes))
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errnos_are_named() {
        assert_eq!(describe_errno(0), "success");
        assert_eq!(describe_errno(1), "EPERM (Operation not permitted)");
        assert_eq!(describe_errno(129), "EKEYREJECTED (Key was rejected by service)");
        assert!(describe_errno(ENOTSUPP).contains("ENOTSUPP"));
    }

    #[test]
    fn the_attribute_has_the_kernels_layout() {
        assert_eq!(std::mem::offset_of!(ProgLoad, prog_flags), 44);
        assert_eq!(std::mem::offset_of!(ProgLoad, expected_attach_type), 68);
        assert_eq!(std::mem::offset_of!(ProgLoad, attach_btf_id), 108);
        assert_eq!(size_of::<ProgLoad>(), 112);
    }

    #[test]
    fn a_program_for_a_function_that_does_not_exist_is_refused() {
        assert_ne!(load_lsm_program(0, false), Answer(0));
    }

    #[test]
    fn the_kernel_refuses_the_canarys_prctl_option() {
        assert_eq!(prctl(0x4c53_4d42, 1, 2), Answer(libc::EINVAL));
    }

    #[test]
    fn nonces_differ_and_the_kernel_has_a_release() {
        assert_ne!(random_nonce().unwrap(), random_nonce().unwrap());
        assert!(!kernel().release.is_empty());
    }
}
