//! The list for the boot parameter `lsm=` that makes BPF LSM and other wanted LSMs active.
//!
//! In: what is known about the current boot. Out: the list. The probe and the verdict use it.
//!
//! How the kernel reads the list (`ordered_lsm_parse` in security/security.c):
//! - It ignores unknown names and repeated names, so an additional name does no harm.
//! - `capability` is always first. `ima` and `evm` are always last since Linux 6.9, whatever their
//!   place in the list.
//! - Of selinux, apparmor and smack, only the first that is not disabled becomes active
//!   (LSM_FLAG_EXCLUSIVE).
//! - An LSM that is not in the list is off. Before Linux 6.4 this applies to `integrity` too, and
//!   the kernel panics at the first measurement of an IMA policy. The list of active LSMs never
//!   shows `integrity`, because it registers no hook.
//! - `bpf` before apparmor, selinux or smack makes /proc/PID/attr/current unreadable: the first LSM
//!   with that hook answers, and the hook of `bpf` answers EINVAL.

use std::collections::BTreeSet;

/// LSMs that exclude each other: only the first in the list becomes active (LSM_FLAG_EXCLUSIVE).
pub const EXCLUSIVE: [&str; 3] = ["selinux", "apparmor", "smack"];

/// LSMs of which `security=` enables one and disables the others (LSM_FLAG_LEGACY_MAJOR).
const LEGACY_MAJOR: [&str; 4] = ["selinux", "apparmor", "smack", "tomoyo"];

/// LSMs whose place `lsm=` does not change.
const FIXED: [&str; 3] = ["capability", "ima", "evm"];

const BPF: &str = "bpf";
const INTEGRITY: &str = "integrity";

/// The LSMs of mainline Linux, and `integrity`, which lists contain before Linux 6.9.
const KNOWN: [&str; 15] = [
    "capability",
    "selinux",
    "smack",
    "tomoyo",
    "apparmor",
    "yama",
    "loadpin",
    "safesetid",
    "lockdown",
    "bpf",
    "landlock",
    "ima",
    "evm",
    "ipe",
    "integrity",
];

/// What is known about the current boot.
#[derive(Clone, Copy, Debug, Default)]
pub struct Present<'a> {
    /// The names of the last `lsm=` on the command line.
    pub cmdline: Option<&'a [String]>,
    /// The value of the last `security=` on the command line.
    pub security: Option<&'a str>,
    /// The names in CONFIG_LSM, where the kernel's configuration could be read.
    pub built: Option<&'a [String]>,
    /// The active LSMs. Empty where they could not be read.
    pub active: &'a [String],
}

/// The list to boot with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct BootList {
    /// The names, in order.
    pub names: Vec<String>,
    /// LSMs of the current list that the new list replaces by a wanted one.
    pub replaced: Vec<Replaced>,
    /// Wanted LSMs that cannot be active beside an earlier wanted one.
    pub impossible: Vec<String>,
}

/// An exclusive LSM that replaces another one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Replaced {
    /// The LSM in the current list.
    pub old: String,
    /// The wanted LSM.
    pub new: String,
}

/// The list with `bpf` and the wanted LSMs. `None` where the current list cannot be known.
///
/// - The order is that of `lsm=` on the command line, or that of CONFIG_LSM, or that of the active
///   LSMs. Without `lsm=`, `integrity` is added where it is missing.
/// - The new list has every name of the old one once, except words that cannot be an LSM's name and
///   an exclusive LSM that a wanted one replaces.
/// - `bpf` comes after selinux, apparmor and smack. New wanted LSMs come before `bpf`.
/// - A misspelt `bpf` is corrected.
#[must_use]
pub fn boot_list<S: AsRef<str>>(present: Present<'_>, wanted: &[S]) -> Option<BootList> {
    let wanted: Vec<&str> = wanted
        .iter()
        .map(AsRef::as_ref)
        .filter(|name| ![BPF, "capability"].contains(name) && is_plain(name))
        .collect();
    let on_command_line = present.cmdline.filter(|list| !list.is_empty());
    let names = match on_command_line {
        Some(list) => list.to_vec(),
        None => default_list(present, &wanted)?,
    };
    let mut list = BootList { names: cleaned(names), ..BootList::default() };
    for name in &wanted {
        list.want(name, &wanted);
    }
    list.put_bpf_behind_exclusive();
    if on_command_line.is_none() {
        list.add_integrity();
    }
    Some(list)
}

/// The list without words that cannot be names, repeated names and `capability`, and with a correct
/// `bpf`.
fn cleaned(mut names: Vec<String>) -> Vec<String> {
    names.retain(|name| is_plain(name));
    correct_bpf(&mut names);
    let mut seen = BTreeSet::from(["capability".to_owned()]);
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// The list that is in force where the command line has no `lsm=`.
fn default_list(present: Present<'_>, wanted: &[&str]) -> Option<Vec<String>> {
    let built = present.built.filter(|list| !list.is_empty());
    match built {
        Some(built) if present.active.is_empty() => Some(with_security(built, present.security)),
        Some(built) => Some(built_and_active(built, present.active, wanted)),
        None if present.active.is_empty() || present.active.iter().any(|name| is_unnamed(name)) => {
            None
        }
        None => Some(present.active.to_vec()),
    }
}

/// The names of CONFIG_LSM that are active or wanted, in that order, with the active LSMs that are not
/// in CONFIG_LSM.
fn built_and_active(built: &[String], active: &[String], wanted: &[&str]) -> Vec<String> {
    // An unknown name in CONFIG_LSM may be the name of an active LSM that the probe cannot name.
    let has_unnamed = active.iter().any(|name| is_unnamed(name));
    let stays = |name: &&String| {
        active.contains(name)
            || *name == INTEGRITY
            || wanted.contains(&name.as_str())
            || (has_unnamed && !is_known(name))
    };
    let mut names: Vec<String> = built.iter().filter(stays).cloned().collect();
    // LSMs that are active for another reason, for example by security= or because they start early.
    for (at, name) in active.iter().enumerate() {
        if !built.contains(name) && !FIXED.contains(&name.as_str()) && !is_unnamed(name) {
            insert_before(&mut names, name, &active[at..]);
        }
    }
    names
}

/// Whether the name is `lsm-id-N`, which the probe gives to an LSM that is newer than the probe. The
/// kernel ignores such a name.
fn is_unnamed(name: &str) -> bool {
    name.starts_with("lsm-id-")
}

/// CONFIG_LSM with the effect of `security=`.
fn with_security(built: &[String], security: Option<&str>) -> Vec<String> {
    let Some(chosen) = security.filter(|name| LEGACY_MAJOR.contains(name)) else {
        return built.to_vec();
    };
    let stays = |name: &&String| name.as_str() == chosen || !LEGACY_MAJOR.contains(&name.as_str());
    let mut names: Vec<String> = built.iter().filter(stays).cloned().collect();
    if !names.iter().any(|name| name == chosen) {
        insert_before_bpf(&mut names, chosen);
    }
    names
}

/// Corrects the first misspelt `bpf` and removes the others, where `bpf` itself is not in the list.
fn correct_bpf(names: &mut Vec<String>) {
    if names.iter().any(|name| name == BPF) {
        return;
    }
    if let Some(at) = names.iter().position(|name| is_misspelt_bpf(name)) {
        BPF.clone_into(&mut names[at]);
        names.retain(|name| !is_misspelt_bpf(name));
    }
}

/// Inserts the name before the first of the names that follow it in the active list.
fn insert_before(names: &mut Vec<String>, name: &str, following: &[String]) {
    match names.iter().position(|other| following.contains(other)) {
        Some(at) => names.insert(at, name.to_owned()),
        None => insert_before_bpf(names, name),
    }
}

fn insert_before_bpf(names: &mut Vec<String>, name: &str) {
    let at = names.iter().position(|other| other == BPF).unwrap_or(names.len());
    names.insert(at, name.to_owned());
}

fn is_exclusive(name: &str) -> bool {
    EXCLUSIVE.contains(&name)
}

impl BootList {
    /// The place of the first exclusive LSM, which is the one that becomes active.
    fn first_exclusive(&self) -> Option<usize> {
        self.names.iter().position(|name| is_exclusive(name))
    }

    /// Changes the list so that a wanted LSM becomes active.
    fn want(&mut self, name: &str, wanted: &[&str]) {
        if !is_exclusive(name) {
            if !self.names.iter().any(|other| other == name) {
                insert_before_bpf(&mut self.names, name);
            }
            return;
        }
        let rival = self.first_exclusive().map(|at| (at, self.names[at].clone()));
        match rival {
            None => insert_before_bpf(&mut self.names, name),
            Some((_, rival)) if rival == name => {}
            Some((_, rival)) if wanted.contains(&rival.as_str()) => {
                self.names.retain(|other| other != name);
                self.impossible.push(name.to_owned());
            }
            Some((at, rival)) => {
                // The wanted LSM may be in the list already, after its rival.
                self.names.retain(|other| other != name);
                name.clone_into(&mut self.names[at]);
                self.replaced.push(Replaced { old: rival, new: name.to_owned() });
            }
        }
    }

    fn put_bpf_behind_exclusive(&mut self) {
        let bpf = self.names.iter().position(|name| name == BPF);
        let last_exclusive = self.names.iter().rposition(|name| is_exclusive(name));
        match (bpf, last_exclusive) {
            (None, _) => self.names.push(BPF.to_owned()),
            (Some(bpf), Some(last)) if bpf < last => {
                // Removing `bpf` moved `last` one place to the front, so this inserts after it.
                let name = self.names.remove(bpf);
                self.names.insert(last, name);
            }
            _ => {}
        }
    }

    fn add_integrity(&mut self) {
        if self.names.iter().any(|name| name == INTEGRITY) {
            return;
        }
        let at = self
            .names
            .iter()
            .position(|name| name == BPF || is_exclusive(name))
            .unwrap_or(self.names.len());
        self.names.insert(at, INTEGRITY.to_owned());
    }

    /// The boot parameter: `lsm=` and the names.
    #[must_use]
    pub fn parameter(&self) -> String {
        format!("lsm={}", self.names.join(","))
    }

    /// Remarks about replaced and impossible LSMs, in parentheses. Empty where there are none.
    #[must_use]
    pub fn remark(&self) -> String {
        let replaced = self.replaced.iter().map(|Replaced { old, new }| {
            format!(
                "({new} takes the place of {old}, which will be off: {new} and {old} exclude each \
                 other.)"
            )
        });
        let impossible = self.impossible.iter().map(|name| {
            format!(
                "({name} cannot be active with this list: of selinux, apparmor and smack only one \
                 can be active. Require one.)"
            )
        });
        replaced.chain(impossible).collect::<Vec<_>>().join(" ")
    }
}

/// Whether the name has only characters of LSM names. Other characters could be special to a shell.
#[must_use]
pub fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// Whether the name is that of a mainline Linux LSM, or `integrity`.
#[must_use]
pub fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
}

/// Whether the name is a misspelt `bpf`: no known LSM, and either the letters of `bpf` with at most
/// one of them twice, or a common variant such as `ebpf`.
#[must_use]
pub fn is_misspelt_bpf(name: &str) -> bool {
    if is_known(name) {
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
mod tests;
