//! The answer as text for people: a line a policy, a line a hook, and below it why not everywhere.

use std::fmt::Write as _;

use crate::preflight::{Hook, Judged, Outcome, Preflight, Reason};

/// The whole answer.
#[must_use]
pub fn text(preflight: &Preflight) -> String {
    let mut text: String = preflight.policies.iter().map(policy).collect();
    for remark in &preflight.remarks {
        push(&mut text, format_args!("Note: {remark}.\n"));
    }
    let fine = preflight.policies.iter().filter(|judged| judged.result == Outcome::Loadable).count();
    let (all, nodes) = (preflight.policies.len(), preflight.nodes);
    push(
        &mut text,
        format_args!("{fine} of {all} policies load on every node they are for; {nodes} nodes are known.\n"),
    );
    text
}

fn policy(judged: &Judged) -> String {
    let Judged { kind, name, place, nodes, loadable, .. } = judged;
    let namespace = judged.namespace.as_ref().map_or_else(String::new, |namespace| format!("{namespace}/"));
    let said = match (judged.hooks.as_slice(), *nodes) {
        ([], _) => "asks for no LSM hook".to_owned(),
        (_, 0) => "is for none of the nodes that are known".to_owned(),
        _ => format!("loads on {loadable} of {nodes} nodes"),
    };
    let mut text = format!("{} {kind} {namespace}{name} {said}  ({place})\n", sign(judged.result));
    for hook in &judged.hooks {
        text += &one_hook(hook, *nodes);
    }
    text + "\n"
}

fn one_hook(hook: &Hook, nodes: usize) -> String {
    let Hook { hook, sleepable, field, loadable, others } = hook;
    let sleepable = if *sleepable { format!(" (sleepable, for {field})") } else { String::new() };
    let mut text = format!("    {hook}{sleepable}: {loadable} of {nodes}\n");
    for Reason { reason, result, nodes, sample, message, fix } in others {
        let more = if *nodes > sample.len() { ", …" } else { "" };
        let unknown = if *result == Outcome::Unknown { ", not known" } else { "" };
        push(&mut text, format_args!("      - {nodes} {reason}{unknown} ({}{more}): {message}\n", sample.join(", ")));
        if !fix.is_empty() {
            push(&mut text, format_args!("        Fix: {fix}\n"));
        }
    }
    text
}

const fn sign(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Loadable => "ok     ",
        Outcome::NotLoadable => "NO     ",
        Outcome::Unknown => "unknown",
    }
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(arguments);
}
