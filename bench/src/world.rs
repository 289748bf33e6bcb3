//! A real API server with our manifests and a fleet of Nodes, reports and policies on it.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use e2e::api::{self, ApiServer};
use e2e::process::Processes;
use e2e::request::{self, kubectl};
use e2e::{paths, wait};
use futures::{StreamExt, stream};
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};

use crate::Failure;
use crate::fleet::{Fleet, Proof, name, objects};
use crate::usage::{self, Usage};

/// How many requests of one kind are under way at once: as many as the operator's.
pub const CONCURRENCY: usize = 16;
/// The namespace of our manifests.
pub const NAMESPACE: &str = "lsm-ready-system";
/// The operator's user name at the API server.
pub const OPERATOR: &str = "system:serviceaccount:lsm-ready-system:lsm-ready-operator";
/// The path of the reports.
pub const LSM_NODES: &str = "/apis/lsmready.io/v1alpha1/lsmnodes";
const KINDS: &str = "/apis/lsmready.io/v1alpha1";
const SERVED: Duration = Duration::from_secs(30);

/// The API server, its fleet, and an administrator's client.
pub struct World {
    pub server: ApiServer,
    pub client: Client,
    pub fleet: Fleet,
    pub dir: PathBuf,
    /// The name of the hook profile that all nodes share.
    pub profile: String,
}

/// CPU time of the control plane, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct PlaneCpu {
    pub api_server: f64,
    pub etcd: f64,
}

impl World {
    /// Starts an API server, applies config/default and creates Nodes, reports and policies.
    pub async fn create(fleet: Fleet, proof: Proof) -> Result<Self, Failure> {
        let dir = paths::state().join("bench");
        paths::remove_dir(&dir)?;
        let server = ApiServer::start(&dir).await?;
        apply_manifests(&server.kubeconfig()).await?;
        let client = server.client().await?;
        let profile = objects::profile();
        let path = format!("{KINDS}/lsmhookprofiles");
        request::done(&client, "POST", &path, &serde_json::to_value(&profile)?).await?;
        let profile = profile.metadata.name.unwrap_or_default();
        let world = Self { server, client, fleet, dir, profile };
        world.create_nodes(proof).await?;
        for policy in &world.fleet.policies {
            let path = format!("{KINDS}/lsmpolicies");
            request::done(&world.client, "POST", &path, &policy.object()).await?;
        }
        Ok(world)
    }

    /// Creates the nodes, each with its report.
    async fn create_nodes(&self, proof: Proof) -> Result<(), Failure> {
        let began = Instant::now();
        let total = self.fleet.nodes;
        let created = stream::iter(0..total).map(async |number| {
            self.create_node(number).await?;
            self.first_report(number, proof).await
        });
        let mut created = created.buffer_unordered(CONCURRENCY);
        let mut count = 0_usize;
        while let Some(done) = created.next().await {
            done?;
            count += 1;
            if count.is_multiple_of(1000) {
                say(&format!("{count} of {total} nodes"));
            }
        }
        say(&format!("{total} nodes in {:.1} s", began.elapsed().as_secs_f64()));
        Ok(())
    }

    /// Creates a Node, as a kubelet does that joins.
    pub async fn create_node(&self, number: usize) -> Result<(), Failure> {
        request::done(&self.client, "POST", "/api/v1/nodes", &objects::node(number)).await?;
        Ok(())
    }

    /// Creates a node's LsmNode and writes its report, as a probe does at its first start.
    pub async fn first_report(&self, number: usize, proof: Proof) -> Result<(), Failure> {
        let object = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode",
            "metadata": {"name": name(number)}});
        request::done(&self.client, "POST", LSM_NODES, &object).await?;
        self.report(number, proof).await
    }

    /// Deletes a Node and its LsmNode, where they are there.
    pub async fn delete_node(&self, number: usize) -> Result<(), Failure> {
        for collection in ["/api/v1/nodes", LSM_NODES] {
            let path = format!("{collection}/{}", name(number));
            let answer = request::call(&self.client, "DELETE", &path, &Value::Null).await?;
            if !answer.is_ok() && answer.code != 404 {
                return Err(format!("DELETE {path}: {} {}", answer.code, answer.message).into());
            }
        }
        Ok(())
    }

    /// Writes a node's report.
    pub async fn report(&self, number: usize, proof: Proof) -> Result<(), Failure> {
        let status = objects::report(number, proof, &self.profile, Timestamp::now());
        let path = format!("{KINDS}/lsmnodes/{}/status", name(number));
        request::done(&self.client, "MERGE", &path, &json!({ "status": status })).await?;
        Ok(())
    }

    /// Writes the reports of all nodes. Returns how long that took.
    pub async fn report_all(&self, proof: Proof) -> Result<Duration, Failure> {
        let all: Vec<usize> = (0..self.fleet.nodes).collect();
        self.report_some(&all, proof).await
    }

    /// The same for some of the nodes.
    pub async fn report_some(&self, nodes: &[usize], proof: Proof) -> Result<Duration, Failure> {
        let began = Instant::now();
        let reports = stream::iter(nodes).map(|node| self.report(*node, proof));
        let mut reports = reports.buffer_unordered(CONCURRENCY);
        while let Some(done) = reports.next().await {
            done?;
        }
        Ok(began.elapsed())
    }

    /// What the API server uses.
    pub fn api_server(&self) -> Usage {
        self.usage("kube-apiserver")
    }

    /// The CPU time that the control plane has used.
    pub fn plane_cpu(&self) -> PlaneCpu {
        let cpu = |name: &str| self.usage(name).cpu_seconds;
        PlaneCpu { api_server: cpu("kube-apiserver"), etcd: cpu("etcd") }
    }

    fn usage(&self, program: &str) -> Usage {
        let record = Processes::new(self.dir.join("processes")).get(program);
        record.map_or_else(Usage::default, |record| usage::of(record.pid))
    }

    /// A kubeconfig with a token of the operator's ServiceAccount.
    pub async fn operator_kubeconfig(&self) -> Result<PathBuf, Failure> {
        self.kubeconfig_with_token("lsm-ready-operator").await
    }

    /// A kubeconfig with a token of a ServiceAccount of its own that may do everything, but has no
    /// other privilege in the API server's flow control.
    pub async fn kubeconfig_of_an_account(&self, name: &str) -> Result<PathBuf, Failure> {
        let accounts = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts");
        let account = json!({"metadata": {"name": name}});
        request::done(&self.client, "POST", &accounts, &account).await?;
        let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
        let binding = json!({"metadata": {"name": name}, "roleRef": {"kind": "ClusterRole",
                "apiGroup": "rbac.authorization.k8s.io", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}]});
        request::done(&self.client, "POST", bindings, &binding).await?;
        self.kubeconfig_with_token(name).await
    }

    async fn kubeconfig_with_token(&self, account: &str) -> Result<PathBuf, Failure> {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token");
        let wanted = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": [], "expirationSeconds": 86400}});
        let token = request::done(&self.client, "POST", &path, &wanted).await?;
        let admin = std::fs::read_to_string(self.server.kubeconfig())?;
        let mut config: Value = serde_json::from_str(&admin)?;
        config["users"][0]["user"] = json!({"token": token["status"]["token"]});
        let file = self.dir.join(format!("{account}.kubeconfig"));
        std::fs::write(&file, config.to_string())?;
        Ok(file)
    }
}

async fn apply_manifests(kubeconfig: &Path) -> Result<(), Failure> {
    let manifests = paths::workspace().join("config/default").display().to_string();
    kubectl(kubeconfig, &["apply", "--server-side", "-k", &manifests])?;
    let crds = ["lsmpolicies", "lsmnodes", "lsmhookprofiles"];
    for crd in crds {
        let crd = format!("crd/{crd}.lsmready.io");
        kubectl(kubeconfig, &["wait", "--for=condition=Established", "--timeout=30s", &crd])?;
    }
    let client = api::client(kubeconfig).await?;
    for crd in crds {
        let path = format!("{KINDS}/{crd}");
        wait::until(SERVED, &path, async || {
            request::done(&client, "GET", &path, &Value::Null).await.map(drop)
        })
        .await?;
    }
    Ok(())
}

/// Says what happens, and when it began.
pub fn say(text: &str) {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    eprintln!("bench: [{:>4} s] {text}", BEGAN.elapsed().as_secs());
}

/// Waits for the end of a span in which something is counted.
pub async fn wait_for(time: Duration) {
    // The first tick of an interval comes at once.
    let mut ticks = tokio::time::interval(time);
    ticks.tick().await;
    ticks.tick().await;
}
