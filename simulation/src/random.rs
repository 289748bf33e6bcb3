//! Makes everything random follow from the seed of a history.
//!
//! The operator and its libraries draw random numbers in four places: `fastrand` (jitter), tokio
//! (`select!`), and the keys of hash maps, from the system (`std`) and from `ahash` (the stores).
//! A thread that runs a history gets all of them from its seed. Other threads get true ones.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use libc::{c_uint, c_void};

thread_local! {
    /// The state of this thread's `getrandom`. Zero: ask the kernel.
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// Replaces the C library's function of that name, which `std` and the crate `getrandom` call.
///
/// # Safety
/// `buffer` must point to `length` bytes that may be written, as for the system call.
#[expect(unsafe_code, reason = "the only way to give std's hash maps known keys")]
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, flags: c_uint) -> isize {
    if STATE.get() == 0 {
        // SAFETY: the caller's promise is the one that the system call asks for.
        let result = unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) };
        return isize::try_from(result).unwrap_or(-1);
    }
    for offset in 0..length {
        let [byte, ..] = next().to_le_bytes();
        // SAFETY: `offset` is less than `length`, and the caller owns that many bytes.
        unsafe { buffer.cast::<u8>().add(offset).write(byte) };
    }
    isize::try_from(length).unwrap_or(-1)
}

/// splitmix64.
fn next() -> u64 {
    let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state.max(1));
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

struct NoHasherSeed;

impl ahash::random_state::RandomSource for NoHasherSeed {
    fn gen_hasher_seed(&self) -> usize {
        0
    }
}

/// Fixes what is random once for the whole process. Must run before the first history.
pub fn init() {
    STATE.set(1);
    // Fails where it was called before, which is as good.
    let _ = ahash::random_state::set_random_source(NoHasherSeed);
    // The first use draws the keys of all maps of this kind.
    ahash::RandomState::new();
    STATE.set(0);
}

/// Makes this thread's random numbers follow from that seed. The thread must be new: the keys of
/// its hash maps are drawn once.
pub fn seed(seed: u64) {
    STATE.set(seed.wrapping_mul(2).wrapping_add(1));
    fastrand::seed(seed);
}

/// One of these.
pub fn one<T: Copy>(random: &mut fastrand::Rng, of: &[T]) -> T {
    of[random.usize(..of.len())]
}

/// A number that differs where hash maps iterate in another order. For tests.
#[must_use]
pub fn fingerprint() -> u64 {
    RandomState::new().hash_one(0) ^ ahash::RandomState::new().hash_one(0) ^ fastrand::u64(..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(with: u64) -> u64 {
        init();
        std::thread::spawn(move || {
            seed(with);
            fingerprint()
        })
        .join()
        .unwrap_or_default()
    }

    #[test]
    fn all_random_numbers_follow_from_the_seed() {
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        assert_ne!(drawn(1), 0);
    }
}
