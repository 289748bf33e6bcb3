//! Which nodes will take which of Tetragon's policies: a forecast from what the probes found, before an agent tries.
//!
//! In: policies, and what is known of each node. Out: for each hook that a policy asks for, on how many nodes its program
//! will be taken, and for the others why not ([`Forecast`]).
//!
//! ## Guarantees
//! Loadable is only said of a node on which this boot's canary was denied, whose kernel lets programs read its memory, and
//! whose hook profile has the hook. Everything goes by the verdict, as the node's labels do. The order in which nodes come
//! does not matter.
//!
//! ## Cost
//! Nodes that the verdict cannot tell apart are one class, which is judged once for each different hook. Sentences are made
//! by [`Nodes::explain`], for those that are printed. Each node's labels are looked at once for each different set of keys
//! that `nodeSelector`s have; a `nodeSelector` is then evaluated once for all nodes of a class with equal values.
//!
//! ## Limits
//! A forecast is about hooks. What the agent says to the policy's text is [`crate::tracing_policy::TextVerdict`].

use lsm_ready_crds::State;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use lsm_ready_crds::first_n::{self, MAX_ITEMS};
use lsm_ready_crds::policy::Require;
use lsm_ready_crds::selection::{Labels, key};
use lsm_ready_crds::verdict::{Facts, Outcome, Verdict, outcome, verdict};

use crate::tracing_policy::{HookRequirement, TracingPolicy};

/// What is known of one node.
#[derive(Clone, Copy, Debug)]
pub struct KnownNode<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its labels. Where they are not known, every policy is taken to be for it.
    pub labels: Option<&'a Labels>,
    /// Its boot, report and profile.
    pub facts: Facts<'a>,
}

/// Nodes, sorted by what the verdict can tell apart.
#[derive(Debug, Default)]
pub struct Nodes<'a> {
    /// In the order of their names, each with its class.
    all: Vec<(KnownNode<'a>, usize)>,
    /// The first node of each class.
    classes: Vec<Facts<'a>>,
    /// Nodes that no `nodeSelector` with these keys can tell apart.
    alike: RefCell<HashMap<BTreeSet<String>, Rc<Vec<Alike<'a>>>>>,
    /// The groups of a `nodeSelector`, by its text; that of none is empty.
    groups: RefCell<HashMap<String, Groups<'a>>>,
    /// What each class says to a hook, sleepable or not.
    outcomes: RefCell<HashMap<(String, bool), Outcomes>>,
    /// The words for a hook, sleepable or not, of a class.
    words: RefCell<HashMap<(String, bool, usize), Verdict>>,
}

/// The nodes of each class that a policy is for.
type Groups<'a> = Rc<Vec<Group<'a>>>;

/// Nodes of one class with the same values of some labels.
#[derive(Debug)]
struct Alike<'a> {
    class: usize,
    /// The labels of the first of them.
    labels: Option<&'a Labels>,
    group: Group<'a>,
}

/// What a verdict says, for each class.
type Outcomes = Rc<Vec<Outcome>>;

/// Two nodes with the same are the same to every hook: evidence, reading of kernel memory, and profile.
#[derive(Eq, Hash, PartialEq)]
struct Kind<'a> {
    evidence: Outcome,
    reads: Outcome,
    profile: Option<&'a str>,
}

impl<'a> Nodes<'a> {
    /// These nodes.
    #[must_use]
    pub fn of(nodes: impl IntoIterator<Item = KnownNode<'a>>) -> Self {
        let mut all: Vec<KnownNode<'a>> = nodes.into_iter().collect();
        all.sort_unstable_by_key(|node| node.name);
        let mut kinds = HashMap::new();
        let mut found = Self::default();
        for node in all {
            let class = *kinds.entry(kind(node.facts)).or_insert_with(|| {
                found.classes.push(node.facts);
                found.classes.len() - 1
            });
            found.all.push((node, class));
        }
        found
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// There is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The nodes of each class that the policy is for.
    fn concerned(&self, policy: &TracingPolicy) -> Groups<'a> {
        let key = policy.node_selector().map(ToString::to_string).unwrap_or_default();
        let mut groups = self.groups.borrow_mut();
        groups.entry(key).or_insert_with(|| Rc::new(self.grouped(policy))).clone()
    }

    fn grouped(&self, policy: &TracingPolicy) -> Vec<Group<'a>> {
        let keys = policy.node_selector().cloned().unwrap_or_default().into_iter();
        let keys = keys.map(|expression| key(&expression).to_owned()).collect();
        let mut groups = vec![Group::default(); self.classes.len()];
        for Alike { class, labels, group } in self.alike(keys).iter() {
            if labels.is_none_or(|labels| policy.selects_node(labels)) {
                groups[*class].add(group);
            }
        }
        groups
    }

    /// The nodes by class and by the values of the labels with these keys.
    fn alike(&self, keys: BTreeSet<String>) -> Rc<Vec<Alike<'a>>> {
        if let Some(known) = self.alike.borrow().get(&keys) {
            return known.clone();
        }
        let mut places = HashMap::new();
        let mut found: Vec<Alike<'a>> = Vec::new();
        for (node, class) in &self.all {
            let values = node
                .labels
                .map(|labels| keys.iter().map(|key| labels.get(key)).collect::<Vec<_>>());
            let place = *places.entry((*class, values)).or_insert_with(|| {
                found.push(Alike { class: *class, labels: node.labels, group: Group::default() });
                found.len() - 1
            });
            found[place].group.add(&Group { count: 1, sample: vec![node.name] });
        }
        let found = Rc::new(found);
        self.alike.borrow_mut().insert(keys, found.clone());
        found
    }

    /// What each class says to that hook.
    fn outcomes(&self, ask: &HookRequirement) -> Outcomes {
        let judge = |facts: &Facts<'_>| outcome(&ask.require(facts.profile), *facts);
        let mut outcomes = self.outcomes.borrow_mut();
        outcomes
            .entry((ask.hook.clone(), ask.sleepable))
            .or_insert_with(|| Rc::new(self.classes.iter().map(judge).collect()))
            .clone()
    }

    /// The sentence and the fix for nodes on which a hook does not do.
    #[must_use]
    pub fn explain(&self, ask: &HookRequirement, others: &NodesByReason) -> Verdict {
        let facts = self.classes.get(others.class).copied().unwrap_or_default();
        let mut words = self.words.borrow_mut();
        let key = (ask.hook.clone(), ask.sleepable, others.class);
        words.entry(key).or_insert_with(|| verdict(&ask.require(facts.profile), facts)).clone()
    }
}

fn kind(facts: Facts<'_>) -> Kind<'_> {
    let digest = facts.report.and_then(|report| report.hook_profile.as_deref());
    Kind {
        evidence: outcome(&Require::default(), facts),
        reads: outcome(&Require { kernel_reads: true, ..Require::default() }, facts),
        profile: facts.profile.and(digest),
    }
}

/// Some nodes, the first of them by name.
#[derive(Clone, Debug, Default)]
struct Group<'a> {
    count: usize,
    sample: Vec<&'a str>,
}

impl Group<'_> {
    fn add(&mut self, other: &Self) {
        self.count += other.count;
        for name in &other.sample {
            if self.sample.len() < MAX_ITEMS || self.sample.last() > Some(name) {
                first_n::insert(&mut self.sample, *name, |a, b| a < b);
            }
        }
    }
}

/// What becomes of the hooks of one policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forecast {
    /// Nodes that it is for.
    pub nodes: usize,
    /// Those on which all of its hooks take their programs.
    pub loadable: usize,
    /// Those on which one was shown not to.
    pub not_loadable: usize,
    /// The rest.
    pub unknown: usize,
    /// Each hook.
    pub hooks: Vec<HookForecast>,
}

/// What becomes of one hook's programs.
#[derive(Clone, Debug, PartialEq)]
pub struct HookForecast {
    /// What is asked.
    pub requirement: HookRequirement,
    /// Nodes that take them.
    pub loadable: usize,
    /// The others by reason, those that were shown not to before those that are not known, the most first.
    pub others: Vec<NodesByReason>,
}

/// Nodes that will not take a program, or are not known to. [`Nodes::explain`] has the words.
#[derive(Clone, Debug, PartialEq)]
pub struct NodesByReason {
    /// `NotReady` or `Unknown`.
    pub state: State,
    /// A code of docs/reasons.md.
    pub reason: String,
    /// How many.
    pub count: usize,
    /// The first three by name.
    pub sample: Vec<String>,
    /// The first class of them.
    class: usize,
}

impl Forecast {
    /// What can be said of all of its nodes; nothing is known where there are none.
    #[must_use]
    pub const fn state(&self) -> State {
        match self {
            Self { not_loadable: 1.., .. } => State::NotReady,
            Self { unknown: 1.., .. } | Self { nodes: 0, .. } => State::Unknown,
            _ => State::Ready,
        }
    }
}

/// What becomes of the hooks of that policy on these nodes.
#[must_use]
pub fn forecast(policy: &TracingPolicy, nodes: &Nodes<'_>) -> Forecast {
    let groups = nodes.concerned(policy);
    let mut worst = vec![State::Ready; groups.len()];
    let hooks =
        policy.required_hooks.iter().map(|ask| hook(ask, nodes, &groups, &mut worst)).collect();
    let of = |state| {
        groups
            .iter()
            .zip(&worst)
            .filter(|(_, worst)| **worst == state)
            .map(|(group, _)| group.count)
            .sum()
    };
    Forecast {
        nodes: groups.iter().map(|group| group.count).sum(),
        loadable: of(State::Ready),
        not_loadable: of(State::NotReady),
        unknown: of(State::Unknown),
        hooks,
    }
}

fn hook(
    ask: &HookRequirement,
    nodes: &Nodes<'_>,
    groups: &[Group<'_>],
    worst: &mut [State],
) -> HookForecast {
    let outcomes = nodes.outcomes(ask);
    let mut loadable = 0;
    let mut others: BTreeMap<&str, NodesByReason> = BTreeMap::new();
    for (class, (outcome, group)) in outcomes.iter().zip(groups).enumerate() {
        if group.count == 0 {
            continue;
        }
        worst[class] = graver(worst[class], outcome.state);
        if outcome.state == State::Ready {
            loadable += group.count;
        } else {
            add(&mut others, outcome, class, group);
        }
    }
    let mut others: Vec<NodesByReason> = others.into_values().collect();
    others.sort_by_key(|others| (others.state == State::Unknown, std::cmp::Reverse(others.count)));
    HookForecast { requirement: ask.clone(), loadable, others }
}

fn add<'a>(
    others: &mut BTreeMap<&'a str, NodesByReason>,
    outcome: &'a Outcome,
    class: usize,
    group: &Group<'_>,
) {
    let Outcome { state, reason } = outcome;
    let new = || NodesByReason {
        state: *state,
        reason: reason.clone(),
        count: 0,
        sample: Vec::new(),
        class,
    };
    let entry = others.entry(reason).or_insert_with(new);
    entry.count += group.count;
    for node in &group.sample {
        first_n::insert(&mut entry.sample, (*node).to_owned(), |a, b| a < b);
    }
}

/// What is shown not to hold before what is not known, and that before what holds.
const fn graver(one: State, other: State) -> State {
    match (one, other) {
        (State::NotReady, _) | (_, State::NotReady) => State::NotReady,
        (State::Unknown, _) | (_, State::Unknown) => State::Unknown,
        _ => State::Ready,
    }
}

#[cfg(test)]
mod tests;
