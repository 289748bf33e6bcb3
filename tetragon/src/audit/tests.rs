//! What is found about an agent's container, and what is advised.

use lsm_ready_crds::ConditionReason;
use serde_json::{Value, json};

use super::*;

const TESTED: &str = "quay.io/cilium/tetragon:v1.7.0";
const NOT_TESTED: &str = "quay.io/cilium/tetragon:v1.5.0";
/// The capabilities with which 1.7.0 was tested.
const NEEDED: [&str; 8] = [
    "BPF",
    "PERFMON",
    "SYS_ADMIN",
    "SYS_RESOURCE",
    "SYSLOG",
    "SYS_PTRACE",
    "DAC_READ_SEARCH",
    "DAC_OVERRIDE",
];

/// A DaemonSet whose agent has that image, security context, pod fields and mounts of host
/// directories.
fn daemon_set(image: &str, context: &Value, pod: &Value, mounts: &[Value]) -> DaemonSet {
    let mut spec =
        json!({"containers": [{"name": "tetragon", "image": image, "securityContext": context}]});
    for (field, value) in pod.as_object().unwrap() {
        spec[field] = value.clone();
    }
    let volumes: Vec<Value> = mounts
        .iter()
        .map(|mount| {
            json!({"name": mount["name"],
            "hostPath": {"path": mount["hostPath"].as_str().or(mount["mountPath"].as_str())}})
        })
        .collect();
    spec["volumes"] = json!(volumes);
    spec["containers"][0]["volumeMounts"] = json!(mounts);
    serde_json::from_value(json!({"spec": {"selector": {}, "template": {"spec": spec}}})).unwrap()
}

fn found(daemon_set: &DaemonSet, nodes: &AppArmorNodes) -> Vec<Advice> {
    audit(daemon_set, "tetragon", nodes).unwrap()
}

fn reasons(daemon_set: &DaemonSet) -> Vec<ConditionReason> {
    found(daemon_set, &AppArmorNodes::NotKnown).into_iter().map(|excess| excess.reason).collect()
}

/// The security context with which 1.7.0 was tested.
fn tidy() -> Value {
    json!({"capabilities": {"drop": ["ALL"], "add": NEEDED},
        "seccompProfile": {"type": "RuntimeDefault"}})
}

fn with_capabilities(add: &[&str], drop: &[&str]) -> Value {
    json!({"capabilities": {"add": add, "drop": drop},
        "seccompProfile": {"type": "RuntimeDefault"}})
}

fn mount(path: &str, further: Value) -> Value {
    let mut mount = further;
    mount["name"] = json!("sys");
    mount["mountPath"] = json!(path);
    mount
}

fn active(count: usize, sample: &[&str]) -> AppArmorNodes {
    AppArmorNodes::Known { count, sample: sample.iter().map(|name| (*name).to_owned()).collect() }
}

#[test]
fn each_excess_has_its_reason() {
    let (nothing, tidy) = (json!({}), tidy());
    let read_only = [mount("/sys/kernel/security", json!({"readOnly": true}))];
    let both = [mount("/sys/kernel/security", json!({"mountPropagation": "Bidirectional"}))];
    let above = [mount("/sys", json!({"readOnly": true}))];
    let without_seccomp = |type_: &str| {
        let mut context = tidy.clone();
        context["seccompProfile"] = json!({ "type": type_ });
        context
    };
    let no_seccomp = json!({"capabilities": tidy["capabilities"]});
    let by_pod = json!({"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}});
    let privileged = json!({"privileged": true, "capabilities": {"add": ["ALL"]}});
    let extra: Vec<&str> = NEEDED.iter().copied().chain(["NET_RAW"]).collect();
    let without = |left_out: &str| {
        NEEDED.iter().copied().filter(|name| *name != left_out).collect::<Vec<_>>()
    };
    for (context, pod, mounts, expected) in [
        (&tidy, &nothing, &[][..], &[][..]),
        (&tidy, &nothing, &read_only, &[]),
        // All capabilities and no seccomp belong to being privileged, so only that is reported.
        (&privileged, &nothing, &[], &[ConditionReason::Privileged]),
        (&tidy, &json!({"hostPID": true}), &[], &[ConditionReason::HostPid]),
        (&with_capabilities(&extra, &["ALL"]), &nothing, &[], &[ConditionReason::Capabilities]),
        (&with_capabilities(&["ALL"], &[]), &nothing, &[], &[ConditionReason::Capabilities]),
        // The runtime's default capabilities are effective unless they are dropped.
        (&with_capabilities(&NEEDED, &[]), &nothing, &[], &[ConditionReason::Capabilities]),
        (&with_capabilities(&NEEDED, &["CHOWN"]), &nothing, &[], &[ConditionReason::Capabilities]),
        (
            &with_capabilities(&without("DAC_OVERRIDE"), &["ALL"]),
            &nothing,
            &[],
            &[ConditionReason::CapabilitiesMissing],
        ),
        (
            &with_capabilities(&without("SYS_ADMIN"), &["ALL"]),
            &nothing,
            &[],
            &[ConditionReason::CapabilitiesMissing],
        ),
        // 1.7.0 started without this capability.
        (&with_capabilities(&without("SYS_PTRACE"), &["ALL"]), &nothing, &[], &[]),
        (&tidy, &nothing, &above, &[ConditionReason::SecurityfsWritable]),
        (
            &tidy,
            &nothing,
            &both,
            &[ConditionReason::SecurityfsWritable, ConditionReason::SecurityfsPropagated],
        ),
        (&no_seccomp, &nothing, &[], &[ConditionReason::NoSeccomp]),
        (&without_seccomp("Unconfined"), &by_pod, &[], &[ConditionReason::NoSeccomp]),
        (&no_seccomp, &by_pod, &[], &[]),
    ] {
        assert_eq!(
            reasons(&daemon_set(TESTED, context, pod, mounts)),
            expected,
            "{context} {pod} {mounts:?}"
        );
    }
}

#[test]
fn the_advice_for_a_privileged_agent_names_all_changes_together() {
    let bpf = json!({"name": "bpf-maps", "mountPath": "/sys/fs/bpf",
        "mountPropagation": "Bidirectional"});
    let advised = |nodes: &AppArmorNodes, mounts: &[Value]| {
        let object = daemon_set(TESTED, &json!({"privileged": true}), &json!({}), mounts);
        found(&object, nodes).remove(0).message
    };
    let message = advised(&active(0, &[]), std::slice::from_ref(&bpf));
    for part in [
        "v1.7.0 loaded an LSM policy",
        "Debian's 6.12",
        "drop: [ALL], add: [BPF, PERFMON, SYS_ADMIN, SYS_RESOURCE, SYSLOG, SYS_PTRACE, \
         DAC_READ_SEARCH, DAC_OVERRIDE]",
        "HostToContainer instead of Bidirectional at /sys/fs/bpf (volume bpf-maps)",
        "RuntimeDefault",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert!(!message.contains("appArmorProfile"), "no node has AppArmor: {message}");
    assert!(advised(&active(2, &["n1", "n2"]), &[]).contains(
        "appArmorProfile: {type: Unconfined}, because AppArmor is active on 2 nodes (n1, n2)"
    ));
    assert!(advised(&AppArmorNodes::NotKnown, &[]).contains("where AppArmor is active on a node"));
    assert!(!advised(&active(0, &[]), &[]).contains("HostToContainer"), "nothing is Bidirectional");
}

#[test]
fn nothing_is_advised_for_an_untested_release() {
    let both = [mount("/sys/kernel/security", json!({"mountPropagation": "Bidirectional"}))];
    let loose = json!({"capabilities": {"add": ["ALL"]}});
    for image in [
        NOT_TESTED,
        "quay.io/cilium/tetragon:v1.7.1",
        "quay.io/cilium/tetragon:v1.8.0-pre.0",
        "t@sha256:00",
    ] {
        for (context, mounts) in [(json!({"privileged": true}), &both[..]), (loose.clone(), &[])] {
            let object = daemon_set(image, &context, &json!({"hostPID": true}), mounts);
            for excess in found(&object, &active(0, &[])) {
                assert!(excess.message.contains("nothing is advised"), "{image}: {excess:?}");
            }
        }
    }
}

#[test]
fn removing_host_pid_is_advised_only_if_the_hosts_proc_is_mounted() {
    let proc = json!({"name": "host-proc", "mountPath": "/procRoot", "hostPath": "/proc"});
    let advised = |mounts: &[Value]| {
        found(&daemon_set(TESTED, &tidy(), &json!({"hostPID": true}), mounts), &active(0, &[]))
    };
    assert!(advised(&[proc]).remove(0).message.contains("remove hostPID"));
    assert!(advised(&[]).remove(0).message.contains("nothing is advised"));
}

#[test]
fn app_armor_is_reported_if_it_is_active_and_confines_the_container() {
    let advised = |context: &Value, nodes: &AppArmorNodes| {
        let all = found(&daemon_set(TESTED, context, &json!({}), &[]), nodes);
        all.into_iter().map(|excess| excess.reason).collect::<Vec<_>>()
    };
    let mut unconfined = tidy();
    unconfined["appArmorProfile"] = json!({"type": "Unconfined"});
    assert_eq!(advised(&tidy(), &active(1, &["n1"])), [ConditionReason::AppArmor]);
    assert_eq!(advised(&tidy(), &active(0, &[])), [] as [ConditionReason; 0]);
    assert_eq!(advised(&tidy(), &AppArmorNodes::NotKnown), [] as [ConditionReason; 0]);
    assert_eq!(advised(&unconfined, &active(1, &["n1"])), [] as [ConditionReason; 0]);
    assert_eq!(
        advised(&json!({"privileged": true}), &active(1, &["n1"])),
        [ConditionReason::Privileged]
    );
}

#[test]
fn for_a_mount_of_a_directory_above_a_further_mount_is_advised() {
    let above = [mount("/sys", json!({"mountPropagation": "Bidirectional"}))];
    let object = daemon_set("quay.io/cilium/tetragon:v1.3.0", &tidy(), &json!({}), &above);
    let all = found(&object, &active(0, &[]));
    for reason in [ConditionReason::SecurityfsWritable, ConditionReason::SecurityfsPropagated] {
        let advised = &all.iter().find(|excess| excess.reason == reason).unwrap().message;
        assert!(
            advised.contains("mount /sys/kernel/security itself too, with readOnly: true"),
            "{advised}"
        );
    }
}

#[test]
fn an_image_with_a_digest_or_a_full_release_is_settled() {
    let mutable = |image: &str| {
        reasons(&daemon_set(image, &tidy(), &json!({}), &[])) == [ConditionReason::MutableTag]
    };
    for settled in [TESTED, "t:1.7.0", "t:v1.7.0-ubi9", "t:latest@sha256:aa", "t@sha256:aa"] {
        assert!(!mutable(settled), "{settled}");
    }
    for image in ["t", "t:latest", "t:main", "t:v1.7", "t:8f3ac1e", ""] {
        assert!(mutable(image), "{image}");
    }
}

#[test]
fn a_missing_container_is_a_refusal() {
    let object = daemon_set(TESTED, &tidy(), &json!({}), &[]);
    assert!(matches!(
        audit(&object, "agent", &AppArmorNodes::NotKnown),
        Err(Refusal::ContainerNotFound { .. })
    ));
}
