//! The CRDs: the API server refuses invalid objects with a message that says what to do, and fills
//! in the defaults of valid ones.

mod arbitrary;
mod attacks;
mod refused;

use kube::Client;
use lsm_ready_crds::names::TAINT_KEYS;
use lsm_ready_crds::policy::LsmPolicySpec;
use serde_json::{Value, json};

use crate::server::{Answer, call, config, done, shared};

async fn admin() -> Client {
    shared().await.client().await.unwrap()
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

#[tokio::test]
async fn a_name_too_long_for_a_label_is_refused() {
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
async fn an_omitted_field_gets_its_default() {
    let client = admin().await;
    let answer = apply_policy(&client, "defaults", &json!({})).await;
    assert_eq!(
        answer.body["spec"],
        json!({"minReady": "100%", "require": {"evidence": "Denied", "kernelReads": false,
            "namespacedTracingPolicies": "Ignore"}})
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

/// Our types accept everything that the API server accepts, so the operator can read every policy.
#[tokio::test]
async fn an_accepted_policy_can_be_parsed() {
    let client = admin().await;
    let specs = [
        json!({}),
        json!({"minReady": 0}),
        json!({"minReady": 3}),
        json!({"minReady": null, "taint": null, "tetragon": null, "nodeSelector": null}),
        json!({"nodeSelector": {}}),
        json!({"nodeSelector": {"matchLabels": {"example.com/zone": ""}, "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["b", "c"]},
            {"key": "d", "operator": "DoesNotExist"}]}}),
        json!({"require": {"evidence": "Loaded", "lsms": ["apparmor", "bpf"],
            "hooks": ["file_open"],
            "sleepableHooks": ["bprm_check_security"], "kernelReads": true},
            "taint": {"effect": "NoSchedule"}}),
        json!({"tetragon": {"daemonSet": {"namespace": "security"},
            "securityfs": {"mount": "Always", "apply": "Suggest"}}}),
        json!({"tetragon": {"agents": null}}),
        json!({"tetragon": {"agents": {"ask": "Auto", "port": 1, "metricsPort": 65535}}}),
        json!({"tetragon": {"agents": {"ask": null, "port": null, "metricsPort": null}}}),
        json!({"tetragon": {"agents": {"ask": "Never", "port": 54321}}}),
        json!({"tetragon": {"maxConcurrent": 1, "restartStaleAgents": true, "window": {
            "days": ["Sat", "Sun"], "start": "00:30", "duration": "1h30m",
            "timeZone": "America/Argentina/Buenos_Aires"}}}),
        json!({"tetragon": {"window": {"start": "23:59", "duration": "168h"}}}),
        // Each spec is applied over the one before. A window is removed as a whole, with its
        // default time zone.
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

#[tokio::test]
async fn the_samples_are_accepted() {
    let client = admin().await;
    let folder = config("samples");
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
    let spec = |kernel: &str| {
        json!({"spec": {"kernel": kernel, "hooks": ["file_open"],
        "sleepableHooks": []}})
    };
    let profile = async |name: &str, spec: Value| {
        apply(&client, "LsmHookProfile", "lsmhookprofiles", name, &spec).await
    };
    let digest = "fedcba9876543210".repeat(4);
    for bad in ["kernel", &digest.replace('a', "g"), &digest[1..]] {
        let answer = profile(bad, spec("6.12")).await;
        assert!(
            answer.message.contains("the name must be the SHA-256 of the content"),
            "{bad}: {}",
            answer.message
        );
    }
    assert!(profile(&digest, spec("6.12")).await.is_ok());
    assert!(
        profile(&digest, spec("6.12")).await.is_ok(),
        "applying the same content again is allowed"
    );
    let answer = profile(&digest, spec("6.13")).await;
    assert!(answer.message.contains("a profile cannot change"), "{}", answer.message);
}

#[tokio::test]
async fn a_report_is_status_only_and_of_limited_size() {
    let client = admin().await;
    let path = "/apis/lsmready.io/v1alpha1/lsmnodes/crds-node";
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
            json!({"checks": vec![json!({"name": "a", "outcome": "Pass"}); 33]}),
            Some("must have at most 32 items"),
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
