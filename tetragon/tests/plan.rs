//! The mount plan on DaemonSets in the shape of Tetragon's charts: tables, and properties over arbitrary ones.
#![allow(clippy::unwrap_used, reason = "what cannot be prepared fails the test")]

mod releases;

use lsm_ready_crds::names::{DAEMON_SET_LABEL, SECURITYFS_PATH, SECURITYFS_VOLUME};
use lsm_ready_crds::policy::Mount::{self, Always, Auto, Never};
use lsm_ready_tetragon::patch;
use lsm_ready_tetragon::plan::{MountRequest, Need, NoNeed, Plan, plan};
use lsm_ready_tetragon::refusal::Refusal;
use proptest::prelude::*;
use serde_json::{Value, json};

use releases::{add_mount, add_volume, agent, applied, host_path, parsed, release, without_ours};

fn wish(patch: Mount, suggest: Mount) -> MountRequest {
    MountRequest { container: "tetragon".into(), patch, suggest, ..MountRequest::none() }
}

fn patching(mount: Mount) -> MountRequest {
    wish(mount, Never)
}

/// The plan in a word or two.
fn word(object: &Value, wish: &MountRequest) -> &'static str {
    match plan(&parsed(object), wish) {
        Plan::NotWanted => "not wanted",
        Plan::NotNeeded(NoNeed::AlreadyMounted(_)) => "already mounted",
        Plan::NotNeeded(NoNeed::MountsItself(_)) => "mounts itself",
        Plan::NotNeeded(NoNeed::NoLsmHooks(_)) => "no lsm hooks",
        Plan::Keep { .. } => "keep",
        Plan::Patch { .. } => "patch",
        Plan::Suggest { .. } => "suggest",
        Plan::Remove { .. } => "give back",
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

/// A v1.3 whose agent has that volume mounted by that mount.
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
fn each_wish_for_each_release() {
    for (name, auto) in [("v1.0", "no lsm hooks"), ("v1.3", "patch"), ("v1.7", "mounts itself")] {
        let object = release(name);
        assert_eq!(word(&object, &patching(Auto)), auto, "{name}");
        assert_eq!(word(&object, &patching(Always)), "patch", "{name}");
        assert_eq!(word(&object, &MountRequest::none()), "not wanted", "{name}");
        assert_eq!(word(&object, &wish(Never, Always)), "suggest", "{name}");
    }
    // Who wants it in any case only wants to be told, and who lets us patch does so only where it is needed.
    assert_eq!(word(&release("v1.7"), &wish(Auto, Always)), "suggest");
    assert_eq!(word(&release("v1.3"), &wish(Auto, Always)), "patch");
}

#[test]
fn auto_goes_by_release_and_privilege() {
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
fn the_need_is_told() {
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
fn a_mount_of_securityfs_by_any_name_satisfies() {
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
    // Whoever took out our label has taken the mount over.
    let by_our_name = without_label(&patched(&release("v1.3")));
    assert_eq!(word(&by_our_name, &patching(Always)), "already mounted");
    assert_eq!(word(&by_our_name, &MountRequest::none()), "not wanted");
}

#[test]
fn a_mount_elsewhere_or_of_another_container_does_not() {
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
fn writable_and_propagating_mounts_satisfy_and_are_told() {
    let told = |mount| {
        let object = with_mount(host_path("sys", SECURITYFS_PATH, ""), mount);
        match plan(&parsed(&object), &patching(Auto)) {
            Plan::NotNeeded(unneeded) => unneeded.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert!(told(json!({"mountPath": SECURITYFS_PATH})).contains("set readOnly: true"));
    let propagating = json!({"mountPath": SECURITYFS_PATH, "mountPropagation": "Bidirectional"});
    assert!(told(propagating).contains("Bidirectional"));
    assert!(!told(json!({"mountPath": SECURITYFS_PATH, "readOnly": true})).contains("more than"));
}

#[test]
fn what_stands_in_the_way_is_refused() {
    let lsm = "/sys/kernel/security/lsm";
    let table = [
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
    for (volume, mount, reason) in table {
        let object = with_mount(volume.clone(), mount.clone());
        assert_eq!(word(&object, &patching(Always)), reason, "{volume} {mount}");
        assert_eq!(
            word(&object, &MountRequest::none()),
            "not wanted",
            "who wants nothing is told nothing"
        );
    }
    // The file is there on the directory that is mounted too.
    let mut both = with_mount(host_path("lsm", lsm, "File"), json!({"mountPath": lsm}));
    add_volume(&mut both, host_path("sys", SECURITYFS_PATH, ""));
    add_mount(&mut both, json!({"name": "sys", "mountPath": SECURITYFS_PATH}));
    assert_eq!(word(&both, &patching(Auto)), "already mounted");
}

#[test]
fn a_refusal_says_what_to_do() {
    let refusal = |object: &Value, container: &str| {
        let wish = MountRequest { container: container.into(), ..patching(Auto) };
        match plan(&parsed(object), &wish) {
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
fn what_is_ours_stays_while_somebody_wants_it() {
    let ours = patched(&release("v1.3"));
    for wish in [patching(Auto), patching(Always), wish(Never, Auto)] {
        assert_eq!(word(&ours, &wish), "keep", "{wish:?}");
    }
    assert_eq!(word(&ours, &MountRequest::none()), "give back");
    // Upgraded to a release that needs it no longer: kept, since taking it away would restart every agent.
    let mut upgraded = ours.clone();
    agent(&mut upgraded)["image"] = json!("quay.io/cilium/tetragon:v1.7.0");
    let Plan::Keep { still_needed, .. } = plan(&parsed(&upgraded), &patching(Auto)) else {
        panic!("kept")
    };
    assert_eq!(still_needed, None);
}

#[test]
fn what_is_left_of_ours_goes_when_it_has_no_use() {
    let mut superseded = patched(&release("v1.3"));
    add_volume(&mut superseded, host_path("sys", SECURITYFS_PATH, ""));
    for mount in agent(&mut superseded)["volumeMounts"].as_array_mut().unwrap() {
        if mount["mountPath"] == SECURITYFS_PATH {
            mount["name"] = json!("sys");
        }
    }
    assert_eq!(
        word(&superseded, &patching(Auto)),
        "give back",
        "the owner's mount took our mount's place"
    );
    let mut only_label = release("v1.7");
    only_label["metadata"]["labels"][DAEMON_SET_LABEL] = json!("mounted");
    assert_eq!(word(&only_label, &patching(Auto)), "give back", "rolled back, and not needed");
    let mut rolled_back = release("v1.3");
    rolled_back["metadata"]["labels"][DAEMON_SET_LABEL] = json!("mounted");
    assert_eq!(word(&rolled_back, &patching(Auto)), "patch", "rolled back, and needed");
}

#[test]
fn another_container_is_mounted_instead() {
    let ours = patched(&release("v1.3"));
    let wish = MountRequest { container: "export-stdout".into(), ..patching(Always) };
    assert_eq!(word(&ours, &wish), "patch");
}

#[test]
fn kernels_without_securityfs_stop_what_would_add_the_mount_and_nothing_else() {
    let on = |mut wish: MountRequest| {
        wish.without_securityfs = vec!["n1".into()];
        wish
    };
    let (lacking, ours) = (release("v1.3"), patched(&release("v1.3")));
    for (object, wish, expected) in [
        (&lacking, patching(Auto), "NodesWithoutSecurityfs"),
        (&lacking, patching(Always), "NodesWithoutSecurityfs"),
        (&lacking, wish(Never, Auto), "NodesWithoutSecurityfs"),
        (&release("v1.7"), patching(Auto), "mounts itself"),
        (&release("v1.7"), patching(Always), "NodesWithoutSecurityfs"),
        (&ours, patching(Auto), "keep"),
        (&ours, patching(Never), "give back"),
        (&lacking, patching(Never), "not wanted"),
    ] {
        assert_eq!(word(object, &on(wish)), expected);
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

// Arbitrary DaemonSets: any release, image and privilege, with up to three further volumes and mounts.

fn any_image() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("quay.io/cilium/tetragon@sha256:0123".to_owned()),
        "[a-z]{1,8}(:5000)?/tetragon(:v?[0-9]\\.[0-9]\\.[0-9](-rc\\.1)?)?(@sha256:0123)?",
    ]
}

fn any_path() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "/sys/kernel/security",
        "/sys/kernel/security/",
        "/sys/kernel/security/lsm",
        "/sys/kernel",
        "/sys",
        "/host",
        "/",
    ])
}

fn any_volume() -> impl Strategy<Value = (Value, Value)> {
    let name = prop::sample::select(vec!["a", "b", "host-securityfs", SECURITYFS_VOLUME]);
    let source = prop_oneof![
        any_path().prop_map(|path| json!({"hostPath": {"path": path}})),
        any_path().prop_map(|path| json!({"hostPath": {"path": path, "type": "Directory"}})),
        Just(json!({"emptyDir": {}})),
    ];
    (name, source, any_path(), any::<bool>()).prop_map(
        |(name, mut volume, mount_path, read_only)| {
            volume["name"] = json!(name);
            (volume, json!({"name": name, "mountPath": mount_path, "readOnly": read_only}))
        },
    )
}

prop_compose! {
    fn any_daemon_set()(
        shape in prop::sample::select(vec!["v1.0", "v1.3", "v1.7"]),
        image in any_image(),
        privileged in any::<Option<bool>>(),
        volumes in prop::collection::vec(any_volume(), 0..3),
    ) -> Value {
        let mut object = release(shape);
        agent(&mut object)["image"] = json!(image);
        agent(&mut object)["securityContext"] = json!({"privileged": privileged});
        for (volume, mount) in volumes {
            // As the API server wants it: names and mount paths are unique.
            let pod = &object["spec"]["template"]["spec"];
            if pod["volumes"].as_array().unwrap().iter().any(|other| other["name"] == volume["name"]) {
                continue;
            }
            add_volume(&mut object, volume);
            if agent(&mut object)["volumeMounts"].as_array().unwrap().iter().all(|m| m["mountPath"] != mount["mountPath"]) {
                add_mount(&mut object, mount);
            }
        }
        object
    }
}

fn any_mount() -> impl Strategy<Value = Mount> {
    prop::sample::select(vec![Never, Auto, Always])
}

proptest! {
    #[test]
    fn a_plan_applied_plans_nothing_more(object in any_daemon_set(), patch in any_mount(), suggest in any_mount()) {
        let wish = wish(patch, suggest);
        if word(&object, &wish) == "patch" {
            let patched = patched(&object);
            prop_assert_eq!(word(&patched, &wish), "keep");
            prop_assert_eq!(word(&patched, &MountRequest::none()), "give back");
            let at: Vec<_> = mounts_of_agent(&patched).into_iter().filter(|path| path == SECURITYFS_PATH).collect();
            prop_assert_eq!(at.len(), 1);
        }
    }

    #[test]
    fn only_what_is_ours_differs(object in any_daemon_set(), patch in any_mount()) {
        let wish = patching(patch);
        if word(&object, &wish) == "patch" {
            prop_assert_eq!(without_ours(&patched(&object)), without_ours(&object));
            // And given back, it is as it was, but for a volume of that name that was there before us.
            prop_assert_eq!(word(&without_ours(&patched(&object)), &MountRequest::none()), "not wanted");
        }
    }

    #[test]
    fn nobody_who_wants_nothing_gets_anything(object in any_daemon_set()) {
        prop_assert_eq!(word(&object, &MountRequest::none()), "not wanted");
    }

    #[test]
    fn only_who_lets_us_patch_is_patched(object in any_daemon_set(), suggest in any_mount()) {
        prop_assert_ne!(word(&object, &wish(Never, suggest)), "patch");
    }
}

fn mounts_of_agent(object: &Value) -> Vec<String> {
    let mut object = object.clone();
    let mounts = agent(&mut object)["volumeMounts"].as_array().unwrap().clone();
    mounts
        .iter()
        .map(|mount| mount["mountPath"].as_str().unwrap().trim_end_matches('/').to_owned())
        .collect()
}
