//! The alerts and the recorded series.
//!
//! In: the rule file. Out: two tables.

use std::path::Path;

use serde_json::Value;

use crate::markdown::{code, table};
use crate::prometheus_rule::RULES;
use crate::{Error, read};

/// The tables.
pub fn section(root: &Path) -> Result<String, Error> {
    let path = root.join(RULES);
    let rules: Value = serde_saphyr::from_str(&read(&path)?)
        .map_err(|error| Error::Manifest { path, message: error.to_string() })?;
    let groups = rules["groups"].as_array().into_iter().flatten();
    let all: Vec<&Value> =
        groups.flat_map(|group| group["rules"].as_array().into_iter().flatten()).collect();
    let text = |rule: &Value, pointer: &str| {
        rule.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let alerts = all.iter().filter(|rule| rule["alert"].is_string()).map(|rule| {
        let name = text(rule, "/alert");
        let page = format!("[runbook](runbooks/{name}.md)");
        [code(&name), text(rule, "/labels/severity"), page]
    });
    let recorded = all.iter().filter(|rule| rule["record"].is_string());
    let recorded = recorded.map(|rule| [code(&text(rule, "/record"))]);
    let alerts = table(["alert", "severity", "what to do"], alerts);
    Ok(format!("{alerts}\n{}", table(["recorded series"], recorded)))
}
