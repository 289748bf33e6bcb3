//! What is left after `helm uninstall`, and how long it takes, in each state of the operator.

use std::time::{Duration, Instant};

use e2e::helm::Helm;

use super::scene::Scene;
use crate::server::NAMESPACE;

const INSTALL: [&str; 6] =
    ["install", "lsm-ready", "CHART", "--namespace", NAMESPACE, "--create-namespace"];
const UNINSTALL: [&str; 4] = ["uninstall", "lsm-ready", "--namespace", NAMESPACE];
/// What `--create-namespace` made: Helm keeps it.
const THE_NAMESPACE: [&str; 1] = ["Namespace lsm-ready-system:"];

fn with<'a>(command: &[&'a str], flags: &[&'a str]) -> Vec<&'a str> {
    [command, flags].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uninstalling_keeps_crds_and_policies_and_nothing_else() {
    for helm in Helm::ALL {
        let mut scene = Scene::new(helm).await;
        scene.helm(&INSTALL);
        scene.work().await;
        let begun = Instant::now();
        let output = scene.helm(&UNINSTALL);
        println!("{helm:?}: {:.1} s", begun.elapsed().as_secs_f64());
        assert!(output.contains("lsmpolicies.lsmready.io"), "Helm says what it keeps: {output}");
        let kept = [
            "CustomResourceDefinition lsm",
            "APIService v1alpha1.lsmready.io:",
            "LsmPolicy enforce",
            "LsmNode n1",
        ];
        scene.only_is_left(&with(&THE_NAMESPACE, &kept)).await;
        // The same release adopts what was kept.
        scene.stop_kubelet();
        scene.helm(&INSTALL);
        scene.helm(&with(&UNINSTALL, &["--no-hooks"]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uninstalling_leaves_nothing_where_the_crds_are_not_kept() {
    for helm in Helm::ALL {
        let mut scene = Scene::new(helm).await;
        scene.helm(&with(&INSTALL, &["--set", "crds.keep=false"]));
        scene.work().await;
        scene.helm(&UNINSTALL);
        scene.only_is_left(&THE_NAMESPACE).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_the_chart_made_goes_too() {
    for helm in Helm::ALL {
        let mut scene = Scene::new(helm).await;
        let namespace = "crds.keep=false,namespace.create=true,namespace.name=lsm-ready-system";
        let install =
            ["install", "lsm-ready", "CHART", "--namespace", "default", "--set", namespace];
        scene.helm(&install);
        scene.work().await;
        scene.helm(&["uninstall", "lsm-ready", "--namespace", "default"]);
        scene.only_is_left(&[]).await;
    }
}

/// Without the hook, Helm deletes all bindings at once. The operator's finalizers keep its rights,
/// also that to patch DaemonSets, until it has cleaned up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_hook_a_living_operator_cleans_up() {
    for helm in Helm::ALL {
        let mut scene = Scene::new(helm).await;
        scene.helm(&with(&INSTALL, &["--set", "crds.keep=false"]));
        scene.work().await;
        scene.helm(&with(&UNINSTALL, &["--no-hooks"]));
        scene.only_is_left(&with(&THE_NAMESPACE, &["Lease lsm-ready-operator:"])).await;
    }
}

/// Its finalizers would hold up the deletion of its rights for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hook_cleans_up_after_an_operator_that_was_killed() {
    for helm in Helm::ALL {
        let mut scene = Scene::new(helm).await;
        scene.helm(&with(&INSTALL, &["--set", "crds.keep=false"]));
        scene.work().await;
        scene.stop_kubelet();
        scene.kubectl(&["-n", NAMESPACE, "scale", "deploy/lsm-ready-operator", "--replicas=0"]);
        let pods = ["-n", NAMESPACE, "delete", "pods", "--all", "--force", "--grace-period=0"];
        scene.kubectl(&pods);
        scene.start_kubelet();
        scene.helm(&UNINSTALL);
        scene.only_is_left(&THE_NAMESPACE).await;
    }
}

/// For example because the image cannot be pulled. Helm has to end, and must say how to go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_pod_can_start_uninstalling_ends_in_time_and_goes_on_without_the_hook() {
    for helm in Helm::ALL {
        let scene = Scene::new(helm).await;
        let chart = scene.copy_of_chart();
        let template = chart.join("templates/cleanup.yaml");
        let text = std::fs::read_to_string(&template).unwrap();
        let deadline = "activeDeadlineSeconds: {{ .Values.cleanup.deadlineSeconds }}";
        assert!(text.contains(deadline));
        std::fs::write(&template, text.replace(deadline, "activeDeadlineSeconds: 3")).unwrap();
        scene.helm_with(&chart, &with(&INSTALL, &["--set", "crds.keep=false"])).unwrap();
        scene.until_served();
        let begun = Instant::now();
        let error = scene.try_helm(&UNINSTALL).unwrap_err();
        assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
        let expected = match helm {
            Helm::Three => "job lsm-ready-cleanup failed: DeadlineExceeded",
            Helm::Four => "lsm-ready-cleanup not ready. status: Failed",
        };
        assert!(error.contains(expected), "{error}");
        scene.helm(&with(&UNINSTALL, &["--no-hooks"]));
        // The failed Job goes by its ttlSecondsAfterFinished.
        scene.only_is_left(&with(&THE_NAMESPACE, &["Job lsm-ready-cleanup:", "Pod "])).await;
    }
}
