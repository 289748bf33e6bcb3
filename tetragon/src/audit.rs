//! What the agent's container may do beyond what its work needs.
//!
//! In: the DaemonSet and the container's name. Out: findings, the weightiest first, each once and with its fix. They are
//! advice: Tetragon's chart makes the agent privileged by default, and no policy is held up by it.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use lsm_ready_crds::names::SECURITYFS_PATH;

use crate::agent::agent;
use crate::image::Image;
use crate::plan::pod;
use crate::reason;
use crate::refusal::Refusal;
use crate::view::{Access, Mounted, View, view};

/// What an agent's work needs of the kernel (capabilities(7)): loading tracing programs (BPF, PERFMON; SYS_ADMIN before
/// 5.8, and for walking the programs that are loaded), the memory lock of kernels before 5.11 (SYS_RESOURCE), the kernel's
/// symbols (SYSLOG), and the files of other processes below /proc (SYS_PTRACE, DAC_READ_SEARCH). Tetragon documents no
/// list of its own.
const NEEDED: [&str; 7] = ["BPF", "PERFMON", "SYS_ADMIN", "SYS_RESOURCE", "SYSLOG", "SYS_PTRACE", "DAC_READ_SEARCH"];

/// Something that the container may do and need not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Excess {
    /// The condition's reason.
    pub reason: &'static str,
    /// What it is, and what to change.
    pub message: String,
}

/// What is found about the agent of that DaemonSet.
///
/// # Errors
/// Where there is no such container.
pub fn audit(daemon_set: &DaemonSet, container: &str) -> Result<Vec<Excess>, Refusal> {
    let empty = PodSpec::default();
    let pod = pod(daemon_set).unwrap_or(&empty);
    let container = agent(pod, container)?;
    let mounted = match view(pod, container, false) {
        View::Ours(mounted) | View::Theirs(mounted) => Some(mounted),
        View::Nothing | View::Inside(_) | View::Hidden(_) => None,
    };
    let found = [
        privileged(container),
        host_pid(pod),
        capabilities(container),
        mounted.as_ref().and_then(writable),
        mounted.as_ref().and_then(propagated),
        seccomp(pod, container),
        mutable_tag(container),
    ];
    let excess = |(reason, message)| Excess { reason, message };
    Ok(found.into_iter().flatten().map(excess).collect())
}

type Found = Option<(&'static str, String)>;

fn is_privileged(container: &Container) -> bool {
    container.security_context.as_ref().and_then(|context| context.privileged) == Some(true)
}

fn privileged(container: &Container) -> Found {
    is_privileged(container).then(|| {
        let message = format!(
            "container {} is privileged, as Tetragon's chart makes it, and may do everything on its node: where your \
             policies work without, set tetragon.securityContext to privileged: false and the capabilities {}, on one node \
             first; the agent then mounts securityfs no longer itself, and mount: Auto adds it",
            container.name,
            NEEDED.join(", ")
        );
        (reason::PRIVILEGED, message)
    })
}

fn host_pid(pod: &PodSpec) -> Found {
    (pod.host_pid == Some(true)).then(|| {
        let message = "the pod shares the host's process IDs (hostPID): remove that, as the agent reads the host's \
                       processes through its mount of /proc";
        (reason::HOST_PID, message.to_owned())
    })
}

/// A privileged container has all of them, whatever is added.
fn capabilities(container: &Container) -> Found {
    let added = container.security_context.as_ref()?.capabilities.as_ref()?.add.as_ref()?;
    let bare = |name: &String| name.strip_prefix("CAP_").unwrap_or(name).to_owned();
    let beyond: Vec<String> = added.iter().map(bare).filter(|name| !NEEDED.contains(&name.as_str())).collect();
    (!beyond.is_empty() && !is_privileged(container)).then(|| {
        let message = format!(
            "container {} is given capabilities that an agent does not need ({}): add none but {}",
            container.name,
            beyond.join(", "),
            NEEDED.join(", ")
        );
        (reason::CAPABILITIES, message)
    })
}

fn writable(mounted: &Mounted) -> Found {
    let fix = match mounted.access {
        Access::ReadOnly => return None,
        Access::Writable => "set readOnly: true",
        Access::WritableBelow => "mount that directory itself, or set recursiveReadOnly: Enabled",
    };
    let message = format!(
        "volume {} at {} leaves {SECURITYFS_PATH} writable, through which security modules are configured: {fix}",
        mounted.volume, mounted.path
    );
    Some((reason::SECURITYFS_WRITABLE, message))
}

fn propagated(mounted: &Mounted) -> Found {
    mounted.bidirectional.then(|| {
        let message = format!(
            "what the container mounts below volume {} at {} appears on the host: leave out mountPropagation there",
            mounted.volume, mounted.path
        );
        (reason::SECURITYFS_PROPAGATED, message)
    })
}

/// A privileged container runs without seccomp, whatever is said
/// (<https://kubernetes.io/docs/tutorials/security/seccomp/>).
fn seccomp(pod: &PodSpec, container: &Container) -> Found {
    let own = container.security_context.as_ref().and_then(|context| context.seccomp_profile.as_ref());
    let pods = || pod.security_context.as_ref().and_then(|context| context.seccomp_profile.as_ref());
    let confined = own.or_else(pods).is_some_and(|profile| profile.type_ != "Unconfined");
    (!confined && !is_privileged(container)).then(|| {
        let message = format!(
            "container {} runs without a seccomp profile: set seccompProfile to type: RuntimeDefault, which lets BPF \
             through where CAP_BPF is given",
            container.name
        );
        (reason::NO_SECCOMP, message)
    })
}

fn mutable_tag(container: &Container) -> Found {
    let image = container.image.as_deref().unwrap_or_default();
    (!Image::parse(image).is_settled()).then(|| {
        let message = format!(
            "image {image:?} names no digest and no full release, so it may become another one at any restart: give the \
             release (v1.7.0) or, better, its digest"
        );
        (reason::MUTABLE_TAG, message)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const TIDY: &str = "quay.io/cilium/tetragon:v1.7.0";

    /// The reasons that are found for an agent with that image, security context, pod and mount of securityfs.
    fn found(image: &str, context: &Value, pod: &Value, mount: &Value) -> Vec<&'static str> {
        let mut spec = json!({"containers": [{"name": "tetragon", "image": image, "securityContext": context}]});
        for (field, value) in pod.as_object().unwrap() {
            spec[field] = value.clone();
        }
        if let Some(path) = mount["mountPath"].as_str() {
            spec["volumes"] = json!([{"name": "sys", "hostPath": {"path": path}}]);
            spec["containers"][0]["volumeMounts"] = json!([mount]);
        }
        let object = json!({"spec": {"selector": {}, "template": {"spec": spec}}});
        let object: DaemonSet = serde_json::from_value(object).unwrap();
        audit(&object, "tetragon").unwrap().into_iter().map(|excess| excess.reason).collect()
    }

    fn confined(add: &[&str]) -> Value {
        json!({"capabilities": {"add": add}, "seccompProfile": {"type": "RuntimeDefault"}})
    }

    #[test]
    fn each_excess_is_found() {
        let (nothing, tidy) = (json!({}), confined(&["BPF", "CAP_PERFMON"]));
        let mount = |path: &str, further: Value| {
            let mut mount = further;
            mount["name"] = json!("sys");
            mount["mountPath"] = json!(path);
            mount
        };
        let read_only = mount("/sys/kernel/security", json!({"readOnly": true}));
        let both = mount("/sys/kernel/security", json!({"mountPropagation": "Bidirectional"}));
        let unconfined = json!({"seccompProfile": {"type": "Unconfined"}});
        let by_pod = json!({"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}});
        let privileged = json!({"privileged": true, "capabilities": {"add": ["ALL"]}});
        for (context, pod, mount, expected) in [
            (&tidy, &nothing, &nothing, &[][..]),
            (&tidy, &nothing, &read_only, &[]),
            // All capabilities and no seccomp are part of being privileged, and told by that once.
            (&privileged, &nothing, &nothing, &[reason::PRIVILEGED]),
            (&tidy, &json!({"hostPID": true}), &nothing, &[reason::HOST_PID]),
            (&confined(&["BPF", "NET_RAW", "CAP_SYS_MODULE"]), &nothing, &nothing, &[reason::CAPABILITIES]),
            (&confined(&["ALL"]), &nothing, &nothing, &[reason::CAPABILITIES]),
            (&tidy, &nothing, &mount("/sys", json!({"readOnly": true})), &[reason::SECURITYFS_WRITABLE]),
            (&tidy, &nothing, &both, &[reason::SECURITYFS_WRITABLE, reason::SECURITYFS_PROPAGATED]),
            (&nothing, &nothing, &nothing, &[reason::NO_SECCOMP]),
            (&unconfined, &by_pod, &nothing, &[reason::NO_SECCOMP]),
            (&nothing, &by_pod, &nothing, &[]),
        ] {
            assert_eq!(found(TIDY, context, pod, mount), expected, "{context} {pod} {mount}");
        }
    }

    #[test]
    fn an_image_is_settled_by_a_digest_or_a_full_release() {
        let mutable = |image: &str| found(image, &confined(&[]), &json!({}), &json!({})) == [reason::MUTABLE_TAG];
        for settled in [TIDY, "t:1.7.0", "t:v1.7.0-ubi9", "t:latest@sha256:aa", "t@sha256:aa"] {
            assert!(!mutable(settled), "{settled}");
        }
        for image in ["t", "t:latest", "t:main", "t:v1.7", "t:8f3ac1e", ""] {
            assert!(mutable(image), "{image}");
        }
    }

    #[test]
    fn each_says_what_to_change() {
        let object = json!({"spec": {"selector": {}, "template": {"spec": {"hostPID": true, "containers": [
            {"name": "tetragon", "image": "t", "securityContext": {"privileged": true}}]}}}});
        let object: DaemonSet = serde_json::from_value(object).unwrap();
        let found = audit(&object, "tetragon").unwrap();
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(|excess| excess.message.contains(": ")), "{found:?}");
        assert!(matches!(audit(&object, "agent"), Err(Refusal::ContainerNotFound { .. })));
    }
}
