//! The kernel tier of the hook trial: the list of `node-probe hooks` on stock kernels, beside the
//! truth of a C program that uses only bpf(2).
//!
//! In: stock kernels and a static `node-probe` (`NODE_PROBE`, or the release build for
//! x86_64-unknown-linux-gnu). Out: the lists are the same, hook by hook. The trial loaded as many
//! programs as it says, and left none. The probe daemon makes the trial once a boot, also when the
//! daemon is replaced.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use e2e::kernels::machines;
use e2e::paths;
use e2e::stock_kernel::{Arch, fetch};
use e2e::vm::{How, Machine, Securityfs, run};
use serde_json::Value;

/// Five JSON values: the list, the truth, and three exit codes of `check`.
const SCRIPT: &str = r"
/bin/truth /bin/node-probe hooks -o json || exit
node-probe check --require-hook file_open --require-sleepable-hook bprm_check_security >/dev/null; echo $?
node-probe check --require-hook file_opn >/dev/null; echo $?
su nobody -s /bin/sh -c '/bin/node-probe check --require-hook file_open' >/dev/null; echo $?
";

/// Hooks that exist since Linux 5.7.
const EVERYWHERE: [&str; 5] =
    ["file_open", "bprm_check_security", "task_prctl", "inode_unlink", "task_free"];

/// At most two machines at a time. The daemons run beside the newest kernel, which takes the
/// longest.
#[test]
fn the_list_of_hooks_is_the_true_one_on_stock_kernels() {
    let folder = tempfile::tempdir().unwrap();
    let truth = compiled(folder.path());
    thread::scope(|scope| {
        scope.spawn(|| {
            the_hooks_are_the_true_ones("6.12", &truth);
            the_hooks_are_the_true_ones("newest", &truth);
        });
        scope.spawn(|| {
            the_hooks_are_the_true_ones("6.1", &truth);
            a_daemon_publishes_once_a_boot(folder.path());
        });
    });
}

fn the_hooks_are_the_true_ones(series: &str, truth: &Path) {
    let text = output(series, vec![(truth.to_owned(), "/bin/truth".to_owned())], SCRIPT);
    let values: Vec<Value> =
        serde_json::Deserializer::from_str(&text).into_iter().map(Result::unwrap).collect();
    let [list, truth, codes @ ..] = values.as_slice() else { panic!("{series}: {text}") };
    compare(series, list, truth);
    leaves_nothing(series, list, truth);
    assert_eq!(codes, [0, 1, 2], "{series}: there, mistyped, without capabilities");
}

/// Request by request, against an API server that runs inside the machine.
fn a_daemon_publishes_once_a_boot(folder: &Path) {
    let kubeconfig = folder.join("kubeconfig");
    machines::write_kubeconfig(&kubeconfig).unwrap();
    let files = vec![(kubeconfig, "/bin/kubeconfig".to_owned())];
    let text = output("newest", files, "guest daemons");
    let daemons: Vec<Value> =
        serde_json::Deserializer::from_str(&text).into_iter().map(Result::unwrap).collect();
    let requests = |daemon: &Value| -> Vec<String> {
        let requests = daemon["requests"].as_array().unwrap();
        requests.iter().map(|request| request.as_str().unwrap().to_owned()).collect()
    };
    let (first, second) = (requests(&daemons[0]), requests(&daemons[1]));
    let named = first
        .iter()
        .find_map(|line| line.strip_prefix("PUT /apis/lsmready.io/v1alpha1/lsmnodes/n1/status "));
    let digest = named.unwrap_or_else(|| panic!("no profile is named: {text}"));
    let (node, report) = ("GET /api/v1/nodes/n1", "GET /apis/lsmready.io/v1alpha1/lsmnodes/n1");
    let asked = format!("GET /apis/lsmready.io/v1alpha1/lsmhookprofiles/{digest}");
    let expected = [
        // The evidence first, and then the hooks.
        node,
        report,
        "POST /apis/lsmready.io/v1alpha1/lsmnodes",
        "PUT /apis/lsmready.io/v1alpha1/lsmnodes/n1/status",
        report,
        &asked,
        "POST /apis/lsmready.io/v1alpha1/lsmhookprofiles",
        &format!("PUT /apis/lsmready.io/v1alpha1/lsmnodes/n1/status {digest}"),
        // At rest.
        node,
        report,
        node,
    ];
    assert!(starts_with(&first, &expected), "{first:#?}");
    // The next daemon takes over what the first has left, and writes nothing.
    let expected = [node, report, &asked, node, report, node];
    assert!(starts_with(&second, &expected), "{second:#?}");
    for daemon in &daemons {
        let kilobytes = daemon["kilobytes"].as_u64();
        assert!(
            kilobytes.is_some_and(|kilobytes| kilobytes < 12_000),
            "a daemon stays small: {daemon:#}"
        );
    }
}

fn starts_with(requests: &[String], expected: &[&str]) -> bool {
    requests.len() >= expected.len() && requests.iter().zip(expected).all(|(a, b)| a == b)
}

fn compare(series: &str, list: &Value, truth: &Value) {
    let hooks = list["hooks"].as_array().unwrap();
    let named = |field: &str| {
        hooks.iter().filter(|hook| hook[field] == true).map(name).collect::<BTreeSet<_>>()
    };
    let (attachable, sleepable) = (named("attachable"), named("sleepable"));
    assert_eq!(attachable, set(&truth["attachable"]), "{series}");
    assert_eq!(sleepable, set(&truth["sleepable"]), "{series}");
    assert!(EVERYWHERE.iter().all(|hook| attachable.contains(hook)), "{series}: {attachable:?}");
    assert!(
        sleepable.contains("bprm_check_security") && !sleepable.contains("task_free"),
        "{series}: {sleepable:?}"
    );
    // The other functions are the kernel's own, and not hooks.
    let functions = set(&truth["functions"]);
    let all: BTreeSet<&str> = hooks.iter().map(name).collect();
    assert!(all.is_subset(&functions), "{series}: {all:?}");
    let own: BTreeSet<&str> = functions.difference(&all).copied().collect();
    assert!(own.contains("verify_prog") && own.len() < 16, "{series}: {own:?}");
    let counts = ["attachable", "sleepable", "refused"].map(|count| list[count].as_u64().unwrap());
    let expected = [attachable.len(), sleepable.len(), all.len() - attachable.len()];
    assert_eq!(counts.map(|count| usize::try_from(count).unwrap()), expected, "{series}");
}

/// Checks that the trial loaded as many programs as hooks took one, and that none is left.
fn leaves_nothing(series: &str, list: &Value, truth: &Value) {
    let loads = list["attachable"].as_u64().unwrap() + list["sleepable"].as_u64().unwrap();
    assert_eq!(truth["ids"], loads, "{series}");
    assert_eq!(truth["after"], truth["before"], "{series}");
}

fn name(hook: &Value) -> &str {
    hook["name"].as_str().unwrap()
}

fn set(names: &Value) -> BTreeSet<&str> {
    names.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

/// Compiles the C program, static.
fn compiled(folder: &Path) -> PathBuf {
    let program = folder.join("truth");
    let source = paths::sources().join("tests/hooks/truth.c");
    machines::compile("cc", &source, &program).unwrap();
    program
}

/// Boots, runs the script with these files beside the probe and returns its standard output.
fn output(series: &str, mut files: Vec<(PathBuf, String)>, script: &str) -> String {
    files.extend(machines::programs(Arch::Amd64).unwrap());
    let machine = Machine {
        kernel: fetch(Arch::Amd64, series).unwrap().image(),
        append: "lsm=landlock,bpf".to_owned(),
        memory: 512,
        files,
        securityfs: Securityfs::Mounted,
        timeout: Duration::from_mins(3),
    };
    let mut stdout = Vec::new();
    let ended = run(&machine, &["sh", "-c", script].map(str::to_owned), &mut stdout).unwrap();
    let (stdout, stderr) =
        (String::from_utf8(stdout).unwrap(), String::from_utf8_lossy(&ended.stderr));
    assert_eq!(ended.how, How::Exited(0), "{series}\n{stdout}\n{stderr}\n{}", ended.console);
    stdout
}
