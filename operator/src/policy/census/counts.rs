//! What was counted of one policy's nodes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use lsm_ready_crds::names::policy_label;
use lsm_ready_crds::policy::{ReasonCount, Taint};
use lsm_ready_crds::verdict::Verdict;
use lsm_ready_crds::{LsmPolicy, State, first_n};

use super::places::{Place, Places};
use super::{Parsed, Standing};
use crate::context::Context;
use crate::node::plan::{policy_value, present_effect};
use crate::policy::spec_change::{Progress, is_changing};
use crate::policy::status::Tally;
use crate::watch::packed_node::Selecting;
use crate::watch::store::labels_for_selecting;

/// What a policy asks of its nodes.
pub struct Asks<'a> {
    parsed: Parsed<'a>,
    selecting: Selecting<'a>,
    label: String,
    taint: Option<&'a Taint>,
    is_changing: bool,
}

impl<'a> Asks<'a> {
    pub fn of(policy: &'a LsmPolicy, parsed: Parsed<'a>) -> Self {
        Self {
            parsed,
            selecting: Selecting::of(parsed.selection),
            label: policy_label(&policy.name_any()),
            taint: policy.spec.taint.as_ref(),
            is_changing: is_changing(policy),
        }
    }

    fn verdict(&self, place: &Place) -> Option<(Verdict, Node)> {
        if !place.is_selected(&self.selecting) {
            return None;
        }
        let (node, record) = place.record()?;
        let labels = labels_for_selecting(&node, record.is_reported());
        let verdict = self.parsed.requirement.verdict(&labels, record.facts());
        drop(labels);
        Some((verdict, node))
    }
}

/// What was counted of one selected node.
#[derive(Clone, Copy, Debug)]
struct One {
    state: State,
    /// Where the node is not ready: an index into [`Counts::reasons`].
    reason: u32,
    is_labelled: bool,
    taint: Tainted,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Tainted {
    NotNeeded,
    Yes,
    No,
}

/// The nodes that are not ready for one reason.
#[derive(Debug, Default)]
struct Reason {
    code: String,
    nodes: BTreeSet<Arc<str>>,
}

#[derive(Debug, Default)]
pub struct Counts {
    /// Every change up to this round is counted.
    round: u64,
    /// By the node's place. None: the policy does not select it.
    nodes: Vec<Option<One>>,
    ready: usize,
    not_ready: usize,
    unknown: usize,
    unlabelled: usize,
    tainted: usize,
    untainted: BTreeSet<Arc<str>>,
    /// A reason that no node has any more leaves a free index.
    reasons: Vec<Reason>,
    by_code: HashMap<String, u32>,
}

impl Counts {
    /// Judges the nodes that changed.
    pub fn update(&mut self, places: &Places, asks: &Asks<'_>) {
        self.nodes.resize(places.len(), None);
        for (index, place) in places.changed_after(self.round) {
            if let Some(before) = self.nodes[index].take() {
                self.leave(&place.name, before);
            }
            let found = asks.verdict(place);
            self.nodes[index] =
                found.map(|(verdict, node)| self.enter(&node, verdict, place, asks));
        }
        self.round = places.round();
    }

    fn enter(&mut self, node: &Node, verdict: Verdict, place: &Place, asks: &Asks<'_>) -> One {
        let shown = node.labels().get(&asks.label);
        let is_labelled = shown.is_some_and(|shown| shown == policy_value(verdict.state));
        let has = |taint: &Taint| {
            present_effect(node, taint.key).is_some_and(|present| present >= taint.effect)
        };
        let taint = match asks.taint.filter(|_| verdict.state != State::Ready) {
            None => Tainted::NotNeeded,
            Some(taint) if has(taint) => Tainted::Yes,
            Some(_) => Tainted::No,
        };
        let state = verdict.state;
        let reason = if state == State::Ready { 0 } else { self.reason(verdict.reason) };
        let one = One { state, reason, is_labelled, taint };
        if state != State::Ready {
            self.reasons[reason as usize].nodes.insert(place.name.clone());
        }
        if taint == Tainted::No {
            self.untainted.insert(place.name.clone());
        }
        *self.of_state(state) += 1;
        self.unlabelled += usize::from(!is_labelled);
        self.tainted += usize::from(taint == Tainted::Yes);
        one
    }

    fn leave(&mut self, name: &Arc<str>, one: One) {
        let One { state, reason, is_labelled, taint } = one;
        *self.of_state(state) -= 1;
        self.unlabelled -= usize::from(!is_labelled);
        self.tainted -= usize::from(taint == Tainted::Yes);
        if taint == Tainted::No {
            self.untainted.remove(name);
        }
        if state != State::Ready {
            let reason = &mut self.reasons[reason as usize];
            reason.nodes.remove(name);
            if reason.nodes.is_empty() {
                self.by_code.remove(&std::mem::take(&mut reason.code));
            }
        }
    }

    const fn of_state(&mut self, state: State) -> &mut usize {
        match state {
            State::Ready => &mut self.ready,
            State::NotReady => &mut self.not_ready,
            State::Unknown => &mut self.unknown,
        }
    }

    /// The index of that reason.
    fn reason(&mut self, code: String) -> u32 {
        if let Some(index) = self.by_code.get(&code) {
            return *index;
        }
        let free = self.reasons.iter().position(|reason| reason.nodes.is_empty());
        let place = free.unwrap_or(self.reasons.len());
        if free.is_none() {
            self.reasons.push(Reason::default());
        }
        self.reasons[place].code.clone_from(&code);
        let index = u32::try_from(place).unwrap_or(u32::MAX);
        self.by_code.insert(code, index);
        index
    }

    pub fn standing(&self, places: &Places, asks: &Asks<'_>, ctx: &Context) -> Standing {
        let reasons = self.reasons.iter().filter(|reason| !reason.nodes.is_empty());
        let reasons = reasons.map(|reason| reason_count(reason, places, asks)).collect();
        let tally = Tally::new(self.ready, self.not_ready, self.unknown, reasons);
        Standing { progress: self.progress(tally.selected(), places, asks, ctx), tally }
    }

    /// What the nodes have of the policy, but for those that are held.
    fn progress(
        &self,
        selected: usize,
        places: &Places,
        asks: &Asks<'_>,
        ctx: &Context,
    ) -> Progress {
        if !asks.is_changing {
            return Progress { selected, ..Progress::default() };
        }
        let mut progress = Progress {
            selected,
            unlabelled: self.unlabelled,
            tainted: self.tainted,
            untainted: self.untainted.iter().map(ToString::to_string).collect(),
        };
        if ctx.breaker.is_open() {
            for (index, one) in self.nodes.iter().enumerate() {
                let (Some(one), place) = (one, places.get(index)) else { continue };
                if ctx.breaker.is_held(place.uid().unwrap_or_default()) {
                    progress.unlabelled -= usize::from(!one.is_labelled);
                    progress.tainted -= usize::from(one.taint == Tainted::Yes);
                    progress.untainted.remove(&*place.name);
                }
            }
        }
        progress
    }
}

/// The names come first in sort order, so the order of counting does not change the status. The fix
/// is that of the first node.
fn reason_count(reason: &Reason, places: &Places, asks: &Asks<'_>) -> ReasonCount {
    let first = reason.nodes.first().and_then(|name| asks.verdict(places.of(name)?));
    ReasonCount {
        reason: reason.code.clone(),
        count: i64::try_from(reason.nodes.len()).unwrap_or(i64::MAX),
        sample: reason.nodes.iter().take(first_n::MAX_ITEMS).map(ToString::to_string).collect(),
        // The fix is shown for all nodes with the reason, so it is never one node's own text.
        fix: first.map(|(verdict, _)| verdict.shared().fix).unwrap_or_default(),
    }
}
