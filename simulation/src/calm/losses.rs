//! Many nodes lose ready in calm weather: at most two move, and the others are held until a person
//! releases them, or until the losses are over.

use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use super::scenes::{AFTER_A_DEATH, LISTED};
use super::{POLICY, SOON_AFTER_FAILURE, Trouble, follow};
use crate::clock;
use crate::history::{annotate_lease, reach};
use crate::model;
use crate::network::Network;
use crate::objects::{node_name, policy_name};
use crate::random::one;
use crate::server::Server;
use crate::server::kind::Kind;
use crate::step::{Foreign, NODES, POLICIES, Policy, Report, Step};
use crate::world::World;

/// Most nodes lose ready one after the other, in a minute or by a new probe: the third is held,
/// also by another leader, until a person releases it.
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
    let claims_meanwhile = random.u8(0..3) == 0;
    // Where three lose ready, the one that is held would not be too many by itself.
    let losing = random.u8(3..=NODES);
    for node in 0..losing {
        world.change(Step::Report(node, report));
        sleep(Duration::from_millis(random.u64(1..longest))).await;
        // The breaker remembers a loss that the condition does not tell any more.
        if claims_meanwhile && node < 2 && !shows_ready(world, node) {
            world.change(Step::Foreign(node, Foreign::OurCondition));
            sleep(LISTED).await;
        }
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
    claims(world, random.usize(..CLAIMS.len())).await?;
    if random.bool() {
        stays_held(world).await?;
    }
    if random.bool() {
        recovery(world, losing, random).await?;
    }
    follow(world, Trouble::Nothing, &[]).await
}

/// The nodes that have lost ready can deny again, reboot, are made anew or go. Those that are held
/// are not too many by themselves: without a person they follow, and nothing is held any more.
async fn recovery(world: &mut World, losing: u8, random: &mut fastrand::Rng) -> Result<(), String> {
    let lost: Vec<u8> = (0..losing).filter(|node| !shows_ready(world, *node)).collect();
    if usize::from(losing) >= lost.len() + 3 {
        return Ok(());
    }
    for node in lost {
        world.change(one(
            random,
            &[
                Step::Report(node, Report::Denied),
                Step::Reboot(node),
                Step::ReplaceNode(node),
                Step::RemoveNode(node),
            ],
        ));
    }
    let closed = reach(world, SOON_AFTER_FAILURE, not_closed).await;
    closed.map_err(|what| format!("too late: after the losses were over {what}"))?;
    follow(world, Trouble::Nothing, &[Step::ReplaceNode(0), Step::Report(0, Report::Denied)]).await
}

fn not_closed(server: &Server) -> Vec<String> {
    let mut found = model::node_and_policy_differences(server);
    found.extend(model::changes_are_held(server).then(|| "changes are held".to_owned()));
    found
}

/// The losses count for as long as the breaker is open, also after a restart.
async fn stays_held(world: &mut World) -> Result<(), String> {
    /// Longer than losses count while the breaker is closed.
    const LONG_AFTER: Duration = Duration::from_secs(65);
    let ready = |world: &World| (0..NODES).filter(|node| shows_ready(world, *node)).count();
    let before = ready(world);
    sleep(LONG_AFTER).await;
    world.replicas.iter().for_each(|replica| replica.on_network(Network::kill));
    sleep(AFTER_A_DEATH).await;
    if ready(world) < before && !clock::has_jumped() && world.server.lock().failure.is_none() {
        return Err("too many losses: a restart has ended the holding".into());
    }
    Ok(())
}

/// What somebody may claim.
const CLAIMS: [Foreign; 4] =
    [Foreign::OurLabel, Foreign::OurCondition, Foreign::ForgedCondition, Foreign::OurPolicyLabel];

/// Somebody claims that the nodes are ready which have lost it. The breaker does not hold that.
async fn claims(world: &mut World, first: usize) -> Result<(), String> {
    let lost: Vec<u8> = (0..NODES).filter(|node| !shows_ready(world, *node)).collect();
    for (number, node) in lost.iter().enumerate() {
        world.change(Step::Foreign(*node, CLAIMS[(first + number) % CLAIMS.len()]));
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
        let labels = &node["metadata"]["labels"];
        labels[model::BPF] == "true"
            || labels[format!("{}{}", model::POLICY_PREFIX, policy_name(POLICY))] == "ready"
            || model::condition(node).is_some_and(|condition| condition["status"] == "True")
    })
}
