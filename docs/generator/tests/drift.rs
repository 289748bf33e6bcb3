//! The generated pages in docs/ are what the code says.

use std::fs;
use std::path::Path;

use lsm_ready_docs::admission_manifests;

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
