//! The objects for the Prometheus Operator, Argo CD and Flux: they build, and an API server with
//! the CRDs of these projects takes them.

use std::fs;
use std::path::Path;

use e2e::api::ApiServer;
use e2e::go::{OTHERS, module};
use e2e::paths;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::server::{self, done, kubectl};
use crate::world::config;

/// The shared API server with the CRDs of the other projects.
async fn server() -> &'static ApiServer {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let server = server::shared().await;
    INSTALLED
        .get_or_init(async || {
            for other in OTHERS {
                let folder = module(other.module).unwrap();
                for file in other.crds {
                    let file = folder.join(file).display().to_string();
                    kubectl(&server.kubeconfig(), &["apply", "--server-side", "-f", &file])
                        .unwrap();
                }
            }
            let wait = ["wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"];
            kubectl(&server.kubeconfig(), &wait).unwrap();
            for namespace in ["argocd", "flux-system"] {
                kubectl(&server.kubeconfig(), &["create", "namespace", namespace]).unwrap();
            }
        })
        .await;
    server
}

/// Writes a kustomization that uses folders of `config/` by their relative paths, and returns its
/// folder.
fn overlay(server: &ApiServer, name: &str, content: &str) -> String {
    let folder = server.kubeconfig().with_file_name(name);
    fs::create_dir_all(&folder).unwrap();
    let depth = folder.strip_prefix(paths::workspace()).unwrap().iter().count();
    let text = content.replace("config/", &format!("{}config/", "../".repeat(depth)));
    fs::write(folder.join("kustomization.yaml"), text).unwrap();
    folder.display().to_string()
}

fn apply(server: &ApiServer, folder: &Path) {
    let folder = folder.display().to_string();
    kubectl(&server.kubeconfig(), &["apply", "--server-side", "-k", &folder]).unwrap();
}

#[tokio::test]
async fn the_components_for_monitoring_are_accepted_beside_config_default() {
    let server = server().await;
    let folder = overlay(
        server,
        "monitoring",
        "resources: [config/default]\n\
         components: [config/monitoring, config/monitoring/network-policy]\n",
    );
    apply(server, Path::new(&folder));
    let client = server.client().await.unwrap();
    let monitoring = "/apis/monitoring.coreos.com/v1/namespaces/lsm-ready-system";
    let path = format!("{monitoring}/podmonitors/lsm-ready-operator");
    let monitor = done(&client, "GET", &path, &Value::Null).await;
    let path = format!("{monitoring}/prometheusrules/lsm-ready");
    let rule = done(&client, "GET", &path, &Value::Null).await;
    assert!(rule["spec"]["groups"].as_array().unwrap().len() >= 4);
    let deployment = "/apis/apps/v1/namespaces/lsm-ready-system/deployments/lsm-ready-operator";
    let deployment = done(&client, "GET", deployment, &Value::Null).await;
    assert_scraped(&monitor["spec"]["podMetricsEndpoints"][0], &monitor["spec"], &deployment);
    let board = "/api/v1/namespaces/lsm-ready-system/configmaps/lsm-ready-dashboard";
    let board = done(&client, "GET", board, &Value::Null).await;
    let board: Value =
        serde_json::from_str(board["data"]["lsm-ready.json"].as_str().unwrap()).unwrap();
    assert_eq!(board["uid"], "lsm-ready");
}

/// Asserts that a monitor selects the operator's pods and names a port of theirs.
fn assert_scraped(endpoint: &Value, spec: &Value, deployment: &Value) {
    let template = &deployment["spec"]["template"];
    for (key, value) in spec["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&template["metadata"]["labels"][key], value, "{key}");
    }
    let ports = template["spec"]["containers"][0]["ports"].as_array().unwrap();
    assert!(ports.iter().any(|port| port["name"] == endpoint["port"]), "{endpoint}");
}

#[tokio::test]
async fn the_service_monitor_selects_its_service_and_the_service_the_operators_pods() {
    let server = server().await;
    let folder =
        overlay(server, "service-monitor", "components: [config/monitoring/service-monitor]\n");
    apply(server, Path::new(&folder));
    let client = server.client().await.unwrap();
    let path = "/api/v1/namespaces/lsm-ready-system/services/lsm-ready-operator-metrics";
    let service = done(&client, "GET", path, &Value::Null).await;
    let path = "/apis/monitoring.coreos.com/v1/namespaces/lsm-ready-system/servicemonitors/\
                lsm-ready-operator";
    let monitor = done(&client, "GET", path, &Value::Null).await;
    for (key, value) in monitor["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&service["metadata"]["labels"][key], value, "{key}");
    }
    assert_eq!(service["spec"]["ports"][0]["name"], monitor["spec"]["endpoints"][0]["port"]);
    let path = "/apis/apps/v1/namespaces/lsm-ready-system/deployments/lsm-ready-operator";
    let deployment = done(&client, "GET", path, &Value::Null).await;
    for (key, value) in service["spec"]["selector"].as_object().unwrap() {
        assert_eq!(&deployment["spec"]["template"]["metadata"]["labels"][key], value, "{key}");
    }
}

#[tokio::test]
async fn the_applications_of_argo_cd_are_accepted_and_their_waves_are_in_order() {
    let server = server().await;
    apply(server, &config("gitops/argo-cd/applications"));
    let root = config("gitops/argo-cd/root.yaml").display().to_string();
    kubectl(&server.kubeconfig(), &["apply", "--server-side", "-f", &root]).unwrap();
    let client = server.client().await.unwrap();
    let path = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications";
    let list = done(&client, "GET", path, &Value::Null).await;
    let mut waves: Vec<(i64, &str)> = Vec::new();
    for application in list["items"].as_array().unwrap() {
        let wave = &application["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"];
        let name = application["metadata"]["name"].as_str().unwrap();
        if let Some(wave) = wave.as_str() {
            waves.push((wave.parse().unwrap(), name));
        }
        if let Some(path) = application["spec"]["source"]["path"].as_str() {
            assert!(paths::workspace().join(path).is_dir(), "{name}: there is no {path}");
        }
    }
    waves.sort_unstable();
    let names = waves.iter().map(|(_, name)| *name).collect::<Vec<_>>();
    assert_eq!(names, ["lsm-ready-operator", "lsm-ready-nodes", "tetragon", "lsm-ready-agents"]);
}

#[tokio::test]
async fn the_objects_of_flux_are_accepted_and_depend_on_each_other() {
    let server = server().await;
    apply(server, &config("gitops/flux"));
    apply(server, &config("gitops/flux/tetragon"));
    let client = server.client().await.unwrap();
    let path = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations";
    let list = done(&client, "GET", path, &Value::Null).await;
    let items = list["items"].as_array().unwrap();
    let mut chain = vec!["lsm-ready"];
    for item in items {
        let path = item["spec"]["path"].as_str().unwrap();
        assert!(paths::workspace().join(path).is_dir(), "there is no {path}");
    }
    while let Some(next) =
        items.iter().find(|item| item["spec"]["dependsOn"][0]["name"] == *chain.last().unwrap())
    {
        chain.push(next["metadata"]["name"].as_str().unwrap());
    }
    assert_eq!(chain, ["lsm-ready", "lsm-ready-nodes", "lsm-ready-tetragon", "lsm-ready-agents"]);
}

#[tokio::test]
async fn the_settings_of_argo_cd_are_merged_into_its_config_map() {
    let server = server().await;
    let folder = overlay(
        server,
        "argo-cd",
        "resources: [argocd-cm.yaml]\ncomponents: [config/gitops/argo-cd/settings]\n",
    );
    let theirs = "{apiVersion: v1, kind: ConfigMap, \
                  metadata: {name: argocd-cm, namespace: argocd}, \
                  data: {url: https://argo.example.com}}\n";
    fs::write(Path::new(&folder).join("argocd-cm.yaml"), theirs).unwrap();
    apply(server, Path::new(&folder));
    let client = server.client().await.unwrap();
    let path = "/api/v1/namespaces/argocd/configmaps/argocd-cm";
    let data = done(&client, "GET", path, &Value::Null).await["data"].take();
    assert_eq!(data["url"], "https://argo.example.com");
    let lua = &data["resource.customizations.health.lsmready.io_LsmPolicy"];
    let file = config("gitops/argo-cd/settings/lsmpolicy.lua");
    assert_eq!(lua.as_str().unwrap(), fs::read_to_string(file).unwrap());
    let ignored = &data["resource.customizations.ignoreDifferences.apps_DaemonSet"];
    assert!(ignored.as_str().unwrap().contains("lsm-ready"), "{data}");
}
