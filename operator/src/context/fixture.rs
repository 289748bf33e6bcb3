//! A context for scenarios: stores that are filled by hand, and an API server that follows a
//! script.
//!
//! The script is exact. A scenario fails at a request that is not the next one of the script, and
//! at a request that never comes. A scenario with an empty script proves that nothing is sent.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use jiff::Timestamp;
use kube::client::Body;
use kube::{Client, ResourceExt};
use kube_runtime::events::Reporter;
use kube_runtime::reflector::store::Writer;
use kube_runtime::watcher::Event;
use lsm_ready_crds::fixture;
use lsm_ready_crds::selection::{Labels, OS_LABEL, Selection};
use lsm_ready_tetragon::tracing_policy::Name;
use proptest::prelude::*;
use proptest::{collection, sample};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower_test::mock;

use crate::context::Context;
use crate::context::moment::tests::second;
use crate::tracing_policies::snapshot::Object;
use crate::tracing_policies::snapshot::tests::object;
use crate::watch::kept::Kept;
use crate::watch::profile::Profile;
use crate::watch::queue::{Receivers, queues};
use crate::watch::store::{Writers, stores};

type Handle = mock::Handle<http::Request<Body>, http::Response<Body>>;

/// The start of a scenario.
pub(crate) struct Fixture {
    pub(crate) ctx: Arc<Context>,
    pub(crate) receivers: Receivers,
    writers: Writers,
    handle: Handle,
}

/// Ten minutes after midnight on 2026-01-01.
fn now() -> Timestamp {
    Timestamp::from_second(1_767_226_200).unwrap()
}

fn instant() -> Instant {
    second(0).instant
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let (service, handle) = mock::pair();
        let client = Client::new(service, "default");
        let (stores, writers) = stores();
        let (queues, receivers) = queues();
        let reporter = Reporter { controller: "test".into(), instance: None };
        let ctx = Arc::new(Context {
            now,
            instant,
            ..Context::new(
                client,
                reporter,
                stores,
                queues,
                crate::context::metrics::Metrics::default(),
            )
        });
        Self { ctx, receivers, writers, handle }
    }

    /// Puts an object into its store, as a watch does.
    pub(crate) fn with<K: Stored>(mut self, object: Value) -> Self {
        let object: K = serde_json::from_value(object).unwrap();
        object.put(&self.ctx, &mut self.writers, Event::Apply);
        self
    }

    /// Changes a store by any event.
    pub(crate) fn with_event<K: Stored>(
        mut self,
        object: Value,
        event: fn(K::Kept) -> Event<K::Kept>,
    ) -> Self {
        let object: K = serde_json::from_value(object).unwrap();
        object.put(&self.ctx, &mut self.writers, event);
        self
    }

    /// Replaces a store's objects, as a list after a broken watch does.
    pub(crate) fn with_list<K: Stored>(mut self, objects: &[Value]) -> Self {
        K::writer(&mut self.writers).apply_watcher_event(&Event::Init);
        for object in objects {
            let object: K = serde_json::from_value(object.clone()).unwrap();
            object.put(&self.ctx, &mut self.writers, Event::InitApply);
        }
        K::writer(&mut self.writers).apply_watcher_event(&Event::InitDone);
        self
    }

    /// Sets the TracingPolicies of the cluster, as a list does. There are no namespaced ones.
    pub(crate) fn with_tracing_policies(self, objects: &[Value]) -> Self {
        let objects: BTreeMap<_, _> = objects.iter().map(object).collect();
        self.writers.tracing_policies.listed(0, objects);
        self.writers.tracing_policies.listed(1, BTreeMap::<Name, Object>::new());
        self
    }

    /// Replaces the wall clock and the monotonic clock.
    pub(crate) fn with_clocks(mut self, now: fn() -> Timestamp, instant: fn() -> Instant) -> Self {
        let ctx = Arc::get_mut(&mut self.ctx).unwrap();
        (ctx.now, ctx.instant) = (now, instant);
        self
    }

    /// Starts the API server, which expects exactly these requests in this order. The task ends
    /// after the last one.
    pub(crate) fn plays(
        self,
        script: Vec<Exchange>,
    ) -> (Arc<Context>, tokio::task::JoinHandle<()>) {
        let mut handle = self.handle;
        let played = tokio::spawn(async move {
            answer_all(&mut handle, script).await;
            if let Some((request, _)) = handle.next_request().await {
                panic!("request after the script: {} {}", request.method(), request.uri());
            }
        });
        (self.ctx, played)
    }

    /// As [`Fixture::plays`], for a watch, which never stops asking: requests after the script are
    /// never answered. Also returns the write sides of the stores.
    pub(crate) fn plays_for_a_watch(
        self,
        script: Vec<Exchange>,
    ) -> (Arc<Context>, Writers, tokio::task::JoinHandle<()>) {
        let mut handle = self.handle;
        let played = tokio::spawn(async move {
            answer_all(&mut handle, script).await;
            let unanswered = handle.next_request().await;
            std::future::pending::<()>().await;
            drop(unanswered);
        });
        (self.ctx, self.writers, played)
    }
}

async fn answer_all(handle: &mut Handle, script: Vec<Exchange>) {
    for exchange in script {
        let (request, respond) =
            handle.next_request().await.unwrap_or_else(|| panic!("missing request: {exchange:?}"));
        let found = format!("{} {}", request.method(), request.uri());
        assert_eq!(found, exchange.request, "the request is not the next one of the script");
        let body = request.into_body().collect_bytes().await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if let Some(wanted) = exchange.body {
            assert_eq!(body, wanted, "the body of {found}");
        }
        let answer = serde_json::to_vec(&exchange.answer).unwrap();
        let mut response = http::Response::builder().status(exchange.status);
        if let Some(warning) = exchange.warning {
            response = response.header(http::header::WARNING, warning);
        }
        respond.send_response(response.body(Body::from(answer)).unwrap());
    }
}

/// One request and its answer.
#[derive(Debug)]
pub(crate) struct Exchange {
    request: String,
    body: Option<Value>,
    status: u16,
    answer: Value,
    warning: Option<&'static str>,
}

impl Exchange {
    /// A request with that body, which is answered with that object.
    pub(crate) fn new(request: &str, body: Value, answer: Value) -> Self {
        Self { request: request.into(), body: Some(body), status: 200, answer, warning: None }
    }

    /// A request whose body is not compared.
    pub(crate) fn any(request: &str, answer: Value) -> Self {
        Self { request: request.into(), body: None, status: 200, answer, warning: None }
    }

    /// The creation of an Event. Its body holds the present time, so it is not compared.
    pub(crate) fn event() -> Self {
        let event = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {"name": "e"}, "eventTime": null});
        let request = "POST /apis/events.k8s.io/v1/namespaces/default/events?".into();
        Self { request, body: None, status: 201, answer: event, warning: None }
    }

    /// The same answer with a header `Warning`.
    pub(crate) fn with_warning(self, warning: &'static str) -> Self {
        Self { warning: Some(warning), ..self }
    }

    /// A request that the API server refuses.
    pub(crate) fn refused(request: &str, body: Value, code: u16, reason: &str) -> Self {
        let answer = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
            "reason": reason, "message": format!("the server says {reason}")});
        Self { request: request.into(), body: Some(body), status: code, answer, warning: None }
    }
}

/// A kind that has a store.
pub(crate) trait Stored: serde::de::DeserializeOwned + Clone + Debug + 'static {
    /// What is kept of it.
    type Kept: Kept;

    fn writer(writers: &mut Writers) -> &mut Writer<<Self::Kept as Kept>::Stored>;

    /// Puts it into its store by an event.
    fn put(self, ctx: &Context, writers: &mut Writers, event: fn(Self::Kept) -> Event<Self::Kept>);
}

macro_rules! stored {
    ($($kind:ty => $field:ident),+ $(,)?) => {
        $(impl Stored for $kind {
            type Kept = Self;

            fn writer(writers: &mut Writers) -> &mut Writer<<Self as Kept>::Stored> {
                &mut writers.$field
            }

            fn put(self, _: &Context, writers: &mut Writers, event: fn(Self) -> Event<Self>) {
                Self::store(&mut writers.$field, &event(self));
            }
        })+
    };
}

stored! {
    k8s_openapi::api::core::v1::Node => nodes,
    k8s_openapi::api::apps::v1::DaemonSet => daemon_sets,
    lsm_ready_crds::LsmNode => reports,
    lsm_ready_crds::LsmPolicy => policies,
}

impl Stored for lsm_ready_crds::LsmHookProfile {
    type Kept = Profile;

    fn writer(writers: &mut Writers) -> &mut Writer<Profile> {
        &mut writers.profiles
    }

    fn put(self, ctx: &Context, writers: &mut Writers, event: fn(Profile) -> Event<Profile>) {
        let mut profile = Profile::from(self);
        if let Some(content) = profile.take_content() {
            ctx.stores.contents.offer(&profile.name_any(), content);
        }
        writers.profiles.apply_watcher_event(&event(profile));
    }
}

/// A Linux Node in its boot `b00t`.
pub(crate) fn node(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "uid": format!("uid-{name}"), "resourceVersion": "7",
            "labels": {"kubernetes.io/os": "linux"}},
        "status": {"nodeInfo": {
            "bootID": "b00t", "operatingSystem": "linux", "architecture": "", "osImage": "",
            "containerRuntimeVersion": "", "kernelVersion": "", "kubeProxyVersion": "",
            "kubeletVersion": "", "machineID": "", "systemUUID": ""}},
    })
}

/// A consistent report of that node in its boot `b00t`.
pub(crate) fn report(name: &str, evidence: &str, reason: &str) -> Value {
    let status = fixture::report("b00t", fixture::evidence(evidence), reason);
    let mut report = json!({
        "apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode", "metadata": {"name": name},
        "status": status,
    });
    report["status"]["message"] = json!("because");
    report["status"]["observedTime"] = json!("2026-01-01T00:00:00Z");
    report
}

/// A policy with that spec.
pub(crate) fn policy(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy",
        "metadata": {"name": name, "uid": format!("uid-{name}"), "generation": 1,
            "resourceVersion": "5"},
        "spec": spec,
    })
}

/// A policy with that spec, which has reached every node.
pub(crate) fn settled_policy(name: &str, spec: &Value) -> Value {
    let mut policy = policy(name, spec);
    policy["status"] = json!({"observedGeneration": 1});
    policy
}

/// The selection of that `nodeSelector`.
pub(crate) fn selection(selector: &Value) -> Selection {
    let spec = serde_json::from_value(json!({ "nodeSelector": selector })).unwrap();
    Selection::of(&spec).unwrap()
}

/// Any selection by a few labels.
pub(crate) fn any_selection() -> impl Strategy<Value = Selection> {
    let value = || sample::select(vec!["1", "2", "linux"]);
    let key = || sample::select(vec!["a", "b", "ab", OS_LABEL]);
    let operator = sample::select(vec!["In", "NotIn", "Exists", "DoesNotExist"]);
    let expression = (key(), operator, collection::vec(value(), 1..3));
    let expression = expression.prop_map(|(key, operator, values)| {
        let values = if operator.ends_with("In") { values } else { Vec::new() };
        json!({"key": key, "operator": operator, "values": values})
    });
    let labels = collection::btree_map(key(), value(), 0..3);
    let selector = (labels, collection::vec(expression, 0..4)).prop_map(
        |(labels, expressions)| json!({"matchLabels": labels, "matchExpressions": expressions}),
    );
    prop_oneof![1 => Just(Value::Null), 9 => selector].prop_map(|selector| selection(&selector))
}

/// Any labels by which [`any_selection`] may select, and others.
pub(crate) fn any_labels() -> impl Strategy<Value = Labels> {
    let key = sample::select(vec!["a", "b", "ab", "", OS_LABEL]).prop_map(str::to_owned);
    let value = sample::select(vec!["1", "2", "", "linux", "windows"]).prop_map(str::to_owned);
    collection::btree_map(key, value, 0..6)
}
