//! The alerts: promtool takes them, its unit tests pass, and each has tests and a page.

use serde_json::Value;

use crate::world::{config, piped, program, yaml};

const RULES: &str = "monitoring/rules/rules.yaml";
const TESTS: &str = "monitoring/rules/tests.yaml";

/// The alerts of a rule file.
fn alerts(rules: &Value) -> Vec<Value> {
    let groups = rules["groups"].as_array().unwrap();
    let all = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    all.filter(|rule| rule["alert"].is_string()).cloned().collect()
}

/// Whether a unit test looks for that alert, and whether it expects it to fire.
fn expects(test: &Value, alert: &str) -> Option<bool> {
    let wanted = format!("alertname=\"{alert}\"");
    let looks = test["promql_expr_test"].as_array().into_iter().flatten();
    let looks: Vec<&Value> =
        looks.filter(|look| look["expr"].as_str().unwrap().contains(&wanted)).collect();
    let fires = |look: &&Value| !look["exp_samples"].as_array().unwrap().is_empty();
    (!looks.is_empty()).then(|| looks.iter().any(fires))
}

#[test]
fn promtool_takes_the_rules() {
    let mut check = program("promtool");
    check.args(["check", "rules", "--lint=all", "--lint-fatal"]).arg(config(RULES));
    let printed = piped(check, "").unwrap();
    assert!(printed.contains("SUCCESS"), "{printed}");
}

#[test]
fn the_unit_tests_of_the_alerts_pass() {
    let mut test = program("promtool");
    test.args(["test", "rules"]).arg(config(TESTS));
    let printed = piped(test, "").unwrap();
    assert!(printed.contains("SUCCESS"), "{printed}");
}

#[test]
fn each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() {
    let (rules, tests) = (yaml(RULES), yaml(TESTS));
    let alerts = alerts(&rules);
    assert!(alerts.len() >= 20, "only {} alerts were found", alerts.len());
    for alert in alerts {
        let name = alert["alert"].as_str().unwrap();
        let all = tests["tests"].as_array().unwrap();
        let expected: Vec<bool> = all.iter().filter_map(|test| expects(test, name)).collect();
        assert!(expected.contains(&true), "no test in which {name} fires");
        assert!(expected.contains(&false), "no test in which {name} does not fire");
    }
}

#[test]
fn each_alert_has_texts_a_severity_and_a_runbook() {
    let pages = e2e::paths::workspace().join("docs/runbooks");
    let index = std::fs::read_to_string(pages.join("README.md")).unwrap();
    for alert in alerts(&yaml(RULES)) {
        let name = alert["alert"].as_str().unwrap();
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning", "info"].contains(&severity), "{name}: {severity}");
        for text in ["summary", "description"] {
            let text = alert["annotations"][text].as_str().unwrap_or_default();
            assert!(text.ends_with('.'), "{name}: {text:?} is no sentence");
        }
        let page = format!("docs/runbooks/{name}.md");
        assert_eq!(alert["annotations"]["runbook_url"], page.as_str());
        let text = std::fs::read_to_string(pages.join(format!("{name}.md"))).unwrap();
        for heading in
            ["What does it mean", "What is the impact", "How do I find the cause", "What do I do"]
        {
            assert!(text.contains(&format!("\n## {heading}?\n")), "{page} lacks {heading:?}");
        }
        assert!(
            index.contains(&format!("({name}.md)")),
            "{name} is not in docs/runbooks/README.md"
        );
    }
}
