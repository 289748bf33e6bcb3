//! What the rig and the program inside its virtual machines tell each other.
//!
//! The rig writes [`Start`] into the initial ramdisk, and [`NodeSettings`] onto the disk of a node.
//! The program `guest`, which is the first process of every machine, reads them.

pub mod place;

use serde::{Deserialize, Serialize};

pub use place::Place;

/// Where [`Start`] is in the initial ramdisk.
pub const START: &str = "/start.json";
/// Where [`NodeSettings`] is on a node.
pub const NODE_SETTINGS: &str = "/var/node/settings.json";
/// The folder of the drivers in the initial ramdisk of a node.
pub const MODULES: &str = "/modules";

/// What the first process does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Start {
    /// Runs a command, passes its output and exit code on through serial ports, and turns the
    /// machine off.
    Command {
        /// The program, as found in /bin, and its arguments.
        command: Vec<String>,
        /// Whether securityfs is mounted.
        securityfs: bool,
    },
    /// Loads drivers, changes to the root file system on the first disk, and becomes a node of a
    /// cluster.
    Node {
        /// The files in [`MODULES`], in the order in which the kernel needs them.
        modules: Vec<String>,
    },
}

/// What one node has of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeSettings {
    /// Its name in the cluster, and its host name.
    pub name: String,
    /// Its IPv4 address.
    pub address: String,
    /// The address of the rig's side of the network.
    pub gateway: String,
}
