//! A taint of ours comes only where a policy asks for it and the Node is not shown ready for that
//! policy. So a Node whose changes are held gets none.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::Checked;
use crate::model::{OUR_TAINTS, POLICY_PREFIX, text};
use crate::network::Network;
use crate::server::Server;
use crate::server::kind::Kind;
use crate::server::requests::Written;

pub(super) fn taints(
    server: &Server,
    process: &Network,
    write: &Written,
    sent: Duration,
) -> Checked {
    let (Some(before), Some(after)) = (&write.before, &write.after) else { return Ok(()) };
    let (had, has) = (ours(before), ours(after));
    let planned = process.planned(text(after, "/metadata/name"), sent);
    let told = process.told_before(Kind::Policy, planned);
    for key in has.difference(&had) {
        let asks = |policy: &Value| asks(policy, key, after);
        let is_asked = server.at(Kind::Policy, told).values().any(|policy| asks(policy))
            || server.log(Kind::Policy).iter().any(|it| it.version > told && asks(&it.object));
        if !is_asked {
            return Err(format!("wrong taint: no policy that is not ready asks for {key}"));
        }
    }
    Ok(())
}

/// The keys of our taints.
fn ours(node: &Value) -> BTreeSet<&str> {
    let taints = node["spec"]["taints"].as_array().into_iter().flatten();
    taints.map(|taint| text(taint, "/key")).filter(|key| OUR_TAINTS.contains(key)).collect()
}

fn asks(policy: &Value, key: &str, node: &Value) -> bool {
    let Some(taint) = policy["spec"].get("taint") else { return false };
    let label = format!("{POLICY_PREFIX}{}", text(policy, "/metadata/name"));
    taint["key"].as_str().unwrap_or(OUR_TAINTS[0]) == key
        && node["metadata"]["labels"][label] != "ready"
}
