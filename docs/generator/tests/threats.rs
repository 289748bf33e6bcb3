//! Each threat of docs/threat-model.md is accepted or names the tests that hold it, and these exist
//! and run.

mod sources;

use sources::Tree;

/// The tests that a text names as `path.rs`: `name`, `name`.
fn named_tests(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut file = None;
    for part in text.split('`').skip(1).step_by(2) {
        let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let is_name = part.chars().all(is_part);
        if part.contains('/') && part.ends_with("rs") {
            file = Some(part);
        } else if let Some(file) = file.filter(|_| is_name && part.contains('_')) {
            found.push((file, part));
        }
    }
    found
}

/// Why the source has no such test, or none that runs. A property has arguments, and its attribute
/// may stand in a macro.
fn problem(source: &str, name: &str) -> Option<&'static str> {
    let Some((before, _)) = source.split_once(&format!("fn {name}(")) else {
        return Some("does not exist");
    };
    // The attributes, which stand between the end of what comes before and the function.
    let own = before.rsplit_once("\n\n").map_or(before, |(_, own)| own);
    match own {
        _ if own.contains("#[ignore") => Some("is ignored"),
        _ if own.contains("#[test]") || own.contains("#[tokio::test") => None,
        _ => Some("is no test"),
    }
}

/// The rows of the section with the threats: what, and held by what.
fn threats(page: &str) -> Vec<(&str, &str)> {
    let section = page.split("\n## ").find(|section| section.starts_with("Threats")).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    rows.filter(|(threat, _)| *threat != "threat").collect()
}

#[test]
fn every_threat_is_accepted_or_held_by_a_test_that_runs() {
    let tree = Tree::read();
    let threats = threats(tree.text("docs/threat-model.md").unwrap());
    assert!(threats.len() > 50, "only {} threats: is the search broken?", threats.len());
    for (threat, held_by) in threats {
        let tests = named_tests(held_by);
        let is_answered = held_by.starts_with("accepted") || !tests.is_empty();
        assert!(is_answered, "neither accepted nor held by a test: {threat}");
        for (file, name) in tests {
            let found = problem(tree.text(file).unwrap_or_default(), name);
            assert_eq!(found, None, "{name} in {file}");
        }
    }
}

#[test]
fn a_function_that_is_no_test_or_does_not_run_holds_nothing() {
    let source = "#[test]\nfn a() {}\n\nfn b() {}\n\n#[test]\n#[ignore = \"slow\"]\nfn c() {}\n\n\
        proptest! {\n    /// Any.\n    #[test]\n    fn d(x: u8) {}\n}\n\n\
        #[tokio::test(flavor = \"x\")]\nasync fn e() {}\n";
    let names = ["a", "b", "c", "d", "e", "f"];
    let no_test = Some("is no test");
    let expected = [None, no_test, Some("is ignored"), None, None, Some("does not exist")];
    assert_eq!(names.map(|name| problem(source, name)), expected);
}

#[test]
fn tests_are_found_behind_their_file() {
    let row =
        "| a `threat_of` | `a/b.rs`: `one_test`, `two_tests`; `c/d.rs`: `three_tests`, `Not` |";
    let expected = [("a/b.rs", "one_test"), ("a/b.rs", "two_tests"), ("c/d.rs", "three_tests")];
    assert_eq!(named_tests(row), expected);
}
