//! Whether Tetragon's policies will load, said before anybody applies them.
//!
//! In: the objects of a file, and what is known of the nodes ([`nodes`]). Out: for each policy and hook on how many nodes
//! it loads, and why not on the others ([`Preflight`]), by the forecast that the operator makes too
//! ([`lsm_ready_tetragon::loadable`]). [`render`] makes text of it.

pub mod nodes;
pub mod render;

use lsm_ready_crds::verdict::State;
use lsm_ready_tetragon::loadable::{Forecast, HookForecast, Others, forecast};
use lsm_ready_tetragon::tracing_policy::{self, GROUP, KINDS, TracingPolicy};
use serde::Serialize;
use serde_json::Value;

use crate::documents::Document;
use crate::exit;
use crate::preflight::nodes::Cluster;

/// Names the form of `-o json`. Fields may be added under it; a change of meaning gets another name.
pub const SCHEMA: &str = "lsmready.io/preflight/v1";

/// Why nothing can be judged.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error("{0}: it has no TracingPolicy or TracingPolicyNamespaced of group cilium.io")]
    NoPolicy(String),
    /// Some cannot be read; all of them are told.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
}

/// What becomes of a policy, or of all of them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Outcome {
    /// It loads on every node that it is for.
    Loadable,
    /// That could not be judged for some node, or no node is known.
    Unknown,
    /// On some node it was shown not to load.
    NotLoadable,
}

impl From<State> for Outcome {
    fn from(state: State) -> Self {
        match state {
            State::Ready => Self::Loadable,
            State::Unknown => Self::Unknown,
            State::NotReady => Self::NotLoadable,
        }
    }
}

/// The answer, in the form of `-o json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preflight {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The gravest of the policies'.
    pub result: Outcome,
    /// Nodes that are known.
    pub nodes: usize,
    /// Each policy, in the order of the file.
    pub policies: Vec<Judged>,
    /// What could not be looked at.
    pub remarks: Vec<String>,
}

/// One policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// `TracingPolicy` or `TracingPolicyNamespaced`.
    pub kind: String,
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its file and the line of it on which its document begins.
    pub place: String,
    /// What becomes of it.
    pub result: Outcome,
    /// Nodes that it is for.
    pub nodes: usize,
    /// Those on which all of its hooks take their programs.
    pub loadable: usize,
    /// Those on which one was shown not to.
    pub not_loadable: usize,
    /// The others.
    pub unknown: usize,
    /// Each hook.
    pub hooks: Vec<Hook>,
}

/// One hook.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hook {
    /// Its name, as the policy has it.
    pub hook: String,
    /// It has to take a sleepable program.
    pub sleepable: bool,
    /// The field that asks for it.
    pub field: String,
    /// Nodes that take its programs.
    pub loadable: usize,
    /// The others.
    pub others: Vec<Reason>,
}

/// Nodes that do not take a hook's programs, or are not known to.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    /// A code of docs/reasons.md.
    pub reason: String,
    /// `NotLoadable` or `Unknown`.
    pub result: Outcome,
    /// How many.
    pub nodes: usize,
    /// The first three by name.
    pub sample: Vec<String>,
    /// The reason in a sentence.
    pub message: String,
    /// What to change.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fix: String,
}

impl Preflight {
    /// The exit code.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self.result {
            Outcome::Loadable => exit::LOADABLE,
            Outcome::NotLoadable => exit::NOT_LOADABLE,
            Outcome::Unknown => exit::NOT_JUDGED,
        }
    }
}

/// A policy and where it stands.
#[derive(Clone, Debug)]
pub struct Placed {
    kind: String,
    place: String,
    policy: TracingPolicy,
}

/// Tetragon's policies among the objects of that file; other objects are passed over.
///
/// # Errors
/// Where one cannot be read. The message has one line for each of those.
pub fn policies(file: &str, documents: &[Document]) -> Result<Vec<Placed>, Error> {
    let (mut read, mut invalid) = (Vec::new(), Vec::new());
    for document in documents {
        let Some(kind) = kind(&document.value) else { continue };
        let place = format!("{file}:{}", document.line);
        match TracingPolicy::parse(&document.value) {
            Ok(policy) => read.push(Placed { kind, place, policy }),
            Err(error) => invalid.push(unreadable(&place, &kind, &document.value, &error)),
        }
    }
    if invalid.is_empty() { Ok(read) } else { Err(Error::Invalid(invalid)) }
}

fn unreadable(place: &str, kind: &str, object: &Value, error: &tracing_policy::Error) -> String {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    format!("{place}: {kind} {name}: {error}")
}

fn kind(object: &Value) -> Option<String> {
    let (group, _) = object["apiVersion"].as_str()?.split_once('/')?;
    let kind = object["kind"].as_str()?;
    (group == GROUP && KINDS.iter().any(|(known, _)| *known == kind)).then(|| kind.to_owned())
}

/// What becomes of these policies on those nodes.
#[must_use]
pub fn preflight(policies: &[Placed], cluster: &Cluster) -> Preflight {
    let nodes = cluster.nodes();
    let judged: Vec<Judged> = policies.iter().map(|placed| judge(placed, forecast(&placed.policy, &nodes))).collect();
    Preflight {
        schema: SCHEMA,
        result: judged.iter().map(|judged| judged.result).max().unwrap_or(Outcome::Unknown),
        nodes: nodes.len(),
        policies: judged,
        remarks: cluster.remarks.clone(),
    }
}

fn judge(placed: &Placed, forecast: Forecast) -> Judged {
    let Placed { kind, place, policy } = placed;
    // Who asks for nothing gets it everywhere, also where nothing is known.
    let result = if policy.asks.is_empty() { Outcome::Loadable } else { forecast.state().into() };
    Judged {
        kind: kind.clone(),
        namespace: policy.name.namespace.clone(),
        name: policy.name.name.clone(),
        place: place.clone(),
        result,
        nodes: forecast.nodes,
        loadable: forecast.loadable,
        not_loadable: forecast.not_loadable,
        unknown: forecast.unknown,
        hooks: forecast.hooks.into_iter().map(hook).collect(),
    }
}

fn hook(forecast: HookForecast) -> Hook {
    let HookForecast { ask, loadable, others } = forecast;
    let reason = |others: Others| Reason {
        reason: others.reason,
        result: others.state.into(),
        nodes: others.count,
        sample: others.sample,
        message: others.message,
        fix: others.fix,
    };
    Hook {
        hook: ask.hook,
        sleepable: ask.sleepable,
        field: ask.why,
        loadable,
        others: others.into_iter().map(reason).collect(),
    }
}
