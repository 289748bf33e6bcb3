//! The subcommand `verify`, which the Helm chart's test runs.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};
use lsm_ready_cleanup::cluster::{self, Pages};
use lsm_ready_crds::LsmNode;
use tokio::time::{Instant, sleep};
use tracing::{error, info};

use super::Error;
use super::cli::Verify;
use crate::verify::{Found, verify};

/// How often the nodes are looked at.
const POLL: Duration = Duration::from_secs(2);

/// Waits until each node has a verdict.
pub(super) async fn run(options: Verify) -> Result<(), Error> {
    let client = Client::try_default().await.map_err(|error| Error::Client(Box::new(error)))?;
    let deadline = Instant::now() + Duration::from_secs(options.wait);
    loop {
        let found = look(&client, &options.node_selector).await;
        match found {
            Ok(found) if found.is_complete() => {
                info!("{found}");
                return Ok(());
            }
            _ if Instant::now() < deadline => sleep(POLL).await,
            Ok(found) => {
                error!("{found}");
                return Err(Error::Verify);
            }
            Err(error) => {
                error!("cannot look at the nodes: {error}");
                return Err(Error::Verify);
            }
        }
    }
}

async fn look(client: &Client, selector: &str) -> Result<Found, cluster::Error> {
    let nodes = Pages::labelled(Api::<Node>::all(client.clone()), selector).all().await?;
    let reports = Pages::new(Api::<LsmNode>::all(client.clone())).all().await?;
    Ok(verify(&nodes, &reports, Timestamp::now()))
}
