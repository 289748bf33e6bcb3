//! What nodes in virtual machines boot from: a stock kernel, a ramdisk with drivers, and a root
//! file system.
//!
//! In: the kernel, the multi-call binary of Kubernetes, the program `guest`, and programs of this
//! machine. Out: `target/e2e/guest/{initrd,root.img}`. The root is read-only and the same for every
//! node. Building takes a few seconds, and nothing when the inputs are the same.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e_guest::{MODULES, Start};

use super::{Error, disk};
use crate::command::{find_program, output, run};
use crate::stock_kernel::{self, Arch, Kernel};
use crate::vm::initramfs::{Archive, guest_program};
use crate::{image, paths};

/// The series of the kernel that the virtual machines run.
const KERNEL: &str = "6.12";
/// The drivers that a node needs. Other drivers that these need are added.
const DRIVERS: [&str; 5] = ["virtio_blk", "virtio_net", "overlay", "bridge", "veth"];
/// Programs of this machine that a node runs.
const PROGRAMS: [&str; 6] =
    ["containerd", "containerd-shim-runc-v2", "runc", "ctr", "mount", "umount"];
const PLUGINS: [&str; 3] =
    ["/usr/lib/cni/bridge", "/usr/lib/cni/host-local", "/usr/lib/cni/loopback"];
const FOLDERS: [&str; 17] = [
    "bin",
    "sbin",
    "usr/bin",
    "usr/sbin",
    "usr/lib/cni",
    "etc",
    "proc",
    "sys",
    "dev",
    "run",
    "tmp",
    "var",
    "root",
    "opt",
    "lib",
    "lib64",
    "mnt",
];
const OS_RELEASE: &str = r#"PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION="12 (bookworm)"
VERSION_CODENAME=bookworm
ID=debian
"#;

/// The files that every virtual machine boots from.
#[derive(Clone, Debug)]
pub struct BootFiles {
    /// The kernel's image.
    pub kernel: PathBuf,
    /// The initial ramdisk.
    pub initrd: PathBuf,
    /// The root file system.
    pub root: PathBuf,
}

impl BootFiles {
    /// Where [`BootFiles::build`] puts them.
    pub fn places() -> Self {
        let dir = dir();
        Self {
            kernel: paths::state().join("kernels").join(KERNEL).join("vmlinuz"),
            initrd: dir.join("initrd"),
            root: dir.join("root.img"),
        }
    }

    /// Fetches the kernel and builds the rest, where that is not done yet.
    pub fn build() -> Result<Self, Error> {
        let kernel = stock_kernel::fetch(Arch::Amd64, KERNEL)?;
        let inputs = Inputs::find()?;
        let doing = || Error::io("build the disk of the virtual machines");
        let _lock = paths::lock(&dir().join(".lock")).map_err(doing())?;
        let (key, key_file) = (inputs.key(&kernel).map_err(doing())?, dir().join(".key"));
        let places = Self::places();
        if fs::read_to_string(&key_file).is_ok_and(|built| built == key) {
            return Ok(places);
        }
        eprintln!("rig: building the disk of the virtual machines");
        places.build_from(&kernel, &inputs)?;
        fs::write(&key_file, key).map_err(doing())?;
        Ok(places)
    }

    fn build_from(&self, kernel: &Kernel, inputs: &Inputs) -> Result<(), Error> {
        let doing = || Error::io("build the disk of the virtual machines");
        let work = dir().join(".partial");
        let (root, initrd, image) = (work.join("root"), work.join("initrd"), work.join("root.img"));
        paths::remove_dir(&work).map_err(doing())?;
        fs::create_dir_all(&root).map_err(doing())?;
        write_initrd(kernel, inputs, &initrd)?;
        write_root(inputs, &root)?;
        let size = run(Command::new("du").arg("-sm").arg(&root))?;
        let size = size.split_whitespace().next().and_then(|size| size.parse().ok());
        let size: u64 = size.unwrap_or(1024);
        let size = format!("{}M", size + size / 8 + 32);
        disk::make(&root, &image, &size, &disk::READ_ONLY)?;
        let finish = || {
            fs::rename(initrd, &self.initrd)?;
            fs::rename(image, &self.root)?;
            paths::remove_dir(&work)
        };
        finish().map_err(doing())
    }
}

fn dir() -> PathBuf {
    paths::state().join("guest")
}

/// The files that go into the ramdisk and the root.
struct Inputs {
    guest: PathBuf,
    busybox: PathBuf,
    kubelet: PathBuf,
    /// Programs and plugins, which keep their places.
    programs: Vec<PathBuf>,
}

impl Inputs {
    fn find() -> Result<Self, Error> {
        let programs = PROGRAMS.iter().map(|name| find_program(name));
        let plugins = PLUGINS.iter().map(|path| Ok(PathBuf::from(path)));
        Ok(Self {
            guest: guest_program()?,
            busybox: find_program("busybox")?,
            kubelet: paths::programs().join("cluster"),
            programs: programs.chain(plugins).collect::<Result<_, crate::command::Error>>()?,
        })
    }

    /// A digest of everything that makes one build differ from another: this source file, and each
    /// input's size and time.
    fn key(&self, kernel: &Kernel) -> io::Result<String> {
        let mut text = include_str!("root_disk.rs").to_owned();
        let own = [&self.guest, &self.busybox, &self.kubelet, &kernel.image()];
        for file in self.programs.iter().chain(own) {
            let found = fs::metadata(file).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", file.display()))
            })?;
            let line =
                [file.display().to_string(), found.size().to_string(), found.mtime().to_string()];
            text.push_str(&line.join(" "));
        }
        Ok(image::sha256(text.as_bytes()))
    }
}

/// The ramdisk: the first process, and the drivers, unpacked, in the order in which they must be
/// loaded.
fn write_initrd(kernel: &Kernel, inputs: &Inputs, to: &Path) -> Result<(), Error> {
    let files = driver_files(kernel)?;
    let mut modules = Vec::new();
    for file in &files {
        let name =
            file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = name.split(".ko").next().unwrap_or_default();
        modules.push((format!("{name}.ko"), unpacked(file)?));
    }
    let write = || {
        let mut archive = Archive::create(to)?;
        archive.copy(&inputs.guest, "/init")?;
        archive.directory("dev")?;
        archive.directory("new")?;
        archive.start(&Start::Node {
            modules: modules.iter().map(|(name, _)| name.clone()).collect(),
        })?;
        for (name, content) in &modules {
            archive.file(&format!("{MODULES}/{name}"), 0o644, content)?;
        }
        archive.end()
    };
    write().map_err(Error::io("write the ramdisk of the virtual machines"))
}

fn driver_files(kernel: &Kernel) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for driver in DRIVERS {
        let mut modprobe = Command::new("modprobe");
        modprobe
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .arg("-d")
            .arg(kernel.folder.join("modules"));
        let text = run(modprobe.args(["-S", &kernel.release, "--show-depends", driver]))?;
        for line in text.lines() {
            if let Some(file) = line.strip_prefix("insmod ").map(|rest| PathBuf::from(rest.trim()))
                && !files.contains(&file)
            {
                files.push(file);
            }
        }
    }
    Ok(files)
}

/// The content of a driver's file, which may be compressed.
fn unpacked(file: &Path) -> Result<Vec<u8>, Error> {
    let mut unpack = match file.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => Command::new("xz"),
        Some("zst") => Command::new("zstd"),
        _ => return fs::read(file).map_err(Error::io(format!("read {}", file.display()))),
    };
    Ok(output(unpack.arg("-dcq").arg(file))?)
}

/// The root: busybox, and programs with the libraries that they are linked to.
fn write_root(inputs: &Inputs, root: &Path) -> Result<(), Error> {
    let applets = run(Command::new(&inputs.busybox).arg("--list"))?;
    let write = || {
        FOLDERS.iter().try_for_each(|folder| fs::create_dir_all(root.join(folder)))?;
        fs::copy(&inputs.busybox, root.join("bin/busybox"))?;
        // The kubelet needs the real mount, which is one of the programs.
        let ours = applets.lines().filter(|name| !["busybox", "mount", "umount"].contains(name));
        for applet in ours {
            symlink("/bin/busybox", root.join("bin").join(applet))?;
        }
        fs::copy(&inputs.kubelet, root.join("usr/bin/kubelet"))?;
        fs::copy(&inputs.guest, root.join("init"))?;
        write_configuration(root)
    };
    write().map_err(Error::io("write the root of the virtual machines"))?;
    inputs.programs.iter().try_for_each(|program| add_program(program, root))
}

fn write_configuration(root: &Path) -> io::Result<()> {
    let etc = root.join("etc");
    fs::write(etc.join("passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    fs::write(etc.join("group"), "root:x:0:\n")?;
    fs::write(etc.join("hosts"), "127.0.0.1 localhost\n")?;
    fs::write(etc.join("nsswitch.conf"), "hosts: files dns\n")?;
    fs::write(etc.join("resolv.conf"), "")?;
    fs::write(etc.join("os-release"), OS_RELEASE)?;
    symlink("/var/node/machine-id", etc.join("machine-id"))
}

/// Copies a program, and the libraries that it is linked to, to the places that they have on this
/// machine.
fn add_program(program: &Path, root: &Path) -> Result<(), Error> {
    // ldd fails on a static program.
    let listed = run(Command::new("ldd").arg(program)).unwrap_or_default();
    let libraries =
        listed.split_whitespace().filter(|word| word.starts_with('/') && word.contains(".so"));
    for file in libraries.map(Path::new).chain([program]) {
        let to = root.join(file.strip_prefix("/").unwrap_or(file));
        let copy = || {
            to.parent().map_or(Ok(()), fs::create_dir_all)?;
            if to.exists() { Ok(0) } else { fs::copy(file, &to) }
        };
        copy().map_err(Error::io(format!(
            "copy {} into the root of the virtual machines",
            file.display()
        )))?;
    }
    Ok(())
}
