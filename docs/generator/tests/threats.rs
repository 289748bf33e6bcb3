//! The tests that docs/threat-model.md names exist: a file, and test functions in it.

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

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let tree = Tree::read();
    let page = tree.text("docs/threat-model.md").unwrap();
    let rows = page.lines().filter(|line| line.starts_with('|'));
    let tests: Vec<_> = rows.flat_map(named_tests).collect();
    assert!(tests.len() > 40, "only {} tests are named: is the search broken?", tests.len());
    for (file, name) in tests {
        let source = tree.text(file).unwrap_or_default();
        // A property has arguments.
        assert!(source.contains(&format!("fn {name}(")), "{file} has no test {name}");
    }
}

#[test]
fn tests_are_found_behind_their_file() {
    let row =
        "| a `threat_of` | `a/b.rs`: `one_test`, `two_tests`; `c/d.rs`: `three_tests`, `Not` |";
    let expected = [("a/b.rs", "one_test"), ("a/b.rs", "two_tests"), ("c/d.rs", "three_tests")];
    assert_eq!(named_tests(row), expected);
}
