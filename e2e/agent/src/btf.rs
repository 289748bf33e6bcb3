//! The offset of a member in a struct of the running kernel, by its BTF.
//!
//! In: the bytes of `/sys/kernel/btf/vmlinux`. Out: an offset in bytes. The layout is described in
//! Documentation/bpf/btf.rst. aya reads it too, but does not export it.

use anyhow::{Context as _, bail, ensure};

const MAGIC: u16 = 0xeb9f;
const STRUCT: u32 = 4;
const UNION: u32 = 5;

/// The kernel's types, by number.
pub struct Types<'a> {
    strings: &'a [u8],
    /// The types. The first is "void", which BTF does not store.
    types: Vec<Type<'a>>,
}

#[derive(Clone, Copy, Default)]
struct Type<'a> {
    name: u32,
    kind: u32,
    has_bit_fields: bool,
    more: &'a [u8],
}

fn word(bytes: &[u8], at: usize) -> anyhow::Result<u32> {
    let bytes = bytes.get(at..at + 4).context("BTF ends too early")?;
    Ok(u32::from_ne_bytes(bytes.try_into()?))
}

/// How many bytes follow a type's three words.
fn size_of_more(kind: u32, count: usize) -> anyhow::Result<usize> {
    Ok(match kind {
        2 | 7..=12 | 16 | 18 => 0,
        1 | 14 | 17 => 4,
        3 => 12,
        6 | 13 => 8 * count,
        STRUCT | UNION | 15 | 19 => 12 * count,
        _ => bail!("BTF has a type of the unknown kind {kind}"),
    })
}

impl<'a> Types<'a> {
    /// Reads the types. Fails where this is not BTF, or has a type of an unknown kind.
    pub fn parse(btf: &'a [u8]) -> anyhow::Result<Self> {
        ensure!(btf.get(..2) == Some(&MAGIC.to_ne_bytes()), "this is not BTF");
        let header = word(btf, 4)? as usize;
        let part = |at: usize| -> anyhow::Result<&[u8]> {
            let start = header + word(btf, at)? as usize;
            btf.get(start..start + word(btf, at + 4)? as usize).context("BTF ends too early")
        };
        let (mut rest, strings) = (part(8)?, part(16)?);
        let mut types = vec![Type::default()];
        while !rest.is_empty() {
            let info = word(rest, 4)?;
            let kind = (info >> 24) & 0x1f;
            let end = 12 + size_of_more(kind, (info & 0xffff) as usize)?;
            let more = rest.get(12..end).context("BTF ends too early")?;
            types.push(Type { name: word(rest, 0)?, kind, has_bit_fields: info >> 31 == 1, more });
            rest = &rest[end..];
        }
        Ok(Self { strings, types })
    }

    fn is_named(&self, name: u32, wanted: &str) -> bool {
        let found =
            self.strings.get(name as usize..).and_then(|rest| rest.strip_prefix(wanted.as_bytes()));
        found.is_some_and(|rest| rest.first() == Some(&0))
    }

    /// The offset of a member of a struct, also of a member of an unnamed struct or union inside
    /// it. Fails where there is no such member.
    pub fn offset(&self, of: &str, member: &str) -> anyhow::Result<u64> {
        let mut of_name =
            self.types.iter().filter(|found| found.kind == STRUCT && self.is_named(found.name, of));
        let bits = of_name.find_map(|found| self.member(*found, member));
        Ok(bits.with_context(|| format!("struct {of} has no {member} in this kernel's BTF"))? / 8)
    }

    fn member(&self, of: Type<'a>, wanted: &str) -> Option<u64> {
        of.more.chunks_exact(12).find_map(|member| {
            let (name, type_) = (word(member, 0).ok()?, word(member, 4).ok()?);
            let offset =
                word(member, 8).ok()? & if of.has_bit_fields { 0xff_ffff } else { u32::MAX };
            if self.is_named(name, wanted) {
                return Some(offset.into());
            }
            let inner = self.types.get(type_ as usize).filter(|_| self.is_named(name, ""))?;
            let is_nested = inner.kind == STRUCT || inner.kind == UNION;
            is_nested.then(|| self.member(*inner, wanted))?.map(|within| u64::from(offset) + within)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `struct file { int f_mode; union { int __f_path; int f_path; }; }`, with a typedef before
    /// it.
    fn sample() -> Vec<u8> {
        let strings = b"\0file\0f_mode\0__f_path\0f_path\0int\0";
        let kind = |kind: u32, count: u32| kind << 24 | count;
        let types = [
            [29, kind(1, 0), 4, 32].as_slice(),
            &[29, kind(8, 0), 1],
            &[0, kind(UNION, 2), 4, 13, 1, 0, 22, 1, 0],
            &[1, kind(STRUCT, 2), 8, 6, 1, 0, 0, 3, 32],
        ]
        .concat();
        let size = u32::try_from(types.len() * 4).unwrap();
        let header =
            [u32::from(MAGIC) | 1 << 16, 24, 0, size, size, u32::try_from(strings.len()).unwrap()];
        let words = header.iter().chain(&types).flat_map(|word| word.to_ne_bytes());
        words.chain(strings.iter().copied()).collect()
    }

    #[test]
    fn a_member_of_an_unnamed_union_is_found() {
        let btf = sample();
        let types = Types::parse(&btf).unwrap();
        assert_eq!(types.offset("file", "f_mode").unwrap(), 0);
        assert_eq!(types.offset("file", "f_path").unwrap(), 4);
        assert!(types.offset("file", "f_pat").is_err());
        assert!(types.offset("fil", "f_path").is_err());
    }

    #[test]
    fn incomplete_btf_and_other_files_are_errors() {
        let btf = sample();
        assert!((0..btf.len()).all(|end| Types::parse(&btf[..end]).is_err()));
        assert!(Types::parse(b"\x7fELF").is_err());
    }

    #[test]
    fn the_offset_is_found_in_the_btf_of_this_machine() {
        let Ok(btf) = std::fs::read("/sys/kernel/btf/vmlinux") else {
            return println!("skipped: this machine has no BTF");
        };
        assert!(Types::parse(&btf).unwrap().offset("file", "f_path").unwrap() < 1024);
    }
}
