//! What `lsm=` has to become. In: the facts and the LSMs that are wanted. Out: the whole fix, steps and all.
//!
//! The list that is in force is kept in its order: that of the last `lsm=` on the command line or, without one, the
//! kernel's default, spelled out (security/security.c, `ordered_lsm_parse`).

use super::machine::Machine;
use super::steps::{Change, steps};
use crate::facts::{Built, Facts, lsm_list};

/// The LSMs that bear LSM_FLAG_EXCLUSIVE: of these the first in the list is active and no other.
const EXCLUSIVE: [&str; 3] = ["selinux", "apparmor", "smack"];

/// How to boot with `bpf` among the LSMs.
pub(super) fn with_bpf(facts: &Facts) -> String {
    boot_with(&[], facts)
}

/// How to boot with further LSMs active, and `bpf` with them. Empty where none is asked for.
#[must_use]
pub fn required_lsms(missing: &[String], facts: &Facts) -> String {
    let built_without = |name: &String| is_built_without(name, facts);
    let absent: Vec<&str> = missing.iter().filter(|name| built_without(name)).map(String::as_str).collect();
    if let (Some(config), false) = (&facts.kernel_config, absent.is_empty()) {
        return format!(
            "This kernel was built without {} ({} says so): boot another kernel. No boot parameter can add it.",
            absent.join(" and "),
            config.path
        );
    }
    if missing.is_empty() { String::new() } else { boot_with(missing, facts) }
}

/// The kernel's configuration says that the LSM is not in it.
fn is_built_without(name: &str, facts: &Facts) -> bool {
    let option = match name {
        "bpf" => "CONFIG_BPF_LSM".to_owned(),
        "lockdown" => "CONFIG_SECURITY_LOCKDOWN_LSM".to_owned(),
        "ima" | "evm" => format!("CONFIG_{}", name.to_ascii_uppercase()),
        name if lsm_list::is_known(name) => format!("CONFIG_SECURITY_{}", name.to_ascii_uppercase()),
        _ => return false,
    };
    let always = ["capability", "integrity"].contains(&name);
    !always && facts.kernel_config.as_ref().is_some_and(|config| config.get(&option) == Built::NotSet)
}

/// How to boot with these LSMs and `bpf` added to the list in force.
fn boot_with(missing: &[String], facts: &Facts) -> String {
    let Some(list) = in_force(facts) else {
        let names = lsm_list::with_bpf(missing).join(",");
        return format!(
            "Boot with {} among the LSMs: add lsm=LIST,{names} to the kernel's command line, where LIST is what `cat \
             /sys/kernel/security/lsm` prints on the host (after mount -t securityfs none /sys/kernel/security, if it is \
             empty), and reboot.",
            names.replace(',', " and ")
        );
    };
    let (list, replaced) = with(list, missing);
    let list = lsm_list::with_bpf(&list);
    let parameter = format!("lsm={}", list.join(","));
    if facts.cmdline.lsm.as_ref() == Some(&list) {
        return format!(
            "The kernel was booted with {parameter}, and yet not all of these are active. Look for lines with LSM in the \
             kernel's log (dmesg | grep -i lsm); they say which names it ignored."
        );
    }
    if let Some(locked) = Machine::of(facts).locked() {
        return format!("{locked} It would have to be booted with {parameter}.");
    }
    let instead = facts.cmdline.lsm_text.as_ref().map(|list| format!("lsm={list}"));
    let change = Change::Set { parameter: &parameter, instead: instead.as_deref() };
    let place = instead.as_ref().map_or_else(String::new, |instead| format!(" in place of {instead}"));
    let sentences =
        [format!("Boot with {parameter}{place}."), replaced, ignored(facts), superseded(facts), steps(change, facts)];
    sentences.iter().filter(|text| !text.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// The list to start from: what the command line asks for, else what is active, else what the kernel was built with.
fn in_force(facts: &Facts) -> Option<Vec<String>> {
    if let Some(list) = facts.cmdline.lsm.as_ref().filter(|list| !list.is_empty()) {
        return Some(list.clone());
    }
    let active = &facts.lsms.active;
    // The id of an LSM newer than this program has no name that could be written into lsm=.
    if !active.is_empty() && !active.iter().any(|name| name.starts_with("lsm-id-")) {
        return Some(active.clone());
    }
    match facts.kernel_config.as_ref()?.get("CONFIG_LSM") {
        Built::Set(list) if !lsm_list::parse(&list).is_empty() => Some(lsm_list::parse(&list)),
        _ => None,
    }
}

/// The list with those added. One that is excluded by another takes its place, and the sentence says so.
fn with(mut list: Vec<String>, missing: &[String]) -> (Vec<String>, String) {
    let mut sentence = String::new();
    for name in missing.iter().filter(|name| *name != "bpf") {
        if let Some(rival) = rival(name, &list) {
            sentence = format!("({name} and {rival} exclude each other: the first in the list wins.)");
            list.retain(|other| other != name);
            list.iter_mut().filter(|other| **other == rival).for_each(|other| other.clone_from(name));
        } else if !list.contains(name) {
            list.push(name.clone());
        }
    }
    (list, sentence)
}

/// The one of the list that keeps it from being active.
fn rival(name: &str, list: &[String]) -> Option<String> {
    let exclusive = |name: &str| EXCLUSIVE.contains(&name);
    list.iter().find(|other| exclusive(name) && exclusive(other) && *other != name).cloned()
}

/// Names in the present `lsm=` that the kernel has silently passed over.
fn ignored(facts: &Facts) -> String {
    let list = facts.cmdline.lsm.iter().flatten();
    let unknown: Vec<&str> = list
        .filter(|name| !lsm_list::is_known(name) && !lsm_list::is_misspelt_bpf(name))
        .filter(|name| !facts.lsms.active.is_empty() && !facts.lsms.active.contains(name))
        .map(String::as_str)
        .collect();
    if unknown.is_empty() {
        return String::new();
    }
    format!("(The kernel has ignored {} in it: no LSM of that name is active.)", unknown.join(" and "))
}

/// `security=` counts only where there is no `lsm=`; what it chose is in the list already.
fn superseded(facts: &Facts) -> String {
    match (&facts.cmdline.security, &facts.cmdline.lsm) {
        (Some(name), None) => format!("(security={name} on the command line has no effect beside lsm=; take it off.)"),
        _ => String::new(),
    }
}
