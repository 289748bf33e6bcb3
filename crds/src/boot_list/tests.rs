//! Tables and properties of the list. The properties boot a model of the kernel with the proposed
//! list.

use super::*;
use proptest::prelude::*;

fn names(list: &str) -> Vec<String> {
    list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The list by `cmdline`, CONFIG_LSM, active and wanted LSMs. Each is empty where it is not known.
fn list(cmdline: &str, built: &str, active: &str, wanted: &str) -> String {
    let (cmdline, built, active) = (names(cmdline), names(built), names(active));
    let present =
        Present { cmdline: Some(&cmdline), security: None, built: Some(&built), active: &active };
    boot_list(present, &names(wanted)).map_or_else(String::new, |list| list.names.join(","))
}

#[test]
fn integrity_is_added_to_a_list_of_active_lsms() {
    for (built, active, expected) in [
        (
            "",
            "lockdown,capability,landlock,yama,apparmor",
            "lockdown,landlock,yama,integrity,apparmor,bpf",
        ),
        ("", "lockdown,capability,yama,selinux", "lockdown,yama,integrity,selinux,bpf"),
        ("", "capability,yama", "yama,integrity,bpf"),
        ("", "capability", "integrity,bpf"),
        ("", "capability,smack,yama", "integrity,smack,yama,bpf"),
        ("", "capability,integrity,yama", "integrity,yama,bpf"),
        ("", "capability,yama,apparmor,ima,evm", "yama,integrity,apparmor,ima,evm,bpf"),
        (
            "landlock,lockdown,yama,integrity,apparmor",
            "lockdown,capability,landlock,yama,apparmor",
            "landlock,lockdown,yama,integrity,apparmor,bpf",
        ),
        (
            "landlock,lockdown,yama,integrity,apparmor",
            "lockdown,capability,landlock,yama,apparmor,ima,evm",
            "landlock,lockdown,yama,integrity,apparmor,bpf",
        ),
        (
            "yama,loadpin,safesetid,selinux,smack,apparmor",
            "capability,yama,apparmor",
            "yama,integrity,apparmor,bpf",
        ),
        ("yama,loadpin", "lockdown,capability,yama,tomoyo", "lockdown,yama,tomoyo,integrity,bpf"),
        ("lockdown,yama,integrity,selinux,bpf", "", "lockdown,yama,integrity,selinux,bpf"),
        ("bpf,yama,apparmor", "", "yama,integrity,apparmor,bpf"),
    ] {
        assert_eq!(list("", built, active, ""), expected, "CONFIG_LSM={built} active {active}");
    }
}

#[test]
fn the_list_of_the_command_line_is_kept() {
    for (cmdline, wanted, expected) in [
        ("landlock,lockdown,yama", "", "landlock,lockdown,yama,bpf"),
        ("landlock,integrity,yama,apparmor", "", "landlock,integrity,yama,apparmor,bpf"),
        ("yama,nosuch", "", "yama,nosuch,bpf"),
        ("capability,yama,yama", "", "yama,bpf"),
        ("bpf,landlock", "", "bpf,landlock"),
        ("bpf,landlock,bpf", "", "bpf,landlock"),
        ("yama,bpf", "ipe,landlock", "yama,ipe,landlock,bpf"),
    ] {
        assert_eq!(
            list(cmdline, "landlock,selinux", "capability,yama", wanted),
            expected,
            "{cmdline} {wanted}"
        );
    }
}

#[test]
fn bpf_comes_after_selinux_apparmor_and_smack() {
    for (cmdline, wanted, expected) in [
        ("bfp,apparmor", "", "apparmor,bpf"),
        ("landlock,bfp,yama", "", "landlock,bpf,yama"),
        ("bpf,yama,selinux,apparmor,landlock", "", "yama,selinux,apparmor,bpf,landlock"),
        ("landlock,yama,bpf", "apparmor", "landlock,yama,apparmor,bpf"),
        ("bpf,landlock", "smack", "smack,bpf,landlock"),
        ("ebpf,BPF,smack", "", "smack,bpf"),
        ("bfp,bpf", "", "bfp,bpf"),
    ] {
        assert_eq!(list(cmdline, "", "", wanted), expected, "{cmdline} {wanted}");
    }
}

#[test]
fn a_wanted_lsm_replaces_an_exclusive_one() {
    let active = names("capability,yama,selinux,bpf");
    let wanted =
        boot_list(Present { active: &active, ..Present::default() }, &["apparmor"]).unwrap();
    assert_eq!(wanted.names.join(","), "yama,integrity,apparmor,bpf");
    assert_eq!(
        wanted.replaced,
        [Replaced { old: "selinux".to_owned(), new: "apparmor".to_owned() }]
    );
    assert!(wanted.remark().contains("apparmor takes the place of selinux"), "{}", wanted.remark());
    // The wanted LSM is in the list already, after or before its rival.
    assert_eq!(list("selinux,apparmor,bpf", "", "", "apparmor"), "apparmor,bpf");
    assert_eq!(list("apparmor,selinux,bpf", "", "", "apparmor"), "apparmor,selinux,bpf");
    let both = boot_list(Present { active: &active, ..Present::default() }, &["apparmor", "smack"])
        .unwrap();
    assert_eq!(
        (both.names.join(",").as_str(), both.impossible.as_slice()),
        ("yama,integrity,apparmor,bpf", &["smack".to_owned()][..])
    );
    assert!(both.remark().contains("Require one"), "{}", both.remark());
}

#[test]
fn security_counts_where_the_active_lsms_cannot_be_read() {
    let built = names("yama,apparmor,selinux,tomoyo");
    let present = Present { security: Some("selinux"), built: Some(&built), ..Present::default() };
    assert_eq!(boot_list(present, &[""; 0]).unwrap().names.join(","), "yama,integrity,selinux,bpf");
    let smack = Present { security: Some("smack"), ..present };
    assert_eq!(boot_list(smack, &[""; 0]).unwrap().names.join(","), "yama,integrity,smack,bpf");
    let none = Present { security: Some("none"), ..present };
    assert_eq!(
        boot_list(none, &[""; 0]).unwrap().names.join(","),
        "yama,integrity,apparmor,selinux,tomoyo,bpf"
    );
}

#[test]
fn there_is_no_list_where_the_current_one_is_unknown() {
    assert_eq!(boot_list(Present::default(), &["apparmor"]), None);
    let newer = names("capability,yama,lsm-id-200");
    assert_eq!(boot_list(Present { active: &newer, ..Present::default() }, &[""; 0]), None);
    // The kernel's own list has the name that the id stands for.
    assert_eq!(
        list("", "yama,selinux,newer", "capability,yama,lsm-id-200", ""),
        "yama,newer,integrity,bpf"
    );
}

#[test]
fn a_misspelt_bpf_is_recognised() {
    for name in ["bfp", "fpb", "bbpf", "BPF", "ebpf", "bpf_lsm"] {
        assert!(is_misspelt_bpf(name), "{name}");
    }
    for name in ["bpf", "ipe", "pf", "bpffs", "yama", ""] {
        assert!(!is_misspelt_bpf(name), "{name}");
    }
}

/// A model of the kernel.
struct Kernel {
    /// Linux 6.4 or newer, where `integrity` is always on.
    newer: bool,
    built_in: Vec<String>,
    default: Vec<String>,
}

impl Kernel {
    /// The LSMs that are on after a boot with these parameters, in order, including `integrity`.
    fn boot(&self, lsm: Option<&[String]>, security: Option<&str>) -> Vec<String> {
        let security = security.filter(|_| lsm.is_none());
        let mut order: Vec<String> = vec!["capability".to_owned()];
        let chosen = security.map(str::to_owned);
        let last = if self.newer { vec!["integrity".to_owned()] } else { vec![] };
        for name in lsm.unwrap_or(&self.default).iter().chain(&chosen).chain(&last) {
            let off = security
                .is_some_and(|chosen| LEGACY_MAJOR.contains(&name.as_str()) && chosen != name);
            let excluded = is_exclusive(name) && order.iter().any(|other| is_exclusive(other));
            let built_in =
                self.built_in.contains(name) || ["bpf", "integrity"].contains(&name.as_str());
            if built_in && !off && !excluded && !order.contains(name) {
                order.push(name.clone());
            }
        }
        order
    }
}

fn some_names() -> impl Strategy<Value = Vec<String>> {
    let name = prop_oneof![
        prop::sample::select(&KNOWN[1..]).prop_map(str::to_owned),
        "bfp|ebpf|nosuch|capability|[a-z]{1,3}"
    ];
    proptest::collection::vec(name, 0..9)
}

fn position(list: &[String], name: &str) -> Option<usize> {
    list.iter().position(|other| other == name)
}

proptest! {
    /// A boot with the proposed list keeps every LSM that is on now, and adds `bpf`.
    #[test]
    fn a_boot_with_the_list_keeps_every_lsm(
        newer: bool, built_in in some_names(), default in some_names(), lsm in proptest::option::of(some_names()),
        security in proptest::option::of("selinux|apparmor|smack|tomoyo"), readable: bool, config: bool,
    ) {
        // No LSM has a name that looks like a misspelt `bpf`.
        let built_in = built_in.into_iter().filter(|name| !is_misspelt_bpf(name)).collect();
        let kernel = Kernel { newer, built_in, default: default.clone() };
        let before = kernel.boot(lsm.as_deref(), security.as_deref());
        // `integrity` is on, but the list of active LSMs does not show it.
        let active: Vec<String> = before.iter().filter(|name| readable && *name != INTEGRITY).cloned().collect();
        let present = Present {
            cmdline: lsm.as_deref(), security: security.as_deref(), built: config.then_some(&default[..]), active: &active,
        };
        let Some(list) = boot_list(present, &[""; 0]) else {
            let known = readable || config && !default.is_empty() || lsm.is_some_and(|list| !list.is_empty());
            prop_assert!(!known);
            return Ok(());
        };
        let after = kernel.boot(Some(&list.names), security.as_deref());
        for name in &before {
            prop_assert!(after.contains(name), "{name} of {before:?} is lost with {list:?}: {after:?}");
        }
        prop_assert!(after.contains(&BPF.to_owned()));
        for name in EXCLUSIVE {
            prop_assert!(position(&list.names, name) < position(&list.names, BPF), "{list:?}");
            // No exclusive LSM is newly switched on, unless the active LSMs are not known.
            prop_assert!(!readable || before.contains(&name.to_owned()) || !after.contains(&name.to_owned()), "{after:?}");
        }
        if lsm.is_none_or(|list| list.is_empty()) {
            prop_assert!(list.names.contains(&INTEGRITY.to_owned()), "{list:?}");
        }
    }

    /// No name is in the list twice, wanted LSMs come before `bpf`, and a second run changes
    /// nothing.
    #[test]
    fn the_list_is_complete_and_stable(
        cmdline in proptest::option::of(some_names()), built in proptest::option::of(some_names()), active in some_names(),
        wanted in proptest::collection::vec("apparmor|selinux|smack|ipe|yama|bpf|capability|landlock", 0..4),
    ) {
        let present = Present { cmdline: cmdline.as_deref(), security: None, built: built.as_deref(), active: &active };
        let Some(list) = boot_list(present, &wanted) else { return Ok(()) };
        for name in &list.names {
            prop_assert_eq!(list.names.iter().filter(|other| *other == name).count(), 1, "{:?}", &list);
        }
        prop_assert!(!list.names.contains(&"capability".to_owned()));
        for name in wanted.iter().filter(|name| *name != "capability") {
            prop_assert!(list.names.contains(name) != list.impossible.contains(name), "{:?}", &list);
        }
        let first = list.names.iter().find(|name| is_exclusive(name));
        if let Some(name) = wanted.iter().find(|name| is_exclusive(name)) {
            prop_assert!(first.is_some_and(|first| wanted.contains(first)), "{name} is wanted: {:?}", &list);
        }
        let again = boot_list(Present { cmdline: Some(&list.names), ..present }, &wanted).unwrap();
        prop_assert_eq!(again.names, list.names);
    }

    /// The new list has the names of the old one in the same order, except `bpf` and replaced LSMs.
    #[test]
    fn the_order_is_kept(cmdline in some_names()) {
        prop_assume!(!cmdline.is_empty());
        let list = boot_list(Present { cmdline: Some(&cmdline), ..Present::default() }, &[""; 0]).unwrap();
        let mut others: Vec<&String> = Vec::new();
        let has_bpf = cmdline.iter().any(|name| name == BPF);
        for name in cmdline.iter().filter(|name| *name != BPF && *name != "capability") {
            if !others.contains(&name) && (has_bpf || !is_misspelt_bpf(name)) {
                others.push(name);
            }
        }
        prop_assert_eq!(list.names.iter().filter(|name| *name != BPF).collect::<Vec<_>>(), others);
    }

    #[test]
    fn any_text_may_be_a_name(list in proptest::collection::vec("\\PC{0,6}", 0..6)) {
        let present = Present { cmdline: Some(&list), built: Some(&list), active: &list, security: list.first().map(String::as_str) };
        if let Some(found) = boot_list(present, &list) {
            prop_assert!(found.names.contains(&BPF.to_owned()));
            prop_assert!(found.names.iter().all(|name| is_plain(name)));
        }
    }
}
