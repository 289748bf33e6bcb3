//! The operator's metrics.
//!
//! In: the metrics' text form, after each of them was written once. Out: a table. Name, type, help
//! and labels are read from that text, so they are what Prometheus gets.

use std::collections::BTreeMap;

use lsm_ready_crds::{LsmPolicyStatus, State};
use lsm_ready_operator::context::metrics::Metrics;
use lsm_ready_operator::node::fleet::Found;
use lsm_ready_operator::profile::plan::Counts;
use serde_json::json;

use crate::Error;
use crate::markdown::{code, codes, table};

#[derive(Debug, Default)]
struct Metric {
    kind: String,
    help: String,
    has_series: bool,
    labels: Vec<String>,
}

/// The table of metrics.
pub fn section() -> Result<String, Error> {
    let rows = parse(&written_once().encode()?);
    let rows = rows.into_iter().map(|(name, metric)| {
        let labels = codes(metric.labels.iter().map(String::as_str));
        [code(&name), metric.kind, labels, metric.help]
    });
    Ok(table(["metric", "type", "labels", "help"], rows))
}

/// A metric shows its labels only after it was written.
fn written_once() -> Metrics {
    let metrics = Metrics::default();
    metrics.reconciled("node", "ok");
    metrics.wrote("Node");
    metrics.conflicted("Node");
    metrics.skipped("LsmNode");
    metrics.watch_failed("LsmNode");
    metrics.policies_not_in_force(0);
    metrics.hook_profiles(&Counts::default());
    metrics.hook_profile_deleted("false-name");
    let status: LsmPolicyStatus = serde_json::from_value(json!({"conditions": [{"type": "Ready",
        "status": "True", "reason": "EnforcementReady", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z"}]}))
    .unwrap_or_default();
    metrics.policy("enforce", &status.nodes, &status.conditions);
    metrics.agent_asked("grpc", "answered");
    metrics.agents_unready(1.0);
    metrics.leading(true);
    metrics.breaker(true, &BTreeMap::from([("NoReport", 3)]));
    let found = Found { state: State::Ready, reason: "CanaryDenied", is_silent: true };
    metrics.nodes(&BTreeMap::from([(found, 1)]));
    metrics.contested();
    metrics
}

fn parse(text: &str) -> BTreeMap<String, Metric> {
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), Some(help)) => {
                help.clone_into(&mut metrics.entry(name.to_owned()).or_default().help);
            }
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                kind.clone_into(&mut metrics.entry(name.to_owned()).or_default().kind);
            }
            _ => series(line, &mut metrics),
        }
    }
    metrics
}

/// A line of a series, for example `lsm_ready_writes_total{kind="Node"} 1`.
fn series(line: &str, metrics: &mut BTreeMap<String, Metric>) {
    let Some((series, _)) = line.split_once(' ').filter(|_| !line.starts_with('#')) else { return };
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    if let Some(metric) = metrics.get_mut(name) {
        metric.has_series = true;
        let names = labels.split(',').filter_map(|label| label.split_once('='));
        metric.labels = names.map(|(label, _)| label.to_owned()).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_written_once_so_that_its_labels_are_known() {
        let metrics = parse(&written_once().encode().unwrap());
        assert!(!metrics.is_empty());
        for (name, metric) in metrics {
            assert!(metric.has_series, "{name}: written_once() does not write this metric");
            assert!(!metric.help.is_empty() && !metric.kind.is_empty(), "{name}");
        }
    }

    #[test]
    fn the_labels_of_a_series_are_read() {
        let text = "# HELP a_writes_total Writes.\n# TYPE a_writes_total counter\n\
                    a_writes_total{kind=\"x\",to=\"y\"} 1\n";
        let writes = &parse(text)["a_writes_total"];
        assert_eq!((writes.help.as_str(), writes.kind.as_str()), ("Writes.", "counter"));
        assert_eq!(writes.labels, ["kind", "to"]);
    }
}
