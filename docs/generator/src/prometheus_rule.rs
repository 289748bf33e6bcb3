//! The rule file as an object for the Prometheus Operator.
//!
//! In: config/monitoring/rules/rules.yaml. Out: the PrometheusRule beside it. `make docs` writes it;
//! `tests/drift.rs` fails where it differs.

use std::path::Path;

use crate::{Error, read};

/// The rule file, below the root.
pub const RULES: &str = "config/monitoring/rules/rules.yaml";
/// The object, below the root.
pub const FILE: &str = "config/monitoring/rules/prometheus-rule.yaml";

const HEADER: &str = "\
# Generated from rules.yaml by `make docs`. Do not edit.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: lsm-ready
  namespace: lsm-ready-system
  labels:
    app.kubernetes.io/name: lsm-ready-operator
spec:
";

/// The content of the file. `root` is the folder with config/.
pub fn content(root: &Path) -> Result<String, Error> {
    Ok(HEADER.to_owned() + &indented(&read(&root.join(RULES))?))
}

/// The rules without the comments at their beginning, as the value of `spec`.
fn indented(rules: &str) -> String {
    let lines = rules.lines().skip_while(|line| line.starts_with('#'));
    let lines = lines.map(|line| if line.is_empty() { String::new() } else { format!("  {line}") });
    lines.map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_are_below_spec() {
        let rules = "# About.\ngroups:\n  # One.\n  - name: a\n\n  - name: b\n";
        assert_eq!(indented(rules), "  groups:\n    # One.\n    - name: a\n\n    - name: b\n");
    }
}
