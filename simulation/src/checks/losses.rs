//! How many nodes lose ready in the boot in which they were shown ready.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Checked;
use crate::clock;
use crate::model::{self, text};
use crate::network::Network;
use crate::server::kind::Kind;
use crate::server::requests::Written;
use crate::server::{Loss, Server, Shown};

/// Losses that count together. The operator counts for a minute from its decision.
const WINDOW: Duration = Duration::from_secs(50);
/// This many are too many of five nodes or fewer.
const TOO_MANY: usize = 3;

/// Notes where a node loses ready, and counts the losses.
pub(super) fn losses(
    server: &mut Server,
    process: &Network,
    write: &Written,
    sent: Duration,
) -> Checked {
    let (Some(before), Some(after)) = (&write.before, &write.after) else { return Ok(()) };
    let [was, is] = [before, after].map(|node| node["metadata"]["labels"][model::BPF] == "true");
    let (uid, boot) = (text(after, "/metadata/uid").to_owned(), model::boot(after).to_owned());
    let name = text(after, "/metadata/name").to_owned();
    let told = process.told_before(Kind::Report, sent);
    if is && !was {
        let version = only_version(server, &name, told).unwrap_or_default();
        // It has recovered.
        server.losses.retain(|loss| loss.uid != uid);
        server.shown_ready.insert(uid, Shown { boot, version });
        return Ok(());
    }
    let shown = if was && !is { server.shown_ready.remove(&uid) } else { None };
    // A label that the condition does not confirm is not shown: it was written in part, or somebody
    // else wrote the condition.
    let is_confirmed = model::condition(before).is_some_and(|it| {
        it["status"] == "True" && text(it, "/message").starts_with(&format!("boot {boot}"))
    });
    let shown = shown.filter(|shown| shown.boot == boot && is_confirmed);
    let Some(shown) = shown else { return Ok(()) };
    let new_version = only_version(server, &name, told)
        .filter(|version| !shown.version.is_empty() && *version != shown.version);
    let at = clock::elapsed();
    let loss = Loss { at, process: process.id, name, uid, boot, new_version: new_version.clone() };
    server.losses.push(loss);
    let is_released = server
        .all(Kind::Policy)
        .chain(server.all(Kind::Lease))
        .any(|(_, it)| !it["metadata"]["annotations"]["lsmready.io/breaker"].is_null());
    if is_released || clock::has_jumped() {
        return Ok(());
    }
    let begin = at.saturating_sub(WINDOW);
    let counted = |is_meant: &dyn Fn(&Loss) -> bool| {
        let known = |loss: &&Loss| loss.process == process.id || loss.is_told(server);
        let meant = server.losses.iter().filter(known);
        let meant = meant.filter(|loss| is_meant(loss) && loss.counts(server, told));
        meant.map(|loss| loss.name.clone()).collect::<BTreeSet<String>>()
    };
    let recent = counted(&|loss| loss.at >= begin);
    if recent.len() >= TOO_MANY {
        return Err(format!("too many losses: {recent:?} lost ready within {WINDOW:?}"));
    }
    let of_version = counted(&|loss| new_version.is_some() && loss.new_version == new_version);
    if of_version.len() >= TOO_MANY {
        return Err(format!("too many losses: {of_version:?} lost ready by a new probe"));
    }
    Ok(())
}

/// The version of the probe in every version of the report that the process may believe.
fn only_version(server: &Server, node: &str, told: u64) -> Option<String> {
    let key = (String::new(), node.to_owned());
    let reports = server.versions_since(Kind::Report, &key, told);
    let mut versions =
        reports.iter().map(|it| it.as_ref().map(|it| text(it, "/status/probeVersion")));
    let first = versions.next()??;
    versions.all(|version| version == Some(first)).then(|| first.to_owned())
}

impl Loss {
    /// The Node's condition tells of a loss. Where somebody else has overwritten it, another process
    /// cannot know.
    fn is_told(&self, server: &Server) -> bool {
        let node = server.named(Kind::Node, &self.name);
        let condition = node.and_then(|node| model::condition(node));
        condition.is_some_and(|it| text(it, "/message").contains("lost ready at "))
    }

    /// The node is still there, in the same boot, and not proved again.
    fn counts(&self, server: &Server, told: u64) -> bool {
        let Some(node) = server.named(Kind::Node, &self.name) else { return false };
        let key = (String::new(), self.name.clone());
        let reports = server.versions_since(Kind::Report, &key, told);
        node["metadata"]["uid"] == *self.uid
            && model::boot(node) == self.boot
            && !reports.iter().flatten().any(|report| model::proves(report, &self.boot))
    }
}
