//! What keeps this replica from being ready, for `/readyz`.
//!
//! | this replica | is ready |
//! |---|---|
//! | stands by | while it reaches the Lease |
//! | leads | when every store has its first list, and while the watches work |
//!
//! In: what the election and the watches report. Out: one line for each thing that is missing, with
//! the API server's own words. Nothing here decides who leads: all replicas have the same rights,
//! so another leader would miss the same.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use lsm_ready_crds::text::truncate;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::run::lease::LEASE;
use crate::watch::first_list::FirstList;
use crate::watch::store::Stores;

/// A standby replica that has not reached the Lease for so long is not ready.
const LEASE_PATIENCE: Duration = Duration::from_secs(15);
/// A watch that has failed for so long is reported. A single failure is not: it is retried.
const WATCH_PATIENCE: Duration = Duration::from_secs(20);
/// A watch that broke tries again within seconds. One that has not failed for longer works.
const WATCH_WORKS_AFTER: Duration = Duration::from_mins(1);
/// Longest error in a line.
const ERROR_LENGTH: usize = 400;

/// The kinds whose lists the leader needs, with their names in `/readyz`.
const LISTS: [(&str, &str); 5] = [
    ("DaemonSet", "the list of DaemonSets"),
    ("LsmHookProfile", "the list of LsmHookProfiles"),
    ("LsmNode", "the list of LsmNodes"),
    ("LsmPolicy", "the list of LsmPolicies"),
    ("Node", "the list of Nodes"),
];
const TRACING_POLICIES: &str = "TracingPolicy";
const TRACING_POLICIES_SEARCH: &str = "the search for TracingPolicies";

/// A clone shares the state.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    role: Role,
    lease: Lease,
    /// By kind.
    watches: BTreeMap<String, Watch>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Role {
    #[default]
    Starting,
    StandingBy,
    Leading,
}

#[derive(Debug, Default)]
struct Lease {
    reached: Option<Instant>,
    error: Option<String>,
}

#[derive(Debug, Default)]
struct Watch {
    listed: bool,
    failure: Option<Failure>,
}

/// Failures in a row.
#[derive(Debug)]
struct Failure {
    first: Instant,
    last: Instant,
    error: String,
}

impl Readiness {
    /// The Lease was read or written.
    pub fn lease_reached(&self) {
        let mut state = self.0.lock();
        state.lease = Lease { reached: Some(Instant::now()), error: None };
        if state.role == Role::Starting {
            state.role = Role::StandingBy;
        }
    }

    pub fn lease_failed(&self, error: &impl Display) {
        self.0.lock().lease.error = Some(shown(error));
    }

    /// This replica works from now on. Its lists are missing.
    pub fn leads(&self) {
        let mut state = self.0.lock();
        state.role = Role::Leading;
        state.watches.clear();
    }

    /// This replica no longer works.
    pub fn stands_by(&self) {
        let mut state = self.0.lock();
        state.role = Role::StandingBy;
        state.watches.clear();
    }

    /// The list or the watch of a kind failed.
    pub fn watch_failed(&self, kind: &str, error: &impl Display) {
        let (mut state, now) = (self.0.lock(), Instant::now());
        let watch = state.watches.entry(kind.to_owned()).or_default();
        let before = watch.failure.take().filter(|failure| now < failure.last + WATCH_WORKS_AFTER);
        let first = before.map_or(now, |failure| failure.first);
        watch.failure = Some(Failure { first, last: now, error: shown(error) });
    }

    fn listed(&self, kind: &str) {
        *self.0.lock().watches.entry(kind.to_owned()).or_default() =
            Watch { listed: true, failure: None };
    }

    /// What is missing; nothing if this replica is ready.
    pub fn pending(&self) -> Vec<String> {
        let (state, now) = (self.0.lock(), Instant::now());
        match state.role {
            Role::Starting | Role::StandingBy => state.lease.pending(now).into_iter().collect(),
            Role::Leading => state.pending_lists(now),
        }
    }

    /// Returns when every store has its first list.
    pub async fn wait_for_lists(&self, stores: &Stores) {
        let lists = &stores.first_lists;
        tokio::join!(
            self.wait_for_list(&lists.nodes, "Node"),
            self.wait_for_list(&lists.reports, "LsmNode"),
            self.wait_for_list(&lists.profiles, "LsmHookProfile"),
            self.wait_for_list(&lists.policies, "LsmPolicy"),
            self.wait_for_list(&lists.daemon_sets, "DaemonSet"),
            async {
                // A missing CRD and a missing right both count as done: neither may hold up the
                // rest.
                stores.tracing_policies.settled().await;
                self.listed(TRACING_POLICIES);
            },
        );
    }

    async fn wait_for_list(&self, list: &FirstList, kind: &str) {
        list.wait().await;
        self.listed(kind);
    }
}

impl State {
    fn pending_lists(&self, now: Instant) -> Vec<String> {
        let search = (TRACING_POLICIES, TRACING_POLICIES_SEARCH);
        let lists = LISTS.into_iter().chain([search]);
        lists.filter_map(|(kind, list)| Watch::pending(self.watches.get(kind), list, now)).collect()
    }
}

impl Lease {
    fn pending(&self, now: Instant) -> Option<String> {
        if self.reached.is_some_and(|reached| now < reached + LEASE_PATIENCE) {
            return None;
        }
        let error = self.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
        Some(format!("the Lease {LEASE}{error}"))
    }
}

impl Watch {
    /// What is missing of the list of that name.
    fn pending(watch: Option<&Self>, list: &str, now: Instant) -> Option<String> {
        let failure = watch.and_then(|watch| watch.failure.as_ref());
        if !watch.is_some_and(|watch| watch.listed) {
            let error = failure.map(|failure| format!(": {}", failure.error)).unwrap_or_default();
            return Some(format!("{list}{error}"));
        }
        let failure = failure.filter(|failure| {
            now < failure.last + WATCH_WORKS_AFTER && failure.last - failure.first >= WATCH_PATIENCE
        })?;
        Some(format!("{list}: its watch fails: {}", failure.error))
    }
}

/// An error in one line.
fn shown(error: &impl Display) -> String {
    truncate(&error.to_string().replace(['\n', '\r'], " "), ERROR_LENGTH)
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const FORBIDDEN: &str = "nodes is forbidden: User \"o\" cannot list resource \"nodes\"";

    fn all_listed(readiness: &Readiness) {
        for (kind, _) in LISTS {
            readiness.listed(kind);
        }
        readiness.listed(TRACING_POLICIES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_standby_is_ready_while_it_reaches_the_lease() {
        let readiness = Readiness::default();
        assert_eq!(readiness.pending(), ["the Lease lsm-ready-operator"]);
        readiness.lease_failed(&"no\nroute");
        assert_eq!(readiness.pending(), ["the Lease lsm-ready-operator: no route"]);
        readiness.lease_reached();
        readiness.lease_failed(&"no route");
        assert!(readiness.pending().is_empty(), "one failure is not reported");
        sleep(LEASE_PATIENCE).await;
        assert_eq!(readiness.pending(), ["the Lease lsm-ready-operator: no route"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_names_each_missing_list_with_the_reason() {
        let readiness = Readiness::default();
        readiness.lease_reached();
        readiness.leads();
        assert_eq!(readiness.pending().len(), 6);
        all_listed(&readiness);
        assert!(readiness.pending().is_empty());
        // It loses the Lease and leads again: all lists are new.
        readiness.stands_by();
        assert!(readiness.pending().is_empty());
        readiness.leads();
        for kind in ["DaemonSet", "LsmHookProfile", "LsmNode", "LsmPolicy", "TracingPolicy"] {
            readiness.listed(kind);
        }
        readiness.watch_failed("Node", &FORBIDDEN);
        assert_eq!(readiness.pending(), [format!("the list of Nodes: {FORBIDDEN}")]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_is_reported_when_it_has_failed_for_long_and_no_longer_when_it_works() {
        let readiness = Readiness::default();
        readiness.leads();
        all_listed(&readiness);
        readiness.watch_failed("Node", &FORBIDDEN);
        sleep(WATCH_PATIENCE / 2).await;
        readiness.watch_failed("Node", &FORBIDDEN);
        assert!(readiness.pending().is_empty(), "a short failure is not reported");
        sleep(WATCH_PATIENCE / 2).await;
        readiness.watch_failed("Node", &FORBIDDEN);
        let wanted = format!("the list of Nodes: its watch fails: {FORBIDDEN}");
        assert_eq!(readiness.pending(), [wanted]);
        sleep(WATCH_WORKS_AFTER).await;
        assert!(readiness.pending().is_empty());
        readiness.watch_failed("Node", &FORBIDDEN);
        assert!(readiness.pending().is_empty(), "a new failure counts from its beginning");
    }
}
