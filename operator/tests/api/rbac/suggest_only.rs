//! The installation without the right to patch DaemonSets.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::server;
use crate::server::{config, kubectl};

#[tokio::test]
async fn suggest_only_lacks_the_right_to_patch_and_nothing_else() {
    let server = server().await;
    let render = |folder: &str| {
        let text = kubectl(&server.kubeconfig(), &["kustomize", &config(folder)]).unwrap();
        serde_saphyr::from_multiple::<Value>(&text).unwrap()
    };
    let (all, suggest_only) = (render("default"), render("suggest-only"));
    let left_out: Vec<&Value> =
        all.iter().filter(|object| !suggest_only.contains(object)).collect();
    assert!(suggest_only.iter().all(|object| all.contains(object)));
    let names: Vec<String> = left_out
        .iter()
        .map(|object| format!("{} {}", object["kind"], object["metadata"]["name"]))
        .collect();
    let patching =
        [r#""ClusterRole" "lsm-ready-patching""#, r#""ClusterRoleBinding" "lsm-ready-patching""#];
    let restarting =
        [r#""ClusterRole" "lsm-ready-restarting""#, r#""RoleBinding" "lsm-ready-restarting""#];
    assert_eq!(
        names.into_iter().collect::<BTreeSet<_>>(),
        patching.into_iter().chain(restarting).map(str::to_owned).collect()
    );
    let patches = all.iter().filter(|object| object["kind"] == "ClusterRole").filter(|role| {
        role["rules"].as_array().unwrap().iter().any(|rule| {
            let has =
                |field: &str, word: &str| rule[field].as_array().unwrap().contains(&json!(word));
            has("resources", "daemonsets") && has("verbs", "patch")
        })
    });
    assert_eq!(patches.count(), 1, "one role alone grants it");
}
