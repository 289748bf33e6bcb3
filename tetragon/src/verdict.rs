//! What becomes of a policy: its text and the nodes taken together. The plugin and the operator say the same because both
//! ask here.
//!
//! In: a policy, what is known of the nodes, and the release of the agents where it is known. Out: an [`PolicyVerdict`] with
//! the reason.

use lsm_ready_crds::State;

use crate::forecast::{Forecast, Nodes, forecast};
use crate::image::Version;
use crate::tracing_policy::{Release, ReleaseMatch, Releases, TextVerdict, TracingPolicy};

/// What becomes of a policy. What comes later is graver.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum PolicyVerdict {
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
pub struct JudgedPolicy {
    /// What becomes of it.
    pub verdict: PolicyVerdict,
    /// Why, as far as its text is the cause; else empty, and the forecast has it.
    pub why: String,
    /// What the nodes say to its hooks.
    pub forecast: Forecast,
}

/// Which releases of Tetragon are in target.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TargetVersion {
    version: Option<Version>,
}

impl TargetVersion {
    /// The agents have that version; all known releases are in target where it is not known.
    #[must_use]
    pub const fn of(version: Option<Version>) -> Self {
        Self { version }
    }

    /// The releases whose rules are applied.
    #[must_use]
    pub fn releases(self) -> Releases {
        let known = self.version.map(ReleaseMatch::of).and_then(ReleaseMatch::rules);
        known.map_or(Releases::ALL, Releases::only)
    }

    /// What the reader has to know about that version: its rules are not known exactly.
    #[must_use]
    pub fn remark(self) -> Option<String> {
        let version = self.version?;
        match ReleaseMatch::of(version) {
            ReleaseMatch::Before(release) => Some(format!(
                "the rules of {version} are not known; those of {} stand for them",
                release.name()
            )),
            ReleaseMatch::After(_) => Some(format!(
                "{version} is newer than this program; the rules of Tetragon's development branch of August 2026 stand for it"
            )),
            ReleaseMatch::Exactly(Release::Main) => Some(format!(
                "the rules for {version} are those of Tetragon's development branch of August 2026"
            )),
            ReleaseMatch::Exactly(_) | ReleaseMatch::WithoutLsmHooks => None,
        }
    }

    /// The answer to the policy's text.
    #[must_use]
    pub fn text_verdict(self, policy: &TracingPolicy) -> TextVerdict {
        let answer = policy.text_verdict(self.releases());
        match (self.version, &answer) {
            (Some(version), TextVerdict::Refused(refused))
                if matches!(ReleaseMatch::of(version), ReleaseMatch::After(_)) =>
            {
                TextVerdict::Unjudged(format!(
                    "{version} is newer than this program, and older releases refuse it: {refused}"
                ))
            }
            _ => answer,
        }
    }

    /// Why these agents know no `lsmhooks` at all.
    fn without_hooks(self, policy: &TracingPolicy) -> Option<String> {
        let version = self
            .version
            .filter(|version| ReleaseMatch::of(*version) == ReleaseMatch::WithoutLsmHooks)?;
        (!policy.required_hooks.is_empty())
            .then(|| format!("spec.lsmhooks: {version} does not have it; v1.2.0 and later do"))
    }
}

/// What becomes of that policy.
#[must_use]
pub fn judge(policy: &TracingPolicy, nodes: &Nodes<'_>, target: TargetVersion) -> JudgedPolicy {
    let forecast = forecast(policy, nodes);
    let (verdict, why) = match (target.text_verdict(policy), target.without_hooks(policy)) {
        (_, Some(why)) => (PolicyVerdict::NotLoadable, why),
        (TextVerdict::Refused(refused), None) => (PolicyVerdict::NotLoadable, refused.to_string()),
        (answer, None) => on_nodes(answer, forecast.state()),
    };
    JudgedPolicy { verdict, why, forecast }
}

/// The answer to the text, with what the nodes say to the hooks.
fn on_nodes(answer: TextVerdict, nodes: State) -> (PolicyVerdict, String) {
    match (answer, nodes) {
        (TextVerdict::NoLsmHooks, _) => {
            (PolicyVerdict::NoLsmHooks, "it has no LSM hooks".to_owned())
        }
        (TextVerdict::Unjudged(why), State::NotReady) => (PolicyVerdict::NotLoadable, why),
        (TextVerdict::Unjudged(why), _) => (PolicyVerdict::Unknown, why),
        (_, State::NotReady) => (PolicyVerdict::NotLoadable, String::new()),
        (_, State::Unknown) => (PolicyVerdict::Unknown, String::new()),
        (TextVerdict::DeniesNothing(inert), State::Ready) => {
            (PolicyVerdict::DeniesNothing, inert.to_string())
        }
        (TextVerdict::Denies | TextVerdict::Refused(_), State::Ready) => {
            (PolicyVerdict::Denies, String::new())
        }
    }
}
