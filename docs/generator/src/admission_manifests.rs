//! The admission policies as files for the API server's disk (manifest-based admission control).
//!
//! In: config/admission. Out: one file with the same policies and bindings under the names that
//! such files must have. `make docs` writes it; `tests/drift.rs` fails where it differs.

use std::path::Path;

use crate::{Error, files, read};

/// The file, below the root.
pub const FILE: &str = "config/admission-manifests/lsm-ready.yaml";

/// The API server loads only objects with names that end so, and nobody can create them by its API
/// (<https://kubernetes.io/docs/reference/access-authn-authz/manifest-admission-control/>).
const SUFFIX: &str = ".static.k8s.io";

const HEADER: &str = "\
# Generated from config/admission by `make docs`. Do not edit.
#
# The policies as files that the API server loads from its disk: manifest-based admission control,
# with the feature gate ManifestBasedAdmissionControlConfig (alpha in Kubernetes 1.36). Nobody can
# change or delete them by the API. docs/install.md says how to use them.
";

/// The content of the file. `root` is the folder with config/.
pub fn content(root: &Path) -> Result<String, Error> {
    let mut text = HEADER.to_owned();
    for file in files(&root.join("config/admission"))? {
        if file.extension().is_some_and(|extension| extension == "yaml")
            && !file.ends_with("kustomization.yaml")
        {
            text.push_str("---\n");
            text.extend(read(&file)?.lines().map(|line| format!("{}\n", renamed(line))));
        }
    }
    Ok(text)
}

/// The line. The name of an object, and of the policy that a binding is for, gets the suffix.
fn renamed(line: &str) -> String {
    let is_name = ["  name: lsm-ready-", "  policyName: lsm-ready-"]
        .iter()
        .any(|start| line.starts_with(start));
    if is_name { format!("{line}{SUFFIX}") } else { line.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_policies_get_the_suffix_and_nothing_else_does() {
        for (line, expected) in [
            ("  name: lsm-ready-accounts", "  name: lsm-ready-accounts.static.k8s.io"),
            ("  policyName: lsm-ready-accounts", "  policyName: lsm-ready-accounts.static.k8s.io"),
            ("    - name: lsm-ready-accounts", "    - name: lsm-ready-accounts"),
            ("      name: lsm-ready-accounts", "      name: lsm-ready-accounts"),
        ] {
            assert_eq!(renamed(line), expected);
        }
    }
}
