//! The samples of config/integrations use our own names, commands that our programs take, and
//! fields that the others have. `operator/tests/api/integrations.rs` applies those that a CRD can
//! be had for.
#![allow(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use lsm_ready_crds::names::{BPF_LABEL, NODE_CONDITION, POLICY_LABEL_PREFIX, TAINT_KEYS};
use node_probe::cli::Cli;
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn folder() -> PathBuf {
    root().join("config/integrations")
}

/// The documents of a YAML file.
fn documents(file: &Path) -> Vec<Value> {
    serde_saphyr::from_multiple(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn sample(file: &str) -> Value {
    documents(&folder().join(file)).remove(0)
}

/// All YAML files.
fn all() -> Vec<PathBuf> {
    let folders = std::fs::read_dir(folder()).unwrap();
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
    let files = files.map(|file| file.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|found| found == "yaml")).collect()
}

/// Every text of a document: keys and values.
fn texts(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => drop(found.insert(text.clone())),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => {
            for (key, value) in fields {
                found.insert(key.clone());
                texts(value, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[test]
fn every_name_of_ours_in_a_sample_exists() {
    let known = |text: &str| {
        TAINT_KEYS.contains(&text)
            || [BPF_LABEL, NODE_CONDITION, "lsmready.io/v1alpha1"].contains(&text)
            || text.starts_with(POLICY_LABEL_PREFIX)
    };
    let mut checked = 0;
    for file in all() {
        let mut found = BTreeSet::new();
        for document in &documents(&file) {
            texts(document, &mut found);
        }
        // Expressions of policies are not names; the API tier runs them.
        let names = found.iter().filter(|text| !text.contains(' ') && text.contains("lsmready"));
        for name in names {
            checked += 1;
            assert!(known(name), "{}: there is no {name}", file.display());
        }
    }
    assert!(checked >= 6, "only {checked} names were found: is the search broken?");
}

#[test]
fn each_folder_is_explained() {
    let page = std::fs::read_to_string(root().join("docs/gates.md")).unwrap();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(page.contains(&format!("integrations/{name}")), "docs/gates.md lacks {name}");
    }
}

/// node-readiness-controller: the fields of `NodeReadinessRule`, readiness.node.x-k8s.io/v1alpha1.
/// Its rules want a key that begins with `readiness.k8s.io/`; ours are for our operator.
#[test]
fn the_node_readiness_rule_has_its_fields_and_a_key_of_its_own() {
    let rule = sample("node-readiness-controller/rule.yaml");
    let fields: Vec<&String> = rule["spec"].as_object().unwrap().keys().collect();
    let known =
        ["conditions", "enforcementMode", "taint", "nodeSelector", "conditionPolicy", "dryRun"];
    assert!(fields.iter().all(|field| known.contains(&field.as_str())), "{fields:?}");
    let condition = &rule["spec"]["conditions"][0];
    let expected =
        json!({"type": NODE_CONDITION, "requiredStatus": "True", "defaultStatus": "Unknown"});
    assert_eq!(condition, &expected);
    let key = rule["spec"]["taint"]["key"].as_str().unwrap();
    assert!(key.starts_with("readiness.k8s.io/") && !TAINT_KEYS.contains(&key), "{key}");
}

/// node-problem-detector: `CustomPluginConfig` and `CustomRule`.
#[test]
fn the_plugin_of_node_problem_detector_has_its_fields_and_a_command_of_ours() {
    let map = sample("node-problem-detector/config-map.yaml");
    let text = map["data"]["lsm-bpf-monitor.json"].as_str().unwrap();
    let config: Value = serde_json::from_str(text).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let mut known =
        ["plugin", "pluginConfig", "source", "metricsReporting", "conditions", "rules"].to_vec();
    known.sort_unstable();
    assert_eq!(keys(&config), known);
    let known = [
        "invoke_interval",
        "timeout",
        "max_output_length",
        "concurrency",
        "enable_message_change_based_condition_update",
        "skip_initial_status",
    ];
    let global = &config["pluginConfig"];
    assert!(keys(global).iter().all(|key| known.contains(&key.as_str())), "{global}");
    assert_eq!(global["max_output_length"], node_probe::report::npd::MAX_BYTES);
    let rule = &config["rules"][0];
    let known = ["type", "condition", "reason", "path", "args", "timeout", "invoke_interval"];
    assert!(keys(rule).iter().all(|key| known.contains(&key.as_str())), "{rule}");
    assert_eq!(rule["condition"], config["conditions"][0]["type"]);
    assert_takes(&rule["args"]);
    // The patch mounts what the rule and the argument in its comment name.
    let patch = sample("node-problem-detector/daemonset-patch.yaml");
    let mounts = &patch["spec"]["template"]["spec"]["containers"][0]["volumeMounts"];
    assert!(rule["path"].as_str().unwrap().starts_with(mounts[0]["mountPath"].as_str().unwrap()));
}

/// The init container needs what the probe's own container has.
#[test]
fn the_init_container_has_the_rights_of_the_probe_and_a_command_of_ours() {
    let gate = sample("init-container/daemonset.yaml");
    let gate = &gate["spec"]["template"]["spec"]["initContainers"][0];
    assert_takes(&gate["args"]);
    let probe = documents(&root().join("config/probe/daemonset.yaml")).remove(0);
    let pod = &probe["spec"]["template"]["spec"];
    let probe = &pod["containers"][0]["securityContext"];
    for field in ["capabilities", "allowPrivilegeEscalation", "readOnlyRootFilesystem"] {
        assert_eq!(gate["securityContext"][field], probe[field], "{field}");
    }
    for field in ["runAsUser", "seccompProfile", "appArmorProfile", "seLinuxOptions"] {
        assert_eq!(gate["securityContext"][field], pod["securityContext"][field], "{field}");
    }
}

/// Karpenter and the kubelet start nodes with the taint that the policy removes.
#[test]
fn a_startup_taint_is_that_of_the_policy_beside_it() {
    let karpenter = documents(&folder().join("karpenter/nodepool.yaml"));
    let startup = &karpenter[0]["spec"]["template"]["spec"]["startupTaints"][0];
    assert_eq!(startup, &karpenter[1]["spec"]["taint"]);
    let labels = &karpenter[0]["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels, &karpenter[1]["spec"]["nodeSelector"]["matchLabels"]);
    let kubelet = sample("cluster-autoscaler/kubelet.yaml");
    let policy = sample("cluster-autoscaler/policy.yaml");
    assert_eq!(kubelet["registerWithTaints"][0], policy["spec"]["taint"]);
}

/// Checks that `node-probe` takes the arguments.
fn assert_takes(arguments: &Value) {
    let arguments = arguments.as_array().unwrap().iter().map(|one| one.as_str().unwrap());
    let parsed = Cli::try_parse_from(std::iter::once("node-probe").chain(arguments));
    assert!(parsed.is_ok(), "{parsed:?}");
}
