//! A node in a virtual machine: a stock kernel, a shared read-only root, a disk of its own and one with its images.
//!
//! In: the kernel, the built root, the node's configuration and its `lsm=` list. Out: an emulator process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::config::{self, Places};
use super::node::{GATEWAY, Node};
use super::{Error, bake, control, remove_dir, remove_file};
use crate::command::{run, run_visibly};
use crate::paths;
use crate::process::{self, Processes};
use crate::wait;

/// The series of the kernel that the virtual machines run.
const KERNEL: &str = "6.12";
/// Memory of a virtual machine; the machine gives it only what it touches.
const MEMORY: &str = "2048";
/// The size of a node's own disk and of the one with its images; the file holds only what is written.
pub const DISK: &str = "8G";
const POWER_OFF: Duration = Duration::from_secs(30);

/// What every virtual machine boots from.
#[derive(Clone, Debug)]
pub struct Boot {
    kernel: PathBuf,
    dir: PathBuf,
}

impl Boot {
    /// The places of kernel and disks that [`Boot::build`] fills.
    pub fn new() -> Self {
        Self {
            kernel: paths::state().join("kernels").join(KERNEL),
            dir: paths::state().join("guest"),
        }
    }

    /// Fetches the kernel and builds the root, where that is not done yet.
    ///
    /// # Errors
    /// When one of the scripts fails.
    pub async fn build(&self) -> Result<(), Error> {
        let mut fetch = Command::new(paths::sources().join("kernels.sh"));
        fetch.arg(KERNEL);
        run_visibly(fetch).await?;
        let mut build = Command::new(paths::sources().join("guest/build.sh"));
        build.arg(&self.kernel).arg(paths::programs().join("cluster"));
        run_visibly(build).await?;
        Ok(())
    }
}

impl Default for Boot {
    fn default() -> Self {
        Self::new()
    }
}

/// One virtual machine.
#[derive(Clone, Debug)]
pub struct Guest {
    name: String,
    dir: PathBuf,
    processes: Processes,
}

impl Guest {
    /// The one of a node; its files are in a folder of its name below `dir`.
    pub fn new(node: &Node, dir: &Path, processes: Processes) -> Self {
        Self { name: node.name.clone(), dir: dir.join(&node.name), processes }
    }

    /// Where certificates go that [`Guest::make_disk`] puts on the disk.
    pub fn node_dir(&self) -> PathBuf {
        self.dir.join("var/node")
    }

    /// Makes the disk with the node's configuration, and a copy of the one with the images.
    ///
    /// # Errors
    /// When a file cannot be written or copied, or `mke2fs` fails.
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
            fs::write(
                dir.join("environment"),
                format!("NODE={} ADDRESS={} GATEWAY={GATEWAY}\n", node.name, node.address()),
            )
        };
        write().map_err(Error::io(format!("prepare the disk of {}", node.name)))?;
        let mut make = Command::new("mke2fs");
        make.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
        run(make
            .args([
                "-q",
                "-F",
                "-t",
                "ext4",
                "-m",
                "0",
                "-E",
                "lazy_itable_init=1,root_owner=0:0",
                "-d",
            ])
            .arg(&var)
            .arg(self.dir.join("disk.img"))
            .arg(DISK))?;
        bake::copy(images, &self.dir.join("images.img"))
    }

    /// Powers it on with an `lsm=` list.
    ///
    /// # Errors
    /// When the emulator cannot be started.
    pub fn power_on(&self, boot: &Boot, node: &Node, lsm: Option<&str>) -> Result<(), Error> {
        // What a machine that was killed left behind.
        let _ = fs::remove_file(self.socket());
        let mut emulator = Command::new("qemu-system-x86_64");
        emulator.current_dir(&self.dir).args(emulator_arguments(boot, node, lsm));
        self.processes.spawn(&self.name, &mut emulator)?;
        Ok(())
    }

    /// Lets it write its disk and turn itself off; one that does not answer is turned off.
    ///
    /// # Errors
    /// When even that does not work.
    pub async fn power_off(&self) -> Result<(), Error> {
        let Some(record) = self.processes.get(&self.name) else {
            return Err(Error::NotUp);
        };
        // Taken out first: it is not to be reported as ended by itself.
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
    ///
    /// # Errors
    /// When the machine cannot be asked or cannot do it.
    pub async fn import(&self, archive: &Path) -> Result<(), Error> {
        control::import(&self.socket(), archive).await?;
        Ok(())
    }

    /// Removes its disk; logs stay.
    ///
    /// # Errors
    /// When a file cannot be removed.
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

/// What a node's kernel had to say, which is the most about one that does not come up.
pub fn console(dir: &Path, name: &str) -> PathBuf {
    dir.join(name).join("console.log")
}

/// The emulator's arguments; its working folder is the node's.
fn emulator_arguments(boot: &Boot, node: &Node, lsm: Option<&str>) -> Vec<String> {
    let lsm = lsm.map(|list| format!(" lsm={list}")).unwrap_or_default();
    let port = |name: &str| format!("virtserialport,chardev={name},name={name}");
    let arguments = [
        "-nodefaults -no-user-config -display none -no-reboot -cpu max -smp 2".to_owned(),
        "-accel tcg,thread=multi".to_owned(),
        format!("-m {MEMORY}"),
        "-chardev file,id=console,path=console.log,append=on -serial chardev:console".to_owned(),
        format!("-netdev tap,id=net,ifname={},script=no,downscript=no", node.tap()),
        format!("-device virtio-net-pci,netdev=net,romfile=,mac=52:54:00:00:00:{:02x}", node.index),
        "-device virtio-blk-pci,drive=root -device virtio-blk-pci,drive=var -device virtio-blk-pci,drive=images"
            .to_owned(),
        "-drive if=none,id=var,format=raw,cache=unsafe,file=disk.img".to_owned(),
        "-drive if=none,id=images,format=raw,cache=unsafe,file=images.img".to_owned(),
        "-device virtio-serial-pci -chardev socket,id=control,path=control.sock,server=on,wait=off".to_owned(),
        "-chardev file,id=containerd,path=containerd.log,append=on".to_owned(),
        "-chardev file,id=kubelet,path=kubelet.log,append=on".to_owned(),
    ];
    let mut words: Vec<String> =
        arguments.iter().flat_map(|line| line.split(' ')).map(str::to_owned).collect();
    let paths = |name: &str, path: PathBuf| [name.to_owned(), path.display().to_string()];
    words.extend(paths("-kernel", boot.kernel.join("vmlinuz")));
    words.extend(paths("-initrd", boot.dir.join("initrd")));
    let root = boot.dir.join("root.img").display().to_string().replace(',', ",,");
    words.extend([
        "-drive".to_owned(),
        format!("if=none,id=root,format=raw,readonly=on,file={root}"),
    ]);
    for name in ["control", "containerd", "kubelet"] {
        words.extend(["-device".to_owned(), port(name)]);
    }
    // The kernel would try its timer within a fraction of a second, which an emulator on a busy machine misses, and panic.
    let append =
        format!("console=ttyS0 quiet panic=-1 net.ifnames=0 mitigations=off no_timer_check{lsm}");
    words.extend(["-append".to_owned(), append]);
    words
}

#[cfg(test)]
mod tests {
    use super::super::node;
    use super::*;

    fn append(lsm: Option<&str>) -> String {
        let node = node::parse(["vm:lsm"]).unwrap().remove(0);
        emulator_arguments(&Boot::new(), &node, lsm).pop().unwrap()
    }

    #[test]
    fn the_kernel_gets_the_list_or_none_at_all() {
        assert!(append(Some("landlock,bpf")).ends_with(" lsm=landlock,bpf"));
        assert!(!append(None).contains("lsm="));
    }
}
