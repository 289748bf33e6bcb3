//! `spec.tetragon.agents`: whether and how Tetragon's agents are asked what they have loaded.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

// `kubectl explain lsmpolicy.spec.tetragon.agents` prints the comments of these types.

/// Whether and how each selected node's agent is asked which TracingPolicies it has loaded.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.port) || self.ask != 'Metrics'").message("port is that of gRPC, which ask: Metrics leaves alone: remove it, or say metricsPort"),
    validation = Rule::new("!has(self.metricsPort) || self.ask != 'Grpc'").message("metricsPort is that of the metrics, which ask: Grpc leaves alone: remove it, or say ask: Auto")
)]
pub struct Agents {
    /// Auto (default): gRPC, and the metrics where gRPC is not answered. Metrics: only how many policies are in which
    /// state, which Tetragon's chart serves to the nodes' network as it is. Grpc: also which policy and why; Tetragon
    /// answers it on the node alone unless its owner lets it listen on the node's address, where whoever reaches the port
    /// may also delete policies: keep it closed to all but the operator. Never: the agents are not asked for now.
    #[serde(default)]
    pub ask: Ask,

    /// TCP port of the agents' gRPC on the nodes' addresses. Absent: that of the container's --server-address, else
    /// 54321.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,

    /// TCP port of the agents' metrics on the nodes' addresses. Absent: that of the container's --metrics-server, else
    /// 2112.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub metrics_port: Option<i32>,
}

/// How agents are asked.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Ask {
    /// Not at all.
    Never,
    /// By gRPC, else by their metrics.
    #[default]
    Auto,
    /// By gRPC alone.
    Grpc,
    /// By their metrics alone.
    Metrics,
}
