//! Facts recorded on real machines, replayed: what their texts show, and never more than that.
//!
//! Each file in `tests/facts/` is what `node-probe facts` printed as root in a virtual machine with
//! that kernel of Debian's (x86-64, no os-release) and `lsm=landlock,lockdown,yama`, with or
//! without `,bpf` behind it. What these kernels really do is for `make test-kernels` to show; no
//! kernel is recorded here that was not run.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[test]
fn recorded_facts_rule_out_and_never_prove() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/facts");
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let check = ["check", "--output", "json", "--from", path.to_str().unwrap()];
        let output = Command::new(env!("CARGO_BIN_EXE_node-probe")).args(check).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let (code, reason) =
            if name.ends_with("-without-bpf") { (1, "BpfNotInLsmList") } else { (2, "NotTried") };
        assert_eq!(
            (output.status.code(), &report["reason"]),
            (Some(code), &Value::from(reason)),
            "{name}: {report:#}"
        );
        assert_eq!(report["evidence"], "None", "{name}");
        seen += 1;
    }
    assert_eq!(seen, 6);
}
