//! The virtual machines of the comparison: the files in them, and their output as data.
//!
//! In: static programs of [`Arch`], and the C programs of `e2e/tests/kernels/`, which are compiled
//! here. Out: what was [`Measured`] in each place of a boot, and what was left of [`Killed`] checks
//! and daemons.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::{Boot, Error, Place, arm64};
use crate::pki::{Authority, Subject};
use crate::stock_kernel::{Arch, Kernel};
use crate::vm::{self, How, Machine, Securityfs};
use crate::{command, paths};

/// What was measured in one place.
#[derive(Clone, Debug, Deserialize)]
pub struct Measured {
    /// The place.
    pub place: Place,
    /// The exit code of `node-probe check`.
    pub exit: u8,
    /// Its exit code with `--require attached`; on the host only.
    pub exit_attached: Option<u8>,
    /// Its report, where it printed one.
    pub report: Option<Report>,
    /// What the truth program found; none where that was killed.
    pub truth: Option<Truth>,
    /// Whether the file of active LSMs contains `bpf`.
    pub lsm_list: bool,
    /// Whether there is BTF, and the kernel's configuration has CONFIG_BPF_LSM=y.
    pub btf_and_config: bool,
}

/// The documented form of a check (docs/check-output.md): the parts that are judged.
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    /// The form's version.
    pub schema: String,
    /// The highest rung that was proved.
    pub evidence: String,
    /// Why the evidence is no higher.
    pub reason: String,
    /// What to change.
    pub fix: String,
    /// The rungs and the facts.
    pub checks: Vec<Check>,
}

/// One line of a report.
#[derive(Clone, Debug, Deserialize)]
pub struct Check {
    /// The name.
    pub name: String,
    /// Pass, Fail or Unknown.
    pub outcome: String,
}

/// What the truth program prints.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Truth {
    /// Whether the verifier took its program.
    pub loaded: bool,
    /// Whether the program was attached.
    pub attached: bool,
    /// Whether it denied what it should, and nothing else.
    pub denied: bool,
    /// The step at which it ended.
    pub stage: String,
    /// The errno of that step; 0 where nothing failed.
    pub errno: i32,
}

/// The ids of what the kernel has loaded.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Loaded {
    /// Programs.
    pub programs: Vec<u32>,
    /// Maps.
    pub maps: Vec<u32>,
    /// Links.
    pub links: Vec<u32>,
}

/// A check that was killed with its canary attached.
#[derive(Clone, Debug, Deserialize)]
pub struct WhileAttached {
    /// What was loaded before.
    pub before: Loaded,
    /// What was loaded at the kill.
    pub attached: Loaded,
    /// What was loaded in the end.
    pub after: Loaded,
}

/// Processes that were killed at random moments.
#[derive(Clone, Debug, Deserialize)]
pub struct AtRandom {
    /// The seed of the random moments.
    pub seed: u64,
    /// The number of kills.
    pub kills: u32,
    /// How many kills met a process that still ran.
    pub running: u32,
    /// How many kills met a process that had something loaded.
    pub with_loaded: u32,
    /// What was loaded before.
    pub before: Loaded,
    /// What was loaded after all kills.
    pub after: Loaded,
}

/// The kills in one machine.
#[derive(Clone, Debug)]
pub struct Killed {
    /// A check that was killed with its canary attached.
    pub attached: WhileAttached,
    /// Checks that were killed at random moments.
    pub checks: AtRandom,
    /// Probe daemons that were killed at random moments.
    pub daemons: AtRandom,
}

/// The files that go into every machine.
pub struct Machines {
    files: Vec<(PathBuf, String)>,
    /// The folder of the compiled programs.
    _folder: TempDir,
}

/// The static programs of a machine: the node-probe to try (`NODE_PROBE`, or the one that the
/// Makefile builds) and, for another architecture than this machine's, the first process and
/// busybox.
pub fn programs(arch: Arch) -> Result<Vec<(PathBuf, String)>, Error> {
    let mut files = Vec::new();
    let built = match arch {
        Arch::Amd64 => paths::static_program("node-probe"),
        Arch::Arm64 => {
            let folder = arm64::folder();
            files.push((folder.join("busybox"), "/bin/busybox".to_owned()));
            files.push((folder.join("guest"), "/init".to_owned()));
            folder.join("node-probe")
        }
    };
    let probe = std::env::var_os("NODE_PROBE").map_or(built, PathBuf::from);
    if !probe.is_file() {
        return Err(Error::NoProbe(probe));
    }
    files.push((probe, "/bin/node-probe".to_owned()));
    Ok(files)
}

/// Writes a kubeconfig for the API server that runs inside a machine.
pub fn write_kubeconfig(path: &Path) -> Result<(), Error> {
    let probe = Subject::client("probe", None);
    Ok(Authority::new()?.write_kubeconfig(path, "http://127.0.0.1:8080", &probe)?)
}

impl Machines {
    /// Compiles the programs.
    pub fn prepare(arch: Arch) -> Result<Self, Error> {
        if arch == Arch::Arm64 {
            arm64::prepare()?;
        }
        let folder = TempDir::with_prefix("kernels-").map_err(Error::Folder)?;
        let sources = paths::sources().join("tests/kernels");
        let mut files = programs(arch)?;
        let kubeconfig = folder.path().join("kubeconfig");
        write_kubeconfig(&kubeconfig)?;
        files.push((kubeconfig, "/bin/kubeconfig".to_owned()));
        for name in ["truth", "confine", "kill_while_attached", "kill_at_random"] {
            let program = folder.path().join(name);
            compile(arch.cc(), &sources.join(format!("{name}.c")), &program)?;
            files.push((program, format!("/bin/{name}")));
        }
        Ok(Self { files, _folder: folder })
    }

    /// Boots once, and measures in every place of the boot. An error has the last messages of the
    /// kernel.
    pub fn measure(&self, kernel: &Kernel, boot: &Boot) -> Result<Vec<Measured>, String> {
        let places = boot.places.iter().map(|place| place.name().to_owned());
        let command: Vec<String> =
            ["guest", "measure"].map(str::to_owned).into_iter().chain(places).collect();
        let measured: Vec<Measured> = objects(&self.run(kernel, boot.parameters, &command)?)?;
        let asked: Vec<Place> = measured.iter().map(|measured| measured.place).collect();
        if asked == boot.places { Ok(measured) } else { Err(format!("measured only in {asked:?}")) }
    }

    /// Boots once, and kills checks and probe daemons.
    pub fn kill(&self, kernel: &Kernel, kills: u32, seed: u64) -> Result<Killed, String> {
        let command = ["guest".to_owned(), "kill".to_owned(), kills.to_string(), seed.to_string()];
        let output = self.run(kernel, "lsm=landlock,bpf", &command)?;
        let lines: Vec<&str> = output.lines().collect();
        let [attached, checks, daemons] = lines.as_slice() else {
            return Err(format!("expected three lines: {output}"));
        };
        Ok(Killed {
            attached: object(attached)?,
            checks: object(checks)?,
            daemons: object(daemons)?,
        })
    }

    fn run(&self, kernel: &Kernel, parameters: &str, command: &[String]) -> Result<String, String> {
        let config = (kernel.folder.join("config"), format!("/boot/config-{}", kernel.release));
        let machine = Machine {
            kernel: kernel.image(),
            append: parameters.to_owned(),
            memory: 512,
            files: self.files.iter().cloned().chain([config]).collect(),
            securityfs: Securityfs::Mounted,
            timeout: Duration::from_mins(20),
        };
        let mut stdout = Vec::new();
        let ended = vm::run(&machine, command, &mut stdout).map_err(|error| error.to_string())?;
        if ended.how == How::Exited(0) {
            return String::from_utf8(stdout).map_err(|error| error.to_string());
        }
        let stderr = String::from_utf8_lossy(&ended.stderr);
        Err(format!(
            "{:?}: {}\n{stderr}\n{}",
            ended.how,
            String::from_utf8_lossy(&stdout),
            ended.console
        ))
    }
}

/// Compiles a static C program.
pub fn compile(cc: &str, source: &Path, program: &Path) -> Result<(), Error> {
    let mut cc = Command::new(cc);
    cc.args(["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(program).arg(source);
    command::run(&mut cc)?;
    Ok(())
}

fn objects<T: DeserializeOwned>(text: &str) -> Result<Vec<T>, String> {
    let all: Result<Vec<T>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
    all.map_err(|error| format!("{error}: {text}"))
}

fn object<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))
}
