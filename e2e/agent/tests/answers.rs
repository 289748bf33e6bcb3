//! Truth table of agents' answers: the test agent serves every state, mode and domain in the shape
//! of each release. The operator's client asks it by gRPC, by gRPC over mTLS and by its metrics,
//! over real sockets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what cannot be prepared fails the test")]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lsm_ready_operator::tetragon_client::{
    Actions, ActionsByPolicy, Answer, AskError, Endpoints, Limits, LocalName, Mode, PolicyName,
    PolicyState, QueryResult, Response, Source, Tls, Unanswered, ask,
};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Tetragon's numbers of the states are the indices.
const STATES: [(&str, PolicyState); 9] = [
    ("UNKNOWN", PolicyState::Unclear),
    ("ENABLED", PolicyState::Enabled),
    ("DISABLED", PolicyState::Disabled),
    ("LOAD_ERROR", PolicyState::LoadError),
    ("ERROR", PolicyState::Error),
    ("LOADING", PolicyState::Loading),
    ("UNLOADING", PolicyState::Unloading),
    ("SKIPPED", PolicyState::Skipped),
    ("PARTIALLY_ENABLED", PolicyState::PartiallyEnabled),
];
const MODES: [(&str, Option<Mode>); 4] = [
    ("UNKNOWN", None),
    ("ENFORCE", Some(Mode::Enforce)),
    ("MONITOR", Some(Mode::Monitor)),
    ("MONITOR_ONLY", Some(Mode::MonitorOnly)),
];
const DOMAINS: [&str; 3] = ["k8s", "static", "grpc"];

/// A release, and which fields its answers have.
struct Release {
    name: &'static str,
    modes: bool,
    counters: bool,
    domains: bool,
}

const RELEASES: [Release; 5] = [
    Release { name: "v1.3.0", modes: false, counters: false, domains: false },
    Release { name: "v1.4.0", modes: true, counters: false, domains: false },
    Release { name: "v1.6.0", modes: true, counters: true, domains: false },
    Release { name: "v1.7.0", modes: true, counters: true, domains: false },
    Release { name: "v1.8.0", modes: true, counters: true, domains: true },
];

/// One row of the table.
#[derive(Clone, Copy)]
struct Row {
    state: (&'static str, PolicyState),
    mode: (&'static str, Option<Mode>),
    domain: &'static str,
}

impl Row {
    fn all() -> Vec<Self> {
        let mut rows = Vec::new();
        for state in STATES {
            for mode in MODES {
                rows.extend(DOMAINS.map(|domain| Self { state, mode, domain }));
            }
        }
        rows
    }

    /// Half of the policies are namespaced, so that both kinds are there.
    fn namespace(self) -> &'static str {
        if self.mode.0.starts_with("MONITOR") { "team" } else { "" }
    }

    fn name(self) -> PolicyName {
        let name = format!("{}-{}-{}", self.state.0, self.mode.0, self.domain)
            .to_lowercase()
            .replace('_', "-");
        PolicyName::sanitized(self.namespace(), &name)
    }

    fn is_enabled(self) -> bool {
        matches!(self.state.1, PolicyState::Enabled | PolicyState::PartiallyEnabled)
    }

    fn as_json(self) -> Value {
        let counters =
            json!({"override": "3", "signal": "1", "monitor_override": "2", "post": "9"});
        let hook = |state, index| {
            json!({"section": "kprobes", "state": state, "hook_description": "sys_x",
                "hook_idx": index})
        };
        let error = if self.state.1.is_error() { "no\nLSM" } else { "" };
        json!({
            "name": self.name().name,
            "namespace": self.namespace(),
            "state": format!("TP_STATE_{}", self.state.0),
            "mode": format!("TP_MODE_{}", self.mode.0),
            "domain": self.domain,
            "error": error,
            "kernel_memory_bytes": "4096",
            "stats": {"action_counters": counters, "selector_action_counters": [
                {"hook": "lsm:file_open", "action_counters": counters},
            ]},
            "hook_statuses": [hook("STATUS_LOADED", 0), hook("STATUS_CALL_NOT_FOUND", 1)],
        })
    }

    fn actions(self) -> (PolicyName, Actions) {
        (self.name(), Actions { enforced: 4, monitored: 2 })
    }
}

/// A running test agent.
struct Agent {
    child: Child,
    at: Endpoints,
}

impl Agent {
    fn start(release: &str, policies: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tetragon"))
            .args([
                "--release",
                release,
                "--server-address=127.0.0.1:0",
                "--metrics-server=127.0.0.1:0",
            ])
            .args(arguments)
            .arg("scripted")
            .arg(policies)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        // The test agent prints both addresses, in any order.
        let mut printed: Vec<String> = lines.by_ref().take(2).collect();
        printed.sort();
        let address =
            |line: &String| -> SocketAddr { line.rsplit_once('=').unwrap().1.parse().unwrap() };
        let [grpc, metrics] = printed.as_slice() else {
            panic!("the test agent ended: {printed:?}")
        };
        assert!(grpc.contains("gRPC"), "{printed:?}");
        Self { child, at: Endpoints { grpc: Some(address(grpc)), metrics: Some(address(metrics)) } }
    }

    async fn asked(&self, source: Source, tls: Option<&Tls>) -> QueryResult {
        let at = match source {
            Source::Grpc => Endpoints { metrics: None, ..self.at },
            Source::Metrics => Endpoints { grpc: None, ..self.at },
        };
        let limits = Limits { deadline: Duration::from_secs(30), ..Limits::default() };
        ask(&at, tls, &limits).await
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn answered(result: QueryResult) -> (Answer, ActionsByPolicy) {
    match result {
        Ok(Response { answer, actions, grpc_error: None }) => (answer, actions),
        other => panic!("{other:?}"),
    }
}

fn write(rows: &[Row]) -> (TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policies.json");
    let policies: Vec<Value> = rows.iter().map(|row| row.as_json()).collect();
    std::fs::write(&path, json!({"policies": policies}).to_string()).unwrap();
    (directory, path)
}

/// Checks the gRPC answer about one row.
fn check_grpc(answer: &Answer, row: Row, release: &Release) {
    let what = format!("{} {}", release.name, row.name());
    let local = LocalName { domain: row.domain.to_owned(), policy: row.name() };
    let is_local = release.domains && row.domain != "k8s";
    let policy = if is_local { &answer.local[&local] } else { &answer.policies[&row.name()] };
    assert!(!(is_local && answer.policies.contains_key(&row.name())), "{what}");
    assert_eq!(policy.state, row.state.1, "{what}");
    assert_eq!(policy.mode, row.mode.1.filter(|_| release.modes && row.is_enabled()), "{what}");
    assert_eq!(policy.error, if row.state.1.is_error() { "no LSM" } else { "" }, "{what}");
    let hooks: Vec<&str> = policy.failed_hooks.iter().map(|hook| hook.hook.as_str()).collect();
    assert_eq!(hooks, if release.domains { vec!["kprobes[1] sys_x"] } else { vec![] }, "{what}");
}

#[tokio::test]
async fn grpc_gives_state_mode_domain_and_hooks_of_every_policy() {
    let rows = Row::all();
    let (_directory, path) = write(&rows);
    for release in &RELEASES {
        let agent = Agent::start(release.name, &path, &[]);
        let (answer, actions) = answered(agent.asked(Source::Grpc, None).await);
        for row in &rows {
            check_grpc(&answer, *row, release);
        }
        assert_eq!(
            answer.counts,
            rows.iter().map(|row| (row.state.1, 1)).collect(),
            "{}",
            release.name
        );
        let has_actions = |row: &&Row| {
            release.counters && row.is_enabled() && (!release.domains || row.domain == "k8s")
        };
        assert_eq!(
            actions,
            rows.iter().filter(has_actions).map(|row| row.actions()).collect(),
            "{}",
            release.name
        );
    }
}

#[tokio::test]
async fn metrics_count_and_name_policies() {
    let rows = Row::all();
    let (_directory, path) = write(&rows);
    for release in &RELEASES {
        let agent = Agent::start(release.name, &path, &[]);
        let (answer, actions) = answered(agent.asked(Source::Metrics, None).await);
        // The gauge never has the states loading and unloading. It has skipped and
        // partially_enabled on main only.
        let counted = |row: &&Row| match row.state.1 {
            PolicyState::Enabled
            | PolicyState::Disabled
            | PolicyState::LoadError
            | PolicyState::Error => true,
            PolicyState::Skipped | PolicyState::PartiallyEnabled => release.domains,
            _ => false,
        };
        let expected = rows.iter().filter(counted).map(|row| (row.state.1, 1)).collect();
        assert_eq!(answer.counts, expected, "{}", release.name);
        let names: BTreeSet<PolicyName> = rows.iter().map(|row| row.name()).collect();
        assert_eq!(answer.named, Some(names), "{}", release.name);
        // Policies that are named and not counted are being loaded or unloaded.
        assert!(answer.policies.is_empty() && !answer.is_settled(), "{}", release.name);
        let has_actions = |row: &&Row| release.domains && row.is_enabled();
        assert_eq!(
            actions,
            rows.iter().filter(has_actions).map(|row| row.actions()).collect(),
            "{}",
            release.name
        );
    }
}

/// Certificate files: of the CA, the agent and the client.
fn certificates() -> TempDir {
    let ca_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let directory = tempfile::tempdir().unwrap();
    for (folder, names) in [
        ("agent", vec!["*.tetragon-grpc.cilium.io".to_owned()]),
        ("client", vec![]),
        ("none", vec![]),
    ] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let folder_path = directory.path().join(folder);
        std::fs::create_dir(&folder_path).unwrap();
        let write =
            |name: &str, text: String| std::fs::write(folder_path.join(name), text).unwrap();
        write("ca.crt", ca.pem());
        if folder != "none" {
            write("tls.crt", certificate.pem());
            write("tls.key", key.serialize_pem());
        }
    }
    directory
}

#[tokio::test]
async fn the_answer_over_mtls_equals_the_answer_over_plain_grpc() {
    let (rows, certificates) = (Row::all(), certificates());
    let (_directory, path) = write(&rows);
    let file = |name: &str| certificates.path().join("agent").join(name).display().to_string();
    let (certificate, key) = (
        format!("--server-tls-cert-file={}", file("tls.crt")),
        format!("--server-tls-key-file={}", file("tls.key")),
    );
    let cas = format!("--server-tls-client-ca-files={}", file("ca.crt"));
    let main = RELEASES.last().unwrap();
    let plain = Agent::start(main.name, &path, &[]);
    let one_sided = Agent::start(main.name, &path, &[&certificate, &key]);
    let mutual = Agent::start(
        main.name,
        &path,
        &[&certificate, &key, &cas, "--server-tls-require-client-cert=true"],
    );
    let tls = |folder: &str| {
        Tls::read(&certificates.path().join(folder), Some("n1.tetragon-grpc.cilium.io")).unwrap()
    };
    let (with_client, without_client) = (tls("client"), tls("none"));

    let expected = answered(plain.asked(Source::Grpc, None).await);
    assert_eq!(answered(mutual.asked(Source::Grpc, Some(&with_client)).await), expected);
    assert_eq!(answered(one_sided.asked(Source::Grpc, Some(&without_client)).await), expected);
    assert_eq!(answered(one_sided.asked(Source::Grpc, Some(&with_client)).await), expected);

    let refused = |error| Err(Unanswered { grpc: Some(error), metrics: None });
    assert_eq!(
        mutual.asked(Source::Grpc, Some(&without_client)).await,
        refused(AskError::ClientCertificateRequired)
    );
    assert_eq!(mutual.asked(Source::Grpc, None).await, refused(AskError::TlsRequired));
    assert_eq!(plain.asked(Source::Grpc, Some(&with_client)).await, refused(AskError::NoTls));
    let (metrics, _) = answered(mutual.asked(Source::Metrics, Some(&with_client)).await);
    assert_eq!(metrics.counts.total(), (STATES.len() as u64 - 3) * 12);
}
