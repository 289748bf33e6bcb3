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
    validation = Rule::new("!has(self.tls) || self.ask != 'Metrics'").message("tls is about gRPC, which ask: Metrics leaves alone: remove it, or say ask: Auto"),
    validation = Rule::new("!has(self.metricsPort) || self.ask != 'Grpc'").message("metricsPort is that of the metrics, which ask: Grpc leaves alone: remove it, or say ask: Auto")
)]
pub struct Agents {
    /// Auto (default): gRPC, and the metrics where gRPC is not answered. Metrics: which policies there are and how many are
    /// in which state, which Tetragon's chart serves to the nodes' network as it is; whether they enforce or only monitor is
    /// not known then. Grpc: each policy's state, mode and error; Tetragon answers it on the node alone unless its owner lets
    /// it listen on the node's address, where without TLS whoever reaches the port may also delete policies: keep it closed
    /// to all but the operator. Never: the agents are not asked for now.
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

    /// Ask by gRPC over TLS, with the certificates that are mounted into the operator's pod (config/agent-tls): the CA of the
    /// agents' certificates, and a client certificate where the agents require one. For agents with server-tls-cert-file
    /// (Tetragon after 1.8.0-pre.0). Absent: gRPC without TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<AgentTls>,
}

/// gRPC over TLS.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentTls {
    /// The DNS name or IP address that the agents' certificates must have, for example agent.tetragon-grpc.cilium.io with
    /// the certificates of Tetragon's chart, which are for *.tetragon-grpc.cilium.io. Absent: each agent's certificate must
    /// have the address of its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub server_name: Option<String>,
}

impl Agents {
    /// TLS, where gRPC is asked over it.
    #[must_use]
    pub fn grpc_tls(&self) -> Option<&AgentTls> {
        self.tls.as_ref().filter(|_| matches!(self.ask, Ask::Auto | Ask::Grpc))
    }
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
