//! On which nodes a DaemonSet runs an agent.
//!
//! In: the pod template and a Node's name and labels. Out: whether node selector and required node
//! affinity match the Node, by the scheduler's rules
//! (<https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/>). Pure. Taints are
//! ignored, because Tetragon's chart tolerates all of them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, PodSpec};

/// Whether the pod can run on that Node.
pub fn matches_node(pod: &PodSpec, node: &str, labels: &BTreeMap<String, String>) -> bool {
    let selector =
        pod.node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let affinity = pod.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    selector
        && required.is_none_or(|required| {
            required.node_selector_terms.iter().any(|term| term_matches(term, node, labels))
        })
}

/// A term without requirements matches no node.
fn term_matches(term: &NodeSelectorTerm, node: &str, labels: &BTreeMap<String, String>) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let by_label = |wanted: &NodeSelectorRequirement| {
        requirement_holds(wanted, labels.get(&wanted.key).map(String::as_str))
    };
    // Kubernetes supports this field only.
    let by_field = |wanted: &NodeSelectorRequirement| {
        requirement_holds(wanted, (wanted.key == "metadata.name").then_some(node))
    };
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(by_label)
        && fields.iter().all(by_field)
}

fn requirement_holds(wanted: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let is_listed = |value: &str| wanted.values.iter().flatten().any(|one| one == value);
    let bound = wanted.values.iter().flatten().next().and_then(|bound| bound.parse::<i64>().ok());
    let numbers = value.and_then(|value| value.parse::<i64>().ok()).zip(bound);
    match wanted.operator.as_str() {
        "In" => value.is_some_and(is_listed),
        "NotIn" => !value.is_some_and(is_listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => numbers.is_some_and(|(value, bound)| value > bound),
        "Lt" => numbers.is_some_and(|(value, bound)| value < bound),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn matches(pod: &Value) -> bool {
        let mut pod = pod.clone();
        pod["containers"] = json!([]);
        let labels = BTreeMap::from([
            ("os".to_owned(), "linux".to_owned()),
            ("cores".to_owned(), "8".to_owned()),
        ]);
        matches_node(&serde_json::from_value(pod).unwrap(), "n1", &labels)
    }

    fn affinity(terms: &Value) -> Value {
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": terms}}}})
    }

    #[test]
    fn selectors_and_affinity_match_as_for_the_scheduler() {
        assert!(matches(&json!({})));
        assert!(matches(&json!({"nodeSelector": {"os": "linux"}})));
        assert!(!matches(&json!({"nodeSelector": {"os": "windows"}})));
        let one = |key: &str, operator: &str, values: &[&str]| {
            affinity(&json!([{"matchExpressions":
                    [{"key": key, "operator": operator, "values": values}]}]))
        };
        for (key, operator, values, expected) in [
            ("os", "In", &["a", "linux"][..], true),
            ("os", "In", &["a"], false),
            ("none", "In", &["linux"], false),
            ("os", "NotIn", &["linux"], false),
            ("none", "NotIn", &["linux"], true),
            ("os", "Exists", &[], true),
            ("os", "DoesNotExist", &[], false),
            ("cores", "Gt", &["7"], true),
            ("cores", "Gt", &["8"], false),
            ("cores", "Lt", &["9"], true),
            ("os", "Lt", &["9"], false),
            ("os", "Resembles", &["linux"], false),
        ] {
            assert_eq!(
                matches(&one(key, operator, values)),
                expected,
                "{key} {operator} {values:?}"
            );
        }
        let named = |name| {
            json!({"matchFields":
                [{"key": "metadata.name", "operator": "In", "values": [name]}]})
        };
        assert!(matches(&affinity(&json!([named("n0"), named("n1")]))));
        assert!(!matches(&affinity(&json!([named("n0")]))));
        assert!(!matches(&affinity(&json!([{}]))));
    }
}
