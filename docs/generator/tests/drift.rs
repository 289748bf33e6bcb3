//! The generated pages in docs/ are what the code says.

use std::fs;
use std::path::Path;

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
