//! Prints the answer of `preflight` for people: one line for each policy, then its diagnostics,
//! then its hooks with the reasons why nodes do not accept them.

use std::fmt::Write as _;

use lsm_ready_tetragon::verdict::PolicyVerdict;

use crate::cluster::dry_run::DryRun;
use crate::preflight::result::{
    DiagnosticResult, HookResult, PolicyResult, PreflightResult, ReasonResult,
};

/// Maximum number of diagnostics, and of hooks, that are printed for one policy.
const MAX_SHOWN: usize = 20;

pub fn text(result: &PreflightResult) -> String {
    let mut text: String = result.policies.iter().map(policy).collect();
    for note in &result.notes {
        push(&mut text, format_args!("Note: {note}.\n"));
    }
    text + &totals(result)
}

fn totals(result: &PreflightResult) -> String {
    let count = |verdict| result.policies.iter().filter(|policy| policy.result == verdict).count();
    format!(
        "Policies: {}. {} deny, {} deny nothing, {} do not load, {} cannot be judged, {} have no \
         LSM hooks. Nodes: \
         {}. Tetragon: {}.\n",
        result.policies.len(),
        count(PolicyVerdict::Denies),
        count(PolicyVerdict::DeniesNothing),
        count(PolicyVerdict::NotLoadable),
        count(PolicyVerdict::Unknown),
        count(PolicyVerdict::NoLsmHooks),
        result.nodes,
        result.tetragon.join(", "),
    )
}

fn policy(policy: &PolicyResult) -> String {
    let PolicyResult { kind, name, location, message, .. } = policy;
    let namespace =
        policy.namespace.as_ref().map_or_else(String::new, |namespace| format!("{namespace}/"));
    let (sign, summary) = (sign(policy.result), summary(policy));
    let mut text = format!("{sign} {kind} {namespace}{name} {summary}  ({location})\n");
    if !message.is_empty() && policy.result != PolicyVerdict::NoLsmHooks {
        push(&mut text, format_args!("    {message}\n"));
    }
    if let Some(server) = &policy.server {
        push(&mut text, format_args!("    API server: {}\n", dry_run(server)));
    }
    // The message already contains one of the diagnostics.
    let further = policy
        .diagnostics
        .iter()
        .filter(|found| !message.contains(&format!("{}: {}", found.field, found.rule)));
    text += &shorten(further.map(diagnostic).collect(), "diagnostics");
    text + &hooks(policy) + "\n"
}

/// The hooks that some node does not accept, then one line for the hooks that each node accepts.
fn hooks(policy: &PolicyResult) -> String {
    let (accepted, failing): (Vec<&HookResult>, Vec<&HookResult>) =
        policy.hooks.iter().partition(|hook| hook.others.is_empty());
    let failing = failing.into_iter().map(|found| hook(found, policy.nodes)).collect();
    let mut text = shorten(failing, "hooks");
    let names: Vec<&str> = accepted.iter().map(|hook| hook.hook.as_str()).take(MAX_SHOWN).collect();
    if !names.is_empty() && policy.nodes > 0 {
        push(&mut text, format_args!("    {}: {n} of {n}\n", names.join(", "), n = policy.nodes));
    }
    text
}

fn summary(policy: &PolicyResult) -> String {
    let PolicyResult { nodes, loadable, hooks, message, .. } = policy;
    let on_nodes = format!("loads on {loadable} of {nodes} nodes");
    match policy.result {
        PolicyVerdict::NoLsmHooks => "has no LSM hooks, so it is not judged here".to_owned(),
        PolicyVerdict::Denies => format!("{on_nodes} and denies"),
        PolicyVerdict::DeniesNothing => format!("{on_nodes} and denies nothing"),
        PolicyVerdict::NotLoadable if message.is_empty() => on_nodes,
        PolicyVerdict::NotLoadable => "will not load".to_owned(),
        PolicyVerdict::Unknown if !message.is_empty() => "cannot be judged".to_owned(),
        PolicyVerdict::Unknown if *nodes == 0 || hooks.is_empty() => {
            "selects none of the known nodes".to_owned()
        }
        PolicyVerdict::Unknown => on_nodes,
    }
}

/// The first lines, and how many more there are.
fn shorten(lines: Vec<String>, what: &str) -> String {
    let more = lines.len().saturating_sub(MAX_SHOWN);
    let mut text: String = lines.into_iter().take(MAX_SHOWN).collect();
    if more > 0 {
        push(&mut text, format_args!("    and {more} more {what}; -o json has them\n"));
    }
    text
}

fn diagnostic(found: &DiagnosticResult) -> String {
    let DiagnosticResult { severity, field, rule, range, .. } = found;
    match *severity {
        "Note" => format!("    Note: {field}: {rule} ({range})\n"),
        "Refused" => format!("    refused by {range}: {field}: {rule}\n"),
        _ => format!("    cannot be judged ({range}): {field}: {rule}\n"),
    }
}

fn dry_run(server: &DryRun) -> String {
    match server {
        DryRun::Accepted => "accepts it (dry run)".to_owned(),
        DryRun::Refused(message) => format!("refuses it (dry run): {message}"),
        DryRun::NotAsked(message) => format!("could not be asked: {message}"),
    }
}

fn hook(hook: &HookResult, nodes: usize) -> String {
    let HookResult { hook, sleepable, field, loadable, others } = hook;
    let sleepable = if *sleepable { format!(" (sleepable, for {field})") } else { String::new() };
    let mut text = format!("    {hook}{sleepable}: {loadable} of {nodes}\n");
    text.extend(others.iter().map(reason));
    text
}

fn reason(others: &ReasonResult) -> String {
    let ReasonResult { reason, result, nodes, sample, message, fix } = others;
    let more = if *nodes > sample.len() { ", …" } else { "" };
    let unknown = if *result == PolicyVerdict::Unknown { ", not known" } else { "" };
    let names = sample.join(", ");
    let mut text = format!("      - {nodes} {reason}{unknown} ({names}{more}): {message}\n");
    if !fix.is_empty() {
        push(&mut text, format_args!("        Fix: {fix}\n"));
    }
    text
}

const fn sign(verdict: PolicyVerdict) -> &'static str {
    match verdict {
        PolicyVerdict::Denies => "ok     ",
        PolicyVerdict::DeniesNothing => "nothing",
        PolicyVerdict::NotLoadable => "NO     ",
        PolicyVerdict::Unknown => "unknown",
        PolicyVerdict::NoLsmHooks => "-      ",
    }
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(arguments);
}
