//! Whether the kernel's BTF knows LSM hooks. In: the bytes of `/sys/kernel/btf/vmlinux`. Out: how many names in its
//! table of strings begin with `bpf_lsm_`.
//!
//! BTF is not parsed, which would take 18 MB of memory: the table of strings is found by the header, and read name by
//! name, each ended by a zero byte (Documentation/bpf/btf.rst).

use std::io::{self, BufRead, BufReader, Read};

use serde::{Deserialize, Serialize};

const PREFIX: &[u8] = b"bpf_lsm_";
/// The canary's own hook, which every kernel with CONFIG_BPF_LSM has.
const HOOK: &[u8] = b"bpf_lsm_task_prctl\0";
/// What is longer is no name, and read in pieces.
const LONGEST_NAME: u64 = 4096;
/// `struct btf_header` of include/uapi/linux/btf.h.
const HEADER: usize = 24;
const MAGIC: u16 = 0xeb9f;

/// What was found.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BtfNames {
    /// The length in bytes.
    pub bytes: u64,
    /// Names that begin with `bpf_lsm_`.
    pub bpf_lsm: u64,
    /// `bpf_lsm_task_prctl` is one of them.
    pub canary_hook: bool,
}

/// Reads it all, and keeps one name of it at a time.
///
/// # Errors
/// Where reading fails.
pub fn scan(from: impl Read) -> io::Result<BtfNames> {
    let mut from = BufReader::with_capacity(64 << 10, from);
    let mut found = BtfNames { bytes: skip_types(&mut from)?, ..BtfNames::default() };
    let mut name = Vec::new();
    loop {
        name.clear();
        let read = from.by_ref().take(LONGEST_NAME).read_until(0, &mut name)?;
        if read == 0 {
            return Ok(found);
        }
        found.bytes += read as u64;
        found.bpf_lsm += u64::from(name.starts_with(PREFIX));
        found.canary_hook |= name == HOOK;
    }
}

/// Skips what stands before the strings, and says how much that was. Without a header nothing more is skipped.
fn skip_types(from: &mut impl Read) -> io::Result<u64> {
    let mut header = Vec::with_capacity(HEADER);
    let read = from.by_ref().take(HEADER as u64).read_to_end(&mut header)? as u64;
    let number = |at: usize| {
        header
            .get(at..at + 4)
            .map_or(0, |bytes| u32::from_ne_bytes(bytes.try_into().unwrap_or_default()))
    };
    if !header.starts_with(&MAGIC.to_ne_bytes()) {
        return Ok(read);
    }
    let (header_length, strings) = (u64::from(number(4)), u64::from(number(16)));
    let skipped = io::copy(
        &mut from.by_ref().take((header_length + strings).saturating_sub(read)),
        &mut io::sink(),
    )?;
    Ok(read + skipped)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// BTF with so many bytes of types and these strings.
    fn btf(types: u32, strings: &[u8]) -> Vec<u8> {
        let length = u32::try_from(strings.len()).unwrap();
        let numbers = [24, 0, types, types, length].map(u32::to_ne_bytes).concat();
        let types = vec![b'x'; types as usize];
        [&MAGIC.to_ne_bytes()[..], &[1, 0], &numbers, &types, strings].concat()
    }

    #[test]
    fn names_are_counted() {
        let bytes = btf(100, b"\0a\0bpf_lsm_task_prctl\0xbpf_lsm_no\0bpf_lsm_file_open\0");
        let expected = BtfNames { bytes: bytes.len() as u64, bpf_lsm: 2, canary_hook: true };
        assert_eq!(scan(&bytes[..]).unwrap(), expected);
        assert!(!scan(&btf(0, b"\0bpf_lsm_task_prctl_x\0")[..]).unwrap().canary_hook);
        assert_eq!(scan(&b""[..]).unwrap(), BtfNames::default());
    }

    proptest! {
        #[test]
        fn every_name_is_found(types in 0..100_000u32, names in proptest::collection::vec("[a-z_]{0,9}|bpf_lsm_[a-z]{0,9}", 0..50)) {
            let strings: Vec<u8> = names.iter().flat_map(|name| [name.as_bytes(), b"\0"].concat()).collect();
            let bpf_lsm = names.iter().filter(|name| name.starts_with("bpf_lsm_")).count() as u64;
            let bytes = btf(types, &strings);
            prop_assert_eq!(scan(&bytes[..]).unwrap(), BtfNames { bytes: bytes.len() as u64, bpf_lsm, canary_hook: false });
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
            for bytes in [[&MAGIC.to_ne_bytes()[..], &bytes].concat(), bytes] {
                prop_assert_eq!(scan(&bytes[..]).unwrap().bytes, bytes.len() as u64);
            }
        }
    }
}
