//! The subcommand `cleanup`, which the Job in `config/cleanup` runs.

use kube::Client;
use lsm_ready_cleanup::installed::Installation;
use lsm_ready_cleanup::{Cluster, Mode, Names, everything};
use tracing::{error, info};

use super::Error;

/// Removes everything of lsm-ready but the Job's own objects.
pub(super) async fn run(namespace: String) -> Result<(), Error> {
    let client = Client::try_default().await.map_err(|error| Error::Client(Box::new(error)))?;
    let cluster = Cluster { client, names: Names::OfAnyVersion, mode: Mode::Remove };
    let report = everything::remove(&cluster, &Installation { namespace, keep_job: true }).await;
    info!("removed:\n{}", report.lines());
    if report.failed.is_empty() {
        return Ok(());
    }
    error!("not removed:\n{}", report.errors());
    Err(Error::Cleanup)
}
