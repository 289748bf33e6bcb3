//! What a process knows: what it was told of each kind, and which of its writes were answered.

use std::time::Duration;

use super::Network;
use crate::clock;
use crate::server::answer::Refusal;
use crate::server::kind::Kind;
use crate::server::requests::{Answer, Call};

/// Longest time from what the process knows to the write that follows.
const PLANNING: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    at: Duration,
    version: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct NodeWrite {
    sent: Duration,
    answered: Duration,
}

impl Network {
    /// Notes that the process knows everything of that kind up to that version.
    pub fn delivered(&self, kind: Kind, version: u64) {
        let at = clock::elapsed();
        self.state.lock().told[kind.index()].push(Told { at, version });
    }

    /// Notes a page of a list.
    pub(super) fn listed(&self, call: &Call, answer: &Result<Answer, Refusal>) {
        let (Ok(Answer::List { version, is_last, .. }), Some(target)) = (answer, &call.target)
        else {
            return;
        };
        self.state.lock().pages[target.kind.index()] = *version;
        if *is_last {
            self.delivered(target.kind, *version);
        }
    }

    /// Whether the process may have seen that version of an object: it was told of it, or has a
    /// page of a list with it.
    #[must_use]
    pub fn may_have_seen(&self, kind: Kind, version: u64, moment: Duration) -> bool {
        let page = self.state.lock().pages[kind.index()];
        page.max(self.told_before(kind, moment)) >= version
    }

    /// Up to which version the process had been told everything of that kind, before that moment.
    #[must_use]
    pub fn told_before(&self, kind: Kind, moment: Duration) -> u64 {
        let state = self.state.lock();
        let before = state.told[kind.index()].iter().rev().find(|told| told.at < moment);
        before.map_or(0, |told| told.version)
    }

    /// A kind of which the process had no list at that moment: what it did not see is not gone.
    #[must_use]
    pub fn unlisted(&self, moment: Duration) -> Option<Kind> {
        let kinds = [Kind::Node, Kind::Report, Kind::Policy, Kind::Profile];
        // Planning takes no virtual time.
        let moment = moment + Duration::from_nanos(1);
        kinds.into_iter().find(|kind| self.told_before(*kind, moment) == 0)
    }

    /// When the process decided what it sent about that Node at that moment: where it had just got
    /// the answer to another write of the Node, the decision is from before that.
    #[must_use]
    pub fn planned(&self, node: &str, sent: Duration) -> Duration {
        let state = self.state.lock();
        let write = state.node_writes.get(node);
        let write = write.filter(|write| sent.saturating_sub(write.answered) <= PLANNING);
        write.map_or(sent, |write| write.sent).saturating_sub(PLANNING)
    }

    /// When the write of that Node was answered that was sent at that moment.
    pub fn answered_at(&self, node: &str, sent: Duration) -> Option<Duration> {
        let write = self.state.lock().node_writes.get(node).copied();
        write.filter(|write| write.sent == sent).map(|write| write.answered)
    }

    pub(super) fn answered(&self, call: &Call, sent: Duration) {
        let Some(target) = call.target.as_ref().filter(|_| call.is_write()) else { return };
        let (answered, mut state) = (clock::elapsed(), self.state.lock());
        match (target.kind, &target.name) {
            (Kind::Node, Some(name)) => {
                state.node_writes.insert(name.clone(), NodeWrite { sent, answered });
            }
            (Kind::Lease, _) => {
                let term = state.lease.as_mut().filter(|term| term.renewed == sent);
                if let Some(term) = term {
                    term.answered = Some(answered);
                }
            }
            _ => {}
        }
    }
}
