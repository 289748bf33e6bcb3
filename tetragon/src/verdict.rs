//! Whether a policy of Tetragon's loads and denies: its text and the nodes taken together. The
//! plugin and the operator agree, because both call [`judge`].
//!
//! In: a policy, what is known of the nodes, and the version of Tetragon's agents if it is known.
//! Out: a [`PolicyVerdict`] with its cause.
//!
//! ## Flow
//! the policy's text ([`TextVerdict`]) → its hooks on the nodes ([`Forecast`]) → the verdict.

use lsm_ready_crds::State;

use crate::forecast::{Forecast, Nodes, forecast};
use crate::image::Version;
use crate::tracing_policy::{Release, ReleaseMatch, Releases, TextVerdict, TracingPolicy};

/// Whether a policy loads on the nodes that it selects, and denies. Later variants are worse.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum PolicyVerdict {
    /// It loads on each of its nodes, and can deny.
    Denies,
    /// It has no LSM hooks, so it is not judged.
    NoLsmHooks,
    /// It loads on each of its nodes, and denies nothing.
    DeniesNothing,
    /// Too little is known to say whether it loads.
    Unknown,
    /// Tetragon refuses it, or some node was shown not to accept one of its hooks.
    NotLoadable,
}

/// A policy's verdict, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgedPolicy {
    /// Whether the policy loads and denies.
    pub verdict: PolicyVerdict,
    /// The cause, if it is in the policy's text. Empty if it is in the forecast.
    pub cause: String,
    /// Which nodes accept which of the policy's hooks.
    pub forecast: Forecast,
}

/// The version of Tetragon that policies are judged for. If it is not known, they are judged for
/// all known releases.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TargetVersion {
    version: Option<Version>,
}

impl TargetVersion {
    /// The target for agents of that version.
    #[must_use]
    pub const fn of(version: Option<Version>) -> Self {
        Self { version }
    }

    /// The releases whose rules apply.
    #[must_use]
    pub fn releases(self) -> Releases {
        let release = self.version.map(ReleaseMatch::of).and_then(ReleaseMatch::rules);
        release.map_or(Releases::ALL, Releases::only)
    }

    /// A note for the reader, if the rules of exactly that version are not known.
    #[must_use]
    pub fn note(self) -> Option<String> {
        let version = self.version?;
        match ReleaseMatch::of(version) {
            ReleaseMatch::Before(release) => Some(format!(
                "the rules of {version} are not known, so the rules of {} apply",
                release.name()
            )),
            ReleaseMatch::After(_) => Some(format!(
                "{version} is newer than this program, so the rules of Tetragon's development \
                 branch of August 2026 apply"
            )),
            ReleaseMatch::Exactly(Release::Main) => Some(format!(
                "the rules for {version} are those of Tetragon's development branch of August 2026"
            )),
            ReleaseMatch::Exactly(_) | ReleaseMatch::WithoutLsmHooks => None,
        }
    }

    /// The verdict on the policy's text.
    #[must_use]
    pub fn text_verdict(self, policy: &TracingPolicy) -> TextVerdict {
        let verdict = policy.text_verdict(self.releases());
        match (self.version, &verdict) {
            (Some(version), TextVerdict::Refused(refused)) if is_newer(version) => {
                TextVerdict::Unknown(format!(
                    "{version} is newer than this program, and older releases refuse it: {refused}"
                ))
            }
            _ => verdict,
        }
    }

    /// Why agents of this version cannot load the policy, if they have no `lsmhooks` at all.
    fn missing_lsm_hooks(self, policy: &TracingPolicy) -> Option<String> {
        let version = self.version?;
        let is_missing = ReleaseMatch::of(version) == ReleaseMatch::WithoutLsmHooks;
        (is_missing && !policy.required_hooks.is_empty())
            .then(|| format!("spec.lsmhooks: {version} does not support it; v1.2.0 and later do"))
    }
}

fn is_newer(version: Version) -> bool {
    matches!(ReleaseMatch::of(version), ReleaseMatch::After(_))
}

/// The verdict on that policy for those nodes.
#[must_use]
pub fn judge(policy: &TracingPolicy, nodes: &Nodes<'_>, target: TargetVersion) -> JudgedPolicy {
    let forecast = forecast(policy, nodes);
    match target.missing_lsm_hooks(policy) {
        Some(cause) => JudgedPolicy { verdict: PolicyVerdict::NotLoadable, cause, forecast },
        None => on_nodes(target.text_verdict(policy), forecast),
    }
}

fn on_nodes(text: TextVerdict, forecast: Forecast) -> JudgedPolicy {
    let (verdict, cause) = match (text, forecast.state()) {
        (TextVerdict::Refused(refused), _) => (PolicyVerdict::NotLoadable, refused.to_string()),
        (TextVerdict::NoLsmHooks, _) => {
            (PolicyVerdict::NoLsmHooks, "it has no LSM hooks".to_owned())
        }
        (TextVerdict::Unknown(why), State::NotReady) => (PolicyVerdict::NotLoadable, why),
        (TextVerdict::Unknown(why), State::Ready | State::Unknown) => (PolicyVerdict::Unknown, why),
        (TextVerdict::Denies | TextVerdict::DeniesNothing(_), State::NotReady) => {
            (PolicyVerdict::NotLoadable, String::new())
        }
        (TextVerdict::Denies | TextVerdict::DeniesNothing(_), State::Unknown) => {
            (PolicyVerdict::Unknown, String::new())
        }
        (TextVerdict::DeniesNothing(why), State::Ready) => {
            (PolicyVerdict::DeniesNothing, why.to_string())
        }
        (TextVerdict::Denies, State::Ready) => (PolicyVerdict::Denies, String::new()),
    };
    JudgedPolicy { verdict, cause, forecast }
}
