//! The kernel tier of the boot lists: stock kernels, booted with the list that a fix proposes.
//!
//! In: Debian's kernels 6.1 and 6.12, an IMA policy from the start of the boot (`ima_policy=tcb`),
//! an AppArmor policy, and a static `node-probe`. Out: with the proposed list the kernel boots, IMA
//! measures, the canary is denied, and AppArmor answers. Two other lists look as good and fail:
//! without `integrity` 6.1 panics, and with `bpf` before `apparmor` no process can read or change a
//! profile.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use e2e::stock_kernel::{Arch, Kernel, fetch};
use e2e::vm::{Ended, How, Machine, Securityfs, run};
use e2e::{apparmor, kernels, paths};
use lsm_ready_crds::boot_list::{Present, boot_list};

const UNCONFINED: &str = "unconfined";
const ENTERED: &str = "lsm-ready-second (enforce)";
const REFUSED: &str = "Invalid argument";

/// The outcome of a boot with a list.
enum Boot {
    /// The output of `guest boot-list`.
    Ran(BTreeMap<String, String>),
    /// The console of a kernel that panicked.
    Panicked(String),
}

/// Runs a thread for each kernel, with at most one machine each.
#[test]
fn the_proposed_list_keeps_ima_and_apparmor_working() {
    let folder = tempfile::tempdir().unwrap();
    let policy = compiled(folder.path());
    let kernels = ["6.1", "6.12"].map(|series| fetch(Arch::Amd64, series).unwrap());
    thread::scope(|scope| {
        for kernel in &kernels {
            scope.spawn(|| on(kernel, &policy));
        }
    });
}

fn on(kernel: &Kernel, policy: &Path) {
    // Debian's own default list has bpf in it.
    let built: Vec<String> =
        kernel.default_lsms().split(',').filter(|name| *name != "bpf").map(str::to_owned).collect();
    let before = ran(boot(kernel, policy, &built));
    assert_eq!(before["canary"], "1", "{before:?}");
    let active: Vec<String> = before["active"].split(',').map(str::to_owned).collect();
    assert!(!active.contains(&"integrity".to_owned()), "the kernel never lists it: {active:?}");

    // The probe can read the kernel's configuration, and the operator cannot: their lists may
    // differ.
    let by_configuration =
        boot_list(Present { built: Some(&built), active: &active, ..Present::default() }, &NOTHING);
    let by_active_list = boot_list(Present { active: &active, ..Present::default() }, &NOTHING);
    let proposed = BTreeSet::from([by_configuration.unwrap().names, by_active_list.unwrap().names]);
    for list in &proposed {
        works(&ran(boot(kernel, policy, list)));
    }
    let bpf_first = proposed.first().map(|list| with_bpf_first(list)).unwrap();
    app_armor_does_not_answer(&ran(boot(kernel, policy, &bpf_first)));

    let without_integrity: Vec<String> =
        active.into_iter().filter(|name| name != "capability").chain(["bpf".to_owned()]).collect();
    match boot(kernel, policy, &without_integrity) {
        Boot::Ran(found) => {
            assert!(!kernel.release.starts_with("6.1."), "{found:?}");
            works(&found);
        }
        Boot::Panicked(console) => {
            assert!(kernel.release.starts_with("6.1."), "{console}");
            assert!(console.contains("integrity_inode_get: lsm=integrity required"), "{console}");
        }
    }
}

const NOTHING: [&str; 0] = [];

/// Checks that the canary is denied, IMA measures more than the boot itself, and AppArmor answers.
fn works(found: &BTreeMap<String, String>) {
    let measured: u32 = found["measured"].parse().unwrap();
    assert!(measured > 1, "{found:?}");
    assert_eq!(
        (found["canary"].as_str(), found["current"].as_str(), found["entered"].as_str()),
        ("0", UNCONFINED, ENTERED)
    );
}

/// Checks that the canary is denied, and that AppArmor's profiles can neither be read nor entered.
fn app_armor_does_not_answer(found: &BTreeMap<String, String>) {
    assert_eq!(found["canary"], "0", "{found:?}");
    assert!(found["current"].contains(REFUSED) && found["entered"].contains(REFUSED), "{found:?}");
}

fn with_bpf_first(list: &[String]) -> Vec<String> {
    ["bpf".to_owned()]
        .into_iter()
        .chain(list.iter().filter(|name| *name != "bpf").cloned())
        .collect()
}

fn ran(boot: Boot) -> BTreeMap<String, String> {
    match boot {
        Boot::Ran(found) => found,
        Boot::Panicked(console) => panic!("{console}"),
    }
}

/// Boots with that list. The root is a ramfs, because the policy `tcb` measures nothing on a tmpfs.
fn boot(kernel: &Kernel, policy: &Path, list: &[String]) -> Boot {
    let mut files = kernels::machines::programs(Arch::Amd64).unwrap();
    files.push((policy.to_owned(), "/policy".to_owned()));
    let machine = Machine {
        kernel: kernel.image(),
        append: format!("rootfstype=ramfs ima_policy=tcb lsm={}", list.join(",")),
        memory: 512,
        files,
        securityfs: Securityfs::Mounted,
        timeout: Duration::from_mins(5),
    };
    let mut stdout = Vec::new();
    let command = ["guest", "boot-list"].map(str::to_owned);
    let Ended { how, stderr, console } = run(&machine, &command, &mut stdout).unwrap();
    let stdout = String::from_utf8(stdout).unwrap();
    match how {
        How::Exited(0) => Boot::Ran(serde_json::from_str(&stdout).unwrap()),
        How::Died if console.contains("Kernel panic") => Boot::Panicked(console),
        how => {
            panic!("{list:?}: {how:?}\n{stdout}\n{}\n{console}", String::from_utf8_lossy(&stderr))
        }
    }
}

/// The AppArmor policy in the form that a kernel takes.
fn compiled(folder: &Path) -> PathBuf {
    let policy = folder.join("policy");
    let source = paths::sources().join("tests/boot_lists/policy");
    apparmor::compile(&source, &policy).unwrap();
    policy
}
