//! What is found about an agent's container, and what is advised.

use lsm_ready_crds::ConditionReason;
use serde_json::{Value, json};

use super::*;

const SEEN: &str = "quay.io/cilium/tetragon:v1.7.0";
const NOT_SEEN: &str = "quay.io/cilium/tetragon:v1.5.0";
/// With what 1.7.0 was seen to deny.
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

/// A DaemonSet whose agent has that image, security context, pod fields and mounts of host directories.
fn daemon_set(image: &str, context: &Value, pod: &Value, mounts: &[Value]) -> DaemonSet {
    let mut spec =
        json!({"containers": [{"name": "tetragon", "image": image, "securityContext": context}]});
    for (field, value) in pod.as_object().unwrap() {
        spec[field] = value.clone();
    }
    let volumes: Vec<Value> = mounts
        .iter()
        .map(|mount| json!({"name": mount["name"], "hostPath": {"path": mount["hostPath"].as_str().or(mount["mountPath"].as_str())}}))
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

/// As 1.7.0 was seen to run unprivileged.
fn tidy() -> Value {
    json!({"capabilities": {"drop": ["ALL"], "add": NEEDED}, "seccompProfile": {"type": "RuntimeDefault"}})
}

fn with_capabilities(add: &[&str], drop: &[&str]) -> Value {
    json!({"capabilities": {"add": add, "drop": drop}, "seccompProfile": {"type": "RuntimeDefault"}})
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
fn each_excess_is_found() {
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
        // All capabilities and no seccomp are part of being privileged, and told by that once.
        (&privileged, &nothing, &[], &[ConditionReason::Privileged]),
        (&tidy, &json!({"hostPID": true}), &[], &[ConditionReason::HostPid]),
        (&with_capabilities(&extra, &["ALL"]), &nothing, &[], &[ConditionReason::Capabilities]),
        (&with_capabilities(&["ALL"], &[]), &nothing, &[], &[ConditionReason::Capabilities]),
        // What the runtime gives by default is there unless it is dropped.
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
        // It was seen to start without this one.
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
            reasons(&daemon_set(SEEN, context, pod, mounts)),
            expected,
            "{context} {pod} {mounts:?}"
        );
    }
}

#[test]
fn a_privileged_agent_is_told_all_that_has_to_change_together() {
    let bpf = json!({"name": "bpf-maps", "mountPath": "/sys/fs/bpf", "mountPropagation": "Bidirectional"});
    let told = |nodes: &AppArmorNodes, mounts: &[Value]| {
        let object = daemon_set(SEEN, &json!({"privileged": true}), &json!({}), mounts);
        found(&object, nodes).remove(0).message
    };
    let message = told(&active(0, &[]), std::slice::from_ref(&bpf));
    for part in [
        "v1.7.0 was seen",
        "Debian's 6.12",
        "drop: [ALL], add: [BPF, PERFMON, SYS_ADMIN, SYS_RESOURCE, SYSLOG, SYS_PTRACE, DAC_READ_SEARCH, DAC_OVERRIDE]",
        "HostToContainer in place of Bidirectional at /sys/fs/bpf (volume bpf-maps)",
        "RuntimeDefault",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert!(!message.contains("appArmorProfile"), "no node has AppArmor: {message}");
    assert!(told(&active(2, &["n1", "n2"]), &[]).contains(
        "appArmorProfile: {type: Unconfined}, as AppArmor is active on 2 nodes (n1, n2)"
    ));
    assert!(told(&AppArmorNodes::NotKnown, &[]).contains("where AppArmor is active on a node"));
    assert!(!told(&active(0, &[]), &[]).contains("HostToContainer"), "nothing is Bidirectional");
}

#[test]
fn what_was_not_seen_with_a_release_is_not_advised() {
    let both = [mount("/sys/kernel/security", json!({"mountPropagation": "Bidirectional"}))];
    let loose = json!({"capabilities": {"add": ["ALL"]}});
    for image in [
        NOT_SEEN,
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
fn the_host_pid_is_needed_where_the_hosts_proc_is_not_mounted() {
    let proc = json!({"name": "host-proc", "mountPath": "/procRoot", "hostPath": "/proc"});
    let told = |mounts: &[Value]| {
        found(&daemon_set(SEEN, &tidy(), &json!({"hostPID": true}), mounts), &active(0, &[]))
    };
    assert!(told(&[proc]).remove(0).message.contains("remove that"));
    assert!(told(&[]).remove(0).message.contains("nothing is advised"));
}

#[test]
fn app_armor_is_told_where_it_is_active_and_not_declined() {
    let told = |context: &Value, nodes: &AppArmorNodes| {
        let all = found(&daemon_set(SEEN, context, &json!({}), &[]), nodes);
        all.into_iter().map(|excess| excess.reason).collect::<Vec<_>>()
    };
    let mut declined = tidy();
    declined["appArmorProfile"] = json!({"type": "Unconfined"});
    assert_eq!(told(&tidy(), &active(1, &["n1"])), [ConditionReason::AppArmor]);
    assert_eq!(told(&tidy(), &active(0, &[])), [] as [ConditionReason; 0]);
    assert_eq!(told(&tidy(), &AppArmorNodes::NotKnown), [] as [ConditionReason; 0]);
    assert_eq!(told(&declined, &active(1, &["n1"])), [] as [ConditionReason; 0]);
    assert_eq!(
        told(&json!({"privileged": true}), &active(1, &["n1"])),
        [ConditionReason::Privileged]
    );
}

#[test]
fn a_mount_of_a_directory_above_is_not_changed_but_covered() {
    let above = [mount("/sys", json!({"mountPropagation": "Bidirectional"}))];
    let object = daemon_set("quay.io/cilium/tetragon:v1.3.0", &tidy(), &json!({}), &above);
    let all = found(&object, &active(0, &[]));
    for reason in [ConditionReason::SecurityfsWritable, ConditionReason::SecurityfsPropagated] {
        let told = &all.iter().find(|excess| excess.reason == reason).unwrap().message;
        assert!(
            told.contains("mount /sys/kernel/security itself as well, with readOnly: true"),
            "{told}"
        );
    }
}

#[test]
fn an_image_is_settled_by_a_digest_or_a_full_release() {
    let mutable = |image: &str| {
        reasons(&daemon_set(image, &tidy(), &json!({}), &[])) == [ConditionReason::MutableTag]
    };
    for settled in [SEEN, "t:1.7.0", "t:v1.7.0-ubi9", "t:latest@sha256:aa", "t@sha256:aa"] {
        assert!(!mutable(settled), "{settled}");
    }
    for image in ["t", "t:latest", "t:main", "t:v1.7", "t:8f3ac1e", ""] {
        assert!(mutable(image), "{image}");
    }
}

#[test]
fn a_container_that_is_not_there_is_refused() {
    let object = daemon_set(SEEN, &tidy(), &json!({}), &[]);
    assert!(matches!(
        audit(&object, "agent", &AppArmorNodes::NotKnown),
        Err(Refusal::ContainerNotFound { .. })
    ));
}
