//! QEMU's command line, for every virtual machine of the rig.
//!
//! In: [`Hardware`]. Out: the command that runs it. The processor is emulated unless `VM_ACCEL=kvm`
//! asks for more: a /dev/kvm that exists need not work. A kernel of another architecture always
//! runs on an emulated processor.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::architecture::Architecture;

/// A virtual machine, for QEMU.
#[derive(Clone, Debug)]
pub struct Hardware {
    /// The kernel's image.
    pub kernel: PathBuf,
    /// The initial ramdisk.
    pub initrd: PathBuf,
    /// Boot parameters, besides those that every machine has.
    pub parameters: String,
    /// Memory in MiB. The machine takes only what it touches.
    pub memory: u32,
    /// The number of processors.
    pub processors: u8,
    /// The file for the kernel's messages, which are appended.
    pub console: PathBuf,
    /// Character devices for serial ports, from /dev/ttyS1 on.
    pub serial_ports: Vec<CharacterDevice>,
    /// Other devices: disks, networks, other ports. Two words each, for instance `-device`
    /// and its value.
    pub devices: Vec<String>,
}

/// One end of a port on this side.
#[derive(Clone, Debug)]
pub struct CharacterDevice {
    /// Its name in QEMU.
    pub id: &'static str,
    /// The file for what the machine writes; QEMU's standard output where there is none.
    pub file: Option<PathBuf>,
}

/// A QEMU, with the package that has it.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The name of the program.
    pub name: &'static str,
    /// The package.
    pub package: &'static str,
}

impl Hardware {
    /// The QEMU for this kernel. Fails where the kernel cannot be read.
    pub fn program(&self) -> io::Result<Program> {
        let architecture = self.architecture()?;
        Ok(Program { name: architecture.qemu(), package: architecture.package() })
    }

    fn architecture(&self) -> io::Result<Architecture> {
        let mut head = Vec::new();
        File::open(&self.kernel)?.take(64).read_to_end(&mut head)?;
        Ok(Architecture::of(&head))
    }

    /// QEMU's arguments. Fails where the kernel cannot be read.
    pub fn arguments(&self) -> io::Result<Vec<String>> {
        let architecture = self.architecture()?;
        let mut all = words("-nodefaults -no-user-config -display none -no-reboot -cpu max");
        let mut add = |name: &str, value: String| all.extend([name.to_owned(), value]);
        add("-accel", accelerator(architecture));
        add("-smp", self.processors.to_string());
        add("-m", self.memory.to_string());
        add("-kernel", self.kernel.display().to_string());
        add("-initrd", self.initrd.display().to_string());
        let own = architecture.parameters();
        add("-append", format!("{own} quiet panic=-1 {}", self.parameters));
        let console = CharacterDevice { id: "console", file: Some(self.console.clone()) };
        for device in self.serial_ports.iter().chain([&console]) {
            add("-chardev", device.argument());
        }
        let ports: Vec<&str> = self.serial_ports.iter().map(|port| port.id).collect();
        all.extend(architecture.serial_ports(&ports));
        all.extend(self.devices.iter().cloned());
        Ok(all)
    }
}

impl CharacterDevice {
    fn argument(&self) -> String {
        let id = self.id;
        match &self.file {
            Some(file) => format!("file,id={id},append=on,path={}", escaped(file)),
            None => format!("stdio,id={id},signal=off"),
        }
    }
}

/// A path as a part of one of QEMU's values, in which a comma ends the part.
pub fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// The words of a line.
pub fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

fn accelerator(architecture: Architecture) -> String {
    let wanted = std::env::var("VM_ACCEL").ok().filter(|_| architecture.is_native());
    wanted.unwrap_or_else(|| "tcg,thread=multi".to_owned())
}

/// The program, to be killed when this process ends without a chance to do it itself (setpriv is
/// util-linux's).
pub fn bound_to_us(program: &str) -> Command {
    let has_setpriv =
        Command::new("setpriv").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !has_setpriv {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_its_ports_and_parameters() {
        let dir = tempfile::tempdir().unwrap();
        let kernel = dir.path().join("vmlinuz");
        std::fs::write(&kernel, "MZ").unwrap();
        let hardware = Hardware {
            kernel,
            initrd: "/i".into(),
            parameters: "lsm=bpf".to_owned(),
            memory: 512,
            processors: 1,
            console: "/a,b/console".into(),
            serial_ports: vec![CharacterDevice { id: "out", file: None }],
            devices: words("-device x"),
        };
        let line = hardware.arguments().unwrap().join(" ");
        for part in [
            "-m 512",
            "quiet panic=-1 lsm=bpf -chardev stdio,id=out,signal=off",
            "path=/a,,b/console",
            "-serial chardev:console -serial chardev:out -device x",
        ] {
            assert!(line.contains(part), "{part} is missing: {line}");
        }
        assert_eq!(hardware.program().unwrap().package, "qemu-system-x86");
    }
}
