//! Values that contradict what the cluster is: `helm install` is refused with a sentence.

use e2e::helm::{Helm, sentence};

use super::scene::Scene;
use crate::server::NAMESPACE;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_contradict_the_cluster_are_refused_with_a_sentence() {
    for helm in Helm::ALL {
        let scene = Scene::new(helm).await;
        let refused = |flags: &[&str]| {
            let install = [&["install", "lsm-ready", "CHART"][..], flags].concat();
            let error = scene.try_helm(&install).unwrap_err();
            sentence(&error).to_owned()
        };
        let create = ["--namespace", NAMESPACE, "--create-namespace"];
        assert_eq!(
            refused(&[&create[..], &["--set", "namespace.create=true"][..]].concat()),
            "namespace.create is true, and Helm keeps this release in the same namespace \
             lsm-ready-system, which must exist before: use --create-namespace and set \
             namespace.create to false."
        );
        assert_eq!(
            refused(&[&create[..], &["--set", "crds.install=false"][..]].concat()),
            "crds.install is false, and the cluster has no CRD lsmpolicies.lsmready.io: set \
             crds.install to true, or install the CRDs first (kubectl apply -k config/crd)."
        );
        assert_eq!(
            refused(&["--namespace", "default", "--set", "namespace.name=nowhere"]),
            "namespace.name is nowhere, and there is no such namespace: set namespace.create to \
             true, or create it."
        );
        assert_eq!(
            refused(&[&create[..], &["--set", "monitoring.podMonitor.enabled=true"][..]].concat()),
            "monitoring.podMonitor.enabled is true, and the cluster has no kind PodMonitor: \
             install the CRDs of the Prometheus Operator first (with helm template: add \
             --api-versions monitoring.coreos.com/v1/PodMonitor), or set it to false."
        );
        scene.kubectl(&["create", "namespace", NAMESPACE]);
        let level = "pod-security.kubernetes.io/enforce=restricted";
        scene.kubectl(&["label", "namespace", NAMESPACE, level]);
        assert_eq!(
            refused(&["--namespace", NAMESPACE]),
            "namespace lsm-ready-system enforces Pod Security \"restricted\", which forbids the \
             probe's pods: run kubectl label namespace lsm-ready-system \
             pod-security.kubernetes.io/enforce=privileged --overwrite."
        );
    }
}
