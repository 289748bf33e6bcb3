//! Lists of LSM names.
//!
//! In: ids of `lsm_list_modules(2)`, or the text of `/sys/kernel/security/lsm` or of an `lsm=`
//! parameter. Out: names in the kernel's order.

/// LSM_ID_* of include/uapi/linux/lsm.h, with the names that the kernel's list and `lsm=` use.
const IDS: [(u64, &str); 14] = [
    (100, "capability"),
    (101, "selinux"),
    (102, "smack"),
    (103, "tomoyo"),
    (104, "apparmor"),
    (105, "yama"),
    (106, "loadpin"),
    (107, "safesetid"),
    (108, "lockdown"),
    (109, "bpf"),
    (110, "landlock"),
    (111, "ima"),
    (112, "evm"),
    (113, "ipe"),
];

/// The names of the ids. An id that is newer than this program becomes `lsm-id-N`.
pub fn from_ids(ids: &[u64]) -> Vec<String> {
    let name = |id: &u64| {
        IDS.iter()
            .find(|(known, _)| known == id)
            .map_or_else(|| format!("lsm-id-{id}"), |(_, name)| (*name).to_owned())
    };
    ids.iter().map(name).collect()
}

/// The names in a comma-separated list. Empty names are left out.
pub fn parse(text: &str) -> Vec<String> {
    text.trim_matches(['\0', '\n', ' '])
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::facts::tests::bytes_with;

    #[test]
    fn lists_are_parsed_and_ids_have_names() {
        assert_eq!(parse(" capability,,yama ,bpf\n"), ["capability", "yama", "bpf"]);
        assert_eq!(parse("\n"), [""; 0]);
        assert_eq!(from_ids(&[100, 109, 4711]), ["capability", "bpf", "lsm-id-4711"]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            text in bytes_with(&[",", "bpf", "bfp", "capability", "\n", "\0", " "])
        ) {
            let list = parse(&text);
            prop_assert!(list.iter().all(|name| !name.is_empty() && !name.contains(',')));
        }
    }
}
