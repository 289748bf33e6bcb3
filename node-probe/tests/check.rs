//! Calls of `node-probe`: exit codes, the JSON form, and the canary's process.
//!
//! In: the built program, and the kernel that runs the tests. The tests hold on every kernel,
//! whatever it allows.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::process::{Command, Output};

use serde_json::Value;

fn node_probe() -> Command {
    Command::new(env!("CARGO_BIN_EXE_node-probe"))
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn the_json_form_has_the_documented_fields() {
    let output = run(node_probe().args(["check", "--output", "json"]));
    let report = report(&output);
    let fields: Vec<&String> = report.as_object().unwrap().keys().collect();
    let mut documented = [
        "schema",
        "evidence",
        "reason",
        "message",
        "fix",
        "checks",
        "kernel",
        "lsms",
        "lockdown",
        "securityfs",
        "bootID",
        "durationMs",
    ];
    documented.sort_unstable();
    assert_eq!(fields, documented);
    assert_eq!(report["schema"], "lsmready.io/check/v1");
    let rungs: Vec<&str> = report["checks"].as_array().unwrap()[..4]
        .iter()
        .filter_map(|check| check["name"].as_str())
        .collect();
    assert_eq!(rungs, ["Loaded", "Attached", "Fired", "Denied"]);
    let code = output.status.code().unwrap();
    assert_eq!(code == 0, report["evidence"] == "Denied", "{report:#}");
    assert!((0..=2).contains(&code));
}

#[test]
fn the_documentation_has_every_check_and_field() {
    let page = include_str!("../../docs/check-output.md");
    let report =
        report(&run(node_probe().args(["check", "--output", "json", "--require-lsm", "yama"])));
    for check in report["checks"].as_array().unwrap() {
        let name = check["name"].as_str().unwrap();
        assert!(
            page.contains(&format!("`{name}`")),
            "docs/check-output.md does not have the check {name}"
        );
    }
    let facts: Value = serde_json::from_slice(&run(node_probe().arg("facts")).stdout).unwrap();
    for field in report.as_object().unwrap().keys().chain(facts.as_object().unwrap().keys()) {
        assert!(
            page.contains(&format!("`{field}`")),
            "docs/check-output.md does not have the field {field}"
        );
    }
}

/// node-problem-detector cuts the line at 80 bytes, and reads the exit code.
#[test]
fn the_line_for_node_problem_detector_says_the_same_as_the_report() {
    let json = run(node_probe().args(["check", "-o", "json"]));
    let npd = run(node_probe().args(["check", "-o", "npd"]));
    let line = String::from_utf8(npd.stdout.clone()).unwrap();
    let line = line.strip_suffix('\n').unwrap();
    let reason = report(&json)["reason"].as_str().unwrap().to_owned();
    assert!(line.starts_with(&format!("{reason}: ")), "{line}");
    assert!(line.len() <= 80 && !line.contains('\n'), "{line}");
    assert_eq!(npd.status.code(), json.status.code());
}

/// The sample for node-feature-discovery, with this program.
#[test]
fn the_feature_file_says_what_the_exit_code_says() {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../config/integrations/node-feature-discovery/lsm-bpf-feature.sh"
    );
    let folder = tempfile::tempdir().unwrap();
    let written = |program: &str| {
        let mut command = Command::new(script);
        command.env("FEATURES", folder.path()).env("NODE_PROBE", program);
        assert!(run(&mut command).status.success());
        std::fs::read_to_string(folder.path().join("lsm-bpf")).unwrap()
    };
    let value = match run(node_probe().arg("check")).status.code() {
        Some(0) => "true",
        Some(1) => "false",
        _ => "unknown",
    };
    assert_eq!(written(env!("CARGO_BIN_EXE_node-probe")), format!("lsm-bpf={value}\n"));
    // A program that is missing has shown nothing.
    assert_eq!(written("/no/such/program"), "lsm-bpf=unknown\n");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn what_is_printed_has_the_form_of_the_published_schema() {
    let schema: Value =
        serde_json::from_str(include_str!("../../docs/reference/check.v1.schema.json")).unwrap();
    let required = ["--require-hook", "file_open", "--require-lsm", "yama"];
    for more in [&[][..], &required] {
        let found = report(&run(node_probe().args(["check", "-o", "json"]).args(more)));
        assert_form(&found, &schema, &schema);
    }
}

/// Checks required fields, that no field is missing in the schema, and the values of enums.
fn assert_form(found: &Value, schema: &Value, root: &Value) {
    if let Some(reference) = schema["$ref"].as_str() {
        let definition = root.pointer(reference.trim_start_matches('#')).unwrap();
        return assert_form(found, definition, root);
    }
    if let Some(fields) = found.as_object() {
        for name in schema["required"].as_array().into_iter().flatten() {
            assert!(fields.contains_key(name.as_str().unwrap()), "{name} is missing: {found:#}");
        }
        for (name, field) in fields {
            let known = &schema["properties"][name];
            let nested = known["anyOf"].as_array().map_or(known, |either| &either[0]);
            assert!(!nested.is_null(), "the schema has no {name}: {schema:#}");
            assert_form(field, nested, root);
        }
    }
    for item in found.as_array().into_iter().flatten() {
        assert_form(item, &schema["items"], root);
    }
    let values = schema["enum"].as_array().cloned().unwrap_or_default();
    let variants = schema["oneOf"].as_array().into_iter().flatten();
    let values: Vec<Value> =
        values.into_iter().chain(variants.map(|variant| variant["const"].clone())).collect();
    assert!(values.is_empty() || values.contains(found), "{found} is none of {values:?}");
}

#[test]
fn text_is_the_default_and_says_what_to_do() {
    let output = run(node_probe().arg("check"));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("Can this machine deny an operation through LSM BPF? "), "{text}");
    assert_eq!(output.status.code() == Some(0), !text.contains("What to do"), "{text}");
}

#[test]
fn wrong_use_has_exit_code_64() {
    for args in [
        &["check", "--require", "hope"][..],
        &["check", "--output", "xml"],
        &["frob"],
        &[],
        &["check", "--deadline", "0s"],
        &["check", "--require-hook", ""],
        &["hooks", "--output", "xml"],
        &["hooks", "--output", "npd"],
        &["check", "--require-lsm", "Not An LSM"],
        &["check", "--from", "/no/such/file"],
        &["explain", "NoSuchReason"],
    ] {
        assert_eq!(run(node_probe().args(args)).status.code(), Some(64), "{args:?}");
    }
    assert_eq!(run(node_probe().arg("--help")).status.code(), Some(0));
    // No name of a node, and an empty one.
    assert_eq!(
        run(node_probe().arg("agent").env_remove("LSM_READY_NODE_NAME")).status.code(),
        Some(64)
    );
    assert_eq!(
        run(node_probe().arg("agent").env("LSM_READY_NODE_NAME", "")).status.code(),
        Some(64)
    );
}

#[test]
fn a_canary_that_exceeds_the_deadline_is_reported() {
    let output = run(node_probe().args(["check", "--output", "json", "--deadline", "1ms"]));
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(report(&output)["reason"], "CanaryTimedOut");
}

#[test]
fn a_canary_that_crashes_is_reported() {
    // Runs with more and more memory, from too little for the program itself to enough. In between,
    // Rust aborts if memory ends while BTF is parsed, and std returns an error if it ends while the
    // file is read.
    let reason_with = |kilobytes: u32| {
        let script = format!(
            "ulimit -c 0; ulimit -v {kilobytes}; exec {} check -o json",
            env!("CARGO_BIN_EXE_node-probe")
        );
        let output = run(Command::new("sh").args(["-c", &script]));
        (!output.stdout.is_empty()).then(|| report(&output)["reason"].as_str().unwrap().to_owned())
    };
    let reasons = (3..100).filter_map(|step| reason_with(step * 4000));
    let short: Vec<String> = reasons
        .take_while(|reason| ["CanaryCrashed", "NoMemory"].contains(&reason.as_str()))
        .collect();
    assert!(short.iter().any(|reason| reason == "CanaryCrashed"), "{short:?}");
}

#[test]
fn recorded_facts_are_replayed_without_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("facts.json");
    let recorded = run(node_probe().arg("facts"));
    assert_eq!(recorded.status.code(), Some(0));
    let check = |facts: &Value, more: &[&str]| {
        std::fs::write(&path, facts.to_string()).unwrap();
        let output =
            run(node_probe().args(["check", "-o", "json", "--from"]).arg(&path).args(more));
        (output.status.code().unwrap(), report(&output))
    };
    let mut facts: Value = serde_json::from_slice(&recorded.stdout).unwrap();
    facts["kernel"] = serde_json::json!({"release": "6.12.1", "machine": "x86_64"});
    facts["btf"] = serde_json::json!({"Ok": {"bytes": 9, "bpfLsm": 280, "canaryHook": true}});
    facts["lsmIds"] = serde_json::json!({"Ok": [100, 109]});
    let (code, found) = check(&facts, &[]);
    assert_eq!(
        (code, found["evidence"].as_str(), found["reason"].as_str()),
        (2, Some("None"), Some("NotTried"))
    );
    let (code, found) = check(&facts, &["--require-lsm", "yama"]);
    assert_eq!((code, found["reason"].as_str()), (1, Some("RequiredLsmInactive")));
    facts["lsmIds"] = serde_json::json!({"Ok": [100, 105]});
    let (code, found) = check(&facts, &[]);
    assert_eq!(
        (code, found["evidence"].as_str(), found["reason"].as_str()),
        (1, Some("None"), Some("BpfNotInLsmList"))
    );
}

#[test]
fn an_invalid_file_of_facts_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("facts.json");
    std::fs::write(&path, "{\n  \"schema\": \"lsmready.io/facts/v0\"").unwrap();
    let output = run(node_probe().args(["check", "--from"]).arg(&path));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(said.contains("facts.json:2:") && said.contains("node-probe facts"), "{said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_required_lsm_that_no_kernel_has_never_holds() {
    let output = run(node_probe().args(["check", "-o", "json", "--require-lsm", "nosuchlsm"]));
    let found = report(&output);
    let check = found["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["name"] == "RequiredLsms")
        .unwrap();
    let unreadable = found["lsms"]["source"] == "Unknown";
    assert_eq!(check["outcome"], if unreadable { "Unknown" } else { "Fail" }, "{found:#}");
    assert_ne!(output.status.code(), Some(0), "{found:#}");
}

#[test]
fn explain_explains_reasons_and_suggests_similar_ones() {
    let said = |args: &[&str]| {
        String::from_utf8(run(node_probe().arg("explain").args(args)).stdout).unwrap()
    };
    assert!(said(&[]).contains("\nBpfNotInLsmList "));
    assert!(said(&["BpfNotInLsmList"]).starts_with("BpfNotInLsmList: the node is not ready\n"));
    let unknown = run(node_probe().args(["explain", "BpfNotInList"]));
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("Did you mean BpfNotInLsmList"));
}

#[test]
fn a_child_refuses_to_run_without_its_parent() {
    for child in ["canary-child", "hooks-child"] {
        let output = run(node_probe().args([child, "--parent", "1"]));
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn the_hooks_are_listed_or_the_error_is_explained() {
    let output = run(node_probe().args(["hooks", "-o", "json"]));
    let list = report(&output);
    assert_eq!(list["schema"], "lsmready.io/hooks/v1");
    match output.status.code() {
        Some(0) => assert!(list["attachable"].as_u64().unwrap() > 0, "{list:#}"),
        Some(2) => assert!(!list["error"].as_str().unwrap().is_empty(), "{list:#}"),
        code => panic!("{code:?}: {list:#}"),
    }
}

#[test]
fn a_hook_trial_that_exceeds_the_deadline_makes_no_list() {
    let output = run(node_probe().args(["hooks", "-o", "json", "--deadline", "1ms"]));
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        report(&output)["error"].as_str().unwrap().contains("did not finish within 1 ms"),
        "{output:?}"
    );
}

#[test]
fn a_required_hook_that_no_kernel_has_never_holds() {
    let output = run(node_probe().args(["check", "-o", "json", "--require-hook", "file_opn"]));
    assert_ne!(output.status.code(), Some(0));
    let hooks = &report(&output)["hooks"];
    let page = include_str!("../../docs/check-output.md");
    for field in hooks.as_object().unwrap().keys() {
        assert!(
            page.contains(&format!("`{field}`")),
            "docs/check-output.md does not have the field {field}"
        );
    }
    let (required, tried) = (&hooks["required"][0], hooks["error"] == "");
    assert_eq!(
        required["reason"],
        if tried { "HookNotInKernel" } else { "HookProfileMissing" },
        "{hooks:#}"
    );
    assert_eq!(required["outcome"], if tried { "Fail" } else { "Unknown" }, "{hooks:#}");
}
