//! What the schema and the agent refuse, with the rule and the releases.

use serde_json::{Value, json};

use super::{file, found, selector};
use crate::tracing_policy::Severity;

const ALL: &str = "[every release from v1.3 to main]";
const SINCE_1_5: &str = "[v1.5 and later]";
const SINCE_1_7: &str = "[v1.7 and later]";

/// Asserts that a policy with each spec has a diagnostic of that severity with that text and those
/// releases.
fn assert_found<const N: usize>(severity: Severity, cases: [(Value, &str, &str); N]) {
    for (spec, wanted, releases) in cases {
        let found = found(&file(&spec), severity);
        assert!(
            found.iter().any(|found| found.contains(wanted) && found.ends_with(releases)),
            "{wanted}: {found:#?}"
        );
    }
}

fn hook(fields: &Value) -> Value {
    let mut hook = fields.clone();
    hook["hook"] = json!("a");
    json!({"lsmhooks": [hook]})
}

fn filter(filter: &Value) -> Value {
    selector(&json!({ "matchArgs": [filter] }))
}

fn action(action: &Value) -> Value {
    selector(&json!({ "matchActions": [action] }))
}

#[test]
fn the_schema_reports_unknown_fields_and_values() {
    assert_found(
        Severity::Schema,
        [
            (json!({"lsmHooks": []}), "spec.lsmHooks: unknown field; did you mean lsmhooks?", ALL),
            (json!({"lsmhook": []}), "spec.lsmhook: unknown field; did you mean lsmhooks?", ALL),
            (selector(&json!({"matchArg": []})), "did you mean matchArgs?", ALL),
            (action(&json!({"action": "override"})), "did you mean Override?", ALL),
            (
                selector(&json!({"matchPIDs": [{"operator": "Equal", "values": []}]})),
                "In, NotIn",
                ALL,
            ),
        ],
    );
}

#[test]
fn the_schema_reports_wrong_types_and_missing_fields() {
    assert_found(
        Severity::Schema,
        [
            (json!({"lsmhooks": {}}), "spec.lsmhooks: is an object, not a list", ALL),
            (json!({"lsmhooks": ["file_open"]}), "spec.lsmhooks[0]: is text, not an object", ALL),
            (
                json!({"lsmhooks": [{"hook": "file_open"}, null]}),
                "spec.lsmhooks[1]: is null, not an object",
                ALL,
            ),
            (json!({"lsmhooks": [{}]}), "spec.lsmhooks[0].hook: is missing; write text", ALL),
            (
                json!({"lsmhooks": [{"hook": 1}]}),
                "spec.lsmhooks[0].hook: is a number, not text (put a number",
                ALL,
            ),
            (
                action(&json!({"action": "Post", "imaHash": "yes"})),
                "imaHash: is text, not true or",
                ALL,
            ),
            (
                filter(&json!({"index": 0, "operator": "Equal", "values": [1]})),
                "values[0]: is a number",
                ALL,
            ),
        ],
    );
}

#[test]
fn the_schema_reports_values_out_of_range() {
    let long = "x".repeat(65);
    assert_found(
        Severity::Schema,
        [
            (hook(&json!({"tags": vec!["ab"; 17]})), "has 17 entries; at most 16 are allowed", ALL),
            (
                hook(&json!({"args": [{"index": -1, "type": "int"}]})),
                "-1 is out of range: write 0 to",
                ALL,
            ),
            (json!({"podSelector": {"matchLabels": {"a": long}}}), "invalid label value", ALL),
        ],
    );
}

#[test]
fn the_schema_reports_fields_of_other_releases() {
    assert_found(
        Severity::Schema,
        [
            (
                selector(&json!({"macros": []})),
                "only v1.7 and later has this field",
                "[v1.3 to v1.6]",
            ),
            (
                json!({"nodeSelector": {}}),
                "spec.nodeSelector: only main has this field",
                "[v1.3 to v1.7]",
            ),
            (json!({"nodeSelector": "all"}), "spec.nodeSelector: is text, not an object", "[main]"),
        ],
    );
}

#[test]
fn the_schema_checks_the_fields_outside_of_the_spec() {
    let mut outside = file(&json!({}));
    outside["lsmhooks"] = json!([{"hook": "file_open"}]);
    let outside = found(&outside, Severity::Schema);
    assert!(outside[0].contains("did you mean spec.lsmhooks?"), "{outside:?}");
    let mut namespaced = file(&json!({"hostSelector": {}}));
    namespaced["kind"] = json!("TracingPolicyNamespaced");
    let namespaced = found(&namespaced, Severity::Schema);
    assert!(namespaced[1].ends_with(SINCE_1_7), "{namespaced:?}");
    let mut version = file(&json!({}));
    version["apiVersion"] = json!("cilium.io/v1");
    assert!(found(&version, Severity::Schema)[0].contains("write cilium.io/v1alpha1"));
}

#[test]
fn the_agent_refuses_policies_for_their_sections_options_and_macros() {
    assert_found(
        Severity::Agent,
        [
            (
                json!({"kprobes": [{"call": "a"}], "lsmhooks": [{"hook": "b"}]}),
                "spec: has kprobes and lsmhooks",
                ALL,
            ),
            (
                json!({"uprobes": [{"path": "a", "symbols": []}], "lsmhooks": [{"hook": "b"}]}),
                "uprobes",
                "[v1.4 and later]",
            ),
            (
                json!({"options": [{"name": "policy-mode", "value": "monitor_only"}]}),
                "write enforce or monitor",
                "[v1.4 and later]",
            ),
            (selector(&json!({"macros": ["m"]})), "\"m\" is not defined", SINCE_1_7),
        ],
    );
}

#[test]
fn the_agent_refuses_invalid_entries_of_lsmhooks() {
    assert_found(
        Severity::Agent,
        [
            (json!({"lsmhooks": [{"hook": ""}]}), "spec.lsmhooks[0].hook: is empty", ALL),
            (json!({"lsmhooks": [{"hook": "file open"}]}), "invalid hook name \"file open\"", ALL),
            (
                hook(&json!({"args": [{"index": 5, "type": "int"}]})),
                "is 5; the highest index is 4",
                ALL,
            ),
            (hook(&json!({"args": [{"index": 0}]})), "args[0].type: is missing", ALL),
            (hook(&json!({"args": [{"index": 0, "type": "auto"}]})), "auto is not supported", ALL),
            (
                hook(&json!({"args": vec![json!({"index": 0, "type": "int"}); 6]})),
                "6 arguments",
                SINCE_1_5,
            ),
            (hook(&json!({"selectors": vec![json!({}); 6]})), "has 6 selectors", SINCE_1_7),
            (hook(&json!({"message": "x"})), "message: is too short", ALL),
            (hook(&json!({"tags": ["ab", "c"]})), "tags[1]: is too short", ALL),
        ],
    );
}

#[test]
fn the_agent_refuses_invalid_actions() {
    assert_found(
        Severity::Agent,
        [
            (action(&json!({"action": "NotifyEnforcer"})), "is not supported on LSM hooks", ALL),
            (
                action(&json!({"action": "Post", "userStackTrace": true})),
                "userStackTrace: is not",
                ALL,
            ),
            (
                selector(&json!({"matchActions": vec![json!({"action": "Post"}); 4]})),
                "has 4 actions; at most 3",
                ALL,
            ),
            (
                action(&json!({"action": "Sigkill", "rateLimit": "1m"})),
                "only with the action Post",
                ALL,
            ),
            (action(&json!({"action": "Post", "rateLimit": "1d"})), "invalid duration \"1d\"", ALL),
        ],
    );
}

#[test]
fn the_agent_refuses_invalid_filters_by_argument() {
    assert_found(
        Severity::Agent,
        [
            (
                filter(&json!({"index": 3, "operator": "Equal", "values": ["1"]})),
                "args of this hook does not list",
                ALL,
            ),
            (
                filter(&json!({"index": 1, "operator": "Equal", "values": ["ten"]})),
                "invalid number \"ten\"",
                ALL,
            ),
            (
                filter(&json!({"index": 1, "operator": "Equal", "values": ["0x10"]})),
                "invalid number \"0x10\"",
                "[v1.3 to v1.5]",
            ),
            (
                filter(
                    &json!({"index": 1, "operator": "Equal", "values": ["1", "2", "3", "4", "5"]}),
                ),
                "has 5 values",
                SINCE_1_5,
            ),
            (
                filter(&json!({"index": 0, "operator": "SPort", "values": ["80"]})),
                "SPort does not support an argument of type file",
                ALL,
            ),
            (
                filter(&json!({"index": 0, "operator": "GT", "values": ["80"]})),
                "GT does not support",
                SINCE_1_5,
            ),
            (
                filter(&json!({"index": 1, "operator": "InMap", "values": ["list:a"]})),
                "lists are not supported",
                ALL,
            ),
            (
                filter(&json!({"index": 0, "operator": "Postfix", "values": [""]})),
                "is empty, which makes the agent crash",
                ALL,
            ),
        ],
    );
}

#[test]
fn the_agent_refuses_other_invalid_filters() {
    let filter = |list: &str, filter: Value| selector(&json!({ (list): [filter] }));
    assert_found(
        Severity::Agent,
        [
            (
                filter("matchReturnArgs", json!({"index": 0, "operator": "Equal"})),
                "matchReturnArgs: is not supported",
                ALL,
            ),
            (
                filter(
                    "matchCapabilities",
                    json!({"operator": "In", "values": ["CAP_DAC_OVERRIDE"]}),
                ),
                "calls it DAC_OVERRIDE",
                ALL,
            ),
            (
                filter(
                    "matchNamespaces",
                    json!({"namespace": "Mnt", "operator": "In", "values": ["host"]}),
                ),
                "or host_ns",
                ALL,
            ),
            (filter("matchPIDs", json!({"operator": "In", "values": [-1]})), "-1 is negative", ALL),
            (
                filter("matchPIDs", json!({"operator": "In", "values": vec![1; 1100]})),
                "and crashes",
                ALL,
            ),
            (
                filter(
                    "matchBinaries",
                    json!({"operator": "NotIn", "values": [], "followChildren": true}),
                ),
                "use In",
                "[v1.3 to v1.4]",
            ),
        ],
    );
}
