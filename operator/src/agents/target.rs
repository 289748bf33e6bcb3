//! The key of one agent: its node, its DaemonSet and its address.

use super::tls::ServerName;
use crate::tetragon_client::Endpoints;
use crate::watch::key::DaemonSetKey;

/// One agent of Tetragon.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Target {
    pub node: String,
    pub daemon_set: DaemonSetKey,
    pub address: AgentAddress,
}

/// Where an agent is asked.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AgentAddress {
    pub endpoints: Endpoints,
    /// If set, gRPC goes over TLS, and the certificate must be for this name.
    pub tls: Option<ServerName>,
}

impl Target {
    /// The first key in order of that node and DaemonSet.
    pub fn first_of(node: &str, daemon_set: &DaemonSetKey) -> Self {
        Self {
            node: node.to_owned(),
            daemon_set: daemon_set.clone(),
            address: AgentAddress::default(),
        }
    }
}
