use proptest::prelude::*;

use super::*;

/// BTF with these types and strings.
fn btf(types: &[u8], strings: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
    let header = [24, 0, length(types), length(types), length(strings)];
    let magic = [&MAGIC.to_ne_bytes()[..], &[1, 0]].concat();
    [&magic, &header.map(u32::to_ne_bytes).concat(), types, strings].concat()
}

/// BTF with these types: kind, name, and the names of the members.
fn typed(types: &[(u32, &str, &[&str])]) -> Vec<u8> {
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
    btf(&body, &strings)
}

#[test]
fn hooks_have_the_ids_of_their_functions() {
    let found =
        hooks(&typed(&[(2, "", &[]), (FUNC, "bpf_lsm_file_open", &[]), (FUNC, "file_open", &[])]));
    assert_eq!(found, Ok([("file_open".to_owned(), 2)].into()));
}

#[test]
fn other_functions_with_the_prefix_are_not_hooks() {
    let found = hooks(&typed(&[
        (FUNC, "bpf_lsm_verify_prog", &[]),
        (UNION, "security_list_options", &["file_open", "lsm_func_addr"]),
        (STRUCT, "other", &["verify_prog"]),
        (FUNC, "bpf_lsm_file_open", &[]),
        (FUNC, "bpf_lsm_file_open", &[]),
    ]));
    assert_eq!(found, Ok([("file_open".to_owned(), 4)].into()));
}

#[test]
fn bytes_that_are_not_btf_are_an_error() {
    let whole = typed(&[(FUNC, "bpf_lsm_file_open", &[])]);
    assert_eq!(hooks(b""), Err(Error::Header));
    assert_eq!(hooks(b"\x7fELF"), Err(Error::Header));
    assert_eq!(hooks(&typed(&[(99, "", &[])])), Err(Error::Kind(99)));
    for length in 2..whole.len() {
        assert_eq!(hooks(&whole[..length]), Err(Error::Short), "{length}");
    }
}

#[test]
fn names_of_hook_functions_are_counted() {
    let strings = b"\0a\0bpf_lsm_task_prctl\0xbpf_lsm_no\0bpf_lsm_file_open\0";
    let bytes = btf(&[b'x'; 100], strings);
    let expected = BtfNames { bytes: bytes.len() as u64, bpf_lsm: 2, canary_hook: true };
    assert_eq!(count_names(&bytes[..]).unwrap(), expected);
    let other_hook = btf(&[], b"\0bpf_lsm_task_prctl_x\0");
    assert!(!count_names(&other_hook[..]).unwrap().canary_hook);
    assert_eq!(count_names(&b""[..]).unwrap(), BtfNames::default());
}

proptest! {
    #[test]
    fn no_bytes_make_the_list_of_hooks_panic(
        at in 0usize..200, new: u8, bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut mutated =
            typed(&[(FUNC, "bpf_lsm_a", &[]), (UNION, "security_list_options", &["a", "b"])]);
        if let Some(byte) = mutated.get_mut(at) {
            *byte = new;
        }
        let _ = hooks(&mutated);
        let with_magic = [&MAGIC.to_ne_bytes()[..], &bytes].concat();
        let _ = hooks(&with_magic);
    }

    #[test]
    fn every_name_of_a_hook_function_is_counted(
        types in 0..100_000usize,
        names in proptest::collection::vec("[a-z_]{0,9}|bpf_lsm_[a-z]{0,9}", 0..50),
    ) {
        let strings: Vec<u8> =
            names.iter().flat_map(|name| [name.as_bytes(), b"\0"].concat()).collect();
        let bpf_lsm = names.iter().filter(|name| name.starts_with("bpf_lsm_")).count() as u64;
        let bytes = btf(&vec![b'x'; types], &strings);
        let expected = BtfNames { bytes: bytes.len() as u64, bpf_lsm, canary_hook: false };
        prop_assert_eq!(count_names(&bytes[..]).unwrap(), expected);
    }

    #[test]
    fn no_bytes_make_the_count_panic(bytes in any::<Vec<u8>>()) {
        for bytes in [[&MAGIC.to_ne_bytes()[..], &bytes].concat(), bytes] {
            prop_assert_eq!(count_names(&bytes[..]).unwrap().bytes, bytes.len() as u64);
        }
    }
}
