//! What should be: an own, short reading of the rules, so that a mistake in the operator's plans is
//! not repeated here. Names are written out for the same reason.
//!
//! In: the objects of the API server. Out: verdicts, and what differs from them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::server::Server;
use crate::server::kind::Kind;

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
pub fn hooks_of<'a>(policies: impl Iterator<Item = &'a Arc<Value>>) -> BTreeSet<String> {
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
    server.named(Kind::Profile, name).map(|profile| &**profile)
}

/// Whether a policy lets the operator add the mount.
#[must_use]
pub fn wants_mount(policy: &Value) -> bool {
    let securityfs = &policy["spec"]["tetragon"]["securityfs"];
    policy["spec"].get("tetragon").is_some() && securityfs["mount"] != "Never"
}

/// Whether our mount is in the pod template.
#[must_use]
pub fn has_mount(daemon_set: &Value) -> bool {
    let volumes = daemon_set["spec"]["template"]["spec"]["volumes"].as_array();
    volumes.into_iter().flatten().any(|volume| volume["name"] == VOLUME)
}

/// What differs from what should be. Empty: everything has converged.
#[must_use]
pub fn differences(server: &Server) -> Vec<String> {
    let hooks = tracing_hooks(server);
    let mut found = Vec::new();
    let mut counts: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for ((_, name), node) in server.all(Kind::Node) {
        let report = server.named(Kind::Report, name).map(|report| &**report);
        let facts =
            Facts { node, report, profile: profile_of(server, report), tracing_hooks: &hooks };
        let policies = server.all(Kind::Policy).filter(|(_, policy)| selects(policy, node));
        let verdicts: Vec<_> = policies
            .map(|((_, name), policy)| (name.as_str(), &**policy, verdict(policy, facts)))
            .collect();
        for (policy, _, state) in &verdicts {
            counts.entry(policy).or_default()[*state as usize] += 1;
        }
        found.extend(node_differences(name, facts, &verdicts));
    }
    for ((_, name), policy) in server.all(Kind::Policy) {
        let counts = counts.get(name.as_str()).copied().unwrap_or_default();
        found.extend(policy_differences(name, policy, counts));
    }
    for ((_, name), daemon_set) in server.all(Kind::DaemonSet) {
        found.extend(mount_difference(server, name, daemon_set));
    }
    found
}

type PolicyVerdict<'a> = (&'a str, &'a Value, State);

fn node_differences(name: &str, facts: Facts<'_>, verdicts: &[PolicyVerdict<'_>]) -> Vec<String> {
    let mut found = Vec::new();
    let bpf = bpf(facts.node, facts.report);
    let mut labels: BTreeMap<String, &str> =
        BTreeMap::from([(BPF.to_owned(), ["true", "false", "unknown"][bpf as usize])]);
    let mut taints: BTreeMap<&str, &str> = BTreeMap::new();
    for (policy, object, state) in verdicts {
        let value = ["ready", "not-ready", "unknown"][*state as usize];
        labels.insert(format!("{POLICY_PREFIX}{policy}"), value);
        if *state != State::Ready && object["spec"].get("taint").is_some() {
            let taint = &object["spec"]["taint"];
            let key = taint["key"].as_str().unwrap_or(OUR_TAINTS[0]);
            let effect = text(taint, "/effect");
            // PreferNoSchedule is the weaker one.
            let present = taints.entry(key).or_insert(effect);
            if effect == "NoSchedule" {
                *present = effect;
            }
        }
    }
    let present: BTreeMap<String, &str> = our_labels(facts.node).collect();
    if present != labels {
        found.push(format!("node {name}: labels are {present:?}, should be {labels:?}"));
    }
    let present: BTreeMap<&str, &str> =
        our_taints(facts.node).map(|taint| (text(taint, "/key"), text(taint, "/effect"))).collect();
    if present != taints {
        found.push(format!("node {name}: taints are {present:?}, should be {taints:?}"));
    }
    let status = ["True", "False", "Unknown"][bpf as usize];
    let present = condition(facts.node);
    let shown = present.map(|condition| text(condition, "/status")).unwrap_or_default();
    // Also where the probe is silent: evidence holds for the whole boot.
    if shown != status {
        found.push(format!("node {name}: the condition is {shown:?}, should be {status:?}"));
    }
    found
}

fn our_labels(node: &Value) -> impl Iterator<Item = (String, &str)> {
    let labels = node["metadata"]["labels"].as_object().into_iter().flatten();
    labels
        .filter(|(key, _)| key.starts_with(OUR_PREFIX))
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default()))
}

fn our_taints(node: &Value) -> impl Iterator<Item = &Value> {
    let taints = node["spec"]["taints"].as_array().into_iter().flatten();
    taints.filter(|taint| OUR_TAINTS.contains(&text(taint, "/key")))
}

/// Our condition of a Node.
#[must_use]
pub fn condition(node: &Value) -> Option<&Value> {
    let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().find(|condition| condition["type"] == CONDITION)
}

/// Whether a policy says that the circuit breaker holds changes.
#[must_use]
pub fn changes_are_held(server: &Server) -> bool {
    let is_held =
        |condition: &Value| condition["type"] == "ChangesHeld" && condition["status"] == "True";
    let mut policies = server.all(Kind::Policy);
    policies.any(|(_, policy)| {
        policy["status"]["conditions"].as_array().into_iter().flatten().any(is_held)
    })
}

fn policy_differences(name: &str, policy: &Value, counts: [usize; 3]) -> Vec<String> {
    let (status, mut found) = (&policy["status"], Vec::new());
    let [ready, not_ready, unknown] = counts;
    let shown =
        ["ready", "notReady", "unknown"].map(|field| status["nodes"][field].as_u64().unwrap_or(0));
    if shown != counts.map(|count| count as u64) {
        found.push(format!("policy {name}: the counts are {shown:?}, should be {counts:?}"));
    }
    if status["observedGeneration"] != policy["metadata"]["generation"] {
        found.push(format!("policy {name}: the status is of another generation"));
    }
    let all = ready + not_ready + unknown;
    let required = policy["spec"]["minReady"]
        .as_u64()
        .map_or(all, |number| usize::try_from(number).unwrap_or(usize::MAX));
    let should = if all == 0 {
        "False"
    } else if ready >= required {
        "True"
    } else if ready + unknown >= required {
        "Unknown"
    } else {
        "False"
    };
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let shown = conditions.into_iter().find(|condition| condition["type"] == "NodesReady");
    let shown = shown.map(|condition| text(condition, "/status")).unwrap_or_default();
    if shown != should {
        found.push(format!("policy {name}: NodesReady is {shown:?}, should be {should:?}"));
    }
    found
}

fn mount_difference(server: &Server, name: &str, daemon_set: &Value) -> Option<String> {
    let wanted = server.all(Kind::Policy).any(|(_, policy)| wants_mount(policy));
    let fails = !daemon_set["metadata"]["annotations"][MOUNT_FAILS].is_null();
    let is = has_mount(daemon_set);
    // A mount that is there stays when an upgrade makes it superfluous.
    let should = wanted && !fails && (needs_mount(daemon_set) || is);
    let label = text(daemon_set, "/metadata/labels/lsmready.io~1securityfs");
    let label_fits = match (should, wanted && fails) {
        (true, _) => label == "mounted",
        (false, true) => label != "mounted",
        (false, false) => label.is_empty(),
    };
    (is != should || !label_fits).then(|| {
        format!("DaemonSet {name}: mounted is {is} with label {label:?}, should be {should}")
    })
}

/// Tetragon 1.3 needs the mount, 1.4 does not.
fn needs_mount(daemon_set: &Value) -> bool {
    let containers = daemon_set["spec"]["template"]["spec"]["containers"].as_array();
    containers.into_iter().flatten().any(|it| text(it, "/image").ends_with(":v1.3.0"))
}
