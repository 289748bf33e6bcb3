//! The Helm chart on a real API server, with Helm 3 and Helm 4: installing, testing, upgrading,
//! rolling back and uninstalling. Deployments, ReplicaSets, Jobs, namespaces and garbage are
//! Kubernetes' own controllers. A task stands in for the kubelet: it runs the operator's program
//! with the arguments and the token of each of our pods.
//!
//! What the chart renders to is tested without a cluster: e2e/tests/chart.

mod kubelet;
mod refused;
mod scene;
mod uninstall;
mod upgrade;

use e2e::helm::Helm;
use serde_json::{Value, json};

use crate::server::{NAMESPACE, done};
use crate::uninstall::sweep::sweep;
use scene::Scene;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_installation_helm_test_proves_a_verdict_on_each_node() {
    for helm in Helm::ALL {
        let mut scene = Scene::new(helm).await;
        scene.helm(&[
            "install",
            "lsm-ready",
            "CHART",
            "--namespace",
            NAMESPACE,
            "--create-namespace",
        ]);
        scene.start_kubelet();
        scene.report("n1").await;
        scene.until_labelled("n1", "true").await;
        // n2 has no report yet.
        let missing = scene.verify(&["--wait=0"]).unwrap_err();
        assert!(missing.contains("1 of 2 nodes have a verdict"), "{missing}");
        assert!(missing.contains("n2: no report"), "{missing}");
        scene.report("n2").await;
        scene.helm(&["test", "lsm-ready", "--namespace", NAMESPACE, "--timeout=60s"]);
        let sweep = sweep(&scene.admin).await;
        assert!(!sweep.iter().any(|found| found.contains("lsm-ready-verify")), "{sweep:?}");
        scene.helm(&["uninstall", "lsm-ready", "--namespace", NAMESPACE]);
        scene.no_trace_is_left().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_notes_have_a_policy_that_the_api_server_takes() {
    for (helm, values) in [
        (Helm::Three, "tetragon.namespaces={kube-system}"),
        (
            Helm::Four,
            "agents.ask=Auto,agents.port=54321,agents.metricsPort=2112,agents.tls.secretName=s,\
             agents.tls.serverName=a.b,taint.key=readiness.k8s.io/lsmready.io-not-ready",
        ),
    ] {
        let scene = Scene::new(helm).await;
        let notes = scene.helm(&[
            "install",
            "lsm-ready",
            "CHART",
            "--namespace",
            NAMESPACE,
            "--create-namespace",
            "--set",
            values,
        ]);
        let (_, policy) = notes.split_once("<<EOF\n").expect(&notes);
        let (policy, _) = policy.split_once("EOF\n").expect(&notes);
        // The policy as it is, and with its taint.
        for policy in [policy.to_owned(), policy.replace("# taint:", "taint:")] {
            let mut policy: Value = serde_saphyr::from_str(&policy).expect(&policy);
            scene.until_served();
            let path = "/apis/lsmready.io/v1alpha1/lsmpolicies/enforce";
            policy["metadata"] = json!({"name": "enforce"});
            done(&scene.admin, "APPLY", path, &policy).await;
        }
        scene.helm(&["uninstall", "lsm-ready", "--namespace", NAMESPACE, "--no-hooks"]);
    }
}
