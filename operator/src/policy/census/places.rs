//! The nodes as they were last counted, and when each of them last changed.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use kube::Resource;
use lsm_ready_crds::LsmNode;
use lsm_ready_crds::profile::LsmHookProfileSpec;

use crate::watch::packed_node::{PackedNode, Selecting};
use crate::watch::store::{NodeRecord, Stores};

/// One place for each name of a node. A place is not given to another name.
#[derive(Debug, Default)]
pub struct Places {
    all: Vec<Place>,
    by_name: HashMap<Arc<str>, usize>,
    /// The places of the Nodes and of the reports, in the order in which their store gave them.
    nodes: Order,
    reports: Order,
    round: u64,
}

/// Where the objects of a store were in the last round. A store keeps its order until a name comes
/// or goes, so nearly every object is found without a look at its name.
#[derive(Debug, Default)]
struct Order(Vec<Option<usize>>);

impl Order {
    /// The place of the object that the store gives in this turn: where it was, if it `is_there`,
    /// or else where it is found.
    fn place(
        &mut self,
        turn: usize,
        is_there: impl FnOnce(usize) -> bool,
        find: impl FnOnce() -> Option<usize>,
    ) -> Option<usize> {
        let known = self.0.get(turn).copied().flatten();
        if let Some(index) = known.filter(|index| is_there(*index)) {
            return Some(index);
        }
        let found = find();
        if turn >= self.0.len() {
            self.0.resize(turn + 1, None);
        }
        self.0[turn] = found;
        found
    }
}

/// A node, or none where it is gone.
#[derive(Debug)]
pub struct Place {
    pub name: Arc<str>,
    node: Part<PackedNode>,
    report: Part<LsmNode>,
    content: Option<Arc<LsmHookProfileSpec>>,
    /// The round in which something of it last changed.
    changed: u64,
}

/// A Node or a report.
#[derive(Debug)]
struct Part<K> {
    object: Option<Arc<K>>,
    /// The last round in which it was there.
    seen: u64,
}

impl<K> Part<K> {
    const fn none() -> Self {
        Self { object: None, seen: 0 }
    }

    /// Takes in what is there in this round. Returns whether it is another one.
    fn see(&mut self, found: Arc<K>, round: u64) -> bool {
        self.seen = round;
        let is_other = !is_same(self.object.as_ref(), Some(&found));
        self.object = Some(found);
        is_other
    }

    /// Forgets what was not there in this round. Returns whether it was there before.
    fn expire(&mut self, round: u64) -> bool {
        self.seen != round && self.object.take().is_some()
    }
}

impl Place {
    fn new(name: Arc<str>) -> Self {
        Self { name, node: Part::none(), report: Part::none(), content: None, changed: 0 }
    }

    /// The UID of the node.
    pub fn uid(&self) -> Option<&str> {
        self.node.object.as_ref()?.meta().uid.as_deref()
    }

    /// Whether the node is there and selected.
    pub fn is_selected(&self, selecting: &Selecting<'_>) -> bool {
        let is_reported = self.report.object.is_some();
        self.node.object.as_ref().is_some_and(|node| selecting.selects(node, is_reported))
    }

    /// The node with its report and hook profile.
    pub fn record(&self) -> Option<(Node, NodeRecord)> {
        let node = self.node.object.as_ref()?.node();
        let report = self.report.object.clone();
        let record = NodeRecord::new(&node, report, self.content.clone());
        Some((node, record))
    }
}

impl Places {
    /// Compares all places with the stores. Returns whether all of them are new, because more than
    /// half of the nodes were gone.
    pub fn update(&mut self, stores: &Stores) -> bool {
        let gone = self.all.iter().filter(|place| place.node.object.is_none()).count();
        let is_new = gone > 64 && gone * 2 > self.all.len();
        if is_new {
            *self = Self { round: self.round, ..Self::default() };
        }
        self.round += 1;
        self.update_nodes(stores);
        self.update_reports(stores);
        self.expire();
        self.update_contents(stores);
        is_new
    }

    /// The number of the present round.
    pub const fn round(&self) -> u64 {
        self.round
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn get(&self, index: usize) -> &Place {
        &self.all[index]
    }

    /// The place of the node with that name.
    pub fn of(&self, name: &str) -> Option<&Place> {
        self.by_name.get(name).map(|index| &self.all[*index])
    }

    /// The places that changed after that round.
    pub fn changed_after(&self, round: u64) -> impl Iterator<Item = (usize, &Place)> {
        self.all.iter().enumerate().filter(move |(_, place)| place.changed > round)
    }

    fn update_nodes(&mut self, stores: &Stores) {
        let round = self.round;
        let mut order = std::mem::take(&mut self.nodes);
        for (turn, node) in stores.nodes.0.state().into_iter().enumerate() {
            let is_there =
                |index: usize| is_same(self.all[index].node.object.as_ref(), Some(&node));
            let name = || node.meta().name.as_deref().unwrap_or_default();
            let known = order.place(turn, is_there, || self.by_name.get(name()).copied());
            let index = known.unwrap_or_else(|| self.add(name()));
            let place = &mut self.all[index];
            if place.node.see(node, round) {
                place.changed = round;
            }
        }
        self.nodes = order;
    }

    fn add(&mut self, name: &str) -> usize {
        let (index, name) = (self.all.len(), Arc::<str>::from(name));
        self.by_name.insert(name.clone(), index);
        self.all.push(Place::new(name));
        index
    }

    fn update_reports(&mut self, stores: &Stores) {
        let round = self.round;
        for (turn, report) in stores.reports.state().into_iter().enumerate() {
            let all = &self.all;
            let is_there = |index: usize| is_same(all[index].report.object.as_ref(), Some(&report));
            let name = report.metadata.name.as_deref().unwrap_or_default();
            let known = self.reports.place(turn, is_there, || self.by_name.get(name).copied());
            // The report of a node that does not exist counts for nothing.
            let Some(index) = known else { continue };
            let place = &mut self.all[index];
            if place.report.see(report, round) {
                place.changed = round;
            }
        }
    }

    /// Forgets what is gone.
    fn expire(&mut self) {
        let round = self.round;
        for place in &mut self.all {
            let (is_node_gone, is_report_gone) =
                (place.node.expire(round), place.report.expire(round));
            if is_node_gone || is_report_gone {
                place.changed = round;
            }
        }
    }

    fn update_contents(&mut self, stores: &Stores) {
        let round = self.round;
        // Thousands of nodes share a hook profile, and most have that of the node before.
        let mut known: HashMap<String, Option<Arc<LsmHookProfileSpec>>> = HashMap::new();
        let mut last: Option<(String, Option<Arc<LsmHookProfileSpec>>)> = None;
        for place in &mut self.all {
            let status = place.report.object.as_ref().and_then(|report| report.status.as_ref());
            let digest = status.and_then(|status| status.hook_profile.as_deref());
            let content = digest.and_then(|digest| {
                if last.as_ref().is_none_or(|(last, _)| last != digest) {
                    let found = known.get(digest).cloned();
                    let found = found.unwrap_or_else(|| stores.profile(digest));
                    known.insert(digest.to_owned(), found.clone());
                    last = Some((digest.to_owned(), found));
                }
                last.as_ref()?.1.clone()
            });
            if !is_same(place.content.as_ref(), content.as_ref()) {
                place.content = content;
                place.changed = round;
            }
        }
    }
}

/// Whether they are the same object in memory. Both are held, so no new object can have the address
/// of an old one.
fn is_same<T>(known: Option<&Arc<T>>, found: Option<&Arc<T>>) -> bool {
    match (known, found) {
        (Some(known), Some(found)) => Arc::ptr_eq(known, found),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}
