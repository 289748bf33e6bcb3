//! The generated files in config/crd/ and docs/ match the code.

use std::{fs, path::Path};

#[test]
fn generated_definitions_are_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/crd/bases");
    for (name, wanted) in lsm_ready_crds::manifest::files().unwrap() {
        let found = fs::read_to_string(folder.join(&name)).unwrap_or_default();
        assert_eq!(
            found, wanted,
            "config/crd/bases/{name} differs from the types: run `make crds`"
        );
    }
}

#[test]
fn the_page_of_reasons_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reasons.md");
    let found = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        found,
        lsm_ready_crds::reason::docs::page(),
        "docs/reasons.md differs from the table: run `make docs`"
    );
}

#[test]
fn the_tables_of_conditions_are_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conditions.md");
    let found = fs::read_to_string(path).unwrap();
    let filled = lsm_ready_crds::conditions::docs::fill(&found).unwrap();
    assert_eq!(found, filled, "docs/conditions.md differs from the tables: run `make docs`");
}
