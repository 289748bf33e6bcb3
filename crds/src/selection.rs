//! What a policy's `nodeSelector` and `minReady` mean, and which specs mean nothing.
//!
//! The CRD's schema and CEL rules refuse most bad specs; what reaches the operator all the same (written before the
//! rules were there, or beyond what CEL can know) is refused here, with what to do.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::{Expression, Selector, SelectorExt};

use crate::names::POLICY_LABEL_PREFIX;
use crate::policy::LsmPolicySpec;
use crate::window::InvalidWindow;

/// Labels of a Node, as the API has them.
pub type Labels = BTreeMap<String, String>;

/// A spec that means nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidSpec {
    /// The selector is no label selector.
    #[error("spec.nodeSelector: {0}; see `kubectl explain lsmpolicy.spec.nodeSelector`")]
    Selector(String),
    /// The selector looks at labels that are made from verdicts, so that it would chase its own tail.
    #[error(
        "spec.nodeSelector: {0} is a label that lsm-ready sets from policies; select by another label, \
         or let workloads select by this one"
    )]
    SelectsByVerdict(String),
    /// The selector of Tetragon's policies is no label selector.
    #[error(
        "spec.require.tracingPolicies: {0}; see `kubectl explain lsmpolicy.spec.require.tracingPolicies`"
    )]
    TracingPolicies(String),
    /// Neither a number nor a percentage.
    #[error(
        "spec.minReady: {0:?} is neither a number of nodes (0 or more) nor a percentage from 0% to 100%"
    )]
    MinReady(String),
    /// When agents may be restarted means nothing.
    #[error(transparent)]
    Window(#[from] InvalidWindow),
}

/// Which nodes a policy is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection(Selector);

impl Selection {
    /// The selection of that spec.
    ///
    /// # Errors
    /// When the selector is not one, or selects by labels that follow from policies.
    pub fn of(spec: &LsmPolicySpec) -> Result<Self, InvalidSpec> {
        let Some(selector) = spec.node_selector.clone() else {
            return Ok(Self(Expression::Equal("kubernetes.io/os".into(), "linux".into()).into()));
        };
        let selector = Selector::try_from(selector)
            .map_err(|error| InvalidSpec::Selector(error.to_string()))?;
        for expression in selector.clone() {
            let key = key(&expression);
            if key.starts_with(POLICY_LABEL_PREFIX) {
                return Err(InvalidSpec::SelectsByVerdict(key.to_owned()));
            }
        }
        Ok(Self(selector))
    }

    /// Whether a Node with these labels is selected.
    #[must_use]
    pub fn selects(&self, labels: &Labels) -> bool {
        self.0.matches(labels)
    }
}

/// The selector of Tetragon's policies, where the spec has one.
///
/// # Errors
/// When it is none.
pub fn tracing_policies(spec: &LsmPolicySpec) -> Result<Option<Selector>, InvalidSpec> {
    let selector = spec.require.tracing_policies.clone().map(Selector::try_from).transpose();
    selector.map_err(|error| InvalidSpec::TracingPolicies(error.to_string()))
}

/// The label that an expression looks at.
#[must_use]
pub fn key(expression: &Expression) -> &str {
    match expression {
        Expression::In(key, _)
        | Expression::NotIn(key, _)
        | Expression::Equal(key, _)
        | Expression::NotEqual(key, _)
        | Expression::Exists(key)
        | Expression::DoesNotExist(key) => key,
    }
}

/// How many nodes have to be ready.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MinReady {
    /// So many.
    Nodes(u32),
    /// So many of a hundred.
    Percent(u8),
}

impl MinReady {
    /// The meaning of the field.
    ///
    /// # Errors
    /// When it is neither a number of nodes nor a percentage of at most 100.
    pub fn parse(value: &IntOrString) -> Result<Self, InvalidSpec> {
        let parsed = match value {
            IntOrString::Int(nodes) => u32::try_from(*nodes).ok().map(Self::Nodes),
            IntOrString::String(text) => text
                .strip_suffix('%')
                .filter(|digits| {
                    (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
                })
                .and_then(|digits| digits.parse().ok())
                .filter(|percent| *percent <= 100)
                .map(Self::Percent),
        };
        parsed.ok_or_else(|| {
            InvalidSpec::MinReady(match value {
                IntOrString::Int(number) => number.to_string(),
                IntOrString::String(text) => text.clone(),
            })
        })
    }

    /// The number of nodes that must be ready out of those selected; a share is rounded up.
    #[must_use]
    pub fn of(self, selected: usize) -> usize {
        match self {
            Self::Nodes(nodes) => nodes as usize,
            Self::Percent(percent) => (selected * usize::from(percent)).div_ceil(100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
    use proptest::prelude::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn spec(selector: &serde_json::Value) -> LsmPolicySpec {
        serde_json::from_value(serde_json::json!({ "nodeSelector": selector })).unwrap()
    }

    #[test]
    fn without_a_selector_every_linux_node_is_meant() {
        let selection = Selection::of(&LsmPolicySpec::default()).unwrap();
        assert!(selection.selects(&labels(&[("kubernetes.io/os", "linux")])));
        assert!(!selection.selects(&labels(&[("kubernetes.io/os", "windows")])));
        assert!(!selection.selects(&labels(&[])));
    }

    #[test]
    fn an_empty_selector_means_every_node() {
        let spec =
            LsmPolicySpec { node_selector: Some(LabelSelector::default()), ..Default::default() };
        assert!(Selection::of(&spec).unwrap().selects(&labels(&[])));
    }

    #[test]
    fn a_selector_that_chases_its_own_tail_is_refused() {
        let own = "lsmready.node-restriction.kubernetes.io/policy.enforce";
        for selector in [
            serde_json::json!({"matchLabels": {own: "ready"}}),
            serde_json::json!({"matchExpressions": [{"key": own, "operator": "DoesNotExist"}]}),
        ] {
            assert_eq!(
                Selection::of(&spec(&selector)),
                Err(InvalidSpec::SelectsByVerdict(own.into()))
            );
        }
        let evidence = serde_json::json!({"matchLabels": {"lsmready.node-restriction.kubernetes.io/bpf": "true"}});
        assert!(Selection::of(&spec(&evidence)).is_ok());
    }

    #[test]
    fn an_unknown_operator_is_refused() {
        let selector = serde_json::json!({"matchExpressions": [{"key": "a", "operator": "Near", "values": ["b"]}]});
        assert!(matches!(Selection::of(&spec(&selector)), Err(InvalidSpec::Selector(_))));
    }

    #[test]
    fn tetragons_policies_are_selected_by_their_labels() {
        let parsed = |selector: serde_json::Value| {
            let spec = serde_json::json!({"require": {"tracingPolicies": selector}});
            tracing_policies(&serde_json::from_value(spec).unwrap())
        };
        let enforce =
            parsed(serde_json::json!({"matchLabels": {"tier": "enforce"}})).unwrap().unwrap();
        assert!(enforce.matches(&labels(&[("tier", "enforce")])));
        assert!(!enforce.matches(&labels(&[])));
        assert!(parsed(serde_json::json!({})).unwrap().unwrap().matches(&labels(&[])));
        assert_eq!(parsed(serde_json::Value::Null), Ok(None));
        let near = serde_json::json!({"matchExpressions": [{"key": "a", "operator": "Near", "values": ["b"]}]});
        assert!(matches!(parsed(near), Err(InvalidSpec::TracingPolicies(_))));
    }

    #[test]
    fn min_ready_table() {
        let text = |t: &str| MinReady::parse(&IntOrString::String(t.into())).ok();
        assert_eq!(text("90%"), Some(MinReady::Percent(90)));
        for bad in ["101%", "-1%", "50", "%", "", "1e2%", "+5%", "050%0", "５%"] {
            assert_eq!(text(bad), None, "{bad}");
        }
        assert_eq!(MinReady::parse(&IntOrString::Int(3)), Ok(MinReady::Nodes(3)));
        assert!(MinReady::parse(&IntOrString::Int(-1)).is_err());
        assert_eq!(MinReady::Percent(90).of(42), 38);
        assert_eq!(MinReady::Percent(100).of(42), 42);
        assert_eq!(MinReady::Percent(0).of(42), 0);
    }

    proptest! {
        #[test]
        fn a_share_is_never_more_than_all(percent in 0u8..=100, selected in 0usize..100_000) {
            let needed = MinReady::Percent(percent).of(selected);
            prop_assert!(needed <= selected);
            prop_assert!(needed * 100 >= selected * usize::from(percent));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,8}") {
            let _ = MinReady::parse(&IntOrString::String(text));
        }
    }
}
