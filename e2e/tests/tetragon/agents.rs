//! The agents of a release: deployed, asked by gRPC, and removed again.

use std::path::{Path, PathBuf};

use e2e::paths;
use serde_json::{Value, json};

use crate::scene::{Scene, TETRAGON, condition, deadline, name};

pub const TRACING_POLICY: &str = "/apis/cilium.io/v1alpha1/tracingpolicies/deny-secret";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
/// The kinds that agents wait for when they start.
const KINDS: [&str; 2] = ["tracingpolicies.cilium.io", "tracingpoliciesnamespaced.cilium.io"];
const METRICS: &str = "2112";
/// The smallest set with which real agents of 1.3.0 and 1.7.0 start without a warning, load the
/// policy and deny.
const NEEDED: [&str; 5] = ["BPF", "PERFMON", "SYS_ADMIN", "SYS_PTRACE", "DAC_OVERRIDE"];

/// A DaemonSet that is rolled out, and a policy that denies opening /tmp/secret.
pub struct Agents<'a> {
    scene: &'a Scene,
}

/// Whether the images are the releases' own.
pub fn are_real() -> bool {
    std::env::var("AGENT").is_ok_and(|agent| agent == "real")
}

/// A form in which a release is deployed.
#[derive(Clone, Copy)]
pub struct Form {
    /// `v1.3` or `v1.7`.
    pub release: &'static str,
    /// Whether it is privileged, as the chart deploys it. Otherwise it has only the capabilities
    /// that it needs.
    pub privileged: bool,
}

/// Release 1.3 as its chart deploys it.
pub const V1_3: Form = Form { release: "v1.3", privileged: true };
/// Release 1.7 as its chart deploys it.
pub const V1_7: Form = Form { release: "v1.7", privileged: true };

/// The files of a release: ours, unless the folder of the releases' own manifests has this release.
fn files(release: &str) -> Vec<PathBuf> {
    let folder = std::env::var_os("TETRAGON_MANIFESTS").filter(|folder| !folder.is_empty());
    let theirs = folder.map(|folder| paths::workspace().join(folder).join(format!("{release}.0")));
    if let Some(folder) = theirs.filter(|folder| folder.is_dir()) {
        let files = [
            "cilium.io_tracingpolicies.yaml",
            "cilium.io_tracingpoliciesnamespaced.yaml",
            "agent.yaml",
        ];
        return files.map(|file| folder.join(file)).to_vec();
    }
    assert!(!are_real(), "AGENT=real needs TETRAGON_MANIFESTS=FOLDER with {release}.0/agent.yaml");
    let ours = paths::workspace().join("e2e/agent/manifests");
    ["crd.yaml", "rbac.yaml", &format!("{release}.yaml")].map(|file| ours.join(file)).to_vec()
}

/// The objects of a file, as kubectl reads them.
fn objects(scene: &Scene, file: &Path) -> Vec<Value> {
    let file = file.display().to_string();
    let text = scene.kubectl(&[
        "create",
        "--dry-run=client",
        "--validate=false",
        "-o",
        "json",
        "-f",
        &file,
    ]);
    let read = serde_json::Deserializer::from_str(&text)
        .into_iter::<Value>()
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let items = |object: Value| object["items"].as_array().cloned().unwrap_or_else(|| vec![object]);
    read.into_iter().flat_map(items).collect()
}

/// Tetragon's own operator cannot run here, and is not needed.
fn is_wanted(object: &Value) -> bool {
    object["kind"] != "Deployment"
}

/// Sets the agent's image and privileges, and keeps it off this machine's own kernel, where the
/// real agent cannot start.
fn adapt(mut object: Value, form: Form) -> Value {
    if object["kind"] != "DaemonSet" {
        return object;
    }
    let pod = &mut object["spec"]["template"]["spec"];
    let elsewhere =
        json!([{"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["host"]}]);
    pod["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": elsewhere}]}}});
    for container in pod["containers"].as_array_mut().unwrap() {
        if !are_real() {
            let image =
                container["image"].as_str().unwrap().replace("quay.io/cilium/", "lsm-ready.test/");
            container["image"] = json!(image);
        }
        if !form.privileged && container["name"] == "tetragon" {
            confine(container);
        }
    }
    object
}

/// Removes the rights that the agent does not need. The API server allows Bidirectional mounts only
/// in privileged containers.
fn confine(container: &mut Value) {
    container["securityContext"] = json!({
        "privileged": false, "capabilities": {"drop": ["ALL"], "add": NEEDED}, "seccompProfile": {"type": "RuntimeDefault"},
    });
    for mount in container["volumeMounts"].as_array_mut().unwrap() {
        if mount["mountPropagation"] == "Bidirectional" {
            mount["mountPropagation"] = json!("HostToContainer");
        }
    }
}

impl<'a> Agents<'a> {
    /// Deploys a release and the policy.
    pub async fn deploy(scene: &'a Scene, form: Form) -> Self {
        let release = form.release;
        let objects: Vec<Value> =
            files(release).iter().flat_map(|file| objects(scene, file)).collect();
        let list = json!({"apiVersion": "v1", "kind": "List",
            "items": objects.into_iter().filter(is_wanted).map(|object| adapt(object, form)).collect::<Vec<_>>()});
        let dir = paths::state().join("tests");
        std::fs::create_dir_all(&dir).unwrap();
        let file = dir.join(format!("{release}.json"));
        std::fs::write(&file, list.to_string()).unwrap();
        // Server-side, because the releases' definitions are too long for the annotation of a
        // client-side apply.
        scene.kubectl(&[
            "apply",
            "--server-side",
            "--force-conflicts",
            "-f",
            &file.display().to_string(),
        ]);
        let established = |crd: &Value| condition(crd, "Established")["status"] == "True";
        for kind in KINDS {
            scene.until_object(&format!("{DEFINITIONS}/{kind}"), "established", established).await;
        }
        let policy = paths::workspace().join("e2e/agent/manifests/policy.yaml");
        scene.kubectl(&["apply", "-f", &policy.display().to_string()]);
        let agents = Self { scene };
        agents.rolled_out();
        agents
    }

    fn rolled_out(&self) {
        let timeout = format!("--timeout={}s", deadline().as_secs());
        self.scene.kubectl(&[
            "-n",
            "kube-system",
            "rollout",
            "status",
            "daemonset/tetragon",
            &timeout,
        ]);
    }

    /// Lets the agents serve gRPC at their nodes' addresses, which no chart does by default.
    pub fn serve_outside(&self) {
        let data = json!({"data": {"server-address": "0.0.0.0:54321"}}).to_string();
        let in_namespace = ["-n", "kube-system"];
        let patch = ["patch", "configmap", "tetragon-config", "--type=merge", "-p", &data];
        self.scene.kubectl(&[&in_namespace[..], &patch].concat());
        self.scene
            .kubectl(&[&in_namespace[..], &["rollout", "restart", "daemonset/tetragon"]].concat());
        self.rolled_out();
    }

    /// Changes the agent's container, as its owner does.
    pub fn change(&self, container: &Value) {
        let mut container = container.clone();
        container["name"] = json!("tetragon");
        let patch =
            json!({"spec": {"template": {"spec": {"containers": [container]}}}}).to_string();
        self.scene.kubectl(&["-n", "kube-system", "patch", "daemonset", "tetragon", "-p", &patch]);
    }

    /// Reverts the last change of the pod template.
    pub fn undo(&self) {
        self.scene.kubectl(&["-n", "kube-system", "rollout", "undo", "daemonset/tetragon"]);
    }

    /// Annotates the DaemonSet.
    pub fn annotate(&self, annotation: &str) {
        self.scene.kubectl(&[
            "-n",
            "kube-system",
            "annotate",
            "--overwrite",
            "daemonset",
            "tetragon",
            annotation,
        ]);
    }

    pub async fn daemon_set(&self) -> Value {
        self.scene.get(TETRAGON).await
    }

    /// The pod of the agent on a node.
    async fn pod(&self, node: &str) -> Result<String, String> {
        let pods = self.scene.pods("kube-system", "tetragon").await;
        let here = |pod: &&Value| {
            pod["spec"]["nodeName"] == node && pod["metadata"]["deletionTimestamp"].is_null()
        };
        pods.iter()
            .find(here)
            .map(|pod| name(pod).to_owned())
            .ok_or_else(|| format!("no agent on {node}"))
    }

    /// Asks the agent for the policy by gRPC, with its `tetra`.
    async fn ask(&self, node: &str) -> Result<Value, String> {
        let pod = self.pod(node).await?;
        let command = ["-n", "kube-system", "exec", &pod, "-c", "tetragon", "--"];
        let tetra = ["tetra", "tracingpolicy", "list", "-o", "json"];
        let text = self
            .scene
            .try_kubectl(&[&command[..], &tetra].concat())
            .map_err(|error| error.to_string())?;
        let listed: Value =
            serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        let policies = listed["policies"].as_array().cloned().unwrap_or_default();
        policies
            .into_iter()
            .find(|policy| policy["name"] == "deny-secret")
            .ok_or_else(|| listed.to_string())
    }

    /// Runs `tetra tracingpolicy VERB deny-secret …` in the agent of a node, for instance with
    /// `["set-mode", "monitor"]`.
    pub async fn tetra(&self, node: &str, command: &[&str]) {
        let pod = self.pod(node).await.unwrap();
        let (verb, more) = command.split_first().unwrap();
        let exec = [
            "-n",
            "kube-system",
            "exec",
            &pod,
            "-c",
            "tetragon",
            "--",
            "tetra",
            "tracingpolicy",
            verb,
            "deny-secret",
        ];
        // Under emulation tetra may give up before the agent has finished. The caller waits for the
        // outcome.
        let _ = self.scene.try_kubectl(&[&exec[..], more].concat());
    }

    /// Waits until the agent of a node reports the policy in a state, for instance `ENABLED`, and
    /// returns the policy.
    pub async fn until(&self, node: &str, state: &str) -> Value {
        let state = format!("TP_STATE_{state}");
        let asked = async || {
            let policy = self.ask(node).await?;
            if policy["state"] == state { Ok(policy) } else { Err(policy.to_string()) }
        };
        self.scene.until(&format!("{state} on {node}"), asked).await
    }

    /// The number of policies that the agent's gauge counts in a state.
    pub async fn counted(&self, node: &str, state: &str) -> String {
        let pod = self.pod(node).await.unwrap();
        let path = format!("/api/v1/namespaces/kube-system/pods/{pod}:{METRICS}/proxy/metrics");
        let text = self.scene.text(&path).await;
        let wanted = format!("tetragon_tracingpolicy_loaded{{state=\"{state}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&wanted)).unwrap_or(&text).to_owned()
    }

    pub async fn log(&self, node: &str) -> String {
        let pod = self.pod(node).await.unwrap();
        self.scene.kubectl(&["-n", "kube-system", "logs", &pod, "-c", "tetragon"])
    }

    /// Removes everything and waits until no agent is left: two agents on a node would need the
    /// same ports.
    pub async fn remove(self) {
        self.scene.delete(TRACING_POLICY).await;
        self.scene.delete(TETRAGON).await;
        let left = async || {
            let pods = self.scene.pods("kube-system", "tetragon").await;
            if pods.is_empty() { Ok(()) } else { Err(format!("{} agents", pods.len())) }
        };
        self.scene.until("the agents to end", left).await;
    }
}
