//! `preflight` with a cluster: the answers of a kubectl that a script replaces.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::{nodes, nowhere, policy, run};

/// A kubectl that answers `get lsmnodes,…` with `first` and everything else with `second`, each a
/// shell command.
fn kubectl(first: &str, second: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubectl");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n*lsmnodes*) {first} ;;\n*daemonsets*) exit 1 ;;\n*) {second} \
         ;;\nesac\n"
    );
    // Another process writes the file: a file that this process writes cannot be run while a child
    // of another test holds it open.
    let write = format!("printf '%s' \"$0\" > {0} && chmod +x {0}", file.display());
    assert!(Command::new("sh").args(["-c", &write, &script]).status().unwrap().success());
    folder
}

/// Prints two Linux nodes and a Windows node, as `get nodes` does.
const THREE_NODES: &str = concat!(
    r#"printf 'a\t1\t{"kubernetes.io/os":"linux"}\nb\t1\t\n"#,
    r#"w\t1\t{"kubernetes.io/os":"windows"}\n'"#
);

#[test]
fn the_cluster_is_asked_if_no_file_is_named() {
    let input = policy("p", &["file_open"]).to_string();
    let lsm_nodes = format!("echo '{}'", nodes(&[]));
    let (code, stdout, stderr) =
        run(&["-", "-o", "json"], &input, kubectl(&lsm_nodes, THREE_NODES).path());
    let answer: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stderr}"));
    assert_eq!((code, &answer["nodes"], &answer["notes"]), (0, &json!(2), &json!([])), "{answer}");

    let forbidden = "echo 'Error from server (Forbidden): nodes is forbidden' >&2; exit 1";
    let (code, stdout, _) =
        run(&["-", "-o", "json"], &input, kubectl(&lsm_nodes, forbidden).path());
    let answer: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &answer["nodes"]), (0, &json!(2)));
    assert!(answer["notes"][0].as_str().unwrap().contains("nodes is forbidden"), "{answer}");
}

#[test]
fn a_cluster_without_a_usable_answer_cannot_be_judged() {
    let input = policy("p", &["file_open"]).to_string();
    let missing =
        "echo \"error: the server doesn't have a resource type \\\"lsmnodes\\\"\" >&2; exit 1";
    let invalid =
        r#"echo '{"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode", "metadata": 7}'"#;
    for (answer, wanted) in [
        (missing, "doesn't have a resource type"),
        ("echo '{'", "the cluster:1: document 1 cannot be read"),
        (invalid, "the cluster:1: document 1 is an invalid LsmNode"),
    ] {
        let (code, stdout, stderr) = run(&["-"], &input, kubectl(answer, "exit 1").path());
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains(wanted), "{stderr}");
        assert!(stdout.contains("1 cannot be judged"), "{stdout}");
    }
    let (_, _, stderr) = run(&["-"], &input, kubectl(missing, "exit 1").path());
    assert!(stderr.contains("--nodes FILE"), "{stderr}");
    let (code, _, stderr) = run(&["-"], &input, nowhere());
    assert_eq!(code, 2);
    assert!(stderr.contains("cannot run kubectl"), "{stderr}");
}

#[test]
fn the_answer_of_the_api_server_counts_for_the_schema() {
    let nodes = format!("echo '{}'", nodes(&[]));
    let mut newer = policy("p", &["file_open"]);
    newer["spec"]["sandbox"] = json!({});
    let strict = "Error from server (BadRequest): strict decoding error: unknown field";
    let known = policy("p", &["file_open"]);
    let not_asked = || "echo 'no matches for kind' >&2; exit 1".to_owned();
    for (policy, said, code, answer, result) in [
        (&newer, "exit 0".to_owned(), 2, "Accepted", "Unknown"),
        (&newer, format!("echo '{strict}' >&2; exit 1"), 1, "Refused", "NotLoadable"),
        (&newer, not_asked(), 1, "NotAsked", "NotLoadable"),
        (&known, not_asked(), 2, "NotAsked", "Unknown"),
    ] {
        let folder = kubectl(
            &nodes,
            &format!("case \"$*\" in *apply*) cat > /dev/null; {said} ;; *) exit 1 ;; esac"),
        );
        // The script needs cat.
        let path = format!("{}:/usr/bin:/bin", folder.path().display());
        let (found, stdout, stderr) =
            run(&["-", "-o", "json", "--server"], &policy.to_string(), Path::new(&path));
        let found_answer: Value =
            serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stderr}"));
        let judged = &found_answer["policies"][0];
        assert_eq!(
            (found, &judged["server"]["result"], &judged["result"]),
            (code, &json!(answer), &json!(result)),
            "{judged}"
        );
    }
}
