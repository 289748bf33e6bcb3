//! The YAML in `config/crd/` is what the types say.

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
