//! Longer situations in calm weather, each with a promise of its own.

use std::time::Duration;

use tokio::time::sleep;

use serde_json::Value;

use super::{POLICY, SOON_AFTER_FAILURE, Trouble, follow};
use crate::clock;
use crate::history::{annotate_lease, converge};
use crate::model::{self, OUR_TAINTS};
use crate::network::{Mishap, Network};
use crate::objects::node_name;
use crate::server::kind::Kind;
use crate::step::{Foreign, NODES, POLICIES, Policy, REPLICAS, Report, Step};
use crate::world::World;

/// Longest time from an orderly end to the next leader.
const AFTER_A_STOP: Duration = Duration::from_secs(3);
/// The same after the leader died or hangs.
const AFTER_A_DEATH: Duration = Duration::from_secs(20);
/// Lists, and the first backoff of a watch.
const LISTED: Duration = Duration::from_secs(5);
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
    world.apply(Step::Pause(next)).await;
    world.change(Step::ReplaceNode(0));
    world.change(Step::Report(0, Report::Denied));
    other_than(world, next, AFTER_A_DEATH).await?;
    let followed = converge(world, LISTED).await;
    followed.map_err(|what| format!("too late: after a takeover {what}"))?;
    world.apply(Step::Resume(next)).await;
    follow(world, Trouble::Nothing, &[Step::Reboot(0)]).await
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

/// All nodes lose ready one after the other, in a minute or by a new probe: the third is held, also
/// by another leader, until a person releases it.
pub async fn losses(world: &mut World, random: &mut fastrand::Rng) -> Result<(), String> {
    (0..POLICIES).for_each(|policy| world.change(Step::DeletePolicy(policy)));
    annotate_lease(world, &Value::Null);
    let mut beginning = vec![Step::ApplyPolicy(POLICY, Policy::Taint)];
    for node in 0..NODES {
        beginning.extend([Step::ReplaceNode(node), Step::Report(node, Report::Denied)]);
    }
    follow(world, Trouble::Nothing, &beginning).await?;
    let is_new_probe = random.bool();
    let (report, longest) =
        if is_new_probe { (Report::NewProbe, 70_000) } else { (Report::Attached, 9_000) };
    let dies_after = random.u8(0..NODES * 2);
    for node in 0..NODES {
        world.change(Step::Report(node, report));
        sleep(Duration::from_millis(random.u64(1..longest))).await;
        if node == dies_after {
            world.replicas.iter().for_each(|replica| replica.on_network(Network::kill));
        }
    }
    sleep(AFTER_A_DEATH).await;
    let is_held = {
        let server = world.server.lock();
        model::changes_are_held(&server) || server.failure.is_some()
    };
    if !clock::has_jumped() && !is_held {
        return Err("too many losses: no policy says that changes are held".into());
    }
    claims(world).await?;
    follow(world, Trouble::Nothing, &[]).await
}

/// Somebody claims that the nodes are ready which have lost it. The breaker does not hold that.
async fn claims(world: &mut World) -> Result<(), String> {
    let lost: Vec<u8> = (0..NODES).filter(|node| !shows_ready(world, *node)).collect();
    for (number, node) in lost.iter().enumerate() {
        let claim = if number % 2 == 0 { Foreign::OurLabel } else { Foreign::OurCondition };
        world.change(Step::Foreign(*node, claim));
    }
    sleep(SOON_AFTER_FAILURE).await;
    let is_over = world.server.lock().failure.is_some();
    match lost.into_iter().find(|node| !is_over && shows_ready(world, *node)) {
        Some(node) => Err(format!("false ready: a claim about node {node} is held")),
        None => Ok(()),
    }
}

fn shows_ready(world: &World, node: u8) -> bool {
    let server = world.server.lock();
    server.named(Kind::Node, &node_name(node)).is_some_and(|node| {
        node["metadata"]["labels"][model::BPF] == "true"
            || model::condition(node).is_some_and(|condition| condition["status"] == "True")
    })
}
