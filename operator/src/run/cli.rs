//! The operator's command line and environment.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use lsm_ready_crds::ExitCode::WrongUse;

use crate::breaker::decide::Limit;
use crate::run::election::Identity;
use crate::verify;

/// Turns the evidence of lsm-ready's probes into node labels, taints and conditions, and mounts
/// securityfs in Tetragon's DaemonSet where Tetragon needs it.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Address that serves /healthz, /readyz and /metrics.
    #[arg(long, env = "LSM_READY_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// Namespace of this pod, from the downward API. Leader election needs the namespace, the name
    /// and the UID of the pod. If one is missing, there is no leader election.
    #[arg(long, env = "LSM_READY_POD_NAMESPACE")]
    pub pod_namespace: Option<String>,

    /// Name of this pod, from the downward API.
    #[arg(long, env = "LSM_READY_POD_NAME")]
    pub pod_name: Option<String>,

    /// UID of this pod, from the downward API.
    #[arg(long, env = "LSM_READY_POD_UID")]
    pub pod_uid: Option<String>,

    /// Directory with ca.crt and, for mTLS, tls.crt and tls.key. They are used for gRPC over TLS to
    /// Tetragon's agents if a policy has spec.tetragon.agents.tls. Changed files are read again.
    #[arg(long, env = "LSM_READY_AGENT_TLS_DIR", value_name = "DIRECTORY")]
    pub agent_tls_dir: Option<PathBuf>,

    /// Share of the nodes, in percent, above which losses of ready within a minute are held: the
    /// circuit breaker opens. With 100 it never does.
    #[arg(long, env = "LSM_READY_BREAKER_PERCENT", default_value_t = 30,
        value_parser = clap::value_parser!(u8).range(1..=100))]
    pub breaker_percent: u8,

    /// Fewer nodes than this never open the circuit breaker.
    #[arg(long, env = "LSM_READY_BREAKER_MIN_NODES", default_value_t = 3,
        value_parser = clap::value_parser!(u32).range(1..))]
    pub breaker_min_nodes: u32,
    /// Programs whose DaemonSets a policy may name: the label app.kubernetes.io/name and the last
    /// part of the image, separated by commas. For another DaemonSet its owner sets the annotation
    /// lsmready.io/securityfs to allow. The admission policy has its own list.
    #[arg(
        long,
        env = "LSM_READY_ALLOWED_PROGRAMS",
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "tetragon"
    )]
    pub allowed_programs: Vec<String>,

    /// Format of the log lines.
    #[arg(long, env = "LSM_READY_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// Log level: error, warn, info, debug or trace. Directives of tracing-subscriber work too.
    #[arg(long, env = "LSM_READY_LOG", default_value = "info")]
    pub log: String,
}

/// What to do instead of running the operator.
#[derive(Clone, Debug, Eq, PartialEq, Subcommand)]
pub enum Command {
    /// Remove everything of lsm-ready from the cluster, and end: for the Job in config/cleanup, and
    /// for the Helm chart's hook before an uninstallation.
    Cleanup(Cleanup),
    /// Check that each node has a verdict: a label true or false, and a report of its present boot.
    /// Exits with 1 and names the nodes that have none. For `helm test`.
    Verify(Verify),
}

/// How everything is removed.
#[derive(Args, Clone, Debug, Eq, PartialEq)]
pub struct Cleanup {
    /// The namespace in which lsm-ready is installed.
    #[arg(long, value_name = "NAME", default_value = lsm_ready_crds::names::NAMESPACE)]
    pub namespace: String,

    /// Leave these alone, separated by commas. crds: the CRDs, with all policies. namespace: the
    /// namespace itself.
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    pub keep: Vec<Keep>,

    /// End after that many seconds at the latest, and exit with 0 also where something is left. The
    /// log says what. For a hook that must not keep Helm from uninstalling.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub at_most: Option<u64>,
}

/// What a cleanup leaves alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Keep {
    Crds,
    Namespace,
}

/// Which nodes are checked, and for how long.
#[derive(Args, Clone, Debug, Eq, PartialEq)]
pub struct Verify {
    /// Check the nodes with these labels only: those on which the probe runs.
    #[arg(long, value_name = "SELECTOR", default_value = verify::LINUX_NODES)]
    pub node_selector: String,

    /// Look again and again for that many seconds, until each node has a verdict.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub wait: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object in each line.
    Json,
}

impl Cli {
    /// Parses the arguments, or prints help, the version or an error and returns the exit code.
    pub fn parse_or_exit_code(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, ExitCode> {
        Self::try_parse_from(arguments).map_err(|error| {
            // There is nowhere left to report that printing failed.
            error.print().ok();
            if error.use_stderr() { WrongUse.into() } else { ExitCode::SUCCESS }
        })
    }

    /// When the circuit breaker opens.
    pub fn breaker_limit(&self) -> Limit {
        let min_nodes = usize::try_from(self.breaker_min_nodes).unwrap_or(usize::MAX);
        Limit { percent: self.breaker_percent, min_nodes }
    }

    /// The identity of this replica in the leader election. None outside of a pod.
    pub fn identity(&self) -> Option<Identity> {
        Some(Identity {
            namespace: self.pod_namespace.clone()?,
            pod: self.pod_name.clone()?,
            uid: self.pod_uid.clone()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit_code(argument: &str) -> Option<ExitCode> {
        Cli::parse_or_exit_code(["operator".into(), argument.into()]).err()
    }

    #[test]
    fn wrong_use_exits_with_64_and_help_with_0() {
        assert_eq!(exit_code("--bogus"), Some(ExitCode::from(64)));
        assert_eq!(exit_code("--listen=nowhere"), Some(ExitCode::from(64)));
        assert_eq!(exit_code("--help"), Some(ExitCode::SUCCESS));
        assert_eq!(exit_code("--version"), Some(ExitCode::SUCCESS));
        assert_eq!(exit_code("--log=debug"), None);
        for invalid in ["percent=0", "percent=101", "percent=a", "min-nodes=0", "min-nodes=-1"] {
            let argument = format!("--breaker-{invalid}");
            assert_eq!(exit_code(&argument), Some(ExitCode::from(64)), "{argument}");
        }
    }

    #[test]
    fn a_cleanup_keeps_what_it_is_told_to_keep() {
        let cli = ["operator", "cleanup", "--keep=crds,namespace", "--at-most=150"];
        let cli = Cli::parse_or_exit_code(cli.map(OsString::from)).unwrap();
        let Some(Command::Cleanup(cleanup)) = cli.command else { unreachable!("{cli:?}") };
        assert_eq!(cleanup.keep, [Keep::Crds, Keep::Namespace]);
        assert_eq!(cleanup.at_most, Some(150));
        for invalid in ["--keep=nodes", "--at-most=0", "--at-most=-1"] {
            let cli = ["operator", "cleanup", invalid].map(OsString::from);
            assert_eq!(Cli::parse_or_exit_code(cli).err(), Some(ExitCode::from(64)), "{invalid}");
        }
    }
}
