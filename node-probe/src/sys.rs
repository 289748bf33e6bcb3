//! The system calls that std does not offer, each in a safe function. The only module with `unsafe` in it.
//!
//! In: plain numbers. Out: the kernel's answer, an errno where it refused.

#![expect(unsafe_code, reason = "raw system calls; each has its SAFETY line")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use serde::{Deserialize, Serialize};

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

/// The name and the text of an errno; `success` for 0.
pub fn describe_errno(errno: i32) -> String {
    // 524 is the kernel's internal ENOTSUPP, which bpf(2) lets out and no libc knows.
    let name = match errno {
        0 => return "success".to_owned(),
        524 => return "ENOTSUPP (operation is not supported)".to_owned(),
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

/// `prctl(option, second, third, 0, 0)`.
pub fn prctl(option: i32, second: u64, third: u64) -> Answer {
    // SAFETY: the options passed by this crate are one that Linux does not define, and PR_SET_PDEATHSIG;
    // neither takes a pointer.
    Answer::of(i64::from(unsafe { libc::prctl(option, second, third, 0u64, 0u64) }))
}

/// Asks the kernel to kill this process when the thread that started it ends.
pub fn die_with_parent() -> Answer {
    prctl(libc::PR_SET_PDEATHSIG, u64::from(libc::SIGKILL.unsigned_abs()), 0)
}

/// `bpf(2)` with a command that does not exist: EINVAL where the call reaches the kernel's BPF,
/// anything else where something in front of it (a seccomp filter) answers.
pub fn bpf_without_command() -> Answer {
    const NO_SUCH_COMMAND: libc::c_long = 0x7fff;
    // SAFETY: a null attribute of size 0 is never followed.
    Answer::of(unsafe { libc::syscall(libc::SYS_bpf, NO_SUCH_COMMAND, 0usize, 0usize) })
}

/// Gives this process the lowest priority. A refusal is of no consequence.
pub fn be_nice() {
    // SAFETY: no pointers; 0 is this process.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
}

/// Lets this process map at most so many bytes. A refusal is of no consequence.
pub fn limit_memory(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: the kernel reads `limit`, which lives on.
    unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
}

/// The attribute of `BPF_PROG_LOAD` as far as `attach_btf_id` (include/uapi/linux/bpf.h); the kernel takes what is
/// left out as zero.
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

/// Loads an LSM program of two instructions (return 0) for the kernel's function with that BTF id, and closes it again
/// without having attached it.
pub fn load_lsm_program(btf_id: u32, sleepable: bool) -> Answer {
    const BPF_PROG_LOAD: libc::c_long = 5;
    const BPF_PROG_TYPE_LSM: u32 = 29;
    const BPF_LSM_MAC: u32 = 27;
    const BPF_F_SLEEPABLE: u32 = 1 << 4;
    /// `r0 = 0` and `exit`: opcode, registers, offset, immediate; zeros but for the opcodes, in any byte order.
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
    // SAFETY: the kernel reads `attribute` and what it points to, a constant program and licence, and writes nothing.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attribute, size_of_val(&attribute))
    };
    let answer = Answer::of(result);
    if let Ok(fd @ 0..) = i32::try_from(result) {
        // SAFETY: the kernel has just opened it for us and nobody else knows of it.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
    }
    answer
}

/// The ids of the active LSMs by `lsm_list_modules(2)`, from Linux 6.8.
///
/// # Errors
/// The errno: ENOSYS before 6.8; EPERM or ENOSYS from seccomp profiles older than the call.
pub fn lsm_list_modules() -> Result<Vec<u64>, Answer> {
    /// The same number on every architecture (include/uapi/asm-generic/unistd.h).
    const SYS_LSM_LIST_MODULES: libc::c_long = 461;
    let mut ids = [0u64; 64];
    let mut size = u32::try_from(size_of_val(&ids)).unwrap_or(0);
    // SAFETY: the kernel writes at most `size` bytes to `ids` and the size it needs to `size`; both live on.
    let count =
        unsafe { libc::syscall(SYS_LSM_LIST_MODULES, ids.as_mut_ptr(), &raw mut size, 0u32) };
    usize::try_from(count)
        .map_or_else(|_| Err(Answer::of(-1)), |count| Ok(ids.iter().take(count).copied().collect()))
}

/// `uname(2)`: release and machine.
pub fn uname() -> (String, String) {
    // SAFETY: utsname is plain bytes, for which zeros are valid.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: `name` is a live utsname; the call can only fail for a bad pointer.
    unsafe { libc::uname(&raw mut name) };
    // SAFETY: the kernel ends both fields with a zero byte, and zeroed memory has one too.
    let text = |field: &[libc::c_char]| {
        unsafe { CStr::from_ptr(field.as_ptr()) }.to_string_lossy().into_owned()
    };
    (text(&name.release), text(&name.machine))
}

/// 128 random bits from the kernel.
///
/// # Errors
/// Where getrandom(2) is refused.
pub fn random_nonce() -> io::Result<[u64; 2]> {
    let mut nonce = [0u64; 2];
    // SAFETY: the kernel writes at most 16 bytes to the 16 bytes of `nonce`.
    let written = unsafe { libc::getrandom(nonce.as_mut_ptr().cast(), size_of_val(&nonce), 0) };
    if usize::try_from(written) == Ok(size_of_val(&nonce)) {
        Ok(nonce)
    } else {
        Err(io::Error::last_os_error())
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
        assert!(describe_errno(524).contains("ENOTSUPP"));
    }

    #[test]
    fn the_attribute_has_the_kernels_layout() {
        assert_eq!(std::mem::offset_of!(ProgLoad, prog_flags), 44);
        assert_eq!(std::mem::offset_of!(ProgLoad, expected_attach_type), 68);
        assert_eq!(std::mem::offset_of!(ProgLoad, attach_btf_id), 108);
        assert_eq!(size_of::<ProgLoad>(), 112);
    }

    #[test]
    fn a_program_for_no_function_is_refused() {
        assert_ne!(load_lsm_program(0, false), Answer(0));
    }

    #[test]
    fn the_kernel_refuses_what_it_does_not_know() {
        assert_eq!(prctl(0x4c53_4d42, 1, 2), Answer(libc::EINVAL));
        assert_ne!(random_nonce().unwrap(), random_nonce().unwrap());
        assert!(!uname().0.is_empty());
    }
}
