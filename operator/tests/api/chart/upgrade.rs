//! Upgrades and rollbacks: CRDs follow, and neither policies nor labels of nodes change.

use e2e::helm::Helm;
use serde_json::Value;

use super::scene::Scene;
use crate::server::{NAMESPACE, config, done};

const CRD: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/lsmnodes.lsmready.io";

/// The descriptions of the CRD's columns.
async fn columns(scene: &Scene) -> String {
    let crd = done(&scene.admin, "GET", CRD, &Value::Null).await;
    crd["spec"]["versions"][0]["additionalPrinterColumns"].to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_changes_the_crds_and_a_rollback_changes_them_back() {
    for helm in Helm::ALL {
        let mut scene = Scene::new(helm).await;
        let flags = ["--namespace", NAMESPACE];
        let run = |command: &[&'static str]| [command, &flags[..]].concat();
        scene.helm(&run(&["install", "lsm-ready", "CHART", "--create-namespace"]));
        scene.work().await;
        let before = columns(&scene).await;
        let chart = scene.copy_of_chart();
        let file = chart.join("files/crds/lsmready.io_lsmnodes.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains("name: Evidence"));
        std::fs::write(&file, text.replace("name: Evidence", "name: Proof")).unwrap();
        scene.helm_with(&chart, &run(&["upgrade", "lsm-ready", "CHART"])).unwrap();
        assert_eq!(columns(&scene).await, before.replace("Evidence", "Proof"));
        // The operator's finalizers and what it wrote are as before.
        scene.until_labelled("n1", "true").await;
        let policy = "/apis/lsmready.io/v1alpha1/lsmpolicies/enforce";
        done(&scene.admin, "GET", policy, &Value::Null).await;
        let account = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/lsm-ready-operator");
        scene.until_has(&account, "lsmready.io/cleanup").await;
        scene.helm(&run(&["rollback", "lsm-ready", "1"]));
        assert_eq!(columns(&scene).await, before);
        done(&scene.admin, "GET", policy, &Value::Null).await;
        scene.until_labelled("n1", "true").await;
        scene.helm(&run(&["uninstall", "lsm-ready"]));
        scene.no_trace_is_left().await;
    }
}

/// For example after a change to `patching.enabled: false`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_that_takes_the_right_to_patch_away_is_no_uninstallation() {
    for helm in Helm::ALL {
        let mut scene = Scene::new(helm).await;
        let flags = ["--namespace", NAMESPACE];
        let run = |command: &[&'static str]| [command, &flags[..]].concat();
        scene.helm(&run(&["install", "lsm-ready", "CHART", "--create-namespace"]));
        scene.work().await;
        let without = ["upgrade", "lsm-ready", "CHART", "--set", "patching.enabled=false"];
        scene.helm(&run(&without));
        scene.kubectl(&["wait", "--for=delete", "clusterrole/lsm-ready-patching", "--timeout=30s"]);
        scene.until_has("/api/v1/nodes/n2", "lsmready.io/not-ready").await;
        scene.helm(&run(&["uninstall", "lsm-ready"]));
        scene.no_trace_is_left().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn helm_takes_over_an_installation_by_kustomize() {
    for helm in Helm::ALL {
        let mut scene = Scene::new(helm).await;
        scene.kubectl(&["apply", "--server-side", "-k", &config("default")]);
        scene.work().await;
        let install = ["install", "lsm-ready", "CHART", "--namespace", NAMESPACE];
        let refused = scene.try_helm(&install).unwrap_err();
        assert!(refused.contains("invalid ownership metadata"), "{refused}");
        let mut take = [&install[..], &["--take-ownership"][..]].concat();
        if helm == Helm::Four {
            take.push("--force-conflicts");
        }
        scene.helm(&take);
        scene.until_labelled("n1", "true").await;
        scene.helm(&["uninstall", "lsm-ready", "--namespace", NAMESPACE]);
        scene.no_trace_is_left().await;
    }
}
