//! Makes everything random follow from the seed of a history.
//!
//! The operator and its libraries draw random numbers in three places: `fastrand` (jitter), and the
//! keys of hash maps, from the system (`std`) and from `ahash` (the stores). A thread that runs a
//! history gets all of them from its seed. Other threads get true ones.
//!
//! tokio's own random numbers have no seed without a build flag. It draws them in `select!` without
//! `biased`, and where several receivers of one `watch` channel wait. The operator has neither.

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
    use std::fs;
    use std::path::Path;

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

    /// The files below that folder that poll in a random order, with the line.
    fn unbiased(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                unbiased(&path, found);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.extend(unbiased_lines(&text).map(|line| format!("{path:?}:{line}")));
            }
        }
    }

    fn unbiased_lines(text: &str) -> impl Iterator<Item = usize> {
        let is_random = |at: usize| {
            let body = text[at + SELECT.len()..].trim_start();
            !body
                .strip_prefix(['{', '('])
                .is_some_and(|body| body.trim_start().starts_with("biased;"))
        };
        let random = text.match_indices(SELECT).filter(move |(at, _)| is_random(*at));
        random.map(|(at, _)| text[..at].matches('\n').count() + 1)
    }

    const SELECT: &str = "select!";

    #[test]
    fn a_select_without_biased_is_found() {
        let text = "a\nselect! {\n    biased;\n}\nselect!{ b }\nfutures::select_biased! {}";
        assert_eq!(unbiased_lines(text).collect::<Vec<_>>(), [5]);
    }

    /// tokio would poll the branches in an order that does not follow from the seed.
    #[test]
    fn every_select_of_the_operator_is_biased() {
        let operator = Path::new(env!("CARGO_MANIFEST_DIR")).join("../operator/src");
        let mut found = Vec::new();
        unbiased(&operator, &mut found);
        assert_eq!(found, Vec::<String>::new(), "add `biased;`, and think about the order");
    }

    #[test]
    fn all_random_numbers_follow_from_the_seed() {
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        assert_ne!(drawn(1), 0);
    }
}
