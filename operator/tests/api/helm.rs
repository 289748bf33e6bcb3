//! Upgrades by the real Helm 3 (a three-way merge) and Helm 4 (server-side apply) of a Tetragon
//! with our mount.
//!
//! In: the programs of `rig api build --helm`, and a chart with the DaemonSet of a Tetragon
//! release. Out: our fields survive every upgrade except one that changes the same mount, which is
//! a conflict that names us. Removing the mount leaves the rendered chart.

use std::path::Path;
use std::process::Command;

use e2e::command::run;
use e2e::paths;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::releases::{self, add_mount, add_volume, agent, host_path, release};
use crate::scene::Scene;
use crate::server::shared;

const HELM_3: &str = "helm3";
const HELM_4: &str = "helm4";

/// A release of a chart, in a namespace with a policy that requests the mount.
struct Installed {
    scene: Scene,
    folder: TempDir,
}

impl Installed {
    async fn by(helm: &str, namespace: &'static str) -> Self {
        let installed =
            Self { scene: Scene::empty(namespace).await, folder: tempfile::tempdir().unwrap() };
        installed.render(&chart_of(&release("v1.3")));
        installed.must(helm, &["install"], &[]).await;
        installed
    }

    /// Writes the next version of the chart.
    fn render(&self, template: &Value) {
        let chart = json!({"apiVersion": "v2", "name": "tetragon", "version": "1.3.0"});
        std::fs::create_dir_all(self.folder.path().join("templates")).unwrap();
        let write = |name: &str, content: &Value| write(&self.folder.path().join(name), content);
        write("Chart.yaml", &chart);
        write("values.yaml", &json!({"tag": "v1.3.0"}));
        write("templates/daemonset.yaml", template);
    }

    /// Runs Helm. Returns its output, or its error.
    async fn helm(&self, helm: &str, verb: &[&str], flags: &[&str]) -> Result<String, String> {
        let mut command = Command::new(paths::programs().join(helm).join("helm"));
        for home in ["CACHE", "CONFIG", "DATA"] {
            command.env(format!("HELM_{home}_HOME"), self.folder.path().join(".helm"));
        }
        command.args(verb).arg("tetragon");
        if verb != ["rollback"] {
            command.arg(self.folder.path());
        }
        command
            .args(flags)
            .args(["--namespace", self.scene.name, "--kubeconfig"])
            .arg(shared().await.kubeconfig());
        run(&mut command).map_err(|error| error.to_string())
    }

    async fn must(&self, helm: &str, verb: &[&str], flags: &[&str]) {
        self.helm(helm, verb, flags).await.unwrap();
    }

    /// Asserts that the mount is there and that the controller has nothing to write.
    async fn assert_mounted(&self, tag: &str) -> Value {
        let before = self.scene.get().await;
        assert!(is_mounted(&before), "Helm took the mount away: {before}");
        let after = self.scene.reconcile().await;
        assert_eq!(
            after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"],
            "nothing to write"
        );
        assert_eq!(image(&after), format!("quay.io/cilium/tetragon:{tag}"));
        after
    }

    /// Asserts that the rendered chart is left when no policy requests the mount any more.
    async fn assert_removable(&self, with: &Value) {
        let theirs = releases::without_ours(with);
        self.scene.delete_policy().await;
        let restored = self.scene.reconcile().await;
        assert_eq!(restored["spec"], theirs["spec"]);
        assert_eq!(restored["metadata"]["labels"], theirs["metadata"]["labels"]);
        assert!(managers(&restored).iter().all(|(manager, _)| manager != "lsm-ready"));
    }
}

fn write(path: &Path, content: &Value) {
    // JSON is valid YAML, also with Helm's placeholders in its strings.
    std::fs::write(path, content.to_string()).unwrap();
}

/// The DaemonSet as a template with the image's tag as a value.
fn chart_of(object: &Value) -> Value {
    let mut template = object.clone();
    agent(&mut template)["image"] = json!("quay.io/cilium/tetragon:{{ .Values.tag }}");
    template["metadata"] = json!({"name": "tetragon", "labels": object["metadata"]["labels"]});
    template
}

/// The chart with the owner's own mount of securityfs in it.
fn with_own_mount() -> Value {
    let mut object = release("v1.3");
    add_volume(&mut object, host_path("host-securityfs", "/sys/kernel/security", "Directory"));
    add_mount(&mut object, own_mount());
    chart_of(&object)
}

fn own_mount() -> Value {
    json!({"name": "host-securityfs", "mountPath": "/sys/kernel/security", "readOnly": true})
}

fn image(object: &Value) -> String {
    agent(&mut object.clone())["image"].as_str().unwrap().to_owned()
}

/// The agent's mount of securityfs.
fn mount(object: &Value) -> Option<Value> {
    let mounts = agent(&mut object.clone())["volumeMounts"].clone();
    mounts
        .as_array()
        .unwrap()
        .iter()
        .find(|mount| mount["mountPath"] == "/sys/kernel/security")
        .cloned()
}

fn is_mounted(object: &Value) -> bool {
    mount(object)
        .is_some_and(|mount| mount["name"] == "lsm-ready-securityfs" && mount["readOnly"] == true)
}

/// The field managers, and the operation that each wrote with.
fn managers(object: &Value) -> Vec<(String, String)> {
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap().to_owned();
    entries.iter().map(|entry| (text(entry, "manager"), text(entry, "operation"))).collect()
}

fn wrote(object: &Value, manager: &str, operation: &str) -> bool {
    managers(object).contains(&(manager.to_owned(), operation.to_owned()))
}

/// The mount survives an upgrade and a rollback by a Helm that writes with that operation, and can
/// be removed afterwards.
async fn upgrades_and_rolls_back(helm: &str, namespace: &'static str, operation: &str) {
    let installed = Installed::by(helm, namespace).await;
    let patched = installed.scene.reconcile().await;
    assert!(is_mounted(&patched) && wrote(&patched, "helm", operation), "{:?}", managers(&patched));
    installed.must(helm, &["upgrade"], &["--set", "tag=v1.3.1"]).await;
    installed.assert_mounted("v1.3.1").await;
    installed.must(helm, &["rollback"], &[]).await;
    let rolled_back = installed.assert_mounted("v1.3.0").await;
    installed.assert_removable(&rolled_back).await;
}

#[tokio::test]
async fn helm_3_keeps_the_mount_at_upgrade_and_rollback() {
    upgrades_and_rolls_back(HELM_3, "helm-3", "Update").await;
}

#[tokio::test]
async fn helm_4_keeps_the_mount_at_upgrade_and_rollback() {
    upgrades_and_rolls_back(HELM_4, "helm-4", "Apply").await;
}

#[tokio::test]
async fn the_mount_is_kept_when_helm_4_takes_over_a_release_of_helm_3() {
    let installed = Installed::by(HELM_3, "helm-3-to-4").await;
    assert!(is_mounted(&installed.scene.reconcile().await));
    // Helm 4 writes like Helm 3 until it gets --server-side.
    installed.must(HELM_4, &["upgrade"], &["--set", "tag=v1.3.1"]).await;
    let merged = installed.assert_mounted("v1.3.1").await;
    assert!(!wrote(&merged, "helm", "Apply"), "{:?}", managers(&merged));
    installed.must(HELM_4, &["upgrade"], &["--set", "tag=v1.3.2", "--server-side=true"]).await;
    let applied = installed.assert_mounted("v1.3.2").await;
    assert!(wrote(&applied, "helm", "Apply"), "{:?}", managers(&applied));
    installed.assert_removable(&applied).await;
}

#[tokio::test]
async fn force_removes_no_field_of_ours_that_is_not_in_the_chart() {
    let installed = Installed::by(HELM_4, "helm-4-force").await;
    assert!(is_mounted(&installed.scene.reconcile().await));
    installed.must(HELM_4, &["upgrade"], &["--set", "tag=v1.3.1", "--force-conflicts"]).await;
    installed.assert_mounted("v1.3.1").await;
}

#[tokio::test]
async fn the_charts_own_mount_replaces_ours_with_helm_3() {
    let installed = Installed::by(HELM_3, "helm-3-own-mount").await;
    assert!(is_mounted(&installed.scene.reconcile().await));
    installed.render(&with_own_mount());
    installed.must(HELM_3, &["upgrade"], &[]).await;
    assert_handed_over(&installed.scene.reconcile().await);
}

/// The chart and our field manager name the mount at that path differently. Helm 4 reports the
/// conflict, and goes on with --force-conflicts.
#[tokio::test]
async fn the_charts_own_mount_is_a_conflict_with_helm_4_unless_forced() {
    let installed = Installed::by(HELM_4, "helm-4-own-mount").await;
    let patched = installed.scene.reconcile().await;
    assert!(is_mounted(&patched));
    installed.render(&with_own_mount());
    let refused = installed.helm(HELM_4, &["upgrade"], &[]).await.unwrap_err();
    assert!(refused.contains("conflict with \"lsm-ready\""), "{refused}");
    assert_eq!(
        installed.scene.get().await["spec"],
        patched["spec"],
        "a refused upgrade changes nothing"
    );
    installed.must(HELM_4, &["upgrade"], &["--force-conflicts"]).await;
    assert_handed_over(&installed.scene.reconcile().await);
}

#[tokio::test]
async fn the_charts_own_mount_needs_no_force_after_ours_is_removed() {
    let installed = Installed::by(HELM_4, "helm-4-never").await;
    assert!(is_mounted(&installed.scene.reconcile().await));
    installed.scene.set_securityfs(&json!({"mount": "Never"})).await;
    assert_eq!(mount(&installed.scene.reconcile().await), None);
    installed.render(&with_own_mount());
    installed.must(HELM_4, &["upgrade"], &[]).await;
    installed.scene.set_securityfs(&json!({})).await;
    assert_handed_over(&installed.scene.reconcile().await);
}

/// Asserts that the chart's own mount is there, and no field of ours.
fn assert_handed_over(object: &Value) {
    assert_eq!(mount(object), Some(own_mount()));
    assert_eq!(releases::without_ours(object)["spec"], object["spec"]);
    assert!(
        managers(object).iter().all(|(manager, _)| manager != "lsm-ready"),
        "{:?}",
        managers(object)
    );
}
