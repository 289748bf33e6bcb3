//! The cluster as it really is, and what the operator should make of it.
//!
//! In: changes, each applied to the API server as a person, a kubelet or a probe would. Out: the
//! labels, taints, conditions, mounts and statuses that follow from them, by rules that are written
//! here a second time and share nothing with the operator ([`expected`]).

mod expected;

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::request;
use e2e::wait;
use kube::Client;
use lsm_ready_crds::{Reason, fixture};
use serde_json::{Value, json};

use crate::releases::release;

const API: &str = "/apis/lsmready.io/v1alpha1";
const TETRAGON: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets/tetragon";
/// How long the API server may refuse a change before the test gives up.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long one request may take. A paused API server does not answer at all.
const DEADLINE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Evidence {
    Attached,
    Denied,
}

/// One node.
#[derive(Clone, Debug)]
struct Node {
    boot: u32,
    /// The boot and evidence of its report, where it has one.
    report: Option<(u32, Evidence)>,
}

/// One change.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// The node boots again. Its report is about the boot before.
    Reboot(usize),
    /// The node's probe reports in the present boot.
    Report(usize, Evidence),
    /// Someone deletes the report.
    DeleteReport(usize),
    /// The Node is deleted and registers again in a new boot.
    MakeAnew(usize),
    /// The policy `enforce` with its taint is created or deleted.
    Enforce(bool),
    /// The policy that wants Tetragon's mount is created or deleted.
    Mount(bool),
    /// Tetragon's DaemonSet is deleted and created again.
    MakeTetragonAnew,
}

/// The cluster.
pub struct World {
    client: Client,
    nodes: BTreeMap<String, Node>,
    enforce: bool,
    mount: bool,
}

fn name(node: usize) -> String {
    format!("n{node:02}")
}

/// What `read` returns, also where the API server cannot be reached for some time.
async fn patiently(client: &Client, verb: &str, path: &str, body: &Value) -> Value {
    let what = format!("{verb} {path}");
    wait::until(PATIENCE, &what, async || {
        let sent = tokio::time::timeout(DEADLINE, request::call(client, verb, path, body)).await;
        match sent {
            Ok(Ok(answer)) if answer.is_ok() => Ok(answer.body),
            // The change was made before the answer was lost.
            Ok(Ok(answer)) if verb == "DELETE" && answer.code == 404 => Ok(Value::Null),
            Ok(Ok(answer)) if verb == "POST" && answer.code == 409 => Ok(Value::Null),
            Ok(Ok(answer)) => Err(answer.message),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer".to_owned()),
        }
    })
    .await
    .unwrap()
}

impl World {
    /// A cluster with that many nodes that can deny, Tetragon, and no policy.
    pub async fn new(client: Client, nodes: usize) -> Self {
        let mut world = Self { client, nodes: BTreeMap::new(), enforce: false, mount: false };
        world.create_tetragon().await;
        for node in 0..nodes {
            world.register(node, 1).await;
            world.apply(Change::Report(node, Evidence::Denied)).await;
        }
        world.apply(Change::Enforce(true)).await;
        world.apply(Change::Mount(true)).await;
        world
    }

    async fn send(&self, verb: &str, path: &str, body: &Value) -> Value {
        patiently(&self.client, verb, path, body).await
    }

    async fn create_tetragon(&self) {
        let mut object = release("v1.3");
        object["metadata"]["namespace"] = json!("kube-system");
        for set_by_the_server in ["uid", "resourceVersion", "generation"] {
            object["metadata"].as_object_mut().unwrap().remove(set_by_the_server);
        }
        let path = "/apis/apps/v1/namespaces/kube-system/daemonsets?fieldManager=helm";
        self.send("POST", path, &object).await;
    }

    async fn register(&mut self, node: usize, boot: u32) {
        let name = name(node);
        let object = json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux"}}});
        self.send("POST", "/api/v1/nodes", &object).await;
        self.set_boot(&name, boot).await;
        self.nodes.entry(name).or_insert(Node { boot, report: None }).boot = boot;
    }

    async fn set_boot(&self, name: &str, boot: u32) {
        let info = json!({"bootID": format!("boot-{boot}"), "osImage": "Debian",
            "architecture": "", "containerRuntimeVersion": "", "kernelVersion": "",
            "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "",
            "operatingSystem": "linux", "systemUUID": ""});
        let status = json!({"status": {"nodeInfo": info}});
        self.send("STRATEGIC", &format!("/api/v1/nodes/{name}/status"), &status).await;
    }

    /// Applies a change, and waits while the API server cannot be reached.
    pub async fn apply(&mut self, change: Change) {
        match change {
            Change::Reboot(node) => {
                let name = name(node);
                let boot = self.nodes[&name].boot + 1;
                self.set_boot(&name, boot).await;
                self.nodes.get_mut(&name).unwrap().boot = boot;
            }
            Change::Report(node, evidence) => self.report(&name(node), evidence).await,
            Change::DeleteReport(node) => {
                let name = name(node);
                self.send("DELETE", &format!("{API}/lsmnodes/{name}"), &Value::Null).await;
                self.nodes.get_mut(&name).unwrap().report = None;
            }
            Change::MakeAnew(node) => {
                let name = name(node);
                let boot = self.nodes[&name].boot + 1;
                self.send("DELETE", &format!("/api/v1/nodes/{name}"), &Value::Null).await;
                self.register(node, boot).await;
            }
            Change::Enforce(on) => {
                let spec = json!({"minReady": "1%", "taint": {"effect": "NoSchedule"}});
                self.policy("enforce", on.then_some(spec)).await;
                self.enforce = on;
            }
            Change::Mount(on) => {
                self.policy("mount", on.then(|| json!({"tetragon": {}}))).await;
                self.mount = on;
            }
            Change::MakeTetragonAnew => {
                self.send("DELETE", TETRAGON, &Value::Null).await;
                self.create_tetragon().await;
            }
        }
    }

    async fn policy(&self, name: &str, spec: Option<Value>) {
        let path = format!("{API}/lsmpolicies/{name}");
        match spec {
            Some(spec) => {
                let object = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy", "spec": spec});
                self.send("APPLY", &path, &object).await
            }
            None => self.send("DELETE", &path, &Value::Null).await,
        };
    }

    async fn report(&mut self, name: &str, evidence: Evidence) {
        let path = format!("{API}/lsmnodes/{name}");
        let object = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode"});
        self.send("APPLY", &path, &object).await;
        let node = self.nodes.get_mut(name).unwrap();
        node.report = Some((node.boot, evidence));
        let status = status(node.boot, evidence);
        self.send("MERGE", &format!("{path}/status"), &json!({ "status": status })).await;
    }

    /// Publishes every report again, as the probes do after their CRD was deleted and restored.
    pub async fn report_all_again(&mut self) {
        for (name, node) in self.nodes.clone() {
            if let Some((_, evidence)) = node.report {
                self.report(&name, evidence).await;
            }
        }
    }

    /// Creates the policies again after their CRD was deleted and restored.
    pub async fn create_policies_again(&mut self) {
        self.apply(Change::Enforce(self.enforce)).await;
        self.apply(Change::Mount(self.mount)).await;
    }
}

impl Node {
    /// Whether the node's report of this boot proves that it can deny.
    fn proves(&self) -> Option<bool> {
        let (boot, evidence) = self.report?;
        (boot == self.boot).then_some(evidence == Evidence::Denied)
    }
}

/// A report as a probe of this version writes it.
fn status(boot: u32, evidence: Evidence) -> Value {
    let boot = format!("boot-{boot}");
    let report = match evidence {
        Evidence::Denied => fixture::denied(&boot),
        Evidence::Attached => fixture::report(
            &boot,
            lsm_ready_crds::Evidence::Attached,
            Reason::BpfNotInLsmList.code(),
        ),
    };
    let mut status = json!(report);
    status["message"] = json!("because");
    status["observedTime"] = json!(jiff::Timestamp::now().to_string());
    status
}
