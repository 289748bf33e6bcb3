//! The CRDs on a real API server: bad input is refused with a message that says what to do, good input gets its
//! defaults.
#![allow(clippy::unwrap_used, reason = "what cannot be prepared fails the test")]

mod real_api;

use e2e::api::ApiServer;
use kube::Client;
use lsm_ready_crds::names::TAINT_KEYS;
use lsm_ready_crds::policy::LsmPolicySpec;
use real_api::{Answer, call, done};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

static SERVER: OnceCell<ApiServer> = OnceCell::const_new();

async fn admin() -> Client {
    let server = SERVER.get_or_init(|| real_api::start("crds_api", "crd")).await;
    server.client().await.unwrap()
}

async fn apply(client: &Client, kind: &str, plural: &str, name: &str, rest: &Value) -> Answer {
    let mut object = rest.clone();
    object["apiVersion"] = json!("lsmready.io/v1alpha1");
    object["kind"] = json!(kind);
    call(client, "APPLY", &format!("/apis/lsmready.io/v1alpha1/{plural}/{name}"), &object).await
}

async fn apply_policy(client: &Client, name: &str, spec: &Value) -> Answer {
    apply(client, "LsmPolicy", "lsmpolicies", name, &json!({"spec": spec})).await
}

/// With a window that is right but for these fields; null takes one away.
fn window(fields: &Value) -> Value {
    let mut window = json!({"start": "22:00", "duration": "4h"});
    for (field, value) in fields.as_object().unwrap() {
        window[field] = value.clone();
    }
    window.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    json!({"tetragon": {"window": window}})
}

/// What is wrong with a policy's spec, and a part of what the API server has to say about it.
fn bad_specs() -> Vec<(Value, &'static str)> {
    let min_ready = r#"must be a number of nodes (0 or more) or a percentage from "0%" to "100%""#;
    let label_key = "must be a label key: an optional DNS prefix and a slash";
    let values = "In and NotIn need at least one value; Exists and DoesNotExist take none";
    let expression =
        |expression: Value| json!({"nodeSelector": {"matchExpressions": [expression]}});
    let labels = |labels: Value| json!({"nodeSelector": {"matchLabels": labels}});
    let duration = "must be a duration in hours and minutes from 1m to 168h";
    let time_zone = "must be the name of a time zone in the IANA database";
    vec![
        (json!({"minReady": "101%"}), min_ready),
        (json!({"minReady": "-5%"}), min_ready),
        (json!({"minReady": "99.5%"}), "may not be more than 4"),
        (json!({"minReady": "all"}), min_ready),
        (json!({"minReady": "5"}), min_ready),
        (json!({"minReady": -1}), min_ready),
        (json!({"minReady": true}), "must be of type"),
        (json!({"nodeSelctor": {}}), "field not declared in schema"),
        (json!({"tetragon": {"daemonset": {}}}), "field not declared in schema"),
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
        (json!({"require": {"tracingPolicies": {"matchLabels": {"no blanks": "x"}}}}), label_key),
        (
            json!({"require": {"tracingPolicies": {"matchExpressions": [{"key": "a", "operator": "In"}]}}}),
            values,
        ),
        (json!({"require": {"tracingPolicies": "all"}}), "expected map"),
        (json!({"require": {"lsms": ["AppArmor"]}}), "should match"),
        (json!({"require": {"lsms": "apparmor"}}), "expected list"),
        (json!({"taint": {}}), "Required value"),
        (
            json!({"taint": {"effect": "NoExecute"}}),
            r#"supported values: "PreferNoSchedule", "NoSchedule""#,
        ),
        (
            json!({"taint": {"effect": "NoSchedule", "key": "example.com/not-ready"}}),
            r#"supported values: "lsmready.io/not-ready", "readiness.k8s.io/lsmready.io-not-ready""#,
        ),
        (
            json!({"tetragon": {"securityfs": {"mount": "Sometimes"}}}),
            r#"supported values: "Never", "Auto", "Always""#,
        ),
        (
            json!({"tetragon": {"securityfs": {"apply": "Force"}}}),
            r#"supported values: "Suggest", "Patch""#,
        ),
        (json!({"tetragon": {"maxConcurrent": 0}}), "should be greater than or equal to 1"),
        (json!({"tetragon": {"restartStaleAgents": "yes"}}), "expected boolean"),
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
        (
            expression(json!({"key": "zone", "operator": "Contains", "values": ["a"]})),
            "supported values",
        ),
        (expression(json!({"key": "zone", "operator": "In"})), values),
        (expression(json!({"key": "zone", "operator": "NotIn", "values": []})), values),
        (expression(json!({"key": "zone", "operator": "Exists", "values": ["a"]})), values),
        (expression(json!({"key": "a/b/c", "operator": "Exists"})), label_key),
        (expression(json!({"key": "-zone", "operator": "Exists"})), label_key),
        (expression(json!({"operator": "Exists"})), "Required value"),
        (labels(json!({"no blanks": "x"})), label_key),
        (labels(json!({"": "x"})), label_key),
        (labels(json!({"x".repeat(64): "x"})), label_key),
        (labels(json!({"zone": "-a"})), "every value must be a label value"),
        (labels(json!({"zone": "a".repeat(64)})), "may not be more than 63"),
    ]
}

#[tokio::test]
async fn bad_policies_are_refused_with_a_reason() {
    let client = admin().await;
    let mut wrong = Vec::new();
    for (spec, part) in bad_specs() {
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

#[tokio::test]
async fn a_name_that_fits_no_label_is_refused() {
    let client = admin().await;
    assert!(apply_policy(&client, &"a".repeat(56), &json!({})).await.is_ok());
    let answer = apply_policy(&client, &"a".repeat(57), &json!({})).await;
    assert!(
        answer.message.contains("the name becomes part of a node label (policy.<name>)"),
        "{}",
        answer.message
    );
}

#[tokio::test]
async fn a_policy_without_a_spec_is_refused() {
    let answer = apply(&admin().await, "LsmPolicy", "lsmpolicies", "bare", &json!({})).await;
    assert!(answer.message.contains("spec: Required value"), "{}", answer.message);
}

#[tokio::test]
async fn what_is_left_out_gets_its_default() {
    let client = admin().await;
    let answer = apply_policy(&client, "defaults", &json!({})).await;
    assert_eq!(
        answer.body["spec"],
        json!({"minReady": "100%", "require": {"evidence": "Denied", "kernelReads": false}})
    );
    let answer = apply_policy(&client, "with-tetragon", &json!({"tetragon": {}})).await;
    assert_eq!(
        answer.body["spec"]["tetragon"],
        json!({
            "daemonSet": {"namespace": "kube-system", "name": "tetragon", "container": "tetragon"},
            "securityfs": {"mount": "Auto", "apply": "Patch"},
            "restartStaleAgents": false,
        })
    );
    let answer =
        apply_policy(&client, "partly", &json!({"tetragon": {"daemonSet": {"name": "agent"}}}))
            .await;
    assert_eq!(answer.body["spec"]["tetragon"]["daemonSet"]["container"], "tetragon");
    let answer = apply_policy(&client, "asking", &json!({"tetragon": {"agents": {}}})).await;
    assert_eq!(
        answer.body["spec"]["tetragon"]["agents"],
        json!({"ask": "Auto"}),
        "{}",
        answer.message
    );
    let answer = apply_policy(
        &client,
        "null",
        &json!({"minReady": null, "taint": null, "nodeSelector": null}),
    )
    .await;
    assert_eq!(answer.body["spec"]["minReady"], "100%", "{}", answer.message);
}

#[tokio::test]
async fn each_taint_key_is_accepted_and_the_default_is_our_own() {
    let client = admin().await;
    for key in TAINT_KEYS {
        let spec = json!({"taint": {"effect": "NoSchedule", "key": key}});
        let answer = apply_policy(&client, "taint-key", &spec).await;
        assert_eq!(answer.body["spec"]["taint"]["key"], key, "{}", answer.message);
    }
    for taint in [json!({"effect": "NoSchedule"}), json!({"effect": "NoSchedule", "key": null})] {
        let answer = apply_policy(&client, "taint-default", &json!({"taint": taint})).await;
        let key = &answer.body["spec"]["taint"]["key"];
        assert_eq!(key, "lsmready.io/not-ready", "{}", answer.message);
    }
}

/// Whatever the API server takes, our types take too: the operator never meets a policy that it cannot read.
#[tokio::test]
async fn what_is_accepted_can_be_read() {
    let client = admin().await;
    let specs = [
        json!({}),
        json!({"minReady": 0}),
        json!({"minReady": 3}),
        json!({"minReady": null, "taint": null, "tetragon": null, "nodeSelector": null}),
        json!({"nodeSelector": {}}),
        json!({"nodeSelector": {"matchLabels": {"example.com/zone": ""}, "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["b", "c"]}, {"key": "d", "operator": "DoesNotExist"}]}}),
        json!({"require": {"evidence": "Loaded", "lsms": ["apparmor", "bpf"], "hooks": ["file_open"],
            "sleepableHooks": ["bprm_check_security"], "kernelReads": true}, "taint": {"effect": "NoSchedule"}}),
        json!({"tetragon": {"daemonSet": {"namespace": "security"},
            "securityfs": {"mount": "Always", "apply": "Suggest"}}}),
        json!({"tetragon": {"agents": null}}),
        json!({"tetragon": {"agents": {"ask": "Auto", "port": 1, "metricsPort": 65535}}}),
        json!({"tetragon": {"agents": {"ask": null, "port": null, "metricsPort": null}}}),
        json!({"tetragon": {"agents": {"ask": "Never", "port": 54321}}}),
        json!({"tetragon": {"maxConcurrent": 1, "restartStaleAgents": true, "window": {
            "days": ["Sat", "Sun"], "start": "00:30", "duration": "1h30m", "timeZone": "America/Argentina/Buenos_Aires"}}}),
        json!({"tetragon": {"window": {"start": "23:59", "duration": "168h"}}}),
        // Each spec is applied over the one before: a window goes as a whole, its default time zone with it.
        json!({"tetragon": {}}),
        json!({"tetragon": {"window": {"start": "00:00", "duration": "1m"}}}),
        json!({"tetragon": {"window": null, "maxConcurrent": null}}),
    ];
    for spec in specs {
        let answer = apply_policy(&client, "good", &spec).await;
        assert!(answer.is_ok(), "{spec}: {}", answer.message);
        let spec: LsmPolicySpec = serde_json::from_value(answer.body["spec"].clone()).unwrap();
        if let Some(window) = spec.tetragon.and_then(|tetragon| tetragon.window) {
            window.schedule().unwrap();
        }
    }
}

/// The samples are as strict as a user's own objects would be.
#[tokio::test]
async fn the_samples_are_accepted() {
    let client = admin().await;
    let folder = real_api::config("samples");
    let mut policies = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for object in serde_saphyr::from_multiple::<Value>(&text).unwrap() {
            if object["kind"] == "LsmPolicy" {
                let name = object["metadata"]["name"].as_str().unwrap();
                let answer = apply_policy(&client, name, &object["spec"]).await;
                assert!(answer.is_ok(), "{name}: {}", answer.message);
                policies += 1;
            }
        }
    }
    assert!(policies >= 4, "{policies} samples");
}

#[tokio::test]
async fn a_hook_profile_is_named_by_a_digest_and_never_changes() {
    let client = admin().await;
    let spec = |kernel: &str| json!({"spec": {"kernel": kernel, "hooks": ["file_open"], "sleepableHooks": []}});
    let profile = async |name: &str, spec: Value| {
        apply(&client, "LsmHookProfile", "lsmhookprofiles", name, &spec).await
    };
    let digest = "0123456789abcdef".repeat(4);
    for bad in ["kernel", &digest.replace('a', "g"), &digest[1..]] {
        let answer = profile(bad, spec("6.12")).await;
        assert!(
            answer.message.contains("the name must be the SHA-256 of the content"),
            "{bad}: {}",
            answer.message
        );
    }
    assert!(profile(&digest, spec("6.12")).await.is_ok());
    assert!(profile(&digest, spec("6.12")).await.is_ok(), "the same again is no change");
    let answer = profile(&digest, spec("6.13")).await;
    assert!(answer.message.contains("a profile cannot change"), "{}", answer.message);
}

#[tokio::test]
async fn a_report_is_status_only_and_bounded() {
    let client = admin().await;
    let path = "/apis/lsmready.io/v1alpha1/lsmnodes/node-a";
    let node = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode"});
    let mut with_status = node.clone();
    with_status["status"] = json!({"evidence": "Denied"});
    let created = done(&client, "APPLY", path, &with_status).await;
    assert_ne!(
        created["status"]["evidence"], "Denied",
        "a status is written through the subresource only"
    );
    let cases = [
        (json!({"evidence": "Denied", "bootID": "1"}), None),
        (json!({"evidence": "Proved"}), Some("supported values")),
        (json!({"message": "x".repeat(4097)}), Some("may not be more than 4096")),
        (
            json!({"checks": vec![json!({"name": "a", "outcome": "Pass"}); 65]}),
            Some("must have at most 64 items"),
        ),
        (json!({"checks": [{"name": "a", "outcome": "Maybe"}]}), Some("supported values")),
    ];
    for (status, refused) in cases {
        let answer =
            call(&client, "MERGE", &format!("{path}/status"), &json!({"status": status})).await;
        match refused {
            None => assert!(answer.is_ok(), "{}", answer.message),
            Some(part) => {
                assert!(!answer.is_ok() && answer.message.contains(part), "{}", answer.message);
            }
        }
    }
}
