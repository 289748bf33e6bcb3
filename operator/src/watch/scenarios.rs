//! A watch breaks, an object is deleted meanwhile, and the watch lists again: everything that was
//! remembered of the object is forgotten.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use lsm_ready_crds::policy::NodeCounts;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::{LsmHookProfile, LsmNode, LsmPolicy, names};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::*;
use crate::context::Context;
use crate::context::backoff::Backoff;
use crate::context::fixture::{self, Exchange, Fixture, Stored};
use crate::tetragon::state::DaemonSetState;
use crate::watch::triggers::Triggers;

const CRDS: &str = "/apis/lsmready.io/v1alpha1";

/// A list, as the API server answers it.
fn list<K: Kept>(path: &str, version: &str, items: &[&Value]) -> Exchange {
    let page = K::PAGE;
    let answer = json!({"kind": "List", "apiVersion": "v1", "items": items,
        "metadata": {"resourceVersion": version}});
    Exchange::new(&format!("GET {path}?&limit={page}"), Value::Null, answer)
}

/// The watch after that list. It breaks, because the API server no longer has this version.
fn broken_watch(path: &str, version: &str) -> Exchange {
    let watch = "watch=true&timeoutSeconds=10&allowWatchBookmarks=true";
    let request = format!("GET {path}?&{watch}&resourceVersion={version}");
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410,
        "reason": "Expired", "message": "too old resource version"});
    Exchange::new(&request, Value::Null, json!({"type": "ERROR", "object": status}))
}

/// The objects of one kind: one is in both lists, the other is deleted while the watch is broken.
struct Relisted<K: Stored> {
    path: String,
    kept: Value,
    gone: Value,
    trigger: fn(&Triggers, &Event<K::Kept>),
}

impl<K: Stored> Relisted<K> {
    /// Watches until the second list. `remember` is called after the first. Returns the context and
    /// the number of objects that the triggers remember after each list.
    async fn watch(self, remember: fn(&Context)) -> (Arc<Context>, [usize; 2]) {
        let (ctx, mut writers, server) = Fixture::new().plays_for_a_watch(vec![
            list::<K::Kept>(&self.path, "7", &[&self.kept, &self.gone]),
            broken_watch(&self.path, "7"),
            list::<K::Kept>(&self.path, "9", &[&self.kept]),
        ]);
        let triggers = Triggers::new(ctx.clone());
        let writer = std::mem::take(K::writer(&mut writers));
        let remembered = Mutex::new(Vec::new());
        let done = tokio::sync::Notify::new();
        let trigger = |event: &Event<K::Kept>, _: Option<&_>| {
            (self.trigger)(&triggers, event);
            if let Event::InitDone = event {
                remembered.lock().push(triggers.remembered());
                if remembered.lock().len() == 1 { remember(&ctx) } else { done.notify_one() }
            }
        };
        let plain = Parts::plain(&triggers, &FirstList::default(), self.trigger);
        let parts = Parts { trigger: Box::new(trigger), ..plain };
        tokio::select! {
            biased;
            () = watch(&ctx.client, writer, parts) => {}
            () = done.notified() => {}
            played = server => panic!("the script is over: {played:?}"),
        }
        let remembered = remembered.lock().clone().try_into().unwrap();
        (ctx.clone(), remembered)
    }
}

/// Whether the next failure is counted as the first one.
fn is_forgotten(backoff: &Backoff, uid: &str) -> bool {
    backoff.failed(uid) <= Duration::from_secs(6)
}

fn daemon_set(name: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "kube-system", "uid": format!("uid-{name}"),
            "labels": {names::DAEMON_SET_LABEL: "managed"}},
        "spec": {"selector": {}, "template": {}}})
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_deleted_while_its_watch_is_broken_is_forgotten() {
    let relisted = Relisted::<LsmPolicy> {
        path: format!("{CRDS}/lsmpolicies"),
        kept: fixture::policy("kept", &json!({})),
        gone: fixture::policy("gone", &json!({})),
        trigger: Triggers::policy,
    };
    let (ctx, remembered) = relisted
        .watch(|ctx| {
            for name in ["kept", "gone"] {
                let uid = format!("uid-{name}");
                ctx.metrics.policy(name, &NodeCounts::default(), &[]);
                ctx.rate_limit.allow(&uid, None, (ctx.instant)()).unwrap();
                ctx.backoffs.policies.failed(&uid);
            }
        })
        .await;
    assert_eq!(remembered, [2, 1]);
    let metrics = ctx.metrics.encode().unwrap();
    assert!(metrics.contains(r#"policy="kept""#) && !metrics.contains("gone"), "{metrics}");
    assert!(ctx.rate_limit.allow("uid-kept", None, (ctx.instant)()).is_err());
    assert!(ctx.rate_limit.allow("uid-gone", None, (ctx.instant)()).is_ok());
    assert!(!is_forgotten(&ctx.backoffs.policies, "uid-kept"));
    assert!(is_forgotten(&ctx.backoffs.policies, "uid-gone"));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_deleted_while_its_watch_is_broken_is_forgotten() {
    let relisted = Relisted::<Node> {
        path: "/api/v1/nodes".to_owned(),
        kept: fixture::node("kept"),
        gone: fixture::node("gone"),
        trigger: |triggers, event| triggers.node(event, None),
    };
    let (ctx, remembered) = relisted
        .watch(|ctx| {
            ctx.backoffs.nodes.failed("uid-kept");
            ctx.backoffs.nodes.failed("uid-gone");
        })
        .await;
    assert_eq!(remembered, [2, 1]);
    assert!(!is_forgotten(&ctx.backoffs.nodes, "uid-kept"));
    assert!(is_forgotten(&ctx.backoffs.nodes, "uid-gone"));
}

#[tokio::test(start_paused = true)]
async fn a_daemon_set_that_is_deleted_while_its_watch_is_broken_is_forgotten() {
    fn written() -> DaemonSetState {
        DaemonSetState { written: Some("7".to_owned()), ..DaemonSetState::default() }
    }
    fn object(name: &str) -> DaemonSet {
        serde_json::from_value(daemon_set(name)).unwrap()
    }
    let relisted = Relisted::<DaemonSet> {
        path: "/apis/apps/v1/daemonsets".to_owned(),
        kept: daemon_set("kept"),
        gone: daemon_set("gone"),
        trigger: Triggers::daemon_set,
    };
    let (ctx, remembered) = relisted
        .watch(|ctx| {
            for name in ["kept", "gone"] {
                ctx.backoffs.daemon_sets.failed(&format!("uid-{name}"));
                ctx.tetragon.remember(&object(name), written());
            }
        })
        .await;
    assert_eq!(remembered, [2, 1]);
    assert!(!is_forgotten(&ctx.backoffs.daemon_sets, "uid-kept"));
    assert!(is_forgotten(&ctx.backoffs.daemon_sets, "uid-gone"));
    assert_eq!(ctx.tetragon.recall(&object("kept")), written());
    assert_eq!(ctx.tetragon.recall(&object("gone")), DaemonSetState::default());
}

#[tokio::test(start_paused = true)]
async fn a_report_that_is_deleted_while_its_watch_is_broken_is_forgotten() {
    let report = |name: &str| {
        let mut report = fixture::report(name, "Denied", "CanaryDenied");
        report["status"]["securityfs"] = json!("NotInKernel");
        report
    };
    let relisted = Relisted::<LsmNode> {
        path: format!("{CRDS}/lsmnodes"),
        kept: report("kept"),
        gone: report("gone"),
        trigger: Triggers::report,
    };
    let (_, remembered) = relisted.watch(|_| {}).await;
    assert_eq!(remembered, [2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_hook_profile_that_is_deleted_while_its_watch_is_broken_is_forgotten() {
    fn profile(kernel: &str) -> LsmHookProfile {
        let spec = LsmHookProfileSpec { kernel: kernel.to_owned(), ..Default::default() };
        let mut profile = LsmHookProfile::new(&spec.digest(), spec);
        profile.metadata.uid = Some(format!("uid-{kernel}"));
        profile.metadata.resource_version = Some("1".to_owned());
        profile
    }
    let relisted = Relisted::<LsmHookProfile> {
        path: format!("{CRDS}/lsmhookprofiles"),
        kept: serde_json::to_value(profile("kept")).unwrap(),
        gone: serde_json::to_value(profile("gone")).unwrap(),
        trigger: Triggers::profile,
    };
    let (ctx, _) = relisted
        .watch(|ctx| {
            for kernel in ["kept", "gone"] {
                let spec = profile(kernel).spec;
                ctx.stores.contents.offer(&spec.digest(), Arc::new(spec));
            }
        })
        .await;
    assert!(ctx.stores.contents.get(&profile("kept").spec.digest()).is_some());
    assert!(ctx.stores.contents.get(&profile("gone").spec.digest()).is_none());
}

/// A deletion that has its event is treated like one that has none.
#[tokio::test]
async fn a_deleted_policy_is_forgotten() {
    let policy: LsmPolicy = serde_json::from_value(fixture::policy("gone", &json!({}))).unwrap();
    let ctx = Fixture::new().ctx;
    let triggers = Triggers::new(ctx.clone());
    triggers.policy(&Event::Apply(policy.clone()));
    ctx.metrics.policy("gone", &NodeCounts::default(), &[]);
    ctx.backoffs.policies.failed("uid-gone");
    triggers.policy(&Event::Delete(policy));
    assert_eq!(triggers.remembered(), 0);
    assert!(!ctx.metrics.encode().unwrap().contains("gone"));
    assert!(is_forgotten(&ctx.backoffs.policies, "uid-gone"));
}
