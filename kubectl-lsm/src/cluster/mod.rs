//! The cluster: everything that speaks to an API server.
//!
//! In: kubectl's flags. Out: objects, read page by page. No other process is started, but for a
//! plugin for credentials that the kubeconfig names.
//!
//! ## Guarantees
//! Only [`dry_run`] sends anything else than a request to read, and that is a dry run. Only the
//! command `cleanup` changes anything, with its own requests.

pub mod config;
pub mod dry_run;
pub mod error;
pub mod list;
pub mod progress;
pub mod read;
mod trim;

use kube::Client;

use crate::cli::ConnectionArgs;
use crate::fleet::Context;

pub use error::Error;

/// A connection to one cluster.
pub struct Cluster {
    pub client: Client,
    pub context: Context,
    /// The namespace in which lsm-ready is installed.
    pub namespace: String,
    pub progress: progress::Progress,
}

/// Connects to the cluster that these flags mean. Nothing is sent yet.
pub async fn connect(args: &ConnectionArgs) -> Result<Cluster, Error> {
    let (config, name) = config::config(args).await?;
    let server = config.cluster_url.to_string();
    let failed = |error: kube::Error| Error::Kubeconfig(error::cause(&error));
    let client = Client::try_from(config).map_err(failed)?;
    Ok(Cluster {
        client,
        progress: progress::Progress::of(server.clone()),
        context: Context { name, server },
        namespace: args.namespace().to_owned(),
    })
}
