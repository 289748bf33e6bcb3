//! Every name by which lsm-ready is seen in a cluster: labels, taint, condition types, field managers, volumes.
//!
//! They are part of the API: people select on them, and the admission policies in `config/` repeat them.

/// Prefix of all node labels. `node-restriction.kubernetes.io` is the suffix that the `NodeRestriction` admission plugin
/// forbids to kubelets, so a node cannot label itself ready
/// (<https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction>).
pub const NODE_LABEL_PREFIX: &str = "lsmready.node-restriction.kubernetes.io/";

/// Node label `true|false|unknown`: did this boot of this node deny something through LSM BPF?
pub const BPF_LABEL: &str = "lsmready.node-restriction.kubernetes.io/bpf";

/// Prefix of the node labels `policy.<LsmPolicy>`, with the values `ready|not-ready|unknown`.
pub const POLICY_LABEL_PREFIX: &str = "lsmready.node-restriction.kubernetes.io/policy.";

/// A policy's name has to fit into a label key behind `policy.`: 63 characters less those seven.
pub const POLICY_NAME_MAX: usize = 56;

/// Every taint key that a policy can ask for, the default first. Taints with other keys are never
/// changed. The admission policy for Nodes repeats this list.
pub const TAINT_KEYS: [&str; 3] = [
    "lsmready.io/not-ready",
    "readiness.k8s.io/lsmready.io-not-ready",
    "startup-taint.cluster-autoscaler.kubernetes.io/lsmready",
];

/// Type of the `NodeCondition`.
pub const NODE_CONDITION: &str = "lsmready.io/LsmBpfReady";

/// Field manager of the operator's writes.
pub const FIELD_MANAGER: &str = "lsm-ready";

/// Field manager of the probe's writes.
pub const PROBE_FIELD_MANAGER: &str = "lsm-ready-probe";

/// Label on a `DaemonSet` whose pod template carries our securityfs volume: by it we find what to give back.
pub const DAEMON_SET_LABEL: &str = "lsmready.io/securityfs";

/// Annotation by which the owner of a `DaemonSet` says whether lsm-ready may change it now: `allow`, whatever the policies'
/// windows say, or `hold`.
pub const APPLY_ANNOTATION: &str = "lsmready.io/apply";

/// Name of the volume that gives Tetragon's container the host's securityfs.
pub const SECURITYFS_VOLUME: &str = "lsm-ready-securityfs";

/// Where securityfs lives, on the host and in the container.
pub const SECURITYFS_PATH: &str = "/sys/kernel/security";

/// The key of the node label for the policy of that name.
#[must_use]
pub fn policy_label(policy: &str) -> String {
    format!("{POLICY_LABEL_PREFIX}{policy}")
}

/// How often a probe renews an unchanged report, before jitter.
pub const RENEW_SECONDS: i64 = 30 * 60;

/// After so long without a renewal a probe counts as silent: three periods.
pub const STALE_AFTER_SECONDS: i64 = 3 * RENEW_SECONDS;
