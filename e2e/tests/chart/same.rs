//! The chart renders to the objects of config/, object by object.

use std::fs;

use e2e::helm::Helm;
use e2e::{paths, request};
use serde_json::{Value, json};

use crate::objects::{Objects, is_hook};
use crate::{render, render_in};

/// The labels that Helm's charts have by convention, and config/ has not.
const HELM_LABELS: [&str; 4] = [
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/version",
    "helm.sh/chart",
];

/// What kustomize makes of a folder.
fn kustomized(folder: &str) -> Objects {
    // Rendering needs no cluster.
    Objects::read(&request::kubectl("/dev/null".as_ref(), &["kustomize", folder]).unwrap())
}

fn config(folder: &str) -> String {
    paths::workspace().join("config").join(folder).display().to_string()
}

/// config/default with that component.
fn with_component(component: &str) -> Objects {
    let overlay = paths::state().join("tests/chart-overlays").join(component);
    fs::create_dir_all(&overlay).unwrap();
    // kustomize wants relative paths.
    let up = "../".repeat(overlay.strip_prefix(paths::workspace()).unwrap().iter().count());
    let text = format!("resources: [{up}config/default]\ncomponents: [{up}config/{component}]\n");
    fs::write(overlay.join("kustomization.yaml"), text).unwrap();
    kustomized(&overlay.display().to_string())
}

/// The chart's objects without the differences that are meant: Helm's labels, the annotation by
/// which Helm keeps CRDs, and hooks.
fn comparable(rendered: Objects) -> Objects {
    let mut objects = rendered.0;
    objects.retain(|_, object| !is_hook(object));
    for (key, object) in &mut objects {
        let metadata = object["metadata"].as_object_mut().unwrap();
        for label in HELM_LABELS {
            let removed = metadata["labels"].as_object_mut().unwrap().remove(label);
            assert!(removed.is_some(), "{key} has no label {label}");
        }
        if key.starts_with("CustomResourceDefinition ") {
            let annotations = metadata.remove("annotations");
            assert_eq!(annotations, Some(json!({"helm.sh/resource-policy": "keep"})), "{key}");
        }
    }
    Objects(objects)
}

/// Asserts that the chart with these flags renders to these objects.
fn assert_same(config: &Objects, flags: &[&str]) {
    for helm in Helm::ALL {
        let mut rendered = comparable(render(helm, flags).unwrap());
        // The namespace of the release exists before. Only namespace.create makes one.
        let namespace = "Namespace lsm-ready-system";
        assert!(!rendered.has(namespace));
        rendered.0.insert(namespace.to_owned(), config.get(namespace).clone());
        assert_equal(&rendered, config, helm);
    }
}

fn assert_equal(rendered: &Objects, config: &Objects, helm: Helm) {
    let keys = |objects: &Objects| objects.0.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(rendered), keys(config), "{helm:?}");
    assert!(config.0.len() > 35, "only {} objects: is the search broken?", config.0.len());
    for (key, object) in &config.0 {
        let found = numbers_alike(rendered.get(key).clone());
        assert_eq!(found, numbers_alike(object.clone()), "{helm:?}: {key}");
    }
}

/// 1.0 and 1 are the same number to an API server.
fn numbers_alike(mut value: Value) -> Value {
    match &mut value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.drain(..).map(numbers_alike).collect(),
        Value::Object(fields) => {
            let fields = std::mem::take(fields).into_iter();
            fields.map(|(name, value)| (name, numbers_alike(value))).collect()
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value,
    }
}

#[test]
fn the_default_values_render_to_config_default() {
    assert_same(&kustomized(&config("default")), &[]);
}

#[test]
fn without_patching_the_chart_renders_to_config_suggest_only() {
    assert_same(&kustomized(&config("suggest-only")), &["--set", "patching.enabled=false"]);
}

#[test]
fn with_access_to_securityfs_only_the_chart_renders_to_config_probe_securityfs_only() {
    let expected = kustomized(&config("probe-securityfs-only"));
    assert_same(&expected, &["--set", "probe.hostAccess=Securityfs"]);
}

#[test]
fn with_deny_the_chart_renders_to_the_component_reserve_deny() {
    assert_same(&with_component("reserve-deny"), &["--set", "reserve.action=Deny"]);
}

#[test]
fn with_a_secret_for_agents_the_chart_renders_to_the_component_agent_tls() {
    let secret = "agents.tls.secretName=lsm-ready-agent-tls";
    assert_same(&with_component("agent-tls"), &["--set", secret]);
}

#[test]
fn a_namespace_that_the_chart_makes_is_that_of_config_default() {
    let flags = ["--set", "namespace.create=true,namespace.name=lsm-ready-system"];
    for helm in Helm::ALL {
        let rendered = comparable(render_in(helm, "default", &flags).unwrap());
        assert_equal(&rendered, &kustomized(&config("default")), helm);
    }
}

#[test]
fn in_another_namespace_nothing_names_the_usual_one() {
    for helm in Helm::ALL {
        let rendered = render_in(helm, "other", &[]).unwrap();
        let text = serde_json::to_string(&rendered.0).unwrap();
        assert!(!text.contains("lsm-ready-system"), "{helm:?}");
        let policy = rendered.get("ValidatingAdmissionPolicy lsm-ready-lsmnodes").to_string();
        assert!(policy.contains("system:serviceaccount:other:lsm-ready-probe"), "{policy}");
    }
}

/// The hook runs what config/cleanup runs. Only where it runs, and how long, differs.
#[test]
fn the_hook_has_the_pod_and_the_rights_of_config_cleanup() {
    let cleanup = kustomized(&config("cleanup"));
    for helm in Helm::ALL {
        let rendered = render(helm, &[]).unwrap();
        let pod = |objects: &Objects, namespace: &str| {
            let job = objects.get(&format!("Job {namespace}/lsm-ready-cleanup"));
            let mut pod = job["spec"]["template"]["spec"].clone();
            let arguments = pod["containers"][0]["args"].take();
            assert_eq!(arguments[0], "cleanup");
            pod
        };
        assert_eq!(pod(&rendered, "lsm-ready-system"), pod(&cleanup, "lsm-ready-cleanup"));
        let role = "ClusterRole lsm-ready-cleanup";
        assert_eq!(rendered.get(role)["rules"], cleanup.get(role)["rules"]);
        let binding = rendered.get("ClusterRoleBinding lsm-ready-cleanup");
        assert_eq!(binding["subjects"][0]["namespace"], "lsm-ready-system");
    }
}
