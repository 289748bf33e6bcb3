//! The parts of the CRDs' schemas that types cannot express: CEL rules, merge keys of lists, and
//! the integer-or-percentage form.
//!
//! The API server estimates the cost of each CEL rule from the declared maximum sizes. So every
//! list and string that a rule reads has a maximum.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// The pattern of a label's key. CEL's `format.qualifiedName()` needs Kubernetes 1.32 in a new CRD.
const LABEL_KEY: &str = concat!(
    "^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?",
    "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
);

/// [`LABEL_KEY`] in words.
const LABEL_KEY_RULE: &str = "an optional DNS prefix and a slash, then a name of at most 63 \
                              letters, digits, '-', '_' or '.'";

/// The pattern of a label's value, which may be empty.
const LABEL_VALUE: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$";

/// [`LABEL_VALUE`] in words.
const LABEL_VALUE_RULE: &str = "at most 63 letters, digits, '-', '_' or '.', starting and ending \
                                with a letter or digit";

/// When an expression needs values, in words.
const VALUES_RULE: &str = "In and NotIn need at least one value; Exists and DoesNotExist take none";

/// The pattern of the name of an LSM or a hook.
const KERNEL_NAME: &str = "^[a-z][a-z0-9_]*$";

/// The schema of `nodeSelector`. It may not use labels that follow from verdicts.
#[must_use]
pub fn label_selector(_: &mut SchemaGenerator) -> Schema {
    const MESSAGE: &str =
        "labels that lsm-ready sets from policies cannot be used: select by other labels";
    let mut schema = selector();
    let no_policy_label =
        |key: &str| format!("!{key}.startsWith('lsmready.node-restriction.kubernetes.io/policy.')");
    let labels = format!("self.matchLabels.all(k, {})", no_policy_label("k"));
    let expressions = format!("self.matchExpressions.all(e, {})", no_policy_label("e.key"));
    let rules = json!([
        {"rule": format!("!has(self.matchLabels) || {labels}"), "message": MESSAGE},
        {"rule": format!("!has(self.matchExpressions) || {expressions}"), "message": MESSAGE},
    ]);
    schema.insert("x-kubernetes-validations".to_owned(), rules);
    schema
}

/// The schema of `require.tracingPolicies`.
#[must_use]
pub fn tracing_policies(_: &mut SchemaGenerator) -> Schema {
    selector()
}

/// The schema of a `metav1.LabelSelector`. Its rules are those that the API server has for the
/// selector of a `Deployment`.
fn selector() -> Schema {
    json_schema!({
        "type": "object",
        "nullable": true,
        "properties": {"matchLabels": match_labels(), "matchExpressions": match_expressions()},
    })
}

fn match_labels() -> Value {
    json!({
        "type": "object",
        "description": "Labels that must have exactly these values.",
        "maxProperties": 32,
        "additionalProperties": {"type": "string", "maxLength": 63},
        "x-kubernetes-validations": [{
            "rule": format!("self.all(k, k.size() <= 317 && k.matches('{LABEL_KEY}'))"),
            "message": format!("every key must be a label key: {LABEL_KEY_RULE}"),
        }, {
            "rule": format!("self.all(k, self[k].matches('{LABEL_VALUE}'))"),
            "message": format!("every value must be a label value: {LABEL_VALUE_RULE}"),
        }],
    })
}

fn match_expressions() -> Value {
    let key = json!({
        "type": "string", "minLength": 1, "maxLength": 317, "description": "Key of the label.",
    });
    let operator = json!({
        "type": "string",
        "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
        "description": "How the label's value relates to the values.",
    });
    let values = json!({
        "type": "array",
        "maxItems": 64,
        "items": {"type": "string", "maxLength": 63},
        "description": "At least one value for In and NotIn, none for Exists and DoesNotExist.",
    });
    let needs_values = "(self.operator in ['In', 'NotIn']) == (has(self.values) && \
                        size(self.values) > 0)";
    json!({
        "type": "array",
        "description": "Requirements on labels. All of them must hold.",
        "maxItems": 32,
        "items": {
            "type": "object",
            "required": ["key", "operator"],
            "properties": {"key": key, "operator": operator, "values": values},
            "x-kubernetes-validations": [{
                "rule": needs_values,
                "message": VALUES_RULE,
            }, {
                "rule": format!("self.key.matches('{LABEL_KEY}')"),
                "message": format!("the key must be a label key: {LABEL_KEY_RULE}"),
            }],
        },
    })
}

/// The schema of `minReady`: a number of nodes or a percentage.
#[must_use]
pub fn min_ready(_: &mut SchemaGenerator) -> Schema {
    let message =
        "must be a number of nodes (0 to 2147483647) or a percentage from \"0%\" to \"100%\"";
    json_schema!({
        "x-kubernetes-int-or-string": true,
        // So an explicit null becomes the default. Otherwise it would reach the operator as null.
        "nullable": false,
        "maxLength": 4,
        "default": "100%",
        "x-kubernetes-validations": [{
            "rule": "type(self) == int ? self >= 0 && self <= 2147483647 : \
                     self.matches('^(100|[0-9]{1,2})%$')",
            "message": message,
        }],
    })
}

/// The schema of a set of LSM names.
#[must_use]
pub fn lsm_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "x-kubernetes-list-type": "set",
        "items": {"type": "string", "minLength": 1, "maxLength": 32, "pattern": KERNEL_NAME},
    })
}

/// The schema of a set of hook names, without the kernel's prefix `bpf_lsm_`.
#[must_use]
pub fn hook_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 128,
        "x-kubernetes-list-type": "set",
        "items": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": KERNEL_NAME},
        "x-kubernetes-validations": [{
            "rule": "self.all(h, !h.startsWith('bpf_lsm_'))",
            "message": "write hooks without the prefix bpf_lsm_, for example file_open",
        }],
    })
}

/// The schema of a set of hook names in a profile. Two lists of the same names would have the same
/// digest, so only one of them is accepted: sorted, and each name once. The three sets of a profile
/// have together at most about 64 kB.
#[must_use]
pub fn hook_set(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 480,
        "x-kubernetes-list-type": "set",
        "items": {"type": "string", "maxLength": 64, "pattern": "^[a-z][a-z0-9_]{0,63}$"},
        "x-kubernetes-validations": [{
            "rule": "self.isSorted()",
            "message": "the names must be sorted",
        }],
    })
}

/// The schema of a list of `metav1.Condition`s, merged by type. Bounds and patterns are those of
/// the Go type; the times are those of [`time`].
#[must_use]
pub fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let condition = json!({
        "type": "object",
        "description": "A condition of the policy.",
        "required": ["lastTransitionTime", "message", "reason", "status", "type"],
        "properties": {
            "type": {
                "type": "string",
                "description": "Type of the condition.",
                "maxLength": 316,
                "pattern": LABEL_KEY,
            },
            "status": {
                "type": "string",
                "description": "Whether the condition holds.",
                "enum": ["True", "False", "Unknown"],
            },
            "reason": {
                "type": "string",
                "description": "Why the condition has this status: a code of docs/conditions.md.",
                "minLength": 1,
                "maxLength": 1024,
                "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
            },
            "message": {
                "type": "string",
                "description": "The reason in a sentence, with names and numbers.",
                "maxLength": 32768,
            },
            "lastTransitionTime": time(generator),
            "observedGeneration": {
                "type": "integer",
                "format": "int64",
                "description": "The generation of the spec that the condition is about.",
                "minimum": 0,
            },
        },
    });
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": condition,
    })
}

/// The schema of a time. The API server's `date-time` also takes `ZT` at the end, offsets of 99
/// hours and fractions of any length. With the pattern, it takes what we can read.
#[must_use]
pub fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "format": "date-time",
        "maxLength": 35,
        "pattern": concat!(
            "^(19[7-9][0-9]|2[01][0-9]{2})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])",
            "T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?",
            "(Z|[-+](0[0-9]|1[0-4]):[0-5][0-9])$",
        ),
        "description": "Time of the change.",
        // Without a rule, the API server takes an empty list for a text with a format.
        "x-kubernetes-validations": [{
            "rule": "self >= timestamp('1970-01-01T00:00:00Z')",
            "message": "must be a time since 1970",
        }],
    })
}

/// The schema of a time that may be absent.
#[must_use]
pub fn optional_time(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = time(generator);
    schema.insert("nullable".to_owned(), json!(true));
    schema.remove("description");
    schema
}

/// The pattern of texts for people: no control characters but the end of a line, no characters
/// without width or for the direction of text, and none that extends the one before, such as a
/// variation selector. `text::printable_lines` makes such a text.
pub const PRINTABLE: &str = r"^([^\p{Cc}\p{Cf}\p{Co}\p{Mn}\p{Me}\p{Zl}\p{Zp}]|\n)*$";

/// The pattern of a code, such as a reason's. It may be empty.
pub const CODE: &str = "^([A-Za-z][A-Za-z0-9]{0,63})?$";
