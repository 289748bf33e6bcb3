//! What was counted of each policy's nodes, kept from one evaluation to the next.
//!
//! In: the stores, and what a policy selects and requires. Out: how many of its nodes are ready,
//! and how far its spec has reached them. Only the nodes that changed since the last evaluation are
//! judged again: while 5,000 nodes change, 20 policies are evaluated each second.
//!
//! ## Guarantees
//! - The result is that of judging every node now. An object counts as changed when it is another
//!   one in memory, so nobody has to tell what changed.
//! - Of a node, each policy keeps eight bytes, and its name where the node is not ready.

mod counts;
mod places;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use lsm_ready_crds::selection::Selection;
use lsm_ready_crds::{LsmPolicy, LsmPolicySpec};
use parking_lot::Mutex;

use crate::context::Context;
use crate::policy::spec_change::Progress;
use crate::policy::status::Tally;
use crate::tracing_policies::requirement::Requirement;
use crate::tracing_policies::snapshot::Snapshot;

use self::counts::{Asks, Counts};
use self::places::Places;

/// The counts of all policies.
#[derive(Debug, Default)]
pub struct Census(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    places: Places,
    /// By the policy's UID.
    policies: HashMap<String, Counted>,
}

/// What was counted of one policy's nodes.
#[derive(Debug)]
struct Counted {
    spec: LsmPolicySpec,
    tracing_policies: Arc<Snapshot>,
    counts: Counts,
}

/// What a policy says, parsed.
#[derive(Clone, Copy)]
pub struct Parsed<'a> {
    pub selection: &'a Selection,
    pub requirement: &'a Requirement,
    pub tracing_policies: &'a Arc<Snapshot>,
}

/// How the policy's nodes stand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    pub tally: Tally,
    pub progress: Progress,
}

impl Census {
    /// Counts the nodes of a policy.
    pub fn standing(&self, policy: &LsmPolicy, parsed: Parsed<'_>, ctx: &Context) -> Standing {
        let mut inner = self.0.lock();
        let Inner { places, policies } = &mut *inner;
        if places.update(&ctx.stores) {
            // Too many of the nodes are gone: all that refers to their places begins anew.
            policies.clear();
        }
        let uid = policy.metadata.uid.clone().unwrap_or_default();
        let counted = policies.remove(&uid).filter(|counted| counted.is_of(policy, parsed));
        let mut counted = counted.unwrap_or_else(|| Counted {
            spec: policy.spec.clone(),
            tracing_policies: parsed.tracing_policies.clone(),
            counts: Counts::default(),
        });
        let asks = Asks::of(policy, parsed);
        counted.counts.update(places, &asks);
        let standing = counted.counts.standing(places, &asks, ctx);
        policies.insert(uid, counted);
        standing
    }

    /// Keeps the counts of the policies that exist.
    pub fn retain(&self, exists: impl Fn(&str) -> bool) {
        let mut inner = self.0.lock();
        inner.policies.retain(|uid, _| exists(uid));
        // Without a policy nobody would notice that nodes are gone.
        if inner.policies.is_empty() {
            *inner = Inner::default();
        }
    }
}

impl Counted {
    fn is_of(&self, policy: &LsmPolicy, parsed: Parsed<'_>) -> bool {
        self.spec == policy.spec && Arc::ptr_eq(&self.tracing_policies, parsed.tracing_policies)
    }
}
