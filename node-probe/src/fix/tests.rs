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

#[test]
fn required_lsms_are_added() {
    let needs = |names: &[&str], facts: &Facts| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let missing: Vec<String> =
            names.iter().filter(|name| !facts.lsms.active.contains(name)).cloned().collect();
        required_lsms(&names, &missing, facts)
    };
    let debian = facts("capability,landlock,yama,bpf", "BOOT_IMAGE=/v", "ID=debian");
    assert!(
        needs(&["apparmor"], &debian)
            .starts_with("Boot with lsm=landlock,yama,integrity,apparmor,bpf. GRUB:")
    );
    assert!(
        needs(&["bpf", "ipe"], &facts("yama", "", ""))
            .starts_with("Boot with lsm=yama,ipe,integrity,bpf.")
    );
    let rhel = facts("capability,yama,selinux,bpf", "", "ID=rhel");
    let fix = needs(&["apparmor"], &rhel);
    assert!(
        fix.starts_with(
            "Boot with lsm=yama,integrity,apparmor,bpf. (apparmor takes the place of selinux"
        ),
        "{fix}"
    );
    let both = needs(&["apparmor", "selinux"], &rhel);
    assert!(
        both.starts_with("Boot with lsm=yama,integrity,selinux,bpf. (apparmor cannot be active"),
        "{both}"
    );
    // In the list already, after the LSM that excludes it.
    let behind = facts("capability,selinux,bpf", "lsm=selinux,apparmor,bpf", "ID=rhel");
    assert!(needs(&["apparmor"], &behind).starts_with("Boot with lsm=apparmor,bpf in place of"));
    let without =
        Facts { kernel_config: config("# CONFIG_SECURITY_APPARMOR is not set\n"), ..debian };
    assert!(needs(&["apparmor"], &without).contains("built without apparmor (by /proc/config.gz)"));
    assert_eq!(needs(&[], &without), "");
    let off = needs(&["apparmor"], &facts("capability,yama,bpf", "apparmor=0", "ID=debian"));
    assert!(off.contains("Remove apparmor=0 from"), "{off}");
    // The present lsm= already has it.
    assert!(
        needs(&["apparmor"], &facts("yama,bpf", "lsm=bpf,yama,apparmor", "")).contains("dmesg")
    );
    assert!(
        needs(&["ipe"], &facts("capability,bpf", "lsm=ipe,bpf", "ID=debian")).contains("dmesg")
    );
}

#[test]
fn the_fix_depends_on_what_set_the_lockdown() {
    let locked = |cmdline: &str, os: &str| Facts {
        lockdown: Some("confidentiality".to_owned()),
        ..facts("lockdown", cmdline, os)
    };
    let reads = |facts: &Facts| fix(Reason::KernelReadsForbidden, facts);
    let debian = reads(&locked("BOOT_IMAGE=/v lockdown=confidentiality", "ID=debian"));
    assert!(
        debian.starts_with(
            "Remove lockdown=confidentiality \
                            from"
        ) && debian.contains("update-grub"),
        "{debian}"
    );
    let rhel = reads(&locked("BOOT_IMAGE=/v lockdown=confidentiality", "ID=rhel"));
    assert!(
        rhel.contains("grubby --update-kernel=ALL --remove-args='lockdown=confidentiality'"),
        "{rhel}"
    );
    let bottlerocket = reads(&locked("", "ID=bottlerocket"));
    assert!(
        bottlerocket.contains("lockdown = \"integrity\"")
            && bottlerocket.contains("apiclient reboot"),
        "{bottlerocket}"
    );
    let auto_mode = "ID=bottlerocket\nPRETTY_NAME=\"Bottlerocket (EKS Auto, Standard) 2025.7.18 \
                     (aws-k8s-1.32-standard)\"";
    assert!(reads(&locked("", auto_mode)).starts_with("This is a node of EKS Auto Mode"));
    let talos = reads(&locked("talos.platform=metal lockdown=confidentiality", "ID=talos"));
    assert!(
        ["`-lockdown`", "`lockdown=integrity`", "talosctl upgrade"]
            .iter()
            .all(|word| talos.contains(word)),
        "{talos}"
    );
    assert!(reads(&locked("", "ID=debian")).contains("something set it after the boot"));
    assert!(
        reads(&Facts { secure_boot: Some(true), ..locked("", "ID=debian") })
            .contains("started with Secure Boot")
    );
    let forced = config("CONFIG_LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY=y\n");
    assert!(
        reads(&Facts { kernel_config: forced, ..locked("", "ID=debian") })
            .contains("Boot another kernel")
    );
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
    assert!(by_config.contains("without CONFIG_SECURITYFS (by /proc/config.gz)"), "{by_config}");
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
    assert!(
        fix_of(&without)
            .starts_with("This kernel was built without CONFIG_BPF_LSM (by /proc/config.gz).")
    );
    assert_eq!(fix_of(&Facts::default()), Reason::HookNotInBtf.remedy());
    let neither = Facts {
        kernel_config: config("# CONFIG_BPF_LSM is not set\n# CONFIG_DEBUG_INFO_BTF is not set\n"),
        ..without
    };
    for reason in [Reason::BtfMissing, Reason::HookNotInBtf, Reason::ProgramTypeUnsupported] {
        let fix = fix(reason, &neither);
        assert!(
            fix.contains("without CONFIG_BPF_LSM and CONFIG_DEBUG_INFO_BTF (by /proc/config.gz)."),
            "{fix}"
        );
    }
    for (release, word, told) in [
        ("5.4.0-150-generic", "is older than 5.7, the first version that has LSM programs", true),
        ("4.18.0-553.el8.x86_64", "is older than", false),
        ("5.4.17-2136.330.7.1.el8uek.x86_64", "UEK R7", true),
        ("5.15.0-205.149.5.1.el9uek.x86_64", "UEK R7", false),
        ("5.10.16.3-microsoft-standard-WSL2", "wsl --update", true),
    ] {
        let fix = fix(Reason::BtfMissing, &on_kernel(release, neither.clone()));
        assert_eq!(fix.contains(word), told, "{release}: {fix}");
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
        active in "(capability|yama|selinux|apparmor|,){0,9}", cmdline in "(lsm=|security=|yama|bfp|,| \
            |quiet|initrd=\\\\){0,9}",
        os in "(ID=|debian|rhel|talos|bottlerocket|flatcar|cos|\n){0,6}",
        missing in proptest::collection::vec("apparmor|selinux|bpf|ipe|yama", 0..4),
    ) {
        let facts = facts(&active, &cmdline, &os);
        let fix = if missing.is_empty() { fix(Reason::NeverFired, &facts) } else { required_lsms(&missing, &missing, &facts) };
        let wanted = fix.split_once("lsm=").map_or("", |(_, rest)| rest.split([' ', '.', '"']).next().unwrap_or_default());
        let names = lsm_list::parse(wanted);
        prop_assert_eq!(names.iter().filter(|name| *name == "bpf").count(), 1, "{}", fix);
        for name in missing.iter().filter(|name| *name == "ipe" || *name == "yama") {
            prop_assert!(names.contains(name), "{}", fix);
        }
    }
}
