//! The kernel tier: what `node-probe check` says on stock kernels in virtual machines, beside the
//! truth.
//!
//! In: stock kernels ([`crate::stock_kernel`]), a static `node-probe`, the programs in
//! `e2e/tests/kernels/`. Out: a [`Comparison`], a row for each case: one kernel, one [`Boot`], one
//! [`Place`] to ask from.
//!
//! # The truth
//! `truth.c` shares only bpf(2) with `node-probe`: it is in another language, reads BTF itself,
//! uses another hook (`task_setnice`) and denies in another way. A kernel can deny where a denial
//! was seen, and only of the call that should be denied. Where a place keeps a process from trying,
//! the truth is that of [`Place::Host`] in the same boot. Everywhere else it is measured in the
//! place itself. That includes the place where BTF is hidden: loaders read BTF ids from
//! `/sys/kernel/btf/vmlinux`, so they cannot load anything on a kernel without that file. The boot
//! parameters also say what the truth has to be, and a truth that contradicts them is a fault of
//! the run.
//!
//! # What is counted
//! - `false_ready`: the answer is "ready" and the truth is that nothing can be denied.
//! - `false_not_ready`: the answer is "not ready" (exit code 1) and the truth is that something can
//!   be denied. An answer of "not known" (exit code 2) is neither.
//! - `wrong_reason`: the answer, evidence, reason or fix is not that of the case's cause, which
//!   [`expect`] derives from boot parameters, place and truth. "Not known" is counted here wherever
//!   nothing kept the probe from trying.
//!
//! Three common ways to answer the question are tried in the same places: see [`judge::Ways`].

mod arm64;
pub mod boot;
pub mod expect;
pub mod judge;
pub mod kills;
pub mod machines;
pub mod render;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use serde::Serialize;

pub use boot::Boot;
pub use e2e_guest::Place;

use crate::stock_kernel::{self, Arch, Kernel};
use judge::{Counts, Row};
use kills::Kills;
use machines::Machines;

/// What keeps the comparison from being made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program failed.
    #[error(transparent)]
    Command(#[from] crate::command::Error),
    /// A kernel cannot be had.
    #[error(transparent)]
    Kernel(#[from] stock_kernel::Error),
    /// A package cannot be had.
    #[error(transparent)]
    Apt(#[from] crate::apt::Error),
    /// There is no node-probe to try.
    #[error("the static node-probe {} is missing: build it with `make static`, or set NODE_PROBE", _0.display())]
    NoProbe(PathBuf),
    /// The kubeconfig of the daemons cannot be made.
    #[error(transparent)]
    Pki(#[from] crate::pki::Error),
    /// A folder or file for the programs cannot be made.
    #[error("cannot prepare the programs of the machines: {0}")]
    Folder(std::io::Error),
}

/// What to compare.
#[derive(Clone, Debug)]
pub struct Options {
    /// The architecture of the machines.
    pub arch: Arch,
    /// Series of kernels, as [`stock_kernel::fetch`] takes them.
    pub series: Vec<String>,
    /// How many machines run at a time. Each has one processor.
    pub jobs: usize,
    /// How often a check is killed on each kernel. Half as many probe daemons are killed.
    pub kills: u32,
    /// The seed of the moments of these kills.
    pub seed: u64,
}

/// Everything that was found.
#[derive(Debug, Default, Serialize)]
pub struct Comparison {
    /// The cases, in the order of kernels, boots and places.
    pub cases: Vec<Row>,
    /// The outcome of the kills on each kernel.
    pub kills: Vec<Kills>,
    /// Machines without an outcome, in words.
    pub failures: Vec<String>,
    /// How often each way is wrong.
    pub counts: Counts,
    /// How long it took.
    pub seconds: u64,
}

impl Comparison {
    /// How many cases and kills are right.
    pub fn passed(&self) -> usize {
        let cases = self.cases.iter().filter(|case| case.is_right()).count();
        cases + self.kills.iter().filter(|kills| kills.faults.is_empty()).count()
    }

    /// How many are wrong, with the machines that have no outcome.
    pub fn failed(&self) -> usize {
        self.cases.len() + self.kills.len() - self.passed() + self.failures.len()
    }
}

/// One machine to run.
#[derive(Clone, Copy)]
enum Job<'a> {
    Compare(&'a Kernel, &'a Boot),
    Kill(&'a Kernel),
}

/// The outcome of one machine.
enum Done {
    Cases(Vec<Row>),
    Kills(Kills),
    Failed(String),
}

/// Fetches kernels, boots them, measures and judges. A machine that fails is part of the
/// comparison, not an error.
pub fn compare(options: &Options) -> Result<Comparison, Error> {
    let begun = Instant::now();
    let machines = Machines::prepare(options.arch)?;
    let fetched = options.series.iter().map(|series| stock_kernel::fetch(options.arch, series));
    let kernels = fetched.collect::<Result<Vec<_>, _>>()?;
    // The longest jobs first, so that no processor is idle in the end.
    let kills = kernels.iter().map(Job::Kill);
    let jobs = kills.chain(
        kernels
            .iter()
            .flat_map(|kernel| boot::BOOTS.iter().map(move |boot| Job::Compare(kernel, boot))),
    );
    let mut comparison = Comparison::default();
    for done in run_all(jobs.collect(), options, &machines) {
        match done {
            Done::Cases(rows) => comparison.cases.extend(rows),
            Done::Kills(kills) => comparison.kills.push(kills),
            Done::Failed(why) => comparison.failures.push(why),
        }
    }
    comparison.counts = Counts::of(&comparison.cases);
    comparison.seconds = begun.elapsed().as_secs();
    Ok(comparison)
}

/// Runs the jobs, some at a time, and returns their outcomes in the order of the jobs.
fn run_all(jobs: Vec<Job<'_>>, options: &Options, machines: &Machines) -> Vec<Done> {
    let queue: Mutex<VecDeque<_>> = Mutex::new(jobs.into_iter().enumerate().collect());
    let finished = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                while let Some((index, job)) = next(&queue) {
                    let done = run(job, options, machines);
                    lock(&finished).push((index, done));
                }
            });
        }
    });
    let mut finished = finished.into_inner().unwrap_or_else(PoisonError::into_inner);
    finished.sort_by_key(|(index, _)| *index);
    finished.into_iter().map(|(_, done)| done).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next<'a>(queue: &Mutex<VecDeque<(usize, Job<'a>)>>) -> Option<(usize, Job<'a>)> {
    lock(queue).pop_front()
}

/// Runs one job, and prints to standard error that it is done: all of them take minutes.
fn run(job: Job<'_>, options: &Options, machines: &Machines) -> Done {
    let begun = Instant::now();
    let (what, done) = match job {
        Job::Compare(kernel, boot) => {
            let measured = machines.measure(kernel, boot);
            let done =
                measured.and_then(|measured| judge::rows(kernel, boot, &measured)).map(Done::Cases);
            (format!("{} {}", kernel.release, boot.title()), done)
        }
        Job::Kill(kernel) => {
            let killed = machines.kill(kernel, options.kills, options.seed);
            let kills = killed.map(|killed| Done::Kills(kills::judge(kernel, &killed)));
            (format!("{} killed checks and daemons", kernel.release), kills)
        }
    };
    eprintln!("kernels: {what}: {} s", begun.elapsed().as_secs());
    done.unwrap_or_else(|why| Done::Failed(format!("{what}: {why}")))
}
