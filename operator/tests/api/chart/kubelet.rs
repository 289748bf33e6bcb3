//! Runs the operator's program for each of our pods, as a kubelet would: with the pod's arguments,
//! with its name, namespace and UID, and with a token that is bound to it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::server::call;

const POLL: Duration = Duration::from_millis(50);

/// The task. Its processes are killed when it is dropped, as with the node.
pub struct Kubelet(JoinHandle<()>);

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Kubelet {
    pub fn start(admin: Client, kubeconfig: PathBuf) -> Self {
        let mut node = Node { admin, kubeconfig, processes: BTreeMap::new() };
        Self(tokio::spawn(async move {
            loop {
                node.look().await;
                tokio::time::sleep(POLL).await;
            }
        }))
    }
}

struct Node {
    admin: Client,
    kubeconfig: PathBuf,
    /// By the pod's UID.
    processes: BTreeMap<String, Process>,
}

struct Process {
    child: Child,
    terminated: bool,
    ended: bool,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Node {
    async fn look(&mut self) {
        let pods = call(&self.admin, "GET", "/api/v1/pods", &Value::Null).await.body;
        for pod in pods["items"].as_array().into_iter().flatten() {
            let image = pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
            if image.starts_with("lsm-ready/operator:") {
                self.tend(pod).await;
            }
        }
    }

    async fn tend(&mut self, pod: &Value) {
        let uid = pod["metadata"]["uid"].as_str().unwrap().to_owned();
        let path = path(pod);
        let is_deleted = !pod["metadata"]["deletionTimestamp"].is_null();
        let Some(process) = self.processes.get_mut(&uid) else {
            if is_deleted {
                call(&self.admin, "DELETE", &path, &json!({"gracePeriodSeconds": 0})).await;
            } else {
                self.run(pod, uid).await;
            }
            return;
        };
        if is_deleted && !process.terminated {
            process.terminated = true;
            let _ = Command::new("kill").args(["-TERM", &process.child.id().to_string()]).status();
        }
        let Some(status) = process.child.try_wait().unwrap() else { return };
        if !process.ended {
            process.ended = true;
            let phase = if status.success() { "Succeeded" } else { "Failed" };
            let ended = json!({"status": {"phase": phase,
                "conditions": [{"type": "Ready", "status": "False"}]}});
            call(&self.admin, "STRATEGIC", &format!("{path}/status"), &ended).await;
        }
        if is_deleted {
            call(&self.admin, "DELETE", &path, &json!({"gracePeriodSeconds": 0})).await;
        }
    }

    async fn run(&mut self, pod: &Value, uid: String) {
        if pod["spec"]["nodeName"].is_null() {
            let binding = json!({"apiVersion": "v1", "kind": "Binding",
                "metadata": {"name": pod["metadata"]["name"]},
                "target": {"apiVersion": "v1", "kind": "Node", "name": "n1"}});
            let bound =
                call(&self.admin, "POST", &format!("{}/binding", path(pod)), &binding).await;
            if !bound.is_ok() {
                return;
            }
        }
        let Some(kubeconfig) = self.token(pod, &uid).await else { return };
        let container = &pod["spec"]["containers"][0];
        let arguments = container["args"].as_array().into_iter().flatten();
        let log = self.kubeconfig.with_file_name(format!("{uid}.log"));
        let log = std::fs::File::create(log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_operator"));
        command
            .args(arguments.map(|argument| argument.as_str().unwrap()))
            .env("KUBECONFIG", kubeconfig)
            .env("LSM_READY_LISTEN", "127.0.0.1:0")
            // The tests change all of few nodes at once.
            .env("LSM_READY_BREAKER_PERCENT", "100")
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        for variable in container["env"].as_array().into_iter().flatten() {
            let field = variable["valueFrom"]["fieldRef"]["fieldPath"].as_str();
            if let Some(field) = field {
                let value = pod.pointer(&format!("/{}", field.replace('.', "/"))).unwrap();
                command.env(variable["name"].as_str().unwrap(), value.as_str().unwrap());
            }
        }
        let child = command.spawn().unwrap();
        self.processes.insert(uid, Process { child, terminated: false, ended: false });
        let ready = json!({"status": {"phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}]}});
        call(&self.admin, "STRATEGIC", &format!("{}/status", path(pod)), &ready).await;
    }

    /// A kubeconfig with the pod's token. None if the pod is gone.
    async fn token(&self, pod: &Value, uid: &str) -> Option<PathBuf> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let namespace = text(&pod["metadata"]["namespace"]);
        let accounts = Api::<ServiceAccount>::namespaced(self.admin.clone(), &namespace);
        let bound = BoundObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            name: Some(text(&pod["metadata"]["name"])),
            uid: Some(uid.to_owned()),
        };
        let spec = TokenRequestSpec { bound_object_ref: Some(bound), ..Default::default() };
        let request = TokenRequest { spec, ..Default::default() };
        let account = text(&pod["spec"]["serviceAccountName"]);
        let params = PostParams::default();
        let answer = accounts.create_token_request(&account, &params, &request).await.ok()?;
        let config = std::fs::read_to_string(&self.kubeconfig).unwrap();
        let mut config: Value = serde_saphyr::from_str(&config).unwrap();
        config["users"][0]["user"] = json!({"token": answer.status?.token});
        let path = self.kubeconfig.with_file_name(format!("{uid}.token"));
        std::fs::write(&path, config.to_string()).unwrap();
        Some(path)
    }
}

fn path(pod: &Value) -> String {
    let text = |field: &str| pod["metadata"][field].as_str().unwrap();
    format!("/api/v1/namespaces/{}/pods/{}", text("namespace"), text("name"))
}
