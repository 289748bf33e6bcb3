//! The fix for a missing LSM. In: the facts and the required LSMs. Out: the whole fix, with the
//! steps.
//!
//! [`boot_list`] finds the new value of `lsm=`, and `steps` says how to set it on this system.

use lsm_ready_crds::boot_list::{
    BootList, Present, boot_list, is_known, is_misspelt_bpf, is_plain,
};

use super::steps::{Change, steps};
use super::systems;
use crate::facts::{Built, Facts, Securityfs, lsm_list};

/// How to boot with `bpf` among the active LSMs.
pub(super) fn with_bpf(facts: &Facts) -> String {
    boot_with(&[], &[], facts)
}

/// How to boot with all required LSMs active, and `bpf` with them. Empty if none of them is
/// missing.
pub fn required_lsms(required: &[String], missing: &[String], facts: &Facts) -> String {
    let built_without = |name: &String| is_built_without(name, facts);
    let absent: Vec<&str> =
        missing.iter().filter(|name| built_without(name)).map(String::as_str).collect();
    if let (Some(config), false) = (&facts.kernel_config, absent.is_empty()) {
        return format!(
            "This kernel was built without {} (by {}), and no boot parameter can add it. Boot \
             another kernel.",
            absent.join(" and "),
            config.path
        );
    }
    if missing.is_empty() { String::new() } else { boot_with(required, missing, facts) }
}

/// Whether the kernel's configuration says that the LSM is not built in.
fn is_built_without(name: &str, facts: &Facts) -> bool {
    let option = match name {
        "bpf" => "CONFIG_BPF_LSM".to_owned(),
        "lockdown" => "CONFIG_SECURITY_LOCKDOWN_LSM".to_owned(),
        "ima" | "evm" => format!("CONFIG_{}", name.to_ascii_uppercase()),
        name if is_known(name) => format!("CONFIG_SECURITY_{}", name.to_ascii_uppercase()),
        _ => return false,
    };
    let always = ["capability", "integrity"].contains(&name);
    !always
        && facts.kernel_config.as_ref().is_some_and(|config| config.get(&option) == Built::NotSet)
}

/// How to boot with the required LSMs and `bpf` added to the present list.
fn boot_with(required: &[String], missing: &[String], facts: &Facts) -> String {
    let built = built_list(facts);
    let present = Present {
        cmdline: facts.cmdline.lsm.as_deref(),
        security: facts.cmdline.security.as_deref(),
        built: built.as_deref(),
        active: &facts.lsms.active,
    };
    let Some(list) = boot_list(present, required) else {
        return unknown_list(missing, facts);
    };
    if is_tried(&list, facts) {
        return already_tried(&list, missing, facts);
    }
    let parameter = list.parameter();
    if let Some(locked) = systems::locked(facts) {
        return format!("{locked} The kernel must be booted with {parameter}.");
    }
    let instead = facts.cmdline.lsm_text.as_ref().map(|list| format!("lsm={list}"));
    let change = Change::Set { parameter: &parameter, instead: instead.as_deref() };
    let place =
        instead.as_ref().map_or_else(String::new, |instead| format!(" in place of {instead}"));
    sentences(&[
        format!("Boot with {parameter}{place}."),
        list.remark(),
        ignored(facts),
        superseded(facts),
        switched_off(missing, facts),
        steps(change, facts),
    ])
}

/// The fix if the present `lsm=` already has all of them.
fn already_tried(list: &BootList, missing: &[String], facts: &Facts) -> String {
    let present = facts.cmdline.lsm_text.as_deref().unwrap_or_default();
    sentences(&[
        format!("The kernel was booted with lsm={present}, but not all of these LSMs are active."),
        list.remark(),
        switched_off(missing, facts),
        "Look in the kernel's log for lines with LSM (dmesg | grep -i lsm): they name what the \
         kernel ignored."
            .to_owned(),
    ])
}

fn sentences(texts: &[String]) -> String {
    texts.iter().map(String::as_str).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The names of CONFIG_LSM, if the configuration could be read and has any.
fn built_list(facts: &Facts) -> Option<Vec<String>> {
    match facts.kernel_config.as_ref()?.get("CONFIG_LSM") {
        Built::Set(list) => Some(lsm_list::parse(&list)).filter(|list| !list.is_empty()),
        Built::NotSet => None,
    }
}

/// How to find the list by hand.
fn unknown_list(missing: &[String], facts: &Facts) -> String {
    let others = missing.iter().map(String::as_str).filter(|name| *name != "bpf");
    let names: Vec<&str> = others.chain(["bpf"]).collect();
    if let Some(locked) = systems::locked(facts) {
        let names = names.join(",");
        return format!(
            "{locked} The kernel must be booted with lsm=LIST,integrity,{names}, where LIST is its \
             present list."
        );
    }
    let elsewhere = match facts.securityfs {
        Securityfs::NotInKernel => {
            "in the line `LSM: initializing lsm=` of the kernel's log (dmesg; from Linux 6.2 on)"
        }
        _ => {
            "what `cat /sys/kernel/security/lsm` prints on the host (if the directory is empty, \
             first mount -t securityfs none /sys/kernel/security)"
        }
    };
    format!(
        "Boot with {} among the LSMs: add lsm=LIST,integrity,{} to the kernel's command line, and \
         reboot. LIST is the value of CONFIG_LSM (grep CONFIG_LSM= /boot/config-$(uname -r), or \
         zcat /proc/config.gz | grep CONFIG_LSM=). If there is no configuration, LIST is \
         {elsewhere}. Keep only the active one of selinux, apparmor and smack, and remove bpf from \
         LIST.",
        names.join(" and "),
        names.join(",")
    )
}

/// Whether the present `lsm=` already has these names. Then another order or a repeated name will
/// not help.
fn is_tried(list: &BootList, facts: &Facts) -> bool {
    let Some(present) = &facts.cmdline.lsm else {
        return false;
    };
    list.replaced.is_empty() && list.names.iter().all(|name| present.contains(name))
}

/// What to do about `apparmor=0` and `selinux=0`, which switch an LSM off that `lsm=` names.
fn switched_off(missing: &[String], facts: &Facts) -> String {
    let off: Vec<String> = facts
        .cmdline
        .switched_off
        .iter()
        .filter(|name| missing.contains(name))
        .map(|name| format!("{name}=0"))
        .collect();
    if off.is_empty() {
        return String::new();
    }
    format!(
        "(Remove {} from the kernel's command line too: it switches the LSM off.)",
        off.join(" and ")
    )
}

/// Names in the present `lsm=` that the kernel has silently ignored.
fn ignored(facts: &Facts) -> String {
    let list = facts.cmdline.lsm.iter().flatten();
    let unknown: Vec<&str> = list
        .filter(|name| !is_known(name) && !is_misspelt_bpf(name))
        .filter(|name| {
            is_plain(name) && !facts.lsms.active.is_empty() && !facts.lsms.active.contains(name)
        })
        .map(String::as_str)
        .collect();
    if unknown.is_empty() {
        return String::new();
    }
    format!(
        "(The kernel ignored {} in the present list: no LSM of that name is active.)",
        unknown.join(" and ")
    )
}

/// What to do about `security=`, which the kernel ignores beside `lsm=`. The list has its LSM
/// already.
fn superseded(facts: &Facts) -> String {
    match (&facts.cmdline.security, &facts.cmdline.lsm) {
        (Some(name), None) if is_plain(name) => {
            format!("(Remove security={name} from the command line: it has no effect beside lsm=.)")
        }
        _ => String::new(),
    }
}
