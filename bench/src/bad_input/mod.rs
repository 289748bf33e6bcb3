//! Section bad-input: what the operator does while others write without measure, and while the
//! server refuses or forgets.
//!
//! Each case has an operator of its own. A case that fails leaves the figures of the others.

mod everything;
mod flapping;
mod forgotten;
mod throttled;

use std::sync::Arc;

use serde::Serialize;

use crate::fleet::{Fleet, Proof};
use crate::operator::Operator;
use crate::world::{World, say};
use crate::{Failure, convergence};

/// Policies in the fleet that the last three cases share.
const POLICIES: usize = 20;

#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    pub nodes: usize,
    /// As many policies as can be in force, each of which selects every node.
    pub everything: Option<everything::Everything>,
    /// The server answers most requests with 429.
    pub throttled: Option<throttled::Throttled>,
    /// Somebody changes the labels of one node as fast as the server takes it.
    pub flapping: Option<flapping::Flapping>,
    /// The server forgets again and again what it has told its watchers: 410.
    pub forgotten: Option<forgotten::Forgotten>,
}

/// Measures all cases. Returns what failed, too.
pub async fn measure(nodes: usize) -> (Figures, Vec<String>) {
    let (mut figures, mut failed) = (Figures { nodes, ..Figures::default() }, Vec::new());
    figures.everything = kept("everything", everything::measure(nodes).await, &mut failed);
    let fleet = Fleet::new(nodes, POLICIES);
    let world = World::create(fleet, Proof::NotDenied).await.map(Arc::new);
    let Some(world) = kept("the fleet", world, &mut failed) else {
        return (figures, failed);
    };
    // The first, because it gives evidence to all nodes: taking it away would open the breaker.
    figures.throttled = kept("throttled", throttled::measure(&world).await, &mut failed);
    figures.flapping = kept("flapping", flapping::measure(&world).await, &mut failed);
    if let Some(mut world) = Arc::into_inner(world) {
        figures.forgotten = kept("forgotten", forgotten::measure(&mut world).await, &mut failed);
    }
    (figures, failed)
}

/// The figures, or None and the reason in `failed`.
fn kept<T>(what: &str, outcome: Result<T, Failure>, failed: &mut Vec<String>) -> Option<T> {
    outcome
        .inspect_err(|error| {
            say(&format!("{what} FAILED: {error}"));
            failed.push(format!("{what}: {error}"));
        })
        .ok()
}

/// An operator that has made everything right on a fleet on which all nodes can deny.
async fn running(world: &World) -> Result<Operator, Failure> {
    world.report_all(Proof::Denied).await?;
    convergence::started(world, Proof::Denied).await
}
