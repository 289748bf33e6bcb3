//! The answer as text for people: a line a policy, then its diagnostics, then a line a hook with why not everywhere.

use std::fmt::Write as _;

use lsm_ready_tetragon::verdict::PolicyVerdict;

use crate::cluster::Server;
use crate::preflight::result::{Found, Hook, Judged, Preflight, Reason};

/// So many diagnostics, and hooks that do not load everywhere, are shown of a policy.
const MOST_SHOWN: usize = 20;

/// The whole answer.
pub fn text(preflight: &Preflight) -> String {
    let mut text: String = preflight.policies.iter().map(policy).collect();
    for remark in &preflight.remarks {
        push(&mut text, format_args!("Note: {remark}.\n"));
    }
    let count =
        |outcome| preflight.policies.iter().filter(|judged| judged.result == outcome).count();
    push(
        &mut text,
        format_args!(
            "Policies: {}. {} deny, {} deny nothing, {} do not load, {} cannot be judged, {} have no LSM hooks. Nodes: \
             {}. Tetragon: {}.\n",
            preflight.policies.len(),
            count(PolicyVerdict::Denies),
            count(PolicyVerdict::DeniesNothing),
            count(PolicyVerdict::NotLoadable),
            count(PolicyVerdict::Unknown),
            count(PolicyVerdict::NoLsmHooks),
            preflight.nodes,
            preflight.tetragon.join(", "),
        ),
    );
    text
}

fn policy(judged: &Judged) -> String {
    let Judged { kind, name, place, why, .. } = judged;
    let namespace =
        judged.namespace.as_ref().map_or_else(String::new, |namespace| format!("{namespace}/"));
    let mut text =
        format!("{} {kind} {namespace}{name} {}  ({place})\n", sign(judged.result), said(judged));
    if !why.is_empty() && judged.result != PolicyVerdict::NoLsmHooks {
        push(&mut text, format_args!("    {why}\n"));
    }
    if let Some(server) = &judged.server {
        push(&mut text, format_args!("    API server: {}\n", words(server)));
    }
    // What is told as the reason is not told again.
    let others = judged
        .diagnostics
        .iter()
        .filter(|found| !why.contains(&format!("{}: {}", found.field, found.rule)));
    text += &shown(others.map(diagnostic).collect(), "diagnostics");
    let everywhere = |hook: &&Hook| hook.others.is_empty();
    let failing = judged
        .hooks
        .iter()
        .filter(|hook| !everywhere(hook))
        .map(|hook| one_hook(hook, judged.nodes));
    text += &shown(failing.collect(), "hooks");
    let fine: Vec<&str> = judged
        .hooks
        .iter()
        .filter(everywhere)
        .map(|hook| hook.hook.as_str())
        .take(MOST_SHOWN)
        .collect();
    if !fine.is_empty() && judged.nodes > 0 {
        push(&mut text, format_args!("    {}: {n} of {n}\n", fine.join(", "), n = judged.nodes));
    }
    text + "\n"
}

fn said(judged: &Judged) -> String {
    let Judged { nodes, loadable, hooks, .. } = judged;
    let on_nodes = format!("loads on {loadable} of {nodes} nodes");
    match judged.result {
        PolicyVerdict::NoLsmHooks => "has no LSM hooks, so it is not judged here".to_owned(),
        PolicyVerdict::Denies => format!("{on_nodes} and denies"),
        PolicyVerdict::DeniesNothing => format!("{on_nodes} and denies nothing"),
        PolicyVerdict::NotLoadable if judged.why.is_empty() => on_nodes,
        PolicyVerdict::NotLoadable => "will not load".to_owned(),
        PolicyVerdict::Unknown if !judged.why.is_empty() => "cannot be judged".to_owned(),
        PolicyVerdict::Unknown if *nodes == 0 || hooks.is_empty() => {
            "is for none of the nodes that are known".to_owned()
        }
        PolicyVerdict::Unknown => on_nodes,
    }
}

/// The first of some lines, and how many more there are.
fn shown(lines: Vec<String>, what: &str) -> String {
    let more = lines.len().saturating_sub(MOST_SHOWN);
    let mut text: String = lines.into_iter().take(MOST_SHOWN).collect();
    if more > 0 {
        push(&mut text, format_args!("    and {more} more {what}; -o json has them\n"));
    }
    text
}

fn diagnostic(found: &Found) -> String {
    let Found { severity, field, rule, range, .. } = found;
    match *severity {
        "Remark" => format!("    Note: {field}: {rule} ({range})\n"),
        "Refused" => format!("    refused by {range}: {field}: {rule}\n"),
        _ => format!("    cannot be judged ({range}): {field}: {rule}\n"),
    }
}

fn words(server: &Server) -> String {
    match server {
        Server::Accepted => "accepts it (dry run)".to_owned(),
        Server::Refused(message) => format!("refuses it (dry run): {message}"),
        Server::NotAsked(message) => format!("could not be asked: {message}"),
    }
}

fn one_hook(hook: &Hook, nodes: usize) -> String {
    let Hook { hook, sleepable, field, loadable, others } = hook;
    let sleepable = if *sleepable { format!(" (sleepable, for {field})") } else { String::new() };
    let mut text = format!("    {hook}{sleepable}: {loadable} of {nodes}\n");
    for Reason { reason, result, nodes, sample, message, fix } in others {
        let more = if *nodes > sample.len() { ", …" } else { "" };
        let unknown = if *result == PolicyVerdict::Unknown { ", not known" } else { "" };
        push(
            &mut text,
            format_args!(
                "      - {nodes} {reason}{unknown} ({}{more}): {message}\n",
                sample.join(", ")
            ),
        );
        if !fix.is_empty() {
            push(&mut text, format_args!("        Fix: {fix}\n"));
        }
    }
    text
}

const fn sign(outcome: PolicyVerdict) -> &'static str {
    match outcome {
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
