//! Our reading of policies beside what Tetragon's own code answers to them.
//!
//! `policies/` has the files and `answers.json` the answers, for each release that was asked; its README says how they were
//! found.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what cannot be prepared fails the test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lsm_ready_tetragon::tracing_policy::{
    Effect, Enforcement, InertReason, Release, Releases, TextVerdict, TracingPolicy,
};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies")
}

fn release(name: &str) -> Release {
    let short = name.strip_suffix(".0").unwrap_or(name);
    Release::ALL
        .into_iter()
        .find(|release| release.name().trim_start_matches('v') == short)
        .unwrap()
}

/// What Tetragon answers, in our words.
fn theirs(answer: &Value) -> &'static str {
    let is = |field: &str, value: &str| answer[field] == value;
    let cannot_read = answer.get("undecodable").is_some() || answer.get("panics").is_some();
    match () {
        () if is("schema", "refuses") || is("handler", "refuses") || cannot_read => "refused",
        () if is("effect", "denies") => "denies",
        () if is("effect", "denies nothing") => "denies nothing",
        () if is("effect", "no LSM hooks") => "no LSM hooks",
        () => panic!("{answer}"),
    }
}

fn ours(policy: &TracingPolicy, release: Release) -> (&'static str, String) {
    match policy.text_verdict(Releases::only(release)) {
        TextVerdict::Denies => ("denies", String::new()),
        TextVerdict::DeniesNothing(why) => ("denies nothing", why.to_string()),
        TextVerdict::NoLsmHooks => ("no LSM hooks", String::new()),
        TextVerdict::Refused(refused) => ("refused", refused.to_string()),
        TextVerdict::Unknown(why) => ("cannot be judged", why),
    }
}

/// Where we know better than the code that was asked, or than we can tell from the file, with the reason.
const EXCEPTIONS: [(&str, &str, &str); 6] = [
    (
        "hook-empty",
        "",
        "before v1.7 the handler takes it, and the load fails: no hook has this name",
    ),
    ("hook-unknown", "", "whether a kernel has a hook is for the nodes' profiles to say"),
    ("hook-with-prefix", "", "the same"),
    (
        "enforcers",
        "",
        "accepted on the kernel that was asked; another may lack what enforcers need",
    ),
    (
        "match-arg-cel",
        "",
        "accepted on the kernel that was asked; another may lack what expressions need",
    ),
    (
        "match-arg-cel-wrong",
        "",
        "expressions are not read here, and nobody is told that the policy loads",
    ),
];

fn is_exception(name: &str, version: &str) -> bool {
    EXCEPTIONS
        .iter()
        .any(|(known, release, _)| *known == name && (release.is_empty() || *release == version))
}

#[test]
fn our_reading_agrees_with_tetragons_own_code() {
    let answers: Value =
        serde_json::from_str(&std::fs::read_to_string(folder().join("answers.json")).unwrap())
            .unwrap();
    let (mut compared, mut differing, mut needed) = (0, Vec::new(), BTreeSet::new());
    for (name, asked) in answers["policies"].as_object().unwrap() {
        let text = std::fs::read_to_string(folder().join(format!("{name}.yaml"))).unwrap();
        // A file that is no YAML is the plugin's matter.
        let Ok(object) = serde_saphyr::from_str::<Value>(&text) else {
            continue;
        };
        let policy = TracingPolicy::from_file(&object);
        for (version, answer) in asked["answers"].as_object().unwrap() {
            if answer.get("unreadable").is_some() {
                continue;
            }
            compared += 1;
            let theirs = theirs(answer);
            let (ours, why) = match &policy {
                Ok(policy) => ours(policy, release(version)),
                Err(error) => ("refused", error.to_string()),
            };
            // What depends on a kernel or a flag cannot be told from the file.
            let is_open = ours == "cannot be judged" && asked.get("depends_on").is_some();
            // Without LSM hooks the words differ: there is nothing to deny with.
            let is_outside = ours == "no LSM hooks" && theirs == "denies nothing";
            if ours == theirs || is_open || is_outside {
                continue;
            }
            if is_exception(name, version) {
                needed.insert(name.as_str());
            } else {
                differing.push(format!(
                    "{name} {version}: {theirs}, and we say {ours} {why}\n    {asked}"
                ));
            }
        }
    }
    assert!(compared > 300, "only {compared} answers were compared");
    assert!(
        differing.is_empty(),
        "{} of {compared} differ:\n{}",
        differing.len(),
        differing.join("\n")
    );
    let idle: Vec<&str> =
        EXCEPTIONS.iter().map(|(name, ..)| *name).filter(|name| !needed.contains(name)).collect();
    assert!(idle.is_empty(), "these exceptions are not needed: {idle:?}");
}

/// What the text of a policy in the cluster is held to, beside what the plugin says: the two never contradict each other.
#[test]
fn what_agents_are_held_to_agrees_with_the_forecast() {
    let mut compared = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let read = std::fs::read_to_string(&path)
            .ok()
            .filter(|_| path.extension().is_some_and(|end| end == "yaml"));
        let Some(object) = read.and_then(|text| serde_saphyr::from_str::<Value>(&text).ok()) else {
            continue;
        };
        let Ok(policy) = TracingPolicy::from_file(&object) else {
            continue;
        };
        let found = Enforcement::of(&object["spec"]);
        let agrees = match policy.effect(Releases::only(Release::Main)) {
            Some(Effect::Denies) => found.denies && !found.monitors,
            Some(Effect::DeniesNothing(InertReason::MonitorMode)) => found.monitors,
            Some(Effect::DeniesNothing(InertReason::MonitorOnly)) => found.denies && found.monitors,
            Some(Effect::DeniesNothing(_)) => {
                !found.denies || object["spec"].get("kprobes").is_some()
            }
            Some(Effect::NoLsmHooks) | None => continue,
        };
        compared += 1;
        assert!(
            agrees,
            "{path:?}: {found:?}, and the forecast is {:?}",
            policy.effect(Releases::ALL)
        );
    }
    assert!(compared > 300, "only {compared} policies were compared");
}
