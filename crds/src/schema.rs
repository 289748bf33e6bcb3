//! The parts of the CRDs' schemas that types alone cannot say: CEL rules with bounded cost, list merge keys, and the
//! integer-or-percentage form.
//!
//! The API server estimates the cost of each CEL rule from the declared maximum sizes, so every list and string that
//! a rule walks has one.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::json;

/// A label's key. CEL's own `format.qualifiedName()` would do, but needs Kubernetes 1.32 to be used in a new CRD.
const LABEL_KEY: &str = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";

/// A label's value; it may be empty.
const LABEL_VALUE: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$";

/// A selector of Nodes, which may not look at what lsm-ready makes of policies.
#[must_use]
pub fn label_selector(_: &mut SchemaGenerator) -> Schema {
    let mut schema = selector(
        "A label selector over Node labels: matchLabels and matchExpressions are ANDed. An empty selector matches every node.",
    );
    let rules = json!([{
        "rule": "!has(self.matchLabels) || self.matchLabels.all(k, !k.startsWith('lsmready.node-restriction.kubernetes.io/policy.'))",
        "message": "labels that lsm-ready sets from policies cannot select nodes for one",
    }, {
        "rule": "!has(self.matchExpressions) || self.matchExpressions.all(e, !e.key.startsWith('lsmready.node-restriction.kubernetes.io/policy.'))",
        "message": "labels that lsm-ready sets from policies cannot select nodes for one",
    }]);
    schema.insert("x-kubernetes-validations".to_owned(), rules);
    schema
}

/// A selector of Tetragon's policies.
#[must_use]
pub fn tracing_policies(_: &mut SchemaGenerator) -> Schema {
    selector(
        "A label selector over the labels of TracingPolicies and TracingPoliciesNamespaced: the lsmhooks of those that it selects become part of what a node must be able to do (hooks, sleepableHooks where imaHash is asked for, kernelReads). Absent: none. An empty selector {} means all.",
    )
}

/// A `metav1.LabelSelector` whose expressions the API server checks as it checks those of a `Deployment`.
fn selector(description: &str) -> Schema {
    json_schema!({
        "type": "object",
        "nullable": true,
        "description": description,
        "properties": {
            "matchLabels": {
                "type": "object",
                "description": "Labels that must be there with these values.",
                "maxProperties": 32,
                "additionalProperties": {"type": "string", "maxLength": 63},
                "x-kubernetes-validations": [{
                    "rule": format!("self.all(k, k.size() <= 317 && k.matches('{LABEL_KEY}'))"),
                    "message": "every key must be a label key: an optional DNS prefix and a slash, then a name of at most 63 letters, digits, '-', '_' or '.'",
                }, {
                    "rule": format!("self.all(k, self[k].matches('{LABEL_VALUE}'))"),
                    "message": "every value must be a label value: at most 63 letters, digits, '-', '_' or '.', starting and ending with a letter or digit",
                }],
            },
            "matchExpressions": {
                "type": "array",
                "description": "Requirements on labels, all of which must hold.",
                "maxItems": 32,
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": {"type": "string", "minLength": 1, "maxLength": 317, "description": "The label's key."},
                        "operator": {"type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"], "description": "How the label's value relates to the values."},
                        "values": {"type": "array", "maxItems": 64, "items": {"type": "string", "maxLength": 63}, "description": "At least one for In and NotIn, none for Exists and DoesNotExist."},
                    },
                    "x-kubernetes-validations": [{
                        "rule": "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
                        "message": "In and NotIn need at least one value; Exists and DoesNotExist take none",
                    }, {
                        "rule": format!("self.key.matches('{LABEL_KEY}')"),
                        "message": "the key must be a label key: an optional DNS prefix and a slash, then a name of at most 63 letters, digits, '-', '_' or '.'",
                    }],
                },
            },
        },
    })
}

/// A number of nodes or a percentage of them.
#[must_use]
pub fn min_ready(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        // An explicit null then becomes the default, instead of reaching the operator as no number at all.
        "nullable": false,
        "maxLength": 4,
        "description": "How many of the selected nodes must be ready for the policy's Ready condition: a number of nodes (3) or a share of them (\"90%\", rounded up). Default \"100%\". With no node selected the policy is not ready.",
        "default": "100%",
        "x-kubernetes-validations": [{
            "rule": "type(self) == int ? self >= 0 : self.matches('^(100|[0-9]{1,2})%$')",
            "message": "must be a number of nodes (0 or more) or a percentage from \"0%\" to \"100%\"",
        }],
    })
}

/// Names of Linux Security Modules, each once.
#[must_use]
pub fn lsm_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "x-kubernetes-list-type": "set",
        "items": {"type": "string", "minLength": 1, "maxLength": 32, "pattern": "^[a-z][a-z0-9_]*$"},
    })
}

/// Names of LSM hooks, each once, without the kernel's `bpf_lsm_` in front.
#[must_use]
pub fn hook_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 128,
        "x-kubernetes-list-type": "set",
        "items": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[a-z][a-z0-9_]*$"},
        "x-kubernetes-validations": [{
            "rule": "self.all(h, !h.startsWith('bpf_lsm_'))",
            "message": "name hooks without bpf_lsm_ in front: file_open, not bpf_lsm_file_open",
        }],
    })
}

/// `metav1.Condition`s, merged by type.
#[must_use]
pub fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let condition =
        generator.subschema_for::<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>();
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": condition,
    })
}
