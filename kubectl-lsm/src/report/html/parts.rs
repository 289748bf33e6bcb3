//! The parts of the page about policies, agents, and lsm-ready itself.

use jiff::Timestamp;
use lsm_ready_crds::State;

use super::bar::bar;
use crate::fleet::{AgentRow, ConditionRow, Counts, Fleet, PolicyRow};
use crate::report::markup::{Markup, with_commas};
use crate::report::summary::Tally;

/// Where the data came from, and when.
pub fn source<'a>(part: &'a mut Markup, fleet: &Fleet) -> &'a mut Markup {
    fact(part, "Context", &fleet.context.name);
    fact(part, "API server", &fleet.context.server);
    fact(part, "Taken at", &time(fleet.taken_at))
}

pub fn time(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// One fact, or nothing if the value is empty.
fn fact<'a>(part: &'a mut Markup, name: &'static str, value: &str) -> &'a mut Markup {
    if value.is_empty() {
        return part;
    }
    part.raw("<div><dt>").raw(name).raw("</dt><dd>").text(value).raw("</dd></div>")
}

pub fn policies<'a>(part: &'a mut Markup, fleet: &Fleet) -> &'a mut Markup {
    for policy in &fleet.policies {
        self::policy(part, policy);
    }
    if fleet.policies.is_empty() {
        part.raw("<p class=\"card\">There is no LsmPolicy, so no node has a label of one.</p>");
    }
    part
}

fn policy(part: &mut Markup, policy: &PolicyRow) {
    let ready = policy.conditions.iter().find(|one| one.type_ == "Ready");
    head(part, &policy.name, ready);
    let tally = tally(policy.counts);
    bar(part, tally, tally.total());
    part.raw("<dl class=\"facts\">");
    fact(part, "Nodes", &counts(policy.counts));
    fact(part, "Required", &policy.min_ready);
    fact(part, "Selector", or(&policy.node_selector, "every node"));
    fact(part, "Evidence", policy.require.evidence.as_str());
    fact(part, "LSMs", &policy.require.lsms.join(", "));
    fact(part, "Hooks", &policy.require.hooks.join(", "));
    fact(part, "Sleepable hooks", &policy.require.sleepable_hooks.join(", "));
    fact(part, "Taint", policy.taint.as_deref().unwrap_or_default());
    fact(part, "DaemonSet", policy.daemon_set.as_deref().unwrap_or_default());
    part.raw("</dl>");
    if policy.is_being_deleted {
        part.raw("<p>This policy is being deleted.</p>");
    } else if policy.observed_generation != Some(policy.generation) {
        part.raw("<p>The operator has not seen the present version of this policy.</p>");
    }
    conditions(part, &policy.conditions);
    part.raw("</article>\n");
}

/// The beginning of a card: a name, and its most important condition.
fn head(part: &mut Markup, name: &str, condition: Option<&ConditionRow>) {
    part.raw("<article class=\"card\"><header><h3>").text(name).raw("</h3>");
    if let Some(ConditionRow { type_, status, reason, message, .. }) = condition {
        part.raw("<span class=\"state ").class(state(status)).raw("\">");
        part.text(type_).raw(": ").text(status).raw("</span>");
        part.raw("</header><p><b>").text(reason).raw("</b> ").text(message).raw("</p>");
    } else {
        part.raw("</header>");
    }
}

fn conditions(part: &mut Markup, conditions: &[ConditionRow]) {
    if conditions.is_empty() {
        return;
    }
    part.raw("<details><summary>Conditions</summary><table class=\"conditions\"><thead><tr>");
    for heading in ["Condition", "Status", "Reason and message"] {
        part.raw("<th scope=\"col\">").raw(heading).raw("</th>");
    }
    part.raw("</tr></thead><tbody>\n");
    for condition in conditions {
        part.raw("<tr><th scope=\"row\">").text(&condition.type_).raw("</th><td>");
        part.text(&condition.status).raw("</td><td><b>").text(&condition.reason).raw("</b> ");
        part.text(&condition.message).raw("</td></tr>\n");
    }
    part.raw("</tbody></table></details>");
}

fn state(status: &str) -> State {
    match status {
        "True" => State::Ready,
        "False" => State::NotReady,
        _ => State::Unknown,
    }
}

fn tally(counts: Counts) -> Tally {
    let number = |count| usize::try_from(count).unwrap_or_default();
    Tally {
        ready: number(counts.ready),
        not_ready: number(counts.not_ready),
        unknown: number(counts.unknown),
    }
}

pub fn counts(counts: Counts) -> String {
    let Tally { ready, not_ready, unknown } = tally(counts);
    format!(
        "{} ready, {} not ready, {} unknown",
        with_commas(ready),
        with_commas(not_ready),
        with_commas(unknown)
    )
}

pub fn agents<'a>(part: &'a mut Markup, fleet: &Fleet) -> &'a mut Markup {
    for agent in &fleet.agents {
        self::agent(part, agent);
    }
    if fleet.agents.is_empty() {
        part.raw("<p class=\"card\">No DaemonSet of Tetragon was found.</p>");
    }
    part
}

fn agent(part: &mut Markup, agent: &AgentRow) {
    head(part, &format!("{}/{}", agent.namespace, agent.name), None);
    if agent.is_missing {
        part.raw("<p>This DaemonSet does not exist, or may not be read.</p>");
    }
    part.raw("<dl class=\"facts\">");
    fact(part, "Release", agent.version.as_deref().unwrap_or("not known"));
    if !agent.is_missing {
        fact(part, "Pods", &format!("{} of {} ready", agent.pods_ready, agent.pods_wanted));
        fact(part, "Present template", &format!("{} pods", agent.pods_updated));
        let mount = if agent.has_our_mount { "added by lsm-ready" } else { "not by lsm-ready" };
        fact(part, "Mount of securityfs", mount);
    }
    fact(part, "Image", agent.image.as_deref().unwrap_or_default());
    fact(part, "Policies", &agent.policies.join(", "));
    part.raw("</dl>");
    conditions(part, &agent.conditions);
    part.raw("</article>\n");
}

/// The operator and the probe.
pub fn ourselves<'a>(part: &'a mut Markup, fleet: &Fleet) -> &'a mut Markup {
    part.raw("<div class=\"card\"><dl class=\"facts\">");
    match &fleet.operator {
        None => fact(part, "Operator", "not found, or it may not be read"),
        Some(operator) => {
            let (available, wanted) = (operator.replicas_available, operator.replicas_wanted);
            fact(part, "Operator", &format!("{available} of {wanted} replicas are available"));
            fact(part, "Its image", &operator.image)
        }
    };
    match &fleet.probe {
        None => fact(part, "Probe", "not found, or it may not be read"),
        Some(probe) => {
            fact(
                part,
                "Probe",
                &format!("{} of {} pods are ready", probe.pods_ready, probe.pods_wanted),
            );
            fact(part, "Its image", &probe.image)
        }
    };
    part.raw("</dl></div>")
}

fn or<'a>(text: &'a str, instead: &'a str) -> &'a str {
    if text.is_empty() { instead } else { text }
}
