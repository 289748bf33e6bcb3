//! Files that are broken, hostile or large: the message names the place, the time is bounded, and
//! nothing panics.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what cannot be prepared fails the test")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Maximum time for any input, also on a busy machine and without optimisation.
const DEADLINE: Duration = Duration::from_secs(30);

/// Exit code, standard output and standard error of `kubectl lsm-ready preflight` for a file with
/// these bytes.
fn run(bytes: &[u8]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let (file, nodes) = (folder.path().join("p.yaml"), folder.path().join("nodes.yaml"));
    std::fs::write(&file, bytes).unwrap();
    std::fs::write(&nodes, "").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-lsm_ready"));
    command
        .args(["preflight", "p.yaml", "--nodes", "nodes.yaml", "-o", "json"])
        .current_dir(folder.path());
    let began = Instant::now();
    let output = command.env("PATH", Path::new("/nowhere")).stdin(Stdio::null()).output().unwrap();
    assert!(began.elapsed() < DEADLINE, "{:?}", began.elapsed());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

const GOOD: &str = "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: \
    good}\nspec:\n  lsmhooks:\n  - hook: \
                    file_open\n    selectors: [{matchActions: [{action: Sigkill}]}]\n";

#[test]
fn an_invalid_file_is_reported_with_its_line() {
    let bomb: String = (1..12).fold("a0: &a0 [x, x]\n".to_owned(), |mut text, level| {
        let below = level - 1;
        writeln!(
            text,
            "a{level}: &a{level} [*a{below}, *a{below}, *a{below}, *a{below}, *a{below}, *a{below}]"
        )
        .unwrap();
        text
    });
    let cases: [(&str, Vec<u8>, &str); 9] = [
        ("Latin-1", b"a: 1\nb: \xfc\n".to_vec(), "p.yaml:2: invalid UTF-8"),
        ("NUL", b"kind: TracingPolicy\nmetadata: {name: \"a\0b\"}\n".to_vec(), "p.yaml:"),
        ("a tab", b"kind: x\nspec:\n\ta: 1\n".to_vec(), "p.yaml:3: document 1 cannot be read"),
        ("twice", b"kind: x\nspec: {}\nspec: {}\n".to_vec(), "p.yaml:3: document 1 cannot be read"),
        (
            "twice in JSON",
            br#"{"kind": "x", "kind": "y"}"#.to_vec(),
            "p.yaml:1: document 1 cannot be read",
        ),
        ("a bomb", bomb.into_bytes(), "p.yaml:"),
        ("an anchor in itself", b"a: &a [*a]\n".to_vec(), "p.yaml:1:"),
        (
            "deep YAML",
            ["[".repeat(100_000), "]".repeat(100_000)].concat().into_bytes(),
            "p.yaml:1:",
        ),
        (
            "deep JSON",
            [r#"{"a":"#.repeat(100_000), "1".to_owned(), "}".repeat(100_000)].concat().into_bytes(),
            "p.yaml:1:",
        ),
    ];
    for (what, bytes, wanted) in cases {
        let (code, stdout, stderr) = run(&bytes);
        assert_eq!((code, stdout.as_str()), (64, ""), "{what}: {stderr:.300}");
        assert!(stderr.contains(wanted) && stderr.len() < 2000, "{what}: {stderr:.300}");
    }
}

#[test]
fn an_invalid_document_does_not_hide_the_others() {
    let text = format!("{GOOD}---\nkind: [\n---\n{}", GOOD.replace("good", "better"));
    let (code, stdout, stderr) = run(text.as_bytes());
    let answer: Value = serde_json::from_str(&stdout).unwrap();
    let names: Vec<&str> = answer["policies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["name"].as_str().unwrap())
        .collect();
    assert_eq!((code, names), (64, vec!["good", "better"]), "{stderr}");
    assert!(stderr.contains("document 2 cannot be read"), "{stderr}");
}

#[test]
fn utf_16_is_read() {
    let bytes: Vec<u8> =
        "\u{feff}".encode_utf16().chain(GOOD.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let (code, stdout, stderr) = run(&bytes);
    assert_eq!(code, 2, "no node is known: {stderr}");
    assert!(stdout.contains("\"good\""), "{stdout}");
}

#[test]
fn json_with_tabs_is_read() {
    let (code, stdout, stderr) = run(b"{\n\t\"apiVersion\": \"cilium.io/v1alpha1\",\n\t\"kind\": \
            \"TracingPolicy\",\n\t\"metadata\": \
        {\"name\": \"good\"},\n\t\"spec\": {\"lsmhooks\": [{\"hook\": \"file_open\"}]}\n}\n");
    assert_eq!(code, 2, "{stderr}");
    assert!(stdout.contains("\"good\""), "{stdout}");
}

/// The exit code and result for a policy with that spec, and the length of the answer.
fn judged(spec: &Value) -> (i32, String, usize) {
    let object = json!({"apiVersion": "cilium.io/v1alpha1", "kind": "TracingPolicy",
        "metadata": {"name": "p"}, "spec": spec});
    let (code, stdout, stderr) = run(object.to_string().as_bytes());
    let answer: Value =
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stderr:.300}"));
    (code, answer["policies"][0]["result"].as_str().unwrap().to_owned(), stdout.len())
}

#[test]
fn large_policies_are_judged() {
    let hooks: Vec<Value> =
        (0..10_000).map(|number| json!({"hook": format!("hook_{number}")})).collect();
    let (code, result, _) = judged(&json!({"lsmhooks": hooks}));
    assert_eq!((code, result.as_str()), (1, "NotLoadable"), "no kernel has as many hooks");
    let same: Vec<Value> = (0..10_000).map(|_| json!({"hook": "file_open"})).collect();
    assert_eq!(judged(&json!({"lsmhooks": same})).1, "Unknown", "no node is known");
    let unknown: Value = (0..10_000)
        .map(|number| (format!("field_{number}"), json!(1)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let (code, result, length) = judged(&unknown);
    assert_eq!((code, result.as_str()), (1, "NotLoadable"));
    assert!(length < 100_000, "{length}");
    let long = json!({"lsmhooks": [{"hook": "x".repeat(1_000_000)}], ("y".repeat(100_000)): 1});
    let (code, result, length) = judged(&long);
    assert_eq!((code, result.as_str()), (1, "NotLoadable"));
    assert!(length < 100_000, "{length}");
}
