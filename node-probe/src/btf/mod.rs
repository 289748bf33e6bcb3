//! LSM hooks in the kernel's BTF, the kernel's own description of its types
//! (Documentation/bpf/btf.rst).
//!
//! In: the content of `/sys/kernel/btf/vmlinux`. Out: the hooks with the BTF ids of their functions
//! `bpf_lsm_…` ([`hooks`]), or only how many such functions there are ([`count_names`]).
//!
//! aya can look up one function by name, but cannot list functions, and its parsed form takes 18 MB
//! of memory. Both functions here walk over the bytes once; `count_names` keeps one name at a time
//! and runs in the long-lived daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Read};

use serde::{Deserialize, Serialize};

/// The name of a hook's function is this prefix and the hook's name.
const PREFIX: &str = "bpf_lsm_";

/// The canary's function, with the zero byte that ends a name. Every kernel with CONFIG_BPF_LSM has
/// it.
const CANARY_FUNCTION: &[u8] = b"bpf_lsm_task_prctl\0";

/// The kernel's union of all hooks (include/linux/lsm_hooks.h). Its members have the names of the
/// hooks.
const ALL_HOOKS: &str = "security_list_options";

/// A longer name is read in pieces of this length.
const MAX_NAME_LEN: u64 = 4096;

/// The size of `struct btf_header` in include/uapi/linux/btf.h.
const HEADER_LEN: usize = 24;
const MAGIC: u16 = 0xeb9f;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const FUNC: u32 = 12;

/// Why the bytes are not a kernel's BTF.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("this is not BTF, or BTF of the other byte order")]
    Header,
    /// A type or a name lies beyond the end of the bytes.
    #[error("the BTF ends too early")]
    Short,
    #[error("the BTF has a type of the unknown kind {0}")]
    Kind(u32),
}

/// The LSM hooks, each with the BTF id of its function.
pub fn hooks(btf: &[u8]) -> Result<BTreeMap<String, u32>, Error> {
    let sections = Sections::of(btf)?;
    let mut functions = BTreeMap::new();
    let mut members = BTreeSet::new();
    let mut rest = sections.types;
    let mut id = 1;
    while !rest.is_empty() {
        let (name, info) = (word(rest, 0)?, word(rest, 4)?);
        let (kind, count) = (info >> 24 & 0x7f, info & 0x00ff_ffff);
        let length = 12 + extra_len(kind, count)?;
        if kind == FUNC {
            if let Some(hook) = sections.name(name)?.strip_prefix(PREFIX) {
                functions.entry(hook.to_owned()).or_insert(id);
            }
        } else if kind == UNION && sections.name(name)? == ALL_HOOKS {
            for at in (12..length).step_by(12) {
                members.insert(sections.name(word(rest, at)?)?);
            }
        }
        rest = rest.get(length..).ok_or(Error::Short)?;
        id += 1;
    }
    // The kernel has other functions with this prefix (bpf_lsm_verify_prog). They are not hooks.
    functions.retain(|hook, _| members.is_empty() || members.contains(hook.as_str()));
    Ok(functions)
}

/// The number of bytes behind the first twelve, which every type has.
fn extra_len(kind: u32, count: u32) -> Result<usize, Error> {
    let count = usize::try_from(count).map_err(|_| Error::Short)?;
    match kind {
        // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG
        2 | 7..=12 | 16 | 18 => Ok(0),
        // INT, VAR, DECL_TAG
        1 | 14 | 17 => Ok(4),
        // ARRAY
        3 => Ok(12),
        // ENUM, FUNC_PROTO
        6 | 13 => Ok(8 * count),
        // DATASEC, ENUM64
        STRUCT | UNION | 15 | 19 => Ok(12 * count),
        other => Err(Error::Kind(other)),
    }
}

struct Sections<'a> {
    types: &'a [u8],
    strings: &'a [u8],
}

impl<'a> Sections<'a> {
    fn of(btf: &'a [u8]) -> Result<Self, Error> {
        match btf.first_chunk() {
            Some(magic) if u16::from_ne_bytes(*magic) == MAGIC => {}
            _ => return Err(Error::Header),
        }
        let offset =
            |at| word(btf, at).and_then(|word| usize::try_from(word).map_err(|_| Error::Short));
        let body = btf.get(offset(4)?..).ok_or(Error::Short)?;
        let section = |at| {
            let (begin, length) = (offset(at)?, offset(at + 4)?);
            body.get(begin..).and_then(|rest| rest.get(..length)).ok_or(Error::Short)
        };
        Ok(Self { types: section(8)?, strings: section(16)? })
    }

    /// The name at that offset. A name that is not UTF-8 becomes empty, since no hook has such a
    /// name.
    fn name(&self, offset: u32) -> Result<&'a str, Error> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.strings.get(offset..))
            .ok_or(Error::Short)?;
        let bytes = rest.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(str::from_utf8(bytes).unwrap_or_default())
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u32, Error> {
    let rest = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or(Error::Short)?;
    Ok(u32::from_ne_bytes(*rest))
}

/// What the names in BTF say about LSM hooks.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BtfNames {
    /// The length of the BTF in bytes.
    pub bytes: u64,
    /// The number of names that begin with `bpf_lsm_`.
    pub bpf_lsm: u64,
    /// Whether `bpf_lsm_task_prctl` is one of them.
    pub canary_hook: bool,
}

/// Counts the names of hook functions in the table of strings.
pub fn count_names(from: impl Read) -> io::Result<BtfNames> {
    let mut from = BufReader::with_capacity(64 << 10, from);
    let mut found = BtfNames { bytes: skip_types(&mut from)?, ..BtfNames::default() };
    let mut name = Vec::new();
    loop {
        name.clear();
        let read = from.by_ref().take(MAX_NAME_LEN).read_until(0, &mut name)?;
        if read == 0 {
            return Ok(found);
        }
        found.bytes += read as u64;
        found.bpf_lsm += u64::from(name.starts_with(PREFIX.as_bytes()));
        found.canary_hook |= name == CANARY_FUNCTION;
    }
}

/// Skips everything before the strings, and returns its length. Without a valid header, only that
/// header is skipped.
fn skip_types(from: &mut impl Read) -> io::Result<u64> {
    let mut header = Vec::with_capacity(HEADER_LEN);
    let read = from.by_ref().take(HEADER_LEN as u64).read_to_end(&mut header)? as u64;
    if !header.starts_with(&MAGIC.to_ne_bytes()) {
        return Ok(read);
    }
    let field = |at| u64::from(word(&header, at).unwrap_or(0));
    let (header_len, strings) = (field(4), field(16));
    let rest = (header_len + strings).saturating_sub(read);
    let skipped = io::copy(&mut from.by_ref().take(rest), &mut io::sink())?;
    Ok(read + skipped)
}

#[cfg(test)]
mod tests;
