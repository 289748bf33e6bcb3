//! Compares how the plugin reads whole files with what Tetragon's own code answers to them.
//!
//! The files and
#![allow(clippy::unwrap_used, reason = "what cannot be prepared fails the test")]

use std::path::{Path, PathBuf};

use kubectl_lsm::documents::parse_each;
use kubectl_lsm::preflight::policies;
use lsm_ready_tetragon::tracing_policy::{Release, Releases, TextVerdict};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tetragon/tests/policies")
}

fn release(name: &str) -> Releases {
    let short = name.strip_suffix(".0").unwrap_or(name);
    let release =
        Release::ALL.into_iter().find(|release| release.name().trim_start_matches('v') == short);
    Releases::only(release.unwrap())
}

/// Whether the plugin says that this release refuses the file.
fn is_refused(text: &str, version: &str) -> bool {
    let (documents, broken) = parse_each("f", text);
    let found = policies("f", documents);
    let answers = found.policies.iter().map(|placed| placed.policy.text_verdict(release(version)));
    let refused = answers.filter(|answer| matches!(answer, TextVerdict::Refused(_))).count();
    refused > 0 || found.policies.is_empty() || !broken.is_empty()
}

/// What a file does not show. The reasons are in the test of `lsm-ready-tetragon`.
const EXCEPTIONS: [&str; 3] = ["hook-unknown", "hook-with-prefix", "match-arg-cel-wrong"];

#[test]
fn the_plugin_refuses_what_tetragon_or_kubectl_refuses() {
    let answers: Value =
        serde_json::from_str(&std::fs::read_to_string(folder().join("answers.json")).unwrap())
            .unwrap();
    let (mut compared, mut differing) = (0, Vec::new());
    for (name, asked) in answers["policies"].as_object().unwrap() {
        if EXCEPTIONS.contains(&name.as_str()) || asked.get("depends_on").is_some() {
            continue;
        }
        let text = std::fs::read_to_string(folder().join(format!("{name}.yaml"))).unwrap();
        for (version, answer) in asked["answers"].as_object().unwrap() {
            compared += 1;
            let theirs = ["schema", "handler"].iter().any(|field| answer[field] == "refuses")
                || ["undecodable", "panics"].iter().any(|field| answer.get(field).is_some());
            // Before v1.7 the handler accepts an empty name, but no kernel has such a hook.
            if theirs != is_refused(&text, version) && name != "hook-empty" {
                differing
                    .push(format!("{name} {version}: refused by Tetragon or kubectl: {theirs}"));
            }
        }
    }
    assert!(compared > 1500, "only {compared} answers were compared");
    assert!(
        differing.is_empty(),
        "{} of {compared} differ:\n{}",
        differing.len(),
        differing.join("\n")
    );
}
