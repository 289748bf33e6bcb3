//! Every command of the pages is run by some test, or its block is marked: "```console not-tested".
//!
//! A block of the kind `console` has commands in the lines that begin with `$ `; in a block of the
//! kind `sh` every line is one. The table below says for the beginning of a command which file runs
//! it, and by which words. A command that no row begins is an error, and so is a row that no page
//! needs.

mod sources;

use std::collections::BTreeSet;

use sources::{Tree, is_page};

const UNINSTALL: &str = "operator/tests/api/uninstall/mod.rs";
const PREFLIGHT: &str = "kubectl-lsm/tests/preflight/main.rs";
const CLEANUP: &str = "kubectl-lsm/tests/cleanup.rs";
const FLEET: &str = "kubectl-lsm/tests/fleet/main.rs";
const HELM: &str = "operator/tests/api/chart/upgrade.rs";

/// The beginning of a command, and the file and the words in it by which a test runs it.
const RUN_BY: [(&str, &str, &str); 30] = [
    ("make test", ".ci/run", "exec make test"),
    ("make demo", "e2e/src/bin/rig/bench_demo.rs", "join(\"demo.sh\")"),
    ("make images", "Makefile", "test-cluster: images rig"),
    ("make docs", "docs/generator/tests/drift.rs", "fn every_generated_page_is_up_to_date"),
    ("git diff", "docs/generator/tests/drift.rs", "fn every_generated_page_is_up_to_date"),
    ("cargo test -p lsm-ready-crds --lib", "Makefile", "$(TEST) --lib --bins"),
    ("kubectl apply -k config/default", "e2e/tests/cluster/scene.rs", "config/default"),
    ("kubectl apply -k config/cleanup", UNINSTALL, "\"-k\", &config(\"cleanup\")"),
    ("kubectl delete -k config/cleanup", UNINSTALL, "[\"delete\", ENDS, \"-k\""),
    (
        "kubectl -n lsm-ready-cleanup wait",
        UNINSTALL,
        "fn the_job_cleans_up_after_a_killed_operator",
    ),
    ("kubectl apply -f config/samples/", "operator/tests/api/crds/mod.rs", "samples"),
    ("kubectl -n lsm-ready-system rollout status", "e2e/tests/cluster/scene.rs", "\"rollout\""),
    ("kubectl -n lsm-ready-system get pods", "e2e/tests/cluster/scene.rs", "fn pods("),
    ("kubectl -n lsm-ready-system logs", "e2e/tests/cluster/scene.rs", "fn log("),
    ("kubectl get ", "e2e/demo.sh", "show kubectl get"),
    ("kubectl describe ", "e2e/demo.sh", "kubectl get lsmpolicy"),
    ("kubectl annotate lsmpolicy", "operator/tests/api/breaker.rs", "[\"annotate\", \"lsmpolicy\""),
    (
        "kubectl annotate lease",
        "operator/tests/api/held.rs",
        "[\"annotate\", \"-n\", NAMESPACE, \"lease\"",
    ),
    ("kubectl lsm-ready status", FLEET, "[\"status\"]"),
    ("kubectl lsm-ready why", FLEET, "[\"why\", name]"),
    ("kubectl lsm-ready nodes", FLEET, "[\"nodes\", \"-l\""),
    ("kubectl lsm-ready drill", FLEET, "[\"drill\", \"file_open\""),
    ("helm install lsm-ready charts/lsm-ready", HELM, "\"install\", \"lsm-ready\", \"CHART\""),
    ("helm upgrade lsm-ready charts/lsm-ready", HELM, "\"upgrade\", \"lsm-ready\", \"CHART\""),
    ("helm rollback lsm-ready", HELM, "\"rollback\", \"lsm-ready\""),
    ("helm uninstall lsm-ready", HELM, "\"uninstall\", \"lsm-ready\""),
    ("helm test lsm-ready", "operator/tests/api/chart/mod.rs", "\"test\", \"lsm-ready\""),
    ("kubectl lsm-ready preflight", PREFLIGHT, "fn each_result_has_its_exit_code"),
    (
        "kubectl lsm-ready cleanup",
        CLEANUP,
        "fn the_plugin_asks_then_removes_everything_and_says_so",
    ),
    ("node-probe check", "node-probe/tests/check.rs", "\"check\""),
];

/// A command, where it is.
struct Found {
    place: String,
    command: String,
}

/// The commands of a page's blocks that are not marked.
fn commands(file: &str, page: &str) -> Vec<Found> {
    let mut found = Vec::new();
    let mut info: Option<&str> = None;
    let mut goes_on = false;
    for (index, line) in page.lines().enumerate() {
        if let Some(rest) = line.trim_start().strip_prefix("```") {
            info = if info.is_some() { None } else { Some(rest) };
            continue;
        }
        let command = match info {
            Some("console") => line.trim_start().strip_prefix("$ "),
            Some("sh" | "bash" | "shell") => Some(line.trim_start()),
            _ => None,
        };
        // A line behind a backslash belongs to the command before.
        let is_new = !std::mem::replace(&mut goes_on, line.ends_with('\\'));
        let command = command.filter(|text| is_new && !text.is_empty() && !text.starts_with('#'));
        if let Some(command) = command {
            let place = format!("{file}:{}", index + 1);
            found.push(Found { place, command: command.to_owned() });
        }
    }
    found
}

#[test]
fn every_command_of_a_page_is_run_by_a_test_or_marked() {
    let tree = Tree::read();
    let pages = tree.texts().filter(|(file, _)| is_page(file));
    let found: Vec<Found> = pages.flat_map(|(file, page)| commands(file, page)).collect();
    assert!(found.len() > 20, "only {} commands were found: is the search broken?", found.len());
    let mut used = BTreeSet::new();
    let mut wrong = Vec::new();
    for Found { place, command } in &found {
        let row = RUN_BY.iter().find(|(beginning, ..)| command.starts_with(beginning));
        match row {
            Some((beginning, ..)) => drop(used.insert(*beginning)),
            None => wrong.push(format!("{place}: no test runs `{command}`")),
        }
    }
    let rows = RUN_BY.iter().map(|(beginning, ..)| *beginning);
    wrong.extend(rows.filter(|row| !used.contains(row)).map(|row| format!("no page has `{row}`")));
    assert!(wrong.is_empty(), "mark the block as \"```console not-tested\":\n{}", wrong.join("\n"));
}

#[test]
fn every_test_that_the_table_names_exists() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (command, file, words) in RUN_BY {
        let text = std::fs::read_to_string(root.join(file)).unwrap_or_default();
        assert!(text.contains(words), "`{command}`: {file} has no {words:?}");
    }
}

#[test]
fn commands_are_found_in_their_blocks_and_nowhere_else() {
    let page = "$ no\n```console\n$ one \\\n    --more\nanswer\n```\n```sh\n# why\ntwo\n```\n\
                ```console not-tested\n$ three\n```\n```yaml\n$ four\n```\n";
    let found: Vec<String> = commands("a.md", page).into_iter().map(|one| one.command).collect();
    assert_eq!(found, ["one \\", "two"]);
}
