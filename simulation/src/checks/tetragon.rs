//! What the operator does to Tetragon's DaemonSet and its agents.

use std::time::Duration;

use serde_json::Value;

use super::Checked;
use crate::model::{self, text};
use crate::network::Network;
use crate::server::Server;
use crate::server::kind::Kind;
use crate::server::requests::Written;

/// Longest time from a decision about agents to its write: their pods are listed between.
const LISTING: Duration = Duration::from_secs(11);

/// A mount comes only where a policy wanted it, and goes only where none did.
pub(super) fn mount(
    server: &Server,
    process: &Network,
    write: &Written,
    sent: Duration,
) -> Checked {
    let (Some(before), Some(after)) = (&write.before, &write.after) else { return Ok(()) };
    let (had, has) = (model::tetragon::has_mount(before), model::tetragon::has_mount(after));
    let fails = !after["metadata"]["annotations"][model::MOUNT_FAILS].is_null();
    if had == has {
        return Ok(());
    }
    if model::tetragon::is_held(before) {
        return Err("the mount was changed although its owner forbids it".into());
    }
    // An agent is down: that waits for no window.
    if had && fails {
        return Ok(());
    }
    let told = process.told_before(Kind::Policy, sent);
    let since = server.log(Kind::Policy).iter().map(|change| change.version);
    let moments = std::iter::once(told).chain(since.filter(|version| *version > told));
    let policies = moments.map(|version| server.at(Kind::Policy, version)).collect::<Vec<_>>();
    let all = |holds: fn(&Value) -> bool| {
        policies.iter().all(|policies| policies.values().any(|policy| holds(policy)))
    };
    if all(model::tetragon::has_window) {
        return Err("the mount was changed outside of the window".into());
    }
    let mut wanted = policies
        .iter()
        .map(|policies| policies.values().any(|it| model::tetragon::wants_mount(it)));
    if wanted.any(|wanted| wanted == has) {
        return Ok(());
    }
    Err(format!("the mount {} although", if has { "was added" } else { "was removed" })
        + if has { " no policy wanted it" } else { " a policy wanted it all the time" })
}

/// An evicted agent started before its node could deny, and a policy wants it to be restarted.
pub(super) fn eviction(
    server: &Server,
    process: &Network,
    write: &Written,
    sent: Duration,
) -> Checked {
    let Some(pod) = &write.before else { return Ok(()) };
    let node = (String::new(), text(pod, "/spec/nodeName").to_owned());
    let told = process.told_before(Kind::Report, sent.saturating_sub(LISTING));
    let reports = server.versions_since(Kind::Report, &node, told);
    if !reports.iter().flatten().any(|report| model::tetragon::is_stale(pod, report)) {
        return Err("wrong eviction: the agent was not stale".into());
    }
    let told = process.told_before(Kind::Policy, sent.saturating_sub(LISTING));
    let is_wanted =
        server.at(Kind::Policy, told).values().any(|it| model::tetragon::wants_restarts(it))
            || server.log(Kind::Policy).iter().any(|change| {
                change.version > told && model::tetragon::wants_restarts(&change.object)
            });
    if is_wanted { Ok(()) } else { Err("wrong eviction: no policy wants it".into()) }
}
