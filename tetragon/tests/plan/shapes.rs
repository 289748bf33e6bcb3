//! The mount plan for DaemonSets that differ from the charts' default: other names, other images,
//! sidecars, mistakes. If `TETRAGON_MANIFESTS` names a folder of manifests, also for those of real
//! releases.

use lsm_ready_crds::names::SECURITYFS_PATH;
use lsm_ready_crds::policy::Mount;
use lsm_ready_tetragon::patch;
use lsm_ready_tetragon::plan::{MountRequest, NoNeed, Plan, plan};
use lsm_ready_tetragon::refusal::Refusal;
use lsm_ready_tetragon::view::{Access, Mounted};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::releases::{
    add_mount, add_volume, agent, applied, host_path, parsed, release, without_ours,
};

/// The request of the default policy.
fn auto() -> MountRequest {
    MountRequest { container: "tetragon".into(), patch: Mount::Auto, ..MountRequest::none() }
}

fn planned(object: &Value) -> Plan {
    plan(&parsed(object), &auto())
}

/// The container to patch, or another plan.
fn patched_container(object: &Value) -> String {
    match planned(object) {
        Plan::Patch { container, .. } => container,
        other => format!("{other:?}"),
    }
}

fn refusal(object: &Value) -> Option<Refusal> {
    match planned(object) {
        Plan::Refused(refusal) => Some(refusal),
        _ => None,
    }
}

#[test]
fn only_the_renamed_container_of_the_agent_is_patched() {
    let mut object = release("v1.3");
    let container = agent(&mut object);
    container["name"] = json!("enforcer");
    container["image"] = json!("registry:5000/mirror/tetragon-ci:8f3ac1e");
    assert_eq!(patched_container(&object), "enforcer");
    let patched = applied(&object, &patch::mount(&parsed(&object), "enforcer"));
    assert!(matches!(planned(&patched), Plan::Keep { .. }));
    assert_eq!(without_ours(&patched), without_ours(&object));
}

#[test]
fn sidecars_of_both_kinds_are_not_patched() {
    let mut object = release("v1.3");
    let sidecar = json!({"name": "tetragon-proxy", "image": "quay.io/cilium/tetragon:v1.7.0",
        "restartPolicy": "Always",
        "securityContext": {"privileged": true}});
    let pod = &mut object["spec"]["template"]["spec"];
    pod["initContainers"] = json!([sidecar]);
    pod["containers"].as_array_mut().unwrap().insert(0, json!({"name": "log", "image": "busybox"}));
    assert_eq!(patched_container(&object), "tetragon");
    agent(&mut object)["name"] = json!("enforcer");
    assert_eq!(patched_container(&object), "enforcer");
}

#[test]
fn for_a_digest_the_label_of_template_or_daemon_set_decides() {
    let label = "app.kubernetes.io/version";
    let mut object = release("v1.7");
    agent(&mut object)["image"] = json!("quay.io/cilium/tetragon@sha256:0123");
    let itself =
        |object: &Value| matches!(planned(object), Plan::NotNeeded(NoNeed::MountsItself(_)));
    assert!(itself(&object));
    object["spec"]["template"]["metadata"]["labels"].as_object_mut().unwrap().remove(label);
    assert!(itself(&object), "podLabelsOverride replaces the template's labels alone");
    object["metadata"]["labels"].as_object_mut().unwrap().remove(label);
    assert!(!itself(&object));
}

#[test]
fn a_read_only_mount_of_a_directory_above_leaves_securityfs_writable() {
    let mut cases = vec![
        ("/sys", json!({"readOnly": true}), Access::WritableBelow),
        (
            "/sys/kernel",
            json!({"readOnly": true, "mountPropagation": "HostToContainer"}),
            Access::WritableBelow,
        ),
        ("/sys", json!({"readOnly": true, "recursiveReadOnly": "Enabled"}), Access::ReadOnly),
        ("/sys", json!({"mountPropagation": "HostToContainer"}), Access::Writable),
    ];
    cases.push((SECURITYFS_PATH, json!({"readOnly": true}), Access::ReadOnly));
    for (path, mut mount, access) in cases {
        let mut object = release("v1.3");
        add_volume(&mut object, host_path("sys", path, ""));
        mount["name"] = json!("sys");
        mount["mountPath"] = json!(path);
        add_mount(&mut object, mount);
        let expected =
            Mounted { volume: "sys".into(), path: path.into(), access, bidirectional: false };
        assert_eq!(planned(&object), Plan::NotNeeded(NoNeed::AlreadyMounted(expected)));
    }
}

#[test]
fn duplicate_volumes_and_mounts_are_refused() {
    // As rendered by a chart that has the volume and gets it again as a value.
    let mut twice = release("v1.3");
    for _ in 0..2 {
        add_volume(&mut twice, host_path("securityfs", SECURITYFS_PATH, "Directory"));
    }
    assert_eq!(refusal(&twice), Some(Refusal::DuplicateVolume("securityfs".into())));
    let mut mounted_twice = release("v1.3");
    add_volume(&mut mounted_twice, host_path("securityfs", SECURITYFS_PATH, ""));
    for read_only in [true, false] {
        let mount =
            json!({"name": "securityfs", "mountPath": SECURITYFS_PATH, "readOnly": read_only});
        add_mount(&mut mounted_twice, mount);
    }
    let expected =
        Refusal::DuplicateMount { container: "tetragon".into(), path: SECURITYFS_PATH.into() };
    assert_eq!(refusal(&mounted_twice), Some(expected));
}

#[test]
fn a_daemon_set_for_windows_is_refused() {
    for pod in [
        json!({"nodeSelector": {"kubernetes.io/os": "windows"}}),
        json!({"os": {"name": "windows"}}),
    ] {
        let mut object = release("v1.7");
        for (field, value) in pod.as_object().unwrap() {
            object["spec"]["template"]["spec"][field] = value.clone();
        }
        assert_eq!(refusal(&object), Some(Refusal::NotLinux), "{pod}");
    }
    let mut linux = release("v1.3");
    linux["spec"]["template"]["spec"]["nodeSelector"] = json!({"kubernetes.io/os": "linux"});
    assert_eq!(patched_container(&linux), "tetragon");
}

#[test]
fn an_existing_volume_that_the_agent_does_not_mount_is_not_used() {
    let mut object = release("v1.3");
    add_volume(&mut object, host_path("theirs", SECURITYFS_PATH, "Directory"));
    let patch = patch::mount(&parsed(&object), &patched_container(&object));
    assert_eq!(patch["spec"]["template"]["spec"]["volumes"][0]["name"], "lsm-ready-securityfs");
}

#[test]
fn the_patch_of_a_manifest_has_neither_uid_nor_namespace() {
    let mut object = release("v1.3");
    object["metadata"] = json!({"name": "release-name"});
    let metadata = &patch::mount(&parsed(&object), "tetragon")["metadata"];
    assert_eq!(metadata["name"], "release-name");
    assert_eq!(metadata.as_object().unwrap().keys().collect::<Vec<_>>(), ["labels", "name"]);
}

// DaemonSets with any name, any container name, sidecars before and after the agent, and any image
// of the charts.

prop_compose! {
    fn any_shape()(
        shape in prop::sample::select(vec!["v1.0", "v1.3", "v1.7"]),
        (name, namespace, container) in ("[a-z]{1,10}", "[a-z]{1,10}",
            "(tetragon|agent|[a-z]{3,10})"),
        image in concat!(
            "(quay\\.io/cilium|registry:5000/a/b)/tetragon(-ci|-dev)?",
            "(:v1\\.[0-8]\\.0|:main)?(@sha256:0123)?"
        ),
        privileged in any::<bool>(),
        before in prop::collection::vec("side-[a-z]{4}", 0..3),
        native in prop::collection::vec("native-[a-z]{4}", 0..2),
    ) -> (Value, String) {
        let mut object = release(shape);
        let agent = agent(&mut object);
        agent["name"] = json!(container);
        agent["image"] = json!(image);
        agent["securityContext"] = json!({"privileged": privileged});
        object["metadata"]["name"] = json!(name);
        object["metadata"]["namespace"] = json!(namespace);
        let pod = &mut object["spec"]["template"]["spec"];
        for name in before {
            pod["containers"].as_array_mut().unwrap().insert(0, json!({"name": name,
                "image": "busybox"}));
        }
        pod["initContainers"] = native
            .iter()
            .map(|name| json!({"name": name, "image": "quay.io/cilium/tetragon:v1.0.0",
                "restartPolicy": "Always"}))
            .collect();
        (object, container)
    }
}

proptest! {
    #[test]
    fn each_shape_gets_exactly_one_mount_or_needs_none((object, container) in any_shape()) {
        match planned(&object) {
            Plan::Patch { container: found, .. } => {
                prop_assert_eq!(&found, &container);
                let patched = applied(&object, &patch::mount(&parsed(&object), &found));
                let kept = matches!(planned(&patched), Plan::Keep { still_needed: Some(_), .. });
                prop_assert!(kept);
                prop_assert_eq!(without_ours(&patched), without_ours(&object));
                let text = patched.to_string();
                let mounts = text.matches("\"mountPath\":\"/sys/kernel/security\"").count();
                prop_assert_eq!(mounts, 1);
            }
            Plan::NotNeeded(NoNeed::MountsItself(_) | NoNeed::NoLsmHooks(_)) => {}
            other => prop_assert!(false, "{other:?}"),
        }
    }
}

#[test]
fn manifests_of_real_releases_get_the_expected_plan() {
    let Some(folder) = std::env::var_os("TETRAGON_MANIFESTS").map(std::path::PathBuf::from) else {
        eprintln!(
            "skipped: TETRAGON_MANIFESTS is not set to a folder with v1.3.0/agent.yaml and \
             v1.7.0/agent.yaml"
        );
        return;
    };
    for (release, itself) in [("v1.3.0", false), ("v1.7.0", true)] {
        let text = std::fs::read_to_string(folder.join(release).join("agent.yaml")).unwrap();
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let object = documents.into_iter().find(|object| object["kind"] == "DaemonSet").unwrap();
        assert_eq!(
            matches!(planned(&object), Plan::NotNeeded(NoNeed::MountsItself(_))),
            itself,
            "{release}"
        );
        if !itself {
            let patched =
                applied(&object, &patch::mount(&parsed(&object), &patched_container(&object)));
            assert!(matches!(planned(&patched), Plan::Keep { .. }));
            assert_eq!(without_ours(&patched), object);
        }
    }
}
