//! The kernel tier of the hook trial: what `node-probe hooks` says on stock kernels, beside the truth that a C program
//! finds out with nothing but bpf(2).
//!
//! In: kernels of `e2e/kernels.sh` and a static `node-probe` (`NODE_PROBE`, or the release build for
//! x86_64-unknown-linux-gnu). Out: the lists are the same, hook by hook; the trial loaded what it says and left nothing; and
//! the agent makes it once a boot, whatever becomes of the agent.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::paths;
use e2e::pki::{Authority, Subject};
use e2e::vm::{How, Machine, Securityfs, run};
use serde_json::Value;

/// Five JSON values: the list, the truth, and three exit codes of `check`.
const SCRIPT: &str = r"
/bin/truth /bin/node-probe hooks -o json || exit
node-probe check --require-hook file_open --require-sleepable-hook bprm_check_security >/dev/null; echo $?
node-probe check --require-hook file_opn >/dev/null; echo $?
su nobody -s /bin/sh -c '/bin/node-probe check --require-hook file_open' >/dev/null; echo $?
";

/// Linux 5.7 has these already.
const EVERYWHERE: [&str; 5] =
    ["file_open", "bprm_check_security", "task_prctl", "inode_unlink", "task_free"];

/// One kernel after the other, so that there is never more than one machine.
#[test]
fn on_stock_kernels() {
    let folder = tempfile::tempdir().unwrap();
    let truth = compiled(folder.path());
    for series in ["6.1", "6.12", "newest"] {
        the_hooks_are_the_true_ones(series, &truth);
    }
    an_agent_publishes_once_a_boot(folder.path());
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

/// Request by request, against a shell script that is all of the cluster that the machine has.
fn an_agent_publishes_once_a_boot(folder: &Path) {
    let kubeconfig = folder.join("kubeconfig");
    let authority = Authority::new().unwrap();
    authority
        .write_kubeconfig(&kubeconfig, "http://127.0.0.1:8080", &Subject::client("probe", None))
        .unwrap();
    let script =
        |name: &str| (paths::sources().join("tests/hooks").join(name), format!("/bin/{name}"));
    let files =
        vec![script("api.sh"), script("agents.sh"), (kubeconfig, "/bin/kubeconfig".to_owned())];
    let text = output("newest", files, "sh /bin/agents.sh");
    let mut agents = text.split("agent\n").skip(1).map(|agent| agent.lines().collect::<Vec<_>>());
    let (first, second) = (agents.next().unwrap(), agents.next().unwrap());
    let named = first
        .iter()
        .find_map(|line| line.strip_prefix("PATCH /apis/lsmready.io/v1alpha1/lsmnodes/n1/status "));
    let digest = named.unwrap_or_else(|| panic!("no profile is named: {text}"));
    let (node, report) = ("GET /api/v1/nodes/n1", "GET /apis/lsmready.io/v1alpha1/lsmnodes/n1");
    let asked = format!("GET /apis/lsmready.io/v1alpha1/lsmhookprofiles/{digest}");
    let expected = [
        // The evidence first, and then the hooks.
        node,
        report,
        "POST /apis/lsmready.io/v1alpha1/lsmnodes",
        "PATCH /apis/lsmready.io/v1alpha1/lsmnodes/n1/status",
        report,
        &asked,
        "POST /apis/lsmready.io/v1alpha1/lsmhookprofiles",
        &format!("PATCH /apis/lsmready.io/v1alpha1/lsmnodes/n1/status {digest}"),
        // At rest.
        node,
        report,
        node,
    ];
    assert!(first.starts_with(&expected), "{first:#?}");
    // The next agent takes over what the first has left, and writes nothing.
    assert!(second.starts_with(&[node, report, &asked, node, report, node]), "{second:#?}");
    for agent in [first, second] {
        let kilobytes = agent.last().and_then(|line| line.strip_prefix("kilobytes ")?.parse().ok());
        assert!(
            kilobytes.is_some_and(|kilobytes: u32| kilobytes < 12_000),
            "an agent stays small: {agent:#?}"
        );
    }
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
    // What is left of the functions are the kernel's own, which are no hooks.
    let functions = set(&truth["functions"]);
    let all: BTreeSet<&str> = hooks.iter().map(name).collect();
    assert!(all.is_subset(&functions), "{series}: {all:?}");
    let own: BTreeSet<&str> = functions.difference(&all).copied().collect();
    assert!(own.contains("verify_prog") && own.len() < 16, "{series}: {own:?}");
    let counts = ["attachable", "sleepable", "refused"].map(|count| list[count].as_u64().unwrap());
    let expected = [attachable.len(), sleepable.len(), all.len() - attachable.len()];
    assert_eq!(counts.map(|count| usize::try_from(count).unwrap()), expected, "{series}");
}

/// As many programs were loaded as the list says hooks took one, and none is there any more.
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

/// The C program, static.
fn compiled(folder: &Path) -> PathBuf {
    let program = folder.join("truth");
    let source = paths::sources().join("tests/hooks/truth.c");
    let output = Command::new("cc")
        .args(["-static", "-O1", "-Wall", "-o"])
        .arg(&program)
        .arg(&source)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

/// A kernel of that series, fetched if it is not there.
fn kernel(series: &str) -> PathBuf {
    let script = paths::sources().join("kernels.sh");
    let output = Command::new(&script).arg(series).output().unwrap();
    assert!(
        output.status.success(),
        "{}: {}",
        script.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()).join("vmlinuz")
}

fn node_probe() -> PathBuf {
    let built = paths::workspace().join("target/x86_64-unknown-linux-gnu/release/node-probe");
    let path = std::env::var_os("NODE_PROBE").map_or(built, PathBuf::from);
    assert!(
        path.is_file(),
        "there is no static node-probe at {}: run `make static`, or set NODE_PROBE",
        path.display()
    );
    path
}

/// Boots, runs the script with these files beside the probe and returns its standard output.
fn output(series: &str, mut files: Vec<(PathBuf, String)>, script: &str) -> String {
    files.push((node_probe(), "/bin/node-probe".to_owned()));
    let machine = Machine {
        kernel: kernel(series),
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
