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

/// Programs that are attached for as long as this lives.
pub struct Enforced(Vec<Ebpf>);

impl Enforced {
    /// How many programs there are.
    #[must_use]
    pub fn programs(&self) -> usize {
        self.0.len()
    }
}

/// Loads and attaches them all, or none. Takes a second or two where the processor is emulated.
///
/// # Errors
/// Where BTF cannot be read or the kernel refuses a program.
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
    let program: &mut Lsm = ebpf.program_mut(PROGRAM).context("the object has no such program")?.try_into()?;
    program.load(PROGRAM, btf).context("load the program")?;
    program.attach().context("attach the program")?;
    Ok(ebpf)
}
