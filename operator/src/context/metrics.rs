//! The operator's own metrics, in Prometheus' text format.
//!
//! The only objects that labels name are policies, so the number of series does not grow with the
//! number of nodes. `docs/monitoring.md` says what to do with them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use lsm_ready_crds::State;
use lsm_ready_crds::policy::NodeCounts;
use parking_lot::Mutex;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::node::fleet::NodeCount;
use crate::profile::plan::Counts;

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Reconcile {
    controller: &'static str,
    outcome: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Question {
    protocol: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Kind {
    kind: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct LosingFor {
    reason: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct PolicyState {
    policy: String,
    state: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct PolicyCondition {
    policy: String,
    #[prometheus(flatten)]
    held: ConditionLabels,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ConditionLabels {
    r#type: String,
    status: String,
    reason: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct NodeState {
    state: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ProfileState {
    state: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct DeletedProfile {
    reason: &'static str,
}

/// The states of a policy's nodes, as the label `state` has them.
const NODE_STATES: [&str; 3] = ["ready", "not-ready", "unknown"];

/// The metrics. A clone counts into the same series.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    reconciles: Family<Reconcile, Counter>,
    writes: Family<Kind, Counter>,
    conflicts: Family<Kind, Counter>,
    skipped: Family<Kind, Counter>,
    not_in_force: Gauge,
    watch_errors: Family<Kind, Counter>,
    profiles: Family<ProfileState, Gauge>,
    deleted_profiles: Family<DeletedProfile, Counter>,
    nodes: Family<NodeState, Gauge>,
    policy_nodes: Family<PolicyState, Gauge>,
    policy_conditions: Family<PolicyCondition, Gauge>,
    /// The policies that have series, with the conditions that they have series of.
    policies: Arc<Mutex<BTreeMap<String, Vec<ConditionLabels>>>>,
    agents: Family<Question, Counter>,
    agents_unready: Counter<f64, AtomicU64>,
    leader: Gauge,
    breaker_open: Gauge,
    breaker_losing: Family<LosingFor, Gauge>,
    silent_nodes: Gauge,
    contested: Counter,
}

impl Metrics {
    /// Counts a run of a controller's reconcile. `outcome` is `ok` or a short word for the error.
    pub fn reconciled(&self, controller: &'static str, outcome: &str) {
        self.reconciles.get_or_create(&Reconcile { controller, outcome: outcome.to_owned() }).inc();
    }

    /// Counts a write to the API server. `kind` is the kind of the object that was written.
    pub fn wrote(&self, kind: &str) {
        self.writes.get_or_create(&Kind { kind: kind.to_owned() }).inc();
    }

    /// Counts a write that was refused because the object was changed since it was seen.
    pub fn conflicted(&self, kind: &str) {
        self.conflicts.get_or_create(&Kind { kind: kind.to_owned() }).inc();
    }

    /// Counts an object that was skipped because it could not be parsed.
    pub fn skipped(&self, kind: &str) {
        self.skipped.get_or_create(&Kind { kind: kind.to_owned() }).inc();
    }

    /// Sets how many policies are not in force as they are written.
    pub fn policies_not_in_force(&self, count: usize) {
        self.not_in_force.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Sets how many hook profiles there are of each sort.
    pub fn hook_profiles(&self, counts: &Counts) {
        let Counts { named, unnamed, false_name, held } = *counts;
        let all = [("named", named), ("unnamed", unnamed), ("false", false_name), ("held", held)];
        for (state, count) in all {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.profiles.get_or_create(&ProfileState { state }).set(count);
        }
    }

    /// Counts a hook profile that was deleted.
    pub fn hook_profile_deleted(&self, reason: &'static str) {
        self.deleted_profiles.get_or_create(&DeletedProfile { reason }).inc();
    }

    /// Counts a watch that broke.
    pub fn watch_failed(&self, kind: &str) {
        self.watch_errors.get_or_create(&Kind { kind: kind.to_owned() }).inc();
    }

    /// Sets how many of a policy's selected nodes are in each state, and its conditions.
    pub fn policy(&self, policy: &str, nodes: &NodeCounts, conditions: &[Condition]) {
        let counts = [nodes.ready, nodes.not_ready, nodes.unknown];
        for (state, count) in NODE_STATES.into_iter().zip(counts) {
            self.policy_nodes
                .get_or_create(&PolicyState { policy: policy.to_owned(), state })
                .set(count);
        }
        let held: Vec<_> = conditions.iter().map(ConditionLabels::of).collect();
        for one in &held {
            self.policy_conditions.get_or_create(&one.series(policy)).set(1);
        }
        let before = self.policies.lock().insert(policy.to_owned(), held.clone());
        for gone in before.unwrap_or_default().iter().filter(|one| !held.contains(one)) {
            self.policy_conditions.remove(&gone.series(policy));
        }
    }

    /// Removes the series of a policy that is gone.
    pub fn forget_policy(&self, policy: &str) {
        self.retain_policies(|kept| kept != policy);
    }

    /// Keeps the series of the policies that exist.
    pub fn retain_policies(&self, exists: impl Fn(&str) -> bool) {
        let gone: Vec<_> =
            self.policies.lock().extract_if(.., |policy, _| !exists(policy)).collect();
        for (policy, held) in gone {
            for one in held {
                self.policy_conditions.remove(&one.series(&policy));
            }
            for state in NODE_STATES {
                self.policy_nodes.remove(&PolicyState { policy: policy.clone(), state });
            }
        }
    }

    /// Counts a question to one of Tetragon's agents. `outcome` is `answered` or a short word for
    /// the error.
    pub fn agent_asked(&self, protocol: &'static str, outcome: &'static str) {
        self.agents.get_or_create(&Question { protocol, outcome }).inc();
    }

    /// Adds seconds in which nodes had no ready agent because of a restart that we caused, summed
    /// over the nodes.
    pub fn agents_unready(&self, seconds: f64) {
        self.agents_unready.inc_by(seconds);
    }

    /// Sets whether this replica leads. One that does not lead any more says nothing about the
    /// cluster: the new leader does.
    pub fn leading(&self, leads: bool) {
        self.leader.set(i64::from(leads));
        if leads {
            return;
        }
        self.retain_policies(|_| false);
        self.nodes.clear();
        self.silent_nodes.set(0);
        self.breaker_open.set(0);
        self.breaker_losing.clear();
        self.profiles.clear();
        self.not_in_force.set(0);
    }

    /// Sets whether the circuit breaker holds changes, and how many nodes lose ready, by reason.
    pub fn breaker(&self, is_open: bool, losing: &BTreeMap<&'static str, usize>) {
        self.breaker_open.set(i64::from(is_open));
        for (reason, count) in losing {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            self.breaker_losing.get_or_create(&LosingFor { reason }).set(count);
        }
    }

    /// Sets how many nodes there are, by state and reason, and how many have a silent probe.
    pub fn nodes(&self, count: &NodeCount) {
        let mut by_reason: BTreeMap<(usize, &'static str), i64> = BTreeMap::new();
        let mut silent = 0;
        for (found, count) in count {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            let state = match found.state {
                State::Ready => 0,
                State::NotReady => 1,
                State::Unknown => 2,
            };
            *by_reason.entry((state, found.reason)).or_default() += count;
            silent += if found.is_silent { count } else { 0 };
        }
        for ((state, reason), count) in by_reason {
            self.nodes.get_or_create(&NodeState { state: NODE_STATES[state], reason }).set(count);
        }
        self.silent_nodes.set(silent);
    }

    /// Counts a change of our fields on a Node by others.
    pub fn contested(&self) {
        self.contested.inc();
    }

    /// The metrics as text.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode_registry(&mut text, &self.registry())?;
        Ok(text_format(&text))
    }

    fn registry(&self) -> Registry {
        let mut all = Registry::with_prefix("lsm_ready");
        all.register("reconciles", "Reconciles by controller and outcome", self.reconciles.clone());
        all.register("writes", "Writes to the API server by kind of object", self.writes.clone());
        let help = "Writes that were refused because the object had changed, by kind of object";
        all.register("conflicts", help, self.conflicts.clone());
        let help = "Objects that were skipped because they could not be parsed";
        all.register("skipped_objects", help, self.skipped.clone());
        let help = "Policies whose newest version is not in force: it cannot be parsed, or there \
                    are too many policies";
        all.register("policies_not_in_force", help, self.not_in_force.clone());
        let help = "Hook profiles: named by a report, unnamed, false (the name is not the digest), \
                    or held by finalizers while they are deleted";
        all.register("hook_profiles", help, self.profiles.clone());
        let help = "Hook profiles that were deleted, by cause";
        all.register("hook_profiles_deleted", help, self.deleted_profiles.clone());
        let help = "Watches that broke and were restarted";
        all.register("watch_errors", help, self.watch_errors.clone());
        let help = "Linux nodes, by what this boot can do and why (docs/reasons.md)";
        all.register("nodes", help, self.nodes.clone());
        let help = "Nodes that a policy selects, by state";
        all.register("policy_nodes", help, self.policy_nodes.clone());
        let help = "1 for each condition of a policy, with its present status and reason";
        all.register("policy_condition", help, self.policy_conditions.clone());
        let help = "Questions to Tetragon's agents by outcome";
        all.register("agents_asked", help, self.agents.clone());
        let help = "Seconds without a ready agent after a restart by lsm-ready, summed over nodes";
        all.register("agent_unready_node_seconds", help, self.agents_unready.clone());
        let help = "1 if this replica is the leader, 0 if not";
        all.register("leader", help, self.leader.clone());
        let help = "1 while the circuit breaker holds changes of nodes, else 0";
        all.register("breaker_open", help, self.breaker_open.clone());
        let help = "Nodes that are shown ready and are not any more, by reason";
        all.register("breaker_losing_nodes", help, self.breaker_losing.clone());
        let help = "Nodes whose probe has not renewed its report for 90 minutes";
        all.register("silent_nodes", help, self.silent_nodes.clone());
        let help = "Changes of lsm-ready's labels, taints or condition on Nodes by others";
        all.register("contested_changes", help, self.contested.clone());
        all
    }
}

impl ConditionLabels {
    fn of(condition: &Condition) -> Self {
        let Condition { type_, status, reason, .. } = condition;
        // As kube-state-metrics writes a status.
        let status = status.to_lowercase();
        Self { r#type: type_.clone(), status, reason: reason.clone() }
    }

    fn series(&self, policy: &str) -> PolicyCondition {
        PolicyCondition { policy: policy.to_owned(), held: self.clone() }
    }
}

/// OpenMetrics as Prometheus' text format. In OpenMetrics a counter's HELP and TYPE have its name
/// without `_total`; in the text format they have the name of the series. `promtool check metrics`
/// and other programs than Prometheus read the text format only.
fn text_format(open_metrics: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in open_metrics.lines() {
        let counter = line.strip_prefix("# TYPE ").and_then(|rest| rest.strip_suffix(" counter"));
        match (counter, lines.last_mut()) {
            (Some(name), Some(help)) => {
                *help = help.replacen(name, &format!("{name}_total"), 1);
                lines.push(format!("# TYPE {name}_total counter"));
            }
            (Some(_), None) | (None, _) => lines.push(line.to_owned()),
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fleet::Found;

    fn held(status: &str, reason: &str) -> Condition {
        let condition = serde_json::json!({"type": "Ready", "status": status, "reason": reason,
            "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        serde_json::from_value(condition).unwrap()
    }

    #[test]
    fn a_policy_that_is_gone_has_no_series() {
        let metrics = Metrics::default();
        let nodes = NodeCounts { ready: 1, unknown: 2, ..NodeCounts::default() };
        metrics.policy("enforce", &nodes, &[held("True", "EnforcementReady")]);
        assert!(
            metrics
                .encode()
                .unwrap()
                .contains(r#"lsm_ready_policy_nodes{policy="enforce",state="unknown"} 2"#)
        );
        metrics.forget_policy("another");
        assert!(metrics.encode().unwrap().contains("enforce"));
        metrics.forget_policy("enforce");
        assert!(!metrics.encode().unwrap().contains("enforce"));
    }

    #[test]
    fn a_condition_has_one_series_with_its_present_status() {
        let metrics = Metrics::default();
        let nodes = NodeCounts::default();
        metrics.policy("enforce", &nodes, &[held("True", "EnforcementReady")]);
        metrics.policy("enforce", &nodes, &[held("False", "TooFewNodesReady")]);
        let text = metrics.encode().unwrap();
        let series: Vec<_> =
            text.lines().filter(|line| line.starts_with("lsm_ready_policy_condition{")).collect();
        let expected = r#"lsm_ready_policy_condition{policy="enforce",type="Ready",status="false",reason="TooFewNodesReady"} 1"#;
        assert_eq!(series, [expected]);
    }

    #[test]
    fn a_replica_that_does_not_lead_any_more_says_nothing_about_the_cluster() {
        let metrics = Metrics::default();
        let idle = metrics.encode().unwrap();
        metrics.leading(true);
        metrics.policy("enforce", &NodeCounts::default(), &[held("True", "EnforcementReady")]);
        let found = Found { state: State::Ready, reason: "CanaryDenied", is_silent: true };
        metrics.nodes(&NodeCount::from([(found, 1)]));
        metrics.breaker(true, &BTreeMap::from([("NoReport", 3)]));
        metrics.hook_profiles(&Counts::default());
        metrics.policies_not_in_force(1);
        metrics.leading(false);
        assert_eq!(metrics.encode().unwrap(), idle);
    }

    #[test]
    fn counters_are_declared_by_the_name_of_their_series() {
        let text = "# HELP a_writes Writes of a_writes.\n# TYPE a_writes counter\na_writes_total 1\n\
                    # HELP b Bs.\n# TYPE b gauge\nb 2\n";
        let expected = "# HELP a_writes_total Writes of a_writes.\n# TYPE a_writes_total counter\n\
                        a_writes_total 1\n# HELP b Bs.\n# TYPE b gauge\nb 2\n";
        assert_eq!(text_format(text), expected);
    }
}
