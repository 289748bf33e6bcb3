//! One of Tetragon's own policies, read strictly: which hooks it requires, and whether Tetragon
//! accepts it.
//!
//! In: a TracingPolicy or TracingPolicyNamespaced as JSON. Out: the LSM hooks that it requires
//! ([`HookRequirements`]), the nodes that it selects, and its [`Diagnostics`]: fields that the
//! schema of the CRD does not have, rules of the agent that it breaks, what the file does not show,
//! and notes. Each diagnostic has the releases of Tetragon that it applies to.
//!
//! ## Flow
//! [`schema`] and [`rules`] check the policy once for each known [`Release`] → [`diagnostic`]
//! merges equal diagnostics → [`text_verdict`] says whether the releases in question load the
//! policy, with [`effect`] for what it denies.
//!
//! ## Guarantees
//! A policy that was not fully understood is never said to load. No input causes a panic. The cost
//! is linear in the size of the policy.

pub mod diagnostic;
pub mod effect;
pub mod enforcement;
mod envelope;
pub mod hook_requirements;
mod notes;
pub mod release;
mod rules;
mod schema;
pub mod text_verdict;

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::core::{Expression, Selector, SelectorExt};
use lsm_ready_crds::names::POLICY_LABEL_PREFIX;
use lsm_ready_crds::selection::{Labels, key};
use serde::Deserialize;
use serde_json::{Map, Value};

pub use self::diagnostic::{Diagnostic, Diagnostics, Severity};
pub use self::effect::{Effect, InertReason};
pub use self::enforcement::Enforcement;
pub use self::hook_requirements::{HookRequirement, HookRequirements};
pub use self::release::{Release, ReleaseMatch, Releases};
pub use self::text_verdict::{PolicyRefusal, Source, TextVerdict};

use self::diagnostic::{Collector, quoted};
use self::hook_requirements::{MAX_HOOK_LEN, MAX_HOOKS, is_hook_name};

/// API group of Tetragon's policies.
pub const GROUP: &str = "cilium.io";

/// The version of the group in every known release.
const VERSION: &str = "cilium.io/v1alpha1";

/// The kinds of Tetragon's policies: cluster-wide and namespaced. Each with its plural.
pub const KINDS: [(&str, &str); 2] = [
    ("TracingPolicy", "tracingpolicies"),
    ("TracingPolicyNamespaced", "tracingpoliciesnamespaced"),
];

/// One of Tetragon's policies.
#[derive(Clone, Debug, PartialEq)]
pub struct TracingPolicy {
    /// Its namespace and name.
    pub name: Name,
    /// Its labels, by which an LsmPolicy selects it.
    pub labels: Labels,
    /// The hooks that it requires of a kernel.
    pub required_hooks: HookRequirements,
    /// What was found in its text.
    pub diagnostics: Diagnostics,
    /// What it does once it is loaded, for each release of [`Release::ALL`].
    effects: Vec<Effect>,
    source: Source,
    /// `spec.nodeSelector`, if it has one.
    node_selector: Option<Selector>,
}

/// The namespace of a TracingPolicyNamespaced, and the name.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Name {
    /// The namespace. `None` for a TracingPolicy.
    pub namespace: Option<String>,
    /// The name in the metadata.
    pub name: String,
}

/// A policy is invalid, so nothing can be said about it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct Error {
    /// The field, for example `metadata.name`.
    pub path: String,
    /// What is wrong, and what to write instead.
    pub problem: String,
}

impl Error {
    fn at(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { path: path.into(), problem: problem.into() }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl Name {
    /// The name of the object with that metadata, or its `generateName`, which a file may have
    /// instead.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Self {
        let names = [&metadata.name, &metadata.generate_name];
        let name = names.into_iter().flatten().find(|name| !name.is_empty());
        Self { namespace: metadata.namespace.clone(), name: name.cloned().unwrap_or_default() }
    }
}

impl TracingPolicy {
    /// Reads the policy of a whole object from a file.
    ///
    /// # Errors
    /// If the metadata is invalid, or has no name.
    pub fn from_file(object: &Value) -> Result<Self, Error> {
        let mut object = object.clone();
        without_fractions(&mut object);
        let Some(object) = object.as_object() else {
            return Err(Error::at("document", "is not an object"));
        };
        let metadata = metadata(object)?;
        let mut out = Collector::default();
        for release in Release::ALL {
            schema::object(object, release, &mut out);
        }
        envelope::check(object, &metadata, &mut out);
        let empty = Map::new();
        let spec = object.get("spec").and_then(Value::as_object).unwrap_or(&empty);
        let is_namespaced = object.get("kind").and_then(Value::as_str) == Some(KINDS[1].0);
        Ok(Self::read(&metadata, spec, is_namespaced, Source::File, out))
    }

    /// Reads the policy of an object that an API server gave.
    ///
    /// # Errors
    /// If it has no name, or an invalid entry of `spec.lsmhooks`, so that some required hook is not
    /// known.
    pub fn from_cluster(metadata: &ObjectMeta, spec: &Value) -> Result<Self, Error> {
        if metadata.name.as_deref().is_none_or(str::is_empty) {
            return Err(missing_name());
        }
        let mut spec = spec.clone();
        without_fractions(&mut spec);
        let Value::Object(fields) = &spec else {
            return Err(Error::at("spec", "is missing, or not an object"));
        };
        let mut object = Map::new();
        object.insert("metadata".to_owned(), Value::Object(Map::new()));
        object.insert("spec".to_owned(), spec.clone());
        let mut out = Collector::default();
        for release in Release::ALL {
            schema::object(&object, release, &mut out);
        }
        let is_namespaced = metadata.namespace.is_some();
        let policy = Self::read(metadata, fields, is_namespaced, Source::Cluster, out);
        if policy.required_hooks.is_complete() { Ok(policy) } else { Err(policy.invalid_hook()) }
    }

    fn read(
        metadata: &ObjectMeta,
        spec: &Map<String, Value>,
        is_namespaced: bool,
        source: Source,
        mut out: Collector,
    ) -> Self {
        let required_hooks = HookRequirements::of(spec);
        check_hook_names(spec, &required_hooks, &mut out);
        for release in Release::ALL {
            rules::policy(spec, is_namespaced, release, &mut out);
        }
        notes::add(spec, &mut out);
        let node_selector = node_selector(spec, &mut out);
        let effect = |release| effect::effect(spec, release);
        Self {
            name: Name::of(metadata),
            labels: metadata.labels.clone().unwrap_or_default(),
            required_hooks,
            diagnostics: out.diagnostics(),
            effects: Release::ALL.into_iter().map(effect).collect(),
            source,
            node_selector,
        }
    }

    /// Why an entry of `spec.lsmhooks` is invalid.
    fn invalid_hook(&self) -> Error {
        let is_about_hooks = |found: &&Diagnostic| {
            found.severity < Severity::Unknown && found.path.starts_with("spec.lsmhooks")
        };
        let found = self.diagnostics.iter().find(is_about_hooks);
        found.map_or_else(
            || Error::at("spec.lsmhooks", "cannot be read"),
            |found| Error::at(found.path.clone(), found.rule.clone()),
        )
    }

    /// Records that an API server accepted it, so that the schema of the installed CRDs allows it.
    pub const fn mark_accepted(&mut self) {
        self.source = Source::Cluster;
    }

    /// Whether it comes from a file that no API server is known to have accepted.
    #[must_use]
    pub const fn is_from_file(&self) -> bool {
        matches!(self.source, Source::File)
    }

    /// The verdict on its text for these releases.
    #[must_use]
    pub fn text_verdict(&self, releases: Releases) -> TextVerdict {
        let effect = |releases| self.effect(releases);
        text_verdict::text_verdict(&self.diagnostics, effect, self.source, releases)
    }

    /// What it does once it is loaded. Of several releases, the one with which it does the least
    /// counts.
    #[must_use]
    pub fn effect(&self, releases: Releases) -> Option<Effect> {
        releases.iter().filter_map(|release| self.effects.get(release as usize)).max().copied()
    }

    /// The releases with which it denies something.
    #[must_use]
    pub fn denies_with(&self, releases: Releases) -> Releases {
        releases
            .iter()
            .filter(|release| self.effects.get(*release as usize) == Some(&Effect::Denies))
            .fold(Releases::default(), |all, release| all.or(Releases::only(release)))
    }

    /// Whether it selects nodes with these labels. Without a `nodeSelector` it selects each node.
    ///
    /// Expressions about lsm-ready's own policy labels count as matching. Otherwise a policy that
    /// selects ready nodes would require nothing until a node is ready, and the label would flap.
    #[must_use]
    pub fn selects_node(&self, labels: &Labels) -> bool {
        self.node_selector.as_ref().is_none_or(|selector| selector.matches(labels))
    }

    /// Its `nodeSelector`, if it has one.
    #[must_use]
    pub const fn node_selector(&self) -> Option<&Selector> {
        self.node_selector.as_ref()
    }

    /// Whether it has a `nodeSelector`.
    #[must_use]
    pub const fn has_node_selector(&self) -> bool {
        self.node_selector.is_some()
    }
}

fn missing_name() -> Error {
    Error::at("metadata.name", "is missing; a policy needs a name")
}

fn metadata(object: &Map<String, Value>) -> Result<ObjectMeta, Error> {
    let metadata = match object.get("metadata") {
        None | Some(Value::Null) => return Err(missing_name()),
        Some(metadata) => ObjectMeta::deserialize(metadata)
            .map_err(|error| Error::at("metadata", error.to_string()))?,
    };
    if Name::of(&metadata).name.is_empty() { Err(missing_name()) } else { Ok(metadata) }
}

/// Reports names that no hook has, for each release.
fn check_hook_names(spec: &Map<String, Value>, required: &HookRequirements, out: &mut Collector) {
    for (index, entry) in rules::list(spec, rules::LSM_HOOKS).iter().enumerate() {
        let hook = rules::text(entry, "hook");
        // An empty name has a rule of its own.
        if !hook.is_empty() && !is_hook_name(hook) {
            let rule = format!(
                "invalid hook name {}: write the name of an LSM hook (1 to {MAX_HOOK_LEN} \
                 letters, digits and _), for example file_open",
                quoted(hook)
            );
            let path = format!("spec.lsmhooks[{index}].hook");
            out.add_for(Releases::ALL, Severity::Agent, &path, rule);
        }
    }
    if required.len() >= MAX_HOOKS {
        let rule = format!("names {MAX_HOOKS} different hooks or more; no kernel has as many");
        out.add_for(Releases::ALL, Severity::Agent, "spec.lsmhooks", rule);
    }
}

/// `spec.nodeSelector`, a `metav1.LabelSelector`. It is on main since July 2026
/// (cilium/tetragon#5189), and no release has it yet. An invalid one selects each node, because the
/// agent then loads the policy.
fn node_selector(spec: &Map<String, Value>, out: &mut Collector) -> Option<Selector> {
    let selector = spec.get("nodeSelector").filter(|value| !value.is_null())?;
    match parse_selector(selector) {
        Ok(selector) => {
            let is_other =
                |expression: &Expression| !key(expression).starts_with(POLICY_LABEL_PREFIX);
            Some(selector.into_iter().filter(is_other).collect())
        }
        Err(error) => {
            let rule = format!("is invalid ({error}), so the agent loads the policy on every node");
            out.add_for(Releases::only(Release::Main), Severity::Note, "spec.nodeSelector", rule);
            None
        }
    }
}

fn parse_selector(selector: &Value) -> Result<Selector, String> {
    let selector = LabelSelector::deserialize(selector).map_err(|error| error.to_string())?;
    Selector::try_from(selector).map_err(|error| error.to_string())
}

/// Turns numbers such as 1.0 into whole numbers, as the API server does.
fn without_fractions(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            if let Some(whole) = schema::whole(value).and_then(|whole| i64::try_from(whole).ok()) {
                *value = whole.into();
            }
        }
        Value::Array(list) => list.iter_mut().for_each(without_fractions),
        Value::Object(object) => object.values_mut().for_each(without_fractions),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests;
