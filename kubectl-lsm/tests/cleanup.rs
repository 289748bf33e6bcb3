//! `kubectl lsm-ready cleanup` on a real API server, with many Nodes that carry everything of ours.
//!
//! `CLEANUP_NODES=5000` measures what docs/adr/0035-cleanup.md tells.
#![allow(clippy::unwrap_used, reason = "what cannot be prepared fails the test")]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use e2e::api::ApiServer;
use e2e::{paths, request, wait};
use futures::{StreamExt, stream};
use kube::Client;
use serde_json::{Value, json};

const PREFIX: &str = "lsmready.node-restriction.kubernetes.io";
/// Requests that create Nodes at once.
const CONCURRENCY: usize = 32;

fn nodes() -> usize {
    std::env::var("CLEANUP_NODES").map_or(100, |nodes| nodes.parse().unwrap())
}

fn command(kubeconfig: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-lsm_ready"));
    command.arg("cleanup").args(arguments).env("KUBECONFIG", kubeconfig).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Exit code, standard output and standard error.
fn cleanup(kubeconfig: &Path, arguments: &[&str]) -> (i32, String, String) {
    answer(command(kubeconfig, arguments).output().unwrap())
}

fn answer(Output { status, stdout, stderr }: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// The same, and the largest resident memory that was seen, for example `VmHWM: 9000 kB`.
fn measured(kubeconfig: &Path, arguments: &[&str]) -> ((i32, String, String), String) {
    let mut child = command(kubeconfig, arguments).spawn().unwrap();
    let path = format!("/proc/{}/status", child.id());
    let mut largest = String::new();
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(&path).unwrap_or_default();
        largest =
            status.lines().find(|line| line.starts_with("VmHWM")).map_or(largest, str::to_owned);
        std::thread::sleep(Duration::from_millis(20));
    }
    (answer(child.wait_with_output().unwrap()), largest)
}

/// A Node of about 8 KB, as a kubelet's with its list of images, with everything of ours.
async fn create_node(client: &Client, number: usize) {
    let name = format!("n{number:04}");
    let images: Vec<Value> = (0..40)
        .map(|image| {
            let name = format!("registry.example.com/some/long/path/to/an/image-{image}");
            json!({"names": [format!("{name}@sha256:{image:064}"), name], "sizeBytes": 1_000_000})
        })
        .collect();
    let taint = |key: &str| json!({"key": key, "effect": "NoSchedule"});
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"zone": "a", format!("{PREFIX}/bpf"): "false",
            format!("{PREFIX}/policy.enforce"): "not-ready"}},
        "spec": {"taints": [taint("example.com/foreign"), taint("lsmready.io/not-ready")]},
    });
    request::done(client, "POST", "/api/v1/nodes", &node).await.unwrap();
    let condition = |type_: &str| json!({"type": type_, "status": "False", "reason": "R"});
    let status = json!({"status": {"images": images,
        "conditions": [condition("Ready"), condition("lsmready.io/LsmBpfReady")]}});
    let path = format!("/api/v1/nodes/{name}/status");
    request::done(client, "STRATEGIC", &path, &status).await.unwrap();
}

async fn prepare() -> ApiServer {
    let dir = paths::state().join("tests").join("plugin");
    // An earlier run may have left the folder.
    let _ = std::fs::remove_dir_all(&dir);
    let mut server = ApiServer::start(&dir).await.unwrap();
    server.start_controllers(&["namespace-controller"]).unwrap();
    let manifests = paths::workspace().join("config/default").display().to_string();
    let apply = ["apply", "--server-side", "-k", &manifests];
    request::kubectl(&server.kubeconfig(), &apply).unwrap();
    let client = server.client().await.unwrap();
    let created = stream::iter(0..nodes()).map(|number| create_node(&client, number));
    created.buffer_unordered(CONCURRENCY).collect::<Vec<()>>().await;
    server
}

/// The requests to write that the administrator has made.
fn writes(server: &ApiServer) -> usize {
    let audit = std::fs::read_to_string(server.audit_log()).unwrap();
    let events = audit.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["user"]["username"] == "admin").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plugin_asks_then_removes_everything_and_says_so() {
    let server = prepare().await;
    let kubeconfig = server.kubeconfig();

    // Without the rights it names them, and changes nothing.
    let before = writes(&server);
    let reader = server.kubeconfig_for("reader", None).unwrap();
    let (code, _, said) = cleanup(&reader, &["--yes"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("nothing was changed") && said.contains("patch nodes/status"), "{said}");

    // It only looks, and it changes nothing where nobody can be asked.
    let (code, text, said) = cleanup(&kubeconfig, &["--dry-run"]);
    assert_eq!((code, said.as_str()), (1, ""), "{text}");
    assert!(text.contains(&format!("Node: {}", nodes())), "{text}");
    let (code, _, said) = cleanup(&kubeconfig, &[]);
    assert_eq!(code, 64);
    assert!(said.contains("Use --yes, or --dry-run"), "{said}");
    assert_eq!(writes(&server) - before, reviews(&server), "only reviews of rights were written");

    let (before, begun) = (writes(&server), Instant::now());
    let ((code, text, said), memory) = measured(&kubeconfig, &["--yes"]);
    assert_eq!((code, said.as_str()), (0, ""), "{text}");
    assert!(text.contains("Nothing of lsm-ready is left"), "{text}");
    println!(
        "{} nodes: {:.1} s, {} writes, {memory}",
        nodes(),
        begun.elapsed().as_secs_f64(),
        writes(&server) - before,
    );
    nothing_is_left(&server).await;
    let (code, text, _) = cleanup(&kubeconfig, &["--yes"]);
    assert_eq!((code, text.as_str()), (0, "Nothing of lsm-ready is in this cluster.\n"));
}

/// The reviews of rights that the administrator has asked for: they are written as objects.
fn reviews(server: &ApiServer) -> usize {
    let audit = std::fs::read_to_string(server.audit_log()).unwrap();
    let lines = audit.lines().filter(|line| line.contains("\"username\":\"admin\""));
    lines.filter(|line| line.contains("/selfsubjectaccessreviews")).count()
}

async fn nothing_is_left(server: &ApiServer) {
    let client = server.client().await.unwrap();
    wait::until(Duration::from_mins(1), "nothing to be left", async || {
        for path in [
            "/api/v1/nodes",
            "/api/v1/namespaces",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles",
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        ] {
            let list = request::done(&client, "GET", path, &Value::Null).await.unwrap();
            for mut object in list["items"].as_array().cloned().unwrap_or_default() {
                object["metadata"]["managedFields"].take();
                let text = object.to_string();
                if text.contains("lsmready") || text.contains("lsm-ready") {
                    return Err(text);
                }
            }
        }
        Ok(())
    })
    .await
    .unwrap();
    let path = "/api/v1/nodes/n0000";
    let node = request::done(&client, "GET", path, &Value::Null).await.unwrap();
    assert_eq!(node["metadata"]["labels"], json!({"zone": "a"}));
    let foreign = json!({"key": "example.com/foreign", "effect": "NoSchedule"});
    assert_eq!(node["spec"]["taints"][0], foreign);
    assert_eq!(node["status"]["conditions"].as_array().unwrap().len(), 1);
}
