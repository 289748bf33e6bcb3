//! What the policies request for one DaemonSet.

use lsm_ready_crds::policy::Mount;

/// What all policies together request for one DaemonSet. `Never` in both fields means nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MountRequest {
    /// The name of the agent's container.
    pub container: String,
    /// The strongest request of policies that let the operator patch.
    pub patch: Mount,
    /// The strongest request of policies that only want a suggestion.
    pub suggest: Mount,
    /// Names of the DaemonSet's nodes whose kernels have no securityfs. An agent with the mount
    /// cannot start there.
    pub without_securityfs: Vec<String>,
}

impl MountRequest {
    /// The request of no policy.
    #[must_use]
    pub fn none() -> Self {
        Self {
            container: String::new(),
            patch: Mount::Never,
            suggest: Mount::Never,
            without_securityfs: Vec::new(),
        }
    }

    /// Whether some policy requests the mount.
    #[must_use]
    pub fn any(&self) -> bool {
        self.patch.max(self.suggest) > Mount::Never
    }
}
