//! Loads and attaches one LSM program for each rule.
//!
//! In: rules, and the kernel's BTF. Out: [`Enforced`]. Dropping it detaches the programs.

use std::fs;

use anyhow::Context as _;
use aya::programs::Lsm;
use aya::{Btf, Ebpf, EbpfLoader};

use crate::btf::Types;
use crate::policy::{LONGEST, Rule};

/// The object that the build script compiles from `ebpf/`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/agent.o"));

const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";
const PROGRAM: &str = "file_open";
const PROBE: &str = "probe";
/// The hook with which Tetragon finds out whether the kernel takes any LSM program.
const FIRST_HOOK: &str = "file_mprotect";

/// A program that allows everything. It is loaded and attached only to see whether the kernel
/// allows that.
pub struct Probe {
    btf: Btf,
    ebpf: Ebpf,
}

impl Probe {
    /// Loads it once, on another hook than the one that is used later. Fails where the kernel
    /// refuses it.
    pub fn load() -> anyhow::Result<Self> {
        let btf = Btf::from_sys_fs().context("read the kernel's BTF")?;
        let ebpf = EbpfLoader::new().btf(Some(&btf)).load(OBJECT).context("make the maps")?;
        let mut probe = Self { btf, ebpf };
        probe.program(FIRST_HOOK)?.unload()?;
        Ok(probe)
    }

    /// Attaches it to `file_open` and detaches it again.
    pub fn attach(&mut self) -> anyhow::Result<()> {
        let program = self.program(PROGRAM)?;
        program.attach().context("attach the probe")?;
        Ok(program.unload()?)
    }

    fn program(&mut self, hook: &str) -> anyhow::Result<&mut Lsm> {
        let program =
            self.ebpf.program_mut(PROBE).context("the program is missing in the object")?;
        let program: &mut Lsm = program.try_into()?;
        program.load(hook, &self.btf).context("load the probe")?;
        Ok(program)
    }
}

/// Programs that stay attached until this is dropped.
pub struct Enforced(Vec<Ebpf>);

impl Enforced {
    /// The number of programs.
    pub fn programs(&self) -> usize {
        self.0.len()
    }
}

/// Loads and attaches all rules, or none. This takes a second or two on an emulated processor.
pub fn enforce(rules: &[Rule]) -> anyhow::Result<Enforced> {
    let btf = Btf::from_sys_fs().context("read the kernel's BTF")?;
    let bytes = fs::read(KERNEL_BTF).with_context(|| format!("read {KERNEL_BTF}"))?;
    let offset = Types::parse(&bytes)?.offset("file", "f_path")?;
    rules.iter().map(|rule| attach(rule, offset, &btf)).collect::<anyhow::Result<_>>().map(Enforced)
}

fn attach(rule: &Rule, offset: u64, btf: &Btf) -> anyhow::Result<Ebpf> {
    let mut path = [0_u8; LONGEST + 1];
    path.iter_mut().zip(rule.path.bytes()).for_each(|(to, from)| *to = from);
    let length = u32::try_from(rule.path.len())?;
    let mut ebpf = EbpfLoader::new()
        .btf(Some(btf))
        .override_global("RULE_PATH", &path, true)
        .override_global("RULE_LENGTH", &length, true)
        .override_global("RULE_VERDICT", &rule.verdict, true)
        .override_global("FILE_PATH_OFFSET", &offset, true)
        .load(OBJECT)
        .context("make the maps")?;
    let program: &mut Lsm =
        ebpf.program_mut(PROGRAM).context("the program is missing in the object")?.try_into()?;
    program.load(PROGRAM, btf).context("load the program")?;
    program.attach().context("attach the program")?;
    Ok(ebpf)
}
