//! Which objects have to be reconciled when one changes.
//!
//! | changed | Nodes | policies | DaemonSets |
//! |---|---|---|---|
//! | Node: labels, taints, boot, our condition | itself | concerned | ours, if it has no securityfs |
//! | LsmNode | its Node | concerned | ours, if the node was repaired, or securityfs came or went |
//! | LsmHookProfile that a report names | all | all | |
//! | LsmPolicy: spec, release annotation, or deleted | all | all | ours |
//! | LsmPolicy: spec change goes on or ends | its unready ones | all | ours |
//! | LsmPolicy: status | | itself | |
//! | TracingPolicy, or whether it can be read | all, if a policy requires TracingPolicies | all | |
//! | DaemonSet: spec, labels, our annotation, rollout | | those that name it | itself, if ours |
//!
//! "Concerned" are the policies that select the Node or did so before the change, and those that
//! name a DaemonSet; all while the circuit breaker is open. "Ours" are the DaemonSets that a policy
//! names, and those that carry our label. A policy is evaluated at most once a second.
//!
//! A fresh list triggers everything, because a deletion while the watch was broken has no event of
//! its own. After a deletion and after a fresh list, what is remembered of the objects that are
//! gone is forgotten ([`crate::context::forget`]).

mod change_filter;
mod relevant;

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube_runtime::reflector::ObjectRef;
use kube_runtime::watcher::Event;
use lsm_ready_crds::names::policy_label;
use lsm_ready_crds::selection::{LINUX, Labels, OS_LABEL, Selection, labels_for_selecting};
use lsm_ready_crds::{LsmNode, LsmPolicy, State, names};
use parking_lot::Mutex;

use crate::context::Context;
use crate::node::plan::policy_value;
use crate::watch::key::DaemonSetKey;
use crate::watch::packed_node::PackedNode;
use crate::watch::profile::Profile;
use crate::watch::store::{Stores, lacks_securityfs};

use self::change_filter::ChangeFilter;
use self::relevant::{RelevantInNode, for_all_nodes, relevant_in_daemon_set, relevant_in_policy};

/// Puts the keys of the objects that an event concerns into the queues.
pub struct Triggers {
    ctx: Arc<Context>,
    nodes: ChangeFilter,
    policies: ChangeFilter,
    daemon_sets: ChangeFilter,
    /// Names of the reports that say that the kernel has no securityfs.
    without_securityfs: Mutex<BTreeSet<String>>,
}

impl Triggers {
    pub fn new(ctx: Arc<Context>) -> Self {
        Self {
            ctx,
            nodes: ChangeFilter::default(),
            policies: ChangeFilter::default(),
            daemon_sets: ChangeFilter::default(),
            without_securityfs: Mutex::default(),
        }
    }

    pub(crate) fn context(&self) -> &Context {
        &self.ctx
    }

    /// How many objects the triggers remember.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        let filters = [&self.nodes, &self.policies, &self.daemon_sets];
        let filtered: usize = filters.into_iter().map(ChangeFilter::len).sum();
        filtered + self.without_securityfs.lock().len()
    }

    /// `before`: the Node as the store had it.
    pub(crate) fn node(&self, event: &Event<Node>, before: Option<&PackedNode>) {
        match event {
            Event::Init => return self.nodes.clear(),
            Event::InitApply(node) => {
                self.nodes.changed(node, &RelevantInNode(node));
                return;
            }
            Event::InitDone => {
                self.ctx.forget_gone_nodes();
                self.queue_all_nodes();
            }
            Event::Apply(node) => {
                if self.nodes.changed(node, &RelevantInNode(node)) {
                    self.queue_changed_node(node);
                    let before = before.map(PackedNode::labels);
                    self.queue_policies_of(node, before.as_ref());
                } else if self
                    .ctx
                    .backoffs
                    .node_conflicts
                    .has_failed_once(&node.uid().unwrap_or_default())
                {
                    // A write was refused because of this change.
                    self.ctx.queues.node(&node.name_any());
                }
                return;
            }
            Event::Delete(node) => {
                self.nodes.forget(node);
                self.ctx.forget_gone_nodes();
            }
        }
        self.queue_all_policies();
    }

    fn queue_changed_node(&self, node: &Node) {
        self.ctx.queues.node(&node.name_any());
        let report = self.ctx.stores.reports.get(&ObjectRef::new(&node.name_any()));
        if report.is_some_and(|report| lacks_securityfs(&report)) {
            self.queue_our_daemon_sets();
        }
    }

    pub(crate) fn report(&self, event: &Event<LsmNode>) {
        match event {
            Event::Init => return,
            Event::InitApply(report) => {
                self.note_profile(report, false);
                self.note_securityfs(report, false);
                return;
            }
            Event::InitDone => {
                self.forget_gone_reports();
                self.queue_all_nodes();
                self.queue_our_daemon_sets();
            }
            Event::Apply(report) => {
                self.queue_changed_report(report, false);
                match self.ctx.stores.nodes.get(&report.name_any()) {
                    Some(node) if is_linux(&node) => self.queue_policies_of(&node, None),
                    // It may count as a node that runs Linux only now.
                    Some(_) => self.queue_all_policies(),
                    None => {}
                }
                return;
            }
            Event::Delete(report) => self.queue_changed_report(report, true),
        }
        self.queue_all_policies();
    }

    /// Queues the policies that a Node concerns, which may have had other labels before.
    fn queue_policies_of(&self, node: &Node, before: Option<&Labels>) {
        let Context { stores, queues, breaker, .. } = &*self.ctx;
        // While changes are held, every policy says how many.
        if breaker.is_open() {
            return self.queue_all_policies();
        }
        let is_reported = stores.is_reported(node);
        let labels = before.into_iter().chain([node.labels()]);
        let labels: Vec<_> =
            labels.map(|labels| labels_for_selecting(labels, is_reported)).collect();
        for policy in self.ctx.required().concerned(&labels) {
            queues.policy_of_node(&policy.name_any());
        }
    }

    fn queue_changed_report(&self, report: &LsmNode, is_deleted: bool) {
        self.ctx.queues.node(&report.name_any());
        self.note_profile(report, is_deleted);
        // A repaired node may have a stale agent. On a node without securityfs an agent with our
        // mount cannot start.
        let is_repaired =
            report.status.as_ref().is_some_and(|status| status.denied_since.is_some());
        if self.note_securityfs(report, is_deleted) || is_repaired {
            self.queue_our_daemon_sets();
        }
    }

    /// Remembers which hook profile the report names.
    fn note_profile(&self, report: &LsmNode, is_deleted: bool) {
        let status = report.status.as_ref().filter(|_| !is_deleted);
        let digest = status.and_then(|status| status.hook_profile.as_deref());
        self.ctx.stores.contents.names(&report.name_any(), digest);
    }

    /// Remembers whether a report says that the kernel has no securityfs. Returns whether that
    /// changed.
    fn note_securityfs(&self, report: &LsmNode, is_deleted: bool) -> bool {
        let (name, mut names) = (report.name_any(), self.without_securityfs.lock());
        if lacks_securityfs(report) && !is_deleted {
            names.insert(name)
        } else {
            names.remove(&name)
        }
    }

    fn forget_gone_reports(&self) {
        let reports = &self.ctx.stores.reports;
        let exists = |name: &str| reports.get(&ObjectRef::new(name)).is_some();
        self.without_securityfs.lock().retain(|name| exists(name));
        self.ctx.stores.contents.retain_nodes(exists);
    }

    pub(crate) fn profile(&self, event: &Event<Profile>) {
        match event {
            Event::Init | Event::InitApply(_) => return,
            // A profile that no report names changes nothing for any node.
            Event::Apply(profile) => {
                self.ctx.profiles_changed.notify_one();
                if !self.ctx.stores.contents.is_named(&profile.name_any()) {
                    return;
                }
            }
            Event::Delete(profile) => {
                let was_named = self.ctx.stores.contents.is_named(&profile.name_any());
                self.ctx.stores.contents.forget(&profile.name_any());
                if !was_named {
                    return;
                }
            }
            Event::InitDone => {
                self.ctx.profiles_changed.notify_one();
                self.ctx.forget_gone_profiles();
            }
        }
        self.contents();
    }

    /// The content of a hook profile that a report names came or went.
    pub(crate) fn contents(&self) {
        self.queue_all_nodes();
        self.queue_all_policies();
    }

    /// A policy is gone of which no version could be parsed. Nothing is known of what it asked for.
    pub(crate) fn unread_policy_gone(&self) {
        self.queue_all_nodes();
        self.queue_all_policies();
        self.queue_our_daemon_sets();
    }

    pub(crate) fn policy(&self, event: &Event<LsmPolicy>) {
        match event {
            Event::Init => return self.policies.clear(),
            Event::InitApply(policy) => {
                self.policies.change(policy, &relevant_in_policy(policy), &for_all_nodes(policy));
                return;
            }
            Event::InitDone => {
                self.ctx.forget_gone_policies();
                self.read_wanted_daemon_sets();
                self.queue_all_nodes();
            }
            Event::Apply(policy) => {
                self.ctx.queues.policy(&policy.name_any());
                let relevant = relevant_in_policy(policy);
                let change = self.policies.change(policy, &relevant, &for_all_nodes(policy));
                if !change.relevant {
                    return;
                }
                self.read_wanted_daemon_sets();
                if change.for_all_nodes {
                    self.queue_all_nodes();
                } else {
                    self.queue_unready_nodes_of(policy);
                }
            }
            Event::Delete(policy) => {
                self.policies.forget(policy);
                self.ctx.forget_gone_policies();
                self.read_wanted_daemon_sets();
                self.queue_all_nodes();
            }
        }
        self.queue_all_policies();
        self.queue_our_daemon_sets();
    }

    fn read_wanted_daemon_sets(&self) {
        let Stores { wanted_daemon_sets, policies, .. } = &self.ctx.stores;
        wanted_daemon_sets.read(policies);
    }

    pub(crate) fn daemon_set(&self, event: &Event<DaemonSet>) {
        match event {
            Event::Init => self.daemon_sets.clear(),
            Event::InitApply(daemon_set) => {
                self.daemon_sets.changed(daemon_set, &relevant_in_daemon_set(daemon_set));
            }
            Event::InitDone => {
                self.ctx.forget_gone_daemon_sets();
                self.queue_our_daemon_sets();
                self.queue_all_policies();
            }
            Event::Apply(daemon_set) => {
                if self.daemon_sets.changed(daemon_set, &relevant_in_daemon_set(daemon_set)) {
                    self.queue_changed_daemon_set(daemon_set);
                }
            }
            Event::Delete(daemon_set) => {
                self.daemon_sets.forget(daemon_set);
                self.ctx.forget_gone_daemon_sets();
                self.queue_changed_daemon_set(daemon_set);
            }
        }
    }

    fn queue_changed_daemon_set(&self, daemon_set: &DaemonSet) {
        let Context { stores, queues, .. } = &*self.ctx;
        let key = DaemonSetKey::of(daemon_set);
        let named = stores
            .policies
            .find(|policy| DaemonSetKey::named_by(&policy.spec).as_ref() == Some(&key));
        if named.is_some() || has_our_label(daemon_set) {
            queues.daemon_set(&key);
        }
        queues.policies_of(&key, &stores.policies);
    }

    /// Tetragon's policies changed, or whether they can be read.
    pub(crate) fn tracing_policies(&self) {
        let policies = &self.ctx.stores.policies;
        if policies.find(|policy| policy.spec.require.tracing_policies.is_some()).is_some() {
            self.queue_all_nodes();
        }
        self.queue_all_policies();
    }

    fn queue_all_nodes(&self) {
        self.ctx.queues.all_nodes(&self.ctx.stores.nodes);
    }

    /// Queues the Nodes that a policy selects and that are not labelled ready for it: a change of
    /// the policy goes on or has ended. For the others nothing follows from that.
    fn queue_unready_nodes_of(&self, policy: &LsmPolicy) {
        let Context { stores, queues, breaker, .. } = &*self.ctx;
        // Held nodes are labelled ready, and are not.
        let is_any = breaker.is_open();
        let (label, ready) = (policy_label(&policy.name_any()), policy_value(State::Ready));
        let Ok(selection) = Selection::of(&policy.spec) else { return };
        for node in stores.selected(&selection) {
            let is_ready = node.labels().get(&label).is_some_and(|shown| shown == ready);
            if is_any || !is_ready {
                queues.node_of_policy(&node.name_any());
            }
        }
    }

    fn queue_all_policies(&self) {
        self.ctx.queues.all_policies(&self.ctx.stores.policies);
    }

    /// Queues the DaemonSets that a policy names, and those from which a mount may have to be
    /// removed.
    fn queue_our_daemon_sets(&self) {
        let Context { stores, queues, .. } = &*self.ctx;
        for policy in stores.policies.state() {
            if let Some(key) = DaemonSetKey::named_by(&policy.spec) {
                queues.daemon_set(&key);
            }
        }
        for daemon_set in stores.daemon_sets.state_filter(has_our_label) {
            queues.daemon_set(&DaemonSetKey::of(&daemon_set));
        }
    }
}

/// Whether the Node's labels alone say that it runs Linux. If not, its report decides about that.
fn is_linux(node: &Node) -> bool {
    node.labels().get(OS_LABEL).is_some_and(|os| os == LINUX)
}

fn has_our_label(daemon_set: &DaemonSet) -> bool {
    daemon_set.labels().contains_key(names::DAEMON_SET_LABEL)
}

#[cfg(test)]
mod tests;
