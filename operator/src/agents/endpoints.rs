//! At which ports the agents of a DaemonSet can be asked.
//!
//! In: the DaemonSet and the policy's `spec.tetragon`. Out: the ports, or why the agents cannot be
//! asked. Pure. The agents' ConfigMap is not read, because that would need another right: a setting
//! that is there and not in the container shows when the agent is asked.

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Container, Node};
use lsm_ready_crds::agent_query::{Agents, Ask};
use lsm_ready_crds::policy::Tetragon;
use lsm_ready_tetragon::agent::{agent, version};
use lsm_ready_tetragon::image::MODES_SINCE;
use lsm_ready_tetragon::plan::pod;
use lsm_ready_tetragon::refusal::Refusal;

use super::target::AgentAddress;
use super::tls::{ServerName, TlsFilesError};
use crate::tetragon_client::Endpoints;

/// Port of gRPC in the ConfigMap of chart 1.3 (`server-address`).
const GRPC: u16 = 54321;
/// Port of the metrics in the ConfigMaps of charts 1.3 and 1.7 (`metrics-server`).
const METRICS: u16 = 2112;

/// The ports at which each agent is asked. At least one is set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ports {
    grpc: Option<u16>,
    metrics: Option<u16>,
    tls: Option<ServerName>,
}

/// Why the agents cannot be asked.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unreachable {
    #[error("the agents are not asked: the policy sets agents.ask: Never")]
    Never,
    #[error(transparent)]
    TlsFiles(#[from] TlsFilesError),
    #[error(
        "DaemonSet {0} does not exist: install Tetragon, or set spec.tetragon.daemonSet to its \
         namespace and name"
    )]
    NoDaemonSet(String),
    /// It is unknown which container is the agent.
    #[error("{0}")]
    NoAgent(Refusal),
    #[error(
        "the agents cannot be asked: their pods have no hostNetwork, so they do not listen at \
         their nodes' addresses, and lsm-ready may not list pods to find their own. Set \
         hostNetwork: true, as Tetragon's chart does, or remove spec.tetragon.agents"
    )]
    NoHostNetwork,
    #[error(
        "the agents cannot be asked: the container listens for {flag} at {address:?}, which only \
         its own node can reach. Set ask: Metrics, or let it listen at the node's address and \
         close that port to everything but the operator, because gRPC needs no password and can \
         delete policies"
    )]
    NodeLocal { flag: &'static str, address: String },
}

/// The ports of the agents of that DaemonSet. `key` is its namespace and name, for the error.
pub fn ports(
    key: &str,
    daemon_set: Option<&DaemonSet>,
    tetragon: &Tetragon,
    agents: &Agents,
) -> Result<Ports, Unreachable> {
    if agents.ask == Ask::Never {
        return Err(Unreachable::Never);
    }
    let pod = daemon_set.and_then(pod).ok_or_else(|| Unreachable::NoDaemonSet(key.to_owned()))?;
    let container = agent(pod, &tetragon.daemon_set.container).map_err(Unreachable::NoAgent)?;
    if pod.host_network != Some(true) {
        return Err(Unreachable::NoHostNetwork);
    }
    let grpc = || port(container, "server-address", agents.port, GRPC);
    let metrics = || port(container, "metrics-server", agents.metrics_port, METRICS);
    let tls = agents.grpc_tls().map(|tls| tls.server_name.clone());
    match agents.ask {
        Ask::Never => Err(Unreachable::Never),
        Ask::Grpc => Ok(Ports { grpc: Some(grpc()?), metrics: None, tls }),
        Ask::Metrics => Ok(Ports { grpc: None, metrics: Some(metrics()?), tls: None }),
        Ask::Auto => match (grpc(), metrics()) {
            (Err(error), Err(_)) => Err(error),
            (grpc, metrics) => Ok(Ports {
                tls: tls.filter(|_| grpc.is_ok()),
                grpc: grpc.ok(),
                metrics: metrics.ok(),
            }),
        },
    }
}

/// Whether the release of these agents has modes (enforce, monitor). Releases before 1.4 have none.
/// An unknown release is assumed to have them.
pub fn has_modes(daemon_set: &DaemonSet, container: &str) -> bool {
    version(daemon_set, container).is_none_or(|version| version >= MODES_SINCE)
}

/// The policy's port; else that of the container's flag; else that of the chart.
fn port(
    container: &Container,
    flag: &'static str,
    from_policy: Option<i32>,
    from_chart: u16,
) -> Result<u16, Unreachable> {
    let from_policy = from_policy.and_then(|port| u16::try_from(port).ok());
    let Some(address) = flag_value(container, flag) else {
        return Ok(from_policy.unwrap_or(from_chart));
    };
    match external_port(&address) {
        Some(port) => Ok(from_policy.unwrap_or(port)),
        None => Err(Unreachable::NodeLocal { flag, address }),
    }
}

/// The port of an address that other nodes can reach. Go listens at every address for `:54321`. A
/// name other than localhost may be the node's own.
fn external_port(address: &str) -> Option<u16> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_local = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    port.parse().ok().filter(|port| *port != 0 && !is_local)
}

/// The value of a flag in the container: from the last argument with that name, else from the
/// variable that Tetragon reads instead (viper's prefix `tetragon`, `_` for `-`).
fn flag_value(container: &Container, flag: &str) -> Option<String> {
    let words: Vec<&String> =
        container.command.iter().flatten().chain(container.args.iter().flatten()).collect();
    let from_argument = words.iter().enumerate().rev().find_map(|(place, word)| {
        let rest = word.strip_prefix("--")?.strip_prefix(flag)?;
        match rest.strip_prefix('=') {
            Some(value) => Some(value.to_owned()),
            None if rest.is_empty() => words.get(place + 1).map(|value| (*value).clone()),
            None => None,
        }
    });
    let variable = format!("TETRAGON_{}", flag.to_uppercase().replace('-', "_"));
    let from_variable =
        || container.env.iter().flatten().find(|env| env.name == variable)?.value.clone();
    from_argument.or_else(from_variable).filter(|value| !value.is_empty())
}

impl Ports {
    /// Where the agent of that Node is asked; `None` if the Node has no usable address.
    pub fn address_on(&self, node: &Node) -> Option<AgentAddress> {
        let ip = internal_ip(node)?;
        let socket = |port: Option<u16>| port.map(|port| SocketAddr::new(ip, port));
        let endpoints = Endpoints { grpc: socket(self.grpc), metrics: socket(self.metrics) };
        Some(AgentAddress { endpoints, tls: self.tls.clone() })
    }

    /// The expected name in the certificate, if gRPC goes over TLS.
    pub const fn tls(&self) -> Option<&ServerName> {
        self.tls.as_ref()
    }
}

/// The first InternalIP that can belong to another machine. A kubelet writes the addresses of its
/// own Node. None of them may make the operator connect to itself, or to a link-local service such
/// as a cloud's metadata server.
fn internal_ip(node: &Node) -> Option<IpAddr> {
    let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    let internal = addresses.filter(|address| address.type_ == "InternalIP");
    internal
        .filter_map(|address| address.address.parse().ok())
        .map(|ip: IpAddr| ip.to_canonical())
        .find(can_be_another_machine)
}

fn can_be_another_machine(ip: &IpAddr) -> bool {
    let is_link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || is_link_local)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn daemon_set(host_network: bool, container: &Value) -> DaemonSet {
        let mut container = container.clone();
        container["name"] = json!("tetragon");
        serde_json::from_value(json!({"spec": {"selector": {}, "template": {"spec": {
            "hostNetwork": host_network, "containers": [container]}}}}))
        .unwrap()
    }

    /// The ports of gRPC and of the metrics.
    fn ports_of(
        container: &Value,
        agents: &Value,
    ) -> Result<(Option<u16>, Option<u16>), Unreachable> {
        let agents: Agents = serde_json::from_value(agents.clone()).unwrap();
        let daemon_set = daemon_set(true, container);
        ports("kube-system/tetragon", Some(&daemon_set), &Tetragon::default(), &agents)
            .map(|ports| (ports.grpc, ports.metrics))
    }

    #[test]
    fn the_port_is_from_the_policy_else_the_container_else_the_chart() {
        let args = |args: &[&str]| json!({"args": args});
        let flags = args(&["--server-address=0.0.0.0:1", "--metrics-server", ":2"]);
        let by_variable = json!({"env": [{"name": "TETRAGON_SERVER_ADDRESS", "value": "[::]:3"}]});
        let table = [
            (json!({}), json!({}), (Some(54321), Some(2112))),
            (json!({}), json!({"ask": "Grpc", "port": 9}), (Some(9), None)),
            (json!({}), json!({"ask": "Metrics", "metricsPort": 9}), (None, Some(9))),
            (flags.clone(), json!({}), (Some(1), Some(2))),
            (flags, json!({"port": 9}), (Some(9), Some(2))),
            (by_variable, json!({}), (Some(3), Some(2112))),
            (args(&["--server-address=localhost:54321"]), json!({}), (None, Some(2112))),
            (
                args(&["--server-address=unix:///var/run/tetragon/tetragon.sock"]),
                json!({}),
                (None, Some(2112)),
            ),
            (args(&["--metrics-server=127.0.0.1:2112"]), json!({}), (Some(54321), None)),
            (args(&["--server-address="]), json!({}), (Some(54321), Some(2112))),
            (args(&["--server-address"]), json!({}), (Some(54321), Some(2112))),
            (args(&["--server-address-other=localhost:1"]), json!({}), (Some(54321), Some(2112))),
        ];
        for (container, agents, expected) in table {
            assert_eq!(ports_of(&container, &agents), Ok(expected), "{container} {agents}");
        }
    }

    #[test]
    fn tls_is_used_for_grpc_only() {
        let tls = json!({"serverName": "agent.example.com"});
        let name = Some(Some("agent.example.com".to_owned()));
        let local = json!({"args": ["--server-address=localhost:54321"]});
        let table = [
            (json!({}), json!({"tls": tls}), name.clone()),
            (json!({}), json!({"ask": "Grpc", "tls": tls}), name),
            (json!({}), json!({"tls": {}}), Some(None)),
            (json!({}), json!({}), None),
            (json!({}), json!({"ask": "Metrics", "tls": tls}), None),
            // gRPC cannot be reached, and metrics are never read over TLS.
            (local, json!({"tls": tls}), None),
        ];
        for (container, agents, expected) in table {
            let asked: Agents = serde_json::from_value(agents.clone()).unwrap();
            let daemon_set = daemon_set(true, &container);
            let ports =
                ports("kube-system/tetragon", Some(&daemon_set), &Tetragon::default(), &asked)
                    .unwrap();
            assert_eq!(ports.tls(), expected.as_ref(), "{container} {agents}");
        }
    }

    #[test]
    fn only_releases_before_1_4_lack_modes() {
        for (image, expected) in [
            ("quay.io/cilium/tetragon:v1.3.0", false),
            ("quay.io/cilium/tetragon:v1.3.99", false),
            ("quay.io/cilium/tetragon:v1.4.0-pre.0", true),
            ("quay.io/cilium/tetragon:v1.4.0", true),
            ("quay.io/cilium/tetragon:v1.7.0", true),
            ("quay.io/cilium/tetragon:latest", true),
        ] {
            assert_eq!(
                has_modes(&daemon_set(true, &json!({ "image": image })), "tetragon"),
                expected,
                "{image}"
            );
        }
    }

    #[test]
    fn each_cause_why_agents_cannot_be_asked_is_found() {
        let local =
            json!({"args": ["--server-address=[::1]:54321", "--metrics-server=localhost:2112"]});
        for ask in ["Auto", "Grpc"] {
            let error = ports_of(&local, &json!({"ask": ask})).unwrap_err();
            assert!(
                matches!(error, Unreachable::NodeLocal { flag: "server-address", .. }),
                "{error:?}"
            );
        }
        assert!(
            ports_of(&local, &json!({"ask": "Metrics"}))
                .unwrap_err()
                .to_string()
                .contains("metrics-server")
        );
        assert_eq!(ports_of(&json!({}), &json!({"ask": "Never"})), Err(Unreachable::Never));
        let asked = |daemon_set: Option<DaemonSet>| {
            ports("a/b", daemon_set.as_ref(), &Tetragon::default(), &Agents::default()).unwrap_err()
        };
        assert_eq!(asked(None), Unreachable::NoDaemonSet("a/b".into()));
        assert_eq!(asked(Some(daemon_set(false, &json!({})))), Unreachable::NoHostNetwork);
        assert!(matches!(asked(Some(DaemonSet::default())), Unreachable::NoDaemonSet(_)));
    }

    #[test]
    fn addresses_of_the_operator_itself_are_refused() {
        let node = |addresses: &[(&str, &str)]| -> Node {
            let addresses: Vec<Value> = addresses
                .iter()
                .map(|(type_, address)| json!({"type": type_, "address": address}))
                .collect();
            serde_json::from_value(json!({"status": {"addresses": addresses}})).unwrap()
        };
        let internal = |address| node(&[("InternalIP", address)]);
        for refused in [
            "127.0.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "::1",
            "::ffff:127.0.0.1",
            "fe80::1",
            "224.0.0.1",
            "x",
        ] {
            assert_eq!(internal_ip(&internal(refused)), None, "{refused}");
        }
        let both =
            node(&[("ExternalIP", "1.2.3.4"), ("Hostname", "n1"), ("InternalIP", "fd00::7")]);
        let ports = Ports { grpc: Some(1), metrics: None, tls: None };
        let endpoints = Endpoints { grpc: Some("[fd00::7]:1".parse().unwrap()), metrics: None };
        let expected = AgentAddress { endpoints, tls: None };
        assert_eq!(ports.address_on(&both), Some(expected));
        assert_eq!(ports.address_on(&Node::default()), None);
    }
}
