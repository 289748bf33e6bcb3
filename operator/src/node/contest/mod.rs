//! Writers that keep changing our labels, taints or condition on a Node.
//!
//! In: what we left on each Node, and what is there now. Out: how long to wait before it is written
//! again. A kubelet may write the condition of its own Node, and could otherwise cause one write of
//! ours for each of its own.
//!
//! ## Guarantees
//! - A change of ours is repaired at once the first time. After that the wait doubles from one
//!   second up to five minutes, until nobody has changed anything for ten minutes.
//! - What we want to change is delayed only on a Node that was written [`AT_ONCE`] times in a row.
//!   Then there is one write in [`SUSTAINED`]. So whoever changes its labels or its report again
//!   and again cannot make us write as often.
//! - A loss is never delayed by that: a label or a condition that says ready, or a taint that has
//!   to come. A Node that is to lose ready again has to gain it before.
//! - Our own writes and late watches are no changes by others: only a Node with a newer
//!   resourceVersion than that of our last write counts.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Taint};
use kube::ResourceExt;
use lsm_ready_crds::names::{NODE_LABEL_PREFIX, TAINT_KEYS};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::context::backoff::doubled;
use crate::context::last_write::LastWrite;
use crate::node::header;
use crate::node::judge::{READY, condition, conditions};
use crate::node::plan::{Plan, value_of};

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// So many writes of one Node follow each other without a wait: it joins, its probe reports,
/// policies select it.
const AT_ONCE: u32 = 20;
/// The time for each further one.
const SUSTAINED: Duration = Duration::from_secs(3);
/// After this time without a change by others, the contest is over.
const QUIET: Duration = Duration::from_mins(10);
/// From this many changes on, an Event says so.
const ANNOUNCED_FROM: u32 = 3;
/// Minimum time between two Events on a Node.
const ANNOUNCED_EVERY: Duration = Duration::from_hours(1);

/// What is remembered of each Node, by its UID.
#[derive(Debug, Default)]
pub struct Contests(Mutex<HashMap<String, History>>);

/// What we left on a Node, and what others did to it.
#[derive(Debug)]
struct History {
    /// Our fields after our last write, as a hash.
    left: u64,
    last: LastWrite,
    /// Every write adds [`SUSTAINED`] to this time, which is never before now.
    busy_until: Instant,
    /// Whether the change that others made after our last write was counted.
    is_counted: bool,
    /// How often others changed what we had left.
    changes: u32,
    changed: Option<Instant>,
    announced: Option<Instant>,
}

/// What to do about a Node whose fields are not as we want them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Answer {
    /// Wait this long before writing.
    pub wait: Option<Duration>,
    /// Others changed our fields since our last write, and this was not counted yet.
    pub is_new: bool,
    /// An Event should say how often others changed our fields.
    pub announce: Option<u32>,
}

impl Contests {
    /// Looks at a Node that has to be written.
    pub fn look(&self, node: &Node, plan: &Plan, now: Instant) -> Answer {
        let mut histories = self.0.lock();
        let uid = node.uid().unwrap_or_default();
        let Some(history) = histories.get_mut(&uid) else {
            return Answer::default();
        };
        let is_newer = history.last.is_before(node.metadata.resource_version.as_deref());
        let fields = Fields { seen: ours(node), wanted: ours_after(node, plan), is_newer };
        let answer = history.look(fields, now);
        let is_loss = takes_ready(node, plan);
        Answer { wait: answer.wait.max(history.pause(now).filter(|_| !is_loss)), ..answer }
    }

    /// Remembers a Node after a write of ours: as it was seen, what was changed of that, and the
    /// version that the API server answered.
    pub fn wrote(&self, node: &Node, changes: &Plan, version: Option<&str>, now: Instant) {
        let mut histories = self.0.lock();
        let last = LastWrite::new(version, now);
        let history =
            histories.entry(node.uid().unwrap_or_default()).or_insert_with(|| History::new(last));
        history.wrote(ours_after(node, changes), last);
    }

    /// How long to wait until the watch has shown our last write.
    pub fn unseen(&self, node: &Node, now: Instant) -> Option<Duration> {
        let histories = self.0.lock();
        let history = histories.get(&node.uid()?)?;
        history.last.unseen(node.metadata.resource_version.as_deref(), now)
    }

    pub fn forget(&self, uid: &str) {
        self.0.lock().remove(uid);
    }

    /// Keeps the Nodes that exist.
    pub fn retain(&self, exists: impl Fn(&str) -> bool) {
        self.0.lock().retain(|uid, _| exists(uid));
    }
}

/// Our fields of a Node, as hashes.
#[derive(Clone, Copy)]
struct Fields {
    seen: u64,
    wanted: u64,
    /// The Node was written by others after our last write.
    is_newer: bool,
}

impl History {
    const fn new(last: LastWrite) -> Self {
        Self {
            left: 0,
            last,
            busy_until: last.at,
            is_counted: false,
            changes: 0,
            changed: None,
            announced: None,
        }
    }

    fn wrote(&mut self, left: u64, last: LastWrite) {
        self.left = left;
        self.last = last;
        self.busy_until = self.busy_until.max(last.at) + SUSTAINED;
        self.is_counted = false;
    }

    fn look(&mut self, fields: Fields, now: Instant) -> Answer {
        let Fields { seen, wanted, is_newer } = fields;
        let since = |then: Option<Instant>| then.map(|then| now.saturating_duration_since(then));
        if since(self.changed).is_some_and(|quiet| quiet > QUIET) {
            self.changes = 0;
        }
        let is_new = is_newer && seen != self.left && !self.is_counted;
        if is_new {
            self.is_counted = true;
            self.changes = self.changes.saturating_add(1);
            self.changed = Some(now);
        }
        let is_due = since(self.announced).is_none_or(|passed| passed >= ANNOUNCED_EVERY);
        let announce = (is_new && is_due && self.changes >= ANNOUNCED_FROM).then_some(self.changes);
        if announce.is_some() {
            self.announced = Some(now);
        }
        let wait = if wanted == self.left { self.wait(now) } else { None };
        Answer { wait, is_new, announce }
    }

    /// What is left of the wait before the same is written again.
    fn wait(&self, now: Instant) -> Option<Duration> {
        let repairs = self.changes.checked_sub(1).filter(|repairs| *repairs > 0)?;
        let passed = now.saturating_duration_since(self.last.at);
        let left = doubled(FIRST_WAIT, repairs, LONGEST_WAIT).saturating_sub(passed);
        (!left.is_zero()).then_some(left)
    }

    /// How long to wait where many writes followed each other.
    fn pause(&self, now: Instant) -> Option<Duration> {
        let busy = self.busy_until.saturating_duration_since(now);
        busy.checked_sub(SUSTAINED * (AT_ONCE - 1)).filter(|pause| !pause.is_zero())
    }
}

/// Whether the plan takes something from the Node that says ready, or brings a taint.
fn takes_ready(node: &Node, plan: &Plan) -> bool {
    let is_taken = |(key, value): (&String, &Option<String>)| {
        let present = node.labels().get(key).map(String::as_str);
        matches!(present, Some("true" | READY)) && value.as_deref() != present
    };
    let present = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let present: Vec<_> = present.map(|taint| (&taint.key, &taint.effect)).collect();
    let mut taints = plan.taints.iter().flatten();
    let says_ready = condition(node).is_some_and(|condition| condition.status == "True");
    plan.labels.iter().any(is_taken)
        || taints.any(|taint| !present.contains(&(&taint.key, &taint.effect)))
        || (says_ready && plan.condition.as_ref().is_some_and(|wanted| wanted.status != "True"))
}

/// Our labels, taints and condition on a Node, as a hash.
fn ours(node: &Node) -> u64 {
    hash(node, &Plan::default())
}

/// [`ours`] after the plan was written.
fn ours_after(node: &Node, plan: &Plan) -> u64 {
    hash(node, plan)
}

fn hash(node: &Node, plan: &Plan) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut labels = node.labels().clone();
    labels.retain(|key, _| key.starts_with(NODE_LABEL_PREFIX));
    for (key, value) in &plan.labels {
        match value {
            Some(value) => labels.insert(key.clone(), value.clone()),
            None => labels.remove(key),
        };
    }
    labels.hash(&mut hasher);
    let present = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let taints = plan.taints.as_deref().unwrap_or(present).iter();
    let is_ours = |taint: &&Taint| TAINT_KEYS.contains(&taint.key.as_str());
    let taints = taints.filter(is_ours);
    let mut taints: Vec<_> = taints.map(|t| (&t.key, &t.effect, value_of(t))).collect();
    taints.sort_unstable();
    taints.hash(&mut hasher);
    let present = conditions(node).filter(|_| plan.condition.is_none());
    for condition in plan.condition.iter().chain(present) {
        (&condition.status, &condition.reason).hash(&mut hasher);
        // A loss that somebody claims again and again has another time each time.
        let message = condition.message.as_deref().unwrap_or_default();
        header::without_time(message).for_each(|part| part.hash(&mut hasher));
    }
    hasher.finish()
}

#[cfg(test)]
mod tests;
