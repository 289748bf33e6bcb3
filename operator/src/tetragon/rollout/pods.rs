//! Surveys the agents' pods while a rollout is not complete. Only this module reads the pods of a
//! DaemonSet.
//!
//! ## Flow
//! counts that are not complete → the next survey is due → the pods by the DaemonSet's own
//! selector, 500 a page, each reduced at once to an [`Agent`] → those that the DaemonSet owns →
//! what holds them up ([`Blockers`], [`blame()`], [`missing`]).
//!
//! ## Guarantees
//! Nothing is read once every node has an available agent of the present pod template, nor where no
//! policy names the DaemonSet. Otherwise the pods are read at most once in ten seconds for each 500
//! agents. While nothing moves they are read ever more rarely, down to once in five minutes. No
//! list of pods is kept (docs/adr/0012-agents-pods-are-listed.md).
//!
//! ## Errors
//! Without the right to list pods, or without an answer, the rollout is judged by its counts, and
//! the condition says so.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::core::Selector;
use kube::{Api, Client, ResourceExt};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::agents::{Agent, Ahead};
use super::blame::blame;
use super::blockers::Blockers;
use super::missing;
use super::progress::{Counts, Progress};
use crate::context::moment::Moment;
use crate::tetragon::observe::Observation;
use crate::watch::key::DaemonSetKey;

/// Shortest time between two surveys of one DaemonSet, for each page.
const MIN_INTERVAL: Duration = Duration::from_secs(10);
/// Longest time between two surveys, unless the pages alone take longer.
const MAX_INTERVAL: Duration = Duration::from_mins(5);
/// The interval is doubled at most this often.
const MAX_DOUBLINGS: u32 = 5;
/// Pods a page.
const PAGE: u32 = 500;

/// What the pods showed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SurveyResult {
    /// What holds agents up.
    Blockers(Blockers),
    /// The operator may not list pods in that namespace.
    Forbidden,
    /// The API server did not answer, or answered with an error.
    Failed,
}

impl SurveyResult {
    /// What holds agents up, where that is known.
    pub const fn blockers(&self) -> Option<&Blockers> {
        match self {
            Self::Blockers(blockers) => Some(blockers),
            Self::Forbidden | Self::Failed => None,
        }
    }
}

/// The newest survey of a rollout.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PodSurvey {
    result: SurveyResult,
    at: Instant,
    /// Generation of the pod template that was rolled out.
    template: Option<String>,
    counts: Counts,
    /// Surveys in a row that saw the same.
    unchanged: u32,
    /// The agent that our mount holds up.
    blame: Option<String>,
    ahead: Ahead,
}

impl PodSurvey {
    /// What the pods showed, where the survey is about the DaemonSet's present pod template.
    pub fn result(&self, rollout: &Progress) -> Option<&SurveyResult> {
        (self.template == rollout.template).then_some(&self.result)
    }

    /// The agent that our mount holds up, where the survey is about the DaemonSet's present pod
    /// template.
    pub fn blame(&self, rollout: &Progress) -> Option<&str> {
        self.blame.as_deref().filter(|_| self.template == rollout.template)
    }

    /// When the next survey is due.
    fn next(&self, counts: Counts) -> Instant {
        let pages = counts.desired.max(1).unsigned_abs().div_ceil(PAGE);
        let shortest = MIN_INTERVAL * pages;
        let doublings = if counts == self.counts { self.unchanged.min(MAX_DOUBLINGS) } else { 0 };
        let wait = (shortest * 2_u32.pow(doublings)).min(MAX_INTERVAL.max(shortest));
        self.at + wait
    }

    fn is_same_as(&self, later: &Self) -> bool {
        (&self.result, &self.template, self.counts)
            == (&later.result, &later.template, later.counts)
    }

    /// This survey, which counts on where the one before saw the same.
    fn after(mut self, before: Option<&Self>) -> Self {
        self.unchanged = before
            .filter(|before| before.is_same_as(&self))
            .map_or(0, |before| before.unchanged.saturating_add(1));
        self
    }
}

/// When the pods are to be surveyed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Due {
    /// Not at all: the rollout is complete, has not begun, or waits for somebody to delete pods.
    Never,
    /// At this time, as the last survey was a short while ago.
    At(Timestamp),
    /// Now, at these counts.
    Now(Counts),
}

/// When the pods of that rollout are to be surveyed.
pub fn due(rollout: &Progress, before: Option<&PodSurvey>, now: Moment) -> Due {
    let Some(counts) = rollout.counts.filter(|counts| !counts.is_complete()) else {
        return Due::Never;
    };
    // With OnDelete the rollout waits for somebody, but an agent whose pod was deleted may be held
    // up.
    if counts.updated < counts.desired && counts.available >= counts.desired && rollout.on_delete()
    {
        return Due::Never;
    }
    match before.and_then(|before| now.until(before.next(counts))) {
        Some(next) => Due::At(next),
        None => Due::Now(counts),
    }
}

/// Surveys the pods where that is due. Returns when to look again. `wrote` says when we wrote the
/// DaemonSet's present pod template.
pub(crate) async fn survey(
    observed: &Observation<'_>,
    survey: &mut Option<PodSurvey>,
    wrote: Option<Timestamp>,
    client: &Client,
) -> Option<Timestamp> {
    let counts = match due(&observed.rollout, survey.as_ref(), observed.now) {
        Due::Never => {
            *survey = None;
            return None;
        }
        Due::At(next) => return Some(next),
        Due::Now(counts) => counts,
    };
    let mut ahead = survey.as_ref().map(|before| before.ahead.clone()).unwrap_or_default();
    let (result, blame) = match agents(observed.daemon_set, client).await {
        Err(error) => (not_listed(&error, &observed.key), None),
        Ok(mut agents) => {
            ahead.bound(&mut agents, observed.now.time);
            let blockers = Blockers::of(&observed.rollout, &agents, observed.now.time);
            let blame = match blame(observed, &agents, wrote.is_some()) {
                Some(agent) => Some(agent),
                None => missing::blame(observed, &agents, wrote, client).await,
            };
            (SurveyResult::Blockers(blockers), blame)
        }
    };
    let (at, template) = (observed.now.instant, observed.rollout.template.clone());
    let new = PodSurvey { result, at, template, counts, unchanged: 0, blame, ahead };
    let new = new.after(survey.as_ref());
    // A mount that keeps an agent from starting is taken back at once.
    let next = if new.blame.is_some() { None } else { observed.now.until(new.next(counts)) };
    *survey = Some(new);
    Some(next.unwrap_or(observed.now.time))
}

fn not_listed(error: &kube::Error, key: &DaemonSetKey) -> SurveyResult {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            debug!(daemon_set = %key, message = status.message, "pods not listed");
            SurveyResult::Forbidden
        }
        _ => {
            warn!(daemon_set = %key, %error, "pods not listed");
            SurveyResult::Failed
        }
    }
}

/// The agents of that DaemonSet, read page by page.
pub(crate) async fn agents(daemon_set: &DaemonSet, client: &Client) -> kube::Result<Vec<Agent>> {
    let api = Api::<Pod>::namespaced(client.clone(), &daemon_set.namespace().unwrap_or_default());
    let mut page = first_page(daemon_set);
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

fn first_page(daemon_set: &DaemonSet) -> ListParams {
    let selector = daemon_set.spec.as_ref().map(|spec| spec.selector.clone()).unwrap_or_default();
    let page = ListParams::default().limit(PAGE);
    // The API server refuses a DaemonSet whose selector does not parse. Without a selector the pods
    // are recognised by their owner alone.
    match Selector::try_from(selector) {
        Ok(selector) if !selector.selects_all() => page.labels_from(&selector),
        Ok(_) | Err(_) => page,
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
    use crate::context::moment::tests::second;

    /// A rollout with that many desired, updated and available agents.
    fn rollout(strategy: &str, [desired, updated, available]: [i32; 3]) -> Progress {
        let object = json!({
            "metadata": {"namespace": "kube-system", "name": "tetragon", "generation": 2,
                "annotations": {"deprecated.daemonset.template.generation": "2"}},
            "spec": {"selector": {}, "template": {}, "updateStrategy": {"type": strategy}},
            "status": {
                "currentNumberScheduled": desired, "numberMisscheduled": 0,
                "numberReady": available, "desiredNumberScheduled": desired,
                "updatedNumberScheduled": updated, "numberAvailable": available,
                "observedGeneration": 2},
        });
        Progress::of(&serde_json::from_value(object).unwrap())
    }

    #[test]
    fn pods_are_surveyed_only_while_a_rollout_goes_on() {
        let is_due = |strategy, counts| {
            matches!(due(&rollout(strategy, counts), None, second(0)), Due::Now(_))
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
            assert_eq!(is_due(strategy, counts), expected, "{strategy} {counts:?}");
        }
        let not_observed = Progress { counts: None, ..rollout("RollingUpdate", [3, 1, 3]) };
        assert_eq!(due(&not_observed, None, second(0)), Due::Never);
    }

    fn failed(rollout: &Progress, before: Option<&PodSurvey>, at: u64) -> PodSurvey {
        let counts = rollout.counts.unwrap();
        let (result, template) = (SurveyResult::Failed, rollout.template.clone());
        let at = second(at).instant;
        let (unchanged, blame, ahead) = (0, None, Ahead::default());
        PodSurvey { result, at, template, counts, unchanged, blame, ahead }.after(before)
    }

    /// The seconds between surveys that all see the same.
    fn waits(desired: i32) -> Vec<u64> {
        let stuck = rollout("RollingUpdate", [desired, 1, 1]);
        let counts = stuck.counts.unwrap();
        let (mut survey, mut now, mut waits) = (None, 0, Vec::new());
        for _ in 0..8 {
            assert_eq!(due(&stuck, survey.as_ref(), second(now)), Due::Now(counts));
            let new = failed(&stuck, survey.as_ref(), now);
            let wait = new.next(counts).duration_since(second(now).instant).as_secs();
            waits.push(wait);
            let next = now + wait;
            assert_eq!(due(&stuck, Some(&new), second(now)), Due::At(second(next).time));
            now = next;
            survey = Some(new);
        }
        waits
    }

    #[test]
    fn a_rollout_that_stands_still_is_surveyed_ever_more_rarely() {
        assert_eq!(waits(3), [10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(waits(5000), [100, 200, 300, 300, 300, 300, 300, 300]);
        assert_eq!(waits(50_000), [1000; 8]);
    }

    #[test]
    fn changed_counts_make_the_next_survey_due_soon() {
        let stuck = rollout("RollingUpdate", [3, 1, 1]);
        let mut survey = None;
        for _ in 0..9 {
            survey = Some(failed(&stuck, survey.as_ref(), 0));
        }
        let moved = rollout("RollingUpdate", [3, 2, 2]);
        assert_eq!(due(&moved, survey.as_ref(), second(9)), Due::At(second(10).time));
        assert!(matches!(due(&moved, survey.as_ref(), second(10)), Due::Now(_)));
    }
}
