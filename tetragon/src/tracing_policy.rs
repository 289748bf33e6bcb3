//! What one of Tetragon's own policies asks of a kernel.
//!
//! In: a TracingPolicy or TracingPolicyNamespaced as JSON, of whatever version. Out: the LSM hooks that it wants
//! programs on ([`Asks`]) and the nodes that it is for, or an [`Error`] that names the field. Fields that say nothing
//! about either are passed over, so a CRD with more of them is read as well.
//!
//! ## What is asked for
//! From Tetragon 1.7.0, `pkg/sensors/tracing/genericlsm.go`, which earlier releases with `lsmhooks` agree with:
//! - each entry of `spec.lsmhooks` attaches two programs (`generic_lsm_core`, `generic_lsm_output`) to its hook;
//! - `imaHash: true` in any of its `matchActions` attaches a third one, which is sleepable (`lsm.s/generic_lsm_ima_…`).
//!   Macros (`spec.selectorsMacros`) can bring such an action. On hooks for which it has no such program Tetragon loads
//!   the policy without the hash and logs a warning; here the hook has to take a sleepable program all the same, since
//!   what the policy asks for would not be done;
//! - all of them read kernel memory (`bpf/process/generic_calls.h`, `bpf/lib/process.h`), whatever the policy matches.
//!
//! ## Guarantees
//! What cannot be read is an error and never an empty list: nobody is told that a policy loads which was not
//! understood. No input makes it panic.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::core::{Selector, SelectorExt};
use lsm_ready_crds::names::POLICY_LABEL_PREFIX;
use lsm_ready_crds::policy::Require;
use lsm_ready_crds::selection::{Labels, key};
use serde::Deserialize;
use serde_json::{Map, Value};

/// API group of Tetragon's policies.
pub const GROUP: &str = "cilium.io";

/// The two kinds, each with its plural.
pub const KINDS: [(&str, &str); 2] =
    [("TracingPolicy", "tracingpolicies"), ("TracingPolicyNamespaced", "tracingpoliciesnamespaced")];

/// Longest name of a hook in an `LsmHookProfile`, whose schema says so; the kernel's own longest has 33 letters.
const LONGEST_HOOK: usize = 64;

/// A policy of Tetragon's, as far as it concerns kernels.
#[derive(Clone, Debug, PartialEq)]
pub struct TracingPolicy {
    /// Its namespace and name.
    pub name: Name,
    /// Its labels, by which a policy of ours selects it.
    pub labels: Labels,
    /// What it asks of a kernel.
    pub asks: Asks,
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

/// The hooks that a policy asks for, by name, each once.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Asks(BTreeMap<String, Ask>);

/// What is asked of one hook.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ask {
    /// The hook as the policy names it, without `bpf_lsm_`.
    pub hook: String,
    /// It has to take a sleepable program.
    pub sleepable: bool,
    /// Its programs read kernel memory, which lockdown=confidentiality forbids: so far all of Tetragon's do.
    pub reads_memory: bool,
    /// The field of the policy that asks for it.
    pub why: String,
}

/// A policy that cannot be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct Error {
    /// The field, as in `spec.lsmhooks[0].hook`.
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
    /// The name of the object with that metadata.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self { namespace: metadata.namespace.clone(), name: metadata.name.clone().unwrap_or_default() }
    }
}

impl Asks {
    /// Each hook, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Ask> {
        self.0.values()
    }

    /// The policy has no LSM hooks, so that any kernel does as far as they go.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of hooks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds what is asked for to a requirement, each hook once.
    pub fn add_to(&self, require: &mut Require) {
        for ask in self.iter() {
            let list = if ask.sleepable { &mut require.sleepable_hooks } else { &mut require.hooks };
            if !list.contains(&ask.hook) {
                list.push(ask.hook.clone());
            }
            require.kernel_reads |= ask.reads_memory;
        }
    }

    /// Of two entries for one hook the stronger wish counts.
    fn insert(&mut self, ask: Ask) {
        match self.0.get_mut(&ask.hook) {
            Some(present) if ask.sleepable && !present.sleepable => *present = ask,
            Some(_) => {}
            None => drop(self.0.insert(ask.hook.clone(), ask)),
        }
    }
}

impl Ask {
    /// What a node has to be able to do for this hook alone.
    #[must_use]
    pub fn require(&self) -> Require {
        let mut require = Require::default();
        let mut asks = Asks::default();
        asks.insert(self.clone());
        asks.add_to(&mut require);
        require
    }
}

impl TracingPolicy {
    /// The policy of a whole object.
    ///
    /// # Errors
    /// Where a field that matters is not what the CRD says.
    pub fn parse(object: &Value) -> Result<Self, Error> {
        let metadata = object.get("metadata").filter(|metadata| !metadata.is_null()).map(ObjectMeta::deserialize);
        let metadata = metadata.transpose().map_err(|error| Error::at("metadata", error.to_string()))?;
        let metadata = metadata.unwrap_or_default();
        Self::of(&metadata, object.get("spec").unwrap_or(&Value::Null))
    }

    /// The policy of an object that has been taken apart.
    ///
    /// # Errors
    /// As [`TracingPolicy::parse`].
    pub fn of(metadata: &ObjectMeta, spec: &Value) -> Result<Self, Error> {
        if metadata.name.as_deref().is_none_or(str::is_empty) {
            return Err(Error::at("metadata.name", "is missing; a policy needs a name"));
        }
        let spec = object(Some(spec), "spec")?.ok_or_else(|| Error::at("spec", "is missing"))?;
        Ok(Self {
            name: Name::of(metadata),
            labels: metadata.labels.clone().unwrap_or_default(),
            asks: asks(spec)?,
            nodes: node_selector(spec)?,
        })
    }

    /// Whether it is for nodes with these labels: all, where it has no `nodeSelector`.
    ///
    /// The labels that lsm-ready makes of its policies are taken for fitting: a policy that loads where a node is ready
    /// for it would otherwise ask for nothing until it is, and the label would flap.
    #[must_use]
    pub fn concerns(&self, node: &Labels) -> bool {
        self.nodes.as_ref().is_none_or(|selector| selector.matches(node))
    }

    /// Whether it has a `nodeSelector`.
    #[must_use]
    pub fn has_node_selector(&self) -> bool {
        self.nodes.is_some()
    }
}

/// `spec.nodeSelector`, a `metav1.LabelSelector` (on main since July 2026, cilium/tetragon#5189; no release has it yet).
fn node_selector(spec: &Map<String, Value>) -> Result<Option<Selector>, Error> {
    const PATH: &str = "spec.nodeSelector";
    let Some(selector) = spec.get("nodeSelector").filter(|value| !value.is_null()) else { return Ok(None) };
    let selector = LabelSelector::deserialize(selector).map_err(|error| Error::at(PATH, error.to_string()))?;
    let selector = Selector::try_from(selector).map_err(|error| Error::at(PATH, error.to_string()))?;
    let lasting = selector.into_iter().filter(|expression| !key(expression).starts_with(POLICY_LABEL_PREFIX));
    Ok(Some(lasting.collect()))
}

fn asks(spec: &Map<String, Value>) -> Result<Asks, Error> {
    let macros = object(spec.get("selectorsMacros"), "spec.selectorsMacros")?;
    let mut asks = Asks::default();
    for (index, entry) in list(spec.get("lsmhooks"), "spec.lsmhooks")?.iter().enumerate() {
        let path = format!("spec.lsmhooks[{index}]");
        let entry = object(Some(entry), &path)?.ok_or_else(|| Error::at(&path, "is null; an entry needs a hook"))?;
        let hook = hook(entry, &format!("{path}.hook"))?;
        let ima = ima_hash(entry, &path, macros)?;
        let (sleepable, why) = (ima.is_some(), ima.unwrap_or(path));
        asks.insert(Ask { hook, sleepable, reads_memory: true, why });
    }
    Ok(asks)
}

fn hook(entry: &Map<String, Value>, path: &str) -> Result<String, Error> {
    let known = "write the name of an LSM hook, as in file_open";
    let Some(hook) = entry.get("hook").filter(|value| !value.is_null()) else {
        return Err(Error::at(path, format!("is missing; {known}")));
    };
    let Some(hook) = hook.as_str() else { return Err(Error::at(path, format!("is no text; {known}"))) };
    // A misspelt name is told with its neighbours later; what no kernel could have is not carried further.
    if (1..=LONGEST_HOOK).contains(&hook.len()) && hook.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(hook.to_owned());
    }
    let shown: String = hook.chars().take(LONGEST_HOOK).collect();
    Err(Error::at(
        path,
        format!("{shown:?} can be no hook's name (1 to {LONGEST_HOOK} letters, digits and _); {known}"),
    ))
}

/// The field by which a file's hash is asked for, if one does.
fn ima_hash(
    entry: &Map<String, Value>,
    path: &str,
    macros: Option<&Map<String, Value>>,
) -> Result<Option<String>, Error> {
    let mut found = None;
    for (index, selector) in list(entry.get("selectors"), &format!("{path}.selectors"))?.iter().enumerate() {
        let path = format!("{path}.selectors[{index}]");
        let Some(selector) = object(Some(selector), &path)? else { continue };
        found = found.or(ima_hash_of_actions(selector, &path)?);
        for name in list(selector.get("macros"), &format!("{path}.macros"))? {
            // A macro that is not there is for Tetragon to refuse: it brings no action.
            let Some(name) = name.as_str() else {
                return Err(Error::at(format!("{path}.macros"), "has something else than names"));
            };
            let path = format!("spec.selectorsMacros.{name}");
            let Some(called) = object(macros.and_then(|macros| macros.get(name)), &path)? else { continue };
            found = found.or(ima_hash_of_actions(called, &path)?);
        }
    }
    Ok(found)
}

fn ima_hash_of_actions(selector: &Map<String, Value>, path: &str) -> Result<Option<String>, Error> {
    let mut found = None;
    for field in ["matchActions", "matchReturnActions"] {
        for (index, action) in list(selector.get(field), &format!("{path}.{field}"))?.iter().enumerate() {
            let path = format!("{path}.{field}[{index}]");
            let Some(action) = object(Some(action), &path)? else { continue };
            match action.get("imaHash") {
                None | Some(Value::Null | Value::Bool(false)) => {}
                Some(Value::Bool(true)) => found = found.or(Some(format!("{path}.imaHash"))),
                Some(_) => return Err(Error::at(format!("{path}.imaHash"), "is neither true nor false")),
            }
        }
    }
    Ok(found)
}

/// A list; absent and null are an empty one.
fn list<'a>(value: Option<&'a Value>, path: &str) -> Result<&'a [Value], Error> {
    match value {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(Error::at(path, "is no list; put - in front of each entry")),
    }
}

/// An object; none where it is absent or null.
fn object<'a>(value: Option<&'a Value>, path: &str) -> Result<Option<&'a Map<String, Value>>, Error> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(Error::at(path, "is no object; it needs fields of its own")),
    }
}

#[cfg(test)]
mod tests;
