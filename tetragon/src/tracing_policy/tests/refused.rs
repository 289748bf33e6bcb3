//! Tables of what the schema and the agent refuse, with the releases.

use serde_json::{Value, json};

use super::{file, found, selector};
use crate::tracing_policy::Severity;

const ALL: &str = "[every release from v1.3 to main]";

#[test]
fn the_schema_names_field_and_rule() {
    let long = "x".repeat(65);
    let table = [
        (json!({"lsmHooks": []}), "spec.lsmHooks: unknown field; did you mean lsmhooks?", ALL),
        (json!({"lsmhook": []}), "spec.lsmhook: unknown field; did you mean lsmhooks?", ALL),
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
            selector(&json!({"matchActions": [{"action": "override"}]})),
            "did you mean Override?",
            ALL,
        ),
        (
            selector(&json!({"matchActions": [{"action": "Post", "imaHash": "yes"}]})),
            "imaHash: is text, not true or",
            ALL,
        ),
        (
            selector(&json!({"matchArgs": [{"index": 0, "operator": "Equal", "values": [1]}]})),
            "values[0]: is a number",
            ALL,
        ),
        (selector(&json!({"matchArg": []})), "did you mean matchArgs?", ALL),
        (selector(&json!({"macros": []})), "is a field of v1.7 and later alone", "[v1.3 to v1.6]"),
        (selector(&json!({"matchPIDs": [{"operator": "Equal", "values": []}]})), "In, NotIn", ALL),
        (
            json!({"lsmhooks": [{"hook": "a", "tags": vec!["ab"; 17]}]}),
            "has 17 entries; at most 16 are allowed",
            ALL,
        ),
        (
            json!({"lsmhooks": [{"hook": "a", "args": [{"index": -1, "type": "int"}]}]}),
            "-1 is out of range: 0 to",
            ALL,
        ),
        (json!({"podSelector": {"matchLabels": {"a": long}}}), "cannot be a label's value", ALL),
        (
            json!({"nodeSelector": {}}),
            "spec.nodeSelector: is a field of main alone",
            "[v1.3 to v1.7]",
        ),
        (json!({"nodeSelector": "all"}), "spec.nodeSelector: is text, not an object", "[main]"),
    ];
    for (spec, wanted, releases) in table {
        let found = found(&file(&spec), Severity::Schema);
        assert!(
            found.iter().any(|found| found.contains(wanted) && found.ends_with(releases)),
            "{wanted}: {found:#?}"
        );
    }
    let mut outside = file(&json!({}));
    outside["lsmhooks"] = json!([{"hook": "file_open"}]);
    assert!(
        found(&outside, Severity::Schema)[0].contains("did you mean spec.lsmhooks?"),
        "{:?}",
        found(&outside, Severity::Schema)
    );
    let mut namespaced = file(&json!({"hostSelector": {}}));
    namespaced["kind"] = json!("TracingPolicyNamespaced");
    assert!(
        found(&namespaced, Severity::Schema)[1].ends_with("[v1.7 and later]"),
        "{:?}",
        found(&namespaced, Severity::Schema)
    );
    let mut version = file(&json!({}));
    version["apiVersion"] = json!("cilium.io/v1");
    assert!(found(&version, Severity::Schema)[0].contains("write cilium.io/v1alpha1"));
}

#[test]
fn the_agents_rules_name_field_rule_and_releases() {
    let arg = |filter: Value| selector(&json!({"matchArgs": [filter]}));
    let since_1_5 = "[v1.5 and later]";
    let table = [
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
        (json!({"lsmhooks": [{"hook": ""}]}), "spec.lsmhooks[0].hook: is empty", ALL),
        (json!({"lsmhooks": [{"hook": "file open"}]}), "\"file open\" can be no hook's name", ALL),
        (
            selector(&json!({"matchActions": [{"action": "NotifyEnforcer"}]})),
            "is not supported on LSM hooks",
            ALL,
        ),
        (
            selector(&json!({"matchActions": [{"action": "Post", "userStackTrace": true}]})),
            "userStackTrace: is not",
            ALL,
        ),
        (
            selector(&json!({"matchActions": vec![json!({"action": "Post"}); 4]})),
            "has 4 actions; at most 3",
            ALL,
        ),
        (
            selector(&json!({"matchActions": [{"action": "Sigkill", "rateLimit": "1m"}]})),
            "with the action Post alone",
            ALL,
        ),
        (
            selector(&json!({"matchActions": [{"action": "Post", "rateLimit": "1d"}]})),
            "is no time",
            ALL,
        ),
        (
            selector(&json!({"matchReturnArgs": [{"index": 0, "operator": "Equal"}]})),
            "matchReturnArgs: is not supported",
            ALL,
        ),
        (
            json!({"lsmhooks": [{"hook": "a", "args": [{"index": 5, "type": "int"}]}]}),
            "is 5; the highest index is 4",
            ALL,
        ),
        (
            json!({"lsmhooks": [{"hook": "a", "args": [{"index": 0}]}]}),
            "args[0].type: is missing",
            ALL,
        ),
        (
            json!({"lsmhooks": [{"hook": "a", "args": [{"index": 0, "type": "auto"}]}]}),
            "auto is not supported",
            ALL,
        ),
        (
            json!({"lsmhooks": [{"hook": "a", "args": vec![json!({"index": 0, "type": "int"}); 6]}]}),
            "6 arguments",
            since_1_5,
        ),
        (
            json!({"lsmhooks": [{"hook": "a", "selectors": vec![json!({}); 6]}]}),
            "has 6 selectors",
            "[v1.7 and later]",
        ),
        (json!({"lsmhooks": [{"hook": "a", "message": "x"}]}), "message: is too short", ALL),
        (json!({"lsmhooks": [{"hook": "a", "tags": ["ab", "c"]}]}), "tags[1]: is too short", ALL),
        (
            json!({"options": [{"name": "policy-mode", "value": "monitor_only"}]}),
            "write enforce or monitor",
            "[v1.4 and later]",
        ),
        (selector(&json!({"macros": ["m"]})), "\"m\" is not defined", "[v1.7 and later]"),
        (
            arg(json!({"index": 3, "operator": "Equal", "values": ["1"]})),
            "args of this hook does not list",
            ALL,
        ),
        (
            arg(json!({"index": 1, "operator": "Equal", "values": ["ten"]})),
            "\"ten\" is no number",
            ALL,
        ),
        (
            arg(json!({"index": 1, "operator": "Equal", "values": ["0x10"]})),
            "\"0x10\" is no number",
            "[v1.3 to v1.5]",
        ),
        (
            arg(json!({"index": 1, "operator": "Equal", "values": ["1", "2", "3", "4", "5"]})),
            "has 5 values",
            since_1_5,
        ),
        (
            arg(json!({"index": 0, "operator": "SPort", "values": ["80"]})),
            "SPort does not go with an argument of type file",
            ALL,
        ),
        (
            arg(json!({"index": 0, "operator": "GT", "values": ["80"]})),
            "GT does not go with",
            since_1_5,
        ),
        (
            arg(json!({"index": 1, "operator": "InMap", "values": ["list:a"]})),
            "lists are not supported",
            ALL,
        ),
        (
            arg(json!({"index": 0, "operator": "Postfix", "values": [""]})),
            "is empty, which makes the agent crash",
            ALL,
        ),
        (
            selector(
                &json!({"matchCapabilities": [{"operator": "In", "values": ["CAP_DAC_OVERRIDE"]}]}),
            ),
            "calls it DAC_OVERRIDE",
            ALL,
        ),
        (
            selector(
                &json!({"matchNamespaces": [{"namespace": "Mnt", "operator": "In", "values": ["host"]}]}),
            ),
            "nor host_ns",
            ALL,
        ),
        (
            selector(&json!({"matchPIDs": [{"operator": "In", "values": [-1]}]})),
            "-1 is negative",
            ALL,
        ),
        (
            selector(&json!({"matchPIDs": [{"operator": "In", "values": vec![1; 1100]}]})),
            "and crashes",
            ALL,
        ),
        (
            selector(
                &json!({"matchBinaries": [{"operator": "NotIn", "values": [], "followChildren": true}]}),
            ),
            "use In",
            "[v1.3 to v1.4]",
        ),
    ];
    for (spec, wanted, releases) in table {
        let found = found(&file(&spec), Severity::Agent);
        assert!(
            found.iter().any(|found| found.contains(wanted) && found.ends_with(releases)),
            "{wanted}: {found:#?}"
        );
    }
}
