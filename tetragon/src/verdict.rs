//! What becomes of a policy: its text and the nodes taken together. The plugin and the operator say the same because both
//! ask here.
//!
//! In: a policy, what is known of the nodes, and the release of the agents where it is known. Out: an [`Outcome`] with
//! the reason.

use lsm_ready_crds::State;

use crate::forecast::{Forecast, Nodes, forecast};
use crate::image::Version;
use crate::tracing_policy::{Answer, Known, Release, Releases, TracingPolicy};

/// What becomes of a policy. What comes later is graver.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Outcome {
    /// It loads on every node that it is for, and can deny.
    Denies,
    /// It has no LSM hooks, so nothing is judged.
    NoLsmHooks,
    /// It loads on every node that it is for, and denies nothing.
    DeniesNothing,
    /// That cannot be judged.
    Unknown,
    /// It does not load: Tetragon refuses it, or a node was shown not to take it.
    NotLoadable,
}

/// A policy that was judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// What becomes of it.
    pub outcome: Outcome,
    /// Why, as far as its text is the cause; else empty, and the forecast has it.
    pub why: String,
    /// What the nodes say to its hooks.
    pub forecast: Forecast,
}

/// Which releases of Tetragon are in question.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Question {
    version: Option<Version>,
}

impl Question {
    /// The agents have that version; all known releases are in question where it is not known.
    #[must_use]
    pub const fn of(version: Option<Version>) -> Self {
        Self { version }
    }

    /// The releases whose rules are applied.
    #[must_use]
    pub fn releases(self) -> Releases {
        let known = self.version.map(Known::of).and_then(Known::rules);
        known.map_or(Releases::ALL, Releases::only)
    }

    /// What the reader has to know about that version: its rules are not known exactly.
    #[must_use]
    pub fn remark(self) -> Option<String> {
        let version = self.version?;
        match Known::of(version) {
            Known::Before(release) => Some(format!(
                "the rules of {version} are not known; those of {} stand for them",
                release.name()
            )),
            Known::After(_) => Some(format!(
                "{version} is newer than this program; the rules of Tetragon's development branch of August 2026 stand for it"
            )),
            Known::Exactly(Release::Main) => Some(format!(
                "the rules for {version} are those of Tetragon's development branch of August 2026"
            )),
            Known::Exactly(_) | Known::WithoutLsmHooks => None,
        }
    }

    /// The answer to the policy's text.
    #[must_use]
    pub fn answer(self, policy: &TracingPolicy) -> Answer {
        let answer = policy.answer(self.releases());
        match (self.version, &answer) {
            (Some(version), Answer::Refused(refused))
                if matches!(Known::of(version), Known::After(_)) =>
            {
                Answer::Unjudged(format!(
                    "{version} is newer than this program, and older releases refuse it: {refused}"
                ))
            }
            _ => answer,
        }
    }

    /// Why these agents know no `lsmhooks` at all.
    fn without_hooks(self, policy: &TracingPolicy) -> Option<String> {
        let version =
            self.version.filter(|version| Known::of(*version) == Known::WithoutLsmHooks)?;
        (!policy.asks.is_empty())
            .then(|| format!("spec.lsmhooks: {version} does not have it; v1.2.0 and later do"))
    }
}

/// What becomes of that policy.
#[must_use]
pub fn judge(policy: &TracingPolicy, nodes: &Nodes<'_>, question: Question) -> Judged {
    let forecast = forecast(policy, nodes);
    let (outcome, why) = match (question.answer(policy), question.without_hooks(policy)) {
        (_, Some(why)) => (Outcome::NotLoadable, why),
        (Answer::Refused(refused), None) => (Outcome::NotLoadable, refused.to_string()),
        (answer, None) => on_nodes(answer, forecast.state()),
    };
    Judged { outcome, why, forecast }
}

/// The answer to the text, with what the nodes say to the hooks.
fn on_nodes(answer: Answer, nodes: State) -> (Outcome, String) {
    match (answer, nodes) {
        (Answer::NoLsmHooks, _) => (Outcome::NoLsmHooks, "it has no LSM hooks".to_owned()),
        (Answer::Unjudged(why), State::NotReady) => (Outcome::NotLoadable, why),
        (Answer::Unjudged(why), _) => (Outcome::Unknown, why),
        (_, State::NotReady) => (Outcome::NotLoadable, String::new()),
        (_, State::Unknown) => (Outcome::Unknown, String::new()),
        (Answer::DeniesNothing(inert), State::Ready) => (Outcome::DeniesNothing, inert.to_string()),
        (Answer::Denies | Answer::Refused(_), State::Ready) => (Outcome::Denies, String::new()),
    }
}
