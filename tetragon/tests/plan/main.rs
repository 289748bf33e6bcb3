//! The mount plan for DaemonSets in the shape of Tetragon's charts.
#![allow(clippy::unwrap_used, reason = "what cannot be prepared fails the test")]

mod privilege;
mod properties;
#[path = "../releases/mod.rs"]
mod releases;
mod shapes;

use lsm_ready_crds::names::{DAEMON_SET_LABEL, SECURITYFS_PATH, SECURITYFS_VOLUME};
use lsm_ready_crds::policy::Mount::{self, Always, Auto, Never};
use lsm_ready_tetragon::patch;
use lsm_ready_tetragon::plan::{MountRequest, Need, NoNeed, Plan, plan};
use lsm_ready_tetragon::refusal::Refusal;
use serde_json::{Value, json};

use releases::{add_mount, add_volume, agent, applied, host_path, parsed, release};

fn request(patch: Mount, suggest: Mount) -> MountRequest {
    MountRequest { container: "tetragon".into(), patch, suggest, ..MountRequest::none() }
}

fn patching(mount: Mount) -> MountRequest {
    request(mount, Never)
}

/// The plan in a word or two.
fn word(object: &Value, request: &MountRequest) -> &'static str {
    match plan(&parsed(object), request) {
        Plan::NotWanted => "not wanted",
        Plan::NotNeeded(NoNeed::AlreadyMounted(_)) => "already mounted",
        Plan::NotNeeded(NoNeed::MountsItself(_)) => "mounts itself",
        Plan::NotNeeded(NoNeed::NoLsmHooks(_)) => "no lsm hooks",
        Plan::Keep { .. } => "keep",
        Plan::Patch { .. } => "patch",
        Plan::Suggest { .. } => "suggest",
        Plan::Remove { .. } => "remove",
        Plan::Refused(refusal) => refusal.reason().code(),
    }
}

fn with_image(image: &str, privileged: bool, label: Option<&str>) -> Value {
    let mut object = release("v1.7");
    agent(&mut object)["image"] = json!(image);
    agent(&mut object)["securityContext"] = json!({ "privileged": privileged });
    object["metadata"]["labels"].as_object_mut().unwrap().remove("app.kubernetes.io/version");
    let labels = object["spec"]["template"]["metadata"]["labels"].as_object_mut().unwrap();
    labels.remove("app.kubernetes.io/version");
    if let Some(label) = label {
        labels.insert("app.kubernetes.io/version".into(), json!(label));
    }
    object
}

/// A v1.3 whose agent mounts that volume.
fn with_mount(volume: Value, mount: Value) -> Value {
    let mut object = release("v1.3");
    let mut mount = mount;
    mount["name"] = volume["name"].clone();
    add_volume(&mut object, volume);
    add_mount(&mut object, mount);
    object
}

fn patched(object: &Value) -> Value {
    applied(object, &patch::mount(&parsed(object), "tetragon"))
}

#[test]
fn each_request_has_its_plan_for_each_release() {
    for (name, auto) in [("v1.0", "no lsm hooks"), ("v1.3", "patch"), ("v1.7", "mounts itself")] {
        let object = release(name);
        assert_eq!(word(&object, &patching(Auto)), auto, "{name}");
        assert_eq!(word(&object, &patching(Always)), "patch", "{name}");
        assert_eq!(word(&object, &MountRequest::none()), "not wanted", "{name}");
        assert_eq!(word(&object, &request(Never, Always)), "suggest", "{name}");
    }
    // `Always` only asks for a suggestion here, and `Auto` lets the operator patch only if it is
    // needed.
    assert_eq!(word(&release("v1.7"), &request(Auto, Always)), "suggest");
    assert_eq!(word(&release("v1.3"), &request(Auto, Always)), "patch");
}

#[test]
fn auto_depends_on_release_and_privilege() {
    let digest = "quay.io/cilium/tetragon@sha256:0123";
    for (image, privileged, label, expected) in [
        ("quay.io/cilium/tetragon:v1.1.2", true, None, "no lsm hooks"),
        ("quay.io/cilium/tetragon:v1.2.0-rc.1", true, None, "patch"),
        ("quay.io/cilium/tetragon:v1.2.0", true, None, "patch"),
        ("quay.io/cilium/tetragon:v1.3.4", true, None, "patch"),
        ("quay.io/cilium/tetragon:v1.4.0", true, None, "mounts itself"),
        ("quay.io/cilium/tetragon:v1.4.0-rc.1", true, None, "patch"),
        ("quay.io/cilium/tetragon:v1.4.0", false, None, "patch"),
        ("registry:5000/tetragon:1.7.0@sha256:0123", true, Some("1.3.0"), "mounts itself"),
        ("registry:5000/tetragon", true, Some("1.7.0"), "patch"),
        (digest, true, Some("1.7.0"), "mounts itself"),
        (digest, true, Some("1.3.0"), "patch"),
        (digest, true, None, "patch"),
        (digest, false, Some("1.7.0"), "patch"),
        ("quay.io/cilium/tetragon:latest", true, Some("1.7.0"), "patch"),
        ("quay.io/cilium/tetragon-ci:8f3ac1e", true, Some("1.7.0"), "patch"),
        ("", true, Some("1.7.0"), "patch"),
    ] {
        assert_eq!(
            word(&with_image(image, privileged, label), &patching(Auto)),
            expected,
            "{image} {label:?}"
        );
    }
}

#[test]
fn the_plan_names_the_need() {
    let need = |object: &Value, mount| match plan(&parsed(object), &patching(mount)) {
        Plan::Patch { need, .. } => need,
        other => panic!("{other:?}"),
    };
    assert_eq!(need(&release("v1.7"), Always), Need::Always);
    assert!(matches!(need(&release("v1.3"), Auto), Need::Release(_)));
    assert!(matches!(need(&with_image("a:v1.7.0", false, None), Auto), Need::Unprivileged(..)));
    assert!(matches!(need(&with_image("a:main", true, None), Auto), Need::UnknownRelease(_)));
}

#[test]
fn a_mount_of_securityfs_with_any_name_is_enough() {
    for (path, type_, mount_path) in [
        ("/sys/kernel/security", "Directory", "/sys/kernel/security"),
        ("/sys/kernel/security/", "", "/sys/kernel/security/"),
        ("/sys//kernel/./security", "DirectoryOrCreate", "//sys/kernel/security"),
        ("/sys/kernel", "", "/sys/kernel"),
        ("/sys", "Directory", "/sys"),
        ("/sys/fs/../", "", "/sys/"),
    ] {
        let object = with_mount(host_path("sys", path, type_), json!({"mountPath": mount_path}));
        assert_eq!(word(&object, &patching(Always)), "already mounted", "{path} at {mount_path}");
    }
    let by_sub_path = with_mount(
        host_path("sys", "/sys", ""),
        json!({"mountPath": SECURITYFS_PATH, "subPath": "kernel/security"}),
    );
    assert_eq!(word(&by_sub_path, &patching(Always)), "already mounted");
    // Without our label, the mount belongs to the DaemonSet's owner.
    let by_our_name = without_label(&patched(&release("v1.3")));
    assert_eq!(word(&by_our_name, &patching(Always)), "already mounted");
    assert_eq!(word(&by_our_name, &MountRequest::none()), "not wanted");
}

#[test]
fn a_mount_elsewhere_or_in_another_container_is_not_enough() {
    let elsewhere = with_mount(host_path("host", "/", ""), json!({"mountPath": "/host"}));
    assert_eq!(word(&elsewhere, &patching(Auto)), "patch");
    let mut exporter = release("v1.3");
    add_volume(&mut exporter, host_path("sys", SECURITYFS_PATH, ""));
    exporter["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "sys", "mountPath": SECURITYFS_PATH}));
    assert_eq!(word(&exporter, &patching(Auto)), "patch");
}

#[test]
fn writable_and_propagating_mounts_are_enough_and_the_message_says_so() {
    let message = |mount| {
        let object = with_mount(host_path("sys", SECURITYFS_PATH, ""), mount);
        match plan(&parsed(&object), &patching(Auto)) {
            Plan::NotNeeded(unneeded) => unneeded.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert!(message(json!({"mountPath": SECURITYFS_PATH})).contains("set readOnly: true"));
    let propagating = json!({"mountPath": SECURITYFS_PATH, "mountPropagation": "Bidirectional"});
    assert!(message(propagating).contains("Bidirectional"));
    assert!(
        !message(json!({"mountPath": SECURITYFS_PATH, "readOnly": true})).contains("does not need")
    );
}

#[test]
fn a_mount_in_the_way_is_refused() {
    let lsm = "/sys/kernel/security/lsm";
    let cases = [
        (host_path("lsm", lsm, "File"), json!({"mountPath": lsm}), "FileMount"),
        (host_path("lsm", lsm, ""), json!({"mountPath": lsm}), "FileMount"),
        (
            host_path("lsm", SECURITYFS_PATH, ""),
            json!({"mountPath": lsm, "subPath": "lsm"}),
            "FileMount",
        ),
        (host_path("lsm", lsm, "File"), json!({"mountPath": SECURITYFS_PATH}), "FileMount"),
        (
            json!({"name": "empty", "emptyDir": {}}),
            json!({"mountPath": SECURITYFS_PATH}),
            "MountPathTaken",
        ),
        (host_path("sys", "/sys", ""), json!({"mountPath": SECURITYFS_PATH}), "MountPathTaken"),
        (
            host_path("sys", "/sys", ""),
            json!({"mountPath": SECURITYFS_PATH, "subPathExpr": "$(A)"}),
            "MountPathTaken",
        ),
        (json!({"name": "empty", "emptyDir": {}}), json!({"mountPath": "/sys"}), "MountPathTaken"),
        (host_path(SECURITYFS_VOLUME, "/srv", ""), json!({"mountPath": "/srv"}), "VolumeNameTaken"),
        (
            json!({"name": SECURITYFS_VOLUME, "emptyDir": {}}),
            json!({"mountPath": SECURITYFS_PATH}),
            "VolumeNameTaken",
        ),
    ];
    for (volume, mount, reason) in cases {
        let object = with_mount(volume.clone(), mount.clone());
        assert_eq!(word(&object, &patching(Always)), reason, "{volume} {mount}");
        assert_eq!(
            word(&object, &MountRequest::none()),
            "not wanted",
            "without a request there is no refusal"
        );
    }
    // A file in the directory is no problem if the directory is mounted too.
    let mut both = with_mount(host_path("lsm", lsm, "File"), json!({"mountPath": lsm}));
    add_volume(&mut both, host_path("sys", SECURITYFS_PATH, ""));
    add_mount(&mut both, json!({"name": "sys", "mountPath": SECURITYFS_PATH}));
    assert_eq!(word(&both, &patching(Auto)), "already mounted");
}

#[test]
fn a_refusal_names_the_containers_and_the_mount() {
    let refusal = |object: &Value, container: &str| {
        let request = MountRequest { container: container.into(), ..patching(Auto) };
        match plan(&parsed(object), &request) {
            Plan::Refused(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    };
    let missing = refusal(&release("v1.3"), "agent");
    assert!(matches!(missing, Refusal::ContainerNotFound { .. }));
    assert!(missing.to_string().contains("(containers: export-stdout, tetragon)"), "{missing}");
    let mut with_init = release("v1.3");
    with_init["spec"]["template"]["spec"]["initContainers"] =
        json!([{"name": "wait", "image": "busybox"}]);
    assert!(refusal(&with_init, "wait").to_string().contains("is an init container"));
    let empty = with_mount(
        json!({"name": "scratch", "emptyDir": {}}),
        json!({"mountPath": SECURITYFS_PATH}),
    );
    let hidden = refusal(&empty, "tetragon").to_string();
    assert!(hidden.contains("volume scratch (emptyDir) at /sys/kernel/security"), "{hidden}");
}

#[test]
fn our_mount_stays_while_a_policy_requests_it() {
    let ours = patched(&release("v1.3"));
    for request in [patching(Auto), patching(Always), request(Never, Auto)] {
        assert_eq!(word(&ours, &request), "keep", "{request:?}");
    }
    assert_eq!(word(&ours, &MountRequest::none()), "remove");
    // After an upgrade to a release that does not need it, it stays: removing it would restart each
    // agent.
    let mut upgraded = ours.clone();
    agent(&mut upgraded)["image"] = json!("quay.io/cilium/tetragon:v1.7.0");
    let Plan::Keep { still_needed, .. } = plan(&parsed(&upgraded), &patching(Auto)) else {
        panic!("kept")
    };
    assert_eq!(still_needed, None);
}

#[test]
fn superfluous_parts_of_ours_are_removed() {
    let mut superseded = patched(&release("v1.3"));
    add_volume(&mut superseded, host_path("sys", SECURITYFS_PATH, ""));
    for mount in agent(&mut superseded)["volumeMounts"].as_array_mut().unwrap() {
        if mount["mountPath"] == SECURITYFS_PATH {
            mount["name"] = json!("sys");
        }
    }
    assert_eq!(word(&superseded, &patching(Auto)), "remove", "the owner's mount replaced ours");
    let mut only_label = release("v1.7");
    only_label["metadata"]["labels"][DAEMON_SET_LABEL] = json!("mounted");
    assert_eq!(word(&only_label, &patching(Auto)), "remove", "rolled back, and not needed");
    let mut rolled_back = release("v1.3");
    rolled_back["metadata"]["labels"][DAEMON_SET_LABEL] = json!("mounted");
    assert_eq!(word(&rolled_back, &patching(Auto)), "patch", "rolled back, and needed");
}

#[test]
fn another_requested_container_is_patched() {
    let ours = patched(&release("v1.3"));
    let request = MountRequest { container: "export-stdout".into(), ..patching(Always) };
    assert_eq!(word(&ours, &request), "patch");
}

#[test]
fn kernels_without_securityfs_prevent_only_new_mounts() {
    let on = |mut request: MountRequest| {
        request.without_securityfs = vec!["n1".into()];
        request
    };
    let (lacking, ours) = (release("v1.3"), patched(&release("v1.3")));
    for (object, request, expected) in [
        (&lacking, patching(Auto), "NodesWithoutSecurityfs"),
        (&lacking, patching(Always), "NodesWithoutSecurityfs"),
        (&lacking, request(Never, Auto), "NodesWithoutSecurityfs"),
        (&release("v1.7"), patching(Auto), "mounts itself"),
        (&release("v1.7"), patching(Always), "NodesWithoutSecurityfs"),
        (&ours, patching(Auto), "keep"),
        (&ours, patching(Never), "remove"),
        (&lacking, patching(Never), "not wanted"),
    ] {
        assert_eq!(word(object, &on(request)), expected);
    }
}

#[test]
fn a_refusal_names_three_nodes_and_counts_the_rest() {
    let message = |names: &[&str]| {
        Refusal::NodesWithoutSecurityfs(names.iter().map(|name| (*name).to_owned()).collect())
            .to_string()
    };
    assert!(
        message(&["a"]).contains("could not start on node a: the kernel there"),
        "{}",
        message(&["a"])
    );
    assert!(message(&["a", "b", "c", "d", "e"]).contains("on nodes a, b, c and 2 more:"));
}

fn without_label(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"]["labels"].as_object_mut().unwrap().remove(DAEMON_SET_LABEL);
    object
}
