//! How the C library keeps memory that is not used any more.
//!
//! By default glibc makes an arena for each thread, and keeps what was freed in each of them: after
//! the lists at the start that was as much again as what the operator needs. One arena is enough for
//! three threads, and what is free in it can be given back.

use tracing::debug;

/// Bytes from which on an allocation has pages of its own, which go back when it is freed. glibc
/// raises this number by itself, up to 32 MiB, unless it is set.
#[cfg(target_env = "gnu")]
const OWN_PAGES_FROM: i32 = 256 * 1024;
/// Free bytes at the end of the arena from which on they go back.
#[cfg(target_env = "gnu")]
const GIVE_BACK_FROM: i32 = 512 * 1024;

/// Keeps one arena. Has to be called before the first thread starts.
pub fn set_up() {
    #[cfg(target_env = "gnu")]
    for (option, value) in [
        (libc::M_ARENA_MAX, 1),
        (libc::M_MMAP_THRESHOLD, OWN_PAGES_FROM),
        (libc::M_TRIM_THRESHOLD, GIVE_BACK_FROM),
    ] {
        #[expect(unsafe_code, reason = "mallopt has no safe form")]
        // SAFETY: mallopt takes two numbers and changes settings of the allocator.
        let _ = unsafe { libc::mallopt(option, value) };
    }
}

/// Gives free memory back to the kernel.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    {
        #[expect(unsafe_code, reason = "malloc_trim has no safe form")]
        // SAFETY: malloc_trim takes a number, and gives back pages that hold nothing.
        let has_given = unsafe { libc::malloc_trim(0) };
        debug!(has_given, "free memory was given back");
    }
}
