//! Every name that lsm-ready uses in a cluster: labels, taints, condition types, field managers,
//! volumes.
//!
//! The names are part of the API: people select on them, and the admission policies in `config/`
//! repeat them.

/// Prefix of every key and name that is ours alone, of whatever version.
pub const DOMAIN_PREFIX: &str = "lsmready.io/";

/// API group of our kinds.
pub const GROUP: &str = "lsmready.io";

/// What the names of all objects begin with that are installed for lsm-ready.
pub const INSTALLATION_PREFIX: &str = "lsm-ready-";

/// Namespace of the manifests in `config/`.
pub const NAMESPACE: &str = "lsm-ready-system";

/// Name of the Job in `config/cleanup`, and of all objects that it needs.
pub const CLEANUP_JOB: &str = "lsm-ready-cleanup";

/// `ServiceAccount`, `ClusterRole` and `ClusterRoleBinding` of the operator.
pub const OPERATOR_ACCOUNT: &str = "lsm-ready-operator";

/// Finalizer of the few objects without which the operator cannot clean up: its rights. The leader
/// sets it, and removes it at its end.
pub const FINALIZER: &str = "lsmready.io/cleanup";

/// Prefix of all node labels. The `NodeRestriction` admission plugin does not let kubelets set
/// labels with the suffix `node-restriction.kubernetes.io`, so a node cannot label itself ready.
/// See
/// <https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction>.
pub const NODE_LABEL_PREFIX: &str = "lsmready.node-restriction.kubernetes.io/";

/// Node label with the values `true|false|unknown`: whether the node could deny through LSM BPF in
/// this boot.
pub const BPF_LABEL: &str = "lsmready.node-restriction.kubernetes.io/bpf";

/// Prefix of the node labels `policy.<LsmPolicy>`, with the values `ready|not-ready|unknown`.
pub const POLICY_LABEL_PREFIX: &str = "lsmready.node-restriction.kubernetes.io/policy.";

/// Maximum length of a policy's name. A label's name has at most 63 characters, and `policy.` needs
/// seven.
pub const POLICY_NAME_MAX: usize = 56;

/// Every taint key that a policy can ask for, the default first. Taints with other keys are never
/// changed. The admission policy for Nodes repeats this list.
pub const TAINT_KEYS: [&str; 3] = [
    "lsmready.io/not-ready",
    "readiness.k8s.io/lsmready.io-not-ready",
    "startup-taint.cluster-autoscaler.kubernetes.io/lsmready",
];

/// Type of the condition that the operator writes to Nodes.
pub const NODE_CONDITION: &str = "lsmready.io/LsmBpfReady";

/// Types of Node conditions that earlier versions wrote. No version writes them any more, and the
/// cleanup removes them. A type that is renamed stays here for at least one minor release.
pub const RETIRED_NODE_CONDITIONS: [&str; 1] = ["LsmBpfReady"];

/// Field manager of the operator's writes.
pub const FIELD_MANAGER: &str = "lsm-ready";

/// Field manager of the probe's writes.
pub const PROBE_FIELD_MANAGER: &str = "lsm-ready-probe";

/// Label on a `DaemonSet` whose pod template has our securityfs volume. By the label the operator
/// finds the mounts that it has to remove.
pub const DAEMON_SET_LABEL: &str = "lsmready.io/securityfs";

/// Annotation by which the owner of a `DaemonSet` that is not on the operator's list allows
/// lsm-ready to add the mount to it: [`ALLOW`]. It has the key of [`DAEMON_SET_LABEL`].
pub const ALLOW_ANNOTATION: &str = "lsmready.io/securityfs";

/// The value of [`ALLOW_ANNOTATION`] that allows it.
pub const ALLOW: &str = "allow";

/// Annotation by which the owner of a `DaemonSet` overrides the policies' windows: `allow` lets
/// lsm-ready change the `DaemonSet` now, `hold` forbids it.
pub const APPLY_ANNOTATION: &str = "lsmready.io/apply";

/// Annotation on any `LsmPolicy`, or on the Lease of the operator, by which a person ends the
/// holding of changes: with the value [`BREAKER_RELEASE`] the circuit breaker stays closed.
pub const BREAKER_ANNOTATION: &str = "lsmready.io/breaker";

/// Annotation that the leader sets on its Lease while the circuit breaker is open. It says what is
/// held and why.
pub const BREAKER_OPEN_ANNOTATION: &str = "lsmready.io/breaker-open";

/// Value of [`BREAKER_ANNOTATION`].
pub const BREAKER_RELEASE: &str = "release";

/// Maximum number of policies that count in a cluster, and so of policy labels on a Node: the
/// oldest ones.
pub const MAX_POLICIES: usize = 100;

/// Name of the volume that gives Tetragon's container the host's securityfs.
pub const SECURITYFS_VOLUME: &str = "lsm-ready-securityfs";

/// Mount point of securityfs, on the host and in the container.
pub const SECURITYFS_PATH: &str = "/sys/kernel/security";

/// Key of the node label for the policy with that name.
#[must_use]
pub fn policy_label(policy: &str) -> String {
    format!("{POLICY_LABEL_PREFIX}{policy}")
}

/// Interval at which a probe renews an unchanged report, before jitter.
pub const RENEW_SECONDS: i64 = 30 * 60;

/// Time after which a probe that does not renew its report counts as silent: three intervals.
pub const STALE_AFTER_SECONDS: i64 = 3 * RENEW_SECONDS;

#[cfg(test)]
mod tests {
    use super::*;

    /// A retired name that is used again would be removed while it is needed.
    #[test]
    fn no_retired_name_is_in_use() {
        assert!(!RETIRED_NODE_CONDITIONS.contains(&NODE_CONDITION));
    }

    /// A version removes what the next or the previous one wrote, because the prefixes stay.
    #[test]
    fn every_name_in_use_has_a_prefix_that_other_versions_know() {
        for name in [NODE_CONDITION, DAEMON_SET_LABEL, APPLY_ANNOTATION, FINALIZER] {
            assert!(name.starts_with(DOMAIN_PREFIX), "{name}");
        }
        assert!(BPF_LABEL.starts_with(NODE_LABEL_PREFIX));
        assert!(policy_label("x").starts_with(NODE_LABEL_PREFIX));
        assert!(TAINT_KEYS.iter().all(|key| key.contains("lsmready")), "{TAINT_KEYS:?}");
    }
}
