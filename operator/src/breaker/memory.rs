//! What this process remembers of the nodes that lost LSM BPF, whatever others write to them.
//!
//! In: what was found out about a Node. Out: the same, with a loss that its condition does not tell
//! any more, because somebody else wrote the condition. The process remembers also while it is not
//! the leader. After a restart only the condition counts.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use lsm_ready_crds::State;
use parking_lot::Mutex;

use super::decide::NodeState;
use crate::node::header::PastLoss;
use crate::node::judge::Judged;

/// The losses of LSM BPF, by the UID of the Node. A clone shares them.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<HashMap<String, Remembered>>>);

#[derive(Debug)]
struct Remembered {
    boot: String,
    loss: PastLoss,
}

impl Memory {
    /// What the breaker has to know of the Node. None where it does not run Linux.
    pub fn state(&self, uid: &str, judged: Option<&Judged<'_>>, now: Timestamp) -> NodeState {
        let Some(judged) = judged else { return NodeState::NeverReady };
        let state = judged.state(now);
        if judged.bpf.state == State::Ready {
            self.0.lock().remove(uid);
            return state;
        }
        let found = judged.loss.as_ref().map(|loss| loss.is_of_bpf);
        let known = self.loss(uid, judged.boot);
        // The condition may tell of another time, if somebody else wrote it. A later one can be true:
        // another replica led meanwhile.
        let told = judged.shown.as_ref().filter(|shown| shown.has_lost_bpf());
        let told = told.and_then(|shown| shown.loss.as_ref()).is_some_and(|told| {
            known.as_ref().is_none_or(|known| known.at < told.at && told.at <= now)
        });
        let (at, new_version) = match &state {
            NodeState::Losing { new_version, .. } if found == Some(true) => (now, new_version),
            NodeState::Lost { at, new_version } if found == Some(true) || told => {
                (*at, new_version)
            }
            NodeState::Losing { .. } => return state,
            NodeState::Lost { .. } | NodeState::Ready { .. } | NodeState::NeverReady => {
                return known.map_or(state, |loss| NodeState::Lost {
                    at: loss.at,
                    new_version: loss.new_version,
                });
            }
        };
        let loss = PastLoss::new(at, true, new_version.clone());
        self.0.lock().insert(uid.to_owned(), Remembered { boot: judged.boot.to_owned(), loss });
        state
    }

    /// The loss of that Node in that boot.
    pub fn loss(&self, uid: &str, boot: &str) -> Option<PastLoss> {
        let all = self.0.lock();
        all.get(uid).filter(|known| known.boot == boot).map(|known| known.loss.clone())
    }

    /// Keeps the Nodes that exist.
    pub fn retain(&self, exists: impl Fn(&str) -> bool) {
        self.0.lock().retain(|uid, _| exists(uid));
    }

    #[cfg(test)]
    pub fn remembered(&self) -> usize {
        self.0.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::tests::fleet::{Fleet, report};

    /// Another replica led meanwhile: the node recovered, and lost LSM BPF again.
    #[test]
    fn of_two_losses_the_later_counts_and_none_of_the_future() {
        for (later, is_believed) in [(0, true), (10, false)] {
            let mut fleet = Fleet::ready(5);
            let loss = |memory: &Memory| memory.loss("uid-n0000", "1").unwrap().at.as_second();
            let attached = report("1", "Attached", "BpfNotInLsmList", "0.1.0");
            fleet.reports.insert("n0000".to_owned(), attached.clone());
            fleet.reconcile("n0000");
            let (ours, first) = (fleet.memory.clone(), loss(&fleet.memory));
            fleet.memory = Memory::default();
            fleet.report_everywhere("Denied", "CanaryDenied", "0.1.0");
            fleet.pass(30);
            fleet.settle();
            fleet.reports.insert("n0000".to_owned(), attached);
            fleet.pass(later);
            fleet.reconcile("n0000");
            let second = loss(&fleet.memory);
            fleet.pass(-later);
            fleet.memory = ours;
            fleet.reconcile("n0000");
            assert_eq!(loss(&fleet.memory), if is_believed { second } else { first });
        }
    }
}
