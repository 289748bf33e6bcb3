//! Compares our reading of policies with the answers of Tetragon's own code.
//!
//! `policies/` has the files, and `answers.json` has the answers of each release. The README there
//! says how the answers were recorded.
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

/// Tetragon's answer, in the words of our verdict.
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

/// Policies for which our verdict differs on purpose: name, release (empty for all) and reason.
const EXCEPTIONS: [(&str, &str, &str); 6] = [
    (
        "hook-empty",
        "",
        "before v1.7 the handler accepts it, and the load fails: no hook has this name",
    ),
    ("hook-unknown", "", "the profiles of the nodes say whether a kernel has a hook"),
    ("hook-with-prefix", "", "the same"),
    ("enforcers", "", "accepted on the recorded kernel; another may lack what enforcers need"),
    (
        "match-arg-cel",
        "",
        "accepted on the recorded kernel; another may lack what expressions need",
    ),
    (
        "match-arg-cel-wrong",
        "",
        "expressions are not read here, so the verdict is never that the policy loads",
    ),
];

fn is_exception(name: &str, version: &str) -> bool {
    EXCEPTIONS
        .iter()
        .any(|(known, release, _)| *known == name && (release.is_empty() || *release == version))
}

/// One policy, and one release's answer to it.
struct Case<'a> {
    name: &'a str,
    version: &'a str,
    answer: &'a Value,
    /// The answer depends on the kernel or on a flag of the agent.
    depends: bool,
}

impl Case<'_> {
    /// How our verdict differs from Tetragon's answer, if it does.
    fn difference(
        &self,
        policy: &Result<TracingPolicy, lsm_ready_tetragon::tracing_policy::Error>,
    ) -> Option<String> {
        let theirs = theirs(self.answer);
        let (ours, why) = match policy {
            Ok(policy) => ours(policy, release(self.version)),
            Err(error) => ("refused", error.to_string()),
        };
        // A file does not show the kernel and the flags.
        let is_open = ours == "cannot be judged" && self.depends;
        // Without LSM hooks the words differ, but both mean that nothing is denied.
        let is_equivalent = ours == "no LSM hooks" && theirs == "denies nothing";
        (ours != theirs && !is_open && !is_equivalent)
            .then(|| format!("{} {}: {theirs}, but we say {ours} {why}", self.name, self.version))
    }
}

fn answers() -> Value {
    let text = std::fs::read_to_string(folder().join("answers.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn our_verdicts_agree_with_the_answers_of_tetragon() {
    let answers = answers();
    let (mut compared, mut differing, mut needed) = (0, Vec::new(), BTreeSet::new());
    for (name, recorded) in answers["policies"].as_object().unwrap() {
        let text = std::fs::read_to_string(folder().join(format!("{name}.yaml"))).unwrap();
        // The plugin reports files that are invalid YAML.
        let Ok(object) = serde_saphyr::from_str::<Value>(&text) else {
            continue;
        };
        let policy = TracingPolicy::from_file(&object);
        let depends = recorded.get("depends_on").is_some();
        for (version, answer) in recorded["answers"].as_object().unwrap() {
            if answer.get("unreadable").is_some() {
                continue;
            }
            compared += 1;
            let case = Case { name, version, answer, depends };
            let Some(difference) = case.difference(&policy) else {
                continue;
            };
            if is_exception(name, version) {
                needed.insert(name.as_str());
            } else {
                differing.push(format!("{difference}\n    {recorded}"));
            }
        }
    }
    assert!(compared > 1700, "only {compared} answers were compared");
    let count = differing.len();
    assert!(differing.is_empty(), "{count} of {compared} differ:\n{}", differing.join("\n"));
    let idle: Vec<&str> =
        EXCEPTIONS.iter().map(|(name, ..)| *name).filter(|name| !needed.contains(name)).collect();
    assert!(idle.is_empty(), "these exceptions are not needed: {idle:?}");
}

/// The policies that can be read, each with its object.
fn readable_policies() -> impl Iterator<Item = (PathBuf, Value, TracingPolicy)> {
    let paths = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let files = paths.filter(|path| path.extension().is_some_and(|end| end == "yaml"));
    files.filter_map(|path| {
        let text = std::fs::read_to_string(&path).ok()?;
        let object: Value = serde_saphyr::from_str(&text).ok()?;
        let policy = TracingPolicy::from_file(&object).ok()?;
        Some((path, object, policy))
    })
}

/// What the operator expects of agents never contradicts what the plugin says.
#[test]
fn the_expected_enforcement_agrees_with_the_effect() {
    let mut compared = 0;
    for (path, object, policy) in readable_policies() {
        let found = Enforcement::of(&object["spec"]);
        let effect = policy.effect(Releases::only(Release::Main));
        let agrees = match effect {
            Some(Effect::Denies) => found.denies && !found.monitors,
            Some(Effect::DeniesNothing(InertReason::MonitorMode)) => found.monitors,
            Some(Effect::DeniesNothing(InertReason::MonitorOnly)) => found.denies && found.monitors,
            Some(Effect::DeniesNothing(
                InertReason::VoidHooks
                | InertReason::OverrideToZero
                | InertReason::NoEnforcingAction,
            )) => !found.denies || object["spec"].get("kprobes").is_some(),
            Some(Effect::NoLsmHooks) | None => continue,
        };
        compared += 1;
        assert!(agrees, "{path:?}: {found:?}, but the effect is {effect:?}");
    }
    assert!(compared > 300, "only {compared} policies were compared");
}
