//! What a daemon asks of its machine. The daemon of a node asks [`ThisMachine`]; a measurement of
//! thousands of daemons in one process has machines of its own.

use std::time::Duration;

use lsm_ready_crds::LsmNodeStatus;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use tracing::{info, warn};

use crate::commands::check::check;
use crate::facts::NodeInfo;
use crate::hooks::{DEADLINE, TrialError, run as try_hooks};

/// A machine that can be checked.
pub trait Machine {
    /// Makes one check. None if it could not be made: it is tried again.
    fn check(&self, node: NodeInfo) -> impl Future<Output = Option<LsmNodeStatus>>;

    /// Makes one hook trial.
    fn try_hooks(&self) -> impl Future<Output = Result<LsmHookProfileSpec, TrialError>>;
}

/// The machine that this process runs on.
pub struct ThisMachine {
    /// How long the canary may run before it is killed.
    pub deadline: Duration,
}

impl Machine for ThisMachine {
    /// Checks on a thread of its own. The canary's process dies with that thread.
    async fn check(&self, node: NodeInfo) -> Option<LsmNodeStatus> {
        let deadline = self.deadline;
        match tokio::task::spawn_blocking(move || check(deadline, Some(&node))).await {
            Ok(report) => Some(report.into_status()),
            Err(error) => {
                warn!(%error, "the thread of the check failed: trying again");
                None
            }
        }
    }

    /// Tries on a thread of its own. The trial's process dies with that thread.
    async fn try_hooks(&self) -> Result<LsmHookProfileSpec, TrialError> {
        let trial = tokio::task::spawn_blocking(|| try_hooks(DEADLINE)).await;
        let failed = |error| Err(TrialError(format!("the thread of the trial failed: {error}")));
        let trial = trial.unwrap_or_else(failed);
        match &trial {
            Ok(profile) => info!(
                attachable = profile.hooks.len(),
                sleepable = profile.sleepable_hooks.len(),
                refused = profile.refused_hooks.len(),
                "the hooks were tried"
            ),
            Err(error) => warn!(%error, "the hooks could not be tried"),
        }
        trial
    }
}
