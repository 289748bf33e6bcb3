//! One namespace with a Tetragon DaemonSet in it, a policy for it, and the Tetragon controller.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use e2e::wait;
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::{Client, ResourceExt};
use kube_runtime::reflector::ObjectRef;
use lsm_ready_crds::fixture;
use lsm_ready_operator::context::Context;
use lsm_ready_operator::tetragon::reconcile;
use lsm_ready_operator::tetragon::state::DaemonSetState;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::releases::release;
use crate::server::{self, Answer, NAMESPACE, OPERATOR, account, call, done, granted, shared};

const DEADLINE: Duration = Duration::from_secs(30);
/// The name that the DaemonSet controller gives a pod.
pub const AGENT: &str = "tetragon-abcde";
const POLICIES: &str = "/apis/lsmready.io/v1alpha1/lsmpolicies";

/// A client with the operator's rights. Its kubeconfig is written once, because the tests run in
/// parallel.
async fn operator() -> Client {
    static KUBECONFIG: OnceCell<PathBuf> = OnceCell::const_new();
    let kubeconfig = KUBECONFIG.get_or_init(async || {
        shared().await.kubeconfig_for(&account(OPERATOR), Some("system:serviceaccounts")).unwrap()
    });
    e2e::api::client(kubeconfig.await).await.unwrap()
}

/// One namespace with a Tetragon DaemonSet, a policy with the namespace's name, and the controller.
pub struct Scene {
    pub name: &'static str,
    pub admin: Client,
    pub ctx: Arc<Context>,
    pub created: Value,
}

impl Scene {
    /// Creates the DaemonSet of Tetragon 1.3 by a plain POST of a manager `helm`, as Helm 3 and
    /// `kubectl create` do.
    pub async fn new(name: &'static str) -> Self {
        Self::with(name, release("v1.3")).await
    }

    pub async fn with(name: &'static str, object: Value) -> Self {
        Self::as_user(name, object, operator().await).await
    }

    /// As [`Self::with`]. The controller writes with the rights of `operator`.
    pub async fn as_user(name: &'static str, object: Value, operator: Client) -> Self {
        let mut scene = Self::without_daemon_set(name, operator).await;
        scene.created = scene.create(object).await;
        scene.sees_its_daemon_set().await;
        scene
    }

    /// Waits until the controller has seen the DaemonSet. It forgets what it knows of others.
    async fn sees_its_daemon_set(&self) {
        wait::until(DEADLINE, "the DaemonSet", async || {
            let key = ObjectRef::new("tetragon").within(self.name);
            self.ctx.stores.daemon_sets.get(&key).map(drop).ok_or("not in the store")
        })
        .await
        .unwrap();
    }

    /// Creates no DaemonSet: the test installs Tetragon.
    pub async fn empty(name: &'static str) -> Self {
        Self::without_daemon_set(name, operator().await).await
    }

    async fn without_daemon_set(name: &'static str, operator: Client) -> Self {
        let admin = shared().await.client().await.unwrap();
        done(&admin, "POST", "/api/v1/namespaces", &json!({"metadata": {"name": name}})).await;
        let ctx = context(&admin, operator).await;
        let scene = Self { name, admin, ctx, created: Value::Null };
        scene.set_securityfs(&json!({})).await;
        scene
    }

    pub async fn create(&self, mut object: Value) -> Value {
        object["metadata"]["namespace"] = json!(self.name);
        for set_by_the_server in ["uid", "resourceVersion", "generation"] {
            object["metadata"].as_object_mut().unwrap().remove(set_by_the_server);
        }
        let path = format!("/apis/apps/v1/namespaces/{}/daemonsets?fieldManager=helm", self.name);
        done(&self.admin, "POST", &path, &object).await
    }

    /// Sets the policy's `spec.tetragon.securityfs`. Returns when the controller has seen it.
    pub async fn set_securityfs(&self, securityfs: &Value) {
        self.set_tetragon(&json!({ "securityfs": securityfs })).await;
    }

    /// Sets the policy's `spec.tetragon`. Returns when the controller has seen it.
    pub async fn set_tetragon(&self, tetragon: &Value) {
        let mut tetragon = tetragon.clone();
        tetragon["daemonSet"] = json!({"namespace": self.name});
        let policy = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy",
            "spec": {"tetragon": tetragon}});
        let stored =
            done(&self.admin, "APPLY", &format!("{POLICIES}/{}", self.name), &policy).await;
        let version = stored["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
        self.known("the policy", |policy| policy == Some(version.as_str())).await;
    }

    /// Grants the operator the right to publish Events in this namespace.
    pub async fn allow_events(&self) {
        let create = json!({"verb": "create", "group": "events.k8s.io", "resource": "events",
            "namespace": self.name});
        self.bind("lsm-ready-events", &create).await;
    }

    /// Grants the operator the right to read the agents' pods in this namespace.
    pub async fn allow_reading_pods(&self) {
        let list = json!({"verb": "list", "resource": "pods", "namespace": self.name});
        self.bind("lsm-ready-agents", &list).await;
    }

    /// Grants the operator the right to evict agents in this namespace.
    pub async fn allow_evictions(&self) {
        let create = json!({"verb": "create", "resource": "pods", "subresource": "eviction",
            "namespace": self.name});
        self.bind("lsm-ready-restarting", &create).await;
    }

    /// Grants the operator a ClusterRole in this namespace, and waits until it has this right.
    async fn bind(&self, role: &str, right: &Value) {
        let role_ref = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": role});
        let binding = json!({"metadata": {"name": role}, "roleRef": role_ref,
            "subjects": [{"kind": "ServiceAccount", "name": OPERATOR, "namespace": NAMESPACE}]});
        let path =
            format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings", self.name);
        done(&self.admin, "POST", &path, &binding).await;
        granted(shared().await, &account(OPERATOR), right).await;
    }

    /// Creates a node that could not deny before that time of its present boot. Returns when the
    /// controller has seen it.
    pub async fn repaired_node(&self, name: &str, since: &str) {
        server::create_node(shared().await, name).await;
        let path = format!("/apis/lsmready.io/v1alpha1/lsmnodes/{name}");
        let report = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode"});
        done(&self.admin, "APPLY", &path, &report).await;
        let mut status = json!({"status": fixture::denied("1")});
        status["status"]["deniedSince"] = json!(since);
        done(&self.admin, "MERGE", &format!("{path}/status"), &status).await;
        wait::until(DEADLINE, "the repaired node", async || {
            let report = self.ctx.stores.reports.get(&ObjectRef::new(name));
            let known = report
                .and_then(|report| report.status.clone())
                .is_some_and(|status| status.denied_since.is_some());
            let booted = self.ctx.stores.nodes.get(name);
            let booted =
                booted.is_some_and(|node| lsm_ready_operator::watch::store::boot_id(&node) == "1");
            if known && booted { Ok(()) } else { Err(format!("report {known}, node {booted}")) }
        })
        .await
        .unwrap();
    }

    /// Creates the DaemonSet's only agent as the DaemonSet controller and a kubelet would. Returns
    /// its path.
    pub async fn agent(&self, daemon_set: &Value, node: &str, started: &str) -> String {
        let namespace = format!("/api/v1/namespaces/{}", self.name);
        let account = json!({"metadata": {"name": "tetragon"}});
        done(&self.admin, "POST", &format!("{namespace}/serviceaccounts"), &account).await;
        let owner = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "tetragon",
            "controller": true,
            "uid": daemon_set["metadata"]["uid"]});
        let labels = &daemon_set["spec"]["template"]["metadata"]["labels"];
        let pod = json!({
            "metadata": {"name": AGENT, "labels": labels, "ownerReferences": [owner]},
            "spec": {"nodeName": node, "serviceAccountName": "tetragon",
                "volumes": [
                    {"name": "lsm-ready-securityfs", "hostPath": {"path": "/sys/kernel/security"}}],
                "containers": [{"name": "tetragon", "image": "none"}]},
        });
        done(&self.admin, "POST", &format!("{namespace}/pods"), &pod).await;
        let path = format!("{namespace}/pods/{AGENT}");
        let status = json!({"status": {"phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "tetragon", "image": "none", "imageID": "",
                "ready": true, "restartCount": 0,
                "state": {"running": {"startedAt": started}}}]}});
        done(&self.admin, "STRATEGIC", &format!("{path}/status"), &status).await;
        let counts = json!({"status": {
            "observedGeneration": daemon_set["metadata"]["generation"], "desiredNumberScheduled": 1,
            "currentNumberScheduled": 1, "updatedNumberScheduled": 1, "numberAvailable": 1,
            "numberReady": 1,
            "numberMisscheduled": 0}});
        done(&self.admin, "MERGE", &format!("{}/status", self.path()), &counts).await;
        path
    }

    /// Creates the first agent of the DaemonSet's present pod template. It cannot start for that
    /// reason.
    pub async fn stuck_agent(&self, daemon_set: &Value, message: &str) {
        let pod = self.agent(daemon_set, "n1", "2026-01-01T00:00:00Z").await;
        let generation =
            &daemon_set["metadata"]["annotations"]["deprecated.daemonset.template.generation"];
        let volume = json!({"metadata": {"labels": {"pod-template-generation": generation}}});
        done(&self.admin, "STRATEGIC", &pod, &volume).await;
        let status = json!({"status": {"phase": "Pending",
            "conditions": [{"type": "Ready", "status": "False"}],
            "containerStatuses": [{"name": "tetragon", "image": "none", "imageID": "",
                "ready": false, "restartCount": 0,
                "state": {"running": null,
                    "waiting": {"reason": "CreateContainerError", "message": message}}}]}});
        done(&self.admin, "STRATEGIC", &format!("{pod}/status"), &status).await;
        let counts = json!({"status": {"numberAvailable": 0, "numberReady": 0}});
        done(&self.admin, "MERGE", &format!("{}/status", self.path()), &counts).await;
    }

    pub async fn delete_policy(&self) {
        done(&self.admin, "DELETE", &format!("{POLICIES}/{}", self.name), &Value::Null).await;
        self.known("the policy to go", |policy| policy.is_none()).await;
    }

    /// Waits until the policy in the controller's store has the right resourceVersion. None stands
    /// for no policy.
    async fn known(&self, what: &str, right: impl Fn(Option<&str>) -> bool) {
        wait::until(DEADLINE, what, async || {
            let policy = self.ctx.stores.policies.get(&ObjectRef::new(self.name));
            let version = policy.and_then(|policy| policy.resource_version());
            if right(version.as_deref()) { Ok(()) } else { Err(format!("{version:?}")) }
        })
        .await
        .unwrap();
    }

    pub fn path(&self) -> String {
        format!("/apis/apps/v1/namespaces/{}/daemonsets/tetragon", self.name)
    }

    pub async fn get(&self) -> Value {
        done(&self.admin, "GET", &self.path(), &Value::Null).await
    }

    /// Has the controller reconcile that object. Returns the object of the API server afterwards.
    pub async fn reconcile_object(&self, object: &Value) -> Value {
        let daemon_set: DaemonSet = serde_json::from_value(object.clone()).unwrap();
        reconcile(Arc::new(daemon_set), self.ctx.clone()).await.unwrap();
        call(&self.admin, "GET", &self.path(), &Value::Null).await.body
    }

    /// As [`Self::reconcile_object`], for a reconcile that fails. Returns the error.
    pub async fn error_of(&self, object: &Value) -> String {
        let daemon_set: DaemonSet = serde_json::from_value(object.clone()).unwrap();
        reconcile(Arc::new(daemon_set), self.ctx.clone()).await.unwrap_err().to_string()
    }

    /// Has the controller reconcile the present object.
    pub async fn reconcile(&self) -> Value {
        self.reconcile_object(&self.get().await).await
    }

    pub fn remembered(&self, object: &Value) -> DaemonSetState {
        self.ctx.tetragon.recall(&serde_json::from_value(object.clone()).unwrap())
    }

    /// Changes the DaemonSet as field manager `helm`. The verbs are those of [`call`].
    pub async fn helm(&self, verb: &str, body: &Value) -> Answer {
        if verb != "APPLY" {
            return call(&self.admin, verb, &format!("{}?fieldManager=helm", self.path()), body)
                .await;
        }
        let request = http::Request::patch(format!("{}?fieldManager=helm", self.path()))
            .header("Content-Type", "application/apply-patch+yaml")
            .body(kube::client::Body::from(serde_json::to_vec(body).unwrap()));
        let response = self.admin.send(request.unwrap()).await.unwrap();
        let code = response.status().as_u16();
        let bytes = response.into_body().collect_bytes().await.unwrap();
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        Answer {
            code,
            message: body["message"].as_str().unwrap_or_default().to_owned(),
            body,
            warnings: Vec::new(),
        }
    }
}

/// A controller that watches with the rights of `admin` and writes with those of `operator`.
async fn context(admin: &Client, operator: Client) -> Arc<Context> {
    let ctx = server::context(admin, operator);
    ctx.stores.first_lists.policies.wait().await;
    ctx.stores.first_lists.daemon_sets.wait().await;
    ctx
}
