//! Objects that were once accepted and harmed others. Each is refused now, or read with its
//! meaning.

use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::selection::Selection;
use lsm_ready_crds::{LsmNode, LsmPolicy, fixture};
use serde_json::{Value, json};

use super::admin;
use crate::server::{Answer, call, done};

const API: &str = "/apis/lsmready.io/v1alpha1";

async fn create(kind: &str, plural: &str, name: &str, spec: &Value) -> Answer {
    let object = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": kind,
        "metadata": {"name": name}, "spec": spec});
    call(&admin().await, "POST", &format!("{API}/{plural}?dryRun=All"), &object).await
}

/// A name with a newline in it once gave a false profile the digest of a true one.
#[tokio::test]
async fn a_profile_that_is_not_in_its_canonical_form_is_refused() {
    let honest = json!({"kernel": "6.12.1 x86_64", "hooks": ["bprm_check_security", "file_open"],
        "sleepableHooks": ["file_open"], "refusedHooks": ["getprocattr"]});
    let digest =
        |spec: &Value| serde_json::from_value::<LsmHookProfileSpec>(spec.clone()).unwrap().digest();
    let name = digest(&honest);
    let answer = create("LsmHookProfile", "lsmhookprofiles", &name, &honest).await;
    assert!(answer.is_ok(), "{}", answer.message);
    let hooks = |number: usize| {
        Value::from((0..number).map(|number| format!("hook_{number:04}")).collect::<Vec<_>>())
    };
    let hook = |hook: &str| json!({"hooks": [hook], "sleepableHooks": []});
    for (what, changed, part) in [
        ("a newline", hook("bprm_check_security\nhook file_open"), "should match"),
        ("no hook", hook(""), "should match"),
        ("65 letters", hook(&"h".repeat(65)), "may not be more than 64"),
        ("upper case", hook("File_open"), "should match"),
        ("a newline in the kernel", json!({"kernel": "6.12\nhook file_open"}), "should match"),
        ("a command in the kernel", json!({"kernel": "6.12; curl x | sh"}), "should match"),
        ("no kernel", json!({"kernel": ""}), "should match"),
        ("not sorted", json!({"hooks": ["file_open", "bprm_check_security"]}), "must be sorted"),
        ("twice", json!({"hooks": ["file_open", "file_open"]}), "Duplicate value"),
        ("sleepable only", json!({"sleepableHooks": ["file_lock"]}), "must be one of hooks"),
        ("in both", json!({"refusedHooks": ["file_open"]}), "in both hooks and refusedHooks"),
        ("481 hooks", json!({"hooks": hooks(481), "sleepableHooks": []}), "at most 480 items"),
        (
            "481 in two lists",
            json!({"hooks": hooks(480), "sleepableHooks": []}),
            "cannot have more than 480 hooks",
        ),
    ] {
        let mut spec = honest.clone();
        spec.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
        for name in [name.clone(), digest(&spec)] {
            let answer = create("LsmHookProfile", "lsmhookprofiles", &name, &spec).await;
            assert!(!answer.is_ok() && answer.message.contains(part), "{what}: {}", answer.message);
        }
    }
    // The largest profile that the schema takes.
    let largest = json!({"kernel": "k", "hooks": hooks(480), "sleepableHooks": hooks(480)});
    let answer = create("LsmHookProfile", "lsmhookprofiles", &digest(&largest), &largest).await;
    assert!(answer.is_ok(), "{}", answer.message);
}

/// The operator skipped policies with these specs, so that nothing that happened to them had an
/// effect.
#[tokio::test]
async fn specs_that_were_once_skipped_are_refused_or_read() {
    let tetragon = |fields: Value| json!({ "tetragon": fields });
    let specs = [
        json!({"minReady": 2_147_483_648_u32}),
        json!({"minReady": 4_294_967_296_u64}),
        json!({"minReady": 1.0}),
        json!({"minReady": 1e3}),
        json!({"minReady": 1e300}),
        json!({"minReady": u64::MAX}),
        json!({"nodeSelector": {"matchLabels": {"a": null}}}),
        json!({"nodeSelector": {"matchLabels": null, "matchExpressions": null}}),
        json!({"nodeSelector": {"matchExpressions": [{"key": "a", "operator": "Exists",
            "values": null}]}}),
        json!({"require": {"tracingPolicies": {"matchLabels": {"a": null}}}}),
        json!({"require": {"kernelReads": null, "lsms": null, "evidence": null}}),
        tetragon(json!({"maxConcurrent": 2_147_483_648_u32})),
        tetragon(json!({"maxConcurrent": 1.0})),
        tetragon(json!({"restartStaleAgents": null})),
        tetragon(json!({"daemonSet": null, "securityfs": null, "window": null})),
        tetragon(json!({"daemonSet": {"namespace": null}, "securityfs": {"apply": null}})),
        tetragon(json!({"agents": {"metricsPort": 2112.0}})),
        tetragon(json!({"agents": {"ask": null, "metricsPort": 2112, "tls": null}})),
        tetragon(json!({"agents": {"tls": {"serverName": null}}})),
        tetragon(json!({"window": {"days": null, "start": "22:00", "duration": "4h",
            "timeZone": null}})),
        json!({"taint": {"effect": "NoSchedule", "key": null}}),
    ];
    let client = admin().await;
    let mut accepted = 0;
    for (number, spec) in specs.iter().enumerate() {
        let applied = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy",
            "spec": spec});
        let path = format!("{API}/lsmpolicies/skipped-{number}");
        let created = create("LsmPolicy", "lsmpolicies", "skipped", spec).await;
        for answer in [created, call(&client, "APPLY", &path, &applied).await] {
            if !answer.is_ok() {
                continue;
            }
            accepted += 1;
            let read = serde_json::from_value::<LsmPolicy>(answer.body);
            let policy = read.unwrap_or_else(|error| panic!("{spec}: {error}"));
            Selection::of(&policy.spec).unwrap();
        }
    }
    assert!(accepted >= specs.len(), "{accepted}");
}

/// The operator skipped reports with these times, so that the report before stayed in force.
#[tokio::test]
async fn times_that_were_once_skipped_are_refused_or_read() {
    let client = admin().await;
    let path = format!("{API}/lsmnodes/times");
    let node = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode"});
    done(&client, "APPLY", &path, &node).await;
    let long = format!("2026-01-01T00:00:00.{}Z", "1".repeat(300));
    let huge = format!("2026-01-01T00:00:00.{}Z", "1".repeat(1_000_000));
    for (time, is_taken) in [
        ("2026-01-01T00:00:00Z", true),
        ("2026-01-01T00:00:00.123456789Z", true),
        ("2026-01-01T00:00:00+02:00", true),
        ("9999-12-31T23:59:59Z", false),
        ("2026-01-01T00:00:00ZT", false),
        ("2026-01-01T00:00:00+99:99", false),
        ("2026-02-30T00:00:00Z", false),
        ("", false),
        (&long, false),
        (&huge, false),
    ] {
        let fields = [
            json!({"observedTime": time}),
            json!({"deniedSince": time}),
            json!({"refusedSince": time}),
            json!({"deniedBefore": [{"from": time, "until": "2026-01-01T00:00:00Z"}]}),
            json!({"deniedBefore": [{"until": time}]}),
        ];
        for status in fields {
            let status = json!({ "status": status });
            let answer = call(&client, "MERGE", &format!("{path}/status"), &status).await;
            let what: String = status.to_string().chars().take(200).collect();
            assert_eq!(answer.is_ok(), is_taken, "{what}: {}", answer.message);
            if is_taken {
                serde_json::from_value::<LsmNode>(answer.body).unwrap();
            }
        }
    }
}

/// Texts that flood a log, hide a line or change a terminal.
#[tokio::test]
async fn hostile_texts_of_a_report_are_refused() {
    let client = admin().await;
    let path = format!("{API}/lsmnodes/texts");
    let node = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode"});
    done(&client, "APPLY", &path, &node).await;
    let update = async |status: Value| {
        let answer =
            call(&client, "MERGE", &format!("{path}/status"), &json!({ "status": status })).await;
        answer.is_ok()
    };
    let mut honest = fixture::denied("b00t");
    honest.message = "häuser: `x` … done".to_owned();
    honest.fix = "boot with this:\nlsm=bpf".to_owned();
    assert!(update(json!(honest)).await);
    let hostile = [
        "\u{1b}[2J",
        "a\u{7}",
        "a\r",
        "\u{9b}31m",
        "\u{202e}evil",
        "a\u{200b}b",
        "\u{2066}",
        "\u{feff}",
        "\u{2028}",
        "\u{e0041}",
        "\u{0}",
    ];
    for text in hostile {
        for field in ["bootID", "probeVersion", "reason", "message", "fix", "lockdown"] {
            assert!(!update(json!({field: text})).await, "{field} {text:?}");
        }
        let check = |field: &str| {
            let mut check = json!({"name": "Loaded", "outcome": "Pass"});
            check[field] = json!(text);
            json!({"checks": [check]})
        };
        for field in ["name", "reason", "detail", "fix"] {
            assert!(!update(check(field)).await, "{field} {text:?}");
        }
        assert!(!update(json!({"lsms": {"active": [text]}})).await, "{text:?}");
        assert!(!update(json!({"kernel": {"release": text}})).await, "{text:?}");
    }
    let long_check = json!({"name": "a", "outcome": "Pass", "detail": "x".repeat(2048)});
    for status in [
        json!({"reason": "not a code"}),
        json!({"lsms": {"active": ["x;reboot"]}}),
        json!({"message": "x".repeat(1_400_000)}),
        json!({"checks": vec![long_check; 25]}),
    ] {
        let what: String = status.to_string().chars().take(60).collect();
        assert!(!update(status).await, "{what}");
    }
}
