//! A cluster with lsm-ready installed and at work: Nodes with labels, taint and condition, Tetragon
//! with our mount, a Lease, and the operator's process with the token of its pod.

use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e::api::ApiServer;
use e2e::{paths, wait};
use futures::{StreamExt, stream};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::sweep::{no_trace_is_left, sweep};
use crate::pool::{Pool, Turn};
use crate::process::program;
use crate::releases::release;
use crate::server::{
    NAMESPACE, OPERATOR, account, call, config, create_node, done, granted, kubectl,
};

pub const DEADLINE: Duration = Duration::from_mins(2);
const NODES: [&str; 3] = ["n1", "n2", "n3"];
const TETRAGON: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets/tetragon";
const POD: &str = "/api/v1/namespaces/lsm-ready-system/pods/operator";

static SERVERS: Pool<3> = Pool::new();

/// A turn on an API server of these tests, with nothing of lsm-ready on it.
pub struct Scene {
    pub server: &'static ApiServer,
    pub admin: Client,
    pub kubeconfig: PathBuf,
    /// Tetragon's DaemonSet as it was before lsm-ready came.
    tetragon: Value,
    _turn: Turn,
}

async fn start(number: usize) -> ApiServer {
    let dir = paths::state().join("tests").join(format!("uninstall-{number}"));
    // An earlier run may have left the folder.
    let _ = std::fs::remove_dir_all(&dir);
    let mut server = ApiServer::start(&dir).await.unwrap();
    server.start_controllers(&["namespace-controller", "garbage-collector-controller"]).unwrap();
    let admin = server.client().await.unwrap();
    for node in NODES {
        create_node(&server, node).await;
    }
    let more = (0..more_nodes()).map(|number| create_node_named(&server, number));
    stream::iter(more).buffer_unordered(16).collect::<Vec<()>>().await;
    let mut tetragon = release("v1.3");
    for set_by_the_server in ["uid", "resourceVersion", "generation"] {
        tetragon["metadata"].as_object_mut().unwrap().remove(set_by_the_server);
    }
    let path = "/apis/apps/v1/namespaces/kube-system/daemonsets?fieldManager=helm";
    done(&admin, "POST", path, &tetragon).await;
    server
}

/// `UNINSTALL_NODES=5000` measures a large cluster.
fn more_nodes() -> usize {
    std::env::var("UNINSTALL_NODES").map_or(0, |nodes| nodes.parse().unwrap())
}

/// `UNINSTALL_UNTAINTED=1` measures it without a taint.
fn is_tainting() -> bool {
    std::env::var_os("UNINSTALL_UNTAINTED").is_none()
}

async fn create_node_named(server: &ApiServer, number: usize) {
    create_node(server, &format!("more-{number:04}")).await;
}

impl Scene {
    pub async fn new() -> Self {
        let turn = SERVERS.turn(start).await;
        let server = turn.server;
        let admin = server.client().await.unwrap();
        let tetragon = done(&admin, "GET", TETRAGON, &Value::Null).await;
        let kubeconfig = server.kubeconfig();
        let scene = Self { server, admin, kubeconfig, tetragon, _turn: turn };
        assert_eq!(sweep(&scene.admin).await, Vec::<String>::new(), "of an earlier test");
        scene
    }

    /// Applies `config/default`.
    pub async fn install(&self) {
        self.kubectl(&["apply", "--server-side", "-k", &config("default")]);
        let crds = ["lsmpolicies", "lsmnodes", "lsmhookprofiles"]
            .map(|plural| format!("crd/{plural}.lsmready.io"));
        let mut wait = vec!["wait", "--for=condition=Established", "--timeout=30s"];
        wait.extend(crds.iter().map(String::as_str));
        self.kubectl(&wait);
        // A CRD that is deleted before its objects are served takes the API server a minute.
        self.kubectl(&["get", "lsmpolicies,lsmnodes,lsmhookprofiles"]);
        let patch = json!({"verb": "patch", "group": "apps", "resource": "daemonsets"});
        granted(self.server, &account(OPERATOR), &patch).await;
    }

    /// Has the operator write all that it can write, and returns when it has.
    pub async fn work(&self) -> Operator {
        let mut spec = json!({"tetragon": {}});
        if is_tainting() {
            spec["taint"] = json!({"effect": "NoSchedule", "rollout": "AllAtOnce"});
        }
        let policy =
            json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy", "spec": spec});
        let path = "/apis/lsmready.io/v1alpha1/lsmpolicies/enforce";
        done(&self.admin, "APPLY", path, &policy).await;
        for node in NODES {
            let path = format!("/apis/lsmready.io/v1alpha1/lsmnodes/{node}");
            let report = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode"});
            done(&self.admin, "APPLY", &path, &report).await;
        }
        let operator = Operator::start(self).await;
        let marks = [
            "lsmready.node-restriction.kubernetes.io/policy.enforce",
            "lsmready.io/LsmBpfReady",
            "lsmready.io/not-ready",
        ];
        let marks = if is_tainting() { &marks[..] } else { &marks[..2] };
        for node in NODES {
            self.until_has(&format!("/api/v1/nodes/{node}"), marks).await;
        }
        if more_nodes() > 0 {
            self.until_all_nodes_have_a_condition().await;
        }
        self.until_has(TETRAGON, &["lsm-ready-securityfs", "lsmready.io/securityfs"]).await;
        for path in guarded() {
            self.until_has(&path, &["lsmready.io/cleanup"]).await;
        }
        operator
    }

    async fn until_all_nodes_have_a_condition(&self) {
        let long = Duration::from_mins(10);
        wait::until(long, "all nodes", async || {
            let list = done(&self.admin, "GET", "/api/v1/nodes", &Value::Null).await;
            let nodes = list["items"].as_array().unwrap();
            let is_done = |node: &&Value| node["status"].to_string().contains("lsmready.io/");
            let done = nodes.iter().filter(is_done).count();
            if done == nodes.len() { Ok(()) } else { Err(format!("{done} of {}", nodes.len())) }
        })
        .await
        .unwrap();
    }

    async fn until_has(&self, path: &str, marks: &[&str]) {
        wait::until(DEADLINE, path, async || {
            let text = call(&self.admin, "GET", path, &Value::Null).await.body.to_string();
            let missing = marks.iter().find(|mark| !text.contains(**mark));
            missing.map_or(Ok(()), |mark| Err(format!("{mark} is not in {text}")))
        })
        .await
        .unwrap();
    }

    /// Runs kubectl. It has to succeed.
    pub fn kubectl(&self, arguments: &[&str]) {
        kubectl(&self.kubeconfig, arguments).unwrap();
    }

    /// Runs kubectl, which may fail, for example because an object is gone already.
    pub fn try_kubectl(&self, arguments: &[&str]) {
        let _ = kubectl(&self.kubeconfig, arguments);
    }

    /// Waits until nothing of ours is left in the whole API server, and Tetragon is as it was.
    pub async fn nothing_is_left(&self, when: &str) {
        let clean = wait::until(DEADLINE, "nothing to be left", async || {
            let found = sweep(&self.admin).await;
            if found.is_empty() { Ok(()) } else { Err(found.join("\n")) }
        });
        clean.await.expect(when);
        self.others_are_as_before().await;
    }

    /// Waits until Nodes and DaemonSets are clean.
    pub async fn no_trace_is_left(&self) {
        no_trace_is_left(&self.admin, DEADLINE).await;
        self.others_are_as_before().await;
    }

    async fn others_are_as_before(&self) {
        let now = done(&self.admin, "GET", TETRAGON, &Value::Null).await;
        assert_eq!(now["spec"], self.tetragon["spec"]);
        assert_eq!(now["metadata"]["labels"], self.tetragon["metadata"]["labels"]);
        assert_eq!(now["metadata"]["managedFields"], self.tetragon["metadata"]["managedFields"]);
        for node in NODES {
            let path = format!("/api/v1/nodes/{node}");
            let node = done(&self.admin, "GET", &path, &Value::Null).await;
            assert_eq!(node["metadata"]["labels"]["zone"], "a");
            assert_eq!(node["spec"]["taints"][0]["key"], "example.com/foreign", "{node}");
            assert_eq!(node["status"]["conditions"][0]["type"], "Ready");
        }
    }

    /// A kubeconfig with the token of a ServiceAccount, bound to a pod or not.
    pub async fn token(
        &self,
        namespace: &str,
        account: &str,
        pod: Option<BoundObjectReference>,
    ) -> PathBuf {
        let accounts = Api::<ServiceAccount>::namespaced(self.admin.clone(), namespace);
        let spec = TokenRequestSpec { bound_object_ref: pod, ..Default::default() };
        let request = TokenRequest { spec, ..Default::default() };
        let params = PostParams::default();
        let token = accounts.create_token_request(account, &params, &request);
        let token = token.await.unwrap().status.unwrap().token;
        let text = std::fs::read_to_string(&self.kubeconfig).unwrap();
        let mut kubeconfig: Value = serde_saphyr::from_str(&text).unwrap();
        kubeconfig["users"][0]["user"] = json!({ "token": token });
        let path = self.kubeconfig.with_file_name(format!("{account}.token"));
        std::fs::write(&path, kubeconfig.to_string()).unwrap();
        path
    }
}

/// The objects that a leader keeps by its finalizer.
pub fn guarded() -> Vec<String> {
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let mut paths =
        vec!["/api/v1/namespaces/lsm-ready-system/serviceaccounts/lsm-ready-operator".to_owned()];
    for kind in ["clusterroles", "clusterrolebindings"] {
        for name in ["lsm-ready-operator", "lsm-ready-patching"] {
            paths.push(format!("{rbac}/{kind}/{name}"));
        }
    }
    paths
}

/// The operator's process in its pod. A task stands in for the kubelet: it ends the process when
/// the pod is deleted, and the pod when the process has ended.
pub struct Operator {
    process: Arc<Mutex<Child>>,
    kubelet: JoinHandle<()>,
}

impl Operator {
    async fn start(scene: &Scene) -> Self {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "operator"},
            "spec": {"serviceAccountName": OPERATOR, "nodeName": "n1",
                // The namespace controller comes back after half of it.
                "terminationGracePeriodSeconds": 6,
                "containers": [{"name": "operator", "image": "none"}]}});
        let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
        let pod = done(&scene.admin, "POST", &pods, &pod).await;
        let uid = pod["metadata"]["uid"].as_str().unwrap().to_owned();
        let bound = BoundObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            name: Some("operator".into()),
            uid: Some(uid.clone()),
        };
        let kubeconfig = scene.token(NAMESPACE, OPERATOR, Some(bound)).await;
        let log = scene.kubeconfig.with_file_name("operator.log");
        let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let process = Command::new(program())
            .env("KUBECONFIG", kubeconfig)
            .env("LSM_READY_LISTEN", "127.0.0.1:0")
            .env("LSM_READY_POD_NAME", "operator")
            .env("LSM_READY_POD_UID", uid)
            .env("LSM_READY_POD_NAMESPACE", NAMESPACE)
            .stdout(log)
            .spawn()
            .unwrap();
        let process = Arc::new(Mutex::new(process));
        let kubelet = tokio::spawn(kubelet(scene.admin.clone(), process.clone()));
        Self { process, kubelet }
    }

    /// Deletes the pod, so that the process gets SIGTERM, and waits until both are gone.
    pub async fn end(self, scene: &Scene) {
        done(&scene.admin, "DELETE", POD, &Value::Null).await;
        self.ended().await;
    }

    /// Kills the process and its node: the pod goes without a further word.
    pub async fn kill(self, scene: &Scene) {
        self.process.lock().unwrap().kill().unwrap();
        call(&scene.admin, "DELETE", POD, &json!({"gracePeriodSeconds": 0})).await;
        self.ended().await;
    }

    /// Waits until process and pod have ended.
    pub async fn ended(self) {
        tokio::time::timeout(DEADLINE, self.kubelet).await.expect("the operator ends").unwrap();
    }
}

async fn kubelet(admin: Client, process: Arc<Mutex<Child>>) {
    let mut terminated = false;
    loop {
        let pod = call(&admin, "GET", POD, &Value::Null).await;
        let is_deleted = pod.code == 404 || !pod.body["metadata"]["deletionTimestamp"].is_null();
        if is_deleted && !terminated {
            terminated = true;
            let pid = process.lock().unwrap().id().to_string();
            let _ = Command::new("kill").args(["-TERM", &pid]).status();
        }
        if process.lock().unwrap().try_wait().unwrap().is_some() {
            call(&admin, "DELETE", POD, &json!({"gracePeriodSeconds": 0})).await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
