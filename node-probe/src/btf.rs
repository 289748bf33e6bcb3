//! The kernel's own list of LSM hooks, out of its BTF.
//!
//! In: the bytes of `/sys/kernel/btf/vmlinux`. Out: each hook with the BTF id of its function `bpf_lsm_…`.
//!
//! aya can look up one function by name and has no list of them, and its parsed form takes 18 MB. This walks over the
//! bytes once and keeps nothing but what it looks for. The format: Documentation/bpf/btf.rst.

use std::collections::{BTreeMap, BTreeSet};

/// What every hook's function is called, with the hook's name behind it.
const PREFIX: &str = "bpf_lsm_";

/// The kernel's union of all hooks (include/linux/lsm_hooks.h), whose members are named as the hooks are.
const ALL_HOOKS: &str = "security_list_options";

const MAGIC: u16 = 0xeb9f;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const FUNC: u32 = 12;

/// Why the bytes are not a kernel's BTF.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// They do not begin as BTF of this machine's byte order does.
    #[error("no BTF, or of another byte order")]
    Header,
    /// A type or a name lies beyond their end.
    #[error("cut short")]
    Short,
    /// A kind of type of which this program does not know how long it is.
    #[error("a type of kind {0}, which this program does not know")]
    Kind(u32),
}

/// The hooks and their functions' ids.
///
/// # Errors
/// Where the bytes are not BTF that can be read to its end.
pub fn hooks(btf: &[u8]) -> Result<BTreeMap<String, u32>, Error> {
    let sections = Sections::of(btf)?;
    let mut functions = BTreeMap::new();
    let mut members = BTreeSet::new();
    let mut rest = sections.types;
    let mut id = 1;
    while !rest.is_empty() {
        let (name, info) = (word(rest, 0)?, word(rest, 4)?);
        let (kind, count) = (info >> 24 & 0x7f, info & 0x00ff_ffff);
        let length = 12 + extra(kind, count)?;
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
    // The kernel has functions of its own under the same prefix (bpf_lsm_verify_prog), which are no hooks.
    functions.retain(|hook, _| members.is_empty() || members.contains(hook.as_str()));
    Ok(functions)
}

/// How many bytes follow the twelve that every type has.
fn extra(kind: u32, count: u32) -> Result<usize, Error> {
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

    /// The name at that offset; what is not UTF-8 is no name that is looked for.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// BTF with these types: kind, name, and the names of members where it has some.
    fn btf(types: &[(u32, &str, &[&str])]) -> Vec<u8> {
        let (mut body, mut strings) = (Vec::new(), vec![0]);
        let mut text = |name: &str| {
            let offset = u32::try_from(strings.len()).unwrap();
            strings.extend(name.bytes().chain([0]));
            offset
        };
        for (kind, name, members) in types {
            let info = kind << 24 | u32::try_from(members.len()).unwrap();
            body.extend([text(name), info, 0].map(u32::to_ne_bytes).concat());
            for member in *members {
                body.extend([text(member), 0, 0].map(u32::to_ne_bytes).concat());
            }
        }
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
        let header = [24, 0, length(&body), length(&body), length(&strings)];
        let magic = [&MAGIC.to_ne_bytes()[..], &[1, 0]].concat();
        [magic, header.map(u32::to_ne_bytes).concat(), body, strings].concat()
    }

    #[test]
    fn hooks_have_the_ids_of_their_functions() {
        let found = hooks(&btf(&[
            (2, "", &[]),
            (FUNC, "bpf_lsm_file_open", &[]),
            (FUNC, "file_open", &[]),
        ]));
        assert_eq!(found, Ok([("file_open".to_owned(), 2)].into()));
    }

    #[test]
    fn the_kernels_own_functions_are_no_hooks() {
        let found = hooks(&btf(&[
            (FUNC, "bpf_lsm_verify_prog", &[]),
            (UNION, "security_list_options", &["file_open", "lsm_func_addr"]),
            (STRUCT, "other", &["verify_prog"]),
            (FUNC, "bpf_lsm_file_open", &[]),
            (FUNC, "bpf_lsm_file_open", &[]),
        ]));
        assert_eq!(found, Ok([("file_open".to_owned(), 4)].into()));
    }

    #[test]
    fn what_is_no_btf_is_an_error() {
        let whole = btf(&[(FUNC, "bpf_lsm_file_open", &[])]);
        assert_eq!(hooks(b""), Err(Error::Header));
        assert_eq!(hooks(b"\x7fELF"), Err(Error::Header));
        assert_eq!(hooks(&btf(&[(99, "", &[])])), Err(Error::Kind(99)));
        for length in 2..whole.len() {
            assert_eq!(hooks(&whole[..length]), Err(Error::Short), "{length}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            at in 0usize..200, new: u8, bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut mutated = btf(&[(FUNC, "bpf_lsm_a", &[]), (UNION, "security_list_options", &["a", "b"])]);
            if let Some(byte) = mutated.get_mut(at) {
                *byte = new;
            }
            let _ = hooks(&mutated);
            let header = [&MAGIC.to_ne_bytes()[..], &bytes].concat();
            let _ = hooks(&header);
        }
    }
}
