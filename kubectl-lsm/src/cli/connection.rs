//! kubectl's own flags for the cluster. Every command takes them.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// Which cluster, and as whom.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Cluster")]
pub struct ConnectionArgs {
    /// The kubeconfig file. Default: the files in KUBECONFIG, else ~/.kube/config.
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig context. Default: the current one.
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The cluster in the kubeconfig. Default: that of the context.
    #[arg(long, global = true, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The user in the kubeconfig. Default: that of the context.
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<String>,
    /// The namespace in which lsm-ready is installed. Default: lsm-ready-system.
    #[arg(long, short, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// URL of the API server. Default: that of the cluster.
    #[arg(long, short, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// Act as this user. It needs the right to impersonate.
    #[arg(long = "as", global = true, value_name = "USER")]
    pub as_user: Option<String>,
    /// Act as a member of this group. May be repeated.
    #[arg(long, global = true, value_name = "GROUP")]
    pub as_group: Vec<String>,
    /// Act as the user with this UID.
    #[arg(long, global = true, value_name = "UID")]
    pub as_uid: Option<String>,
    /// A bearer token for the API server.
    #[arg(long, global = true, value_name = "TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// File with the certificates of the API server's authority.
    #[arg(long, global = true, value_name = "FILE")]
    pub certificate_authority: Option<String>,
    /// File with a client certificate.
    #[arg(long, global = true, value_name = "FILE")]
    pub client_certificate: Option<String>,
    /// File with the key of the client certificate.
    #[arg(long, global = true, value_name = "FILE")]
    pub client_key: Option<String>,
    /// Name that the API server's certificate must have. Default: the host of its URL.
    #[arg(long, global = true, value_name = "NAME")]
    pub tls_server_name: Option<String>,
    /// Accept any certificate of the API server. Do not use it in production.
    #[arg(long, global = true)]
    pub insecure_skip_tls_verify: bool,
    /// How long one request may take, for example 5s or 1m. 0 means without a limit.
    #[arg(long, global = true, value_name = "TIME", default_value = "0", value_parser = timeout)]
    pub request_timeout: Duration,
}

impl ConnectionArgs {
    /// The namespace in which lsm-ready is installed.
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or(lsm_ready_crds::names::NAMESPACE)
    }

    /// The limit for one request, if there is one.
    pub fn limit(&self) -> Option<Duration> {
        Some(self.request_timeout).filter(|limit| !limit.is_zero())
    }
}

/// A number of seconds, or a duration as Go writes it. kubectl takes the same.
fn timeout(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let invalid =
        || format!("invalid duration {text:?}: use a number with a unit, for example 30s");
    let duration: jiff::SignedDuration = text.parse().map_err(|_| invalid())?;
    Duration::try_from(duration).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_read_as_kubectl_reads_it() {
        for (text, milliseconds) in
            [("0", Some(0)), ("5", Some(5_000)), ("1m30s", Some(90_000)), ("500ms", Some(500))]
        {
            let read = timeout(text).ok().map(|duration| duration.as_millis());
            assert_eq!(read, milliseconds, "{text}");
        }
        for text in ["", "5x", "-5s", "soon", "s"] {
            assert!(timeout(text).unwrap_err().contains("for example 30s"), "{text}");
        }
    }
}
