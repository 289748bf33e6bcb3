//! The operator's own process and a Tetragon 1.3: from the policy to the patch to the status and
//! back, also when the operator is not running meanwhile.

use std::time::{Duration, Instant};

use e2e::wait;
use kube::Client;
use serde_json::{Value, json};

use crate::process::Operator;
use crate::releases;
use crate::server::{self, done};

const DEADLINE: Duration = Duration::from_secs(30);
const POLICY: &str = "/apis/lsmready.io/v1alpha1/lsmpolicies/enforce";
const DAEMON_SETS: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets";
const TETRAGON: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets/tetragon";

async fn policy(client: &Client, securityfs: &Value) {
    let spec = json!({"tetragon": {"securityfs": securityfs}});
    let object = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy", "spec": spec});
    done(client, "APPLY", POLICY, &object).await;
}

/// Waits until our volume is there, or is not there. Returns the DaemonSet.
async fn mounted(client: &Client, wanted: bool) -> Value {
    wait::until(DEADLINE, "the mount", async || {
        let object = done(client, "GET", TETRAGON, &Value::Null).await;
        let volumes = object["spec"]["template"]["spec"]["volumes"].to_string();
        if volumes.contains("lsm-ready-securityfs") == wanted { Ok(object) } else { Err(volumes) }
    })
    .await
    .unwrap()
}

/// The reasons of two of the policy's conditions.
struct Reasons {
    mounted: &'static str,
    rolled_out: &'static str,
}

/// Waits until the policy's conditions have these reasons.
async fn has_reasons(client: &Client, wanted: Reasons) {
    wait::until(DEADLINE, "the policy's conditions", async || {
        let policy = done(client, "GET", POLICY, &Value::Null).await;
        let conditions = policy["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let reason = |type_: &str| {
            let found = conditions.iter().find(|condition| condition["type"] == type_);
            found.and_then(|condition| condition["reason"].as_str()).unwrap_or_default()
        };
        let is_as_wanted = reason("SecurityfsMounted") == wanted.mounted
            && reason("TetragonRolledOut") == wanted.rolled_out;
        if is_as_wanted { Ok(()) } else { Err(format!("{conditions:?}")) }
    })
    .await
    .unwrap();
}

/// Sets the status that the DaemonSet controller, which does not run here, sets when all three
/// agents run the present pod template.
async fn roll_out(client: &Client, daemon_set: &Value) {
    let status = json!({"status": {
        "observedGeneration": daemon_set["metadata"]["generation"], "desiredNumberScheduled": 3,
        "currentNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3,
        "numberReady": 3,
        "numberMisscheduled": 0}});
    done(client, "MERGE", &format!("{TETRAGON}/status"), &status).await;
}

#[tokio::test]
async fn a_policy_is_followed_to_the_patch_and_back() {
    let turn = server::exclusive().await;
    let client = turn.server.client().await.unwrap();
    let operator = Operator::start(turn.server, None);
    policy(&client, &json!({})).await;
    has_reasons(&client, Reasons { mounted: "DaemonSetNotFound", rolled_out: "DaemonSetNotFound" })
        .await;

    // The DaemonSet is created after its policy.
    let mut object = releases::release("v1.3");
    for set_by_the_server in ["uid", "resourceVersion", "generation"] {
        object["metadata"].as_object_mut().unwrap().remove(set_by_the_server);
    }
    let created = done(&client, "POST", DAEMON_SETS, &object).await;
    let patched = mounted(&client, true).await;
    has_reasons(&client, Reasons { mounted: "Mounted", rolled_out: "RollingOut" }).await;
    roll_out(&client, &patched).await;
    has_reasons(&client, Reasons { mounted: "Mounted", rolled_out: "RolledOut" }).await;

    // The policy changes, while the operator runs and while it does not.
    policy(&client, &json!({"mount": "Never"})).await;
    let restored = mounted(&client, false).await;
    assert_eq!(restored["spec"], created["spec"]);
    has_reasons(&client, Reasons { mounted: "NotWanted", rolled_out: "RollingOut" }).await;
    let asked = Instant::now();
    policy(&client, &json!({})).await;
    mounted(&client, true).await;
    println!("from the policy to the patched DaemonSet: {:?}", asked.elapsed());
    drop(operator);
    done(&client, "DELETE", POLICY, &Value::Null).await;
    let operator = Operator::start(turn.server, None);
    let restored = mounted(&client, false).await;
    assert_eq!(restored["spec"], created["spec"]);
    assert_eq!(restored["metadata"]["labels"], created["metadata"]["labels"]);
    drop(operator);
}
