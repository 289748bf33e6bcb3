//! Which hook profiles the operator deletes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Checked;
use crate::clock;
use crate::model::{self, text};
use crate::network::Network;
use crate::server::kind::Kind;
use crate::server::object::Object;
use crate::server::requests::Written;
use crate::server::{Key, Server};

/// A node whose report has named that profile all the time, as far as a process may know that sent
/// a request at that moment.
fn user(server: &Server, process: &Network, sent: Duration, profile: &str) -> Option<String> {
    let told = process.told_before(Kind::Report, sent);
    let names = |report: &Option<Arc<Object>>| {
        report.as_ref().is_some_and(|report| text(report, "/status/hookProfile") == profile)
    };
    let mut reports = server.all(Kind::Report).map(|(key, _)| key);
    let user =
        reports.find(|key| server.versions_since(Kind::Report, key, told).iter().all(names))?;
    Some(user.1.clone())
}

/// Whether the node that published a profile has published too many others that no report names,
/// as far as the process may know.
fn is_surplus(server: &Server, process: &Network, sent: Duration, profile: &Value) -> bool {
    const MOST: usize = 10;
    let told = process.told_before(Kind::Profile, sent);
    let node = |profile: &Value| text(profile, "/metadata/labels/lsmready.io~1node").to_owned();
    let of_same = |key: &Key| {
        let versions = server.versions_since(Kind::Profile, key, told);
        versions.iter().flatten().any(|other| node(other) == node(profile))
    };
    let log = server.log(Kind::Profile).iter();
    let recent = log.filter(|change| change.version > told).map(|change| &change.key);
    let keys: BTreeSet<&Key> =
        server.all(Kind::Profile).map(|(key, _)| key).chain(recent).collect();
    let others = keys.into_iter().filter(|key| key.1 != text(profile, "/metadata/name"));
    let surplus =
        others.filter(|key| of_same(key) && user(server, process, sent, &key.1).is_none());
    surplus.count() >= MOST
}

/// A deleted hook profile was false, or not named.
pub(super) fn unnamed(
    server: &Server,
    process: &Network,
    write: &Written,
    sent: Duration,
) -> Checked {
    let Some(before) = &write.before else { return Ok(()) };
    if before["metadata"]["annotations"][model::FALSE_PROFILE] == json!("true") {
        return Ok(());
    }
    if let Some(node) = user(server, process, sent, text(before, "/metadata/name")) {
        return Err(format!("the profile is named by the report of {node} all the time"));
    }
    let created = text(before, "/metadata/creationTimestamp").parse::<jiff::Timestamp>();
    let age = created.map(|created| clock::longest_since(created).as_secs()).unwrap_or_default();
    if age >= 59 * 60 || (age >= 4 * 60 + 59 && is_surplus(server, process, sent, before)) {
        return Ok(());
    }
    Err(format!("the profile is {age} s old only"))
}
