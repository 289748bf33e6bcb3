//! The JSON that commands print with `-o json`.
//!
//! In: one full example of each form, made by the code that prints it. Out: a table of keys for
//! each form. The examples name every field of their types, so a new field does not compile until
//! it is here.

use std::collections::BTreeMap;
use std::time::Duration;

use kubectl_lsm::cluster::dry_run::DryRun;
use kubectl_lsm::mount::{Advice, Decision, MountResult, Name};
use kubectl_lsm::preflight::result::{
    self, DiagnosticResult, HookResult, PolicyResult, PreflightResult, ReasonResult,
};
use lsm_ready_crds::State;
use lsm_ready_crds::node::{Kernel, Lsms, Securityfs};
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_tetragon::verdict::PolicyVerdict;
use node_probe::commands::hooks::{Trial, json as hooks_json};
use node_probe::facts::{ConfigText, Raw, record};
use node_probe::hooks::TrialError;
use node_probe::report::hooks::{Hooks, RequiredHook};
use node_probe::report::{self, Check, Report};
use serde::Serialize;
use serde_json::{Value, json};

use super::fleet;
use crate::Error;
use crate::markdown::{code, heading, table};

/// Facts of a real machine, as `node-probe facts` recorded them.
const FACTS: &str = include_str!("../../../../node-probe/tests/facts/debian-6.12-bpf.json");

/// A form of output and its examples: the keys are those of all examples together.
type Form = (&'static str, Vec<Value>);

/// A table of keys for each form.
pub fn section() -> Result<String, Error> {
    let mut text =
        "`[]` stands for an item of a list. A key with several types has one of them at \
                    a time. In facts, `Ok` has what was read; `Err` takes its place where nothing \
                    could be read, with `missing` and `message`. Keys may be added; a change of \
                    meaning gets a new `schema`.\n"
            .to_owned();
    for (title, examples) in forms()? {
        let mut keys = BTreeMap::new();
        for example in &examples {
            collect("", example, &mut keys);
        }
        let rows = keys.into_iter().map(|(key, types)| [code(&key), types.join(" or ")]);
        text.push_str(&heading(title));
        if let Some(schema) = examples.iter().find_map(|example| example["schema"].as_str()) {
            text.extend(["Schema `", schema, "`.\n\n"]);
        }
        text.push_str(&table(["key", "type"], rows));
    }
    Ok(text)
}

fn forms() -> Result<[Form; 11], Error> {
    let without_trial = report(None, Some(trial(None)));
    let full = report(Some("none".to_owned()), Some(trial(Some(1))));
    let checks = vec![value("check", &full)?, value("check", &without_trial)?];
    let mounts = vec![value("mount", &mount(Some(json!({}))))?, value("mount", &mount(None))?];
    Ok([
        ("`node-probe check -o json`", checks),
        ("`node-probe hooks -o json`", vec![hooks(&Ok(profile()))?, hooks(&Err(no_trial()))?]),
        ("`node-probe facts`", vec![facts()?]),
        ("`kubectl lsm-ready status -o json`", vec![value("status", &fleet::status())?]),
        ("`kubectl lsm-ready why -o json`", vec![value("why", &fleet::why())?]),
        ("`kubectl lsm-ready nodes -o json`", vec![value("nodes", &fleet::nodes())?]),
        ("`kubectl lsm-ready drill -o json`", vec![value("drill", &fleet::drill())?]),
        ("`kubectl lsm-ready explain -o json`", vec![value("explain", &fleet::explanations())?]),
        ("`kubectl lsm-ready report -o json`", vec![value("report", &fleet::fleet())?]),
        ("`kubectl lsm-ready mount -o json`", mounts),
        ("`kubectl lsm-ready preflight -o json`", vec![value("preflight", &preflight())?]),
    ])
}

fn hooks(trial: &Trial) -> Result<Value, Error> {
    let failed =
        |error: serde_json::Error| Error::Example { form: "hooks", message: error.to_string() };
    let text = hooks_json(trial, Duration::from_millis(900)).map_err(failed)?;
    serde_json::from_str(&text).map_err(failed)
}

fn no_trial() -> TrialError {
    TrialError("text".to_owned())
}

/// The facts of a real machine, with each text that this machine lacks filled in.
fn facts() -> Result<Value, Error> {
    let failed =
        |error: record::Invalid| Error::Example { form: "facts", message: error.to_string() };
    let recorded = record::parse("facts", FACTS.as_bytes()).map_err(failed)?;
    let text = || Ok("text".to_owned());
    let config = ConfigText { path: "/proc/config.gz".to_owned(), text: "text".to_owned() };
    let complete = Raw {
        container: text(),
        os_release: text(),
        secure_boot: text(),
        kernel_config: Ok(config),
        ..recorded
    };
    value("facts", &complete)
}

fn value(form: &'static str, example: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(example)
        .map_err(|error| Error::Example { form, message: error.to_string() })
}

/// Each key with the types that it has in the example.
fn collect(path: &str, value: &Value, keys: &mut BTreeMap<String, Vec<&'static str>>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    };
    if !path.is_empty() && !path.ends_with("[]") {
        let kinds = keys.entry(path.to_owned()).or_default();
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    match value {
        Value::Array(items) => {
            for item in items {
                collect(&format!("{path}[]"), item, keys);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                collect(&path, field, keys);
            }
        }
        _ => {}
    }
}

fn profile() -> LsmHookProfileSpec {
    LsmHookProfileSpec {
        kernel: "6.12.0 x86_64".to_owned(),
        hooks: ["file_open".to_owned()].into(),
        sleepable_hooks: ["file_open".to_owned()].into(),
        refused_hooks: ["getprocattr".to_owned()].into(),
    }
}

fn report(lockdown: Option<String>, hooks: Option<Hooks>) -> Report {
    let check = Check {
        name: "Loaded",
        outcome: State::Ready,
        reason: Some(lsm_ready_crds::Reason::CanaryDenied),
        detail: "text".to_owned(),
        fix: "text".to_owned(),
    };
    Report {
        schema: report::SCHEMA,
        evidence: lsm_ready_crds::Evidence::Denied,
        reason: lsm_ready_crds::Reason::CanaryDenied,
        message: "text".to_owned(),
        fix: "text".to_owned(),
        checks: vec![check],
        kernel: Kernel { release: "6.12.0".to_owned(), machine: "x86_64".to_owned() },
        lsms: Lsms { active: vec!["bpf".to_owned()], ..Lsms::default() },
        securityfs: Securityfs::Mounted,
        lockdown,
        boot_id: "text".to_owned(),
        hooks,
        duration_ms: 96,
    }
}

fn trial(count: Option<usize>) -> Hooks {
    let required = RequiredHook {
        hook: "file_open".to_owned(),
        sleepable: false,
        outcome: State::NotReady,
        reason: Some(lsm_ready_crds::Reason::HookNotInKernel),
        detail: "text".to_owned(),
    };
    Hooks {
        attachable: count,
        sleepable: count,
        refused: count,
        error: "text".to_owned(),
        required: vec![required],
    }
}

fn mount(patch: Option<Value>) -> MountResult {
    MountResult {
        decision: Decision::Patch,
        reason: "Release",
        message: "text".to_owned(),
        daemon_set: Name { namespace: Some("kube-system".to_owned()), name: "tetragon".to_owned() },
        container: Some("tetragon".to_owned()),
        patch,
        hardening: vec![Advice { reason: "Privileged", message: "text".to_owned() }],
    }
}

fn preflight() -> PreflightResult {
    PreflightResult {
        schema: result::SCHEMA,
        result: PolicyVerdict::NotLoadable,
        tetragon: vec!["v1.7"],
        nodes: 2,
        policies: vec![policy()],
        notes: vec!["text".to_owned()],
    }
}

fn policy() -> PolicyResult {
    PolicyResult {
        kind: "TracingPolicyNamespaced".to_owned(),
        namespace: Some("default".to_owned()),
        name: "deny".to_owned(),
        location: "policies.yaml:1".to_owned(),
        result: PolicyVerdict::NotLoadable,
        message: "text".to_owned(),
        denies: true,
        diagnostics: vec![diagnostic()],
        server: Some(DryRun::Refused("text".to_owned())),
        nodes: 2,
        loadable: 1,
        not_loadable: 1,
        unknown: 0,
        hooks: vec![hook()],
    }
}

fn diagnostic() -> DiagnosticResult {
    DiagnosticResult {
        severity: "Note",
        field: "spec".to_owned(),
        rule: "text".to_owned(),
        releases: vec!["v1.7"],
        range: String::new(),
    }
}

fn hook() -> HookResult {
    let reason = ReasonResult {
        reason: "HookNotInKernel".to_owned(),
        result: PolicyVerdict::NotLoadable,
        nodes: 1,
        sample: vec!["n1".to_owned()],
        message: "text".to_owned(),
        fix: "text".to_owned(),
    };
    HookResult {
        hook: "file_open".to_owned(),
        sleepable: false,
        field: "spec.lsmhooks[0]".to_owned(),
        loadable: 1,
        others: vec![reason],
    }
}
