//! The fix for a missing LSM. In: the facts and the LSMs that are wanted. Out: the whole fix, with
//! the steps.
//!
//! [`boot_list`] decides what `lsm=` has to become, and `steps` how to set it on this system.

use lsm_ready_crds::boot_list::{
    BootList, Present, boot_list, is_known, is_misspelt_bpf, is_plain,
};

use super::steps::{Change, steps};
use super::systems;
use crate::facts::{Built, Facts, Securityfs, lsm_list};

/// How to boot with `bpf` among the LSMs.
pub(super) fn with_bpf(facts: &Facts) -> String {
    boot_with(&[], &[], facts)
}

/// How to boot with all of the required LSMs active, and `bpf` with them. Empty where none of them
/// is missing.
pub fn required_lsms(required: &[String], missing: &[String], facts: &Facts) -> String {
    let built_without = |name: &String| is_built_without(name, facts);
    let absent: Vec<&str> =
        missing.iter().filter(|name| built_without(name)).map(String::as_str).collect();
    if let (Some(config), false) = (&facts.kernel_config, absent.is_empty()) {
        return format!(
            "This kernel was built without {} ({} says so): boot another kernel. No boot parameter \
             can add it.",
            absent.join(" and "),
            config.path
        );
    }
    if missing.is_empty() { String::new() } else { boot_with(required, missing, facts) }
}

/// The kernel's configuration says that the LSM is not in it.
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

/// How to boot with the required LSMs and `bpf` in the list in force.
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
        return format!("{locked} It would have to be booted with {parameter}.");
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

/// The present `lsm=` asks for all of it.
fn already_tried(list: &BootList, missing: &[String], facts: &Facts) -> String {
    let present = facts.cmdline.lsm_text.as_deref().unwrap_or_default();
    sentences(&[
        format!(
            "The kernel was booted with lsm={present}, and yet not all of these LSMs are \
                 active."
        ),
        list.remark(),
        switched_off(missing, facts),
        "Look for lines with LSM in the kernel's log (dmesg | grep -i lsm): they name what the \
         kernel ignored."
            .to_owned(),
    ])
}

fn sentences(texts: &[String]) -> String {
    texts.iter().map(String::as_str).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The names of CONFIG_LSM, where the kernel's configuration could be read and has any.
fn built_list(facts: &Facts) -> Option<Vec<String>> {
    match facts.kernel_config.as_ref()?.get("CONFIG_LSM") {
        Built::Set(list) => Some(lsm_list::parse(&list)).filter(|list| !list.is_empty()),
        Built::NotSet => None,
    }
}

/// The way to the list by hand.
fn unknown_list(missing: &[String], facts: &Facts) -> String {
    let others = missing.iter().map(String::as_str).filter(|name| *name != "bpf");
    let names: Vec<&str> = others.chain(["bpf"]).collect();
    if let Some(locked) = systems::locked(facts) {
        let names = names.join(",");
        return format!(
            "{locked} It would have to be booted with lsm=LIST,integrity,{names}, where LIST is \
             its present list."
        );
    }
    let elsewhere = match facts.securityfs {
        Securityfs::NotInKernel => {
            "in the line `LSM: initializing lsm=` of the kernel's log (dmesg; from Linux 6.2 on)"
        }
        _ => {
            "what `cat /sys/kernel/security/lsm` prints on the host (after mount -t securityfs \
             none /sys/kernel/security, if it is empty)"
        }
    };
    format!(
        "Boot with {} among the LSMs: add lsm=LIST,integrity,{} to the kernel's command line, and \
         reboot. LIST is the value of CONFIG_LSM (grep CONFIG_LSM= /boot/config-$(uname -r), or \
         zcat /proc/config.gz | grep CONFIG_LSM=). Where no configuration is to be found, LIST is \
         {elsewhere}. Of selinux, apparmor and smack leave only the one that is active, and take \
         bpf out of LIST.",
        names.join(" and "),
        names.join(",")
    )
}

/// The present `lsm=` has these very names, so another order or one more mention will not help.
fn is_tried(list: &BootList, facts: &Facts) -> bool {
    let Some(present) = &facts.cmdline.lsm else {
        return false;
    };
    list.replaced.is_empty() && list.names.iter().all(|name| present.contains(name))
}

/// `apparmor=0` and `selinux=0` switch an LSM off that `lsm=` names.
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
        "(Take {} off the kernel's command line too: it switches the LSM off.)",
        off.join(" and ")
    )
}

/// Names in the present `lsm=` that the kernel has silently passed over.
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
        "(The kernel has ignored {} in it: no LSM of that name is active.)",
        unknown.join(" and ")
    )
}

/// `security=` counts only where there is no `lsm=`; what it chose is in the list already.
fn superseded(facts: &Facts) -> String {
    match (&facts.cmdline.security, &facts.cmdline.lsm) {
        (Some(name), None) if is_plain(name) => {
            format!("(Take security={name} off the command line: beside lsm= it has no effect.)")
        }
        _ => String::new(),
    }
}
