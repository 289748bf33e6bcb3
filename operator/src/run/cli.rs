//! The operator's command line and environment.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::run::election::Identity;

/// Turns the evidence of lsm-ready's probes into node labels, taints and conditions, and gives Tetragon's DaemonSet the
/// securityfs volume it lacks.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Cli {
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, env = "LSM_READY_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// This pod's namespace (downward API). Without the three POD_ variables there is no leader election.
    #[arg(long, env = "LSM_READY_POD_NAMESPACE")]
    pub pod_namespace: Option<String>,

    /// This pod's name (downward API).
    #[arg(long, env = "LSM_READY_POD_NAME")]
    pub pod_name: Option<String>,

    /// This pod's UID (downward API).
    #[arg(long, env = "LSM_READY_POD_UID")]
    pub pod_uid: Option<String>,

    /// Directory with ca.crt and, for mTLS, tls.crt and tls.key: for gRPC over TLS to Tetragon's agents, where a policy has
    /// spec.tetragon.agents.tls. The files are read anew when they change.
    #[arg(long, env = "LSM_READY_AGENT_TLS_DIR", value_name = "DIRECTORY")]
    pub agent_tls_dir: Option<PathBuf>,

    /// Form of the log lines.
    #[arg(long, env = "LSM_READY_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// Which log lines: error, warn, info, debug, trace, or tracing-subscriber's directives.
    #[arg(long, env = "LSM_READY_LOG", default_value = "info")]
    pub log: String,
}

/// Form of the log lines.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Cli {
    /// Who this replica is in the leader election; nobody outside of a pod.
    pub fn identity(&self) -> Option<Identity> {
        Some(Identity {
            namespace: self.pod_namespace.clone()?,
            pod: self.pod_name.clone()?,
            uid: self.pod_uid.clone()?,
        })
    }
}
