//! Upgrades by the real Helm 3 (a three-way merge) and Helm 4 (server-side apply) of a Tetragon that lsm-ready has given
//! the mount: who owns what afterwards, on a real API server.
//!
//! In: the programs of `rig api build --helm`; a chart with the DaemonSet of a release's shape in it. Out: ours survive what
//! they can survive, what they cannot is a conflict that names us, and giving back leaves what the chart renders.
#![allow(clippy::unwrap_used, reason = "what cannot be prepared fails the test")]

mod real_api;
#[path = "tetragon/scene.rs"]
mod scene;
#[path = "../../tetragon/tests/releases/mod.rs"]
mod tetragon;

use std::path::Path;
use std::process::Command;

use e2e::command::run;
use e2e::paths;
use scene::{Scene, server};
use serde_json::{Value, json};
use tempfile::TempDir;
use tetragon::{add_mount, add_volume, agent, host_path, release};

const HELM_3: &str = "helm3";
const HELM_4: &str = "helm4";

/// A release of a chart, in a namespace with a policy that wants the mount.
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

    /// The chart's next version.
    fn render(&self, template: &Value) {
        let chart = json!({"apiVersion": "v2", "name": "tetragon", "version": "1.3.0"});
        std::fs::create_dir_all(self.folder.path().join("templates")).unwrap();
        let write = |name: &str, content: &Value| write(&self.folder.path().join(name), content);
        write("Chart.yaml", &chart);
        write("values.yaml", &json!({"tag": "v1.3.0"}));
        write("templates/daemonset.yaml", template);
    }

    /// Installs or upgrades; what Helm said when it failed.
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
            .arg(server().await.kubeconfig());
        run(&mut command).map_err(|error| error.to_string())
    }

    async fn must(&self, helm: &str, verb: &[&str], flags: &[&str]) {
        self.helm(helm, verb, flags).await.unwrap();
    }

    /// The controller looks, has nothing to write, and the mount is there.
    async fn keeps_ours(&self, tag: &str) -> Value {
        let before = self.scene.get().await;
        assert!(is_mounted(&before), "Helm took the mount away: {before}");
        let after = self.scene.look().await;
        assert_eq!(
            after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"],
            "nothing to write"
        );
        assert_eq!(image(&after), format!("quay.io/cilium/tetragon:{tag}"));
        after
    }

    /// No policy wants it any more: what is left is what the chart renders.
    async fn gives_back(&self, with: &Value) {
        let theirs = tetragon::without_ours(with);
        self.scene.withdraw().await;
        let given_back = self.scene.look().await;
        assert_eq!(given_back["spec"], theirs["spec"]);
        assert_eq!(given_back["metadata"]["labels"], theirs["metadata"]["labels"]);
        assert!(managers(&given_back).iter().all(|(manager, _)| manager != "lsm-ready"));
    }
}

fn write(path: &Path, content: &Value) {
    // JSON is YAML, and what Helm fills in is text within it.
    std::fs::write(path, content.to_string()).unwrap();
}

/// The DaemonSet as a template: its tag is a value.
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

/// Field managers and how they wrote.
fn managers(object: &Value) -> Vec<(String, String)> {
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap().to_owned();
    entries.iter().map(|entry| (text(entry, "manager"), text(entry, "operation"))).collect()
}

fn wrote(object: &Value, manager: &str, operation: &str) -> bool {
    managers(object).contains(&(manager.to_owned(), operation.to_owned()))
}

/// Ours survive an upgrade and a rollback by a Helm that writes with that operation, and can be given back then.
async fn upgrades_and_rolls_back(helm: &str, namespace: &'static str, operation: &str) {
    let installed = Installed::by(helm, namespace).await;
    let patched = installed.scene.look().await;
    assert!(is_mounted(&patched) && wrote(&patched, "helm", operation), "{:?}", managers(&patched));
    installed.must(helm, &["upgrade"], &["--set", "tag=v1.3.1"]).await;
    installed.keeps_ours("v1.3.1").await;
    installed.must(helm, &["rollback"], &[]).await;
    let rolled_back = installed.keeps_ours("v1.3.0").await;
    installed.gives_back(&rolled_back).await;
}

#[tokio::test]
async fn helm_3_upgrades_and_rolls_back_around_ours() {
    upgrades_and_rolls_back(HELM_3, "helm-3", "Update").await;
}

#[tokio::test]
async fn helm_4_upgrades_and_rolls_back_around_ours() {
    upgrades_and_rolls_back(HELM_4, "helm-4", "Apply").await;
}

#[tokio::test]
async fn a_release_of_helm_3_that_helm_4_takes_over_keeps_ours() {
    let installed = Installed::by(HELM_3, "helm-3-to-4").await;
    assert!(is_mounted(&installed.scene.look().await));
    // Helm 4 goes on as Helm 3 wrote, until it is told otherwise.
    installed.must(HELM_4, &["upgrade"], &["--set", "tag=v1.3.1"]).await;
    let merged = installed.keeps_ours("v1.3.1").await;
    assert!(!wrote(&merged, "helm", "Apply"), "{:?}", managers(&merged));
    installed.must(HELM_4, &["upgrade"], &["--set", "tag=v1.3.2", "--server-side=true"]).await;
    let applied = installed.keeps_ours("v1.3.2").await;
    assert!(wrote(&applied, "helm", "Apply"), "{:?}", managers(&applied));
    installed.gives_back(&applied).await;
}

#[tokio::test]
async fn force_takes_nothing_of_ours_that_the_chart_does_not_name() {
    let installed = Installed::by(HELM_4, "helm-4-force").await;
    assert!(is_mounted(&installed.scene.look().await));
    installed.must(HELM_4, &["upgrade"], &["--set", "tag=v1.3.1", "--force-conflicts"]).await;
    installed.keeps_ours("v1.3.1").await;
}

#[tokio::test]
async fn a_mount_of_the_charts_own_replaces_ours_with_helm_3() {
    let installed = Installed::by(HELM_3, "helm-3-own-mount").await;
    assert!(is_mounted(&installed.scene.look().await));
    installed.render(&with_own_mount());
    installed.must(HELM_3, &["upgrade"], &[]).await;
    handed_over(&installed.scene.look().await);
}

/// Two managers name the one mount at that path differently: Helm 4 says so, and goes on when it is told to.
#[tokio::test]
async fn a_mount_of_the_charts_own_is_a_conflict_for_helm_4_until_it_is_forced() {
    let installed = Installed::by(HELM_4, "helm-4-own-mount").await;
    let patched = installed.scene.look().await;
    assert!(is_mounted(&patched));
    installed.render(&with_own_mount());
    let refused = installed.helm(HELM_4, &["upgrade"], &[]).await.unwrap_err();
    assert!(refused.contains("conflict with \"lsm-ready\""), "{refused}");
    assert_eq!(installed.scene.get().await["spec"], patched["spec"], "nothing is half done");
    installed.must(HELM_4, &["upgrade"], &["--force-conflicts"]).await;
    handed_over(&installed.scene.look().await);
}

#[tokio::test]
async fn a_mount_of_the_charts_own_needs_no_force_once_ours_is_given_back() {
    let installed = Installed::by(HELM_4, "helm-4-never").await;
    assert!(is_mounted(&installed.scene.look().await));
    installed.scene.wish(&json!({"mount": "Never"})).await;
    assert_eq!(mount(&installed.scene.look().await), None);
    installed.render(&with_own_mount());
    installed.must(HELM_4, &["upgrade"], &[]).await;
    installed.scene.wish(&json!({})).await;
    handed_over(&installed.scene.look().await);
}

/// The chart's own mount is there, and nothing of ours.
fn handed_over(object: &Value) {
    assert_eq!(mount(object), Some(own_mount()));
    assert_eq!(tetragon::without_ours(object)["spec"], object["spec"]);
    assert!(
        managers(object).iter().all(|(manager, _)| manager != "lsm-ready"),
        "{:?}",
        managers(object)
    );
}
