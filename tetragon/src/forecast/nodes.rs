//! Nodes, grouped into classes that a verdict cannot distinguish, so that each class is judged
//! once.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use lsm_ready_crds::first_n::{self, MAX_ITEMS};
use lsm_ready_crds::policy::Require;
use lsm_ready_crds::selection::{Labels, keys};
use lsm_ready_crds::verdict::{Facts, Outcome, Verdict, outcome, verdict};

use crate::tracing_policy::{HookRequirement, TracingPolicy};

/// What is known of one node.
#[derive(Clone, Copy, Debug)]
pub struct KnownNode<'a> {
    /// The name of the node.
    pub name: &'a str,
    /// Its labels. If they are not known, each policy is assumed to select the node.
    pub labels: Option<&'a Labels>,
    /// Its boot, report and hook profile.
    pub facts: Facts<'a>,
}

/// Nodes in classes, with what was already computed for them.
#[derive(Debug, Default)]
pub struct Nodes<'a> {
    /// In the order of their names.
    all: Vec<ClassifiedNode<'a>>,
    /// The facts of one node of each class.
    classes: Vec<Facts<'a>>,
    /// Cache: groups of nodes, by the keys of the labels that distinguish them.
    by_labels: RefCell<HashMap<BTreeSet<String>, Rc<Vec<LabelGroup<'a>>>>>,
    /// Cache: the selected nodes, by the text of the `nodeSelector`. An empty text is for no
    /// selector.
    selected: RefCell<HashMap<String, Rc<Vec<NodeSet<'a>>>>>,
    /// Cache: what each class says to a hook.
    states: RefCell<HashMap<HookKey, Rc<Vec<Outcome>>>>,
    /// Cache: the sentences for a hook and a class.
    verdicts: RefCell<HashMap<(HookKey, usize), Verdict>>,
}

#[derive(Debug)]
struct ClassifiedNode<'a> {
    node: KnownNode<'a>,
    /// Index into [`Nodes::classes`].
    class: usize,
}

/// Nodes of one class with the same values of some labels.
#[derive(Debug)]
struct LabelGroup<'a> {
    class: usize,
    /// The labels of one of the nodes.
    labels: Option<&'a Labels>,
    nodes: NodeSet<'a>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct HookKey {
    hook: String,
    sleepable: bool,
}

/// What distinguishes classes. Nodes with equal values accept the same hooks.
#[derive(Eq, Hash, PartialEq)]
struct Class<'a> {
    evidence: Outcome,
    kernel_reads: Outcome,
    profile: Option<&'a str>,
}

/// The number of some nodes, and the first of them by name.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeSet<'a> {
    pub count: usize,
    pub sample: Vec<&'a str>,
}

impl<'a> Nodes<'a> {
    /// Groups these nodes.
    #[must_use]
    pub fn of(nodes: impl IntoIterator<Item = KnownNode<'a>>) -> Self {
        let mut nodes: Vec<KnownNode<'a>> = nodes.into_iter().collect();
        nodes.sort_unstable_by_key(|node| node.name);
        let mut indices = HashMap::new();
        let mut found = Self::default();
        for node in nodes {
            let class = *indices.entry(Class::of(node.facts)).or_insert_with(|| {
                found.classes.push(node.facts);
                found.classes.len() - 1
            });
            found.all.push(ClassifiedNode { node, class });
        }
        found
    }

    /// The number of nodes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are no nodes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    #[cfg(test)]
    pub(super) fn class_count(&self) -> usize {
        self.classes.len()
    }

    /// The nodes that the policy selects, for each class.
    pub(super) fn selected(&self, policy: &TracingPolicy) -> Rc<Vec<NodeSet<'a>>> {
        let selector = policy.node_selector().map(ToString::to_string).unwrap_or_default();
        let mut selected = self.selected.borrow_mut();
        selected.entry(selector).or_insert_with(|| Rc::new(self.select(policy))).clone()
    }

    fn select(&self, policy: &TracingPolicy) -> Vec<NodeSet<'a>> {
        let keys = policy.node_selector().into_iter().flat_map(keys).collect();
        let mut selected = vec![NodeSet::default(); self.classes.len()];
        for LabelGroup { class, labels, nodes } in self.by_labels(keys).iter() {
            if labels.is_none_or(|labels| policy.selects_node(labels)) {
                selected[*class].add(nodes);
            }
        }
        selected
    }

    /// The nodes, grouped by class and by the values of the labels with these keys.
    fn by_labels(&self, keys: BTreeSet<String>) -> Rc<Vec<LabelGroup<'a>>> {
        if let Some(known) = self.by_labels.borrow().get(&keys) {
            return known.clone();
        }
        let mut indices = HashMap::new();
        let mut groups: Vec<LabelGroup<'a>> = Vec::new();
        for &ClassifiedNode { node: KnownNode { name, labels, .. }, class } in &self.all {
            let values =
                labels.map(|labels| keys.iter().map(|key| labels.get(key)).collect::<Vec<_>>());
            let index = *indices.entry((class, values)).or_insert_with(|| {
                groups.push(LabelGroup { class, labels, nodes: NodeSet::default() });
                groups.len() - 1
            });
            groups[index].nodes.add(&NodeSet { count: 1, sample: vec![name] });
        }
        let groups = Rc::new(groups);
        self.by_labels.borrow_mut().insert(keys, groups.clone());
        groups
    }

    /// What each class says to that hook.
    pub(super) fn states(&self, requirement: &HookRequirement) -> Rc<Vec<Outcome>> {
        let state = |facts: &Facts<'_>| outcome(&requirement.require(facts.profile), *facts);
        let mut states = self.states.borrow_mut();
        states
            .entry(HookKey::of(requirement))
            .or_insert_with(|| Rc::new(self.classes.iter().map(state).collect()))
            .clone()
    }

    /// The sentence and the fix for that hook on nodes of that class.
    pub(super) fn verdict(&self, requirement: &HookRequirement, class: usize) -> Verdict {
        let facts = self.classes.get(class).copied().unwrap_or_default();
        let mut verdicts = self.verdicts.borrow_mut();
        verdicts
            .entry((HookKey::of(requirement), class))
            .or_insert_with(|| verdict(&requirement.require(facts.profile), facts))
            .clone()
    }
}

impl HookKey {
    fn of(requirement: &HookRequirement) -> Self {
        Self { hook: requirement.hook.clone(), sleepable: requirement.sleepable }
    }
}

impl<'a> Class<'a> {
    fn of(facts: Facts<'a>) -> Self {
        let digest = facts.report.and_then(|report| report.hook_profile.as_deref());
        let kernel_reads = Require { kernel_reads: true, ..Require::default() };
        Self {
            evidence: outcome(&Require::default(), facts),
            kernel_reads: outcome(&kernel_reads, facts),
            profile: facts.profile.and(digest),
        }
    }
}

impl NodeSet<'_> {
    fn add(&mut self, other: &Self) {
        self.count += other.count;
        for name in &other.sample {
            if self.sample.len() < MAX_ITEMS || self.sample.last() > Some(name) {
                first_n::insert(&mut self.sample, *name, |a, b| a < b);
            }
        }
    }
}
