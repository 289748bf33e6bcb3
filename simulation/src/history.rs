//! One history: its steps, then all faults end, and everything must come to rest as it should be.
//!
//! ## Flow
//! steps → the faults end → everything converges to the model → nothing is written any more → some
//! changes in calm weather, each of which must be followed soon, also after one refused write. Most
//! histories have a part of it ([`Course`]).

use std::thread;
use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::sleep;

use crate::calm;
use crate::clock;
use crate::generate;
use crate::model;
use crate::network::Network;
use crate::random;
use crate::server::Server;
use crate::server::kind::Kind;
use crate::step::{POLICIES, Step};
use crate::weather::Weather;
use crate::world::World;

/// Longest time until everything has converged after the faults: above the longest backoff.
const CONVERGED_AFTER: Duration = Duration::from_mins(20);
/// How often a person looks whether the circuit breaker holds changes, at first.
const LOOK_AFTER: Duration = Duration::from_secs(30);
const LOOKS: u32 = 4;
/// What may still be written after everything has converged: Events, and what follows from
/// TracingPolicies, which are looked for every 30 seconds.
const AFTERMATH: Duration = Duration::from_secs(40);
/// How long nothing may be written then.
const SILENCE: Duration = Duration::from_secs(20);
/// The same for every eighth of these histories, and for every sixty-fourth.
const LONG_SILENCES: [Duration; 2] = [Duration::from_secs(70), Duration::from_mins(10)];

/// Which parts a history has. The seed says it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Course {
    /// Steps and faults, until everything has converged.
    Steps,
    /// A beginning without faults, and changes in calm weather.
    Calm,
    /// Everything, with a rest between.
    Whole,
}

impl Course {
    const fn of(seed: u64) -> Self {
        match seed % 8 {
            0 => Self::Whole,
            1..4 => Self::Steps,
            _ => Self::Calm,
        }
    }
}

/// What came of a history.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub failure: Option<String>,
    /// Equal for equal histories.
    pub hash: u64,
    pub requests: u64,
    pub writes: u64,
    /// Virtual time.
    pub lasted: Duration,
    /// What happened, line by line, where it was asked for.
    pub lines: Vec<String>,
}

/// What goes wrong, in one or two words.
const INVARIANTS: [&str; 26] = [
    "wrong eviction",
    "idle write",
    "too many losses",
    "not repeatable",
    "false ready",
    "not ours",
    "no version",
    "no lease",
    "no list",
    "taken too early",
    "taken too late",
    "wrong transition time",
    "wrong taint",
    "too fast",
    "write war",
    "two writes",
    "own write",
    "no leader",
    "not modelled",
    "the mount",
    "the profile",
    "not converged",
    "not silent",
    "too late",
    "too many requests",
    "panicked",
];

impl Outcome {
    /// The invariant that does not hold.
    #[must_use]
    pub fn invariant(&self) -> Option<&'static str> {
        let failure = self.failure.as_deref()?;
        Some(INVARIANTS.into_iter().find(|name| failure.contains(name)).unwrap_or("other"))
    }
}

/// The steps of that seed.
#[must_use]
pub fn steps(seed: u64) -> Vec<Step> {
    match Course::of(seed) {
        Course::Steps | Course::Whole => generate::history(seed),
        Course::Calm => generate::beginning(seed),
    }
}

/// Runs the history of that seed.
#[must_use]
pub fn of_seed(seed: u64) -> Outcome {
    run(seed, &steps(seed), false)
}

/// Runs these steps. The seed decides what the steps leave open.
#[must_use]
pub fn run(seed: u64, steps: &[Step], with_lines: bool) -> Outcome {
    let steps = steps.to_vec();
    // A new thread, because the keys of its hash maps are drawn once.
    let history = thread::Builder::new().stack_size(1 << 20).spawn(move || {
        random::seed(seed);
        runtime().map(|runtime| LocalSet::new().block_on(&runtime, live(seed, steps, with_lines)))
    });
    match history.map(thread::JoinHandle::join) {
        Ok(Ok(Ok(outcome))) => outcome,
        Ok(Ok(Err(error))) | Err(error) => failed(format!("cannot run: {error}")),
        Ok(Err(panic)) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            failed(format!("panicked: {}", text.unwrap_or_default()))
        }
    }
}

fn failed(what: String) -> Outcome {
    Outcome { failure: Some(what), ..Outcome::default() }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()
}

async fn live(seed: u64, steps: Vec<Step>, with_lines: bool) -> Outcome {
    clock::begin();
    let mut world = World::new(seed);
    if with_lines {
        world.server.lock().trace.lines = Some(Vec::new());
    }
    let failure = played(&mut world, seed, steps).await;
    let mut server = world.server.lock();
    let failure = server.failure.take().or(failure.err());
    Outcome {
        failure,
        hash: server.trace.hash(),
        requests: server.trace.requests,
        writes: server.trace.writes,
        lasted: clock::elapsed(),
        lines: server.trace.lines.take().unwrap_or_default(),
    }
}

async fn played(world: &mut World, seed: u64, steps: Vec<Step>) -> Result<(), String> {
    for step in steps {
        world.apply(step).await;
        if world.server.lock().failure.is_some() {
            return Ok(());
        }
    }
    heal(world);
    recover(world).await.map_err(|what| format!("not converged: {what}"))?;
    match Course::of(seed) {
        Course::Steps => return Ok(()),
        Course::Calm => {}
        Course::Whole => silence(world, span(seed / 8)).await?,
    }
    calm::play(world, seed).await
}

/// How long nothing may be written in the history of that number.
const fn span(number: u64) -> Duration {
    match number {
        _ if number.is_multiple_of(64) => LONG_SILENCES[1],
        _ if number.is_multiple_of(8) => LONG_SILENCES[0],
        _ => SILENCE,
    }
}

/// All faults end.
fn heal(world: &mut World) {
    world.server.lock().trace.note(|| "all faults end".to_owned());
    world.set_weather(Weather::default());
    for replica in &mut world.replicas {
        replica.on_network(|network| network.pause(false));
        replica.on_network(Network::spare_next_write);
    }
    if !world.replicas.iter().any(crate::replica::Replica::is_started) {
        world.replicas[0].start();
    }
    // Without any node no agent can fail, and nobody can know whether a mount does harm.
    if world.server.lock().all(Kind::Node).next().is_none() {
        world.change(Step::AddNode(0));
    }
}

/// Waits until everything has converged. A person releases the circuit breaker where it is open.
async fn recover(world: &mut World) -> Result<(), String> {
    for _ in 0..LOOKS {
        if reach(world, LOOK_AFTER, everything).await.is_ok() {
            return Ok(());
        }
        if model::changes_are_held(&world.server.lock()) {
            break;
        }
    }
    if model::changes_are_held(&world.server.lock()) {
        release(world);
    }
    reach(world, CONVERGED_AFTER, everything).await
}

/// What differs, and the agents that are still stale: their turn comes once a minute.
fn everything(server: &Server) -> Vec<String> {
    [model::differences(server), model::tetragon::stale_agents(server)].concat()
}

/// A person releases the circuit breaker: at a policy, or where there is none at the Lease.
pub fn release(world: &mut World) {
    world.server.lock().trace.note(|| "the circuit breaker is released".to_owned());
    if world.server.lock().all(Kind::Policy).next().is_none() {
        annotate_lease(world, &serde_json::json!("release"));
    }
    for policy in 0..POLICIES {
        world.change(Step::Release(policy));
    }
}

/// Sets the annotation of the Lease by which a person releases the circuit breaker, or removes it.
pub fn annotate_lease(world: &World, text: &serde_json::Value) {
    let mut server = world.server.lock();
    let leases: Vec<_> = server.all(Kind::Lease).map(|(key, _)| key.clone()).collect();
    for key in leases {
        server.edit(Kind::Lease, &key, |lease| {
            let change = serde_json::json!({"annotations": {"lsmready.io/breaker": text}});
            crate::server::patch::merge(&mut lease["metadata"], &change);
        });
    }
}

/// Waits until nothing differs from the model.
pub async fn converge(world: &World, within: Duration) -> Result<(), String> {
    reach(world, within, model::differences).await
}

/// Waits until nothing differs.
pub async fn reach(
    world: &World,
    within: Duration,
    differences: fn(&Server) -> Vec<String>,
) -> Result<(), String> {
    let end = clock::elapsed() + within;
    let mut pause = Duration::from_millis(200);
    let (mut seen, mut found) = (None, Vec::new());
    loop {
        {
            let server = world.server.lock();
            if server.failure.is_some() {
                return Ok(());
            }
            // What has not changed differs as before.
            if seen.replace(server.state()) != Some(server.state()) {
                found = differences(&server);
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        if clock::elapsed() >= end {
            return Err(format!("after {} s: {}", within.as_secs(), found.join("; ")));
        }
        sleep(pause.min(end.saturating_sub(clock::elapsed()))).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}

/// Two more spans may follow: a list that hung, and its backoff, can take two minutes, and a mount
/// that was refused is tried again after one.
async fn silence(world: &World, span: Duration) -> Result<(), String> {
    sleep(AFTERMATH).await;
    for _ in 0..2 {
        if silent_for(world, span).await.is_ok() {
            return Ok(());
        }
    }
    silent_for(world, span).await
}

async fn silent_for(world: &World, span: Duration) -> Result<(), String> {
    let before = world.server.lock().trace.writes;
    sleep(span).await;
    let server = world.server.lock();
    let differences = model::differences(&server);
    if !differences.is_empty() {
        return Err(format!("not converged: it changed at rest: {}", differences.join("; ")));
    }
    let writes = server.trace.writes - before;
    if writes == 0 {
        return Ok(());
    }
    let (seconds, last) = (span.as_secs(), &server.trace.last_write);
    Err(format!("not silent: {writes} writes in {seconds} s at rest, the last is {last}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::Foreign;

    #[test]
    fn one_seed_is_one_history() {
        random::init();
        let (first, second) = (of_seed(7), of_seed(7));
        assert_eq!((first.failure, first.hash), (None, second.hash));
        assert!(first.requests > 50 && first.writes > 5, "{} requests", first.requests);
        assert_ne!(of_seed(8).hash, first.hash);
    }

    #[test]
    fn without_an_operator_nothing_converges() {
        random::init();
        // Its only process is cut off for longer than the simulation waits.
        let steps = [
            Step::AddNode(0),
            Step::Start(0),
            Step::Wait { milliseconds: 1 },
            Step::Cut { replica: 0, milliseconds: 4_000_000 },
            Step::Foreign(0, Foreign::OurOldLabel),
        ];
        let outcome = run(1, &steps, false);
        assert_eq!(outcome.invariant(), Some("not converged"), "{:?}", outcome.failure);
    }
}
