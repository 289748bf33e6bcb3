//! Properties of the plan for arbitrary DaemonSets: any release, image and privilege, with up to
//! three further volumes and mounts.

use lsm_ready_crds::names::{SECURITYFS_PATH, SECURITYFS_VOLUME};
use lsm_ready_crds::policy::Mount::{self, Always, Auto, Never};
use lsm_ready_tetragon::plan::MountRequest;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::releases::{add_mount, add_volume, agent, release, without_ours};
use crate::{patched, patching, request, word};

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
            // The API server requires unique names and mount paths.
            let pod = &object["spec"]["template"]["spec"];
            let mut volumes = pod["volumes"].as_array().unwrap().iter();
            if volumes.any(|other| other["name"] == volume["name"]) {
                continue;
            }
            add_volume(&mut object, volume);
            let mut mounts = agent(&mut object)["volumeMounts"].as_array().unwrap().iter();
            if mounts.all(|other| other["mountPath"] != mount["mountPath"]) {
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
    fn a_patched_daemon_set_keeps_one_mount(object in any_daemon_set(), patch in any_mount(),
        suggest in any_mount()) {
        let request = request(patch, suggest);
        if word(&object, &request) == "patch" {
            let patched = patched(&object);
            prop_assert_eq!(word(&patched, &request), "keep");
            prop_assert_eq!(word(&patched, &MountRequest::none()), "remove");
            let mounts = mounts_of_agent(&patched);
            prop_assert_eq!(mounts.iter().filter(|path| *path == SECURITYFS_PATH).count(), 1);
        }
    }

    #[test]
    fn a_patch_changes_only_what_is_ours(object in any_daemon_set(), patch in any_mount()) {
        let request = patching(patch);
        if word(&object, &request) == "patch" {
            prop_assert_eq!(without_ours(&patched(&object)), without_ours(&object));
            // With ours removed, nothing is left to do.
            prop_assert_eq!(word(&without_ours(&patched(&object)), &MountRequest::none()), "not \
                wanted");
        }
    }

    #[test]
    fn without_a_request_nothing_is_planned(object in any_daemon_set()) {
        prop_assert_eq!(word(&object, &MountRequest::none()), "not wanted");
    }

    #[test]
    fn a_request_for_a_suggestion_is_never_patched(object in any_daemon_set(),
        suggest in any_mount()) {
        prop_assert_ne!(word(&object, &request(Never, suggest)), "patch");
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
