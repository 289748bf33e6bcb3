//! Grafana's dashboard: its structure, and each of its queries on a real Prometheus that scrapes
//! the operator's own process.

use std::collections::BTreeSet;

use e2e::wait;
use serde_json::{Value, json};

use crate::process::Operator;
use crate::prometheus::Prometheus;
use crate::server;
use crate::world::{DEADLINE, config, node, policy};

/// Metrics of what did not happen in this test. Their queries may find no series.
const ABSENT: [&str; 6] = [
    "lsm_ready_agents_asked_total",
    "lsm_ready_breaker_losing_nodes",
    "lsm_ready_conflicts_total",
    "lsm_ready_hook_profiles_deleted_total",
    "lsm_ready_skipped_objects_total",
    "lsm_ready_watch_errors_total",
];

fn dashboard() -> Value {
    let file = config("monitoring/dashboard/dashboard.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// The panels that show something.
fn panels(dashboard: &Value) -> Vec<Value> {
    let all = dashboard["panels"].as_array().unwrap();
    all.iter().filter(|panel| panel["type"] != "row").cloned().collect()
}

/// The queries, as Grafana sends them with `All` chosen in both variables.
fn queries(dashboard: &Value) -> Vec<String> {
    let panels = panels(dashboard);
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let chosen = |query: &str| {
        query.replace("$__rate_interval", "1m").replace("$cluster", ".*").replace("$policy", ".*")
    };
    targets.map(|target| chosen(target["expr"].as_str().unwrap())).collect()
}

#[test]
fn each_panel_has_a_place_a_title_and_a_query_of_the_chosen_data_source() {
    let dashboard = dashboard();
    let panels = panels(&dashboard);
    assert!(panels.len() >= 15, "only {} panels were found", panels.len());
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(!title.is_empty() && ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let place = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        let (x, y, width, height) = (place("x"), place("y"), place("w"), place("h"));
        assert!(x + width <= 24, "{title} is wider than the page");
        for cell in (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{title} covers another panel at {cell:?}");
        }
    }
    let known = ["stat", "timeseries", "table"];
    for panel in panels {
        assert!(known.contains(&panel["type"].as_str().unwrap()), "{}", panel["type"]);
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty());
        for target in targets {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        }
        let letters: BTreeSet<&str> =
            targets.iter().map(|target| target["refId"].as_str().unwrap()).collect();
        assert_eq!(letters.len(), targets.len(), "{}: two queries have one letter", panel["title"]);
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<&str> = variables.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["datasource", "cluster", "policy"]);
}

#[tokio::test]
async fn each_query_and_each_rule_works_on_a_prometheus_that_scrapes_the_operator() {
    let turn = server::exclusive().await;
    let client = turn.server.client().await.unwrap();
    node(turn.server, "n1", "a", "Denied").await;
    node(turn.server, "n2", "a", "Attached").await;
    node(turn.server, "n3", "b", "").await;
    node(turn.server, "n4", "a", "Denied").await;
    policy(&client, "enforce", &json!({"tetragon": {}})).await;
    // Waits for a node that has not reported.
    policy(&client, "waiting", &json!({"nodeSelector": {"matchLabels": {"pool": "b"}}})).await;
    let operator = Operator::start(turn.server, None);
    let prometheus = Prometheus::scraping(operator.port());
    wait::until(DEADLINE, "Prometheus to have recorded the share of ready nodes", async || {
        let found = prometheus.query("cluster:lsm_ready_nodes:ready_ratio").await?;
        let share = found.first().and_then(|series| series["value"][1].as_str()).unwrap_or("none");
        // Two scrapes, so that rates have a value.
        let scrapes = prometheus.query("count_over_time(lsm_ready_leader[1m]) > 2").await?;
        if share == "0.5" && !scrapes.is_empty() { Ok(()) } else { Err(share.to_owned()) }
    })
    .await
    .unwrap();
    for query in queries(&dashboard()) {
        let found = prometheus.query(&query).await.unwrap();
        let may_be_empty = ABSENT.iter().any(|metric| query.contains(metric));
        assert!(may_be_empty || !found.is_empty(), "nothing is found by {query}");
    }
    let rules = prometheus.rules().await.unwrap();
    assert!(rules.len() >= 28, "only {} rules were loaded", rules.len());
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{}: {}", rule["name"], rule["lastError"]);
    }
}
