//! The kernel tier: what `node-probe check` says on stock kernels in virtual machines, next to the truth.
//!
//! In: stock kernels ([`crate::stock_kernel`]), a static `node-probe`, the programs in `e2e/tests/kernels/`. Out: a [`Comparison`], a
//! row for each case: one kernel, one [`Boot`], one [`Place`] to ask from.
//!
//! # The truth
//! `truth.c` has nothing in common with `node-probe` but bpf(2): another language, its own reading of BTF, another hook
//! (`task_setnice`), another way to deny. It can deny where a denial was seen, and that only of what was to be denied.
//! Where a place keeps a process from trying, it takes the truth about the kernel from the same boot's [`Place::Host`].
//! Anywhere else it is taken in the place itself. So it is where BTF is hidden: loaders take BTF ids from
//! `/sys/kernel/btf/vmlinux`, and for them a kernel without that file is one that cannot, whatever it was built with.
//! The boot parameters say as well what the truth has to be, and a truth that contradicts them is a fault of the run.
//!
//! # What is counted
//! - `false_ready`: the answer is "ready" and the truth is that nothing can be denied.
//! - `false_not_ready`: the answer is "not ready" (exit code 1) and the truth is that something can be denied. An answer
//!   of "not known" (exit code 2) is neither.
//! - `wrong_reason`: the answer, evidence, reason or fix is not the one of the case's cause, which [`expect`] derives
//!   from boot parameters, place and truth. "Not known" counts here wherever nothing kept the probe from trying.
//!
//! Three common ways to answer the question are asked in the same places: see [`judge::Ways`].

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
    #[error("there is no static node-probe at {}: build it with `make static`, or set NODE_PROBE", _0.display())]
    NoProbe(PathBuf),
    /// There is no kubeconfig for the agents.
    #[error(transparent)]
    Pki(#[from] crate::pki::Error),
    /// A folder for the compiled programs cannot be made.
    #[error("cannot make a folder: {0}")]
    Folder(std::io::Error),
}

/// What to compare.
#[derive(Clone, Debug)]
pub struct Options {
    /// The guests' architecture.
    pub arch: Arch,
    /// Series of kernels, as [`stock_kernel::fetch`] takes them.
    pub series: Vec<String>,
    /// How many machines run at a time; each has one processor.
    pub jobs: usize,
    /// How often a check is killed on each kernel, and then an agent.
    pub kills: u32,
    /// What the moments of these kills are drawn with.
    pub seed: u64,
}

/// All that was found.
#[derive(Debug, Default, Serialize)]
pub struct Comparison {
    /// The cases, in the order of kernels, boots and places.
    pub cases: Vec<Row>,
    /// The checks and agents that were killed.
    pub kills: Vec<Kills>,
    /// Boots that gave no cases.
    pub failures: Vec<String>,
    /// What is wrong, by way.
    pub counts: Counts,
    /// How long it took.
    pub seconds: u64,
}

impl Comparison {
    /// How many of the cases and kills are as they must be.
    pub fn passed(&self) -> usize {
        let cases = self.cases.iter().filter(|case| case.is_right()).count();
        cases + self.kills.iter().filter(|kills| kills.faults.is_empty()).count()
    }

    /// How many are not, boots without an outcome included.
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

/// What became of it; in words where there is no outcome.
enum Done {
    Cases(Vec<Row>),
    Kills(Kills),
    Failed(String),
}

/// Fetches, boots, measures and judges.
///
/// # Errors
/// Where there is nothing to boot or to try. Whatever goes wrong in a machine is in the comparison.
pub fn compare(options: &Options) -> Result<Comparison, Error> {
    let begun = Instant::now();
    let machines = Machines::prepare(options.arch)?;
    let fetched = options.series.iter().map(|series| stock_kernel::fetch(options.arch, series));
    let kernels = fetched.collect::<Result<Vec<_>, _>>()?;
    let jobs = kernels.iter().flat_map(|kernel| {
        let boots = boot::BOOTS.iter().map(move |boot| Job::Compare(kernel, boot));
        boots.chain([Job::Kill(kernel)])
    });
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

/// Runs the jobs, some at a time, and returns what became of them in the order of the jobs.
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

/// Runs one and says on standard error that it is done: it all takes minutes.
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
            (format!("{} killed checks and agents", kernel.release), kills)
        }
    };
    eprintln!("kernels: {what}: {} s", begun.elapsed().as_secs());
    done.unwrap_or_else(|why| Done::Failed(format!("{what}: {why}")))
}
