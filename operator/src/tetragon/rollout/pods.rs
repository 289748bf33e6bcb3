//! Looks at the agents' pods while a rollout is not complete: the only place that reads pods of a DaemonSet.
//!
//! ## Flow
//! counts that are not complete → due by the pace → the pods by the DaemonSet's own selector, 500 a page, each trimmed at
//! once → those that the DaemonSet owns → what holds them up ([`Held`]).
//!
//! ## Guarantees
//! Nothing is read once every agent is there and new, nor where no policy names the DaemonSet. Otherwise at most once in
//! ten seconds for each 500 agents, and ever more rarely, down to once in five minutes, while nothing moves. No list of
//! pods is kept (docs/adr/0012-agents-pods-are-listed.md).
//!
//! ## Errors
//! Without the right to list pods, or without an answer, the rollout is judged by its counts, and the condition says so.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::core::Selector;
use kube::{Api, Client, ResourceExt};
use tracing::{debug, warn};

use super::Counts;
use super::agents::Agent;
use super::blame::{Blame, Rollout, blame};
use super::budget::on_delete;
use super::blockers::{Held, template};
use crate::watch::key::DaemonSetKey;

/// Shortest time between two looks at the pods of one DaemonSet, for each page.
const SHORTEST: SignedDuration = SignedDuration::from_secs(10);
/// Longest one where nothing moves, unless the pages alone take longer.
const LONGEST: SignedDuration = SignedDuration::from_mins(5);
/// Pods a page.
const PAGE: u32 = 500;

/// What the pods said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Seen {
    /// What holds agents up.
    Agents(Held),
    /// The operator may not list pods there.
    Forbidden,
    /// There was no answer.
    Failed,
}

impl Seen {
    /// What holds agents up, where that is known.
    pub const fn held(&self) -> Option<&Held> {
        match self {
            Self::Agents(held) => Some(held),
            Self::Forbidden | Self::Failed => None,
        }
    }
}

/// The newest look at the pods of a rollout.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Look {
    /// What they said.
    seen: Seen,
    /// When.
    at: Timestamp,
    /// The template generation that was rolled out.
    template: Option<String>,
    /// The counts of then.
    counts: Counts,
    /// Looks in a row that saw the same.
    unchanged: u32,
    /// The agent that our mount holds up.
    blame: Option<Blame>,
}

impl Look {
    /// What was seen, where it is of that DaemonSet's present template.
    pub fn seen(&self, daemon_set: &DaemonSet) -> Option<&Seen> {
        (self.template == template(daemon_set)).then_some(&self.seen)
    }

    /// The agent that our mount holds up, where that is of that DaemonSet's present template.
    pub fn blame(&self, daemon_set: &DaemonSet) -> Option<&Blame> {
        self.blame.as_ref().filter(|_| self.template == template(daemon_set))
    }

    /// When to look again.
    fn due(&self, counts: Counts) -> Timestamp {
        let pages = counts.desired.max(1).unsigned_abs().div_ceil(PAGE);
        let shortest = SHORTEST * i32::try_from(pages).unwrap_or(i32::MAX);
        let doublings = if counts == self.counts { self.unchanged.min(5) } else { 0 };
        let wait = (shortest * 2_i32.pow(doublings)).min(LONGEST.max(shortest));
        self.at.checked_add(wait).unwrap_or(Timestamp::MAX)
    }

    /// That look, after the one before it.
    fn after(
        before: Option<&Self>,
        daemon_set: &DaemonSet,
        counts: Counts,
        seen: Seen,
        at: Timestamp,
    ) -> Self {
        let template = template(daemon_set);
        let unchanged = before
            .filter(|before| {
                (&before.seen, &before.template, before.counts) == (&seen, &template, counts)
            })
            .map_or(0, |before| before.unchanged.saturating_add(1));
        Self { seen, at, template, counts, unchanged, blame: None }
    }
}

/// What is to be done about the pods now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Turn {
    /// Nothing: the rollout is complete, has not begun, or waits for somebody to delete pods.
    Rest,
    /// They were looked at a short while ago: not before then.
    Wait(Timestamp),
    /// Look.
    Look(Counts),
}

/// Whether to look at the pods.
pub fn turn(daemon_set: &DaemonSet, before: Option<&Look>, now: Timestamp) -> Turn {
    let Some(counts) = Counts::present(daemon_set).filter(|counts| !counts.complete()) else {
        return Turn::Rest;
    };
    // With OnDelete nobody is waited for, but an agent that somebody has deleted may be held up.
    if counts.updated < counts.desired
        && counts.available >= counts.desired
        && on_delete(daemon_set)
    {
        return Turn::Rest;
    }
    match before.map(|before| before.due(counts)).filter(|due| now < *due) {
        Some(due) => Turn::Wait(due),
        None => Turn::Look(counts),
    }
}

/// Looks where it is due. Gives what is known then, and when to look again.
pub(crate) async fn look(
    daemon_set: &DaemonSet,
    before: Option<Look>,
    rollout: Option<Rollout<'_>>,
    client: &Client,
    now: Timestamp,
) -> (Option<Look>, Option<Timestamp>) {
    let counts = match turn(daemon_set, before.as_ref(), now) {
        Turn::Rest => return (None, None),
        Turn::Wait(until) => return (before, Some(until)),
        Turn::Look(counts) => counts,
    };
    let key = DaemonSetKey::of(daemon_set);
    let mut blamed = None;
    let seen = match agents(daemon_set, client).await {
        Ok(agents) => {
            blamed = rollout.and_then(|rollout| blame(daemon_set, &agents, rollout, now));
            Seen::Agents(Held::of(daemon_set, &agents, now))
        }
        Err(kube::Error::Api(status)) if status.code == 403 => {
            debug!(daemon_set = %key, message = status.message, "pods not listed");
            Seen::Forbidden
        }
        Err(error) => {
            warn!(daemon_set = %key, %error, "pods not listed");
            Seen::Failed
        }
    };
    let look =
        Look { blame: blamed, ..Look::after(before.as_ref(), daemon_set, counts, seen, now) };
    // A mount that keeps an agent from starting is taken back at once.
    let due = if look.blame.is_some() { now } else { look.due(counts) };
    (Some(look), Some(due))
}

/// The agents of that DaemonSet, page by page.
///
/// # Errors
/// When a page was not given.
pub(crate) async fn agents(daemon_set: &DaemonSet, client: &Client) -> kube::Result<Vec<Agent>> {
    let api = Api::<Pod>::namespaced(client.clone(), &daemon_set.namespace().unwrap_or_default());
    let selector = daemon_set.spec.as_ref().map(|spec| spec.selector.clone()).unwrap_or_default();
    let mut page = ListParams::default().limit(PAGE);
    // The API server takes no DaemonSet whose selector does not parse; without one its pods are told by their owner.
    if let Ok(selector) = Selector::try_from(selector)
        && !selector.selects_all()
    {
        page = page.labels_from(&selector);
    }
    let mut agents = Vec::new();
    loop {
        let pods = api.list(&page).await?;
        agents.extend(pods.items.iter().filter(|pod| is_owned(pod, daemon_set)).map(Agent::of));
        match pods.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(agents),
        }
    }
}

fn is_owned(pod: &Pod, daemon_set: &DaemonSet) -> bool {
    let uid = daemon_set.uid().unwrap_or_default();
    pod.owner_references().iter().any(|owner| owner.controller == Some(true) && owner.uid == uid)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// With that many agents updated and available of that many.
    fn daemon_set(strategy: &str, [desired, updated, available]: [i32; 3]) -> DaemonSet {
        let object = json!({
            "metadata": {"namespace": "kube-system", "name": "tetragon", "generation": 2,
                "annotations": {"deprecated.daemonset.template.generation": "2"}},
            "spec": {"selector": {}, "template": {}, "updateStrategy": {"type": strategy}},
            "status": {
                "currentNumberScheduled": desired, "numberMisscheduled": 0, "numberReady": available,
                "desiredNumberScheduled": desired, "updatedNumberScheduled": updated, "numberAvailable": available,
                "observedGeneration": 2},
        });
        serde_json::from_value(object).unwrap()
    }

    fn second(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn pods_are_looked_at_only_while_a_rollout_goes_on() {
        let looks = |strategy, counts| {
            matches!(turn(&daemon_set(strategy, counts), None, second(0)), Turn::Look(_))
        };
        for (strategy, counts, expected) in [
            ("RollingUpdate", [3, 3, 3], false),
            ("RollingUpdate", [0, 0, 0], false),
            ("RollingUpdate", [3, 1, 3], true),
            ("RollingUpdate", [3, 3, 2], true),
            ("OnDelete", [3, 1, 3], false),
            ("OnDelete", [3, 1, 2], true),
            ("OnDelete", [3, 3, 2], true),
        ] {
            assert_eq!(looks(strategy, counts), expected, "{strategy} {counts:?}");
        }
        let mut not_taken_up = daemon_set("RollingUpdate", [3, 1, 3]);
        not_taken_up.metadata.generation = Some(3);
        assert_eq!(turn(&not_taken_up, None, second(0)), Turn::Rest);
    }

    /// The seconds between looks that all see the same.
    fn waits(desired: i32) -> Vec<i64> {
        let stuck = daemon_set("RollingUpdate", [desired, 1, 1]);
        let counts = Counts::present(&stuck).unwrap();
        let (mut look, mut now, mut waits) = (None, second(0), Vec::new());
        for _ in 0..8 {
            assert_eq!(turn(&stuck, look.as_ref(), now), Turn::Look(counts));
            let next = Look::after(look.as_ref(), &stuck, counts, Seen::Failed, now);
            waits.push(next.due(counts).duration_since(now).as_secs());
            assert_eq!(turn(&stuck, Some(&next), now), Turn::Wait(next.due(counts)));
            now = next.due(counts);
            look = Some(next);
        }
        waits
    }

    #[test]
    fn what_does_not_move_is_looked_at_ever_more_rarely() {
        assert_eq!(waits(3), [10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(waits(5000), [100, 200, 300, 300, 300, 300, 300, 300]);
        assert_eq!(waits(50_000), [1000; 8]);
    }

    #[test]
    fn counts_that_move_are_looked_at_soon_again() {
        let stuck = daemon_set("RollingUpdate", [3, 1, 1]);
        let counts = Counts::present(&stuck).unwrap();
        let mut look = None;
        for _ in 0..9 {
            look = Some(Look::after(look.as_ref(), &stuck, counts, Seen::Failed, second(0)));
        }
        let moved = daemon_set("RollingUpdate", [3, 2, 2]);
        assert_eq!(turn(&moved, look.as_ref(), second(9)), Turn::Wait(second(10)));
        assert!(matches!(turn(&moved, look.as_ref(), second(10)), Turn::Look(_)));
    }
}
