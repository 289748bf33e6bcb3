//! What agents are expected to do with a TracingPolicy. Their answers are compared with it. Pure.
//!
//! In: metadata and spec as the API server gives them. Out: an [`Expectation`] for every object,
//! also for one that Tetragon or the strict reader of [`lsm_ready_tetragon::tracing_policy`]
//! refuses, because agents report such an object too.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::core::{Selector, SelectorExt};
use lsm_ready_crds::selection::Labels;
use lsm_ready_tetragon::tracing_policy::Enforcement;
use serde::Deserialize;
use serde_json::Value;

use super::bounds::{MAX_SELECTOR, selector_bytes};

/// What agents are expected to do with one object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expectation {
    /// UID and generation. The agents are asked again when it changes.
    pub revision: String,
    pub has_lsm_hooks: bool,
    /// The policy has an action that denies.
    pub denies: bool,
    /// The agent loads the policy in mode `monitor` or `monitor_only`: it does not deny, whatever
    /// its actions are.
    pub monitors: bool,
    nodes: Nodes,
}

/// The nodes that a policy is for.
#[derive(Clone, Debug, Default, PartialEq)]
enum Nodes {
    #[default]
    All,
    Some(Selector),
    /// The `nodeSelector` is not a label selector, or is too large to be kept.
    Unreadable,
}

/// Whether a policy is for a node.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Placement {
    /// The policy is for this node.
    Here,
    /// The policy is for other nodes.
    Elsewhere,
    /// The policy's `nodeSelector` cannot be read.
    Unclear,
}

impl Expectation {
    pub fn of(metadata: &ObjectMeta, spec: &Value) -> Self {
        let Enforcement { denies, monitors } = Enforcement::of(spec);
        Self {
            revision: revision(metadata),
            has_lsm_hooks: spec
                .get("lsmhooks")
                .and_then(Value::as_array)
                .is_some_and(|hooks| !hooks.is_empty()),
            denies,
            monitors,
            nodes: nodes(spec),
        }
    }

    /// For an object whose spec is not read: it may have hooks, and may be for any node.
    pub fn of_unread(metadata: &ObjectMeta) -> Self {
        let nodes = Nodes::Unreadable;
        Self { revision: revision(metadata), has_lsm_hooks: true, nodes, ..Self::default() }
    }

    /// For an object whose metadata and spec are unknown.
    pub fn without_spec(has_lsm_hooks: bool) -> Self {
        Self { has_lsm_hooks, ..Self::default() }
    }

    /// Whether the policy is for a node with these labels, by the agents' rules.
    pub fn placement(&self, node: &Labels) -> Placement {
        match &self.nodes {
            Nodes::All => Placement::Here,
            Nodes::Some(selector) if selector.matches(node) => Placement::Here,
            Nodes::Some(_) => Placement::Elsewhere,
            Nodes::Unreadable => Placement::Unclear,
        }
    }
}

fn revision(metadata: &ObjectMeta) -> String {
    let uid = metadata.uid.as_deref().unwrap_or_default();
    format!("{uid}/{}", metadata.generation.unwrap_or_default())
}

fn nodes(spec: &Value) -> Nodes {
    let Some(selector) = spec.get("nodeSelector").filter(|selector| !selector.is_null()) else {
        return Nodes::All;
    };
    if selector_bytes(spec) > MAX_SELECTOR {
        return Nodes::Unreadable;
    }
    let parsed = LabelSelector::deserialize(selector)
        .ok()
        .and_then(|selector| Selector::try_from(selector).ok());
    parsed.map_or(Nodes::Unreadable, Nodes::Some)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expectation(spec: &Value) -> Expectation {
        Expectation::of(
            &ObjectMeta { uid: Some("u".into()), generation: Some(3), ..ObjectMeta::default() },
            spec,
        )
    }

    #[test]
    fn a_spec_of_any_form_gives_an_expectation() {
        let deny = json!({"lsmhooks": [{"hook": "file_open",
            "selectors": [{"matchActions": [{"action": "Sigkill"}]}]}]});
        let found = expectation(&deny);
        assert_eq!(
            (found.revision.as_str(), found.has_lsm_hooks, found.denies),
            ("u/3", true, true)
        );
        assert_eq!(
            expectation(&Value::Null),
            expectation(&json!({"lsmhooks": 7, "options": {}, "nodeSelector": null}))
        );
    }

    #[test]
    fn a_node_selector_on_lsm_ready_labels_is_followed() {
        let labels = Labels::from([(
            "lsmready.node-restriction.kubernetes.io/policy.a".to_owned(),
            "ready".to_owned(),
        )]);
        let placement =
            |selector: Value| expectation(&json!({ "nodeSelector": selector })).placement(&labels);
        let label = "lsmready.node-restriction.kubernetes.io/policy.a";
        let ours = |value: &str| json!({"matchLabels": {label: value}});
        assert_eq!(placement(ours("ready")), Placement::Here);
        assert_eq!(placement(ours("not-ready")), Placement::Elsewhere);
        assert_eq!(placement(json!({})), Placement::Here);
        assert_eq!(placement(json!("ready")), Placement::Unclear);
        assert_eq!(
            placement(json!({"matchExpressions": [{"key": "a", "operator": "Like"}]})),
            Placement::Unclear
        );
    }
}
