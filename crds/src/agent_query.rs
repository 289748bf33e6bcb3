//! `spec.tetragon.agents`: whether and how the operator asks Tetragon's agents which policies they
//! have loaded.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

// `kubectl explain lsmpolicy.spec.tetragon.agents` prints the doc comments of these types.

/// Whether and how the operator asks the agent on each selected node which TracingPolicies it has
/// loaded.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.port) || self.ask != 'Metrics'")
        .message("port is the gRPC port, and ask: Metrics does not use gRPC: remove it, or use metricsPort"),
    validation = Rule::new("!has(self.tls) || self.ask != 'Metrics'")
        .message("tls is for gRPC, and ask: Metrics does not use gRPC: remove it, or use ask: Auto"),
    validation = Rule::new("!has(self.metricsPort) || self.ask != 'Grpc'")
        .message("metricsPort is for metrics, and ask: Grpc does not use them: remove it, or use ask: Auto")
)]
pub struct Agents {
    /// Auto (default): ask by gRPC, and read the metrics where gRPC does not answer. Metrics: read
    /// the metrics only. They list the policies and count their states, but do not show whether a
    /// policy enforces or only monitors. Tetragon's chart serves them on the node's network by
    /// default. Grpc: ask by gRPC only, which shows each policy's state, mode and error. By default
    /// Tetragon answers gRPC only on the node itself. If it listens on the node's address without
    /// TLS, everyone who reaches the port can also delete policies, so let only the operator reach
    /// it. Never: do not ask the agents.
    #[serde(default)]
    pub ask: Ask,

    /// TCP port of the agents' gRPC server on the nodes' addresses. Absent: the port in the
    /// container's --server-address, or 54321.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,

    /// TCP port of the agents' metrics on the nodes' addresses. Absent: the port in the container's
    /// --metrics-server, or 2112.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub metrics_port: Option<i32>,

    /// Use TLS for gRPC, with the certificates that config/agent-tls mounts into the operator's
    /// pod: the CA of the agents' certificates, and a client certificate where the agents require
    /// one. For agents with server-tls-cert-file (Tetragon after 1.8.0-pre.0). Absent: gRPC without
    /// TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<AgentTls>,
}

/// TLS for gRPC.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentTls {
    /// The DNS name or IP address that the agents' certificates must have. The certificates of
    /// Tetragon's chart are for *.tetragon-grpc.cilium.io; with them use
    /// agent.tetragon-grpc.cilium.io. Absent: each agent's certificate must have the address of its
    /// node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub server_name: Option<String>,
}

impl Agents {
    /// The TLS settings, where the agents are asked by gRPC over TLS.
    #[must_use]
    pub fn grpc_tls(&self) -> Option<&AgentTls> {
        self.tls.as_ref().filter(|_| matches!(self.ask, Ask::Auto | Ask::Grpc))
    }
}

/// How the agents are asked.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Ask {
    /// The agents are not asked.
    Never,
    /// By gRPC, or by their metrics where gRPC does not answer.
    #[default]
    Auto,
    /// By gRPC only.
    Grpc,
    /// By their metrics only.
    Metrics,
}
