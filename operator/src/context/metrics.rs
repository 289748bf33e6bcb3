//! The operator's own metrics, in the OpenMetrics text form. No label carries an object's name beyond a policy's, so
//! the number of series does not grow with the cluster.

use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Reconcile {
    controller: &'static str,
    outcome: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Question {
    how: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Kind {
    kind: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct PolicyState {
    policy: String,
    state: &'static str,
}

/// The metrics; cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    reconciles: Family<Reconcile, Counter>,
    writes: Family<Kind, Counter>,
    skipped: Family<Kind, Counter>,
    watch_errors: Family<Kind, Counter>,
    nodes: Family<PolicyState, Gauge>,
    agents: Family<Question, Counter>,
    agents_unready: Counter<f64, AtomicU64>,
    leader: Gauge,
}

impl Metrics {
    /// One run of a controller's reconcile; `outcome` is `ok` or an error's short reason.
    pub fn reconciled(&self, controller: &'static str, outcome: &str) {
        self.reconciles.get_or_create(&Reconcile { controller, outcome: outcome.to_owned() }).inc();
    }

    /// One write to the API server, by the kind of object written.
    pub fn wrote(&self, kind: &str) {
        self.writes.get_or_create(&Kind { kind: kind.to_owned() }).inc();
    }

    /// An object that could not be parsed and was left out.
    pub fn skipped(&self, kind: &str) {
        self.skipped.get_or_create(&Kind { kind: kind.to_owned() }).inc();
    }

    /// A watch that broke; it is begun again.
    pub fn watch_failed(&self, kind: &str) {
        self.watch_errors.get_or_create(&Kind { kind: kind.to_owned() }).inc();
    }

    /// The selected nodes of a policy by verdict.
    pub fn policy_nodes(&self, policy: &str, counts: [(&'static str, i64); 3]) {
        for (state, count) in counts {
            self.nodes.get_or_create(&PolicyState { policy: policy.to_owned(), state }).set(count);
        }
    }

    /// A policy is gone, and its series with it.
    pub fn forget_policy(&self, policy: &str) {
        for state in ["ready", "not-ready", "unknown"] {
            self.nodes.remove(&PolicyState { policy: policy.to_owned(), state });
        }
    }

    /// A question to one of Tetragon's agents; `outcome` is `answered` or a short reason why not.
    pub fn agent_asked(&self, how: &'static str, outcome: &'static str) {
        self.agents.get_or_create(&Question { how, outcome }).inc();
    }

    /// So many seconds, summed over nodes, in which a node had no ready agent because of a restart that we caused.
    pub fn agents_unready(&self, seconds: f64) {
        self.agents_unready.inc_by(seconds);
    }

    /// Whether this replica leads.
    pub fn leading(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// The metrics as text.
    ///
    /// # Errors
    /// When a value cannot be written, which a `String` never does.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("lsm_ready");
        registry.register("reconciles", "Runs of a controller by outcome", self.reconciles.clone());
        registry.register(
            "writes",
            "Writes to the API server by kind of object",
            self.writes.clone(),
        );
        registry.register(
            "skipped_objects",
            "Objects that could not be parsed",
            self.skipped.clone(),
        );
        registry.register(
            "watch_errors",
            "Watches that broke and were begun again",
            self.watch_errors.clone(),
        );
        registry.register(
            "policy_nodes",
            "Selected nodes of a policy by verdict",
            self.nodes.clone(),
        );
        registry.register(
            "agents_asked",
            "Questions to Tetragon's agents by outcome",
            self.agents.clone(),
        );
        registry.register(
            "agent_unready_node_seconds",
            "Seconds in which nodes had no ready agent because of a restart that lsm-ready caused, summed over nodes",
            self.agents_unready.clone(),
        );
        registry.register("leader", "1 where this replica leads", self.leader.clone());
        let mut text = String::new();
        text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forgotten_policy_leaves_no_series() {
        let metrics = Metrics::default();
        metrics.policy_nodes("enforce", [("ready", 1), ("not-ready", 0), ("unknown", 2)]);
        assert!(
            metrics
                .encode()
                .unwrap()
                .contains(r#"lsm_ready_policy_nodes{policy="enforce",state="unknown"} 2"#)
        );
        metrics.forget_policy("enforce");
        assert!(!metrics.encode().unwrap().contains("enforce"));
    }
}
