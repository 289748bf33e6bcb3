//! Makes the fleet of objects. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Node, PodTemplateSpec};
use kube::ResourceExt;
use lsm_ready_crds::policy::Require;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::selection::{labels_for_selecting, may_run_linux};
use lsm_ready_crds::verdict::Facts;
use lsm_ready_crds::{LsmHookProfile, LsmNode, LsmNodeStatus, LsmPolicy};

use super::node::{self, Asking, Known};
use super::{
    Context, Fleet, HookProfileRow, OperatorRow, ProbeRow, SCHEMA, agent, policy, printed,
};

/// What was read of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    pub context: Context,
    pub taken_at: Timestamp,
    pub nodes: Vec<Node>,
    /// Cleaned, by the name of the node.
    pub(crate) reports: HashMap<String, LsmNodeStatus>,
    /// Only profiles whose name is the digest of their content.
    pub(crate) profiles: BTreeMap<String, LsmHookProfileSpec>,
    pub policies: Vec<LsmPolicy>,
    /// Tetragon's.
    pub daemon_sets: Vec<DaemonSet>,
    pub operator: Option<Deployment>,
    pub probe: Option<DaemonSet>,
    /// Sentences about what could not be read.
    pub notes: Vec<String>,
}

impl Objects {
    /// Adds a report, with printable texts.
    pub fn add_report(&mut self, report: LsmNode) {
        let name = report.name_any();
        if let Some(status) = report.status {
            self.reports.insert(name, status.cleaned());
        }
    }

    /// Adds a profile, unless its name is not the digest of its content.
    pub fn add_profile(&mut self, profile: LsmHookProfile) {
        if profile.is_genuine() {
            self.profiles.insert(profile.name_any(), profile.spec);
        }
    }

    /// The notes. They can repeat what an object or an API server says.
    pub fn printed_notes(&self) -> Vec<String> {
        self.notes.iter().map(|note| printed(note)).collect()
    }

    /// The Linux nodes, by name.
    pub fn known(&self) -> Vec<Known<'_>> {
        let mut known: Vec<Known<'_>> =
            self.nodes.iter().filter_map(|node| self.known_node(node)).collect();
        known.sort_by(|one, other| one.node.metadata.name.cmp(&other.node.metadata.name));
        known
    }

    fn known_node<'a>(&'a self, node: &'a Node) -> Option<Known<'a>> {
        let report = self.reports.get(node.metadata.name.as_deref()?);
        let labels = labels_for_selecting(node.labels(), report.is_some());
        let profile = report.and_then(|report| self.profiles.get(report.hook_profile.as_deref()?));
        let facts = Facts { boot_id: node::boot_id(node), report, profile };
        may_run_linux(&labels).then_some(Known { node, labels, facts })
    }
}

/// The fleet that these objects describe.
pub fn of(objects: &Objects) -> Fleet {
    judged_by(objects, &Require::default())
}

/// The same, with the nodes judged by that requirement.
pub fn judged_by(objects: &Objects, require: &Require) -> Fleet {
    let asking: Vec<Asking<'_>> = objects.policies.iter().filter_map(Asking::of).collect();
    let known = objects.known();
    Fleet {
        schema: SCHEMA.to_owned(),
        context: Context {
            name: printed(&objects.context.name),
            server: printed(&objects.context.server),
        },
        taken_at: objects.taken_at,
        operator: objects.operator.as_ref().map(operator),
        probe: objects.probe.as_ref().map(probe),
        hook_profiles: used_profiles(objects, &known),
        nodes: node::rows(&known, require, asking, objects.taken_at),
        policies: policy::rows(&objects.policies),
        agents: agent::rows(&objects.daemon_sets, &objects.policies),
        notes: objects.printed_notes(),
    }
}

/// The profiles that some node has.
fn used_profiles(objects: &Objects, known: &[Known<'_>]) -> BTreeMap<String, HookProfileRow> {
    let used = known.iter().filter_map(|known| known.facts.report?.hook_profile.as_deref());
    used.filter_map(|digest| Some((digest.to_owned(), profile(objects.profiles.get(digest)?))))
        .collect()
}

fn profile(spec: &LsmHookProfileSpec) -> HookProfileRow {
    let names = |hooks: &BTreeSet<String>| hooks.iter().map(|hook| printed(hook)).collect();
    HookProfileRow {
        kernel: printed(&spec.kernel),
        attachable: names(&spec.hooks),
        sleepable: names(&spec.sleepable_hooks),
        refused: names(&spec.refused_hooks),
    }
}

fn operator(deployment: &Deployment) -> OperatorRow {
    let spec = deployment.spec.as_ref();
    let status = deployment.status.as_ref();
    OperatorRow {
        namespace: deployment.namespace().unwrap_or_default(),
        name: deployment.name_any(),
        image: spec.map(|spec| image(&spec.template)).unwrap_or_default(),
        replicas_wanted: spec.and_then(|spec| spec.replicas).unwrap_or(1),
        replicas_available: status.and_then(|status| status.available_replicas).unwrap_or(0),
    }
}

fn probe(daemon_set: &DaemonSet) -> ProbeRow {
    let status = daemon_set.status.as_ref();
    ProbeRow {
        namespace: daemon_set.namespace().unwrap_or_default(),
        name: daemon_set.name_any(),
        image: daemon_set.spec.as_ref().map(|spec| image(&spec.template)).unwrap_or_default(),
        pods_wanted: status.map_or(0, |status| status.desired_number_scheduled),
        pods_ready: status.map_or(0, |status| status.number_ready),
    }
}

/// The image of the first container.
fn image(template: &PodTemplateSpec) -> String {
    let container = template.spec.as_ref().and_then(|spec| spec.containers.first());
    printed(container.and_then(|container| container.image.as_deref()).unwrap_or_default())
}
