//! Longer situations in calm weather, each with a promise of its own.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::{POLICY, SOON_AFTER_FAILURE, Trouble, follow};
use crate::clock;
use crate::history::{converge, reach};
use crate::model::{self, OUR_TAINTS};
use crate::network::{Mishap, Term};
use crate::objects::{node_name, profile_spec};
use crate::random::one;
use crate::server::Change;
use crate::server::kind::Kind;
use crate::step::{
    Foreign, KERNELS, NODES, POLICIES, Policy, REPLICAS, Report, Step, TRACING_POLICIES, Tetragon,
};
use crate::weather::Weather;
use crate::world::World;

/// Longest time from an orderly end to the next leader.
const AFTER_A_STOP: Duration = Duration::from_secs(3);
/// The same after the leader died or hangs.
pub(super) const AFTER_A_DEATH: Duration = Duration::from_secs(20);
/// Lists, and the first backoff of a watch.
pub(super) const LISTED: Duration = Duration::from_secs(5);
/// A policy is evaluated once more a second after its last change. That would follow the next one.
const UNTIL_REST: Duration = Duration::from_secs(3);
/// A leader keeps its Lease while nothing happens to it.
const KEPT: Duration = Duration::from_secs(25);

/// The leader stops in order, then another one hangs: the other replica takes over in time, and
/// what changed meanwhile is followed. Before that it waits although it could take the Lease.
pub async fn takeovers(world: &mut World) -> Result<(), String> {
    for replica in 0..REPLICAS {
        world.apply(Step::Start(replica)).await;
    }
    sleep(AFTER_A_DEATH).await;
    let leader = leader(world).ok_or("no leader at rest")?;
    sleep(KEPT).await;
    if self::leader(world) != Some(leader) {
        return Err("no leader stays although nothing happens to it".into());
    }
    world.apply(Step::Stop(leader)).await;
    let next = other_than(world, leader, AFTER_A_STOP).await?;
    world.apply(Step::Start(leader)).await;
    sleep(LISTED).await;
    late_writes(world, next).await;
    let next = self::leader(world).unwrap_or(next);
    world.apply(Step::Pause(next)).await;
    world.change(Step::ReplaceNode(0));
    world.change(Step::Report(0, Report::Denied));
    other_than(world, next, AFTER_A_DEATH).await?;
    let followed = converge(world, LISTED).await;
    followed.map_err(|what| format!("too late: after a takeover {what}"))?;
    world.apply(Step::Resume(next)).await;
    follow(world, Trouble::Nothing, &[Step::Reboot(0)]).await
}

/// The leader's renewals are slow. It is stopped before a write, and goes on just after the time in
/// which it may write, which begins when the renewal is sent. The checks find a write.
async fn late_writes(world: &mut World, leader: u8) {
    const JUST_AFTER: Duration = Duration::from_millis(10_200);
    world.set_weather(Weather { slow: 1_000, ..Weather::default() });
    slow_renewal(world, leader).await;
    world.apply(Step::PauseAtRequest(leader)).await;
    world.change(Step::ReplaceNode(0));
    world.change(Step::Report(0, Report::Denied));
    sleep(Duration::from_secs(4)).await;
    let renewed = world.replicas[usize::from(leader)].term().map(|term| term.renewed);
    let after = renewed.unwrap_or_default() + JUST_AFTER;
    sleep(after.saturating_sub(clock::elapsed())).await;
    world.apply(Step::Resume(leader)).await;
    world.set_weather(Weather::default());
    sleep(AFTER_A_DEATH).await;
}

/// Waits until a renewal was answered late, as long as the next one is not sent.
async fn slow_renewal(world: &World, leader: u8) {
    const LATE: Duration = Duration::from_millis(400);
    const LOOK: Duration = Duration::from_millis(20);
    let end = clock::elapsed() + Duration::from_mins(1);
    while clock::elapsed() < end {
        let term = world.replicas[usize::from(leader)].term();
        let is_late = term.is_some_and(|Term { renewed, answered, .. }| {
            answered.is_some_and(|at| at >= renewed + LATE && clock::elapsed() <= at + LOOK)
        });
        if is_late {
            return;
        }
        sleep(LOOK).await;
    }
}

/// The replica whose process holds the Lease.
fn leader(world: &World) -> Option<u8> {
    let process = world.server.lock().leader?;
    u8::try_from(process / 100).ok()
}

/// Waits until another replica leads.
async fn other_than(world: &World, old: u8, within: Duration) -> Result<u8, String> {
    let end = clock::elapsed() + within;
    loop {
        if let Some(leader) = leader(world).filter(|leader| *leader != old) {
            return Ok(leader);
        }
        if clock::elapsed() >= end {
            return Err(format!("no leader {within:?} after replica {old} ended"));
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// The taint of a new policy goes on by tenths where most nodes need it.
pub async fn stages(world: &mut World) -> Result<(), String> {
    (0..POLICIES).for_each(|policy| world.change(Step::DeletePolicy(policy)));
    for node in 0..NODES {
        world.change(Step::ReplaceNode(node));
        world.change(Step::Report(node, Report::Attached));
    }
    follow(world, Trouble::Nothing, &[]).await?;
    // A node that joins after the policy gets the taint at once.
    sleep(Duration::from_secs(2)).await;
    world.change(Step::ApplyPolicy(POLICY, Policy::SoftTaint));
    // Five nodes: the first tenth is one node, and so is the second.
    for (after, most) in [(5, 1), (45, 1), (50, 1)] {
        sleep(Duration::from_secs(after)).await;
        let tainted = tainted(world);
        if tainted > most {
            return Err(format!("too fast: {tainted} of {NODES} nodes have a staged taint"));
        }
    }
    follow(world, Trouble::Nothing, &[Step::ApplyPolicy(POLICY, Policy::Taint)]).await
}

fn tainted(world: &World) -> usize {
    let server = world.server.lock();
    let has = |node: &serde_json::Value| {
        let taints = node["spec"]["taints"].as_array();
        taints.into_iter().flatten().any(|taint| taint["key"] == OUR_TAINTS[1])
    };
    server.all(Kind::Node).filter(|(_, node)| has(node)).count()
}

/// A kubelet writes our condition each second: it is not answered each time, and repaired at last.
pub async fn contest(world: &mut World) -> Result<(), String> {
    const LIES: u64 = 40;
    follow(world, Trouble::Nothing, &[Step::ReplaceNode(0), Step::Report(0, Report::Attached)])
        .await?;
    let before = writes(world);
    for _ in 0..LIES {
        world.change(Step::Foreign(0, Foreign::OurCondition));
        sleep(Duration::from_secs(1)).await;
    }
    let written = writes(world).saturating_sub(before);
    if written > LIES / 3 {
        return Err(format!("write war: {written} writes against {LIES} of somebody else"));
    }
    let repaired = converge(world, Duration::from_mins(6)).await;
    repaired.map_err(|what| format!("too late: after a contest {what}"))
}

/// Changes of the Node that leave no lie in it: those of the operator.
fn writes(world: &World) -> u64 {
    let server = world.server.lock();
    let is_true = |node: &serde_json::Value| {
        model::condition(node).is_none_or(|condition| condition["reason"] != "Lie")
    };
    let log = server.log(Kind::Node).iter();
    log.filter(|it| it.key.1 == node_name(0) && is_true(&it.object)).count() as u64
}

/// A write of one object fails again and again, with a success between two failures.
pub async fn refusals(world: &mut World, random: &mut fastrand::Rng) -> Result<(), String> {
    let kind = if random.bool() { Kind::Node } else { Kind::Policy };
    let mishap = if random.bool() { Mishap::Refused } else { Mishap::Conflict };
    let policy = Step::ApplyPolicy(POLICY, Policy::Plain);
    follow(
        world,
        Trouble::Nothing,
        &[policy, Step::ReplaceNode(0), Step::Report(0, Report::Denied)],
    )
    .await?;
    for turn in 0..6 {
        let report = if turn % 2 == 0 { Report::Attached } else { Report::Denied };
        follow(world, Trouble::NextWrite(kind, mishap), &[Step::Report(0, report)]).await?;
    }
    Ok(())
}

/// A node is repaired while its agent runs: the agent is restarted, and the new one stays.
pub async fn restarts(world: &mut World, random: &mut fastrand::Rng) -> Result<(), String> {
    /// One agent is looked at in a minute, and all have to be there.
    const RESTARTED: Duration = Duration::from_mins(5);
    (0..POLICIES).for_each(|policy| world.change(Step::DeletePolicy(policy)));
    let release = one(random, &[Tetragon::NeedsMount, Tetragon::NeedsNoMount]);
    let beginning = [
        Step::InstallTetragon(release),
        Step::ApplyPolicy(POLICY, Policy::Restarts),
        Step::ReplaceNode(0),
        Step::Report(0, Report::Attached),
    ];
    follow(world, Trouble::Nothing, &beginning).await?;
    sleep(SOON_AFTER_FAILURE).await;
    follow(world, Trouble::Nothing, &[Step::Report(0, Report::Denied)]).await?;
    let restarted = reach(world, RESTARTED, model::tetragon::stale_agents).await;
    restarted.map_err(|what| format!("too late: {what}"))?;
    // An eviction of the new agent would be a wrong one.
    sleep(RESTARTED / 2).await;
    Ok(())
}

/// Another manager removes the mount again and again: it is not answered each time, and the mount is
/// back at last.
pub async fn reverts(world: &mut World) -> Result<(), String> {
    const REVERTS: usize = 8;
    const BETWEEN: Duration = Duration::from_secs(30);
    (0..POLICIES).for_each(|policy| world.change(Step::DeletePolicy(policy)));
    let beginning = [
        Step::InstallTetragon(Tetragon::NeedsMount),
        Step::ApplyPolicy(POLICY, Policy::Mount),
        Step::ReplaceNode(0),
        Step::Report(0, Report::Denied),
    ];
    follow(world, Trouble::Nothing, &beginning).await?;
    let before = mounts(world);
    for _ in 0..REVERTS {
        world.change(Step::RevertMount);
        sleep(BETWEEN).await;
    }
    let added = mounts(world) - before;
    if added > REVERTS / 2 {
        return Err(format!("write war: the mount was added {added} times in {REVERTS} reverts"));
    }
    let mounted = converge(world, Duration::from_mins(15)).await;
    mounted.map_err(|what| format!("too late: after the reverts {what}"))
}

/// How often the mount was added.
fn mounts(world: &World) -> usize {
    let server = world.server.lock();
    let log = server.log(Kind::DaemonSet);
    let has = |change: &Change| model::tetragon::has_mount(&change.object);
    log.windows(2).filter(|pair| !has(&pair[0]) && has(&pair[1])).count()
}

/// The hook profile of the node's kernel comes and goes, and a false one takes its place.
pub async fn contents(world: &mut World) -> Result<(), String> {
    let beginning = [
        Step::DeleteProfile(0),
        Step::PublishProfile(0),
        Step::ReplaceNode(0),
        Step::Report(0, Report::DeniedOn(0)),
        Step::ApplyPolicy(POLICY, Policy::Hooks),
    ];
    follow(world, Trouble::Nothing, &beginning).await?;
    for step in [Step::DeleteProfile(0), Step::PublishProfile(0)] {
        sleep(UNTIL_REST).await;
        follow(world, Trouble::Nothing, &[step]).await?;
    }
    sleep(UNTIL_REST).await;
    follow(world, Trouble::Nothing, &[Step::DeleteProfile(0), Step::FalseProfile(0)]).await
}

/// The policy selects the node by a label, which comes and goes.
pub async fn selection(world: &mut World) -> Result<(), String> {
    let beginning = [
        Step::ApplyPolicy(POLICY, Policy::TaintInZone),
        Step::ReplaceNode(0),
        Step::Report(0, Report::Attached),
    ];
    follow(world, Trouble::Nothing, &beginning).await?;
    for is_selected in [true, false, true] {
        sleep(UNTIL_REST).await;
        let zone = Step::Foreign(0, Foreign::Zone(is_selected));
        follow(world, Trouble::Nothing, &[zone]).await?;
    }
    Ok(())
}

/// The probe falls silent for an hour and a half, and is back: the condition says so at once, and
/// stays True.
pub async fn silence(world: &mut World) -> Result<(), String> {
    /// Ten seconds before 90 minutes are over, and five seconds after that.
    const AFTER: [(Duration, bool); 2] =
        [(Duration::from_secs(5_390), false), (Duration::from_secs(5_405), true)];
    let reported = Instant::now();
    follow(world, Trouble::Nothing, &[Step::ReplaceNode(0), Step::Report(0, Report::Denied)])
        .await?;
    for (after, should) in AFTER {
        sleep_until(reported + after).await;
        says_silent(world, should)?;
    }
    follow(world, Trouble::Nothing, &[Step::Renew(0)]).await?;
    sleep(LISTED).await;
    says_silent(world, false)
}

fn says_silent(world: &World, should: bool) -> Result<(), String> {
    let server = world.server.lock();
    let node = server.named(Kind::Node, &node_name(0));
    let condition = node.and_then(|node| model::condition(node)).cloned().unwrap_or_default();
    let is_silent = condition["reason"] == "ProbeSilent";
    if (is_silent == should && condition["status"] == "True") || server.failure.is_some() {
        return Ok(());
    }
    Err(format!("too late: silent is {is_silent}, not {should}: {condition}"))
}

/// TracingPolicies come and go. A hook that one of them needs is missing in the node's kernel.
pub async fn tracing_policies(world: &mut World, random: &mut fastrand::Rng) -> Result<(), String> {
    world.change(Step::InstallTracingPolicies);
    sleep(SOON_AFTER_FAILURE).await;
    let mut beginning: Vec<Step> = (0..TRACING_POLICIES).map(Step::DeleteTracingPolicy).collect();
    beginning.extend((0..KERNELS).map(Step::DeleteProfile));
    beginning.extend((0..KERNELS).map(Step::PublishProfile));
    beginning.extend([
        Step::ReplaceNode(0),
        Step::Report(0, Report::DeniedOn(1)),
        Step::ApplyPolicy(POLICY, Policy::TracingPolicies),
    ]);
    follow(world, Trouble::Nothing, &beginning).await?;
    for _ in 0..2 {
        let number = random.u8(0..TRACING_POLICIES);
        follow(world, Trouble::Nothing, &[Step::ApplyTracingPolicy(number)]).await?;
        follow(world, Trouble::Nothing, &[Step::DeleteTracingPolicy(number)]).await?;
    }
    Ok(())
}

/// A node publishes more hook profiles than its reports name: the oldest of these go after five
/// minutes, all after an hour, and the one that is named never.
pub async fn profiles(world: &mut World, random: &mut fastrand::Rng) -> Result<(), String> {
    /// Two more than may stay without a name.
    const PUBLISHED: u8 = 13;
    const SURPLUS: u8 = 2;
    /// The five minutes, and the next sweep.
    const SURPLUS_GONE: Duration = Duration::from_mins(7);
    const ALL_GONE: Duration = Duration::from_mins(56);
    world.change(Step::AddNode(0));
    (0..PUBLISHED).for_each(|kernel| world.change(Step::DeleteProfile(kernel)));
    for kernel in 0..PUBLISHED {
        world.change(Step::PublishProfile(kernel));
        for node in 0..NODES {
            world.change(Step::Report(node, Report::DeniedOn(0)));
        }
        // Their age is in whole seconds.
        sleep(Duration::from_secs(1)).await;
    }
    sleep(SURPLUS_GONE).await;
    let left = (0..PUBLISHED).filter(|kernel| !(1..=SURPLUS).contains(kernel));
    has_profiles(world, &left.collect::<Vec<_>>())?;
    if random.u8(0..8) > 0 {
        return Ok(());
    }
    sleep(ALL_GONE).await;
    has_profiles(world, &[0])
}

fn has_profiles(world: &World, should: &[u8]) -> Result<(), String> {
    let server = world.server.lock();
    let name = |kernel: &u8| profile_spec(*kernel).digest();
    let is_there = |kernel: &u8| server.named(Kind::Profile, &name(kernel)).is_some();
    let is: Vec<u8> = (0..=u8::MAX).filter(is_there).collect();
    if is == should || server.failure.is_some() {
        return Ok(());
    }
    Err(format!("the profiles are those of kernels {is:?}, not {should:?}"))
}
