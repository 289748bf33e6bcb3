//! Measures what a check costs: `bare once` makes the canary's steps in one process, without
//! anything else, and `bare prctl` prints as JSON how much slower an attached canary makes prctl
//! for other processes.
//!
//! Exit code: 0 if the canary's call was denied, 1 if it was not, 64 for wrong use.

use std::process::ExitCode;
use std::time::Instant;

use node_probe::canary::loader::{self, Loaded};
use node_probe::canary::{CANARY_OPTION, Failure};
use node_probe::sys::{self, Answer};

/// Calls in one measurement. One call takes about a microsecond.
const CALLS: u32 = 100_000;
const ROUNDS: u32 = 10;

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1).as_deref() {
        Some("once") => once(),
        Some("prctl") => prctl(),
        _ => {
            eprintln!("usage: bare once|prctl");
            return ExitCode::from(64);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("bare: {failure:?}");
            ExitCode::FAILURE
        }
    }
}

fn load(nonce: [u64; 2]) -> Result<Loaded, Failure> {
    let btf = loader::read_btf()?;
    let mut canary = loader::create_maps(&btf, nonce)?;
    canary.load(&btf)?;
    Ok(canary)
}

fn once() -> Result<bool, Failure> {
    let nonce = [0x6261_7265, u64::from(std::process::id())];
    let mut canary = load(nonce)?;
    let link = canary.attach()?;
    let denied = sys::prctl(CANARY_OPTION, nonce[0], nonce[1]) == Answer(libc::EKEYREJECTED);
    canary.detach(link)?;
    Ok(denied && canary.fired()? == 1)
}

/// Takes the quickest of several rounds, because other work on the machine only makes a round
/// slower.
fn prctl() -> Result<bool, Failure> {
    let mut canary = load([1, 2])?;
    let (mut alone, mut attached, mut attached_ms) = (u128::MAX, u128::MAX, u128::MAX);
    for _ in 0..ROUNDS {
        alone = alone.min(nanoseconds_per_call());
        let link = canary.attach()?;
        attached = attached.min(nanoseconds_per_call());
        canary.detach(link)?;
        // As in a check: attached for two calls.
        let since = Instant::now();
        let link = canary.attach()?;
        let _ = (sys::prctl(CANARY_OPTION, 1, 2), sys::prctl(CANARY_OPTION, 1, 3));
        canary.detach(link)?;
        attached_ms = attached_ms.min(since.elapsed().as_millis());
    }
    let costs = serde_json::json!({
        "aloneNs": alone,
        "attachedNs": attached,
        "attachedForMs": attached_ms,
        "rounds": ROUNDS,
    });
    println!("{costs}");
    Ok(true)
}

/// The time of one prctl that the canary has to compare fully: its own option with another nonce.
fn nanoseconds_per_call() -> u128 {
    let since = Instant::now();
    for _ in 0..CALLS {
        let _ = sys::prctl(CANARY_OPTION, 1, 3);
    }
    since.elapsed().as_nanos() / u128::from(CALLS)
}
