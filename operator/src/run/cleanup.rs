//! The subcommand `cleanup`, which the Job in `config/cleanup` and the Helm chart's hook run.

use std::time::Duration;

use kube::Client;
use lsm_ready_cleanup::installed::Installation;
use lsm_ready_cleanup::kinds::{self, Kind};
use lsm_ready_cleanup::{Cluster, Mode, Names, Report, everything};
use tokio::time::timeout;
use tracing::{error, info};

use super::Error;
use super::cli::{Cleanup, Keep};

/// Removes everything of lsm-ready but the Job's own objects, and but what is to be kept.
pub(super) async fn run(options: Cleanup) -> Result<(), Error> {
    let client = Client::try_default().await.map_err(|error| Error::Client(Box::new(error)))?;
    let cluster = Cluster { client, names: Names::OfAnyVersion, mode: Mode::Remove };
    let installation = Installation { namespace: options.namespace, keep_job: true };
    let kept: Vec<Kind> = options.keep.into_iter().map(kind).collect();
    let removed = everything::remove_but(&cluster, &installation, &kept);
    let Some(seconds) = options.at_most else { return report(&removed.await) };
    if let Ok(removed) = timeout(Duration::from_secs(seconds), removed).await {
        // It is logged. An error would keep Helm from uninstalling.
        let _ = report(&removed);
    } else {
        error!(
            "the cleanup was not finished after {seconds} s: run kubectl lsm-ready cleanup, or \
             apply config/cleanup"
        );
    }
    Ok(())
}

fn kind(keep: Keep) -> Kind {
    match keep {
        Keep::Crds => kinds::CRD,
        Keep::Namespace => kinds::NAMESPACE,
    }
}

fn report(report: &Report) -> Result<(), Error> {
    info!("removed:\n{}", report.lines());
    if report.failed.is_empty() {
        return Ok(());
    }
    error!("not removed, run kubectl lsm-ready cleanup:\n{}", report.errors());
    Err(Error::Cleanup)
}
