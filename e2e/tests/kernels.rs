//! The kernel tier: `node-probe check` on stock kernels with chosen boot parameters, in virtual machines.
//!
//! In: kernels of `e2e/kernels.sh` and a static `node-probe` (`NODE_PROBE`, or the release build for
//! x86_64-unknown-linux-gnu). Out: the evidence, reason, fix and exit code of every case are what that kernel is known to do.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use e2e::paths;
use e2e::vm::{How, Machine, Securityfs, run};
use serde_json::Value;

/// One boot, and what every check in it must say.
struct Case {
    append: &'static str,
    securityfs: Securityfs,
    evidence: &'static str,
    /// The reason, and the one on kernels without lsm_list_modules(2) where that is another.
    reason: &'static str,
    reason_before_6_8: &'static str,
    fix: &'static str,
    kernel_reads: &'static str,
}

const DENIED: Case = Case {
    append: "",
    securityfs: Securityfs::Mounted,
    evidence: "Denied",
    reason: "CanaryDenied",
    reason_before_6_8: "CanaryDenied",
    fix: "",
    kernel_reads: "Pass",
};

const SILENT: Case =
    Case { evidence: "Attached", reason: "BpfNotInLsmList", reason_before_6_8: "BpfNotInLsmList", ..DENIED };

const CASES: [Case; 11] = [
    Case { append: "lsm=landlock,lockdown,yama,bpf", ..DENIED },
    Case { append: "lsm=bpf,landlock,lockdown,yama", ..DENIED },
    Case { append: "lsm=landlock,bpf,bpf", ..DENIED },
    // Debian's kernels have bpf in their default list, which counts without lsm= and with security=.
    Case { append: "", ..DENIED },
    Case { append: "security=apparmor", ..DENIED },
    Case {
        append: "lsm=landlock,lockdown,yama",
        fix: "Boot with lsm=landlock,lockdown,yama,bpf in place of lsm=landlock,lockdown,yama.",
        ..SILENT
    },
    Case { append: "lsm=landlock,bfp", fix: "Boot with lsm=landlock,bpf in place of lsm=landlock,bfp.", ..SILENT },
    // The last of several counts.
    Case { append: "lsm=landlock,bpf lsm=yama", fix: "Boot with lsm=yama,bpf in place of lsm=yama.", ..SILENT },
    Case { append: "lsm=lockdown,bpf lockdown=confidentiality", kernel_reads: "Fail", ..DENIED },
    Case { append: "lsm=lockdown,bpf", securityfs: Securityfs::Empty, ..DENIED },
    Case {
        append: "lsm=landlock",
        securityfs: Securityfs::Empty,
        reason_before_6_8: "NeverFired",
        fix: "Boot with lsm=landlock,bpf in place of lsm=landlock.",
        ..SILENT
    },
];

/// The guest's script: every command's output as it is, within an object that has its exit code.
const SCRIPT: &str = r#"
run() { "$@" >/tmp/out; code=$?; echo "{\"exit\": $code, \"report\": "; cat /tmp/out; echo "}"; }
run node-probe check --output json
run node-probe check --output json --require attached
run su nobody -s /bin/sh -c "/bin/node-probe check --output json"
"#;

#[test]
fn on_linux_6_1() {
    every_case_on("6.1");
}

#[test]
fn on_linux_6_12() {
    every_case_on("6.12");
}

#[test]
fn on_the_newest_kernel() {
    every_case_on("newest");
}

/// A kernel of that series, fetched if it is not there.
fn kernel(series: &str) -> PathBuf {
    let script = paths::sources().join("kernels.sh");
    let output = Command::new(&script).arg(series).output().unwrap();
    assert!(output.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()).join("vmlinuz")
}

fn node_probe() -> PathBuf {
    let built = paths::workspace().join("target/x86_64-unknown-linux-gnu/release/node-probe");
    let path = std::env::var_os("NODE_PROBE").map_or(built, PathBuf::from);
    assert!(
        path.is_file(),
        "there is no static node-probe at {}: build it with RUSTFLAGS=-Ctarget-feature=+crt-static cargo build \
         --release --target x86_64-unknown-linux-gnu -p node-probe, or set NODE_PROBE",
        path.display()
    );
    path
}

fn machine(series: &str, case: &Case) -> Machine {
    Machine {
        kernel: kernel(series),
        append: case.append.to_owned(),
        memory: 512,
        files: vec![(node_probe(), "/bin/node-probe".to_owned())],
        securityfs: case.securityfs,
        timeout: Duration::from_mins(2),
    }
}

/// Boots, runs and returns the standard output; anything but exit code 0 of the command ends the test.
fn output(machine: &Machine, command: &[String]) -> String {
    let mut stdout = Vec::new();
    let ended = run(machine, command, &mut stdout).unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr);
    let stdout = String::from_utf8(stdout).unwrap();
    assert_eq!(ended.how, How::Exited(0), "{}\n{stdout}\n{stderr}\n{}", machine.append, ended.console);
    stdout
}

fn every_case_on(series: &str) {
    for case in &CASES {
        let command = ["sh", "-c", SCRIPT].map(str::to_owned);
        let text = output(&machine(series, case), &command);
        let runs: Vec<Value> = serde_json::Deserializer::from_str(&text).into_iter().map(Result::unwrap).collect();
        let [as_root, only_attached, as_nobody] = runs.as_slice() else { panic!("three runs: {text}") };
        judge(series, case, as_root);
        assert_eq!(only_attached["exit"], 0, "{series} {:?}: every case attaches", case.append);
        assert_eq!(as_nobody["exit"], 2, "{series} {:?}: {as_nobody:#}", case.append);
        assert_eq!(as_nobody["report"]["evidence"], "None", "{as_nobody:#}");
        assert_eq!(as_nobody["report"]["reason"], "MissingCapability", "{as_nobody:#}");
    }
}

fn judge(series: &str, case: &Case, run: &Value) {
    let what = format!("{series} {:?} {:?}: {run:#}", case.append, case.securityfs);
    let report = &run["report"];
    let reason = if series == "6.1" { case.reason_before_6_8 } else { case.reason };
    assert_eq!(report["schema"], "lsmready.io/check/v1", "{what}");
    assert_eq!(report["evidence"], case.evidence, "{what}");
    assert_eq!(report["reason"], reason, "{what}");
    assert_eq!(run["exit"], i32::from(case.evidence != "Denied"), "{what}");
    assert!(report["fix"].as_str().unwrap().starts_with(case.fix), "{what}");
    assert_eq!(report["fix"] == "", case.fix.is_empty(), "{what}");
    assert_eq!(check(report, "KernelReads")["outcome"], case.kernel_reads, "{what}");
    for (rung, climbed) in [("Loaded", true), ("Attached", true), ("Fired", case.evidence == "Denied")] {
        assert_eq!(check(report, rung)["outcome"], if climbed { "Pass" } else { "Fail" }, "{rung}: {what}");
    }
}

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no check {name}: {report:#}"))
}

/// SIGKILL of `check` at the moment at which its canary is attached, on every kernel.
#[test]
fn a_killed_check_leaves_nothing_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let killer = folder.path().join("kill-while-attached");
    let source = paths::sources().join("tests/kernels/kill_while_attached.c");
    let compiled = Command::new("cc").args(["-static", "-O1", "-o"]).arg(&killer).arg(&source).output().unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let command = [killer.to_str().unwrap(), "/bin/node-probe", "check"].map(str::to_owned);
    for series in ["6.1", "6.12", "newest"] {
        let machine = machine(series, &Case { append: "lsm=landlock,bpf", ..DENIED });
        let counts: Value = serde_json::from_str(&output(&machine, &command)).unwrap();
        assert_eq!(counts["attached"]["links"], 1, "{series}: {counts}");
        assert_eq!(counts["after"], counts["before"], "{series}: {counts}");
    }
}
