//! Answers as text. In: an answer and the form that was asked for. Out: what is printed.

use lsm_ready_tetragon::suggest;
use serde::Serialize;

use crate::cli::{MountOutput, Output};
use crate::helm::Completed;
use crate::mount::{Advice, Answer, Decision};

/// The answer in that form.
pub fn answer(answer: &Answer, output: MountOutput) -> String {
    let namespace = answer.daemon_set.namespace.as_deref();
    match output {
        MountOutput::Json => json(answer),
        MountOutput::Yaml => yaml(answer),
        MountOutput::Text => text(answer),
        MountOutput::ArgoCd => suggest::argo_cd(namespace, &answer.daemon_set.name),
        MountOutput::Kustomize => match &answer.container {
            Some(container) => suggest::kustomize(namespace, &answer.daemon_set.name, container),
            None => comment(&format!("no patch: {}", answer.message)),
        },
    }
}

/// The values in that form; remarks are comments, which JSON has not.
pub fn values(completed: &Completed, output: Output) -> String {
    match output {
        Output::Json => json(&completed.values),
        Output::Yaml => comment(&completed.remarks.join("\n")) + &yaml(&completed.values),
    }
}

fn text(answer: &Answer) -> String {
    let Answer { daemon_set, reason, message, .. } = answer;
    let decision = match answer.decision {
        Decision::NotNeeded => "no mount is needed",
        Decision::Patch => "the mount is needed",
        Decision::Refused => "somebody has to change something first",
    };
    let told = format!("DaemonSet {daemon_set}: {decision} ({reason})\n{message}\n");
    let values = if answer.decision == Decision::Patch { advice() } else { String::new() };
    told + &values + &hardening(answer)
}

fn hardening(answer: &Answer) -> String {
    let lines = answer
        .hardening
        .iter()
        .flat_map(|Advice { reason, message }| ["- ", reason, ": ", message, "\n"]);
    let lines: String = lines.collect();
    if lines.is_empty() {
        lines
    } else {
        format!("\nThe agent may do more than its work needs (advice):\n{lines}")
    }
}

fn advice() -> String {
    format!(
        "\nValues for Tetragon's chart (`kubectl lsm-ready helm-values -f VALUES` adds them to yours):\n\n{}\nThe same as a \
         kustomize patch: -o kustomize. What lsm-ready would apply: -o yaml.\n",
        suggest::helm_values()
    )
}

fn comment(text: &str) -> String {
    text.lines().flat_map(|line| ["# ", line, "\n"]).collect()
}

/// Neither form can fail: what is printed has only text for keys.
pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value)
        .map_or_else(|error| comment(&error.to_string()), |text| text + "\n")
}

fn yaml(value: &impl Serialize) -> String {
    serde_saphyr::to_string(value).unwrap_or_else(|error| comment(&error.to_string()))
}
