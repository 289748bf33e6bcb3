//! Loads and attaches one LSM program for each rule.
//!
//! In: rules, and the kernel's BTF. Out: [`Enforced`]; dropping it takes the programs off the hook.

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
/// The hook on which it is tried whether the kernel takes an LSM program at all.
const FIRST_HOOK: &str = "file_mprotect";

/// A program that lets everything pass. It is loaded and attached only to see whether the kernel allows that.
pub struct Probe {
    btf: Btf,
    ebpf: Ebpf,
}

impl Probe {
    /// Loads it once, on another hook than the one that is used later.
    pub fn load() -> anyhow::Result<Self> {
        let btf = Btf::from_sys_fs().context("read the kernel's BTF")?;
        let ebpf = EbpfLoader::new().btf(Some(&btf)).load(OBJECT).context("make the maps")?;
        let mut probe = Self { btf, ebpf };
        probe.program(FIRST_HOOK)?.unload()?;
        Ok(probe)
    }

    /// Attaches it to `file_open` and takes it off again.
    pub fn attach(&mut self) -> anyhow::Result<()> {
        let program = self.program(PROGRAM)?;
        program.attach().context("attach the probe")?;
        Ok(program.unload()?)
    }

    fn program(&mut self, hook: &str) -> anyhow::Result<&mut Lsm> {
        let program = self.ebpf.program_mut(PROBE).context("the object has no such program")?;
        let program: &mut Lsm = program.try_into()?;
        program.load(hook, &self.btf).context("load the probe")?;
        Ok(program)
    }
}

/// Programs that are attached for as long as this lives.
pub struct Enforced(Vec<Ebpf>);

impl Enforced {
    /// How many programs there are.
    pub fn programs(&self) -> usize {
        self.0.len()
    }
}

/// Loads and attaches them all, or none. Takes a second or two where the processor is emulated.
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
        ebpf.program_mut(PROGRAM).context("the object has no such program")?.try_into()?;
    program.load(PROGRAM, btf).context("load the program")?;
    program.attach().context("attach the program")?;
    Ok(ebpf)
}
