//! The list that a kernel has to be booted with (`lsm=`) so that BPF LSM, and other wanted LSMs, become active.
//!
//! In: what is known of the present boot. Out: the list. The probe and the operator's verdict both use it.
//!
//! What the kernel does with the list (`ordered_lsm_parse` in security/security.c):
//! - It ignores names that it does not know, and names that stand there twice. So a name too many does no harm.
//! - `capability` is always first, `ima` and `evm` (since Linux 6.9) are always last, wherever they stand.
//! - Of selinux, apparmor and smack only the first that is not disabled becomes active (LSM_FLAG_EXCLUSIVE).
//! - An LSM that is not in the list is off. Before Linux 6.4 this holds for `integrity` too, and then the first
//!   measurement of an IMA policy panics. `integrity` registers no hook, so the list of active LSMs never shows it.
//! - `bpf` before apparmor, selinux or smack makes /proc/PID/attr/current unreadable: the first LSM with that hook answers,
//!   and the hook of `bpf` answers EINVAL.

/// Of these the first in the list becomes active, and no other (LSM_FLAG_EXCLUSIVE).
pub const EXCLUSIVE: [&str; 3] = ["selinux", "apparmor", "smack"];

/// `security=` chooses one of these and switches the others off (LSM_FLAG_LEGACY_MAJOR).
const LEGACY_MAJOR: [&str; 4] = ["selinux", "apparmor", "smack", "tomoyo"];

/// The kernel decides about these by itself, whatever `lsm=` says.
const FIXED: [&str; 3] = ["capability", "ima", "evm"];

const BPF: &str = "bpf";
const INTEGRITY: &str = "integrity";

/// The names of mainline Linux' LSMs, with `integrity`, which lists had before Linux 6.9.
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

/// What is known of the present boot.
#[derive(Clone, Copy, Debug, Default)]
pub struct Present<'a> {
    /// The names of the last `lsm=` on the command line.
    pub cmdline: Option<&'a [String]>,
    /// The value of the last `security=` on the command line.
    pub security: Option<&'a str>,
    /// The names of CONFIG_LSM, where the kernel's configuration could be read.
    pub built: Option<&'a [String]>,
    /// The active LSMs; empty where they could not be read.
    pub active: &'a [String],
}

/// The list to boot with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct BootList {
    /// The names, in order.
    pub names: Vec<String>,
    /// LSMs that are in the present list and had to give way.
    pub replaced: Vec<Replaced>,
    /// Wanted LSMs that cannot be active beside an earlier wanted one.
    pub impossible: Vec<String>,
}

/// One exclusive LSM that takes the place of another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Replaced {
    /// The one that was there.
    pub old: String,
    /// The wanted one.
    pub new: String,
}

/// The list with `bpf` and the wanted LSMs. `None` where the present list cannot be known.
///
/// - A present `lsm=` is kept in its order. Without one, the kernel's own order (CONFIG_LSM) is kept, else that of the
///   active LSMs; then `integrity` is added where it is missing.
/// - Words that cannot be an LSM's name are left out. Else nothing is lost but an exclusive LSM that gives way to a wanted one. Nothing is named twice.
/// - `bpf` stands behind selinux, apparmor and smack. Wanted LSMs that are new stand before `bpf`.
/// - A misspelt `bpf` is corrected.
#[must_use]
pub fn boot_list<S: AsRef<str>>(present: Present<'_>, wanted: &[S]) -> Option<BootList> {
    let wanted: Vec<&str> = wanted
        .iter()
        .map(AsRef::as_ref)
        .filter(|name| ![BPF, "capability"].contains(name) && is_plain(name))
        .collect();
    let kept = present.cmdline.filter(|list| !list.is_empty());
    let mut names = match kept {
        Some(list) => list.to_vec(),
        None => default_list(present, &wanted)?,
    };
    names.retain(|name| is_plain(name));
    correct_bpf(&mut names);
    let mut seen = std::collections::BTreeSet::from(["capability".to_owned()]);
    names.retain(|name| seen.insert(name.clone()));
    let mut list = BootList { names, ..BootList::default() };
    for name in &wanted {
        list.want(name, &wanted);
    }
    list.put_bpf_behind_exclusive();
    if kept.is_none() {
        list.add_integrity();
    }
    Some(list)
}

/// The list in force where the command line has none.
fn default_list(present: Present<'_>, wanted: &[&str]) -> Option<Vec<String>> {
    let built = present.built.filter(|list| !list.is_empty());
    let is_active = |name: &str| present.active.iter().any(|active| active == name);
    // The probe gives an LSM that is newer than the probe the name `lsm-id-N`. The kernel would ignore that name.
    let unnamed = present.active.iter().any(|name| name.starts_with("lsm-id-"));
    match built {
        None if present.active.is_empty() || unnamed => None,
        None => Some(present.active.to_vec()),
        Some(built) if present.active.is_empty() => Some(chosen(built, present.security)),
        Some(built) => {
            let stays = |name: &&String| {
                is_active(name)
                    || *name == INTEGRITY
                    || wanted.contains(&name.as_str())
                    || (unnamed && !is_known(name))
            };
            let mut names: Vec<String> = built.iter().filter(stays).cloned().collect();
            // Active for another reason, as by security= or because it starts early.
            for (at, name) in present.active.iter().enumerate() {
                if !built.contains(name)
                    && !FIXED.contains(&name.as_str())
                    && !name.starts_with("lsm-id-")
                {
                    insert_before(&mut names, name, &present.active[at..]);
                }
            }
            Some(names)
        }
    }
}

/// CONFIG_LSM as `security=` changes it.
fn chosen(built: &[String], security: Option<&str>) -> Vec<String> {
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

/// Replaces the first misspelt `bpf`, and removes further ones, where `bpf` itself is not in the list.
fn correct_bpf(names: &mut Vec<String>) {
    if names.iter().any(|name| name == BPF) {
        return;
    }
    if let Some(at) = names.iter().position(|name| is_misspelt_bpf(name)) {
        BPF.clone_into(&mut names[at]);
        names.retain(|name| !is_misspelt_bpf(name));
    }
}

/// Puts the name before the first of those that follow it in the active list.
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
    /// The first exclusive LSM, which is the one that becomes active.
    fn first_exclusive(&self) -> Option<usize> {
        self.names.iter().position(|name| is_exclusive(name))
    }

    /// Makes sure that a wanted LSM will be active.
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
                // The wanted one may stand behind its rival already.
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
                // What stood behind `bpf` has moved one place to the front.
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

    /// The parameter, `lsm=` and the names.
    #[must_use]
    pub fn parameter(&self) -> String {
        format!("lsm={}", self.names.join(","))
    }

    /// What else there is to say about the list, in parentheses; empty where it is nothing.
    #[must_use]
    pub fn remark(&self) -> String {
        let replaced = self.replaced.iter().map(|Replaced { old, new }| {
            format!("({new} takes the place of {old}, which will be off: {new} and {old} exclude each other.)")
        });
        let impossible = self.impossible.iter().map(|name| {
            format!(
                "({name} cannot be active with this list: of selinux, apparmor and smack only one can be. Require one.)"
            )
        });
        replaced.chain(impossible).collect::<Vec<_>>().join(" ")
    }
}

/// It is made of the characters of LSMs' names. Other words are none, and could mean something to a shell.
#[must_use]
pub fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// It is the name of an LSM of mainline Linux, or `integrity`.
#[must_use]
pub fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
}

/// The name is no LSM's, and made of the letters of `bpf` with at most one of them twice or other letters around it.
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
