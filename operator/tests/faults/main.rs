//! Faults on a real API server and etcd, with two real replicas of the operator.
//!
//! Each scenario breaks something while the world changes. Then everything has to be as the world
//! asks for within the scenario's limit, and the operator has to be silent. Histories of the
//! simulation follow ([`seeds`]). The outcome is two tables. `SCENARIO=name` runs one scenario, or
//! `SCENARIO=seeds` the histories only; `SEED=number` repeats the changes of an earlier run, and
//! begins the histories there; `HISTORIES=number` runs as many.
#![allow(clippy::unwrap_used, reason = "what cannot be prepared fails the test")]

mod bench;
#[path = "../api/pool.rs"]
#[allow(dead_code, reason = "this binary uses a part of it")]
mod pool;
#[path = "../api/process.rs"]
#[allow(dead_code, reason = "this binary uses a part of it")]
mod process;
#[path = "../../../tetragon/tests/releases/mod.rs"]
mod releases;
mod replica;
mod scenarios;
mod seeds;
#[path = "../api/server.rs"]
#[allow(dead_code, reason = "this binary uses a part of it")]
mod server;
mod world;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use e2e::api::ApiServer;

use self::bench::Bench;
use self::scenarios::{SCENARIOS, Scenario};

/// How many histories of the simulation are run, if `HISTORIES` does not say it.
const HISTORIES: u64 = 20;

/// What one scenario showed.
struct Outcome {
    name: &'static str,
    took: Duration,
    limit: Duration,
    /// How long it took until everything was right, or what was wrong at the limit.
    converged: Result<Duration, String>,
    writes_at_rest: Vec<String>,
}

impl Outcome {
    fn passed(&self) -> bool {
        self.converged.is_ok() && self.writes_at_rest.is_empty()
    }

    fn row(&self) -> String {
        let right = match &self.converged {
            Ok(after) => format!("{:.1} s", after.as_secs_f64()),
            Err(_) => "never".to_owned(),
        };
        format!(
            "{:<52} {:>6.0} s {:>8} {:>6.0} s {:>6}  {}",
            self.name,
            self.took.as_secs_f64(),
            right,
            self.limit.as_secs_f64(),
            self.writes_at_rest.len(),
            if self.passed() { "ok" } else { "FAILED" }
        )
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let only = std::env::var("SCENARIO").ok();
    println!("seed {seed}");
    println!("{:<52} {:>8} {:>8} {:>8} {:>6}", "fault", "took", "right in", "limit", "writes");
    let mut bench = Bench::new(server::start("faults").await, seed).await;
    let mut failed = 0;
    for scenario in SCENARIOS {
        if only.as_ref().is_some_and(|only| !scenario.name.contains(only)) {
            continue;
        }
        let outcome = run(scenario, &mut bench).await;
        println!("{}", outcome.row());
        if let Err(wrong) = &outcome.converged {
            println!("    {wrong}");
        }
        for write in &outcome.writes_at_rest {
            println!("    at rest: {write}");
        }
        failed += usize::from(!outcome.passed());
    }
    if only.is_none_or(|only| only == "seeds") {
        let Bench { server, replicas, .. } = bench;
        drop(replicas);
        failed += histories(&server, seed).await;
    }
    println!("{failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs histories of the simulation. Returns how many failed.
async fn histories(server: &ApiServer, first: u64) -> usize {
    println!("{:<52} {:>8} {:>8}", "history of the simulation", "took", "right in");
    let mut failed = 0;
    let number = std::env::var("HISTORIES").ok().and_then(|number| number.parse().ok());
    for seed in first..first + number.unwrap_or(HISTORIES) {
        let outcome = seeds::run(server, seed).await;
        let name = format!("seed {}, {} acts", outcome.seed, outcome.acts);
        let took = outcome.took.as_secs_f64();
        match outcome.converged {
            Ok(after) => println!("{name:<52} {took:>6.0} s {:>6.1} s  ok", after.as_secs_f64()),
            Err(wrong) => {
                println!("{name:<52} {took:>6.0} s {:>8}  FAILED\n    {wrong}", "never");
                failed += 1;
            }
        }
    }
    failed
}

async fn run(scenario: &Scenario, bench: &mut Bench) -> Outcome {
    bench.recover().await;
    let settled = bench.converge(Duration::from_mins(2)).await;
    let begun = Instant::now();
    let converged = match settled {
        Ok(_) => (scenario.run)(bench).await,
        Err(wrong) => Err(format!("before the fault: {wrong}")),
    };
    let writes_at_rest = bench.writes_at_rest().await;
    Outcome {
        name: scenario.name,
        took: begun.elapsed(),
        limit: scenario.limit,
        converged,
        writes_at_rest,
    }
}
