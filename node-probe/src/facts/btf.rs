//! Whether the kernel's BTF knows LSM hooks. In: the bytes of `/sys/kernel/btf/vmlinux`. Out: how many names in its
//! table of strings begin with `bpf_lsm_`.
//!
//! BTF is not parsed, which would take 18 MB of memory: the names are found where they stand, each behind the zero byte
//! that ends the one before (Documentation/bpf/btf.rst), in pieces of 64 KB.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};

const PREFIX: &[u8] = b"\0bpf_lsm_";
/// The canary's own hook, which every kernel with CONFIG_BPF_LSM has.
const HOOK: &[u8] = b"\0bpf_lsm_task_prctl\0";
const PIECE: usize = 64 << 10;

/// What was found.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BtfNames {
    /// The length in bytes.
    pub bytes: u64,
    /// Names that begin with `bpf_lsm_`.
    pub bpf_lsm: u64,
    /// `bpf_lsm_task_prctl` is one of them.
    pub canary_hook: bool,
}

/// Reads it all, and keeps one piece of it at a time.
///
/// # Errors
/// Where reading fails.
pub fn scan(mut from: impl Read) -> io::Result<BtfNames> {
    let mut found = BtfNames::default();
    let mut piece: Vec<u8> = Vec::with_capacity(PIECE + HOOK.len());
    loop {
        let read = from.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
        found.bytes += read as u64;
        // What might go on in the next piece is looked at there; at the end everything is.
        let end = if read == 0 { piece.len() } else { piece.len().saturating_sub(HOOK.len()) };
        for start in (0..end).filter(|start| piece[*start] == 0) {
            found.bpf_lsm += u64::from(piece[start..].starts_with(PREFIX));
            found.canary_hook |= piece[start..].starts_with(HOOK);
        }
        piece.drain(..end);
        if read == 0 {
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_counted() {
        let bytes = b"\0a\0bpf_lsm_task_prctl\0xbpf_lsm_no\0bpf_lsm_file_open\0";
        let expected = BtfNames { bytes: bytes.len() as u64, bpf_lsm: 2, canary_hook: true };
        assert_eq!(scan(&bytes[..]).unwrap(), expected);
        assert!(!scan(&b"\0bpf_lsm_task_prctl_x\0"[..]).unwrap().canary_hook);
        assert_eq!(scan(&b""[..]).unwrap(), BtfNames::default());
    }

    proptest! {
        #[test]
        fn a_name_on_the_edge_of_a_piece_is_found(before in PIECE - 40..PIECE + 10, behind in 0..30usize) {
            let bytes = [vec![b'x'; before], HOOK.to_vec(), vec![b'x'; behind]].concat();
            let expected = BtfNames { bytes: bytes.len() as u64, bpf_lsm: 1, canary_hook: true };
            prop_assert_eq!(scan(&bytes[..]).unwrap(), expected);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
            prop_assert_eq!(scan(&bytes[..]).unwrap().bytes, bytes.len() as u64);
        }
    }
}
