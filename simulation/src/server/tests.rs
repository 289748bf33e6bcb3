//! The simulated API server answers as the real one does.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use super::Server;
use super::kind::{Kind, Target};
use super::requests::{Answer, Call};
use crate::objects;
use crate::step::Tetragon;

const NODE: &str = "/api/v1/nodes/n0";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

fn call(method: Method, path: &str, content_type: &str, body: Value) -> Call {
    let (target, query) = (Target::parse(path), BTreeMap::new());
    let (path, content_type) = (path.to_owned(), content_type.to_owned());
    Call { method, path, target, query, content_type, body }
}

fn with_node() -> Server {
    let mut server = Server::default();
    server.put(Kind::Node, objects::node(0, "boot-1"));
    server
}

/// The code, and the version of the server afterwards.
fn send(server: &mut Server, call: &Call) -> (u16, u64) {
    let code = match server.handle(call).0 {
        Ok(Answer::Created(_)) => 201,
        Ok(_) => 200,
        Err(refusal) => refusal.code,
    };
    (code, server.version())
}

#[test]
fn a_patch_with_another_uid_or_version_is_a_conflict() {
    let mut server = with_node();
    let patch = |metadata: Value| call(Method::PATCH, NODE, MERGE, json!({"metadata": metadata}));
    let label = json!({"a": "b"});
    for (metadata, expected) in [
        (json!({"uid": "uid-9", "labels": label}), (409, 1)),
        (json!({"resourceVersion": "9", "labels": label}), (409, 1)),
        (json!({"uid": "uid-1", "resourceVersion": "1", "labels": label}), (200, 2)),
        (json!({"uid": "uid-1", "labels": label}), (200, 2)),
    ] {
        assert_eq!(send(&mut server, &patch(metadata.clone())), expected, "{metadata}");
    }
    assert_eq!(server.failure, None);
}

#[test]
fn a_request_that_is_not_modelled_fails_the_history() {
    for (method, path) in [
        (Method::DELETE, NODE),
        (Method::PUT, "/apis/lsmready.io/v1alpha1/lsmnodes/n0"),
        (Method::GET, "/apis/batch/v1/jobs"),
    ] {
        let mut server = with_node();
        assert!(server.handle(&call(method, path, "", Value::Null)).0.is_err(), "{path}");
        assert!(server.failure.is_some_and(|failure| failure.contains("not modelled")), "{path}");
    }
}

#[test]
fn a_list_has_pages_of_one_version() {
    let mut server = with_node();
    for node in 1..5 {
        server.put(Kind::Node, objects::node(node, "boot-1"));
    }
    let (mut token, mut names) = (String::new(), Vec::new());
    loop {
        let mut list = call(Method::GET, "/api/v1/nodes", "", Value::Null);
        list.query = [("limit", "500"), ("continue", token.as_str())]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        let Ok(Answer::List { text, is_last, .. }) = server.handle(&list).0 else { break };
        let page: Value = serde_json::from_slice(&text).unwrap_or_default();
        let items = page["items"].as_array().cloned().unwrap_or_default();
        names.extend(items.iter().map(|node| node["metadata"]["name"].clone()));
        page["metadata"]["continue"].as_str().unwrap_or_default().clone_into(&mut token);
        // What changes between two pages is not in the list.
        server.remove(Kind::Node, &(String::new(), "n4".to_owned()));
        assert_eq!(token.is_empty(), is_last);
        if is_last {
            break;
        }
    }
    assert_eq!(names, ["n0", "n1", "n2", "n3", "n4"]);
}

#[test]
fn what_is_applied_no_more_goes_and_the_rest_stays() {
    let mut server = Server::default();
    server.put(Kind::DaemonSet, objects::tetragon(Tetragon::NeedsMount));
    let key = ("kube-system".to_owned(), "tetragon".to_owned());
    let before = server.get(Kind::DaemonSet, &key).cloned().unwrap_or_default();
    let apply = |body: Value| {
        let path = "/apis/apps/v1/namespaces/kube-system/daemonsets/tetragon";
        call(Method::PATCH, path, APPLY, body)
    };
    let nothing = json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "tetragon", "uid": "uid-1"}});
    let mut mount = nothing.clone();
    mount["metadata"]["labels"] = json!({"lsmready.io/securityfs": "mounted"});
    mount["spec"]["template"]["spec"] = json!({
        "volumes": [{"name": "lsm-ready-securityfs", "hostPath": {"path": "/sys/kernel/security"}}],
        "containers": [{"name": "tetragon", "volumeMounts": [
            {"name": "lsm-ready-securityfs", "mountPath": "/sys/kernel/security"}]}],
    });
    assert_eq!(send(&mut server, &apply(mount.clone())), (200, 2));
    assert_eq!(send(&mut server, &apply(mount)), (200, 2), "the same again changes nothing");
    let with = server.get(Kind::DaemonSet, &key).cloned().unwrap_or_default();
    assert!(crate::model::tetragon::has_mount(&with));
    assert_eq!(with["metadata"]["generation"], 2);
    assert_eq!(send(&mut server, &apply(nothing)), (200, 3));
    let after = server.get(Kind::DaemonSet, &key).cloned().unwrap_or_default();
    assert_eq!(after["spec"], before["spec"]);
    assert_eq!(after["metadata"]["labels"], before["metadata"]["labels"]);
    assert_eq!(server.failure, None);
}

#[test]
fn the_versions_that_a_process_may_believe_begin_with_what_it_was_told() {
    let mut server = with_node();
    let key = (String::new(), "n0".to_owned());
    for boot in ["boot-2", "boot-3"] {
        server.edit(Kind::Node, &key, |node| node["status"]["nodeInfo"]["bootID"] = json!(boot));
    }
    server.remove(Kind::Node, &key);
    let boots = |version| {
        let versions = server.versions_since(Kind::Node, &key, version).into_iter();
        let boot =
            |node: std::sync::Arc<super::object::Object>| crate::model::boot(&node).to_owned();
        versions.map(|node| node.map_or_else(|| "none".to_owned(), boot)).collect::<Vec<_>>()
    };
    assert_eq!(boots(0), ["none", "boot-1", "boot-2", "boot-3", "none"]);
    assert_eq!(boots(2), ["boot-2", "boot-3", "none"]);
    assert_eq!(boots(9), ["none"]);
}
