//! What was last found out about each Node, counted for the metrics, and for which policies it was
//! judged.

use std::collections::{BTreeMap, HashMap};

use lsm_ready_crds::{Reason, State};
use parking_lot::Mutex;

/// The reason of nodes whose own reason is not in docs/reasons.md. A node's own text goes nowhere.
const OTHER_REASON: &str = "Other";

/// What the metrics tell of one Node.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Found {
    /// Whether this boot can deny.
    pub state: State,
    /// A code of docs/reasons.md.
    pub reason: &'static str,
    /// Whether the probe has not renewed its report in time.
    pub is_silent: bool,
}

/// How many Nodes there are of each sort. A sort that no Node has any more stays, with 0.
pub type NodeCount = BTreeMap<Found, usize>;

/// The Nodes by their UID.
#[derive(Debug, Default)]
pub struct Fleet(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    nodes: HashMap<String, Known>,
    /// Kept beside `nodes`, because it is read after each Node and `nodes` can be large.
    count: NodeCount,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    found: Found,
    /// The last policy to come for which the Node was judged while it was not held.
    judged_up_to: u64,
}

impl Fleet {
    /// Notes what was found out about a Node: `None` where it does not run Linux. Returns the
    /// count.
    pub fn note(&self, uid: &str, found: Option<Found>) -> NodeCount {
        let mut inner = self.0.lock();
        let before = inner.nodes.get(uid).copied();
        if let Some(found) = found {
            let judged_up_to = before.map_or(0, |before| before.judged_up_to);
            inner.nodes.insert(uid.to_owned(), Known { found, judged_up_to });
            *inner.count.entry(found).or_default() += 1;
        } else {
            inner.nodes.remove(uid);
        }
        inner.leave(before.map(|before| before.found));
        inner.count.clone()
    }

    /// Notes that the Node was judged while it was not held, for all policies up to that one.
    pub fn judged(&self, uid: &str, last_arrival: u64) {
        if let Some(known) = self.0.lock().nodes.get_mut(uid) {
            known.judged_up_to = last_arrival;
        }
    }

    /// The last policy to come for which the Node was judged while it was not held.
    pub fn judged_up_to(&self, uid: &str) -> u64 {
        self.0.lock().nodes.get(uid).map_or(0, |known| known.judged_up_to)
    }

    /// Keeps the Nodes that exist. Returns the count.
    pub fn retain(&self, exists: impl Fn(&str) -> bool) -> NodeCount {
        let mut inner = self.0.lock();
        let gone: Vec<Found> =
            inner.nodes.extract_if(|uid, _| !exists(uid)).map(|(_, known)| known.found).collect();
        inner.leave(gone);
        inner.count.clone()
    }
}

impl Inner {
    fn leave(&mut self, gone: impl IntoIterator<Item = Found>) {
        for found in gone {
            if let Some(count) = self.count.get_mut(&found) {
                *count = count.saturating_sub(1);
            }
        }
    }
}

/// The code of a reason that is in docs/reasons.md.
pub fn known_reason(reason: &str) -> &'static str {
    Reason::from_code(reason).map_or(OTHER_REASON, Reason::code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: Found = Found { state: State::Ready, reason: "CanaryDenied", is_silent: false };
    const SILENT: Found = Found { is_silent: true, ..READY };

    #[test]
    fn a_node_counts_once_and_where_it_is_now() {
        let fleet = Fleet::default();
        fleet.note("a", Some(READY));
        fleet.note("a", Some(READY));
        assert_eq!(fleet.note("b", Some(READY)), BTreeMap::from([(READY, 2)]));
        assert_eq!(fleet.note("b", Some(SILENT)), BTreeMap::from([(READY, 1), (SILENT, 1)]));
        assert_eq!(fleet.note("b", None), BTreeMap::from([(READY, 1), (SILENT, 0)]));
    }

    #[test]
    fn a_node_stays_judged_until_it_is_gone() {
        let fleet = Fleet::default();
        fleet.judged("a", 1);
        assert_eq!(fleet.judged_up_to("a"), 0, "it is not known");
        fleet.note("a", Some(READY));
        fleet.judged("a", 2);
        fleet.note("a", Some(SILENT));
        assert_eq!(fleet.judged_up_to("a"), 2);
        fleet.retain(|_| false);
        assert_eq!(fleet.judged_up_to("a"), 0);
    }

    #[test]
    fn a_node_that_is_gone_does_not_count() {
        let fleet = Fleet::default();
        fleet.note("a", Some(READY));
        fleet.note("b", Some(SILENT));
        assert_eq!(fleet.retain(|uid| uid == "a"), BTreeMap::from([(READY, 1), (SILENT, 0)]));
    }
}
