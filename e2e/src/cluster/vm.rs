//! A node in a virtual machine: a stock kernel, a shared read-only root, a disk of its own and one
//! with its images.
//!
//! In: what all nodes boot from, the node's configuration and its `lsm=` list. Out: an emulator
//! process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e_guest::{NODE_SETTINGS, NodeSettings};

use super::config::{self, Places};
use super::node::{GATEWAY, Node};
use super::root_disk::BootFiles;
use super::{Error, control, disk};
use crate::paths::{remove_dir, remove_file};
use crate::process::{self, Processes};
use crate::vm::qemu::{Hardware, escaped, words};
use crate::wait;

/// Memory of a virtual machine in MiB. The machine takes only what it touches.
const MEMORY: u32 = 2048;
const POWER_OFF: Duration = Duration::from_secs(30);

/// The virtual machine of a node.
#[derive(Clone, Debug)]
pub struct Vm {
    name: String,
    dir: PathBuf,
    processes: Processes,
}

impl Vm {
    /// The machine of a node. Its files are in a folder of its name below `dir`.
    pub fn new(node: &Node, dir: &Path, processes: Processes) -> Self {
        Self { name: node.name.clone(), dir: dir.join(&node.name), processes }
    }

    /// The folder for certificates that [`Vm::make_disks`] puts on the disk.
    pub fn node_dir(&self) -> PathBuf {
        self.dir.join("var/node")
    }

    /// Makes the disk with the node's configuration, and a copy of the one with the images.
    pub fn make_disks(&self, node: &Node, images: &Path) -> Result<(), Error> {
        let (var, dir) = (self.dir.join("var"), self.node_dir());
        let places =
            Places { node: Path::new("/var/node"), containerd: Path::new("/var/lib/containerd") };
        let write = || {
            for folder in ["lib/containerd", "lib/kubelet", "lib/cni", "log", "tmp", "node/cni"] {
                fs::create_dir_all(var.join(folder))?;
            }
            std::os::unix::fs::symlink("/run", var.join("run"))?;
            fs::write(dir.join("cni/10-pods.conflist"), config::network(node).to_string())?;
            fs::write(dir.join("kubelet.json"), config::kubelet(&places, "/").to_string())?;
            fs::write(dir.join("containerd.toml"), config::containerd(&places))?;
            fs::write(
                dir.join("machine-id"),
                format!("{:032x}\n", 0x1500_0000 + u128::from(node.index)),
            )?;
            let settings = NodeSettings {
                name: node.name.clone(),
                address: node.address().to_string(),
                gateway: GATEWAY.to_string(),
            };
            let file = NODE_SETTINGS.trim_start_matches("/var/");
            fs::write(var.join(file), serde_json::to_vec(&settings)?)
        };
        write().map_err(Error::io(format!("prepare the disk of {}", node.name)))?;
        disk::make(&var, &self.dir.join("disk.img"), disk::SIZE, &disk::WRITABLE)?;
        disk::copy(images, &self.dir.join("images.img"))
    }

    /// Powers it on with an `lsm=` list.
    pub fn power_on(&self, boot: &BootFiles, node: &Node, lsm: Option<&str>) -> Result<(), Error> {
        // A machine that was killed leaves its socket.
        let _ = fs::remove_file(self.socket());
        let hardware = hardware(boot, node, lsm);
        let started = || Ok((hardware.program()?, hardware.arguments()?));
        let (program, arguments) =
            started().map_err(Error::io("read the kernel of the virtual machines"))?;
        let mut emulator = Command::new(program.name);
        emulator.current_dir(&self.dir).args(arguments);
        self.processes.spawn(&self.name, &mut emulator)?;
        Ok(())
    }

    /// Asks it to write its disk and turn itself off. A machine that does not answer is turned off.
    pub async fn power_off(&self) -> Result<(), Error> {
        let Some(record) = self.processes.get(&self.name) else {
            return Err(Error::NotUp);
        };
        // Forgotten first, so that it is not reported as ended by itself.
        self.processes.forget(&self.name);
        let orderly = async {
            control::power_off(&self.socket()).await.map_err(|error| error.to_string())?;
            let gone = async || {
                if record.lives() { Err("it runs") } else { Ok(()) }
            };
            wait::until(POWER_OFF, "the virtual machine to turn itself off", gone)
                .await
                .map_err(|e| e.to_string())
        };
        match tokio::time::timeout(POWER_OFF, orderly).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Ok(process::kill(vec![record]).await?),
        }
    }

    /// Puts an image archive into its containerd.
    pub async fn import(&self, archive: &Path) -> Result<(), Error> {
        control::import(&self.socket(), archive).await?;
        Ok(())
    }

    /// Removes its disks. Logs stay.
    pub fn remove(dir: &Path) -> io::Result<()> {
        remove_file(&dir.join("disk.img"))?;
        remove_file(&dir.join("images.img"))?;
        remove_file(&dir.join("control.sock"))?;
        remove_dir(&dir.join("var"))
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("control.sock")
    }
}

/// The file with the messages of a node's kernel: the best source about a node that does not start.
pub fn console(dir: &Path, name: &str) -> PathBuf {
    dir.join(name).join("console.log")
}

/// The machine of a node. The emulator's working folder is the node's, because the path of a
/// socket may have only 107 bytes.
fn hardware(boot: &BootFiles, node: &Node, lsm: Option<&str>) -> Hardware {
    let lsm = lsm.map(|list| format!(" lsm={list}")).unwrap_or_default();
    let mut devices = devices(node);
    // The path of the root may contain a blank.
    let root = format!("if=none,id=root,format=raw,readonly=on,file={}", escaped(&boot.root));
    devices.extend(["-drive".to_owned(), root]);
    Hardware {
        kernel: boot.kernel.clone(),
        initrd: boot.initrd.clone(),
        parameters: format!("net.ifnames=0 mitigations=off{lsm}"),
        memory: MEMORY,
        // The emulator can run an instruction on one processor while the kernel patches it on
        // another, and the kernel then panics. With one processor this cannot happen.
        processors: 1,
        console: "console.log".into(),
        serial_ports: Vec::new(),
        devices,
    }
}

/// A network card, three disks, and the ports for requests and logs.
fn devices(node: &Node) -> Vec<String> {
    let (tap, index) = (node.tap(), node.index);
    let lines = [
        format!("-netdev tap,id=net,ifname={tap},script=no,downscript=no"),
        format!("-device virtio-net-pci,netdev=net,romfile=,mac=52:54:00:00:00:{index:02x}"),
        "-device virtio-blk-pci,drive=root -device virtio-blk-pci,drive=var".to_owned(),
        "-device virtio-blk-pci,drive=images".to_owned(),
        "-drive if=none,id=var,format=raw,cache=unsafe,file=disk.img".to_owned(),
        "-drive if=none,id=images,format=raw,cache=unsafe,file=images.img".to_owned(),
        "-device virtio-serial-pci".to_owned(),
        "-chardev socket,id=control,path=control.sock,server=on,wait=off".to_owned(),
        "-chardev file,id=containerd,path=containerd.log,append=on".to_owned(),
        "-chardev file,id=kubelet,path=kubelet.log,append=on".to_owned(),
        "-device virtserialport,chardev=control,name=control".to_owned(),
        "-device virtserialport,chardev=containerd,name=containerd".to_owned(),
        "-device virtserialport,chardev=kubelet,name=kubelet".to_owned(),
    ];
    lines.iter().flat_map(|line| words(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::node;
    use super::*;

    #[test]
    fn the_kernel_gets_the_lsm_list_or_none_at_all() {
        let node = node::parse(["vm:lsm"]).unwrap().remove(0);
        let parameters = |lsm| hardware(&BootFiles::places(), &node, lsm).parameters;
        assert!(parameters(Some("landlock,bpf")).ends_with(" lsm=landlock,bpf"));
        assert!(!parameters(None).contains("lsm="));
    }
}
