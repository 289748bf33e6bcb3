//! An API server with a fleet: many nodes that deny, and four others with the label `few=yes`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::api::ApiServer;
use e2e::{paths, request, wait};
use futures::{StreamExt, stream};
use kube::Client;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::{Evidence, LsmHookProfile, LsmNodeStatus, State, fixture};
use serde_json::{Value, json};

pub const KINDS: &str = "/apis/lsmready.io/v1alpha1";
pub const APPS: &str = "/apis/apps/v1/namespaces";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
/// Requests that create nodes at once.
const CONCURRENCY: usize = 32;
const DEADLINE: Duration = Duration::from_mins(1);
/// The API server deletes the objects of a kind one by one, and there may be 20,000.
const DELETED: Duration = Duration::from_mins(15);

pub struct Scene {
    server: ApiServer,
    folder: PathBuf,
}

impl Scene {
    pub async fn start() -> Self {
        let folder = paths::state().join("tests").join("plugin-fleet");
        // An earlier run may have left the folder.
        let _ = std::fs::remove_dir_all(&folder);
        Self { server: ApiServer::start(&folder).await.unwrap(), folder }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.server.kubeconfig()
    }

    pub fn user(&self, name: &str) -> PathBuf {
        self.server.kubeconfig_for(name, None).unwrap()
    }

    pub async fn client(&self) -> Client {
        self.server.client().await.unwrap()
    }

    /// The number of nodes.
    #[allow(clippy::unused_self, reason = "the number belongs to the scene")]
    pub fn nodes(&self) -> usize {
        std::env::var("FLEET_NODES").map_or(60, |nodes| nodes.parse().unwrap())
    }

    /// Our CRDs, and a Lease of the operator.
    pub async fn install(&self) {
        let manifests = paths::workspace().join("config/crd").display().to_string();
        let apply = ["apply", "--server-side", "-k", &manifests];
        request::kubectl(&self.kubeconfig(), &apply).unwrap();
        self.served(&format!("{KINDS}/lsmnodes")).await;
        self.served(&format!("{KINDS}/lsmhookprofiles")).await;
        self.served(&format!("{KINDS}/lsmpolicies")).await;
        let client = self.client().await;
        let namespace = json!({"metadata": {"name": "lsm-ready-system"}});
        post(&client, "/api/v1/namespaces", &namespace).await;
        let path = "/apis/coordination.k8s.io/v1/namespaces/lsm-ready-system/leases";
        let says = json!({"lsmready.io/breaker-open": "7 nodes"});
        let lease = json!({"metadata": {"name": "lsm-ready-operator", "annotations": says}});
        post(&client, path, &lease).await;
    }

    async fn served(&self, path: &str) {
        let client = self.client().await;
        wait::until(DEADLINE, path, async || {
            request::done(&client, "GET", path, &Value::Null)
                .await
                .map_err(|error| error.to_string())
        })
        .await
        .unwrap();
    }

    /// Nodes, reports, a hook profile, policies, and workloads.
    pub async fn fill(&self) {
        let client = self.client().await;
        let profile = profile();
        let digest = profile.metadata.name.clone().unwrap();
        let object = serde_json::to_value(&profile).unwrap();
        post(&client, &format!("{KINDS}/lsmhookprofiles"), &object).await;
        let created = stream::iter(0..self.nodes()).map(|of| create_node(&client, &digest, of));
        created.buffer_unordered(CONCURRENCY).collect::<Vec<()>>().await;
        for (name, daemon_set) in [("enforce", "tetragon"), ("other", "elsewhere")] {
            let spec = json!({"tetragon": {"daemonSet": {"name": daemon_set}}});
            let object = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy",
                "metadata": {"name": name}, "spec": spec});
            post(&client, &format!("{KINDS}/lsmpolicies"), &object).await;
        }
        workloads(&client).await;
    }

    /// Lets that user read what the verdicts need.
    pub async fn let_read_nodes(&self, user: &str) {
        let client = self.client().await;
        let rules = json!([
            {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]},
            {"apiGroups": ["lsmready.io"], "resources": ["lsmnodes", "lsmhookprofiles"],
             "verbs": ["list"]},
        ]);
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": user}, "rules": rules});
        post(&client, &format!("{RBAC}/clusterroles"), &role).await;
        let group = "rbac.authorization.k8s.io";
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding", "metadata": {"name": user},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": user},
            "subjects": [{"apiGroup": group, "kind": "User", "name": user}]});
        post(&client, &format!("{RBAC}/clusterrolebindings"), &binding).await;
        let reader = self.server.client_for(user, None).await.unwrap();
        wait::until(DEADLINE, "the right to list nodes", async || {
            let path = "/api/v1/nodes?limit=1";
            let list = request::done(&reader, "GET", path, &Value::Null).await;
            list.map_err(|error| error.to_string())
        })
        .await
        .unwrap();
    }

    /// A CRD in the shape of Tetragon's.
    pub async fn install_tracing_policies(&self) {
        let hooks = json!({"type": "array", "items": {"type": "object",
            "x-kubernetes-preserve-unknown-fields": true}});
        let spec = json!({"type": "object", "properties": {"lsmhooks": hooks}});
        let schema = json!({"type": "object", "properties": {"spec": spec}});
        let crd = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "tracingpolicies.cilium.io"},
            "spec": {
                "group": "cilium.io", "scope": "Cluster",
                "names": {"kind": "TracingPolicy", "plural": "tracingpolicies"},
                "versions": [{"name": "v1alpha1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": schema}}],
            },
        });
        post(&self.client().await, CRDS, &crd).await;
        self.served("/apis/cilium.io/v1alpha1/tracingpolicies").await;
    }

    pub async fn remove_crd(&self, plural: &str) {
        let client = self.client().await;
        let path = format!("{CRDS}/{plural}.lsmready.io");
        request::done(&client, "DELETE", &path, &Value::Null).await.unwrap();
        let list = format!("{KINDS}/{plural}");
        wait::until(DELETED, "the kind to be gone", async || {
            match request::done(&client, "GET", &list, &Value::Null).await {
                Ok(_) => Err("still served"),
                Err(_) => Ok(()),
            }
        })
        .await
        .unwrap();
    }

    /// Lets reports have any fields, as a CRD of another version could.
    pub async fn relax_reports(&self) {
        let client = self.client().await;
        let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let path = format!("{CRDS}/lsmnodes.lsmready.io");
        let mut crd = request::done(&client, "GET", &path, &Value::Null).await.unwrap();
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = any;
        request::done(&client, "PUT", &path, &crd).await.unwrap();
        wait::until(DEADLINE, "the schema to be in force", async || {
            let status = json!({"status": {"evidence": {"not": "a rung"}}});
            let path = format!("{KINDS}/lsmnodes/n0001/status");
            let written = request::done(&client, "MERGE", &path, &status).await;
            written.map_err(|error| error.to_string())
        })
        .await
        .unwrap();
    }
}

async fn post(client: &Client, path: &str, object: &Value) {
    request::done(client, "POST", path, object).await.unwrap();
}

fn profile() -> LsmHookProfile {
    let hooks = ["bpf", "file_open"].map(str::to_owned).into();
    let spec = LsmHookProfileSpec {
        kernel: "6.12.1 x86_64".to_owned(),
        hooks,
        sleepable_hooks: ["file_open".to_owned()].into(),
        ..LsmHookProfileSpec::default()
    };
    LsmHookProfile::new(&spec.digest(), spec)
}

/// The report of the node with that number. One node has none.
fn report(number: usize, digest: &str) -> Option<LsmNodeStatus> {
    let mut report = match number {
        0 | 1 => fixture::report("b1", Evidence::Attached, "BpfNotInLsmList"),
        2 => return None,
        _ => fixture::denied("b1"),
    };
    if number == 0 {
        // What the schema lets through.
        report.message = "\u{fffd}[2J <script>alert(1)</script> ".repeat(20);
        report.fix = "https://example.com/a/very/long/path/without/blanks".repeat(4);
    }
    report.lsms.active = vec!["capability".to_owned(), "bpf".to_owned()];
    report.checks.push(fixture::kernel_reads(State::Ready));
    report.hook_profile = Some(digest.to_owned());
    Some(report)
}

/// A Node of about 8 KB, as a kubelet's with its list of images.
async fn create_node(client: &Client, digest: &str, number: usize) {
    let name = format!("n{number:04}");
    let few = if number < 4 { "yes" } else { "no" };
    let labels = json!({"kubernetes.io/os": "linux", "few": few,
        "topology.kubernetes.io/zone": format!("zone-{}", number % 3)});
    let node =
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}});
    post(client, "/api/v1/nodes", &node).await;
    let images: Vec<Value> = (0..40)
        .map(|image| {
            let name = format!("registry.example.com/some/long/path/to/an/image-{image}");
            json!({"names": [format!("{name}@sha256:{image:064}"), name], "sizeBytes": 1_000_000})
        })
        .collect();
    let info = json!({"bootID": "b1", "kernelVersion": "6.12.1", "osImage": "Debian 12",
        "architecture": "amd64", "operatingSystem": "linux", "containerRuntimeVersion": "c",
        "kubeProxyVersion": "", "kubeletVersion": "v1.35.4", "machineID": "m", "systemUUID": "u"});
    let status = json!({"status": {"images": images, "nodeInfo": info}});
    let path = format!("/api/v1/nodes/{name}/status");
    request::done(client, "STRATEGIC", &path, &status).await.unwrap();
    let Some(report) = report(number, digest) else { return };
    let object = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode",
        "metadata": {"name": name}});
    post(client, &format!("{KINDS}/lsmnodes"), &object).await;
    let path = format!("{KINDS}/lsmnodes/{name}/status");
    request::done(client, "MERGE", &path, &json!({"status": report})).await.unwrap();
}

/// The operator, Tetragon's DaemonSet, and one of its pods.
async fn workloads(client: &Client) {
    let object = |kind: &str, name: &str, image: &str| {
        let labels = json!({"app.kubernetes.io/name": name});
        json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "labels": labels},
            "spec": {"selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": name, "image": image}]}}}})
    };
    let operator = object("Deployment", "lsm-ready-operator", "lsm-ready/operator:0.1.0");
    post(client, &format!("{APPS}/lsm-ready-system/deployments"), &operator).await;
    let tetragon = object("DaemonSet", "tetragon", "quay.io/cilium/tetragon:v1.3.0");
    let path = format!("{APPS}/kube-system/daemonsets");
    let created = request::done(client, "POST", &path, &tetragon).await.unwrap();
    let owner = json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "tetragon",
        "uid": created["metadata"]["uid"]}]);
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "tetragon-a", "ownerReferences": owner},
        "spec": {"nodeName": "n0003", "automountServiceAccountToken": false,
            "containers": [{"name": "tetragon", "image": "quay.io/cilium/tetragon:v1.3.0"}]}});
    // No controller makes it here.
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "default"}});
    let namespace = "/api/v1/namespaces/kube-system";
    post(client, &format!("{namespace}/serviceaccounts"), &account).await;
    post(client, &format!("{namespace}/pods"), &pod).await;
}
