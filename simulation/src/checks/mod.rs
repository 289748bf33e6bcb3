//! What must hold at every committed write of the operator.
//!
//! - Never ready without evidence: among the versions of the report that the process may still
//!   believe (what it was told before it sent the write, and everything since), one proves the boot
//!   that the Node has now.
//! - What the operator leaves at ready is proved, or was written by the operator in this boot: no
//!   claim of somebody else is kept.
//! - Nothing that is not ours changes: of Nodes our labels, taints and condition, of policies the
//!   status, of DaemonSets our label, volume and mount.
//! - No write without a version, and none by a process whose Lease had ended when it was sent. None
//!   is handed to a connection later than the renewal's deadline, and none is carried out after
//!   another process took the Lease.
//! - The transition time of a condition changes when its status does, and only then.
//! - No third node loses ready within a minute in the boot in which it was shown ready: that is the
//!   breaker's share of up to five nodes. A node that rebooted, is gone or can deny again does not
//!   count.
//! - A taint comes only with a policy for which the Node is not shown ready.
//! - A Node's labels and condition change by one write, and the next one waits for the watch.
//! - A mount goes only if no policy wanted it, or if agents cannot start with it.
//! - A hook profile goes only if it is false, or if no report names it and it is old or one of too
//!   many.

mod losses;
mod own_writes;
mod profiles;
mod taints;
mod tetragon;

pub use own_writes::refused;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use kube::client::Body;
use serde_json::Value;

use crate::clock;
use crate::model::{self, Facts, State, text};
use crate::network::{Network, Term};
use crate::server::Server;
use crate::server::kind::Kind;
use crate::server::object::Object;
use crate::server::requests::{Call, Written};

/// Checks one committed write.
pub fn written(server: &mut Server, process: &Network, write: &Written, sent: Duration) {
    let found = match write.target.kind {
        Kind::Lease => lease(server, process, write, sent),
        Kind::Event => Ok(()),
        Kind::Node => fenced(process, write, sent)
            .and_then(|()| leads(server, process))
            .and_then(|()| only_ours(write))
            .and_then(|()| transitions(write))
            .and_then(|()| proved(server, process, write, sent))
            .and_then(|()| no_claim_is_kept(server, process, write, sent))
            .and_then(|()| losses::losses(server, process, write, sent))
            .and_then(|()| taints::taints(server, process, write, sent))
            .and_then(|()| own_writes::one_write(server, process, write, sent)),
        Kind::Policy => fenced(process, write, sent)
            .and_then(|()| leads(server, process))
            .and_then(|()| only_ours(write))
            .and_then(|()| transitions(write)),
        Kind::DaemonSet => fenced(process, write, sent)
            .and_then(|()| leads(server, process))
            .and_then(|()| only_ours(write))
            .and_then(|()| tetragon::mount(server, process, write, sent)),
        Kind::Profile => fenced(process, write, sent)
            .and_then(|()| leads(server, process))
            .and_then(|()| profiles::unnamed(server, process, write, sent)),
        Kind::Pod => fenced(process, write, sent)
            .and_then(|()| leads(server, process))
            .and_then(|()| tetragon::eviction(server, process, write, sent)),
        Kind::Report | Kind::TracingPolicy | Kind::TracingPolicyNamespaced => {
            Err("the kind is never written".to_owned())
        }
    };
    if let Err(what) = found {
        let (kind, name) =
            (write.target.kind.name(), write.target.name.clone().unwrap_or_default());
        server.fail(|| format!("process {} wrote {kind} {name}: {what}", process.id));
    }
}

/// No write to a Node or a policy changes nothing: it names the version that it was planned for.
pub fn idle(server: &mut Server, call: &Call) {
    let target = call.target.as_ref().filter(|_| call.is_write());
    if target.is_some_and(|target| matches!(target.kind, Kind::Node | Kind::Policy)) {
        server.fail(|| format!("idle write: {} changes nothing: {}", call.path, call.body));
    }
}

type Checked = Result<(), String>;

fn fenced(process: &Network, write: &Written, sent: Duration) -> Checked {
    // An eviction names the UID only: what it is about is the pod, not a version of it.
    if !write.has_version && write.target.kind != Kind::Pod {
        return Err("no version: the write has no resourceVersion as a precondition".into());
    }
    if let Some(kind) = process.unlisted(sent) {
        return Err(format!("no list: it writes before it knows every {}", kind.name()));
    }
    match process.term() {
        Some(Term { renewed, lasts, .. }) if sent < renewed + lasts => Ok(()),
        _ => Err("no lease: its Lease had ended when it sent the write".into()),
    }
}

/// A leader that could not renew for so long writes no more: what it sends then could arrive after
/// another process has begun.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);

/// Checks a request at the moment at which it is handed to the connection.
pub fn handed_over(process: &Network, request: &Request<Body>) {
    let is_late =
        process.term().is_none_or(|term| clock::elapsed() >= term.renewed + RENEW_DEADLINE);
    if *request.method() != http::Method::GET && is_late {
        let (term, now) = (process.term(), clock::elapsed());
        process.server().lock().fail(|| {
            let (id, method, path) = (process.id, request.method(), request.uri().path());
            format!("no lease: process {id} sends {method} {path} at {now:?} with {term:?}")
        });
    }
}

/// No other process has taken the Lease.
fn leads(server: &Server, process: &Network) -> Checked {
    match server.leader {
        Some(leader) if leader != process.id => {
            Err(format!("no lease: process {leader} has taken it before this was carried out"))
        }
        _ => Ok(()),
    }
}

/// The transition time of each condition changes with its status.
fn transitions(write: &Written) -> Checked {
    let (Some(before), Some(after)) = (&write.before, &write.after) else { return Ok(()) };
    let conditions = |object: &'_ Value| object["status"]["conditions"].as_array().cloned();
    let before = conditions(before).unwrap_or_default();
    for condition in conditions(after).unwrap_or_default() {
        let was = before.iter().find(|it| it["type"] == condition["type"]);
        let Some(was) = was.filter(|was| was.get("lastTransitionTime").is_some()) else { continue };
        let [has_flipped, has_moved] =
            ["status", "lastTransitionTime"].map(|field| was[field] != condition[field]);
        let age = text(was, "/lastTransitionTime").parse::<jiff::Timestamp>();
        let age = age.map(|moment| clock::operator_time().duration_since(moment).as_secs());
        // A status may flip twice within a second, and a write that was decided then may be sent
        // after a pause: as long as the Lease lasts.
        let may_stay = age.is_ok_and(|age| age.abs() <= 15)
            || clock::has_jumped_within(Duration::from_secs(15));
        if has_moved && !has_flipped || has_flipped && !has_moved && !may_stay {
            return Err(format!("wrong transition time: {was} is now {condition}"));
        }
    }
    Ok(())
}

/// A Lease is not taken from a holder before it has ended.
fn lease(server: &mut Server, process: &Network, write: &Written, sent: Duration) -> Checked {
    let holder = |lease: &Arc<Object>| text(lease, "/spec/holderIdentity").to_owned();
    let after = write.after.as_ref().map(holder).unwrap_or_default();
    let lasts = write.after.as_ref().and_then(|it| it["spec"]["leaseDurationSeconds"].as_u64());
    if after.is_empty() {
        process.set_term(None);
        server.leader = None;
        return Ok(());
    }
    server.leader = Some(process.id);
    let lasts = Duration::from_secs(lasts.unwrap_or(0));
    process.set_term(Some(Term { renewed: sent, answered: None, lasts }));
    let before = write.before.as_ref().map(holder).unwrap_or_default();
    let renewed = server.lease_renewed.replace(clock::elapsed());
    let lasted = write.before.as_ref().and_then(|it| it["spec"]["leaseDurationSeconds"].as_u64());
    let ends = renewed.unwrap_or_default() + Duration::from_secs(lasted.unwrap_or(0));
    if before.is_empty() || before == after || clock::elapsed() >= ends {
        return Ok(());
    }
    Err(format!("taken too early: {before} holds the Lease until {ends:?}"))
}

/// Everything but what is ours is as before.
fn only_ours(write: &Written) -> Checked {
    let (Some(before), Some(after)) = (&write.before, &write.after) else {
        return Err("not ours: it was created or deleted".into());
    };
    let clean = |object: &Arc<Object>| {
        let mut object = Value::clone(object);
        remove_ours(write.target.kind, &mut object);
        object
    };
    let (before, after) = (clean(before), clean(after));
    if before == after {
        return Ok(());
    }
    Err(format!("not ours: it changed more than our fields: {}", difference("", &before, &after)))
}

fn remove_ours(kind: Kind, object: &mut Value) {
    let metadata = object["metadata"].as_object_mut();
    if let Some(metadata) = metadata {
        metadata.remove("resourceVersion");
        metadata.remove("generation");
    }
    match kind {
        Kind::Node => {
            if let Some(labels) = object["metadata"]["labels"].as_object_mut() {
                labels.retain(|key, _| !key.starts_with(model::OUR_PREFIX));
            }
            let taints = object["spec"]["taints"].take();
            let taints = taints.as_array().into_iter().flatten();
            let foreign = taints.filter(|it| !model::OUR_TAINTS.contains(&text(it, "/key")));
            object["spec"]["taints"] = foreign.cloned().collect();
            if let Some(conditions) = object["status"]["conditions"].as_array_mut() {
                conditions.retain(|condition| condition["type"] != model::CONDITION);
            }
        }
        Kind::Policy => object["status"] = Value::Null,
        Kind::DaemonSet => remove_mount(object),
        _ => {}
    }
}

fn remove_mount(object: &mut Value) {
    if let Some(labels) = object["metadata"]["labels"].as_object_mut() {
        labels.remove(model::MOUNT_LABEL);
    }
    object["metadata"]["annotations"][crate::server::patch::TEMPLATE_GENERATION] = Value::Null;
    let pod = &mut object["spec"]["template"]["spec"];
    let volumes = pod["volumes"].as_array_mut();
    if let Some(volumes) = volumes {
        volumes.retain(|volume| volume["name"] != model::VOLUME);
    }
    for container in pod["containers"].as_array_mut().into_iter().flatten() {
        let mounts = container["volumeMounts"].as_array_mut();
        if let Some(mounts) = mounts {
            mounts.retain(|mount| mount["name"] != model::VOLUME);
        }
    }
}

/// The first place where the two differ.
fn difference(at: &str, before: &Value, after: &Value) -> String {
    if let (Value::Object(old), Value::Object(new)) = (before, after) {
        for key in old.keys().chain(new.keys()) {
            if before[key] != after[key] {
                return difference(&format!("{at}.{key}"), &before[key], &after[key]);
            }
        }
    }
    format!("{at}: {before} is now {after}")
}

/// Each ready value that the write sets is proved.
fn proved(server: &Server, process: &Network, write: &Written, sent: Duration) -> Checked {
    let (Some(before), Some(after)) = (&write.before, &write.after) else { return Ok(()) };
    let name = text(after, "/metadata/name").to_owned();
    let view = View { server, process, sent, since: u64::MAX, node: after, name };
    let differs = |key: &str| before["metadata"]["labels"][key] != after["metadata"]["labels"][key];
    let labels = after["metadata"]["labels"].as_object().into_iter().flatten();
    for (key, value) in labels.filter(|(key, _)| key.starts_with(model::OUR_PREFIX) && differs(key))
    {
        let policy = key.strip_prefix(model::POLICY_PREFIX);
        let is_proved = match (policy, value.as_str()) {
            (None, Some("true")) => view.proves_bpf(),
            (Some(policy), Some("ready")) => view.proves_policy(policy),
            _ => true,
        };
        if !is_proved {
            return Err(format!("false ready: {key}={value} without evidence of this boot"));
        }
    }
    let became_true = model::condition(after)
        .is_some_and(|condition| condition["status"] == "True")
        && model::condition(before).is_none_or(|condition| condition["status"] != "True");
    if became_true && !view.proves_bpf() {
        return Err("false ready: the condition is True without evidence of this boot".into());
    }
    Ok(())
}

/// Labels that were ready before and still are: the operator wrote them in this boot, or they are
/// proved now, or were when they were set. Then the operator has found them right.
fn no_claim_is_kept(
    server: &mut Server,
    process: &Network,
    write: &Written,
    sent: Duration,
) -> Checked {
    let Some(after) = &write.after else { return Ok(()) };
    let (uid, boot) = (text(after, "/metadata/uid").to_owned(), model::boot(after).to_owned());
    let labels = after["metadata"]["labels"].as_object().into_iter().flatten();
    let ready = labels.filter(|(key, value)| {
        key.starts_with(model::OUR_PREFIX) && (*value == "true" || *value == "ready")
    });
    let ready: BTreeSet<String> = ready.map(|(key, _)| key.clone()).collect();
    let ours = server.ours_ready.get(&uid).filter(|ours| ours.0 == boot);
    let is_ours = |key: &String| ours.is_some_and(|ours| ours.1.contains(key));
    let name = text(after, "/metadata/name").to_owned();
    let is_proved = |key: &str| {
        let name = name.clone();
        let since = ready_since(server, after, key);
        let view = View { server, process, sent, since, node: after, name };
        let policy = key.strip_prefix(model::POLICY_PREFIX);
        policy.map_or_else(|| view.proves_bpf(), |policy| view.proves_policy(policy))
    };
    let kept = ready.iter().find(|key| !is_ours(key) && !is_proved(key));
    if let Some(key) = kept {
        return Err(format!("false ready: {key} is kept, and somebody else has written it"));
    }
    server.ours_ready.insert(uid, (boot, ready));
    Ok(())
}

/// The version in which the Node got the label that it has now.
fn ready_since(server: &Server, node: &Value, label: &str) -> u64 {
    let value = |node: &Value| node["metadata"]["labels"][label].clone();
    let log = server.log(Kind::Node).iter().rev();
    let of_node = log.filter(|it| it.object["metadata"]["uid"] == node["metadata"]["uid"]);
    let same = of_node.take_while(|it| value(&it.object) == value(node));
    same.last().map_or(u64::MAX, |it| it.version)
}

/// What a process may believe of one node.
struct View<'a> {
    server: &'a Server,
    process: &'a Network,
    sent: Duration,
    /// What counts since this version counts too.
    since: u64,
    node: &'a Value,
    name: String,
}

type Versions = Vec<Option<Arc<Object>>>;

impl View<'_> {
    fn versions(&self, kind: Kind, name: &str) -> Versions {
        // The condition is written when the labels are, from the same observation.
        let observed = self.process.planned(&self.name, self.sent);
        let told = self.process.told_before(kind, observed).min(self.since);
        self.server.versions_since(kind, &(String::new(), name.to_owned()), told)
    }

    fn proves_bpf(&self) -> bool {
        let reports = self.versions(Kind::Report, &self.name);
        reports.iter().flatten().any(|report| model::proves(report, model::boot(self.node)))
    }

    fn proves_policy(&self, policy: &str) -> bool {
        let reports = self.versions(Kind::Report, &self.name);
        let policies = self.versions(Kind::Policy, policy);
        let is_ready = |policy: &Value, report: &Arc<Object>| {
            let profile = text(report, "/status/hookProfile");
            let profiles = self.versions(Kind::Profile, profile);
            let profiles = profiles.iter().map(|it| it.as_ref().map(|it| &***it));
            profiles.into_iter().any(|profile| {
                // Which TracingPolicies the process may believe in is not compared.
                let hooks = BTreeSet::new();
                let (node, report) = (self.node, Some(&***report));
                let facts = Facts { node, report, profile, tracing_hooks: &hooks };
                model::verdict(policy, facts) == State::Ready
            })
        };
        policies
            .iter()
            .flatten()
            .any(|policy| reports.iter().flatten().any(|report| is_ready(policy, report)))
    }
}
