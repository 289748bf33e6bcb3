//! One write of the LsmNode: read what is there, plan, write what differs.
//!
//! In: the Node, what the check found, and what is known of the hooks. Out: the LsmNode, written if
//! it differs.

use jiff::Timestamp;
use kube::Client;
use lsm_ready_crds::LsmNodeStatus;
use tracing::info;

use super::hooks::Hooks;
use super::plan::{Desired, plan};
use super::write::{self, Error, Node};
use super::{publish, schedule};
use crate::cli::AgentArgs;

/// What one round has found.
pub(super) struct Round<'a> {
    pub client: &'a Client,
    pub args: &'a AgentArgs,
    pub node: &'a Node,
    pub found: &'a LsmNodeStatus,
}

impl Round<'_> {
    /// Makes the LsmNode say what was found.
    pub async fn write(&self, hooks: &mut Hooks) -> Result<(), Error> {
        let name = &self.args.node_name;
        // 1. Read what is there, and adopt the profile of an earlier daemon of this boot.
        let present = write::lsm_node(self.client, name).await?;
        if let Some(digest) = hooks.adoptable(present.as_ref(), &self.found.boot_id)
            && publish::is_genuine(self.client, digest).await?
        {
            hooks.adopt(digest);
        }
        // 2. Plan. The profile is looked up only if the report that names it has to be written.
        let now = Timestamp::now();
        let renew_after = schedule::renewal(self.args.renew_interval, name);
        let plan_with = |profile: Option<String>| {
            let found = LsmNodeStatus { hook_profile: profile, ..self.found.clone() };
            let desired = Desired { node: &self.node.identity, found: &found, now, renew_after };
            plan(present.as_ref(), &desired)
        };
        let mut plan = plan_with(hooks.digest());
        if plan.status.is_some()
            && hooks.known().is_some()
            && !publish::ensure(self.client, hooks).await?
        {
            plan = plan_with(None);
        }
        // 3. Write what differs.
        write::carry_out(self.client, name, &plan).await?;
        if !plan.is_empty() {
            info!(writes = plan.describe(), "the LsmNode is written");
        }
        Ok(())
    }
}
