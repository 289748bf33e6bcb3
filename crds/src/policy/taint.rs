//! `spec.taint`: the taint for selected nodes that are not proved ready.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::TAINT_KEYS;

/// The taint for selected nodes that are not proved ready.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Taint {
    /// Key of the taint. Default: lsmready.io/not-ready. Use readiness.k8s.io/lsmready.io-not-ready
    /// where Karpenter adds nodes, and startup-taint.cluster-autoscaler.kubernetes.io/lsmready
    /// where the Cluster Autoscaler of GKE or AKS does: these autoscalers then expect the taint to
    /// go, and do not add more nodes while a new node starts. Policies with different keys each
    /// keep their own taint.
    #[serde(default)]
    pub key: TaintKey,
    /// NoSchedule: new pods are not scheduled to the node. PreferNoSchedule: the scheduler avoids
    /// the node where it can. Running pods are never evicted. Where several policies use the same
    /// key, the strongest effect applies.
    pub effect: TaintEffect,
    /// How the taint goes on after the policy was created or changed. Staged (default): if it is
    /// for more than the circuit breaker's share of the selected nodes (30 %, at least three), one
    /// tenth of these nodes gets it at once and one more tenth each minute. AllAtOnce: all of these
    /// nodes get it at once. Taints are always removed at once, and a node that joins or stops
    /// being ready later is tainted at once.
    #[serde(default)]
    pub rollout: TaintRollout,
}

/// How the taint goes on after the policy was created or changed.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum TaintRollout {
    /// By tenths of the nodes, with a minute between.
    #[default]
    Staged,
    /// On all nodes at once.
    AllAtOnce,
}

/// Key of the taint.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
pub enum TaintKey {
    /// The key with our own prefix.
    #[default]
    #[serde(rename = "lsmready.io/not-ready")]
    NotReady,
    /// The key with the prefix of the node-readiness-controller, which Karpenter treats as
    /// ephemeral.
    #[serde(rename = "readiness.k8s.io/lsmready.io-not-ready")]
    Readiness,
    /// The key with the Cluster Autoscaler's prefix for startup taints.
    #[serde(rename = "startup-taint.cluster-autoscaler.kubernetes.io/lsmready")]
    ClusterAutoscaler,
}

impl TaintKey {
    /// Every key, in the order of [`TAINT_KEYS`].
    pub const ALL: [Self; 3] = [Self::NotReady, Self::Readiness, Self::ClusterAutoscaler];

    /// The key as it is written in `Node.spec.taints`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotReady => TAINT_KEYS[0],
            Self::Readiness => TAINT_KEYS[1],
            Self::ClusterAutoscaler => TAINT_KEYS[2],
        }
    }
}

/// Effect of the taint, weakest first. The strongest effect of several policies applies.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
pub enum TaintEffect {
    /// The scheduler avoids the node where it can.
    PreferNoSchedule,
    /// New pods without a toleration are not scheduled to the node.
    NoSchedule,
}

impl TaintEffect {
    /// The effect with that name. `None` for an effect that no policy has.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        [Self::PreferNoSchedule, Self::NoSchedule].into_iter().find(|of| of.as_str() == name)
    }

    /// The effect as it is written in `Node.spec.taints`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoSchedule => "NoSchedule",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_taint_key_is_written_as_its_name() {
        assert_eq!(TaintKey::ALL.map(TaintKey::as_str), TAINT_KEYS);
        for key in TaintKey::ALL {
            assert_eq!(serde_json::to_value(key).unwrap(), key.as_str());
        }
        let taint: Taint = serde_json::from_str(r#"{"effect": "NoSchedule"}"#).unwrap();
        assert_eq!(taint.key, TaintKey::NotReady);
        assert_eq!(taint.rollout, TaintRollout::Staged);
    }
}
