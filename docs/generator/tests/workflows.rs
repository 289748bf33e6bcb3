//! The workflows for a public CI: YAML, pinned actions, targets of make and files that exist, and
//! no more rights than a job names.
#![allow(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::path::{Path, PathBuf};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn release() -> Value {
    let text = std::fs::read_to_string(root().join(".github/workflows/release.yml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// Each job with its name.
fn jobs(workflow: &Value) -> Vec<(&String, &Value)> {
    workflow["jobs"].as_object().unwrap().iter().collect()
}

/// All texts of that key in the steps of all jobs.
fn steps<'a>(workflow: &'a Value, key: &str) -> Vec<&'a str> {
    let steps = jobs(workflow).into_iter().flat_map(|(_, job)| job["steps"].as_array().unwrap());
    steps.filter_map(|step| step[key].as_str()).collect()
}

#[test]
fn every_action_is_pinned() {
    let workflow = release();
    let actions = steps(&workflow, "uses");
    assert!(actions.len() > 10, "{actions:?}");
    for action in actions {
        let (_, version) = action.split_once('@').unwrap();
        let is_major = version.strip_prefix('v').is_some_and(|n| n.parse::<u8>().is_ok());
        let is_digest = version.len() == 40 && version.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(is_major || is_digest, "{action}: pin it by a major version or a digest");
    }
}

#[test]
fn a_job_waits_for_jobs_that_exist_and_publishing_waits_for_the_tests() {
    let workflow = release();
    let jobs = jobs(&workflow);
    let needs = |job: &Value| match &job["needs"] {
        Value::String(one) => vec![one.clone()],
        Value::Array(many) => many.iter().map(|one| one.as_str().unwrap().to_owned()).collect(),
        _ => Vec::new(),
    };
    for (name, job) in &jobs {
        for other in needs(job) {
            assert!(jobs.iter().any(|(found, _)| **found == other), "{name} needs {other}");
        }
        assert!(job["timeout-minutes"].is_u64(), "{name} has no timeout-minutes");
    }
    let before_publishing = needs(&workflow["jobs"]["publish"]);
    assert!(before_publishing.contains(&"test".to_owned()), "{before_publishing:?}");
}

#[test]
fn no_job_may_write_what_it_does_not_name() {
    let workflow = release();
    assert_eq!(workflow["permissions"], serde_json::json!({"contents": "read"}));
    for (name, job) in jobs(&workflow) {
        let rights = job["permissions"].as_object().into_iter().flatten();
        for (right, value) in rights {
            assert!(["read", "write"].contains(&value.as_str().unwrap()), "{name}: {right}");
        }
    }
    // A token that stays in the checkout could be used by everything that is built.
    for (name, job) in jobs(&workflow) {
        for step in job["steps"].as_array().unwrap() {
            let is_checkout =
                step["uses"].as_str().is_some_and(|action| action.starts_with("actions/checkout@"));
            assert!(!is_checkout || step["with"]["persist-credentials"] == false, "{name}");
        }
    }
}

#[test]
fn the_targets_of_make_exist() {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let workflow = release();
    let mut checked = 0;
    for script in steps(&workflow, "run") {
        let words: Vec<&str> = script.split_whitespace().collect();
        for target in words.windows(2).filter(|pair| pair[0] == "make").map(|pair| pair[1]) {
            checked += 1;
            assert!(makefile.contains(&format!("\n{target}:")), "there is no make {target}");
        }
    }
    assert!(checked >= 3, "only {checked} targets were found: is the search broken?");
}

/// The scripts are POSIX shell or bash; a shell parses each.
#[test]
fn every_script_is_valid_shell() {
    let workflow = release();
    for script in steps(&workflow, "run") {
        // An expression of the workflow is replaced before the shell sees it.
        let script = script.replace("${{", "$( : ").replace("}}", ")");
        let checked =
            std::process::Command::new("bash").args(["-n", "-c", &script]).output().unwrap();
        assert!(checked.status.success(), "{script}\n{checked:?}");
    }
}
