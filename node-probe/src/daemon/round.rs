//! One write of the LsmNode: read what is there, plan, write what differs.
//!
//! In: the Node, what the check found, and what is known of the hooks. Out: the LsmNode, written if
//! it differs.

use jiff::Timestamp;
use kube::Client;
use lsm_ready_crds::LsmNodeStatus;
use tracing::info;

use super::hooks::ProfileState;
use super::look::Left;
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

/// What the daemon remembers from one round to the next.
#[derive(Default)]
pub(super) struct Memory {
    pub hooks: ProfileState,
    /// The LsmNode as the last write left it. `None` before the first.
    pub left: Option<Left>,
}

impl Round<'_> {
    /// Makes the LsmNode say what was found.
    pub async fn write(&self, memory: &mut Memory) -> Result<(), Error> {
        let name = &self.args.node_name;
        // 1. Read what is there, and adopt the profile of an earlier daemon of this boot.
        let present = write::lsm_node(self.client, name).await?;
        let hooks = &mut memory.hooks;
        if let Some(digest) = hooks.adoptable(present.as_ref(), &self.found.boot_id)
            && let Some(profile) = publish::get(self.client, digest).await?
        {
            hooks.adopt(profile, &self.found.kernel);
        }
        // 2. Publish the profile, unless the cluster has it. Only then the report may name it.
        publish::ensure(self.client, hooks, name).await?;
        let found = LsmNodeStatus { hook_profile: hooks.published(), ..self.found.clone() };
        // 3. Plan, and write what differs.
        let desired = Desired {
            node: &self.node.identity,
            found: &found,
            last: memory.left.as_ref().map(|left| &left.status),
            now: Timestamp::now(),
            renew_after: schedule::renewal(self.args.renew_interval, name),
        };
        let plan = plan(present.as_ref(), &desired);
        let left = write::carry_out(self.client, name, present, &plan).await?;
        memory.left = left.map(Left::of);
        if !plan.is_empty() {
            info!(writes = plan.describe(), "the LsmNode is written");
        }
        Ok(())
    }
}
