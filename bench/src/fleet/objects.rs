//! The objects of one node, as a kubelet and a probe write them. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use lsm_ready_crds::node::{Check, Kernel, LsmSource, Lsms};
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::{Evidence, LsmHookProfile, LsmNodeStatus, State, fixture};
use serde_json::{Value, json};

use super::{Proof, name};

/// The label by which a policy selects a tenth of the nodes.
pub const TENTH: &str = "example.com/tenth";
/// The label by which a policy selects half of them.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// Hooks that every kernel of the fleet has.
pub const HOOKS: [&str; 2] = ["file_open", "bprm_check_security"];
/// The size of a Node as the API server sends it, in bytes.
pub const NODE_BYTES: usize = 12_000;

/// The size of what the API server adds: the managed fields of a Node of this shape, its uid and
/// times.
const ADDED_BYTES: usize = 4_600;

/// The boot of a node.
pub fn boot_id(node: usize) -> String {
    format!("5b0c9f6e-17c4-4b53-9d4e-{node:012}")
}

/// A Node, filled up with images to the size of a real one.
pub fn node(number: usize) -> Value {
    let mut node = bare_node(number);
    let mut images = Vec::new();
    let mut size = node.to_string().len() + ADDED_BYTES;
    while size < NODE_BYTES {
        let image = image(images.len());
        size += image.to_string().len() + 1;
        images.push(image);
    }
    node["status"]["images"] = Value::Array(images);
    node
}

fn image(number: usize) -> Value {
    let repository = format!("registry.example.com/team-{}/service-{number:03}", number % 7);
    json!({"names": [
        format!("{repository}@sha256:{number:064x}"),
        format!("{repository}:v1.{number}.0"),
    ], "sizeBytes": 40_000_000 + number})
}

fn bare_node(number: usize) -> Value {
    let name = name(number);
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({"type": kind, "status": status, "reason": reason,
            "message": format!("kubelet has {reason}"),
            "lastHeartbeatTime": "2026-01-01T00:00:00Z",
            "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let resources = json!({"cpu": "8", "memory": "32Gi", "pods": "110", "ephemeral-storage": "98Gi",
        "hugepages-1Gi": "0", "hugepages-2Mi": "0"});
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": labels(number), "annotations": {
            "node.alpha.kubernetes.io/ttl": "0",
            "volumes.kubernetes.io/controller-managed-attach-detach": "true",
            "csi.volume.kubernetes.io/nodeid":
                json!({"csi.example.com": format!("i-{number:017x}")}).to_string(),
        }},
        "spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"],
            "providerID": format!("example:///zone-{}/i-{number:017x}", number % 2)},
        "status": {
            "capacity": resources, "allocatable": resources,
            "addresses": [{"type": "InternalIP", "address": format!("10.{}.{}.{}",
                number / 65_536, number / 256 % 256, number % 256)},
                {"type": "Hostname", "address": name}],
            "conditions": [
                condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
                condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
                condition("PIDPressure", "False", "KubeletHasSufficientPID"),
                condition("Ready", "True", "KubeletReady"),
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {"bootID": boot_id(number), "machineID": format!("{number:032x}"),
                "systemUUID": format!("ec2e1f00-0000-4000-8000-{number:012x}"),
                "kernelVersion": "6.12.48+deb13-amd64", "osImage": "Debian GNU/Linux 13 (trixie)",
                "containerRuntimeVersion": "containerd://2.1.4", "kubeletVersion": "v1.34.1",
                "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64"},
        },
    })
}

fn labels(number: usize) -> Value {
    let zone = format!("zone-{}", number % 2);
    json!({
        "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name(number),
        "node.kubernetes.io/instance-type": "m6i.2xlarge",
        "topology.kubernetes.io/region": "region-1", ZONE: zone,
        "topology.ebs.csi.aws.com/zone": zone, "failure-domain.beta.kubernetes.io/zone": zone,
        TENTH: (number % 10).to_string(),
        "example.com/pool": format!("pool-{}", number % 25),
        "example.com/team": format!("team-{}", number % 40),
    })
}

/// The hook profile that all nodes share.
pub fn profile() -> LsmHookProfile {
    let others = (0..250).map(|hook| format!("kernel_hook_{hook:03}"));
    let hooks = HOOKS.into_iter().map(str::to_owned).chain(others).collect();
    let spec = LsmHookProfileSpec {
        kernel: "6.12.48+deb13-amd64 x86_64".to_owned(),
        hooks,
        ..LsmHookProfileSpec::default()
    };
    LsmHookProfile::new(&spec.digest(), spec)
}

/// A report with 14 checks.
pub fn report(node: usize, proof: Proof, profile: &str, now: Timestamp) -> LsmNodeStatus {
    let mut report = match proof {
        Proof::Denied => fixture::denied(&boot_id(node)),
        Proof::NotDenied => fixture::report(&boot_id(node), Evidence::Attached, "BpfNotInLsmList"),
    };
    let (active, message, fix) = match proof {
        Proof::Denied => ("bpf", "the canary program denied prctl(2)", ""),
        Proof::NotDenied => ("yama", NOT_IN_LIST, FIX),
    };
    report.observed_time = Some(Time(now));
    report.kernel =
        Kernel { release: "6.12.48+deb13-amd64".to_owned(), machine: "x86_64".to_owned() };
    report.lsms = Lsms {
        active: ["capability", "landlock", active].map(str::to_owned).to_vec(),
        source: LsmSource::Syscall,
    };
    message.clone_into(&mut report.message);
    fix.clone_into(&mut report.fix);
    report.hook_profile = Some(profile.to_owned());
    report.checks.push(fixture::kernel_reads(State::Ready));
    report.checks.extend(FACTS.map(|(name, detail)| Check {
        name: name.to_owned(),
        outcome: State::Ready,
        reason: String::new(),
        detail: detail.to_owned(),
        fix: String::new(),
    }));
    report
}

const NOT_IN_LIST: &str = "the program was loaded and attached, but the kernel did not call it: \
                           bpf is not in the list of active LSMs";
const FIX: &str = "add bpf to lsm= on the kernel's command line, for example \
                   lsm=landlock,lockdown,yama,integrity,apparmor,bpf, and reboot the node";

/// What a probe checks beside the rungs and the reads.
const FACTS: [(&str, &str); 9] = [
    ("BpfInLsmList", "the list of active LSMs: lockdown,capability,landlock,yama,apparmor"),
    ("Securityfs", "securityfs is mounted at /sys/kernel/security"),
    ("BpfLsmBuiltIn", "CONFIG_BPF_LSM=y (by /boot/config-6.12.48+deb13-amd64)"),
    ("Btf", "/sys/kernel/btf/vmlinux, 6217533 bytes"),
    ("Architecture", "x86_64, Linux 6.12.48+deb13-amd64"),
    ("Lockdown", "none"),
    ("Capabilities", "effective 000000c00022c000"),
    ("BpfSyscall", "bpf(2) works; a seccomp filter is active"),
    ("LsmProgramsAllowed", "an LSM program was accepted"),
];

#[cfg(test)]
mod tests {
    use lsm_ready_crds::consistency::{contradiction, gap};

    use super::*;

    #[test]
    fn a_report_has_14_checks_and_agrees_with_itself() {
        for proof in [Proof::Denied, Proof::NotDenied] {
            let report = report(7, proof, "profile", Timestamp::UNIX_EPOCH);
            assert_eq!(report.checks.len(), 14);
            assert_eq!((contradiction(&report), gap(&report)), (None, None));
        }
    }

    #[test]
    fn a_node_is_filled_up_to_its_size() {
        let size = node(123_456).to_string().len() + ADDED_BYTES;
        assert!((NODE_BYTES..NODE_BYTES + 300).contains(&size), "{size}");
    }
}
