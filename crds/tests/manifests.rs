//! The manifests in config/ repeat names of the code. These tests compare them.

use std::{fs, path::Path};

use lsm_ready_crds::names::TAINT_KEYS;

#[test]
fn the_operator_may_set_and_tolerates_each_taint_key() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    for file in ["admission/operator_on_nodes.yaml", "operator/deployment.yaml"] {
        let text = fs::read_to_string(config.join(file)).unwrap();
        for key in TAINT_KEYS {
            assert!(text.contains(key), "config/{file} lacks the taint key {key}");
        }
    }
}
