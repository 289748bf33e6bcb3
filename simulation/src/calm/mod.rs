//! Changes in calm weather, after everything has come to rest: each must be followed soon, whatever
//! single mishap meets it. So each thing that has to be noticed is tried alone, where nothing else
//! wakes the operator.
//!
//! ## Flow
//! a fresh node and policy → changes and mishaps as the seed says → for some seeds one of the
//! [`scenes`], or [`losses`].

mod losses;
mod scenes;

use std::time::Duration;

use crate::clock;
use crate::history::{reach, release};
use crate::model;
use crate::network::{Mishap, Network};
use crate::random;
use crate::replica::Replica;
use crate::server::kind::Kind;
use crate::step::{Foreign, KERNELS, Policy, REPLICAS, Report, Step, TRACING_POLICIES, Tetragon};
use crate::world::World;

/// Longest time until a change is followed.
const SOON: Duration = Duration::from_secs(5);
/// The same, where a write failed: above the first backoff.
const SOON_AFTER_FAILURE: Duration = Duration::from_secs(12);
/// The same, where no answer came: above the deadline of a request.
const SOON_AFTER_SILENCE: Duration = Duration::from_secs(22);
/// The same, where watches were broken: above their backoff.
const SOON_AFTER_GAP: Duration = Duration::from_secs(40);
/// Longest time until a mount is as it should be: a rollout may have to end first.
const SOON_AT_TETRAGON: Duration = Duration::from_mins(3);
/// The same, where the API server refused the change as invalid: a removal is tried again after ten
/// minutes.
const SOON_AFTER_INVALID: Duration = Duration::from_mins(13);
/// Longest time from one write to the next about the same change.
const SECOND_WRITE: Duration = Duration::from_secs(2);
/// How often somebody may change what is ours on the Node until the operator waits for minutes.
const MAX_CLAIMS: u8 = 2;
/// Changes of one history, before the gaps.
const CHANGES: usize = 3;
/// The policy that changes.
const POLICY: u8 = 3;

/// What else happens while something changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Trouble {
    Nothing,
    /// The next write about that kind.
    NextWrite(Kind, Mishap),
    /// The change is made while the watch of that kind is broken.
    Gap(Kind),
    /// The change is made while every watch is broken.
    Gaps,
}

impl Trouble {
    const fn within(self) -> Duration {
        match self {
            Self::Nothing => SOON,
            Self::NextWrite(_, Mishap::NoAnswer) => SOON_AFTER_SILENCE,
            Self::NextWrite(..) => SOON_AFTER_FAILURE,
            Self::Gap(_) | Self::Gaps => SOON_AFTER_GAP,
        }
    }
}

/// Plays the changes of that seed.
pub async fn play(world: &mut World, seed: u64) -> Result<(), String> {
    let mut calm = Calm { random: fastrand::Rng::with_seed(!seed), claims: 0 };
    let has_tracing_policies = world.server.lock().has_tracing_policies;
    let beginning = [
        Step::ReplaceNode(0),
        Step::Report(0, Report::DeniedOn(0)),
        Step::ApplyPolicy(POLICY, Policy::Taint),
        Step::PublishProfile(0),
        Step::PublishProfile(1),
    ];
    follow(world, Trouble::Nothing, &beginning).await?;
    if !has_tracing_policies && calm.random.u8(0..4) == 0 {
        world.change(Step::InstallTracingPolicies);
        // They are looked for every five seconds.
        tokio::time::sleep(SOON_AFTER_FAILURE).await;
    }
    for _ in 0..CHANGES {
        calm.change(world, false).await?;
    }
    match calm.random.u8(0..32) {
        0 | 1 => scenes::takeovers(world).await?,
        2 => scenes::stages(world).await?,
        3 => {
            scenes::contest(world).await?;
            calm.claims = MAX_CLAIMS;
        }
        4 | 5 => scenes::refusals(world, &mut calm.random).await?,
        6..9 => losses::losses(world, &mut calm.random).await?,
        9 => scenes::restarts(world, &mut calm.random).await?,
        10 | 11 => scenes::tracing_policies(world, &mut calm.random).await?,
        12 => scenes::profiles(world, &mut calm.random).await?,
        13 => scenes::contents(world).await?,
        14 => scenes::selection(world).await?,
        // These take long.
        15 => match calm.random.u8(0..8) {
            0 if !clock::has_jumped() => scenes::silence(world).await?,
            1 | 2 => scenes::reverts(world).await?,
            _ => {}
        },
        _ => {}
    }
    // The gaps are the last: when one watch is back, another may still be waiting.
    for _ in 0..2 {
        calm.change(world, true).await?;
    }
    Ok(())
}

struct Calm {
    random: fastrand::Rng,
    /// How often somebody changed what is ours on the Node: the more often, the later it is
    /// repaired.
    claims: u8,
}

impl Calm {
    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        random::one(&mut self.random, of)
    }

    /// One change after which something differs, and what meets it.
    async fn change(&mut self, world: &mut World, is_gap: bool) -> Result<(), String> {
        let (trouble, mut steps) = (self.trouble(is_gap), Vec::new());
        arrange(world, trouble).await;
        for _ in 0..8 {
            let step = self.step();
            steps.push(step);
            world.change(step);
            if let Step::ReplaceNode(_) = step {
                self.claims = 0;
            }
            if !model::differences(&world.server.lock()).is_empty() {
                break;
            }
        }
        settle(world, trouble, &steps).await
    }

    fn trouble(&mut self, is_gap: bool) -> Trouble {
        let (kind, written) = (self.one(&Kind::WATCHED), self.one(&Kind::WRITTEN));
        let mishap = self.one(&Mishap::ALL);
        match (is_gap, self.random.u8(0..4)) {
            (true, 0) => Trouble::Gaps,
            (true, _) => Trouble::Gap(kind),
            (false, 0 | 1) => Trouble::Nothing,
            (false, _) => Trouble::NextWrite(written, mishap),
        }
    }

    fn step(&mut self) -> Step {
        let kernel = self.random.u8(0..KERNELS);
        match self.random.u8(0..44) {
            0..8 => Step::Report(0, self.report(kernel)),
            8..12 => Step::Report(0, Report::DeniedOn(kernel)),
            12..14 => Step::DeleteReport(0),
            14..16 => Step::Reboot(0),
            16 => Step::RemoveNode(0),
            17 => Step::AddNode(0),
            18 => Step::ReplaceNode(0),
            19..25 => Step::ApplyPolicy(POLICY, self.policy()),
            25..28 => Step::DeletePolicy(POLICY),
            28 => Step::PublishProfile(kernel),
            29 => Step::DeleteProfile(kernel),
            30 => Step::FalseProfile(kernel),
            31 => Step::Foreign(0, Foreign::Zone(self.random.bool())),
            32..35 => self.claim(),
            35..38 => Step::ApplyTracingPolicy(self.random.u8(0..TRACING_POLICIES)),
            38..40 => Step::DeleteTracingPolicy(self.random.u8(0..TRACING_POLICIES)),
            40 => Step::EmptyStatus(POLICY),
            41 => Step::InstallTetragon(Tetragon::NeedsMount),
            42 => Step::DeleteTetragon,
            _ => Step::HoldTetragon(self.random.bool()),
        }
    }

    fn report(&mut self, kernel: u8) -> Report {
        self.one(&[
            Report::Denied,
            Report::DeniedOn(kernel),
            Report::Attached,
            Report::Untried,
            Report::OldBoot,
            Report::FailedCheck,
            Report::NoChecks,
            Report::WrongReason,
            Report::UnknownProbe,
            Report::NewProbe,
        ])
    }

    /// None whose taint goes on by tenths.
    fn policy(&mut self) -> Policy {
        self.one(&[
            Policy::Plain,
            Policy::Taint,
            Policy::TaintInZone,
            Policy::Hooks,
            Policy::TracingPolicies,
            Policy::MinReadyOne,
            Policy::Mount,
            Policy::NoMount,
        ])
    }

    /// Somebody changes what is ours on the Node.
    fn claim(&mut self) -> Step {
        self.claims += 1;
        if self.claims > MAX_CLAIMS {
            return Step::Report(0, Report::Attached);
        }
        let foreign = self.one(&[
            Foreign::OurLabel,
            Foreign::OurOldLabel,
            Foreign::OurPolicyLabel,
            Foreign::OurTaint,
            Foreign::NoTaintOfOurs,
            Foreign::OurCondition,
        ]);
        Step::Foreign(0, foreign)
    }
}

/// Makes the changes, and waits until they are followed.
async fn follow(world: &mut World, trouble: Trouble, steps: &[Step]) -> Result<(), String> {
    arrange(world, trouble).await;
    for step in steps {
        world.change(*step);
    }
    settle(world, trouble, steps).await
}

async fn arrange(world: &mut World, trouble: Trouble) {
    world.server.lock().trace.note(|| format!("in calm weather: {trouble:?}"));
    for replica in 0..REPLICAS {
        let fault = match trouble {
            Trouble::Nothing => continue,
            Trouble::NextWrite(kind, mishap) => Step::NextWrite { replica, kind, mishap },
            Trouble::Gap(kind) => Step::LoseWatch { replica, kind, milliseconds: 500 },
            Trouble::Gaps => Step::CutAndCompact { replica, milliseconds: 500 },
        };
        world.apply(fault).await;
    }
}

async fn settle(world: &mut World, trouble: Trouble, steps: &[Step]) -> Result<(), String> {
    world.server.lock().trace.note(|| format!("changed: {steps:?}"));
    let mut what = reach(world, trouble.within(), model::node_and_policy_differences).await;
    // Of three nodes that lose the same hook profile, the third is held.
    let is_held = model::changes_are_held(&world.server.lock());
    if what.is_err() && is_held {
        release(world);
        what = reach(world, trouble.within(), model::node_and_policy_differences).await;
    }
    what.map_err(|what| format!("too late: {trouble:?} {steps:?}, {what}"))?;
    if let Trouble::NextWrite(kind, _) = trouble {
        // The failed write may be a second one, whose object is right already.
        tokio::time::sleep(SECOND_WRITE).await;
        let is_met = world.replicas.iter().any(Replica::has_met_mishap);
        if is_met || kind == Kind::DaemonSet {
            tokio::time::sleep(trouble.within()).await;
        }
        world.replicas.iter().for_each(|replica| replica.on_network(Network::spare_next_write));
    }
    let refused = world.server.lock().mount_refused;
    let is_recent = refused.is_some_and(|at| clock::elapsed() < at + SOON_AFTER_INVALID);
    let within = if is_recent { SOON_AFTER_INVALID } else { SOON_AT_TETRAGON };
    let mounted = reach(world, within, model::differences).await;
    mounted.map_err(|what| format!("too late: {trouble:?} {steps:?}, {what}"))
}
