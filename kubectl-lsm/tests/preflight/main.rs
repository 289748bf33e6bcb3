//! `kubectl lsm-ready preflight` as people run it: what it prints, and its exit codes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what cannot be prepared fails the test")]

use std::io::Write;
use std::process::{Command, Stdio};

use lsm_ready_crds::fixture;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::{LsmHookProfile, State};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Exit code, standard output and standard error of `kubectl lsm-ready preflight ARGS`, without a
/// cluster.
fn run(args: &[&str], input: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-lsm_ready"));
    command.arg("preflight").args(args).env("PATH", "/nowhere").env("KUBECONFIG", "/nowhere");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // With invalid arguments, the command ends without reading its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn policy(name: &str, hooks: &[&str]) -> Value {
    let denies = json!([{"matchActions": [{"action": "Sigkill"}]}]);
    let hooks: Vec<Value> =
        hooks.iter().map(|hook| json!({"hook": hook, "selectors": denies})).collect();
    json!({
        "apiVersion": "cilium.io/v1alpha1", "kind": "TracingPolicy",
        "metadata": {"name": name}, "spec": {"lsmhooks": hooks},
    })
}

fn profile() -> LsmHookProfile {
    let spec = json!({
        "kernel": "6.12 x86_64",
        "hooks": ["file_open", "file_lock", "task_alloc"],
        "sleepableHooks": ["file_open"],
        "refusedHooks": ["getprocattr"],
    });
    let spec: LsmHookProfileSpec = serde_json::from_value(spec).unwrap();
    LsmHookProfile::new(&spec.digest(), spec)
}

fn lsm_node(name: &str, evidence: &str, profile: Option<&str>) -> Value {
    let reason = if evidence == "Denied" { "CanaryDenied" } else { "R" };
    let mut status = fixture::report("1", fixture::evidence(evidence), reason);
    "because".clone_into(&mut status.message);
    status.hook_profile = profile.map(str::to_owned);
    status.checks.push(fixture::kernel_reads(State::Ready));
    json!({
        "apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode", "metadata": {"name": name},
        "status": status,
    })
}

fn node(name: &str, boot: &str, zone: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"zone": zone}},
        "status": {"nodeInfo": {
            "bootID": boot, "architecture": "", "containerRuntimeVersion": "",
            "kernelVersion": "", "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "",
            "operatingSystem": "", "osImage": "", "systemUUID": "",
        }},
    })
}

/// The nodes `a` and `b` with the profile, and further objects.
fn nodes(more: &[Value]) -> String {
    let profile = profile();
    let digest = profile.metadata.name.clone();
    let mut items = vec![serde_json::to_value(&profile).unwrap()];
    items.extend(["b", "a"].map(|name| lsm_node(name, "Denied", digest.as_deref())));
    items.extend(more.iter().cloned());
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// The exit code and the answer for these policies on the nodes of that text.
fn judged(policies: &[Value], nodes: &str) -> (i32, Value) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nodes.yaml");
    std::fs::write(&file, nodes).unwrap();
    let input: String = policies
        .iter()
        .flat_map(|policy| ["---\n".to_owned(), policy.to_string(), "\n".to_owned()])
        .collect();
    let args = ["-", "-o", "json", "--tetragon-version", "main", "--nodes", file.to_str().unwrap()];
    let (code, stdout, stderr) = run(&args, &input);
    assert_eq!(stderr, "");
    let answer: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(answer["schema"], "lsmready.io/preflight/v3");
    (code, answer)
}

#[test]
fn each_result_has_its_exit_code() {
    let cases = [
        (vec![policy("p", &["file_open"])], nodes(&[]), 0, "Denies"),
        (vec![policy("p", &[])], nodes(&[]), 0, "NoLsmHooks"),
        (
            vec![policy("p", &["file_open"]), policy("q", &["file_opn"])],
            nodes(&[]),
            1,
            "NotLoadable",
        ),
        (vec![policy("p", &["getprocattr"])], nodes(&[]), 1, "NotLoadable"),
        (
            vec![policy("p", &["file_open"])],
            nodes(&[lsm_node("c", "Attached", None)]),
            1,
            "NotLoadable",
        ),
        (vec![policy("p", &["file_open"])], nodes(&[lsm_node("c", "Denied", None)]), 2, "Unknown"),
        (
            vec![policy("p", &["file_open"])],
            nodes(&[lsm_node("c", "Denied", Some(&"0".repeat(64)))]),
            2,
            "Unknown",
        ),
        (vec![policy("p", &["file_open"])], String::new(), 2, "Unknown"),
        (vec![policy("p", &[])], String::new(), 0, "NoLsmHooks"),
    ];
    for (policies, nodes, code, result) in cases {
        let (found, answer) = judged(&policies, &nodes);
        assert_eq!((found, answer["result"].as_str().unwrap()), (code, result), "{answer}");
    }
}

#[test]
fn a_hook_is_reported_with_nodes_reason_and_fix() {
    let mut ima = policy("hash", &["file_lock"]);
    ima["spec"]["lsmhooks"][0]["selectors"] =
        json!([{"matchActions": [{"action": "Post", "imaHash": true}]}]);
    let (_, answer) = judged(&[policy("typo", &["file_opn"]), ima], &nodes(&[]));
    let others = &answer["policies"][0]["hooks"][0]["others"][0];
    assert_eq!(
        (&others["reason"], &others["nodes"], &others["sample"]),
        (&json!("HookNotInKernel"), &json!(2), &json!(["a", "b"]))
    );
    assert!(others["message"].as_str().unwrap().contains("did you mean file_open?"), "{others}");
    assert!(others["fix"].as_str().unwrap().starts_with("correct the hook's name"), "{others}");
    let hash = &answer["policies"][1]["hooks"][0];
    assert_eq!(
        (&hash["sleepable"], &hash["others"][0]["reason"]),
        (&json!(true), &json!("HookNotSleepable"))
    );
    assert_eq!(hash["field"], "spec.lsmhooks[0].selectors[0].matchActions[0].imaHash");
}

#[test]
fn nodes_supply_the_current_boot_and_the_labels() {
    let known = nodes(&[node("a", "1", "left"), node("b", "2", "right")]);
    let (code, answer) = judged(&[policy("p", &["file_open"])], &known);
    assert_eq!(
        (code, &answer["policies"][0]["loadable"], answer["notes"].as_array().unwrap().len()),
        (2, &json!(1), 1)
    );
    assert_eq!(answer["policies"][0]["hooks"][0]["others"][0]["reason"], "ReportFromEarlierBoot");
    let mut left = policy("p", &["file_open"]);
    left["spec"]["nodeSelector"] = json!({"matchLabels": {"zone": "left"}});
    let (code, answer) = judged(&[left], &known);
    assert_eq!((code, &answer["policies"][0]["nodes"]), (0, &json!(1)));
    let (_, answer) = judged(&[policy("p", &["file_open"])], &nodes(&[]));
    assert!(answer["notes"][0].as_str().unwrap().starts_with("no Nodes are known"), "{answer}");
}

#[test]
fn invalid_input_is_wrong_use_and_reported_with_its_place() {
    let mut nameless = policy("", &["file_open"]);
    nameless["metadata"] = json!({});
    let (code, stdout, stderr) = run(&["-"], &nameless.to_string());
    assert_eq!((code, stdout.as_str()), (64, ""), "{stderr}");
    assert!(stderr.contains("-:1: TracingPolicy : metadata.name: is missing"), "{stderr}");
    let (code, _, stderr) = run(&["-"], "kind: Pod");
    assert_eq!(code, 64);
    assert!(stderr.contains("-: found no TracingPolicy"), "{stderr}");
    let (code, _, stderr) = run(&["-", "--nodes", "-"], "");
    assert_eq!(code, 64);
    assert!(stderr.contains("cannot both come from standard input"), "{stderr}");
    assert_eq!(run(&[], "").0, 64);
}

#[test]
fn the_text_form_names_policies_hooks_nodes_and_fixes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nodes.json");
    std::fs::write(&file, nodes(&[lsm_node("c", "Attached", None)])).unwrap();
    let input = policy("typo", &["file_opn"]).to_string();
    let (code, text, _) = run(&["-", "--nodes", file.to_str().unwrap()], &input);
    assert_eq!(code, 1);
    for part in [
        "NO      TracingPolicy typo loads on 0 of 3 nodes  (-:1)\n",
        "    file_opn: 0 of 3\n",
        "      - 2 HookNotInKernel (a, b): kernel 6.12 x86_64: file_opn is not a hook of this \
         kernel; did you mean file_open?\n",
        "        Fix: correct the hook's name in the policy, or use a kernel that has it\n",
        "      - 1 R (c): the probe gives a reason that this version of lsm-ready does not know; \
         read the node's LsmNode\n",
        "Policies: 1. 0 deny, 0 deny nothing, 1 do not load, 0 cannot be judged, 0 have no LSM \
         hooks. Nodes: 3.",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn a_policy_that_tetragon_refuses_needs_no_cluster() {
    let mut refused = policy("p", &["file_open"]);
    refused["spec"]["kprobes"] = json!([{"call": "a"}]);
    let (code, stdout, stderr) = run(&["-"], &refused.to_string());
    assert_eq!(code, 1, "Tetragon refuses it on any cluster: {stderr}");
    assert!(stdout.contains("has kprobes and lsmhooks"), "{stdout}");
}

#[test]
fn without_a_cluster_a_good_policy_cannot_be_judged_and_one_line_says_why() {
    let input = policy("p", &["file_open"]).to_string();
    let (code, stdout, stderr) = run(&["-"], &input);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("no kubeconfig") && stderr.contains("--nodes FILE"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stdout.contains("1 cannot be judged"), "{stdout}");
    let (code, stdout, _) = run(&["-", "--ask-server", "-o", "json"], &input);
    let answer: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &answer["policies"][0]["server"]["result"]), (2, &json!("NotAsked")));
}

#[test]
fn each_kind_of_wrong_use_is_64() {
    let input = policy("p", &["file_open"]).to_string();
    let folder = tempfile::tempdir().unwrap();
    let invalid = folder.path().join("nodes.yaml");
    std::fs::write(&invalid, "apiVersion: v1\nkind: Node\nmetadata: 7\n").unwrap();
    let invalid = invalid.to_str().unwrap();
    for (args, wanted) in [
        (&["/nowhere/p.yaml"][..], "cannot read /nowhere/p.yaml"),
        (&["-", "--nodes", "/nowhere/nodes.yaml"], "cannot read /nowhere/nodes.yaml"),
        (&["-", "--nodes", invalid], "nodes.yaml:1: document 1 is an invalid Node"),
        (
            &["-", "--tetragon-version", "newest"],
            "invalid value \"newest\" of --tetragon-version: write a release, for example v1.7.0",
        ),
        (&["-", "--unknown"], "unexpected argument"),
    ] {
        let (code, stdout, stderr) = run(args, &input);
        assert_eq!((code, stdout.as_str()), (64, ""), "{args:?} {stderr}");
        assert!(stderr.contains(wanted), "{args:?} {stderr}");
    }
}

/// The exit code and the answer for one policy with these arguments, on nodes that accept
/// file_open.
fn with(policy: &Value, args: &[&str]) -> (i32, Value) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nodes.yaml");
    std::fs::write(&file, nodes(&[])).unwrap();
    let args: Vec<&str> = ["-", "-o", "json", "--nodes", file.to_str().unwrap()]
        .iter()
        .chain(args)
        .copied()
        .collect();
    let (code, stdout, stderr) = run(&args, &policy.to_string());
    (code, serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stderr}")))
}

#[test]
fn each_verdict_has_its_exit_code() {
    let mut posts = policy("p", &["file_open"]);
    posts["spec"]["lsmhooks"][0]["selectors"] = json!([{"matchActions": [{"action": "Post"}]}]);
    let mut misspelt = policy("p", &["file_open"]);
    misspelt["spec"]["lsmHooks"] = json!([]);
    let mut macros = policy("p", &["file_open"]);
    macros["spec"]["selectorsMacros"] = json!({});
    let mut monitors = policy("p", &["file_open"]);
    monitors["spec"]["options"] = json!([{"name": "policy-mode", "value": "monitor"}]);
    let (require, old, new) =
        ("--require-deny", "--tetragon-version=v1.3.0", "--tetragon-version=v1.7.0");
    let cases: [(&Value, &[&str], i32, &str); 11] = [
        (&policy("p", &["file_open"]), &[require], 0, "Denies"),
        (&posts, &[], 0, "DeniesNothing"),
        (&posts, &[require], 1, "DeniesNothing"),
        (&monitors, &[new], 0, "DeniesNothing"),
        (&monitors, &[new, require], 1, "DeniesNothing"),
        (&monitors, &[old, require], 0, "Denies"),
        (&misspelt, &[], 1, "NotLoadable"),
        (&macros, &[new], 0, "Denies"),
        (&macros, &[old], 1, "NotLoadable"),
        (&macros, &[], 2, "Unknown"),
        (&policy("p", &["file_open"]), &["--tetragon-version=v1.1.0"], 1, "NotLoadable"),
    ];
    for (policy, args, code, result) in cases {
        let (found, answer) = with(policy, args);
        assert_eq!(
            (found, answer["result"].as_str().unwrap()),
            (code, result),
            "{args:?} {answer}"
        );
    }
    let (_, answer) = with(&misspelt, &[]);
    let diagnostic = &answer["policies"][0]["diagnostics"][0];
    assert_eq!(
        (&diagnostic["severity"], &diagnostic["field"]),
        (&json!("Refused"), &json!("spec.lsmHooks"))
    );
    assert!(
        diagnostic["rule"].as_str().unwrap().contains("did you mean lsmhooks?"),
        "{diagnostic}"
    );
}

#[test]
fn a_similar_kind_beside_a_policy_is_a_note_with_a_suggestion() {
    let mut other = policy("lost", &["file_open"]);
    other["kind"] = json!("NamespacedTracingPolicy");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [other, policy("p",
        &["file_open"]),
        {"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy"}]});
    let (code, answer) = with(&list, &[]);
    let notes = answer["notes"].to_string();
    assert_eq!(code, 0);
    assert!(
        notes.contains("did you mean TracingPolicyNamespaced") && !notes.contains("Network"),
        "{notes}"
    );
    let (code, _, stderr) = run(&["-"], &other.to_string());
    assert_eq!(code, 64);
    assert!(stderr.contains("did you mean TracingPolicyNamespaced"), "{stderr}");
}

proptest! {
    /// The same text as policies and as nodes gives an answer or an error.
    #[test]
    fn no_text_causes_a_panic(text in "(apiVersion: (cilium.io/v1|lsmready.io/v1|v1)\nkind: \
        (TracingPolicy|LsmNode|LsmHookProfile|Node)\n)?\\PC{0,40}") {
        let (documents, _) = kubectl_lsm::documents::parse_each("-", &text);
        let _ = kubectl_lsm::preflight::nodes::Cluster::default().add("-", &documents);
        let _ = kubectl_lsm::preflight::policies("-", documents);
    }
}
