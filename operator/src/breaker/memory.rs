//! What this process remembers of the nodes that lost LSM BPF, whatever others write to them.
//!
//! In: what was found out about a Node. Out: the same, with a loss that its condition does not tell
//! any more, because somebody else wrote the condition. After a restart only the condition counts.

use std::collections::HashMap;

use jiff::Timestamp;
use lsm_ready_crds::State;

use super::decide::NodeState;
use crate::node::header::{Header, PastLoss};
use crate::node::judge::Judged;

/// The losses of LSM BPF, by the UID of the Node.
#[derive(Debug, Default)]
pub struct Memory(HashMap<String, Remembered>);

#[derive(Debug)]
struct Remembered {
    boot: String,
    loss: PastLoss,
}

impl Memory {
    /// What the breaker has to know of the Node.
    pub fn state(&mut self, uid: &str, judged: &Judged<'_>, now: Timestamp) -> NodeState {
        let state = judged.state(now);
        if judged.bpf.state == State::Ready {
            self.0.remove(uid);
            return state;
        }
        let found = judged.loss.as_ref().map(|loss| loss.is_of_bpf);
        let known = self.loss(uid, judged.boot);
        // The condition may tell of another time, if somebody else wrote it.
        let told = known.is_none() && judged.shown.as_ref().is_some_and(Header::has_lost_bpf);
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
        self.0.insert(uid.to_owned(), Remembered { boot: judged.boot.to_owned(), loss });
        state
    }

    /// The loss of that Node in that boot.
    pub fn loss(&self, uid: &str, boot: &str) -> Option<PastLoss> {
        self.0.get(uid).filter(|known| known.boot == boot).map(|known| known.loss.clone())
    }

    /// Keeps the Nodes that exist.
    pub fn retain(&mut self, exists: impl Fn(&str) -> bool) {
        self.0.retain(|uid, _| exists(uid));
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
