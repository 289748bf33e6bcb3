//! The samples of config/integrations on a real API server: the CRDs of Karpenter, Kyverno and
//! Kueue accept theirs, Kubernetes accepts the others, and the MutatingAdmissionPolicy does what it
//! says.
//!
//! In: the modules of e2e/integrations/go.mod, by Go's module proxy the first time. None of their
//! programs runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::api::ApiServer;
use e2e::command::run;
use e2e::request::kubectl;
use e2e::{paths, wait};
use kube::Client;
use serde_json::{Value, json};

use crate::server::{DEADLINE, call, config, done, shared};

/// The node label that both admission policies add.
const LABEL: &str = "lsmready.node-restriction.kubernetes.io/policy.enforce";

/// A sample, and the CRD in a module that it is written for.
struct Sample {
    file: &'static str,
    module: &'static str,
    definition: &'static str,
    name: &'static str,
}

const SAMPLES: [Sample; 3] = [
    Sample {
        file: "integrations/karpenter/nodepool.yaml",
        module: "sigs.k8s.io/karpenter",
        definition: "pkg/apis/crds/karpenter.sh_nodepools.yaml",
        name: "nodepools.karpenter.sh",
    },
    Sample {
        file: "integrations/kyverno/add-node-selector.yaml",
        module: "github.com/kyverno/kyverno",
        definition: "config/crds/policies.kyverno.io/policies.kyverno.io_mutatingpolicies.yaml",
        name: "mutatingpolicies.policies.kyverno.io",
    },
    Sample {
        file: "integrations/kueue/resource-flavor.yaml",
        module: "sigs.k8s.io/kueue",
        definition: "config/components/crd/bases/kueue.x-k8s.io_resourceflavors.yaml",
        name: "resourceflavors.kueue.x-k8s.io",
    },
];

/// The folder of a module, which Go downloads where it is missing.
fn module(name: &str) -> PathBuf {
    let go_mod = std::fs::read_to_string(folder().join("go.mod")).unwrap();
    let line = go_mod.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap();
    let mut download = Command::new("go");
    let version = format!("{name}@{}", line.trim());
    download.current_dir(folder()).args(["mod", "download", "-json", &version]);
    let found: Value = serde_json::from_str(&run(&mut download).unwrap()).unwrap();
    PathBuf::from(found["Dir"].as_str().unwrap())
}

fn folder() -> PathBuf {
    paths::workspace().join("e2e/integrations")
}

/// Lets the API server judge a file without storing anything. Unknown fields are an error.
fn dry_run(kubeconfig: &Path, file: &str) {
    let arguments = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", file];
    kubectl(kubeconfig, &arguments).unwrap();
}

#[tokio::test]
async fn karpenter_kyverno_and_kueue_accept_our_samples() {
    let kubeconfig = shared().await.kubeconfig();
    for sample in SAMPLES {
        let definition = module(sample.module).join(sample.definition).display().to_string();
        kubectl(&kubeconfig, &["apply", "--server-side", "-f", &definition]).unwrap();
        let name = format!("crd/{}", sample.name);
        let wait = ["wait", "--for=condition=Established", "--timeout=30s", &name];
        kubectl(&kubeconfig, &wait).unwrap();
        dry_run(&kubeconfig, &config(sample.file));
    }
}

#[tokio::test]
async fn kubernetes_accepts_the_samples_that_need_nothing_else() {
    let kubeconfig = shared().await.kubeconfig();
    for file in [
        "cluster-autoscaler/policy.yaml",
        "init-container/daemonset.yaml",
        "node-problem-detector/config-map.yaml",
    ] {
        dry_run(&kubeconfig, &config(&format!("integrations/{file}")));
    }
}

/// Kubernetes 1.35 has the kind as v1beta1, behind a feature gate. From 1.36 on it is v1.
#[tokio::test]
async fn the_mutating_admission_policy_adds_the_node_selector_in_chosen_namespaces() {
    let dir = paths::state().join("tests/mutating");
    // An earlier run may have left the folder.
    let _ = std::fs::remove_dir_all(&dir);
    let arguments = [
        "--feature-gates=MutatingAdmissionPolicy=true",
        "--runtime-config=admissionregistration.k8s.io/v1beta1=true",
    ];
    let server = ApiServer::start_with(&dir, &arguments).await.unwrap();
    let sample = config("integrations/mutating-admission-policy/add-node-selector.yaml");
    let text = std::fs::read_to_string(sample).unwrap();
    let beta = dir.join("policy.yaml");
    let api = "admissionregistration.k8s.io/v1";
    std::fs::write(&beta, text.replace(api, &format!("{api}beta1"))).unwrap();
    let file = beta.display().to_string();
    let apply = ["apply", "--server-side", "--validate=strict", "-f", &file];
    kubectl(&server.kubeconfig(), &apply).unwrap();
    let admin = server.client().await.unwrap();
    namespace(&admin, "chosen", &json!({"needs-lsm-bpf": "true"})).await;
    namespace(&admin, "other", &json!({})).await;

    wait::until(DEADLINE, "the policy to be in force", async || {
        let stored = create(&admin, "chosen", &pod(&json!({}), None)).await;
        if stored["spec"]["nodeSelector"][LABEL] == "ready" { Ok(()) } else { Err(stored) }
    })
    .await
    .unwrap();
    let zone = pod(&json!({"zone": "a"}), None);
    let found = create(&admin, "chosen", &zone).await;
    assert_eq!(found["spec"]["nodeSelector"], json!({"zone": "a", LABEL: "ready"}));
    let evading = create(&admin, "chosen", &pod(&json!({LABEL: "not-ready"}), None)).await;
    assert_eq!(evading["spec"]["nodeSelector"], json!({LABEL: "ready"}));
    let found = create(&admin, "other", &zone).await;
    assert_eq!(found["spec"]["nodeSelector"], json!({"zone": "a"}));
    let found = create(&admin, "chosen", &pod(&json!({}), Some("DaemonSet"))).await;
    assert!(found["spec"]["nodeSelector"].is_null(), "{found:#}");
    let found = create(&admin, "chosen", &pod(&json!({}), Some("ReplicaSet"))).await;
    assert_eq!(found["spec"]["nodeSelector"][LABEL], "ready");
}

/// Creates a namespace with the account that the pods need.
async fn namespace(admin: &Client, name: &str, labels: &Value) {
    let namespace = json!({"metadata": {"name": name, "labels": labels}});
    done(admin, "POST", "/api/v1/namespaces", &namespace).await;
    let account = json!({"metadata": {"name": "default"}});
    done(admin, "POST", &format!("/api/v1/namespaces/{name}/serviceaccounts"), &account).await;
}

fn pod(node_selector: &Value, owner: Option<&str>) -> Value {
    let owners = owner.map(|kind| {
        json!([{"apiVersion": "apps/v1", "kind": kind, "name": "owner",
            "uid": "6d0b2b6e-6d0f-4e0e-9f43-0f7b6a1c9d55", "controller": true}])
    });
    let mut pod = json!({
        "metadata": {"generateName": "pod-", "ownerReferences": owners},
        "spec": {"containers": [{"name": "main", "image": "none"}]},
    });
    if node_selector.as_object().is_some_and(|labels| !labels.is_empty()) {
        pod["spec"]["nodeSelector"] = node_selector.clone();
    }
    pod
}

/// The pod as the API server would store it.
async fn create(admin: &Client, namespace: &str, pod: &Value) -> Value {
    let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
    let answer = call(admin, "POST", &path, pod).await;
    assert!(answer.is_ok(), "{answer:?}");
    answer.body
}
