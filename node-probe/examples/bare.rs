//! What a check is measured against: `bare once` climbs the same rungs in one process, with nothing
//! around them, and `bare prctl` tells what an attached canary costs everybody else's prctl, as
//! JSON.
//!
//! Exit code 0 when the canary's call was denied, 1 when it was not, 64 for wrong use.

use std::process::ExitCode;
use std::time::Instant;

use node_probe::canary::loader::{self, Loaded};
use node_probe::canary::{CANARY_OPTION, Failure};
use node_probe::sys::{self, Answer};

/// Calls in one measurement; each takes a microsecond or so.
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

/// The quickest of several rounds, since everything else that the machine does only ever adds to
/// them.
fn prctl() -> Result<bool, Failure> {
    let mut canary = load([1, 2])?;
    let (mut alone, mut attached, mut while_ms) = (u128::MAX, u128::MAX, u128::MAX);
    for _ in 0..ROUNDS {
        alone = alone.min(nanoseconds_a_call());
        let link = canary.attach()?;
        attached = attached.min(nanoseconds_a_call());
        canary.detach(link)?;
        // As a check does it: attached for two calls.
        let since = Instant::now();
        let link = canary.attach()?;
        let _ = (sys::prctl(CANARY_OPTION, 1, 2), sys::prctl(CANARY_OPTION, 1, 3));
        canary.detach(link)?;
        while_ms = while_ms.min(since.elapsed().as_millis());
    }
    println!(
        r#"{{"alone_ns": {alone}, "attached_ns": {attached}, "attached_for_ms": {while_ms}, "rounds": {ROUNDS}}}"#
    );
    Ok(true)
}

/// Of a prctl that the canary looks at as closely as it ever does: its own option with another
/// nonce.
fn nanoseconds_a_call() -> u128 {
    let since = Instant::now();
    for _ in 0..CALLS {
        let _ = sys::prctl(CANARY_OPTION, 1, 3);
    }
    since.elapsed().as_nanos() / u128::from(CALLS)
}
