//! The requests that the operator sends, and their answers.
//!
//! ## Errors
//! A request that is not modelled fails the history.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use kube::client::Body;
use serde_json::{Value, json};

use super::answer::Refusal;
use super::kind::{Kind, Target};
use super::object::{self, Object};
use super::patch::{self, Applied};
use super::{ChangeType, Key, Server, key_of};
use crate::clock;

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    pub path: String,
    /// Nothing for discovery, and for what is not modelled.
    pub target: Option<Target>,
    pub query: BTreeMap<String, String>,
    pub content_type: String,
    pub body: Value,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Answer {
    Object(Bytes),
    Created(Bytes),
    /// A page of the objects at that version, and whether it is the last.
    List {
        text: Bytes,
        version: u64,
        is_last: bool,
    },
    Watch(Kind, u64),
}

/// A write that was committed, as the checks see it.
#[derive(Clone, Debug)]
pub struct Written {
    pub target: Target,
    pub before: Option<Arc<Object>>,
    pub after: Option<Arc<Object>>,
    /// The request named the version that it is about.
    pub has_version: bool,
}

type Result<T> = std::result::Result<T, Refusal>;

impl Call {
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.method != Method::GET
    }

    #[must_use]
    pub fn is_watch(&self) -> bool {
        self.query.get("watch").is_some_and(|value| value == "true" || value == "1")
    }

    fn precondition(&self, field: &str) -> Option<&str> {
        let at = match self.method {
            Method::DELETE => &self.body["preconditions"],
            _ if self.body["kind"] == "Eviction" => &self.body["deleteOptions"]["preconditions"],
            _ => &self.body["metadata"],
        };
        at[field].as_str()
    }
}

/// Reads a request of a client.
///
/// # Errors
/// The body is not JSON.
pub async fn read(request: http::Request<Body>) -> io::Result<Call> {
    let (parts, body) = request.into_parts();
    let bytes = body.collect_bytes().await.map_err(io::Error::other)?;
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? };
    let content_type = parts.headers.get(http::header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let pairs = parts.uri.query().unwrap_or_default().split('&');
    let query: BTreeMap<String, String> = pairs
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    Ok(Call {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        target: Target::parse(parts.uri.path()),
        query,
        content_type: content_type.to_owned(),
        body,
    })
}

impl Server {
    /// Answers a request. A committed write is returned too.
    pub fn handle(&mut self, call: &Call) -> (Result<Answer>, Option<Written>) {
        if let Some(answer) = self.discovery(&call.path) {
            return (answer.map(|answer| Answer::Object(object::json(&answer))), None);
        }
        let target = call.target.clone();
        let target =
            target.filter(|target| self.has_tracing_policies || !target.kind.is_tracing_policy());
        let Some(target) = target else {
            if !call.path.contains("/cilium.io/") {
                self.fail(|| format!("not modelled: {} {}", call.method, call.path));
            }
            return (Err(Refusal::not_found(&call.path)), None);
        };
        if call.method == Method::GET {
            return (self.read(call, &target), None);
        }
        let key =
            (target.namespace.clone(), target.name.clone().unwrap_or_else(|| key_of(&call.body).1));
        let before = self.get(target.kind, &key).cloned();
        let version = self.version;
        let answer = self.write(call, &target, &key, before.as_ref());
        let has_version = call.precondition("resourceVersion").is_some();
        let after = self.get(target.kind, &key).cloned();
        let written =
            (self.version != version).then_some(Written { target, before, after, has_version });
        (answer, written)
    }

    fn read(&self, call: &Call, target: &Target) -> Result<Answer> {
        if let Some(name) = &target.name {
            let key = (target.namespace.clone(), name.clone());
            let object = self.get(target.kind, &key).ok_or_else(|| Refusal::not_found(name))?;
            return Ok(Answer::Object(object.json()));
        }
        let asked = call.query.get("resourceVersion").and_then(|version| version.parse().ok());
        if call.is_watch() {
            if call.query.contains_key("sendInitialEvents") {
                return Err(Refusal::new(422, "Invalid", "there are no streaming lists"));
            }
            return Ok(Answer::Watch(target.kind, asked.unwrap_or(self.version)));
        }
        self.list(call, target)
    }

    fn list(&self, call: &Call, target: &Target) -> Result<Answer> {
        let limit = call.query.get("limit").and_then(|limit| limit.parse().ok());
        // Pages are smaller than what is asked for, so that there are several.
        let limit = limit.map_or(usize::MAX, |limit: usize| limit.min(2));
        let (begin, version) = match call.query.get("continue").filter(|token| !token.is_empty()) {
            None => (0, self.version),
            Some(token) => {
                let (begin, version) = token.split_once('-').unwrap_or(("0", "0"));
                (begin.parse().unwrap_or(0), version.parse().unwrap_or(0))
            }
        };
        if version < self.compacted {
            return Err(Refusal::new(410, "Expired", "the continue token is too old"));
        }
        let in_scope = |key: &Key| target.namespace.is_empty() || key.0 == target.namespace;
        let all = self.at(target.kind, version);
        let all: Vec<_> = all.into_iter().filter(|(key, _)| in_scope(key)).collect();
        let page: Vec<Bytes> =
            all.iter().skip(begin).take(limit).map(|(_, it)| it.json()).collect();
        let next = begin + page.len();
        let is_last = next >= all.len();
        let token = if is_last { String::new() } else { format!("{next}-{version}") };
        let (api_version, kind) = (target.kind.api_version(), target.kind.name());
        let begin = format!(r#"{{"apiVersion":"{api_version}","kind":"{kind}List","metadata":"#);
        let metadata = json!({"resourceVersion": version.to_string(), "continue": token});
        let items = page.join(&b","[..]);
        let parts = [begin.as_bytes(), &object::json(&metadata), b",\"items\":[", &items, b"]}"];
        Ok(Answer::List { text: parts.concat().into(), version, is_last })
    }

    /// The objects as they were at that version.
    #[must_use]
    pub fn at(&self, kind: Kind, version: u64) -> BTreeMap<Key, Arc<Object>> {
        if self.log(kind).last().is_none_or(|last| last.version <= version) {
            return self.objects[kind.index()].clone();
        }
        let mut objects = BTreeMap::new();
        for change in self.log(kind).iter().take_while(|change| change.version <= version) {
            match change.type_ {
                ChangeType::Deleted => objects.remove(&change.key),
                _ => objects.insert(change.key.clone(), change.object.clone()),
            };
        }
        objects
    }

    fn write(
        &mut self,
        call: &Call,
        target: &Target,
        key: &Key,
        before: Option<&Arc<Object>>,
    ) -> Result<Answer> {
        let subresource = target.subresource.as_deref();
        match (&call.method, target.kind, subresource) {
            (&Method::POST, Kind::Lease | Kind::Event, None) => self.create(call, target, before),
            (&Method::POST, Kind::Pod, Some("eviction")) => {
                let pod = precondition(call, key, before)?.clone();
                self.remove(Kind::Pod, &key_of(&pod));
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Success",
                    "code": 201});
                Ok(Answer::Created(object::json(&status)))
            }
            (&Method::DELETE, Kind::Profile, None) => {
                let object = precondition(call, key, before)?.json();
                self.remove(target.kind, key);
                Ok(Answer::Object(object))
            }
            (&Method::PUT, Kind::Lease, None) => {
                let before = precondition(call, key, before)?.clone();
                let mut after = call.body.clone();
                // Of the metadata a client may change labels and annotations.
                let annotations = after["metadata"]["annotations"].take();
                after["metadata"] = before["metadata"].clone();
                after["metadata"]["annotations"] = annotations;
                Ok(Answer::Object(self.replace(Kind::Lease, key, &before, after).json()))
            }
            (&Method::PATCH, _, _) => {
                let before = precondition(call, key, before)?.clone();
                let after = self.patched(call, target, &before)?;
                if call.query.contains_key("dryRun") {
                    return Ok(Answer::Object(object::json(&after)));
                }
                Ok(Answer::Object(self.replace(target.kind, key, &before, after).json()))
            }
            _ => self.not_modelled(call, "the verb"),
        }
    }

    fn create(
        &mut self,
        call: &Call,
        target: &Target,
        before: Option<&Arc<Object>>,
    ) -> Result<Answer> {
        if before.is_some() {
            return Err(Refusal::new(409, "AlreadyExists", "it exists already"));
        }
        let mut object = call.body.clone();
        object["metadata"]["namespace"] = json!(target.namespace);
        let key = key_of(&object);
        self.put(target.kind, object);
        let created = self.get(target.kind, &key).ok_or_else(|| Refusal::not_found(&key.1))?;
        Ok(Answer::Created(created.json()))
    }

    fn patched(&mut self, call: &Call, target: &Target, before: &Arc<Object>) -> Result<Value> {
        let mut after = Value::clone(before);
        let (body, type_) = (&call.body, call.content_type.as_str());
        match (target.kind, target.subresource.as_deref(), type_) {
            (Kind::Node, None, "application/merge-patch+json") => {
                if body.get("status").is_some() {
                    return self.not_modelled(call, "a status in a patch of a Node").map(|_| after);
                }
                let mut patch = body.clone();
                without_preconditions(&mut patch);
                patch::merge(&mut after, &patch);
            }
            (Kind::Node, Some("status"), "application/strategic-merge-patch+json") => {
                let fields = patch::only(body, &["metadata", "status", "apiVersion", "kind"])
                    .and_then(|()| patch::only(&body["status"], &["conditions"]));
                if let Err(field) = fields {
                    return self.not_modelled(call, &field).map(|_| after);
                }
                let conditions = body["status"]["conditions"].as_array().cloned();
                patch::merge_conditions(&mut after, &conditions.unwrap_or_default());
                // The strategy of a Node's status keeps the spec only.
                if let Some(labels) = body["metadata"].get("labels") {
                    patch::merge(&mut after["metadata"]["labels"], labels);
                }
            }
            (Kind::Policy, Some("status"), "application/apply-patch+yaml") => {
                after["status"] = body["status"].clone();
            }
            (Kind::Lease | Kind::Event, None, "application/merge-patch+json") => {
                let mut patch = body.clone();
                without_preconditions(&mut patch);
                patch::merge(&mut after, &patch);
            }
            (Kind::DaemonSet, None, "application/apply-patch+yaml") => {
                let applied = match Applied::read(body) {
                    Ok(applied) => applied,
                    Err(field) => return self.not_modelled(call, &field).map(|_| after),
                };
                let uid = before["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
                let known = self.applied.get(&uid).cloned().unwrap_or_default();
                if !call.query.contains_key("dryRun") {
                    self.applied.insert(uid, applied.clone());
                }
                if known != applied {
                    known.withdraw(&mut after);
                }
                applied.add(&mut after);
            }
            _ => return self.not_modelled(call, "the patch").map(|_| after),
        }
        Ok(after)
    }

    fn not_modelled(&mut self, call: &Call, what: &str) -> Result<Answer> {
        let Call { method, path, content_type, .. } = call;
        self.fail(|| format!("not modelled: {what}: {method} {path} {content_type}"));
        Err(Refusal::new(500, "InternalError", "not modelled"))
    }

    /// Discovery, and the Events of the core API, of which there are none.
    fn discovery(&self, path: &str) -> Option<Result<Value>> {
        let version = json!({"groupVersion": "cilium.io/v1alpha1", "version": "v1alpha1"});
        let group =
            json!({"name": "cilium.io", "versions": [version], "preferredVersion": version});
        let groups = if self.has_tracing_policies { vec![group] } else { Vec::new() };
        let resource = |plural: &str, kind: &str, namespaced: bool| {
            json!({"name": plural, "singularName": "", "namespaced": namespaced, "kind": kind,
                "verbs": ["get", "list", "watch"]})
        };
        match path {
            "/apis" => Some(Ok(json!({"kind": "APIGroupList", "apiVersion": "v1",
                "groups": groups}))),
            "/apis/cilium.io/v1alpha1" if self.has_tracing_policies => Some(Ok(json!({
                "kind": "APIResourceList", "apiVersion": "v1",
                "groupVersion": "cilium.io/v1alpha1",
                "resources": [
                    resource("tracingpolicies", "TracingPolicy", false),
                    resource("tracingpoliciesnamespaced", "TracingPolicyNamespaced", true),
                ],
            }))),
            _ if path.starts_with("/api/v1/") && path.ends_with("/events") => Some(Ok(json!({
                "kind": "EventList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"},
                "items": [],
            }))),
            _ => None,
        }
    }
}

/// The object, where the request's preconditions hold.
fn precondition<'a>(
    call: &Call,
    key: &Key,
    before: Option<&'a Arc<Object>>,
) -> Result<&'a Arc<Object>> {
    let before = before.ok_or_else(|| match call.precondition("uid") {
        Some(_) if call.content_type.contains("apply") => {
            Refusal::conflict("uid mismatch: no existing object was found")
        }
        _ => Refusal::not_found(&key.1),
    })?;
    for field in ["uid", "resourceVersion"] {
        let wanted = call.precondition(field);
        if wanted.is_some_and(|wanted| before["metadata"][field] != wanted) {
            let message = format!("{field} mismatch at {}: the object has been modified", key.1);
            return Err(Refusal::conflict(message));
        }
    }
    Ok(before)
}

fn without_preconditions(patch: &mut Value) {
    if let Some(metadata) = patch["metadata"].as_object_mut() {
        metadata.remove("uid");
        metadata.remove("resourceVersion");
    }
}

/// Time of the history, for the log of a failing history.
#[must_use]
pub fn stamp() -> String {
    format!("{:9.3}", clock::elapsed().as_secs_f64())
}
