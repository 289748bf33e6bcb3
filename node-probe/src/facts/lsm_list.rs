//! The list of active LSMs, and the list to boot with so that BPF LSM is among them.
//!
//! In: ids of `lsm_list_modules(2)`, or the text of `/sys/kernel/security/lsm` or of a `lsm=` parameter.
//! Out: names in the kernel's order.

/// LSM_ID_* of include/uapi/linux/lsm.h, with the names that the kernel's own list and `lsm=` use.
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

/// The names of the ids; an id newer than this list becomes `lsm-id-N`.
#[must_use]
pub fn from_ids(ids: &[u64]) -> Vec<String> {
    let name = |id: &u64| {
        IDS.iter().find(|(known, _)| known == id).map_or_else(|| format!("lsm-id-{id}"), |(_, name)| (*name).to_owned())
    };
    ids.iter().map(name).collect()
}

/// The names in a comma-separated list, without the empty ones.
#[must_use]
pub fn parse(text: &str) -> Vec<String> {
    text.trim_matches(['\0', '\n', ' '])
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// What `lsm=` must say so that BPF LSM is active: the list as it is, with `bpf` in it once.
///
/// `bpf` goes to the end, where the distributions that enable it have it; its place among the others does not
/// matter, since the first LSM to refuse decides. A misspelt `bpf` is replaced where it stands.
/// `capability` is left out, as it is always on and first.
#[must_use]
pub fn with_bpf(list: &[String]) -> Vec<String> {
    let mut wanted: Vec<String> = Vec::with_capacity(list.len() + 1);
    let has_bpf = list.iter().any(|name| name == "bpf");
    for name in list {
        let name = if !has_bpf && is_misspelt_bpf(name) { "bpf" } else { name };
        if name != "capability" && !wanted.iter().any(|seen| seen == name) {
            wanted.push(name.to_owned());
        }
    }
    if !wanted.iter().any(|name| name == "bpf") {
        wanted.push("bpf".to_owned());
    }
    wanted
}

/// It is the name of an LSM of mainline Linux, or one that lists had earlier (`integrity`).
#[must_use]
pub fn is_known(name: &str) -> bool {
    name == "integrity" || IDS.iter().any(|(_, known)| *known == name)
}

/// The name is no LSM's, and made of the letters of `bpf` with at most one of them twice or other letters around it.
#[must_use]
pub fn is_misspelt_bpf(name: &str) -> bool {
    if IDS.iter().any(|(_, known)| *known == name) {
        return false;
    }
    let name = name.to_ascii_lowercase();
    let mut letters: Vec<char> = name.chars().collect();
    letters.sort_unstable();
    letters.dedup();
    matches!(letters.as_slice(), ['b', 'f', 'p'] if name.len() <= 4)
        || matches!(name.as_str(), "ebpf" | "bpf_lsm" | "bpf-lsm" | "bpflsm")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::facts::tests::bytes_with;

    fn fixed(list: &str) -> String {
        with_bpf(&parse(list)).join(",")
    }

    #[test]
    fn lists_are_read_and_ids_named() {
        assert_eq!(parse(" capability,,yama ,bpf\n"), ["capability", "yama", "bpf"]);
        assert_eq!(parse("\n"), [""; 0]);
        assert_eq!(from_ids(&[100, 109, 4711]), ["capability", "bpf", "lsm-id-4711"]);
    }

    #[test]
    fn bpf_is_added_once() {
        for (list, expected) in [
            ("", "bpf"),
            ("capability,landlock,yama", "landlock,yama,bpf"),
            ("bpf,landlock", "bpf,landlock"),
            ("bpf,landlock,bpf", "bpf,landlock"),
            ("landlock,bfp,yama", "landlock,bpf,yama"),
            ("landlock,BPF", "landlock,bpf"),
            ("ebpf,yama", "bpf,yama"),
            ("bfp,bpf", "bfp,bpf"),
            ("bfp,fbp", "bpf"),
        ] {
            assert_eq!(fixed(list), expected, "{list}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(text in bytes_with(&[",", "bpf", "bfp", "capability", "\n", "\0", " "])) {
            let list = parse(&text);
            prop_assert!(list.iter().all(|name| !name.is_empty() && !name.contains(',')));
            prop_assert_eq!(with_bpf(&list).iter().filter(|name| *name == "bpf").count(), 1);
        }

        #[test]
        fn any_list_is_fixed_once_and_in_order(list in proptest::collection::vec("[a-z,]{0,6}|bpf|bfp|capability|yama|\\PC{0,4}", 0..10)) {
            let list = parse(&list.join(","));
            let wanted = with_bpf(&list);
            prop_assert_eq!(wanted.iter().filter(|name| *name == "bpf").count(), 1);
            prop_assert_eq!(&with_bpf(&wanted), &wanted);
            // What else is in the list stays, in the order of its first mention.
            let mut others: Vec<&String> = Vec::new();
            for name in list.iter().filter(|name| *name != "bpf" && *name != "capability") {
                if !others.contains(&name) && (list.iter().any(|name| name == "bpf") || !is_misspelt_bpf(name)) {
                    others.push(name);
                }
            }
            prop_assert_eq!(wanted.iter().filter(|name| *name != "bpf").collect::<Vec<_>>(), others);
        }
    }
}
