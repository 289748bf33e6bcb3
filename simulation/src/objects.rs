//! The objects that steps are about, as JSON: for the simulation, and for whoever applies the steps
//! to a real API server.

use jiff::Timestamp;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use serde_json::{Value, json};

use crate::model::{FALSE_PROFILE, MOUNT_FAILS};
use crate::server::kind::Kind;
use crate::server::seconds;
use crate::step::{Policy, Report, Tetragon};

#[must_use]
pub fn node_name(node: u8) -> String {
    format!("n{node}")
}

#[must_use]
pub fn policy_name(policy: u8) -> String {
    format!("p{policy}")
}

/// A Linux Node in that boot.
#[must_use]
pub fn node(node: u8, boot: &str) -> Value {
    json!({
        "metadata": {"name": node_name(node), "labels": {"kubernetes.io/os": "linux"}},
        "spec": {},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {
                "bootID": boot, "operatingSystem": "linux", "architecture": "", "osImage": "",
                "containerRuntimeVersion": "", "kernelVersion": "", "kubeProxyVersion": "",
                "kubeletVersion": "", "machineID": "", "systemUUID": ""},
        },
    })
}

/// The hook profile of that kernel. Kernel 0 has `file_open`, kernel 1 lacks it.
#[must_use]
pub fn profile_spec(kernel: u8) -> LsmHookProfileSpec {
    let hooks: &[&str] =
        if kernel == 0 { &["bprm_check_security", "file_open"] } else { &["bprm_check_security"] };
    LsmHookProfileSpec {
        kernel: format!("6.{kernel}.0 x86_64"),
        hooks: hooks.iter().map(ToString::to_string).collect(),
        ..LsmHookProfileSpec::default()
    }
}

#[must_use]
pub fn profile(kernel: u8) -> Value {
    json!({
        "metadata": {
            "name": profile_spec(kernel).digest(), "labels": {"lsmready.io/node": node_name(0)},
        },
        "spec": profile_spec(kernel),
    })
}

/// The content of the other kernel's profile, under the name of this one's.
#[must_use]
pub fn false_profile(kernel: u8) -> Value {
    json!({
        "metadata": {
            "name": profile_spec(kernel).digest(), "annotations": {FALSE_PROFILE: "true"},
        },
        "spec": profile_spec(1 - kernel),
    })
}

/// The status of a report about that boot.
#[must_use]
pub fn report(report: Report, boot: &str, now: Timestamp) -> Value {
    let checks = |outcomes: [&str; 4]| {
        let rungs = ["Loaded", "Attached", "Fired", "Denied"].into_iter().zip(outcomes);
        // TracingPolicies with lsmhooks read kernel memory.
        let all = rungs.chain([("KernelReads", "Pass")]);
        all.map(|(name, outcome)| json!({"name": name, "outcome": outcome})).collect::<Value>()
    };
    let (pass, fail, unknown) = ("Pass", "Fail", "Unknown");
    let mut status = json!({
        "bootID": boot, "observedTime": seconds(now), "probeVersion": "0.1.0",
        "evidence": "Denied", "reason": "CanaryDenied", "message": "the canary denied a call",
        "checks": checks([pass; 4]),
    });
    match report {
        Report::Denied => {}
        Report::DeniedOn(kernel) => status["hookProfile"] = json!(profile_spec(kernel).digest()),
        Report::Attached => {
            status["evidence"] = json!("Attached");
            status["reason"] = json!("BpfNotInLsmList");
            status["checks"] = checks([pass, pass, fail, unknown]);
        }
        Report::Untried => {
            status["evidence"] = json!("None");
            status["reason"] = json!("ProbeNotPermitted");
            status["checks"] = checks([unknown; 4]);
        }
        Report::OldBoot => status["bootID"] = json!("an-earlier-boot"),
        Report::FailedCheck => status["checks"] = checks([pass, pass, pass, fail]),
        Report::NoChecks => status["checks"] = json!([]),
        Report::WrongReason => status["reason"] = json!("BpfNotInLsmList"),
        Report::UnknownProbe => status["probeVersion"] = json!("7.0.0"),
        Report::NewProbe => {
            status = self::report(Report::Attached, boot, now);
            status["probeVersion"] = json!("0.1.1");
        }
    }
    status
}

/// The spec of a policy.
#[must_use]
pub fn policy(policy: Policy) -> Value {
    let taint = |key: &str, effect: &str| json!({"key": key, "effect": effect});
    let at_once = |mut taint: Value| {
        taint["rollout"] = json!("AllAtOnce");
        taint
    };
    let ours = "lsmready.io/not-ready";
    let tetragon = |mount: &str| json!({"securityfs": {"mount": mount}});
    match policy {
        Policy::Plain => json!({}),
        Policy::Taint => json!({"taint": at_once(taint(ours, "NoSchedule"))}),
        Policy::SoftTaint => {
            json!({"taint": taint("readiness.k8s.io/lsmready.io-not-ready", "PreferNoSchedule")})
        }
        Policy::TaintInZone => json!({"taint": at_once(taint(ours, "PreferNoSchedule")),
            "nodeSelector": {"matchLabels": {"zone": "a"}}}),
        Policy::Hooks => json!({"require": {"hooks": ["file_open"]}}),
        Policy::TracingPolicies => json!({"require": {"tracingPolicies": {}}}),
        Policy::MinReadyOne => json!({"minReady": 1}),
        Policy::Mount => json!({"tetragon": tetragon("Auto")}),
        Policy::MountAndTaint => {
            json!({"tetragon": tetragon("Auto"), "taint": taint(ours, "NoSchedule")})
        }
        Policy::NoMount => json!({"tetragon": tetragon("Never")}),
        Policy::Suggest => {
            json!({"tetragon": {"securityfs": {"mount": "Auto", "apply": "Suggest"}}})
        }
        Policy::Window => {
            let mut tetragon = tetragon("Auto");
            // The history is on a Thursday.
            tetragon["window"] = json!({"days": ["Sun"], "start": "01:00", "duration": "1h",
                "timeZone": "UTC"});
            json!({"tetragon": tetragon})
        }
        Policy::Restarts => {
            let mut tetragon = tetragon("Auto");
            tetragon["restartStaleAgents"] = json!(true);
            json!({"tetragon": tetragon})
        }
    }
}

#[must_use]
pub const fn image(tetragon: Tetragon) -> &'static str {
    match tetragon {
        Tetragon::NeedsMount | Tetragon::MountFails => "quay.io/cilium/tetragon:v1.3.0",
        Tetragon::NeedsNoMount => "quay.io/cilium/tetragon:v1.7.0",
    }
}

/// Tetragon's DaemonSet.
#[must_use]
pub fn tetragon(tetragon: Tetragon) -> Value {
    let labels = json!({"app.kubernetes.io/name": "tetragon"});
    let mut object = json!({
        "metadata": {"name": "tetragon", "namespace": "kube-system", "labels": labels,
            "annotations": {}},
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [
                        {"name": "export-stdout", "image": "quay.io/cilium/hubble-export-stdout:v1",
                            "volumeMounts": []},
                        {"name": "tetragon", "image": image(tetragon),
                            "securityContext": {"privileged": true},
                            "volumeMounts": [{"name": "bpf-maps", "mountPath": "/sys/fs/bpf"}]},
                    ],
                    "volumes": [{"name": "bpf-maps", "hostPath": {"path": "/sys/fs/bpf"}}],
                },
            },
        },
    });
    if tetragon == Tetragon::MountFails {
        object["metadata"]["annotations"][MOUNT_FAILS] = json!("true");
    }
    object
}

/// A TracingPolicy that denies at one hook: `file_open`, or `bprm_check_security`. The third is in
/// a namespace, with a hook that no kernel has.
#[must_use]
pub fn tracing_policy(number: u8) -> Value {
    let hook = ["file_open", "bprm_check_security", "no_such_hook"][usize::from(number.min(2))];
    let mut object = json!({
        "metadata": {"name": format!("t{number}")},
        "spec": {"lsmhooks": [{"hook": hook, "args": [{"index": 0, "type": "file"}],
            "selectors": [{"matchActions": [{"action": "Override", "argError": -1}]}]}]},
    });
    if tracing_policy_kind(number) == Kind::TracingPolicyNamespaced {
        object["metadata"]["namespace"] = json!("default");
    }
    object
}

/// The kind of that TracingPolicy.
#[must_use]
pub const fn tracing_policy_kind(number: u8) -> Kind {
    if number < 2 { Kind::TracingPolicy } else { Kind::TracingPolicyNamespaced }
}
