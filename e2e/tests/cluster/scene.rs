//! The cluster as the tests see it: requests, waiting, and what is installed on it.

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

/// Pods start in seconds, and in a few more where the processor is emulated and busy.
const DEADLINE: Duration = Duration::from_mins(3);
/// Tetragon's own agents take about half a minute to start under emulation, and the rollout restarts one after the other.
const DEADLINE_OF_REAL_AGENTS: Duration = Duration::from_mins(10);

/// How long something may take that is waited for.
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
    /// Enters it; installs lsm-ready where it is not.
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

    /// The cluster of this checkout, where this is it.
    pub fn own(&self, what: &str) -> Option<Cluster> {
        let cluster = Cluster::here();
        if cluster.kubeconfig() == self.kubeconfig {
            return Some(cluster);
        }
        println!("left out on a cluster that is not our own: {what}");
        None
    }

    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments).unwrap()
    }

    /// What may fail for a while, as a program in a container that is about to start.
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

    /// Applies an object and returns what the API server made of it.
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

    /// Waits until the object at a path is as it should be, and returns it.
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

    /// What was installed, rebooted or deleted before has no consequence left: a node that has just booted reports twice
    /// (what its canary did, and then which hooks there are), and the labels of a policy go after it.
    pub async fn settled(&self) {
        for node in self.linux_nodes().await {
            let boot = &node["status"]["nodeInfo"]["bootID"];
            let said_all = |report: &Value| {
                let status = &report["status"];
                &status["bootID"] == boot
                    && (status["evidence"] == "None" || status["hookProfile"].is_string())
            };
            let path = format!("{LSM_NODES}/{}", name(&node));
            self.until_object(&path, "all that there is to say of this boot", said_all).await;
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

    /// The pods of one of our workloads, or of another one in a namespace.
    pub async fn pods(&self, namespace: &str, app: &str) -> Vec<Value> {
        let path = format!(
            "/api/v1/namespaces/{namespace}/pods?labelSelector=app.kubernetes.io/name%3D{app}"
        );
        self.get(&path).await["items"].as_array().unwrap().clone()
    }

    /// What a pod has logged.
    pub async fn log(&self, namespace: &str, pod: &str) -> String {
        self.text(&format!("/api/v1/namespaces/{namespace}/pods/{pod}/log")).await
    }

    /// What is at a path that has no JSON, or why there is nothing.
    pub async fn text(&self, path: &str) -> String {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        self.client.request_text(request).await.unwrap_or_else(|error| error.to_string())
    }

    /// None of our containers has ended by itself. That of a node that was powered off has ended for a reason unknown.
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
