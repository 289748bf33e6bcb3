//! The cluster for tests: requests, waiting, and the installation of lsm-ready.

use std::path::PathBuf;
use std::time::Duration;

use e2e::cluster::Cluster;
use e2e::{api, command, paths, request, wait};
use kube::Client;
use serde_json::{Value, json};

pub const NAMESPACE: &str = "lsm-ready-system";
pub const LABELS: &str = "lsmready.node-restriction.kubernetes.io/";
pub const POLICIES: &str = "/apis/lsmready.io/v1alpha1/lsmpolicies";
pub const LSM_NODES: &str = "/apis/lsmready.io/v1alpha1/lsmnodes";
pub const NODES: &str = "/api/v1/nodes";
pub const TETRAGON: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets/tetragon";

/// The usual deadline. Pods start in seconds, and in tens of seconds on an emulated and busy
/// processor.
const DEADLINE: Duration = Duration::from_mins(3);
/// The deadline with Tetragon's own agents. They take about half a minute to start under emulation,
/// one after the other.
const DEADLINE_OF_REAL_AGENTS: Duration = Duration::from_mins(10);

/// The longest time that a test waits for a condition.
pub fn deadline() -> Duration {
    let real = std::env::var("AGENT").is_ok_and(|agent| agent == "real");
    if real { DEADLINE_OF_REAL_AGENTS } else { DEADLINE }
}

/// The cluster of KUBECONFIG, with lsm-ready on it.
pub struct Scene {
    pub client: Client,
    kubeconfig: PathBuf,
}

impl Scene {
    /// Connects to the cluster, and installs lsm-ready where it is missing.
    pub async fn enter() -> Self {
        let path = std::env::var_os("KUBECONFIG")
            .expect("KUBECONFIG names the cluster: run this with `make e2e`");
        let kubeconfig = PathBuf::from(path);
        let client = api::client(&kubeconfig).await.unwrap();
        let scene = Self { client, kubeconfig };
        let installed = format!("/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/lsm-ready-probe");
        if scene.find(&installed).await.is_none() {
            let from = std::env::var("INSTALL")
                .map_or_else(|_| paths::workspace().join("config/default"), PathBuf::from);
            scene.kubectl(&["apply", "-k", &from.display().to_string()]);
        }
        let timeout = format!("--timeout={}s", deadline().as_secs());
        let both = ["deployment/lsm-ready-operator", "daemonset/lsm-ready-probe"];
        for workload in both {
            scene.kubectl(&["-n", NAMESPACE, "rollout", "status", workload, &timeout]);
        }
        scene
    }

    /// The cluster of this checkout, if this is it. Otherwise it prints that `what` is skipped.
    pub fn own(&self, what: &str) -> Option<Cluster> {
        let cluster = Cluster::here();
        if cluster.kubeconfig() == self.kubeconfig {
            return Some(cluster);
        }
        println!("skipped, because the cluster is not our own: {what}");
        None
    }

    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments).unwrap()
    }

    /// Runs kubectl where it may fail for a while, for instance because a container is about to
    /// start.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Result<String, command::Error> {
        request::kubectl(&self.kubeconfig, arguments)
    }

    pub async fn get(&self, path: &str) -> Value {
        request::done(&self.client, "GET", path, &Value::Null).await.unwrap()
    }

    /// The object, if it is there.
    pub async fn find(&self, path: &str) -> Option<Value> {
        let answer = request::call(&self.client, "GET", path, &Value::Null).await.unwrap();
        answer.is_ok().then_some(answer.body)
    }

    /// Applies an object and returns it as the API server has stored it.
    pub async fn apply(&self, path: &str, object: &Value) -> Value {
        request::done(&self.client, "APPLY", path, object).await.unwrap()
    }

    pub async fn policy(&self, name: &str, spec: &Value) {
        let object =
            json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy", "spec": spec});
        self.apply(&format!("{POLICIES}/{name}"), &object).await;
    }

    /// Deletes an object and waits until it is gone.
    pub async fn delete(&self, path: &str) {
        let now = json!({"propagationPolicy": "Background"});
        request::call(&self.client, "DELETE", path, &now).await.unwrap();
        self.until(&format!("{path} to be gone"), async || {
            self.find(path).await.map_or(Ok(()), |_| Err("there"))
        })
        .await;
    }

    /// Waits for a condition; see [`wait::until`].
    pub async fn until<T, O: ToString>(
        &self,
        what: &str,
        condition: impl AsyncFnMut() -> Result<T, O>,
    ) -> T {
        wait::until(deadline(), what, condition).await.unwrap()
    }

    /// Waits until the object at a path is right, and returns it.
    pub async fn until_object(
        &self,
        path: &str,
        what: &str,
        is_right: impl Fn(&Value) -> bool,
    ) -> Value {
        self.until(&format!("{path}: {what}"), async || match self.find(path).await {
            Some(object) if is_right(&object) => Ok(object),
            Some(object) => Err(object.to_string()),
            None => Err("not there".to_owned()),
        })
        .await
    }

    /// The Nodes that run Linux.
    pub async fn linux_nodes(&self) -> Vec<Value> {
        let path = format!("{NODES}?labelSelector=kubernetes.io/os%3Dlinux");
        self.get(&path).await["items"].as_array().unwrap().clone()
    }

    /// Waits until nothing changes any more because of an installation, a reboot or a deletion
    /// before. A node that has just booted reports twice, first the outcome of its canary and then
    /// the hooks. The labels of a policy are removed after it.
    pub async fn settled(&self) {
        for node in self.linux_nodes().await {
            let boot = &node["status"]["nodeInfo"]["bootID"];
            let is_complete = |report: &Value| {
                let status = &report["status"];
                &status["bootID"] == boot
                    && (status["evidence"] == "None" || status["hookProfile"].is_string())
            };
            let path = format!("{LSM_NODES}/{}", name(&node));
            self.until_object(&path, "the complete report of this boot", is_complete).await;
            let no_policy = |node: &Value| {
                !node["metadata"]["labels"].to_string().contains("kubernetes.io/policy.")
            };
            self.until_object(
                &format!("{NODES}/{}", name(&node)),
                "no label of a policy",
                no_policy,
            )
            .await;
        }
    }

    /// The pods of a workload in a namespace.
    pub async fn pods(&self, namespace: &str, app: &str) -> Vec<Value> {
        let path = format!(
            "/api/v1/namespaces/{namespace}/pods?labelSelector=app.kubernetes.io/name%3D{app}"
        );
        self.get(&path).await["items"].as_array().unwrap().clone()
    }

    /// The log of a pod.
    pub async fn log(&self, namespace: &str, pod: &str) -> String {
        self.text(&format!("/api/v1/namespaces/{namespace}/pods/{pod}/log")).await
    }

    /// The text at a path, or the error.
    pub async fn text(&self, path: &str) -> String {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        self.client.request_text(request).await.unwrap_or_else(|error| error.to_string())
    }

    /// Checks that none of our containers has ended by itself. On a node that was powered off the
    /// reason is Unknown.
    pub async fn nothing_has_crashed(&self) {
        for app in ["lsm-ready-operator", "lsm-ready-probe"] {
            for pod in self.pods(NAMESPACE, app).await {
                let ended = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
                assert!(
                    ended.is_null() || ended["reason"] == "Unknown",
                    "{}: {}",
                    name(&pod),
                    pod["status"]
                );
            }
        }
    }
}

/// The value of one of our labels.
pub fn label(node: &Value, name: &str) -> String {
    node["metadata"]["labels"][format!("{LABELS}{name}")].as_str().unwrap_or_default().to_owned()
}

/// Whether the Node has our taint.
pub fn is_tainted(node: &Value) -> bool {
    let taints = node["spec"]["taints"].as_array();
    taints.is_some_and(|taints| taints.iter().any(|taint| taint["key"] == "lsmready.io/not-ready"))
}

/// The condition of a type.
pub fn condition<'a>(object: &'a Value, type_: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array();
    conditions
        .and_then(|all| all.iter().find(|condition| condition["type"] == type_))
        .unwrap_or(&Value::Null)
}

pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}
