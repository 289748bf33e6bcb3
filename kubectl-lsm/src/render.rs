//! Prints the answers of `mount` and `helm-values`. In: an answer and the wanted format. Out: text.

use lsm_ready_crds::text::{printable_json, printable_lines};
use lsm_ready_tetragon::suggest;
use serde::Serialize;

use crate::cli::{MountFormat, ValuesFormat};
use crate::helm::Completed;
use crate::mount::{Advice, Decision, MountResult};

pub fn mount(result: &MountResult, format: MountFormat) -> String {
    let namespace = result.daemon_set.namespace.as_deref();
    let name = &result.daemon_set.name;
    match format {
        MountFormat::Json => json(result),
        MountFormat::Yaml => yaml(result),
        MountFormat::Text => printable_lines(&text(result), usize::MAX),
        MountFormat::ArgoCd => suggest::argo_cd(namespace, name),
        MountFormat::Kustomize => match &result.container {
            Some(container) => suggest::kustomize(namespace, name, container),
            None => comment(&format!("no patch: {}", result.message)),
        },
    }
}

/// The values. Notes become comments in YAML. JSON has no comments, so it has no notes.
pub fn values(completed: &Completed, format: ValuesFormat) -> String {
    match format {
        ValuesFormat::Json => json(&completed.values),
        ValuesFormat::Yaml => comment(&completed.notes.join("\n")) + &yaml(&completed.values),
    }
}

fn text(result: &MountResult) -> String {
    let MountResult { daemon_set, reason, message, .. } = result;
    let (decision, values) = match result.decision {
        Decision::NotNeeded => ("no mount is needed", String::new()),
        Decision::Patch => ("the mount is needed", chart_values()),
        Decision::Refused => ("the mount cannot be added", String::new()),
    };
    let hardening = hardening(&result.hardening);
    format!("DaemonSet {daemon_set}: {decision} ({reason})\n{message}\n{values}{hardening}")
}

fn hardening(advice: &[Advice]) -> String {
    if advice.is_empty() {
        return String::new();
    }
    let lines: String = advice
        .iter()
        .flat_map(|Advice { reason, message }| ["- ", reason, ": ", message, "\n"])
        .collect();
    format!("\nThe agent may do more than its work needs (advice):\n{lines}")
}

fn chart_values() -> String {
    format!(
        "\nValues for Tetragon's chart (`kubectl lsm-ready helm-values -f VALUES` adds them to \
         yours):\n\n{}\nAs a kustomize patch: -o kustomize. The object that lsm-ready would apply: \
         -o yaml.\n",
        suggest::helm_values()
    )
}

fn comment(text: &str) -> String {
    text.lines().flat_map(|line| ["# ", line, "\n"]).collect()
}

/// Serialising cannot fail: each key of what is printed is text.
pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value)
        .map_or_else(|error| comment(&error.to_string()), |text| printable_json(&text) + "\n")
}

/// The same keys and values as [`json`].
pub(crate) fn yaml(value: &impl Serialize) -> String {
    serde_saphyr::to_string(value).unwrap_or_else(|error| comment(&error.to_string()))
}
