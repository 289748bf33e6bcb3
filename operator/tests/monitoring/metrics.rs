//! The metrics of the operator's own process.

use e2e::wait;
use serde_json::json;

use crate::process::Operator;
use crate::server;
use crate::world::{DEADLINE, node, piped, policy, program};

/// promtool reads the text that Prometheus gets, and complains of names, helps and types.
#[tokio::test]
async fn promtool_has_nothing_to_say_about_the_metrics() {
    let turn = server::exclusive().await;
    let client = turn.server.client().await.unwrap();
    node(turn.server, "n1", "a", "Denied").await;
    policy(&client, "enforce", &json!({})).await;
    let operator = Operator::start(turn.server, None);
    let ready = r#"lsm_ready_policy_condition{policy="enforce",type="Ready",status="true","#;
    let page = wait::until(DEADLINE, "the metrics of the policy", async || {
        let page = operator.page("/metrics").await?.text;
        if page.contains(ready) { Ok(page) } else { Err(page) }
    });
    let page = page.await.unwrap();
    let (head, body) = page.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    for series in [
        r#"lsm_ready_nodes{state="ready",reason="CanaryDenied"} 1"#,
        r#"lsm_ready_policy_nodes{policy="enforce",state="ready"} 1"#,
        // Without leader election this process acts all the same.
        "lsm_ready_leader 1",
    ] {
        assert!(body.contains(series), "there is no {series} in\n{body}");
    }
    let mut check = program("promtool");
    check.args(["check", "metrics"]);
    assert_eq!(piped(check, body).as_deref(), Ok(""));
}
