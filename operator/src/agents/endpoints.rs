//! Source the agents of a DaemonSet can be asked: at which ports of their nodes' addresses.
//!
//! In: the DaemonSet and the policy's `spec.tetragon`. Out: the ports, or why nobody can be asked. Pure. The agents'
//! ConfigMap is not read, as that would be a right more: what is said there and not in the container is found out by
//! asking.

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Container, Node};
use lsm_ready_crds::agent_query::{Agents, Ask};
use lsm_ready_crds::policy::Tetragon;
use lsm_ready_tetragon::agent::{agent, version};
use lsm_ready_tetragon::image::MODES_SINCE;
use lsm_ready_tetragon::plan::pod;
use lsm_ready_tetragon::refusal::Refusal;

use super::questions::At;
use super::tls::ServerName;

/// Port of gRPC in the ConfigMap of chart 1.3 (`server-address`).
const GRPC: u16 = 54321;
/// Port of the metrics in the ConfigMaps of charts 1.3 and 1.7 (`metrics-server`).
const METRICS: u16 = 2112;

/// The ports at which each agent is asked; at least one is there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Way {
    grpc: Option<u16>,
    metrics: Option<u16>,
    tls: Option<ServerName>,
}

/// AskError the agents are not asked.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotAskable {
    /// The policy says so.
    #[error("the policy says agents.ask: Never")]
    Never,
    /// The files for TLS cannot be used.
    #[error("{0}")]
    TlsFiles(String),
    /// There is no DaemonSet.
    #[error(
        "there is no DaemonSet {0}: set spec.tetragon.daemonSet to Tetragon's namespace and name, or install it"
    )]
    NoDaemonSet(String),
    /// Which container is the agent is not known.
    #[error("{0}")]
    NoAgent(Refusal),
    /// The pods have addresses of their own.
    #[error(
        "the agents' pods have no hostNetwork, so they do not answer at their nodes' addresses, and their own are not known: \
         lsm-ready may not list pods. Tetragon's chart sets hostNetwork: true; else remove spec.tetragon.agents"
    )]
    NoHostNetwork,
    /// They listen where only their own node gets to.
    #[error(
        "the container listens for {flag} at {address:?}, which only its own node reaches: say ask: Metrics, or let it listen \
         at the node's address with that port closed to all but the operator, as gRPC asks for no password and deletes policies"
    )]
    OnTheNodeOnly {
        /// The flag.
        flag: &'static str,
        /// Its value.
        address: String,
    },
}

/// Source the agents of that DaemonSet are asked.
///
/// # Errors
/// AskError they are not.
pub fn way(
    key: &str,
    daemon_set: Option<&DaemonSet>,
    own: &Tetragon,
    agents: &Agents,
) -> Result<Way, NotAskable> {
    if agents.ask == Ask::Never {
        return Err(NotAskable::Never);
    }
    let pod = daemon_set.and_then(pod).ok_or_else(|| NotAskable::NoDaemonSet(key.to_owned()))?;
    let container = agent(pod, &own.daemon_set.container).map_err(NotAskable::NoAgent)?;
    if pod.host_network != Some(true) {
        return Err(NotAskable::NoHostNetwork);
    }
    let grpc = || listens(container, "server-address", agents.port, GRPC);
    let metrics = || listens(container, "metrics-server", agents.metrics_port, METRICS);
    let tls = agents.grpc_tls().map(|tls| tls.server_name.clone());
    match agents.ask {
        Ask::Never => Err(NotAskable::Never),
        Ask::Grpc => Ok(Way { grpc: Some(grpc()?), metrics: None, tls }),
        Ask::Metrics => Ok(Way { grpc: None, metrics: Some(metrics()?), tls: None }),
        Ask::Auto => match (grpc(), metrics()) {
            (Err(why), Err(_)) => Err(why),
            (grpc, metrics) => Ok(Way {
                tls: tls.filter(|_| grpc.is_ok()),
                grpc: grpc.ok(),
                metrics: metrics.ok(),
            }),
        },
    }
}

/// Whether the release of these agents has modes (enforce, monitor). Releases before 1.4 have none; of a release that is
/// not known it is assumed.
pub fn has_modes(daemon_set: &DaemonSet, container: &str) -> bool {
    version(daemon_set, container).is_none_or(|version| version >= MODES_SINCE)
}

/// The port: the policy's, else that of the container's own flag, else the charts'.
fn listens(
    container: &Container,
    flag: &'static str,
    asked: Option<i32>,
    chart: u16,
) -> Result<u16, NotAskable> {
    let asked = asked.and_then(|port| u16::try_from(port).ok());
    let Some(address) = told(container, flag) else {
        return Ok(asked.unwrap_or(chart));
    };
    match outside_port(&address) {
        Some(port) => Ok(asked.unwrap_or(port)),
        None => Err(NotAskable::OnTheNodeOnly { flag, address }),
    }
}

/// The port of an address at which others are answered too. Go takes `:54321` for every address. A name other than
/// localhost may be the node's own.
fn outside_port(address: &str) -> Option<u16> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let inside = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    port.parse().ok().filter(|port| *port != 0 && !inside)
}

/// What the container itself says of a flag: by an argument, which counts first, or by the variable that Tetragon reads
/// in its place (viper's prefix `tetragon`, `-` as `_`).
fn told(container: &Container, flag: &str) -> Option<String> {
    let words: Vec<&String> =
        container.command.iter().flatten().chain(container.args.iter().flatten()).collect();
    let by_argument = words.iter().enumerate().rev().find_map(|(place, word)| {
        let rest = word.strip_prefix("--")?.strip_prefix(flag)?;
        match rest.strip_prefix('=') {
            Some(value) => Some(value.to_owned()),
            None if rest.is_empty() => words.get(place + 1).map(|value| (*value).clone()),
            None => None,
        }
    });
    let variable = format!("TETRAGON_{}", flag.to_uppercase().replace('-', "_"));
    let by_variable =
        || container.env.iter().flatten().find(|env| env.name == variable)?.value.clone();
    by_argument.or_else(by_variable).filter(|value| !value.is_empty())
}

impl Way {
    /// Where the agent of that Node is asked; none where the Node has no address for it.
    pub fn to(&self, node: &Node) -> Option<At> {
        let address = address(node)?;
        let at = |port: Option<u16>| port.map(|port| SocketAddr::new(address, port));
        Some(At { grpc: at(self.grpc), metrics: at(self.metrics), tls: self.tls.clone() })
    }

    /// The server name, where gRPC goes over TLS.
    pub const fn tls(&self) -> Option<&ServerName> {
        self.tls.as_ref()
    }
}

/// The first InternalIP that can be another machine's. A kubelet writes its own Node's addresses: none may make the
/// operator talk to itself or to what answers at link-local addresses, as clouds' metadata services do.
fn address(node: &Node) -> Option<IpAddr> {
    let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    let internal = addresses.filter(|address| address.type_ == "InternalIP");
    internal
        .filter_map(|address| address.address.parse().ok())
        .map(|ip: IpAddr| ip.to_canonical())
        .find(is_elsewhere)
}

fn is_elsewhere(ip: &IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || link_local)
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

    fn ways(container: &Value, agents: &Value) -> Result<(Option<u16>, Option<u16>), NotAskable> {
        let agents: Agents = serde_json::from_value(agents.clone()).unwrap();
        let daemon_set = daemon_set(true, container);
        way("kube-system/tetragon", Some(&daemon_set), &Tetragon::default(), &agents)
            .map(|way| (way.grpc, way.metrics))
    }

    #[test]
    fn the_policys_port_then_the_containers_then_the_charts() {
        let args = |args: &[&str]| json!({"args": args});
        let told = args(&["--server-address=0.0.0.0:1", "--metrics-server", ":2"]);
        let by_variable = json!({"env": [{"name": "TETRAGON_SERVER_ADDRESS", "value": "[::]:3"}]});
        let table = [
            (json!({}), json!({}), (Some(54321), Some(2112))),
            (json!({}), json!({"ask": "Grpc", "port": 9}), (Some(9), None)),
            (json!({}), json!({"ask": "Metrics", "metricsPort": 9}), (None, Some(9))),
            (told.clone(), json!({}), (Some(1), Some(2))),
            (told, json!({"port": 9}), (Some(9), Some(2))),
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
            assert_eq!(ways(&container, &agents), Ok(expected), "{container} {agents}");
        }
    }

    #[test]
    fn tls_is_for_grpc_alone() {
        let tls = json!({"serverName": "agent.example.com"});
        let name = Some(Some("agent.example.com".to_owned()));
        let local = json!({"args": ["--server-address=localhost:54321"]});
        let table = [
            (json!({}), json!({"tls": tls}), name.clone()),
            (json!({}), json!({"ask": "Grpc", "tls": tls}), name),
            (json!({}), json!({"tls": {}}), Some(None)),
            (json!({}), json!({}), None),
            (json!({}), json!({"ask": "Metrics", "tls": tls}), None),
            // gRPC is not reached, and the metrics are never over TLS.
            (local, json!({"tls": tls}), None),
        ];
        for (container, agents, expected) in table {
            let asked: Agents = serde_json::from_value(agents.clone()).unwrap();
            let daemon_set = daemon_set(true, &container);
            let way = way("kube-system/tetragon", Some(&daemon_set), &Tetragon::default(), &asked)
                .unwrap();
            assert_eq!(way.tls(), expected.as_ref(), "{container} {agents}");
        }
    }

    #[test]
    fn only_releases_before_1_4_have_no_modes() {
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
    fn who_cannot_be_asked_is_told_what_to_do() {
        let local =
            json!({"args": ["--server-address=[::1]:54321", "--metrics-server=localhost:2112"]});
        for ask in ["Auto", "Grpc"] {
            let why = ways(&local, &json!({"ask": ask})).unwrap_err();
            assert!(
                matches!(why, NotAskable::OnTheNodeOnly { flag: "server-address", .. }),
                "{why:?}"
            );
        }
        assert!(
            ways(&local, &json!({"ask": "Metrics"}))
                .unwrap_err()
                .to_string()
                .contains("metrics-server")
        );
        assert_eq!(ways(&json!({}), &json!({"ask": "Never"})), Err(NotAskable::Never));
        let asked = |daemon_set: Option<DaemonSet>| {
            way("a/b", daemon_set.as_ref(), &Tetragon::default(), &Agents::default()).unwrap_err()
        };
        assert_eq!(asked(None), NotAskable::NoDaemonSet("a/b".into()));
        assert_eq!(asked(Some(daemon_set(false, &json!({})))), NotAskable::NoHostNetwork);
        assert!(matches!(asked(Some(DaemonSet::default())), NotAskable::NoDaemonSet(_)));
    }

    #[test]
    fn no_node_makes_the_operator_ask_itself() {
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
            assert_eq!(address(&internal(refused)), None, "{refused}");
        }
        let both =
            node(&[("ExternalIP", "1.2.3.4"), ("Hostname", "n1"), ("InternalIP", "fd00::7")]);
        let way = Way { grpc: Some(1), metrics: None, tls: None };
        let expected = At { grpc: Some("[fd00::7]:1".parse().unwrap()), metrics: None, tls: None };
        assert_eq!(way.to(&both), Some(expected));
        assert_eq!(way.to(&Node::default()), None);
    }
}
