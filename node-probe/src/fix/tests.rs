//! The fixes on machines of all kinds.

use lsm_ready_crds::node::{Kernel, LsmSource};
use proptest::prelude::*;

use super::*;
use crate::facts::kernel_config::tests::config;
use crate::facts::{Cmdline, OsRelease, Securityfs, lsm_list};

fn facts(active: &str, cmdline: &str, os: &str) -> Facts {
    let mut facts =
        Facts { cmdline: Cmdline::parse(cmdline), os: OsRelease::parse(os), ..Facts::default() };
    facts.lsms.active = lsm_list::parse(active);
    facts.lsms.source = LsmSource::Securityfs;
    facts
}

fn text(active: &str, cmdline: &str, os: &str) -> String {
    fix(Reason::BpfNotInLsmList, &facts(active, cmdline, os))
}

fn on_kernel(release: &str, facts: Facts) -> Facts {
    Facts { kernel: Kernel { release: release.to_owned(), machine: "x86_64".to_owned() }, ..facts }
}

#[test]
fn the_names_of_the_present_list_are_kept() {
    let fix =
        text("capability,landlock,yama", "BOOT_IMAGE=/v quiet lsm=landlock,bfp,yama", "ID=debian");
    assert!(
        fix.starts_with("Boot with lsm=landlock,bpf,yama in place of lsm=landlock,bfp,yama. GRUB:"),
        "{fix}"
    );
    let fix = text(
        "capability,landlock,yama",
        "BOOT_IMAGE=(hd0,gpt2)/v",
        "ID=rocky\nID_LIKE=\"rhel fedora\"",
    );
    assert!(
        fix.starts_with("Boot with lsm=landlock,yama,integrity,bpf. GRUB: as root run `grubby"),
        "{fix}"
    );
}

#[test]
fn security_and_unknown_names_get_a_remark() {
    let fix = text("capability,yama,apparmor", "security=apparmor", "ID=debian");
    assert!(
        fix.contains("lsm=yama,integrity,apparmor,bpf")
            && fix.contains("Remove security=apparmor from"),
        "{fix}"
    );
    let fix = text("capability,yama", "security=apparmor lsm=yama,apparmour", "ID=debian");
    assert!(fix.contains("ignored apparmour") && !fix.contains("security="), "{fix}");
}

#[test]
fn the_kernels_default_list_is_used_if_the_list_cannot_be_read() {
    let unreadable = facts("", "quiet", "ID=debian");
    let built = Facts { kernel_config: config("CONFIG_LSM=\"landlock,yama\"\n"), ..unreadable };
    let fix = fix(Reason::NeverFired, &built);
    assert!(fix.starts_with("Boot with lsm=landlock,yama,integrity,bpf."), "{fix}");
}

#[test]
fn commands_are_safe_to_paste() {
    // No command contains words that a shell would interpret.
    let hostile = text(
        "capability,yama",
        "BOOT_IMAGE=/v \"lsm=yama,$(reboot),a';reboot;',`x`\"",
        "ID=fedora",
    );
    let commands: Vec<&str> = hostile.split('`').skip(1).step_by(2).collect();
    assert!(hostile.contains("--args='lsm=yama,bpf'"), "{hostile}");
    assert!(!commands.iter().any(|command| command.contains("reboot")), "{hostile}");
    let debian = text("yama", "BOOT_IMAGE=/v", "ID=debian");
    assert!(
        debian.contains(">> /etc/default/grub.d/99-lsm.cfg") && !debian.contains("' > "),
        "{debian}"
    );
}

#[test]
fn no_list_is_invented_if_none_is_known() {
    assert!(text("", "quiet", "").contains("lsm=LIST,integrity,bpf"));
    assert!(text("capability,lsm-id-200", "quiet", "").contains("lsm=LIST,integrity,bpf"));
    assert!(text("yama", "lsm=yama,bpf", "").contains("dmesg"));
}

#[test]
fn clouds_say_what_makes_the_change_last() {
    for (release, word) in [
        ("6.8.0-1021-aws", "launch template"),
        ("5.15.0-1073-aws-fips", "launch template"),
        ("5.15.0-1073-azure", "AKS has no setting"),
        ("6.8.0-1020-gke", "GKE has no setting"),
        ("6.8.0-48-generic", "update-grub"),
    ] {
        let fix = fix(
            Reason::BpfNotInLsmList,
            &on_kernel(release, facts("yama", "BOOT_IMAGE=/v", "ID=ubuntu")),
        );
        assert!(fix.contains(word), "{release}: {fix}");
    }
    let provided = |provider: &str| {
        let facts = facts("yama", "BOOT_IMAGE=/v", "ID=ubuntu");
        fix(Reason::BpfNotInLsmList, &Facts { provider_id: provider.to_owned(), ..facts })
    };
    assert!(provided("aws:///eu-west-1a/i-1").contains("launch template"));
    assert!(provided("azure:///subscriptions/x").contains("AKS"));
    assert!(provided("gce://project/zone/x").contains("GKE"));
    let on_site = provided("");
    assert!(!["EKS", "AKS", "GKE"].iter().any(|cloud| on_site.contains(cloud)), "{on_site}");
}

#[test]
fn the_fix_for_a_locked_machine_begins_with_that() {
    let refused =
        fix(Reason::ListedButRefused, &facts("bpf", "reboot=k panic=1 nomodule", "ID=debian"));
    assert!(refused.starts_with("This looks like a micro-VM"), "{refused}");
    assert!(text("yama", "", "ID=cos").starts_with("Container-Optimized OS"));
}

/// The fix on a machine that needs these LSMs.
fn needs(names: &[&str], facts: &Facts) -> String {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let missing: Vec<String> =
        names.iter().filter(|name| !facts.lsms.active.contains(name)).cloned().collect();
    required_lsms(&names, &missing, facts)
}

#[test]
fn required_lsms_are_added_to_the_list() {
    let debian = facts("capability,landlock,yama,bpf", "BOOT_IMAGE=/v", "ID=debian");
    let rhel = facts("capability,yama,selinux,bpf", "", "ID=rhel");
    // In the list already, after the LSM that excludes it.
    let behind = facts("capability,selinux,bpf", "lsm=selinux,apparmor,bpf", "ID=rhel");
    for (names, facts, begin) in [
        (&["apparmor"][..], &debian, "lsm=landlock,yama,integrity,apparmor,bpf. GRUB:"),
        (&["bpf", "ipe"], &facts("yama", "", ""), "lsm=yama,ipe,integrity,bpf."),
        (
            &["apparmor"],
            &rhel,
            "lsm=yama,integrity,apparmor,bpf. (apparmor takes the place of selinux",
        ),
        (
            &["apparmor", "selinux"],
            &rhel,
            "lsm=yama,integrity,selinux,bpf. (apparmor cannot be active",
        ),
        (&["apparmor"], &behind, "lsm=apparmor,bpf in place of"),
    ] {
        let fix = needs(names, facts);
        assert!(fix.starts_with(&format!("Boot with {begin}")), "{fix}");
    }
}

#[test]
fn a_fix_says_why_a_required_lsm_is_not_active() {
    let debian = facts("capability,landlock,yama,bpf", "BOOT_IMAGE=/v", "ID=debian");
    let without =
        Facts { kernel_config: config("# CONFIG_SECURITY_APPARMOR is not set\n"), ..debian };
    assert!(needs(&["apparmor"], &without).contains(
        "built without apparmor (according to \
        /proc/config.gz)"
    ));
    assert_eq!(needs(&[], &without), "");
    let off = needs(&["apparmor"], &facts("capability,yama,bpf", "apparmor=0", "ID=debian"));
    assert!(off.contains("Remove apparmor=0 from"), "{off}");
    // The present lsm= already has it.
    let listed = facts("yama,bpf", "lsm=bpf,yama,apparmor", "");
    assert!(needs(&["apparmor"], &listed).contains("dmesg"));
    let listed = facts("capability,bpf", "lsm=ipe,bpf", "ID=debian");
    assert!(needs(&["ipe"], &listed).contains("dmesg"));
}

fn locked(cmdline: &str, os: &str) -> Facts {
    Facts { lockdown: Some("confidentiality".to_owned()), ..facts("lockdown", cmdline, os) }
}

#[track_caller]
fn assert_allows_reads(facts: &Facts, words: &[&str]) {
    let fix = fix(Reason::KernelReadsForbidden, facts);
    for word in words {
        assert!(fix.contains(word), "{word}: {fix}");
    }
}

#[test]
fn a_lockdown_set_at_boot_has_the_steps_of_the_system() {
    let booted = "BOOT_IMAGE=/v lockdown=confidentiality";
    let debian = ["Remove lockdown=confidentiality from", "update-grub"];
    assert_allows_reads(&locked(booted, "ID=debian"), &debian);
    let rhel = "grubby --update-kernel=ALL --remove-args='lockdown=confidentiality'";
    assert_allows_reads(&locked(booted, "ID=rhel"), &[rhel]);
    let talos = locked("talos.platform=metal lockdown=confidentiality", "ID=talos");
    let words = ["`-lockdown`", "`lockdown=integrity`", "talosctl upgrade"];
    assert_allows_reads(&talos, &words);
}

#[test]
fn a_lockdown_set_otherwise_is_traced_to_its_cause() {
    let bottlerocket = ["lockdown = \"integrity\"", "apiclient reboot"];
    assert_allows_reads(&locked("", "ID=bottlerocket"), &bottlerocket);
    let auto_mode = "ID=bottlerocket\nPRETTY_NAME=\"Bottlerocket (EKS Auto, Standard) 2025.7.18\"";
    assert_allows_reads(&locked("", auto_mode), &["This is a node of EKS Auto Mode"]);
    let debian = || locked("", "ID=debian");
    assert_allows_reads(&debian(), &["something set it after the boot"]);
    let secure_boot = Facts { secure_boot: Some(true), ..debian() };
    assert_allows_reads(&secure_boot, &["started with Secure Boot"]);
    let kernel_config = config("CONFIG_LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY=y\n");
    assert_allows_reads(&Facts { kernel_config, ..debian() }, &["Boot another kernel"]);
}

#[test]
fn the_fix_for_an_unreadable_list_depends_on_the_mount() {
    let list = |securityfs| fix(Reason::LsmListUnknown, &Facts { securityfs, ..Facts::default() });
    assert!(list(Securityfs::Empty).starts_with("/sys/kernel/security is empty"));
    assert!(list(Securityfs::FileMount).contains("not single files"));
    assert_eq!(list(Securityfs::Unknown), Reason::LsmListUnknown.remedy());
}

#[test]
fn the_fix_for_a_kernel_without_securityfs_does_not_mount_it() {
    let text = |release: &str, built: &str| {
        let facts = Facts {
            securityfs: Securityfs::NotInKernel,
            kernel_config: config(built),
            ..Facts::default()
        };
        fix(Reason::LsmListUnknown, &on_kernel(release, facts))
    };
    let by_config = text("6.6.95", "# CONFIG_SECURITYFS is not set\n");
    assert!(
        by_config.contains(
            "without CONFIG_SECURITYFS (according to \
                                /proc/config.gz)"
        ),
        "{by_config}"
    );
    assert!(
        by_config.contains("The verdict does not need it") && by_config.contains("boot Linux 6.8"),
        "{by_config}"
    );
    for text in [by_config, text("6.6.95", ""), text("6.12.1", "")] {
        assert!(!text.contains("mount -t securityfs"), "{text}");
    }
    assert!(text("6.12.1", "").contains("seccomp"), "this kernel has the call");
}

#[test]
fn the_fix_names_everything_that_a_kernel_lacks() {
    let without = Facts {
        kernel_config: config("# CONFIG_BPF_LSM is not set\nCONFIG_DEBUG_INFO_BTF=y\n"),
        ..Facts::default()
    };
    let fix_of = |facts: &Facts| fix(Reason::HookNotInBtf, facts);
    assert!(fix_of(&without).starts_with(
        "This kernel was built without CONFIG_BPF_LSM (according to \
                          /proc/config.gz)."
    ));
    assert_eq!(fix_of(&Facts::default()), Reason::HookNotInBtf.remedy());
    let neither = Facts {
        kernel_config: config("# CONFIG_BPF_LSM is not set\n# CONFIG_DEBUG_INFO_BTF is not set\n"),
        ..without
    };
    for reason in [Reason::BtfMissing, Reason::HookNotInBtf, Reason::ProgramTypeUnsupported] {
        let fix = fix(reason, &neither);
        assert!(
            fix.contains(
                "without CONFIG_BPF_LSM and CONFIG_DEBUG_INFO_BTF (according to \
                          /proc/config.gz)."
            ),
            "{fix}"
        );
    }
    for (release, word, expected) in [
        ("5.4.0-150-generic", "is older than 5.7, the first version that has LSM programs", true),
        ("4.18.0-553.el8.x86_64", "is older than", false),
        ("5.4.17-2136.330.7.1.el8uek.x86_64", "UEK R7", true),
        ("5.15.0-205.149.5.1.el9uek.x86_64", "UEK R7", false),
        ("5.10.16.3-microsoft-standard-WSL2", "wsl --update", true),
    ] {
        let fix = fix(Reason::BtfMissing, &on_kernel(release, neither.clone()));
        assert_eq!(fix.contains(word), expected, "{release}: {fix}");
    }
}

#[test]
fn every_reason_has_a_fix() {
    for reason in Reason::ALL {
        let empty = fix(*reason, &Facts::default()).is_empty();
        assert_eq!(empty, *reason == Reason::CanaryDenied, "{reason}");
    }
}

proptest! {
    #[test]
    fn the_proposed_list_has_bpf_once(
        active in "(capability|yama|selinux|apparmor|,){0,9}",
        cmdline in "(lsm=|security=|yama|bfp|,| |quiet|initrd=\\\\){0,9}",
        os in "(ID=|debian|rhel|talos|bottlerocket|flatcar|cos|\n){0,6}",
        missing in proptest::collection::vec("apparmor|selinux|bpf|ipe|yama", 0..4),
    ) {
        let facts = facts(&active, &cmdline, &os);
        let fix = if missing.is_empty() {
            fix(Reason::NeverFired, &facts)
        } else {
            required_lsms(&missing, &missing, &facts)
        };
        let wanted = fix.split_once("lsm=").map_or("", |(_, rest)| rest);
        let wanted = wanted.split([' ', '.', '"']).next().unwrap_or_default();
        let names = lsm_list::parse(wanted);
        prop_assert_eq!(names.iter().filter(|name| *name == "bpf").count(), 1, "{}", fix);
        for name in missing.iter().filter(|name| *name == "ipe" || *name == "yama") {
            prop_assert!(names.contains(name), "{}", fix);
        }
    }
}
