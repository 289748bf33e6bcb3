//! What should be: an own, short reading of the rules, so that a mistake in the operator's plans is
//! not repeated here. Names are written out for the same reason.
//!
//! In: the objects of the API server. Out: verdicts, and what differs from them.

pub mod tetragon;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::server::Server;
use crate::server::kind::Kind;
use crate::server::object::Object;

pub const BPF: &str = "lsmready.node-restriction.kubernetes.io/bpf";
pub const POLICY_PREFIX: &str = "lsmready.node-restriction.kubernetes.io/policy.";
pub const OUR_PREFIX: &str = "lsmready.node-restriction.kubernetes.io/";
pub const OUR_TAINTS: [&str; 3] = [
    "lsmready.io/not-ready",
    "readiness.k8s.io/lsmready.io-not-ready",
    "startup-taint.cluster-autoscaler.kubernetes.io/lsmready",
];
pub const CONDITION: &str = "lsmready.io/LsmBpfReady";
pub const MOUNT_LABEL: &str = "lsmready.io/securityfs";
pub const VOLUME: &str = "lsm-ready-securityfs";
/// Annotation of the simulation: this hook profile's name is not the digest of its content.
pub const FALSE_PROFILE: &str = "simulation/false";
/// Annotation of the simulation: no agent of this DaemonSet can start with our mount.
pub const MOUNT_FAILS: &str = "simulation/mount-fails";

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    Ready,
    NotReady,
    Unknown,
}

/// What is known at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The Node.
    pub node: &'a Value,
    /// The report of that node.
    pub report: Option<&'a Value>,
    /// The profile that the report names.
    pub profile: Option<&'a Value>,
    /// Hooks of all TracingPolicies.
    pub tracing_hooks: &'a BTreeSet<String>,
}

/// The text at that JSON pointer, or nothing.
#[must_use]
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let found = if pointer.contains('~') { value.pointer(pointer) } else { walk(value, pointer) };
    found.and_then(Value::as_str).unwrap_or_default()
}

/// Much faster than `Value::pointer`, which copies each part.
fn walk<'a>(value: &'a Value, pointer: &str) -> Option<&'a Value> {
    pointer.split('/').skip(1).try_fold(value, |value, part| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        object => object.get(part),
    })
}

#[must_use]
pub fn boot(node: &Value) -> &str {
    text(node, "/status/nodeInfo/bootID")
}

/// Whether a report proves that boot able to deny, without contradicting itself.
#[must_use]
pub fn proves(report: &Value, boot: &str) -> bool {
    let status = &report["status"];
    let passed = |rung: &str| {
        let checks = status["checks"].as_array();
        checks.into_iter().flatten().any(|it| it["name"] == rung && it["outcome"] == "Pass")
    };
    !boot.is_empty()
        && status["bootID"] == boot
        && status["evidence"] == "Denied"
        && status["reason"] == "CanaryDenied"
        && text(status, "/probeVersion").starts_with("0.1.")
        && ["Loaded", "Attached", "Fired", "Denied"].into_iter().all(passed)
}

/// The state of the label `bpf`.
#[must_use]
pub fn bpf(node: &Value, report: Option<&Value>) -> State {
    let Some(report) = report.filter(|report| report["status"]["bootID"] == boot(node)) else {
        return State::Unknown;
    };
    if proves(report, boot(node)) {
        return State::Ready;
    }
    let failed = report["status"]["checks"].as_array().into_iter().flatten();
    let failed = failed.filter(|check| check["outcome"] == "Fail").count() > 0;
    if failed && report["status"]["evidence"] != "Denied" {
        State::NotReady
    } else {
        State::Unknown
    }
}

#[must_use]
pub fn selects(policy: &Value, node: &Value) -> bool {
    let wanted = policy["spec"]["nodeSelector"]["matchLabels"].as_object();
    let has = |(key, value): (&String, &Value)| node["metadata"]["labels"].get(key) == Some(value);
    wanted.is_none_or(|wanted| wanted.iter().all(has))
}

/// The state of a policy's label on a node that it selects.
#[must_use]
pub fn verdict(policy: &Value, facts: Facts<'_>) -> State {
    let state = bpf(facts.node, facts.report);
    // A report that contradicts itself, or is of another boot, says nothing about hooks either.
    let require = &policy["spec"]["require"];
    let mut hooks: BTreeSet<&str> =
        require["hooks"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if require.get("tracingPolicies").is_some() {
        hooks.extend(facts.tracing_hooks.iter().map(String::as_str));
    }
    let is_current = facts.report.is_some_and(|it| it["status"]["bootID"] == boot(facts.node));
    if hooks.is_empty() || !is_current || state == State::NotReady {
        return state;
    }
    let profile = facts.profile.filter(|it| it["metadata"]["annotations"][FALSE_PROFILE].is_null());
    let Some(profile) = profile else { return State::Unknown };
    let has = |hook: &&str| {
        profile["spec"]["hooks"].as_array().into_iter().flatten().any(|it| it == *hook)
    };
    if hooks.iter().all(has) { state } else { State::NotReady }
}

/// The hooks that TracingPolicies use.
pub fn hooks_of<'a>(policies: impl Iterator<Item = &'a Arc<Object>>) -> BTreeSet<String> {
    let hooks = policies.flat_map(|policy| policy["spec"]["lsmhooks"].as_array().into_iter());
    hooks.flatten().map(|hook| text(hook, "/hook").to_owned()).collect()
}

fn tracing_hooks(server: &Server) -> BTreeSet<String> {
    if !server.has_tracing_policies {
        return BTreeSet::new();
    }
    hooks_of(server.all(Kind::TracingPolicy).map(|(_, policy)| policy))
}

fn profile_of<'a>(server: &'a Server, report: Option<&Value>) -> Option<&'a Value> {
    let name = text(report?, "/status/hookProfile");
    server.named(Kind::Profile, name).map(|profile| &***profile)
}

/// What a Node shows, or should show, of what is ours.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct NodeState {
    pub labels: BTreeMap<String, String>,
    /// The effect of each taint key.
    pub taints: BTreeMap<String, String>,
    /// The status of the condition.
    pub condition: String,
}

/// What a policy shows, or should show.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct PolicyState {
    pub ready: usize,
    pub not_ready: usize,
    pub unknown: usize,
    /// The status of the condition NodesReady.
    pub nodes_ready: String,
    /// The generation of the spec that the status is about.
    pub generation: i64,
}

/// Nodes and policies by name.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Picture {
    pub nodes: BTreeMap<String, NodeState>,
    pub policies: BTreeMap<String, PolicyState>,
}

/// What Nodes and policies should show.
#[must_use]
pub fn expected(server: &Server) -> Picture {
    let hooks = tracing_hooks(server);
    let mut picture = Picture::default();
    let mut counts: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for ((_, name), node) in server.all(Kind::Node) {
        let report = server.named(Kind::Report, name).map(|report| &***report);
        let facts =
            Facts { node, report, profile: profile_of(server, report), tracing_hooks: &hooks };
        let policies = server.all(Kind::Policy).filter(|(_, policy)| selects(policy, node));
        let verdicts: Vec<_> = policies
            .map(|((_, name), policy)| (name.as_str(), &***policy, verdict(policy, facts)))
            .collect();
        for (policy, _, state) in &verdicts {
            counts.entry(policy).or_default()[*state as usize] += 1;
        }
        picture.nodes.insert(name.clone(), node_state(facts, &verdicts));
    }
    for ((_, name), policy) in server.all(Kind::Policy) {
        let counts = counts.get(name.as_str()).copied().unwrap_or_default();
        picture.policies.insert(name.clone(), policy_state(policy, counts));
    }
    picture
}

/// What they show.
#[must_use]
pub fn shown(server: &Server) -> Picture {
    let nodes = server.all(Kind::Node).map(|((_, name), node)| (name.clone(), shown_by_node(node)));
    let policies = server.all(Kind::Policy);
    let policies =
        policies.map(|((_, name), policy)| (name.clone(), shown_by_policy(&policy["status"])));
    Picture { nodes: nodes.collect(), policies: policies.collect() }
}

/// What differs from what should be. Empty: everything has converged.
#[must_use]
pub fn differences(server: &Server) -> Vec<String> {
    let daemon_sets = server.all(Kind::DaemonSet);
    let mounts =
        daemon_sets.filter_map(|((_, name), it)| tetragon::mount_difference(server, name, it));
    let mut found = node_and_policy_differences(server);
    found.extend(mounts);
    found
}

/// The same without mounts.
#[must_use]
pub fn node_and_policy_differences(server: &Server) -> Vec<String> {
    let (is, should) = (shown(server), expected(server));
    let nodes = is.nodes.iter().zip(&should.nodes).filter(|(is, should)| is != should);
    let nodes =
        nodes.map(|((name, is), (_, should))| format!("node {name}: {is:?}, not {should:?}"));
    let policies = is.policies.iter().zip(&should.policies).filter(|(is, should)| is != should);
    let policies =
        policies.map(|((name, is), (_, should))| format!("policy {name}: {is:?}, not {should:?}"));
    nodes.chain(policies).collect()
}

type PolicyVerdict<'a> = (&'a str, &'a Value, State);

fn node_state(facts: Facts<'_>, verdicts: &[PolicyVerdict<'_>]) -> NodeState {
    let bpf = bpf(facts.node, facts.report);
    let mut state = NodeState {
        // Also where the probe is silent: evidence holds for the whole boot.
        condition: ["True", "False", "Unknown"][bpf as usize].to_owned(),
        ..NodeState::default()
    };
    state.labels.insert(BPF.to_owned(), ["true", "false", "unknown"][bpf as usize].to_owned());
    for (policy, object, verdict) in verdicts {
        let value = ["ready", "not-ready", "unknown"][*verdict as usize];
        state.labels.insert(format!("{POLICY_PREFIX}{policy}"), value.to_owned());
        if *verdict != State::Ready && object["spec"].get("taint").is_some() {
            let taint = &object["spec"]["taint"];
            let key = taint["key"].as_str().unwrap_or(OUR_TAINTS[0]);
            let effect = text(taint, "/effect");
            // PreferNoSchedule is the weaker one.
            let present = state.taints.entry(key.to_owned()).or_insert(effect.to_owned());
            if effect == "NoSchedule" {
                effect.clone_into(present);
            }
        }
    }
    state
}

fn shown_by_node(node: &Value) -> NodeState {
    let labels = node["metadata"]["labels"].as_object().into_iter().flatten();
    let labels = labels.filter(|(key, _)| key.starts_with(OUR_PREFIX));
    let taints = node["spec"]["taints"].as_array().into_iter().flatten();
    let taints = taints.filter(|taint| OUR_TAINTS.contains(&text(taint, "/key")));
    let condition = condition(node).map(|condition| text(condition, "/status"));
    NodeState {
        labels: labels
            .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect(),
        taints: taints
            .map(|taint| (text(taint, "/key").to_owned(), text(taint, "/effect").to_owned()))
            .collect(),
        condition: condition.unwrap_or_default().to_owned(),
    }
}

/// Our condition of a Node.
#[must_use]
pub fn condition(node: &Value) -> Option<&Value> {
    let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().find(|condition| condition["type"] == CONDITION)
}

/// Whether a policy or the Lease says that the circuit breaker holds changes.
#[must_use]
pub fn changes_are_held(server: &Server) -> bool {
    let is_held =
        |condition: &Value| condition["type"] == "ChangesHeld" && condition["status"] == "True";
    let is_open =
        |lease: &Value| !lease["metadata"]["annotations"]["lsmready.io/breaker-open"].is_null();
    let mut policies = server.all(Kind::Policy);
    server.all(Kind::Lease).any(|(_, lease)| is_open(lease))
        || policies.any(|(_, policy)| {
            policy["status"]["conditions"].as_array().into_iter().flatten().any(is_held)
        })
}

fn policy_state(policy: &Value, counts: [usize; 3]) -> PolicyState {
    let [ready, not_ready, unknown] = counts;
    let all = ready + not_ready + unknown;
    let required = policy["spec"]["minReady"]
        .as_u64()
        .map_or(all, |number| usize::try_from(number).unwrap_or(usize::MAX));
    let nodes_ready = if all == 0 {
        "False"
    } else if ready >= required {
        "True"
    } else if ready + unknown >= required {
        "Unknown"
    } else {
        "False"
    };
    let generation = policy["metadata"]["generation"].as_i64().unwrap_or_default();
    PolicyState { ready, not_ready, unknown, nodes_ready: nodes_ready.to_owned(), generation }
}

fn shown_by_policy(status: &Value) -> PolicyState {
    let count = |field: &str| {
        status["nodes"][field].as_u64().and_then(|it| usize::try_from(it).ok()).unwrap_or_default()
    };
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let shown = conditions.into_iter().find(|condition| condition["type"] == "NodesReady");
    PolicyState {
        ready: count("ready"),
        not_ready: count("notReady"),
        unknown: count("unknown"),
        nodes_ready: shown.map(|it| text(it, "/status")).unwrap_or_default().to_owned(),
        generation: status["observedGeneration"].as_i64().unwrap_or_default(),
    }
}
