//! What has to happen before the operator is ready.
//!
//! In: the names of the steps, and which of them are done. Out: the steps that are pending, for
//! `/readyz`.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube_runtime::reflector::{Lookup, Store};
use parking_lot::Mutex;

use crate::watch::store::Stores;

pub const ELECTION: &str = "the leader election";
const NODES: &str = "the list of Nodes";
const REPORTS: &str = "the list of LsmNodes";
const PROFILES: &str = "the list of LsmHookProfiles";
const POLICIES: &str = "the list of LsmPolicies";
const DAEMON_SETS: &str = "the list of DaemonSets";
const TRACING_POLICIES: &str = "the search for TracingPolicies";
const ALL: [&str; 7] =
    [ELECTION, NODES, REPORTS, PROFILES, POLICIES, DAEMON_SETS, TRACING_POLICIES];

/// The pending steps. A clone shares them.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<Mutex<BTreeSet<&'static str>>>);

impl Default for Readiness {
    /// Every step is pending.
    fn default() -> Self {
        Self(Arc::new(Mutex::new(ALL.into())))
    }
}

impl Readiness {
    pub fn done(&self, step: &'static str) {
        self.0.lock().remove(step);
    }

    pub fn all_done(&self) {
        self.0.lock().clear();
    }

    pub fn pending(&self) -> Vec<&'static str> {
        self.0.lock().iter().copied().collect()
    }

    /// Returns when every store has its first list.
    pub async fn wait_for_lists(&self, stores: &Stores) {
        tokio::join!(
            self.wait_for_list(&stores.nodes, NODES),
            self.wait_for_list(&stores.reports, REPORTS),
            self.wait_for_list(&stores.profiles, PROFILES),
            self.wait_for_list(&stores.policies, POLICIES),
            self.wait_for_list(&stores.daemon_sets, DAEMON_SETS),
            async {
                // A missing CRD and a missing right both count as done: neither may hold up the
                // rest.
                stores.tracing_policies.settled().await;
                self.done(TRACING_POLICIES);
            },
        );
    }

    async fn wait_for_list<K>(&self, store: &Store<K>, step: &'static str)
    where
        K: Lookup<DynamicType = ()> + Clone + 'static,
    {
        if store.wait_until_ready().await.is_ok() {
            self.done(step);
        }
    }
}
