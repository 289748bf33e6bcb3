//! What a process does after its own write of a Node.
//!
//! - Labels and condition change by one write. A second one changes taints: only a write of the
//!   Node itself can do that.
//! - The next write waits until the watch has shown the last one. An earlier one is only refused.

use std::time::Duration;

use serde_json::Value;

use super::Checked;
use crate::clock;
use crate::model::text;
use crate::network::Network;
use crate::server::kind::Kind;
use crate::server::requests::{Call, Written};
use crate::server::{NodeWrite, Server};

/// The operator waits fifteen seconds for its watch.
const WAITED: Duration = Duration::from_secs(14);
/// Planning takes no virtual time.
const AT_ONCE: Duration = Duration::from_millis(2);

fn version(object: &Value) -> u64 {
    text(object, "/metadata/resourceVersion").parse().unwrap_or_default()
}

/// Checks a committed write of a Node, and remembers it.
pub(super) fn one_write(
    server: &mut Server,
    process: &Network,
    write: &Written,
    sent: Duration,
) -> Checked {
    let (Some(before), Some(after)) = (&write.before, &write.after) else { return Ok(()) };
    let has_changed_taints = before["spec"]["taints"] != after["spec"]["taints"];
    let this = NodeWrite { process: process.id, sent, version: version(after) };
    let name = text(after, "/metadata/name");
    let last = server.node_writes.insert(name.to_owned(), this);
    let last = last.filter(|last| last.process == process.id && last.version == version(before));
    let Some(last) = last.filter(|_| !has_changed_taints) else { return Ok(()) };
    // It knows the version from the answer, and not from the watch or a list: both writes follow
    // from one look at the Node.
    let now = sent + Duration::from_nanos(1);
    let has_seen = process.may_have_seen(Kind::Node, last.version, now);
    let answered = process.answered_at(name, last.sent);
    let is_at_once = answered.is_some_and(|at| sent.saturating_sub(at) <= AT_ONCE);
    if !has_seen && is_at_once {
        return Err("two writes: labels and condition could have changed by one".into());
    }
    Ok(())
}

/// Checks a write of a Node that the API server refused because the Node has changed.
pub fn refused(server: &mut Server, process: &Network, call: &Call, sent: Duration) {
    let target = call.target.as_ref().filter(|target| target.kind == Kind::Node);
    let Some(name) = target.and_then(|target| target.name.as_deref()) else { return };
    let last = server.node_writes.get(name).filter(|last| last.process == process.id);
    let now = server.named(Kind::Node, name).map(|node| version(node));
    let Some(last) = last.filter(|last| Some(last.version) == now) else { return };
    let answered = process.answered_at(name, last.sent);
    if answered.is_some_and(|at| at <= sent && sent < at + WAITED) && !clock::has_jumped() {
        server.fail(|| format!("own write: process {} had not seen its last write", process.id));
    }
}
