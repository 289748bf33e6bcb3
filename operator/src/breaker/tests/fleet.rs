//! A fleet of nodes in memory. What the node controller decides is applied to the Nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use lsm_ready_crds::fixture;
use lsm_ready_crds::names::{BPF_LABEL, TAINT_KEYS, policy_label};
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::verdict::Facts;
use lsm_ready_crds::{LsmNodeStatus, LsmPolicy, LsmPolicySpec, State};
use serde_json::{Value, json};

use crate::breaker::decide::{Limit, Machine};
use crate::breaker::memory::Memory;
use crate::node::judge::judge;
use crate::node::plan::{Moves, plan};
use crate::node::required::AllRequired;
use crate::tracing_policies::snapshot::Snapshot;
use crate::watch::store::labels_for_selecting;

pub struct Fleet {
    pub nodes: BTreeMap<String, Node>,
    pub reports: BTreeMap<String, LsmNodeStatus>,
    pub profile: Option<LsmHookProfileSpec>,
    pub policies: Vec<Arc<LsmPolicy>>,
    pub tracing_policies: Snapshot,
    pub machine: Machine,
    pub memory: Memory,
    /// The policies that came after the nodes were judged, by name.
    pub new_policies: Vec<String>,
    pub now: Timestamp,
    random: fastrand::Rng,
}

/// A report of that boot. `probe` is the version of the probe.
pub fn report(boot: &str, evidence: &str, reason: &str, probe: &str) -> LsmNodeStatus {
    let mut report = fixture::report(boot, fixture::evidence(evidence), reason);
    report.checks.push(fixture::kernel_reads(State::Ready));
    report.probe_version = probe.to_owned();
    report.hook_profile = Some("d".to_owned());
    report
}

fn node(name: &str) -> Node {
    serde_json::from_value(json!({
        "metadata": {"name": name, "uid": format!("uid-{name}"), "resourceVersion": "1",
            "labels": {"kubernetes.io/os": "linux"}},
        "status": {"nodeInfo": {
            "bootID": "1", "operatingSystem": "linux", "architecture": "", "osImage": "",
            "containerRuntimeVersion": "", "kernelVersion": "", "kubeProxyVersion": "",
            "kubeletVersion": "", "machineID": "", "systemUUID": ""}},
    }))
    .unwrap()
}

impl Fleet {
    /// That many ready nodes, and a policy with a taint that requires a hook.
    pub fn ready(count: usize) -> Self {
        let names = (0..count).map(|number| format!("n{number:04}"));
        let nodes: BTreeMap<_, _> = names.map(|name| (name.clone(), node(&name))).collect();
        let denied = || report("1", "Denied", "CanaryDenied", "0.1.0");
        let mut fleet = Self {
            reports: nodes.keys().map(|name| (name.clone(), denied())).collect(),
            nodes,
            profile: serde_json::from_value(
                json!({"kernel": "k", "hooks": ["file_open"], "sleepableHooks": []}),
            )
            .unwrap(),
            policies: Vec::new(),
            tracing_policies: Snapshot::default(),
            machine: Machine::new(Limit::default()),
            memory: Memory::default(),
            new_policies: Vec::new(),
            now: "2026-01-01T00:00:00.972Z".parse().unwrap(),
            random: fastrand::Rng::with_seed(u64::try_from(count).unwrap()),
        };
        let spec = json!({"taint": {"effect": "NoSchedule"}, "require": {"hooks": ["file_open"]}});
        fleet.set_policy(&spec);
        fleet.settle();
        assert_eq!((fleet.bpf(), fleet.policy()), (count, count));
        fleet
    }

    /// Replaces the policy. It counts as one that has reached every node.
    pub fn set_policy(&mut self, spec: &Value) {
        self.policies.clear();
        self.add_policy("enforce", spec);
    }

    pub fn add_policy(&mut self, name: &str, spec: &Value) {
        let spec: LsmPolicySpec = serde_json::from_value(spec.clone()).unwrap();
        self.policies.push(Arc::new(LsmPolicy::new(name, spec)));
    }

    pub fn reboot(&mut self, name: &str, boot: &str) {
        let status = self.nodes.get_mut(name).unwrap().status.as_mut().unwrap();
        boot.clone_into(&mut status.node_info.as_mut().unwrap().boot_id);
    }

    pub fn names(&self) -> Vec<String> {
        self.nodes.keys().cloned().collect()
    }

    /// Every node's probe reports the same.
    pub fn report_everywhere(&mut self, evidence: &str, reason: &str, probe: &str) {
        for (name, node) in &self.nodes {
            let boot = crate::watch::store::boot_id(node);
            self.reports.insert(name.clone(), report(boot, evidence, reason, probe));
        }
    }

    pub fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    /// A new process: it knows what the Nodes and the policies say.
    pub fn restart(&mut self, open_since: Option<Timestamp>) {
        let required = AllRequired::of(&self.policies, &self.tracing_policies);
        let states = self.nodes.iter().map(|(name, node)| {
            let facts = self.facts(name);
            let labels = labels_for_selecting(node, facts.report.is_some());
            let judged =
                judge(node, &labels, facts, required.selecting(&labels), 0, self.now).unwrap();
            (node.uid().unwrap(), judged.state(self.now))
        });
        let states: Vec<_> = states.collect();
        self.machine = Machine::new(Limit::default());
        self.memory = Memory::default();
        self.machine.restore(states, open_since, self.now);
    }

    /// Reconciles all nodes twice, in random order.
    pub fn settle(&mut self) {
        for _ in 0..2 {
            let mut names = self.names();
            self.random.shuffle(&mut names);
            for name in &names {
                self.reconcile(name);
            }
        }
    }

    pub fn reconcile(&mut self, name: &str) {
        let mut required = AllRequired::of(&self.policies, &self.tracing_policies);
        for policy in &mut required.policies {
            policy.arrival = u64::from(self.new_policies.contains(&policy.policy.name_any()));
        }
        let mut machine = std::mem::take(&mut self.machine);
        let memory = self.memory.clone();
        let node = &self.nodes[name];
        let uid = node.uid().unwrap();
        let facts = self.facts(name);
        let labels = labels_for_selecting(node, facts.report.is_some());
        let judged = judge(node, &labels, facts, required.selecting(&labels), 0, self.now).unwrap();
        let is_held =
            machine.observe(&uid, memory.state(&uid, Some(&judged), self.now), self.now).is_held;
        let remembered = memory.loss(&uid, judged.boot);
        let plan =
            plan(node, &judged, &Moves { is_held, remembered, may_taint: &|_| true }, self.now);
        let written = crate::node::plan::applied(node, &plan);
        self.nodes.insert(name.to_owned(), written);
        self.machine = machine;
    }

    fn facts(&self, name: &str) -> Facts<'_> {
        let boot_id = crate::watch::store::boot_id(&self.nodes[name]);
        let report = self.reports.get(name);
        let names_it = report.is_some_and(|report| report.hook_profile.is_some());
        Facts { boot_id, report, profile: self.profile.as_ref().filter(|_| names_it) }
    }

    fn count(&self, is: impl Fn(&Node) -> bool) -> usize {
        self.nodes.values().filter(|node| is(node)).count()
    }

    pub fn is_shown_ready(&self, name: &str) -> bool {
        self.nodes[name].labels().get(BPF_LABEL).is_some_and(|value| value == "true")
    }

    /// Nodes whose label says that they can deny.
    pub fn bpf(&self) -> usize {
        self.count(|node| node.labels().get(BPF_LABEL).is_some_and(|value| value == "true"))
    }

    /// Nodes whose label says that they are ready for the policy.
    pub fn policy(&self) -> usize {
        let label = policy_label("enforce");
        self.count(|node| node.labels().get(&label).is_some_and(|value| value == "ready"))
    }

    pub fn tainted(&self) -> usize {
        self.count(|node| {
            let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
            taints.into_iter().any(|taint| TAINT_KEYS.contains(&taint.key.as_str()))
        })
    }

    /// Nodes whose condition is True.
    pub fn condition(&self) -> usize {
        self.count(|node| {
            crate::node::judge::condition(node).is_some_and(|condition| condition.status == "True")
        })
    }

    /// All four counts: labels, taints and conditions.
    pub fn shows(&self) -> [usize; 4] {
        [self.bpf(), self.policy(), self.tainted(), self.condition()]
    }
}
