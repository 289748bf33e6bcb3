//! The API servers of this binary, with our manifests applied, and requests to them.
//!
//! In: a component's ServiceAccount. Out: requests with that component's token, each with the code
//! and message of the answer. The servers end with this process.

use std::sync::Arc;
use std::time::Duration;

use e2e::api::ApiServer;

pub use e2e::request::{Answer, kubectl};
use e2e::{paths, request, wait};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::PostParams;
use kube::{Api, Client};
use kube_runtime::events::Reporter;
use lsm_ready_operator::context::Context;
use lsm_ready_operator::context::metrics::Metrics;
use lsm_ready_operator::watch;
use lsm_ready_operator::watch::queue::queues;
use lsm_ready_operator::watch::store::stores;
use lsm_ready_operator::watch::triggers::Triggers;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::pool::{Pool, Turn};

/// The namespace of the manifests.
pub const NAMESPACE: &str = "lsm-ready-system";
/// Our CRDs, as kubectl takes them.
pub const CRDS: [&str; 3] =
    ["crd/lsmpolicies.lsmready.io", "crd/lsmnodes.lsmready.io", "crd/lsmhookprofiles.lsmready.io"];
/// The operator's ServiceAccount.
pub const OPERATOR: &str = "lsm-ready-operator";
/// The probe's ServiceAccount.
pub const PROBE: &str = "lsm-ready-probe";

/// The path of the API group of roles.
pub const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

pub const DEADLINE: Duration = Duration::from_secs(30);

static SHARED: OnceCell<ApiServer> = OnceCell::const_new();
static EXCLUSIVE: Pool<3> = Pool::new();

/// The server of the tests that use objects of their own.
pub async fn shared() -> &'static ApiServer {
    SHARED.get_or_init(|| start("shared")).await
}

/// The server on which our names on Nodes are reserved: config/default with the component
/// config/reserve-deny.
pub async fn denying() -> &'static ApiServer {
    static DENYING: OnceCell<ApiServer> = OnceCell::const_new();
    DENYING
        .get_or_init(async || {
            let server = start("denying").await;
            let overlay = server.kubeconfig().with_file_name("overlay");
            std::fs::create_dir_all(&overlay).unwrap();
            // kustomize wants relative paths.
            let up = "../".repeat(overlay.strip_prefix(paths::workspace()).unwrap().iter().count());
            let text =
                format!("resources: [{up}config/default]\ncomponents: [{up}config/reserve-deny]\n");
            std::fs::write(overlay.join("kustomization.yaml"), text).unwrap();
            let overlay = overlay.display().to_string();
            let apply = ["apply", "--server-side", "-k", &overlay];
            kubectl(&server.kubeconfig(), &apply).unwrap();
            server
        })
        .await
}

/// Waits for a server of its own for this test. The objects of the tests before are gone then.
pub async fn exclusive() -> Turn {
    let start = async |number| start(&format!("exclusive-{number}")).await;
    let turn = EXCLUSIVE.turn(start).await;
    let kubeconfig = turn.server.kubeconfig();
    let kinds = "lsmpolicies,lsmnodes,lsmhookprofiles,nodes";
    kubectl(&kubeconfig, &["delete", kinds, "--all"]).unwrap();
    let kinds = "daemonsets,pods,leases";
    kubectl(&kubeconfig, &["delete", kinds, "--all", "-n", NAMESPACE, "--force"]).unwrap();
    kubectl(&kubeconfig, &["delete", "daemonsets", "--all", "-n", "kube-system"]).unwrap();
    turn
}

/// Starts a server and applies the manifests.
pub async fn start(name: &str) -> ApiServer {
    let dir = paths::state().join("tests").join(name);
    // An earlier run may have left the folder.
    let _ = std::fs::remove_dir_all(&dir);
    let server = ApiServer::start(&dir).await.unwrap();
    let kubeconfig = server.kubeconfig();
    kubectl(&kubeconfig, &["apply", "--server-side", "-k", &config("default")]).unwrap();
    let mut wait = vec!["wait", "--for=condition=Established", "--timeout=30s"];
    wait.extend(CRDS);
    kubectl(&kubeconfig, &wait).unwrap();
    let patch = json!({"verb": "patch", "group": "apps", "resource": "daemonsets"});
    granted(&server, &account(OPERATOR), &patch).await;
    let patch = json!({"verb": "patch", "group": "lsmready.io", "resource": "lsmnodes"});
    granted(&server, &account(PROBE), &patch).await;
    server
}

/// The path of a folder of `config/`.
pub fn config(folder: &str) -> String {
    paths::workspace().join("config").join(folder).display().to_string()
}

/// Tetragon's CRDs. One test at a time has them installed, because another shows what happens
/// without them.
pub struct TetragonCrds {
    server: &'static ApiServer,
    _turn: MutexGuard<'static, ()>,
}

const TETRAGON_CRDS: [&str; 2] =
    ["crd/tracingpolicies.cilium.io", "crd/tracingpoliciesnamespaced.cilium.io"];

/// Waits until no other test uses Tetragon's CRDs. They are not installed then.
pub async fn tetragon_crds() -> TetragonCrds {
    static TURN: Mutex<()> = Mutex::const_new(());
    let turn = TURN.lock().await;
    let crds = TetragonCrds { server: shared().await, _turn: turn };
    crds.delete();
    crds
}

impl TetragonCrds {
    /// Installs them as the test agent does.
    pub fn install(&self) {
        install_tetragons_crds(self.server);
    }

    /// Deletes them, and waits until they are gone.
    pub fn delete(&self) {
        delete_tetragons_crds(self.server);
    }
}

/// Installs Tetragon's CRDs as the test agent does.
pub fn install_tetragons_crds(server: &ApiServer) {
    let file = paths::workspace().join("e2e/agent/manifests/crd.yaml").display().to_string();
    let kubeconfig = server.kubeconfig();
    kubectl(&kubeconfig, &["apply", "-f", &file]).unwrap();
    let mut wait = vec!["wait", "--for=condition=Established", "--timeout=30s"];
    wait.extend(TETRAGON_CRDS);
    kubectl(&kubeconfig, &wait).unwrap();
}

/// Deletes Tetragon's CRDs, and waits until they are gone.
pub fn delete_tetragons_crds(server: &ApiServer) {
    let mut delete = vec!["delete", "--ignore-not-found"];
    delete.extend(TETRAGON_CRDS);
    kubectl(&server.kubeconfig(), &delete).unwrap();
}

/// The operator's context. Its watches run with the rights of `watching` and end with the test. It
/// writes with the rights of `operator`.
pub fn context(watching: &Client, operator: Client) -> Arc<Context> {
    let (stores, writers) = stores();
    let (queues, _) = queues();
    let reporter = Reporter { controller: "lsmready.io/operator".into(), instance: None };
    let ctx = Arc::new(Context::new(operator, reporter, stores, queues, Metrics::default()));
    tokio::spawn(watch::run(watching.clone(), writers, Triggers::new(ctx.clone())));
    ctx
}

/// Sends one request; see [`request::call`]. Panics if there is no answer.
pub async fn call(client: &Client, verb: &str, path: &str, body: &Value) -> Answer {
    request::call(client, verb, path, body).await.unwrap()
}

/// Sends one request that has to succeed. Returns the object.
pub async fn done(client: &Client, verb: &str, path: &str, body: &Value) -> Value {
    request::done(client, verb, path, body).await.unwrap()
}

/// A client with a token of one of our ServiceAccounts that is bound to no pod.
pub async fn unbound(server: &ApiServer, account: &str) -> Client {
    as_account(server, account, None).await
}

/// A client with the token that a pod of that ServiceAccount gets on that node.
pub async fn on_node(server: &ApiServer, account: &str, node: &str) -> Client {
    let admin = server.client().await.unwrap();
    let pods = Api::<Pod>::namespaced(admin, NAMESPACE);
    let pod = json!({
        "metadata": {"generateName": format!("{account}-")},
        "spec": {"nodeName": node, "serviceAccountName": account,
            "containers": [{"name": "main", "image": "none"}]},
    });
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let pod = pods.create(&PostParams::default(), &pod).await.unwrap();
    let to = BoundObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Pod".into()),
        name: pod.metadata.name,
        uid: pod.metadata.uid,
    };
    as_account(server, account, Some(to)).await
}

async fn as_account(server: &ApiServer, account: &str, to: Option<BoundObjectReference>) -> Client {
    let admin = server.client().await.unwrap();
    let accounts = Api::<ServiceAccount>::namespaced(admin, NAMESPACE);
    let spec = TokenRequestSpec { bound_object_ref: to, ..Default::default() };
    let request = TokenRequest { spec, ..Default::default() };
    let token =
        accounts.create_token_request(account, &PostParams::default(), &request).await.unwrap();
    server.client_with_token(&token.status.unwrap().token).await.unwrap()
}

/// A client of a user that has these rights in the whole cluster, by a ClusterRole of its name.
/// `probe` is one of the rights, and is waited for.
pub async fn with_rights(server: &ApiServer, user: &str, rules: &Value, probe: &Value) -> Client {
    let admin = server.client().await.unwrap();
    let name = user.replace(':', "-");
    let role = json!({"metadata": {"name": name}, "rules": rules});
    done(&admin, "POST", &format!("{RBAC}/clusterroles"), &role).await;
    let binding = json!({"metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]});
    done(&admin, "POST", &format!("{RBAC}/clusterrolebindings"), &binding).await;
    granted(server, user, probe).await;
    server.client_for(user, None).await.unwrap()
}

/// Runs `work` while one of our accounts has every right that RBAC can grant.
pub async fn as_cluster_admin(server: &ApiServer, account: &str, work: impl AsyncFnOnce()) {
    let admin = server.client().await.unwrap();
    let name = format!("{account}-is-admin");
    let binding = json!({"metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}]});
    done(&admin, "POST", &format!("{RBAC}/clusterrolebindings"), &binding).await;
    let all = json!({"verb": "*", "group": "*", "resource": "*"});
    granted(server, &self::account(account), &all).await;
    work().await;
    let path = format!("{RBAC}/clusterrolebindings/{name}");
    done(&admin, "DELETE", &path, &Value::Null).await;
}

/// A Node with a label, an annotation and a taint of others.
pub fn node_object(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux", "zone": "a"},
            "annotations": {"note": "x"}},
        "spec": {"taints": [{"key": "example.com/foreign", "effect": "NoSchedule"}],
            "podCIDR": "10.0.0.0/24"},
    })
}

/// Creates a Node with a label, taint and condition of others.
pub async fn create_node(server: &ApiServer, name: &str) -> Value {
    let admin = server.client().await.unwrap();
    let node = node_object(name);
    done(&admin, "POST", "/api/v1/nodes", &node).await;
    let status = json!({"status": {
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady",
                "message": "fine"}],
        "capacity": {"cpu": "4"},
        "nodeInfo": {"bootID": "1", "osImage": "Debian", "architecture": "",
            "containerRuntimeVersion": "",
            "kernelVersion": "", "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "",
            "operatingSystem": "linux", "systemUUID": ""},
    }});
    done(&admin, "STRATEGIC", &format!("/api/v1/nodes/{name}/status"), &status).await
}

/// The patch by which the operator adds the volume and its mount.
pub fn securityfs() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"labels": {"lsmready.io/securityfs": "mounted"}},
    "spec": {"template": {"spec": {
        "containers": [{"name": "tetragon", "volumeMounts": [
            {"name": "lsm-ready-securityfs", "mountPath": "/sys/kernel/security",
                "readOnly": true}]}],
        "volumes": [{"name": "lsm-ready-securityfs",
            "hostPath": {"path": "/sys/kernel/security", "type": "Directory"}}],
    }}}})
}

/// The operator's requests to write, from the API server's audit log.
pub fn audited(server: &ApiServer) -> Vec<Value> {
    let log = std::fs::read_to_string(server.audit_log()).unwrap();
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["user"]["username"] == account(OPERATOR)).collect()
}

/// The operator's writes, but renewals of the Lease and Events: verb and path, in order.
pub fn writes(server: &ApiServer) -> Vec<String> {
    let text = |event: &Value, at: &str| {
        event.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let events = audited(server);
    let others = events.iter().filter(|event| {
        !["leases", "events"].contains(&text(event, "/objectRef/resource").as_str())
    });
    others.map(|event| format!("{} {}", text(event, "/verb"), text(event, "/requestURI"))).collect()
}

/// The user name of a ServiceAccount of ours.
pub fn account(name: &str) -> String {
    format!("system:serviceaccount:{NAMESPACE}:{name}")
}

/// Waits until RBAC grants this to a user, which is some time after the binding is stored.
pub async fn granted(server: &ApiServer, user: &str, attributes: &Value) {
    let admin = server.client().await.unwrap();
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": attributes}});
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    wait::until(DEADLINE, "the right to be granted", async || {
        let answer = call(&admin, "POST", path, &review).await;
        if answer.body["status"]["allowed"] == true { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await
    .unwrap();
}

/// Waits until the API server enforces our admission policies, which is some time after they are
/// stored. `must_be_refused` is sent as a dry run.
pub async fn enforced(client: &Client, verb: &str, path: &str, must_be_refused: &Value) {
    wait::until(DEADLINE, "the admission policy to be enforced", async || {
        let answer = call(client, verb, &format!("{path}?dryRun=All"), must_be_refused).await;
        if answer.message.contains("ValidatingAdmissionPolicy") {
            Ok(())
        } else {
            Err(format!("{answer:?}"))
        }
    })
    .await
    .unwrap();
}
