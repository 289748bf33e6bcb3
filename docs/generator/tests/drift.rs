//! The generated pages in docs/ are what the code says.

use std::fs;
use std::path::Path;

use lsm_ready_docs::{admission_manifests, prometheus_rule};

#[test]
fn every_generated_page_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for page in lsm_ready_docs::pages(&root).unwrap() {
        let found = fs::read_to_string(root.join("docs").join(page.name)).unwrap_or_default();
        assert_eq!(
            found, page.content,
            "docs/{} differs from the code: run `make docs`",
            page.name
        );
    }
}

#[test]
fn the_alerts_for_the_prometheus_operator_are_those_of_the_rule_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let found = fs::read_to_string(root.join(prometheus_rule::FILE)).unwrap_or_default();
    let wanted = prometheus_rule::content(&root).unwrap();
    assert_eq!(found, wanted, "{} differs: run `make docs`", prometheus_rule::FILE);
    let parse = |text: &str| serde_saphyr::from_str::<serde_json::Value>(text).unwrap();
    let rules = fs::read_to_string(root.join(prometheus_rule::RULES)).unwrap();
    assert_eq!(parse(&found)["spec"], parse(&rules));
}

#[test]
fn the_policies_for_the_api_servers_disk_are_those_of_config() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let found = fs::read_to_string(root.join(admission_manifests::FILE)).unwrap_or_default();
    let wanted = admission_manifests::content(&root).unwrap();
    assert_eq!(found, wanted, "{} differs: run `make docs`", admission_manifests::FILE);
    // Each binding is for a policy of the same file.
    let names = |start: &str| -> Vec<String> {
        let values = found.lines().filter_map(|line| line.strip_prefix(start));
        values.map(str::to_owned).collect()
    };
    let policies = names("  policyName: ");
    assert!(policies.len() >= 8 && policies.iter().all(|name| name.ends_with(".static.k8s.io")));
    assert!(policies.iter().all(|name| names("  name: ").contains(name)));
}
