//! Policies that the API server refuses. Each row is a spec and a part of the API server's message.

use serde_json::{Value, json};

use super::{admin, apply_policy};

type Refused = (Value, &'static str);

const LABEL_KEY: &str = "must be a label key: an optional DNS prefix and a slash";
const VALUES: &str = "In and NotIn need at least one value; Exists and DoesNotExist take none";

fn min_ready_taints_and_unknown_fields() -> Vec<Refused> {
    let min_ready =
        r#"must be a number of nodes (0 to 2147483647) or a percentage from "0%" to "100%""#;
    vec![
        (json!({"minReady": "101%"}), min_ready),
        (json!({"minReady": "-5%"}), min_ready),
        (json!({"minReady": "99.5%"}), "may not be more than 4"),
        (json!({"minReady": "all"}), min_ready),
        (json!({"minReady": "5"}), min_ready),
        (json!({"minReady": -1}), min_ready),
        (json!({"minReady": 2_147_483_648_u32}), min_ready),
        (json!({"minReady": true}), "must be of type"),
        (json!({"nodeSelctor": {}}), "field not declared in schema"),
        (json!({"taint": {}}), "Required value"),
        (
            json!({"taint": {"effect": "NoSchedule", "key": "example.com/not-ready"}}),
            r#"supported values: "lsmready.io/not-ready", "readiness.k8s.io/lsmready.io-not-ready""#,
        ),
        (
            json!({"taint": {"effect": "NoExecute"}}),
            r#"supported values: "PreferNoSchedule", "NoSchedule""#,
        ),
        (
            json!({"taint": {"effect": "NoSchedule", "key": "example.com/not-ready"}}),
            r#"supported values: "lsmready.io/not-ready", "readiness.k8s.io/lsmready.io-not-ready""#,
        ),
    ]
}

fn requirements() -> Vec<Refused> {
    vec![
        (
            json!({"require": {"evidence": "None"}}),
            r#"supported values: "Loaded", "Attached", "Fired", "Denied""#,
        ),
        (json!({"require": {"evidence": "denied"}}), "supported values"),
        (
            json!({"require": {"hooks": ["bpf_lsm_file_open"]}}),
            "write hooks without the prefix bpf_lsm_, for example file_open",
        ),
        (
            json!({"require": {"sleepableHooks": ["bpf_lsm_file_open"]}}),
            "write hooks without the prefix bpf_lsm_",
        ),
        (json!({"require": {"hooks": ["file-open"]}}), "should match"),
        (json!({"require": {"hooks": [""]}}), "should be at least 1 chars long"),
        (json!({"require": {"hooks": ["file_open", "file_open"]}}), "duplicate"),
        (json!({"require": {"tracingPolicies": {"matchLabels": {"no blanks": "x"}}}}), LABEL_KEY),
        (
            json!({"require": {"tracingPolicies": {"matchExpressions": [{"key": "a",
                "operator": "In"}]}}}),
            VALUES,
        ),
        (json!({"require": {"tracingPolicies": "all"}}), "expected map"),
        (json!({"require": {"lsms": ["AppArmor"]}}), "should match"),
        (json!({"require": {"lsms": "apparmor"}}), "expected list"),
    ]
}

fn tetragon() -> Vec<Refused> {
    vec![
        (json!({"tetragon": {"daemonset": {}}}), "field not declared in schema"),
        (
            json!({"tetragon": {"securityfs": {"mount": "Sometimes"}}}),
            r#"supported values: "Never", "Auto", "Always""#,
        ),
        (
            json!({"tetragon": {"securityfs": {"apply": "Force"}}}),
            r#"supported values: "Suggest", "Patch""#,
        ),
        (json!({"tetragon": {"maxConcurrent": 0}}), "should be greater than or equal to 1"),
        (
            json!({"tetragon": {"maxConcurrent": 2_147_483_648_u32}}),
            "should be less than or equal to 2147483647",
        ),
        (json!({"tetragon": {"restartStaleAgents": "yes"}}), "expected boolean"),
        (json!({"tetragon": {"daemonSet": {"name": "Tetragon"}}}), "should match"),
        (json!({"tetragon": {"daemonSet": {"namespace": ""}}}), "should be at least 1 chars long"),
        (
            json!({"tetragon": {"agents": {"ask": "Nicely"}}}),
            r#"supported values: "Never", "Auto", "Grpc", "Metrics""#,
        ),
        (json!({"tetragon": {"agents": {"port": 0}}}), "should be greater than or equal to 1"),
        (
            json!({"tetragon": {"agents": {"metricsPort": 65536}}}),
            "should be less than or equal to 65535",
        ),
        (
            json!({"tetragon": {"agents": {"ask": "Metrics", "port": 1}}}),
            "remove it, or use metricsPort",
        ),
        (
            json!({"tetragon": {"agents": {"ask": "Grpc", "metricsPort": 1}}}),
            "remove it, or use ask: Auto",
        ),
    ]
}

fn node_selectors() -> Vec<Refused> {
    let expression =
        |expression: Value| json!({"nodeSelector": {"matchExpressions": [expression]}});
    let labels = |labels: Value| json!({"nodeSelector": {"matchLabels": labels}});
    vec![
        (
            expression(json!({"key": "zone", "operator": "Contains", "values": ["a"]})),
            "supported values",
        ),
        (expression(json!({"key": "zone", "operator": "In"})), VALUES),
        (expression(json!({"key": "zone", "operator": "NotIn", "values": []})), VALUES),
        (expression(json!({"key": "zone", "operator": "Exists", "values": ["a"]})), VALUES),
        (expression(json!({"key": "a/b/c", "operator": "Exists"})), LABEL_KEY),
        (expression(json!({"key": "-zone", "operator": "Exists"})), LABEL_KEY),
        (expression(json!({"operator": "Exists"})), "Required value"),
        (labels(json!({"no blanks": "x"})), LABEL_KEY),
        (labels(json!({"": "x"})), LABEL_KEY),
        (labels(json!({"x".repeat(64): "x"})), LABEL_KEY),
        (labels(json!({"zone": "-a"})), "every value must be a label value"),
        (labels(json!({"zone": "a".repeat(64)})), "may not be more than 63"),
    ]
}

fn windows() -> Vec<Refused> {
    let duration = "must be a duration in hours and minutes from 1m to 168h";
    let time_zone = "must be the name of a time zone in the IANA database";
    vec![
        (window(&json!({"start": null})), "Required value"),
        (window(&json!({"start": "24:00"})), "should match"),
        (window(&json!({"start": "9:00"})), "should match"),
        (window(&json!({"duration": "0m"})), duration),
        (window(&json!({"duration": "169h"})), duration),
        (window(&json!({"duration": "4"})), duration),
        (window(&json!({"duration": "1.5h"})), duration),
        (window(&json!({"duration": ""})), duration),
        (window(&json!({"days": ["Monday"]})), r#"supported values: "Mon", "Tue""#),
        (window(&json!({"days": ["Mon", "Mon"]})), "duplicate"),
        (window(&json!({"timeZone": ""})), time_zone),
        (window(&json!({"timeZone": "+01:00"})), time_zone),
        (window(&json!({"timeZone": "Local"})), time_zone),
        (window(&json!({"timeZone": "Mars/Olympus"})), "unknown time zone Mars/Olympus"),
    ]
}

/// A spec with a valid window except for these fields. A null field is left out.
fn window(fields: &Value) -> Value {
    let mut window = json!({"start": "22:00", "duration": "4h"});
    for (field, value) in fields.as_object().unwrap() {
        window[field] = value.clone();
    }
    window.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    json!({"tetragon": {"window": window}})
}

#[tokio::test]
async fn an_invalid_policy_is_refused_with_a_reason() {
    let client = admin().await;
    let mut wrong = Vec::new();
    let refused = [
        min_ready_taints_and_unknown_fields(),
        requirements(),
        tetragon(),
        node_selectors(),
        windows(),
    ];
    for (spec, part) in refused.concat() {
        let answer = apply_policy(&client, "bad", &spec).await;
        if answer.is_ok() || !answer.message.to_lowercase().contains(&part.to_lowercase()) {
            wrong.push(format!(
                "{spec}\n  wanted: {part}\n  got:    {} {}",
                answer.code, answer.message
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
