//! Runs many histories, or one.
//!
//! In: how many, from which seed. Out: the rate, and at the first failure its shortest history and
//! how to run it again. Exit code 1 where a history failed.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use clap::Parser;
use lsm_ready_simulation::history::{self, Outcome};
use lsm_ready_simulation::step::Step;
use lsm_ready_simulation::{random, shrink};
use parking_lot::Mutex;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs histories of the operator against a simulated API server.
#[derive(Parser)]
struct Arguments {
    /// How many histories to run.
    #[arg(long, default_value_t = 20_000)]
    histories: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Runs the history of this seed only, and prints what happens.
    #[arg(long)]
    seed: Option<u64>,
    /// With --seed: runs the steps of this file instead of the seed's own.
    #[arg(long, requires = "seed")]
    steps: Option<PathBuf>,
    /// With --seed: prints every request, and does not shorten the history.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// How many at once. Default: as many as there are processors.
    #[arg(long)]
    jobs: Option<usize>,
    /// Prints a failure, and does not shorten its history.
    #[arg(long)]
    brief: bool,
    /// Goes on after a failure, and counts.
    #[arg(long)]
    keep_going: bool,
    /// Each history with a number that this divides runs twice, and both runs must be equal.
    #[arg(long, default_value_t = 256)]
    twice: u64,
}

fn main() -> ExitCode {
    random::init();
    let arguments = Arguments::parse();
    match arguments.seed {
        Some(seed) => one(seed, &arguments),
        None => many(&arguments),
    }
}

fn one(seed: u64, arguments: &Arguments) -> ExitCode {
    let steps = match &arguments.steps {
        None => history::steps(seed),
        Some(path) => match read(path) {
            Ok(steps) => steps,
            Err(error) => {
                eprintln!("simulation: cannot read {}: {error}", path.display());
                return ExitCode::from(64);
            }
        },
    };
    let outcome = history::run(seed, &steps, true);
    if arguments.trace || outcome.failure.is_none() {
        outcome.lines.iter().for_each(|line| println!("{line}"));
        println!(
            "seed {seed}: {} requests in {:?}, hash {:016x}",
            outcome.requests, outcome.lasted, outcome.hash
        );
    }
    report(seed, &steps, &outcome, arguments.trace)
}

fn read(path: &std::path::Path) -> Result<Vec<Step>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

/// Prints a failure and its shortest history.
fn report(seed: u64, steps: &[Step], outcome: &Outcome, as_it_is: bool) -> ExitCode {
    let (Some(failure), Some(invariant)) = (&outcome.failure, outcome.invariant()) else {
        return ExitCode::SUCCESS;
    };
    println!("seed {seed} fails: {failure}");
    println!("invariant: {invariant}");
    if as_it_is {
        return ExitCode::FAILURE;
    }
    let (fewest, outcome) = shrink::shrink(seed, steps, invariant);
    println!("\nthe shortest history, {} of {} steps:", fewest.len(), steps.len());
    outcome.lines.iter().for_each(|line| println!("{line}"));
    println!("fails: {}", outcome.failure.unwrap_or_default());
    println!("\nto run it again, write these steps to FILE:");
    println!("{}", serde_json::to_string(&fewest).unwrap_or_default());
    println!("and: simulation --seed {seed} --steps FILE --trace");
    ExitCode::FAILURE
}

/// What many histories have come to.
#[derive(Default)]
struct Sum {
    next: AtomicU64,
    stop: AtomicBool,
    requests: AtomicU64,
    virtual_seconds: AtomicU64,
    failures: Mutex<Vec<(u64, Outcome)>>,
}

fn many(arguments: &Arguments) -> ExitCode {
    let (begun, sum) = (Instant::now(), Sum::default());
    let jobs =
        arguments.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(2, usize::from));
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| work(arguments, &sum));
        }
    });
    let ran = sum.next.load(Ordering::Relaxed).min(arguments.histories);
    let seconds = begun.elapsed().as_secs_f64();
    let [requests, lasted] =
        [&sum.requests, &sum.virtual_seconds].map(|count| count.load(Ordering::Relaxed));
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = ran as f64 / seconds;
    println!(
        "{ran} histories in {seconds:.1} s ({rate:.0} a second): {requests} requests in \
        {} hours of virtual time",
        lasted / 3600
    );
    let mut failures = sum.failures.into_inner();
    failures.sort_by_key(|(seed, _)| *seed);
    if arguments.keep_going {
        println!("{} failures", failures.len());
    }
    match failures.first() {
        None => ExitCode::SUCCESS,
        Some((seed, outcome)) => report(*seed, &history::steps(*seed), outcome, arguments.brief),
    }
}

fn work(arguments: &Arguments, sum: &Sum) {
    while !sum.stop.load(Ordering::Relaxed) {
        let number = sum.next.fetch_add(1, Ordering::Relaxed);
        if number >= arguments.histories {
            return;
        }
        let seed = arguments.first + number;
        let mut outcome = history::of_seed(seed);
        if number.is_multiple_of(arguments.twice) && history::of_seed(seed).hash != outcome.hash {
            outcome.failure.get_or_insert("not repeatable: a second run differs".to_owned());
        }
        sum.requests.fetch_add(outcome.requests, Ordering::Relaxed);
        sum.virtual_seconds.fetch_add(outcome.lasted.as_secs(), Ordering::Relaxed);
        if let Some(failure) = &outcome.failure {
            if arguments.keep_going {
                println!("seed {seed} fails: {failure}");
            }
            sum.failures.lock().push((seed, outcome));
            if !arguments.keep_going {
                sum.stop.store(true, Ordering::Relaxed);
            }
        }
    }
}
