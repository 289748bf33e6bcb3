//! One of Tetragon's own policies, read strictly: what it asks of a kernel, and what Tetragon would say to it.
//!
//! In: a TracingPolicy or TracingPolicyNamespaced as JSON. Out: the LSM hooks that it wants programs on ([`HookRequirements`]), the
//! nodes that it is for, and what was found in it ([`Diagnostics`]): fields that the CRD's schema does not have, rules of
//! the agent that it breaks, what cannot be told, and remarks. Each diagnostic has the releases of Tetragon that it holds for.
//!
//! ## Flow
//! [`schema`] and [`rules`] look at the policy once for each known [`Release`] → [`diagnostic`] puts equal diagnostics together →
//! [`text_verdict`] says for the releases in question what becomes of the policy, with [`effect`] for what it would
//! deny.
//!
//! ## Guarantees
//! Nobody is told that a policy loads which was not understood. No input makes it panic, and its cost is linear in the
//! size of the policy.

pub mod diagnostic;
pub mod effect;
pub mod enforcement;
mod envelope;
pub mod hook_requirements;
pub mod release;
mod remarks;
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
use self::hook_requirements::{LONGEST_HOOK, MOST_HOOKS, is_hook_name};

/// API group of Tetragon's policies.
pub const GROUP: &str = "cilium.io";

/// The version of the group in every known release.
const VERSION: &str = "cilium.io/v1alpha1";

/// The two kinds, each with its plural.
pub const KINDS: [(&str, &str); 2] = [
    ("TracingPolicy", "tracingpolicies"),
    ("TracingPolicyNamespaced", "tracingpoliciesnamespaced"),
];

/// A policy of Tetragon's.
#[derive(Clone, Debug, PartialEq)]
pub struct TracingPolicy {
    /// Its namespace and name.
    pub name: Name,
    /// Its labels, by which a policy of ours selects it.
    pub labels: Labels,
    /// What it asks of a kernel.
    pub required_hooks: HookRequirements,
    /// Whether each entry of `spec.lsmhooks` could be read, so that `asks` is all.
    pub required_hooks_are_complete: bool,
    /// What was found in it.
    pub diagnostics: Diagnostics,
    /// What it does once it is loaded, with each release of [`Release::ALL`].
    effects: Vec<Effect>,
    source: Source,
    /// `spec.nodeSelector`, where it has one.
    nodes: Option<Selector>,
}

/// Namespace, of a TracingPolicyNamespaced, and name.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Name {
    /// Namespace; none for a TracingPolicy.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

/// A policy of which nothing can be said.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct Error {
    /// The field, as in `metadata.name`.
    pub path: String,
    /// What is wrong with it, and what to write.
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
    /// The name of the object with that metadata. An object in a file may have `generateName` for it.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Self {
        let names = [&metadata.name, &metadata.generate_name];
        let name = names.into_iter().flatten().find(|name| !name.is_empty());
        Self { namespace: metadata.namespace.clone(), name: name.cloned().unwrap_or_default() }
    }
}

impl TracingPolicy {
    /// The policy of a whole object, from a file.
    ///
    /// # Errors
    /// Where its name or its labels cannot be read.
    pub fn from_file(object: &Value) -> Result<Self, Error> {
        let mut object = object.clone();
        without_points(&mut object);
        let Some(object) = object.as_object() else {
            return Err(Error::at("document", "is no object"));
        };
        let metadata = object
            .get("metadata")
            .filter(|metadata| !metadata.is_null())
            .map(ObjectMeta::deserialize);
        let metadata =
            metadata.transpose().map_err(|error| Error::at("metadata", error.to_string()))?;
        let metadata = metadata.unwrap_or_default();
        if Name::of(&metadata).name.is_empty() {
            return Err(Error::at("metadata.name", "is missing; a policy needs a name"));
        }
        let mut out = Collector::default();
        for release in Release::ALL {
            schema::object(object, release, &mut out);
        }
        envelope::check(object, &metadata, &mut out);
        let nothing = Map::new();
        let spec = object.get("spec").and_then(Value::as_object).unwrap_or(&nothing);
        let is_namespaced = object.get("kind").and_then(Value::as_str) == Some(KINDS[1].0);
        Ok(Self::read(&metadata, spec, is_namespaced, Source::File, out))
    }

    /// The policy of an object that an API server gave.
    ///
    /// # Errors
    /// As [`TracingPolicy::from_file`], and where an entry of `spec.lsmhooks` cannot be read, so that it is not known what the
    /// policy asks for.
    pub fn from_cluster(metadata: &ObjectMeta, spec: &Value) -> Result<Self, Error> {
        if metadata.name.as_deref().is_none_or(str::is_empty) {
            return Err(Error::at("metadata.name", "is missing; a policy needs a name"));
        }
        let mut spec = spec.clone();
        without_points(&mut spec);
        let Value::Object(fields) = &spec else {
            return Err(Error::at("spec", "is missing, or no object"));
        };
        let mut whole = Map::new();
        whole.insert("metadata".to_owned(), Value::Object(Map::new()));
        whole.insert("spec".to_owned(), spec.clone());
        let mut out = Collector::default();
        for release in Release::ALL {
            schema::object(&whole, release, &mut out);
        }
        let policy =
            Self::read(metadata, fields, metadata.namespace.is_some(), Source::Cluster, out);
        if policy.required_hooks_are_complete { Ok(policy) } else { Err(policy.unread_hook()) }
    }

    fn read(
        metadata: &ObjectMeta,
        spec: &Map<String, Value>,
        is_namespaced: bool,
        source: Source,
        mut out: Collector,
    ) -> Self {
        let (required_hooks, required_hooks_are_complete) = HookRequirements::of(spec);
        hooks(spec, &required_hooks, &mut out);
        for release in Release::ALL {
            rules::policy(spec, is_namespaced, release, &mut out);
        }
        remarks::add(spec, &mut out);
        let nodes = node_selector(spec, &mut out);
        Self {
            name: Name::of(metadata),
            labels: metadata.labels.clone().unwrap_or_default(),
            required_hooks,
            required_hooks_are_complete,
            diagnostics: out.diagnostics(),
            effects: Release::ALL
                .into_iter()
                .map(|release| effect::effect(spec, release))
                .collect(),
            source,
            nodes,
        }
    }

    /// Why an entry of `spec.lsmhooks` cannot be read.
    fn unread_hook(&self) -> Error {
        let is_meant = |found: &&Diagnostic| {
            found.severity < Severity::Unjudged && found.path.starts_with("spec.lsmhooks")
        };
        let found = self.diagnostics.iter().find(is_meant);
        found.map_or_else(
            || Error::at("spec.lsmhooks", "cannot be read"),
            |found| Error::at(found.path.clone(), found.rule.clone()),
        )
    }

    /// Notes that an API server took it: the schema of the installed CRDs allows it.
    pub const fn mark_accepted(&mut self) {
        self.source = Source::Cluster;
    }

    /// Whether no API server has taken it yet, as far as is known.
    #[must_use]
    pub const fn is_from_file(&self) -> bool {
        matches!(self.source, Source::File)
    }

    /// What becomes of it with these releases, as far as its text tells.
    #[must_use]
    pub fn text_verdict(&self, releases: Releases) -> TextVerdict {
        text_verdict::text_verdict(
            &self.diagnostics,
            |releases| self.effect(releases),
            self.source,
            releases,
        )
    }

    /// What it does once it is loaded; of several releases the one in which it does the least counts.
    #[must_use]
    pub fn effect(&self, releases: Releases) -> Option<Effect> {
        releases.iter().filter_map(|release| self.effects.get(release as usize)).max().copied()
    }

    /// The releases with which it denies something.
    #[must_use]
    pub fn denies_with(&self, releases: Releases) -> Releases {
        let denies =
            |release: &Release| self.effects.get(*release as usize) == Some(&Effect::Denies);
        releases
            .iter()
            .filter(denies)
            .fold(Releases::default(), |all, release| all.or(Releases::only(release)))
    }

    /// Whether it is for nodes with these labels: all, where it has no `nodeSelector`.
    ///
    /// The labels that lsm-ready makes of its policies are taken for fitting: a policy that loads where a node is ready
    /// for it would otherwise ask for nothing until it is, and the label would flap.
    #[must_use]
    pub fn selects_node(&self, node: &Labels) -> bool {
        self.nodes.as_ref().is_none_or(|selector| selector.matches(node))
    }

    /// Its `nodeSelector`, where it has one.
    #[must_use]
    pub const fn node_selector(&self) -> Option<&Selector> {
        self.nodes.as_ref()
    }

    /// Whether it has a `nodeSelector`.
    #[must_use]
    pub const fn has_node_selector(&self) -> bool {
        self.nodes.is_some()
    }
}

/// Names that no kernel's hook has, told for every release alike.
fn hooks(spec: &Map<String, Value>, asks: &HookRequirements, out: &mut Collector) {
    for (index, entry) in rules::list(spec, "lsmhooks").iter().enumerate() {
        // An empty name has a rule of its own.
        let Some(hook) = entry.get("hook").and_then(Value::as_str).filter(|hook| !hook.is_empty())
        else {
            continue;
        };
        if !is_hook_name(hook) {
            let rule = format!(
                "{} can be no hook's name (1 to {LONGEST_HOOK} letters, digits and _); write the name of an LSM hook, for \
                 example file_open",
                quoted(hook)
            );
            out.add_for(
                Releases::ALL,
                Severity::Agent,
                &format!("spec.lsmhooks[{index}].hook"),
                rule,
            );
        }
    }
    if asks.len() >= MOST_HOOKS {
        let rule = format!("names {MOST_HOOKS} different hooks or more; no kernel has as many");
        out.add_for(Releases::ALL, Severity::Agent, "spec.lsmhooks", rule);
    }
}

/// `spec.nodeSelector`, a `metav1.LabelSelector` (on main since July 2026, cilium/tetragon#5189; no release has it yet). One
/// that cannot be evaluated selects every node, as the agent then loads the policy.
fn node_selector(spec: &Map<String, Value>, out: &mut Collector) -> Option<Selector> {
    let selector = spec.get("nodeSelector").filter(|value| !value.is_null())?;
    let read = LabelSelector::deserialize(selector).map_err(|error| error.to_string());
    match read.and_then(|selector| Selector::try_from(selector).map_err(|error| error.to_string()))
    {
        Ok(selector) => {
            let lasts = |expression: &Expression| !key(expression).starts_with(POLICY_LABEL_PREFIX);
            Some(selector.into_iter().filter(lasts).collect())
        }
        Err(error) => {
            let rule = format!(
                "cannot be evaluated ({error}); the agent loads the policy on every node then"
            );
            out.add_for(Releases::only(Release::Main), Severity::Remark, "spec.nodeSelector", rule);
            None
        }
    }
}

/// Whole numbers without a point: the API server takes 1.0 for 1.
fn without_points(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            if let Some(whole) = schema::whole(value).and_then(|whole| i64::try_from(whole).ok()) {
                *value = whole.into();
            }
        }
        Value::Array(list) => list.iter_mut().for_each(without_points),
        Value::Object(object) => object.values_mut().for_each(without_points),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
