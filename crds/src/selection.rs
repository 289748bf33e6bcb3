//! Parses a policy's `nodeSelector` and `minReady`, and names what is invalid in a spec.
//!
//! The CRD's schema and CEL rules refuse most invalid specs. This module refuses those that were
//! stored before the rules existed, or that CEL cannot recognise.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::{Expression, Selector, SelectorExt};

use crate::names::POLICY_LABEL_PREFIX;
use crate::policy::LsmPolicySpec;
use crate::window::InvalidWindow;

/// Labels of a Node.
pub type Labels = BTreeMap<String, String>;

/// The label for a Node's operating system, which its kubelet sets.
pub const OS_LABEL: &str = "kubernetes.io/os";
/// Its value on Linux.
pub const LINUX: &str = "linux";

/// The labels by which policies select a Node. Only a probe on Linux reports, so the report decides
/// about the operating system: a kubelet can give its Node any label for it.
#[must_use]
pub fn labels_for_selecting(labels: &Labels, is_reported: bool) -> Cow<'_, Labels> {
    if !is_reported || labels.get(OS_LABEL).is_some_and(|os| os == LINUX) {
        return Cow::Borrowed(labels);
    }
    let mut labels = labels.clone();
    labels.insert(OS_LABEL.to_owned(), LINUX.to_owned());
    Cow::Owned(labels)
}

/// Whether the Node may run Linux, by its labels for selecting. There is no LSM BPF on other
/// operating systems, so such Nodes have no verdict.
#[must_use]
pub fn may_run_linux(labels: &Labels) -> bool {
    labels.get(OS_LABEL).is_none_or(|os| os == LINUX)
}

/// An invalid spec.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidSpec {
    /// `nodeSelector` is not a label selector.
    #[error("invalid spec.nodeSelector: {0}; see `kubectl explain lsmpolicy.spec.nodeSelector`")]
    Selector(String),
    /// `nodeSelector` uses a label that follows from verdicts, so the result would depend on
    /// itself.
    #[error(
        "invalid spec.nodeSelector: lsm-ready sets the label {0} from policies; select by another \
         label, and use this one in workloads only"
    )]
    SelectsByVerdict(String),
    /// `require.tracingPolicies` is not a label selector.
    #[error(
        "invalid spec.require.tracingPolicies: {0}; see `kubectl explain \
         lsmpolicy.spec.require.tracingPolicies`"
    )]
    TracingPolicies(String),
    /// `minReady` is neither a number of nodes nor a percentage.
    #[error(
        "invalid spec.minReady {0:?}: use a number of nodes, for example 3, or a percentage from \
         0% to 100%, for example 90%"
    )]
    MinReady(String),
    /// `tetragon.window` is invalid.
    #[error(transparent)]
    Window(#[from] InvalidWindow),
}

/// The nodes that a policy selects.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection(Selector);

impl Selection {
    /// Parses `nodeSelector`. Without one, every Linux node is selected.
    ///
    /// # Errors
    /// When it is not a label selector, or selects by labels that follow from policies.
    pub fn of(spec: &LsmPolicySpec) -> Result<Self, InvalidSpec> {
        let Some(selector) = spec.node_selector.clone() else {
            return Ok(Self(Expression::Equal(OS_LABEL.into(), LINUX.into()).into()));
        };
        let selector = Selector::try_from(selector)
            .map_err(|error| InvalidSpec::Selector(error.to_string()))?;
        match keys(&selector).find(|key| key.starts_with(POLICY_LABEL_PREFIX)) {
            Some(key) => Err(InvalidSpec::SelectsByVerdict(key)),
            None => Ok(Self(selector)),
        }
    }

    /// The keys of the labels by which it selects. No other label matters.
    #[must_use]
    pub fn keys(&self) -> BTreeSet<String> {
        keys(&self.0).collect()
    }

    /// A label that each selected Node has, with its possible values. None if it asks for no
    /// particular one.
    #[must_use]
    pub fn needed_label(&self) -> Option<(String, BTreeSet<String>)> {
        let needed = |expression| match expression {
            Expression::In(key, values) => Some((key, values)),
            Expression::Equal(key, value) => Some((key, BTreeSet::from([value]))),
            Expression::NotIn(..)
            | Expression::NotEqual(..)
            | Expression::Exists(_)
            | Expression::DoesNotExist(_) => None,
        };
        // Nearly every Node runs Linux, so another label says more.
        self.0.clone().into_iter().filter_map(needed).min_by_key(|(key, _)| key == OS_LABEL)
    }

    /// Whether a Node with these labels is selected.
    #[must_use]
    pub fn selects(&self, labels: &Labels) -> bool {
        self.0.matches(labels)
    }
}

/// Parses `require.tracingPolicies`, where the spec has it.
///
/// # Errors
/// When it is not a label selector.
pub fn tracing_policies(spec: &LsmPolicySpec) -> Result<Option<Selector>, InvalidSpec> {
    let selector = spec.require.tracing_policies.clone().map(Selector::try_from).transpose();
    selector.map_err(|error| InvalidSpec::TracingPolicies(error.to_string()))
}

/// The keys of the labels that a selector is about, in its order.
pub fn keys(selector: &Selector) -> impl Iterator<Item = String> + use<> {
    selector.clone().into_iter().map(|expression| key(&expression).to_owned())
}

/// The key of the label that an expression is about.
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

/// The parsed `minReady`: how many of the selected nodes have to be ready.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MinReady {
    /// A number of nodes.
    Nodes(u32),
    /// A percentage of the selected nodes.
    Percent(u8),
}

impl MinReady {
    /// Parses the field.
    ///
    /// # Errors
    /// When the value is neither a number of nodes nor a percentage of at most 100.
    pub fn parse(value: &IntOrString) -> Result<Self, InvalidSpec> {
        match value {
            IntOrString::Int(number) => u32::try_from(*number)
                .map(Self::Nodes)
                .map_err(|_| InvalidSpec::MinReady(number.to_string())),
            IntOrString::String(text) => percentage(text)
                .map(Self::Percent)
                .ok_or_else(|| InvalidSpec::MinReady(text.clone())),
        }
    }

    /// The number of nodes that must be ready of those selected. A percentage is rounded up.
    #[must_use]
    pub fn of(self, selected: usize) -> usize {
        match self {
            Self::Nodes(nodes) => nodes as usize,
            Self::Percent(percent) => (selected * usize::from(percent)).div_ceil(100),
        }
    }
}

/// The number before the percent sign, from 0 to 100.
fn percentage(text: &str) -> Option<u8> {
    let digits = text.strip_suffix('%')?;
    // `parse` alone would also accept a sign.
    let is_number = digits.len() <= 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|percent| is_number && *percent <= 100)
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
    fn a_policy_without_a_selector_selects_every_linux_node() {
        let selection = Selection::of(&LsmPolicySpec::default()).unwrap();
        assert!(selection.selects(&labels(&[("kubernetes.io/os", "linux")])));
        assert!(!selection.selects(&labels(&[("kubernetes.io/os", "windows")])));
        assert!(!selection.selects(&labels(&[])));
    }

    #[test]
    fn an_empty_selector_selects_every_node() {
        let spec =
            LsmPolicySpec { node_selector: Some(LabelSelector::default()), ..Default::default() };
        assert!(Selection::of(&spec).unwrap().selects(&labels(&[])));
    }

    #[test]
    fn a_selector_on_policy_labels_is_refused() {
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
        let bpf = "lsmready.node-restriction.kubernetes.io/bpf";
        let evidence = serde_json::json!({"matchLabels": {bpf: "true"}});
        assert!(Selection::of(&spec(&evidence)).is_ok());
    }

    #[test]
    fn an_unknown_operator_is_refused() {
        let expression = serde_json::json!({"key": "a", "operator": "Near", "values": ["b"]});
        let selector = serde_json::json!({"matchExpressions": [expression]});
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
        let expression = serde_json::json!({"key": "a", "operator": "Near", "values": ["b"]});
        let near = serde_json::json!({"matchExpressions": [expression]});
        assert!(matches!(parsed(near), Err(InvalidSpec::TracingPolicies(_))));
    }

    #[test]
    fn min_ready_is_a_number_or_a_percentage() {
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
        fn a_percentage_never_needs_more_than_all_nodes(
            percent in 0u8..=100,
            selected in 0usize..100_000,
        ) {
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
