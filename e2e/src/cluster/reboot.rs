//! Turning a virtual machine off and on again with another `lsm=` list.

use std::time::Duration;

use super::root_disk::BootFiles;
use super::{Cluster, Error, Place, boot_id, get_node, node, not_ready};
use crate::wait;

const BACK: Duration = Duration::from_mins(3);

impl Cluster {
    /// Turns a virtual machine off and on again, with the same disk and another `lsm=` list
    /// (`default`: none), and returns the id of the new boot as soon as the node is Ready.
    pub async fn reboot(&self, name: &str, lsm: &str) -> Result<String, Error> {
        let lsm = node::lsm_list(lsm)?;
        let mut nodes = self.nodes()?;
        let Some(found) = nodes.iter_mut().find(|node| node.name == name && node.is_vm()) else {
            let vms = nodes.iter().filter(|node| node.is_vm()).map(|node| node.name.as_str());
            return Err(Error::NoVm {
                name: name.to_owned(),
                existing: vms.collect::<Vec<_>>().join(", "),
            });
        };
        found.place = Place::Vm { lsm: lsm.clone() };
        let node = found.clone();
        let client = self.client().await?;
        let before = get_node(&client, name).await.ok();
        let vm = self.vm(&node);
        vm.power_off().await?;
        vm.power_on(&BootFiles::places(), &node, lsm.as_deref())?;
        self.write_nodes(&nodes)?;

        let what = format!("node {name} to be Ready after its reboot");
        let back = wait::until(BACK, &what, async || {
            let now = get_node(&client, name).await?;
            let boot = boot_id(&now).unwrap_or_default().to_owned();
            if before.as_ref().and_then(boot_id) == Some(boot.as_str()) {
                return Err("its kubelet has not reported the new boot".to_owned());
            }
            not_ready(&now).map_or(Ok(boot), Err)
        });
        let processes = self.processes();
        tokio::select! {
            boot = back => Ok(boot?),
            ended = processes.an_end() => Err(self.ended(ended)),
        }
    }
}
