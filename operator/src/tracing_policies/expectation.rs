//! What an object of Tetragon's asks its agents for, as far as their answers are compared with it. Pure.
//!
//! In: metadata and spec as the API server gives them. Out: a [`Wish`], for every object: also one that Tetragon or the
//! strict reader of [`lsm_ready_tetragon::tracing_policy`] refuses, since agents have something to say about it too.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::core::{Selector, SelectorExt};
use lsm_ready_crds::selection::Labels;
use lsm_ready_tetragon::tracing_policy::Enforcement;
use serde::Deserialize;
use serde_json::Value;

/// What one object asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wish {
    /// UID and generation. Another revision is another question to the agents.
    pub revision: String,
    /// It has LSM hooks.
    pub has_lsm_hooks: bool,
    /// It has an action that denies.
    pub denies: bool,
    /// The agent loads it in the mode `monitor` or `monitor_only`: it does not deny, whatever its actions are.
    pub monitors: bool,
    nodes: Nodes,
}

/// The nodes that it is for.
#[derive(Clone, Debug, Default, PartialEq)]
enum Nodes {
    #[default]
    All,
    Some(Selector),
    /// Its `nodeSelector` is not a label selector.
    Unreadable,
}

/// Whether a policy is for a node.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Place {
    /// It is for this node.
    Here,
    /// It is for other nodes.
    Elsewhere,
    /// Its `nodeSelector` cannot be read.
    Unclear,
}

impl Wish {
    /// What the object with that metadata and spec asks for.
    pub fn of(metadata: &ObjectMeta, spec: &Value) -> Self {
        let uid = metadata.uid.as_deref().unwrap_or_default();
        let Enforcement { denies, monitors } = Enforcement::of(spec);
        Self {
            revision: format!("{uid}/{}", metadata.generation.unwrap_or_default()),
            has_lsm_hooks: spec
                .get("lsmhooks")
                .and_then(Value::as_array)
                .is_some_and(|hooks| !hooks.is_empty()),
            denies,
            monitors,
            nodes: nodes(spec.get("nodeSelector")),
        }
    }

    /// That of an object of which no more is known.
    pub fn unread(has_lsm_hooks: bool) -> Self {
        Self { has_lsm_hooks, ..Self::default() }
    }

    /// Whether it is for a node with these labels, as an agent decides it.
    pub fn place(&self, node: &Labels) -> Place {
        match &self.nodes {
            Nodes::All => Place::Here,
            Nodes::Some(selector) if selector.matches(node) => Place::Here,
            Nodes::Some(_) => Place::Elsewhere,
            Nodes::Unreadable => Place::Unclear,
        }
    }
}

fn nodes(selector: Option<&Value>) -> Nodes {
    let Some(selector) = selector.filter(|selector| !selector.is_null()) else {
        return Nodes::All;
    };
    let parsed = LabelSelector::deserialize(selector)
        .ok()
        .and_then(|selector| Selector::try_from(selector).ok());
    parsed.map_or(Nodes::Unreadable, Nodes::Some)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wish(spec: &Value) -> Wish {
        Wish::of(
            &ObjectMeta { uid: Some("u".into()), generation: Some(3), ..ObjectMeta::default() },
            spec,
        )
    }

    #[test]
    fn a_spec_of_any_form_gives_a_wish() {
        let deny = json!({"lsmhooks": [{"hook": "file_open", "selectors": [{"matchActions": [{"action": "Sigkill"}]}]}]});
        let found = wish(&deny);
        assert_eq!(
            (found.revision.as_str(), found.has_lsm_hooks, found.denies),
            ("u/3", true, true)
        );
        assert_eq!(
            wish(&Value::Null),
            wish(&json!({"lsmhooks": 7, "options": {}, "nodeSelector": null}))
        );
    }

    #[test]
    fn a_node_selector_is_followed_also_where_it_uses_our_labels() {
        let labels = Labels::from([(
            "lsmready.node-restriction.kubernetes.io/policy.a".to_owned(),
            "ready".to_owned(),
        )]);
        let place = |selector: Value| wish(&json!({ "nodeSelector": selector })).place(&labels);
        let ours = |value: &str| json!({"matchLabels": {"lsmready.node-restriction.kubernetes.io/policy.a": value}});
        assert_eq!(place(ours("ready")), Place::Here);
        assert_eq!(place(ours("not-ready")), Place::Elsewhere);
        assert_eq!(place(json!({})), Place::Here);
        assert_eq!(place(json!("ready")), Place::Unclear);
        assert_eq!(
            place(json!({"matchExpressions": [{"key": "a", "operator": "Like"}]})),
            Place::Unclear
        );
    }
}
