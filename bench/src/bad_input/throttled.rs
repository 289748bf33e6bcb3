//! The server answers most of the operator's requests with 429, because its flow control leaves the
//! operator few seats and no queue. All evidence flips meanwhile.

use std::time::{Duration, Instant};

use e2e::{request, wait};
use serde::Serialize;
use serde_json::{Value, json};

use crate::Failure;
use crate::audit;
use crate::convergence;
use crate::course::{Converged, Course, Follows};
use crate::fleet::Proof;
use crate::stats::{count, rounded};
use crate::world::{NAMESPACE, OPERATOR, World, say};

const FLOW_CONTROL: &str = "/apis/flowcontrol.apiserver.k8s.io/v1";
const NAME: &str = "bench-throttled";
/// The server's default levels have 245 shares of 600 seats, so this is three of them.
const SHARES: u32 = 1;
const EFFECTIVE: Duration = Duration::from_secs(30);
const TOO_MANY: u16 = 429;

#[derive(Clone, Debug, Serialize)]
pub struct Throttled {
    pub seconds: f64,
    /// Requests to write, with those that were refused.
    pub requests: usize,
    pub refused: usize,
    /// Requests beside writes that succeeded: how much the retries add.
    pub requests_per_write: f64,
    /// The most 429 within a second.
    pub most_refused_in_a_second: usize,
    pub node_writes_per_node: f64,
    pub operator_cpu_seconds: f64,
    pub peak_rss_bytes: u64,
}

/// Measures it on a fleet on which no node can deny. Afterwards all can.
pub async fn measure(world: &World) -> Result<Throttled, Failure> {
    let follows = Follows::start(&world.client).await?;
    let (operator, _) = convergence::start(world, &follows, Proof::NotDenied).await?;
    say("the server throttles the operator; all evidence flips");
    throttle(world).await?;
    let (began, course) = (Instant::now(), Course::begin(world, &operator)?);
    let offset = audit::end(&world.server.audit_log())?;
    follows.nodes.want(&world.fleet, Proof::Denied);
    let reported = world.report_all(Proof::Denied).await;
    let flip = course.until_right(&follows, Proof::Denied, began).await;
    // The next case is not throttled, also if this one failed.
    release(world).await?;
    reported?;
    let writes = audit::writes(&audit::since(&world.server.audit_log(), offset)?, OPERATOR);
    figures(world, &flip?, &writes)
}

fn figures(world: &World, flip: &Converged, writes: &[audit::Write]) -> Result<Throttled, Failure> {
    let refused: Vec<audit::Write> =
        writes.iter().filter(|write| write.code == TOO_MANY).cloned().collect();
    if refused.is_empty() {
        return Err("the server has not refused anything".into());
    }
    let done = writes.iter().filter(|write| write.code < 400);
    let to_nodes = done.clone().filter(|write| write.resource.starts_with("nodes")).count();
    Ok(Throttled {
        seconds: flip.seconds,
        requests: writes.len(),
        refused: refused.len(),
        requests_per_write: rounded(count(writes.len()) / count(done.count().max(1))),
        most_refused_in_a_second: audit::most_of_all_in_a_second(&refused),
        node_writes_per_node: rounded(count(to_nodes) / count(world.fleet.nodes)),
        operator_cpu_seconds: flip.operator_cpu_seconds,
        peak_rss_bytes: flip.peak_rss_bytes,
    })
}

/// From now on the operator's requests have few seats and no queue.
async fn throttle(world: &World) -> Result<(), Failure> {
    let level = json!({"metadata": {"name": NAME}, "spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": SHARES, "lendablePercent": 0, "borrowingLimitPercent": 0,
        "limitResponse": {"type": "Reject"}}}});
    let path = format!("{FLOW_CONTROL}/prioritylevelconfigurations");
    request::done(&world.client, "POST", &path, &level).await?;
    let account = json!({"name": "lsm-ready-operator", "namespace": NAMESPACE});
    let schema = json!({"metadata": {"name": NAME}, "spec": {
    "priorityLevelConfiguration": {"name": NAME},
    "matchingPrecedence": 10,
    "rules": [{
        "subjects": [{"kind": "ServiceAccount", "serviceAccount": account}],
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"],
            "clusterScope": true, "namespaces": ["*"]}],
    }]}});
    let path = format!("{FLOW_CONTROL}/flowschemas");
    request::done(&world.client, "POST", &path, &schema).await?;
    let path = format!("{path}/{NAME}");
    wait::until(EFFECTIVE, "the flow schema to be in effect", async || {
        let schema = request::done(&world.client, "GET", &path, &Value::Null).await;
        let schema = schema.map_err(|error| error.to_string())?;
        let conditions = schema["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let is_linked = conditions
            .iter()
            .any(|condition| condition["type"] == "Dangling" && condition["status"] == "False");
        if is_linked { Ok(()) } else { Err(schema["status"].to_string()) }
    })
    .await?;
    Ok(())
}

async fn release(world: &World) -> Result<(), Failure> {
    for kind in ["flowschemas", "prioritylevelconfigurations"] {
        let path = format!("{FLOW_CONTROL}/{kind}/{NAME}");
        request::done(&world.client, "DELETE", &path, &Value::Null).await?;
    }
    Ok(())
}
