//! The operator's own process and a Tetragon 1.3 on a real API server: from the policy to the patch to the status, and
//! back, also when the operator was away meanwhile.
#![allow(clippy::unwrap_used, reason = "what cannot be prepared fails the test")]

mod real_api;
#[path = "../../tetragon/tests/releases/mod.rs"]
mod tetragon;

use std::net::TcpListener;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use e2e::api::ApiServer;
use e2e::wait;
use kube::Client;
use real_api::{NAMESPACE, OPERATOR, done};
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(30);
const POLICY: &str = "/apis/lsmready.io/v1alpha1/lsmpolicies/enforce";
const DAEMON_SETS: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets";
const TETRAGON: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets/tetragon";

/// An operator with the rights of its ServiceAccount, killed when it is dropped.
struct Operator(Child);

impl Operator {
    fn start(server: &ApiServer) -> Self {
        let user = format!("system:serviceaccount:{NAMESPACE}:{OPERATOR}");
        let kubeconfig = server.kubeconfig_for(&user, Some("system:serviceaccounts")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_operator"));
        command.env("KUBECONFIG", kubeconfig).env("LSM_READY_LISTEN", format!("127.0.0.1:{port}"));
        Self(command.spawn().unwrap())
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn policy(client: &Client, securityfs: &Value) {
    let spec = json!({"tetragon": {"securityfs": securityfs}});
    let object = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy", "spec": spec});
    done(client, "APPLY", POLICY, &object).await;
}

/// Until our volume is there, or not; returns the DaemonSet.
async fn mounted(client: &Client, wanted: bool) -> Value {
    wait::until(DEADLINE, "the mount", async || {
        let object = done(client, "GET", TETRAGON, &Value::Null).await;
        let volumes = object["spec"]["template"]["spec"]["volumes"].to_string();
        if volumes.contains("lsm-ready-securityfs") == wanted { Ok(object) } else { Err(volumes) }
    })
    .await
    .unwrap()
}

/// Until the policy's conditions have these reasons: SecurityfsMounted, TetragonRolledOut.
async fn told(client: &Client, wanted: (&str, &str)) {
    wait::until(DEADLINE, "the policy's conditions", async || {
        let policy = done(client, "GET", POLICY, &Value::Null).await;
        let conditions = policy["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let reason = |type_: &str| {
            let found = conditions.iter().find(|condition| condition["type"] == type_);
            found.and_then(|condition| condition["reason"].as_str()).unwrap_or_default()
        };
        let found = (reason("SecurityfsMounted"), reason("TetragonRolledOut"));
        if found == wanted { Ok(()) } else { Err(format!("{conditions:?}")) }
    })
    .await
    .unwrap();
}

/// The DaemonSet controller, which does not run here, says that all three agents run the present template.
async fn roll_out(client: &Client, daemon_set: &Value) {
    let status = json!({"status": {
        "observedGeneration": daemon_set["metadata"]["generation"], "desiredNumberScheduled": 3,
        "currentNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3, "numberReady": 3,
        "numberMisscheduled": 0}});
    done(client, "MERGE", &format!("{TETRAGON}/status"), &status).await;
}

#[tokio::test]
async fn from_the_policy_to_the_patch_and_back() {
    let server = real_api::start("tetragon_operator_api", "default").await;
    let client = server.client().await.unwrap();
    let operator = Operator::start(&server);
    policy(&client, &json!({})).await;
    told(&client, ("DaemonSetNotFound", "DaemonSetNotFound")).await;

    // The DaemonSet comes after its policy.
    let mut object = tetragon::release("v1.3");
    for set_by_the_server in ["uid", "resourceVersion", "generation"] {
        object["metadata"].as_object_mut().unwrap().remove(set_by_the_server);
    }
    let created = done(&client, "POST", DAEMON_SETS, &object).await;
    let patched = mounted(&client, true).await;
    told(&client, ("Mounted", "RollingOut")).await;
    roll_out(&client, &patched).await;
    told(&client, ("Mounted", "RolledOut")).await;

    // Another wish, while it runs and while it is away.
    policy(&client, &json!({"mount": "Never"})).await;
    let given_back = mounted(&client, false).await;
    assert_eq!(given_back["spec"], created["spec"]);
    told(&client, ("NotWanted", "RollingOut")).await;
    let asked = Instant::now();
    policy(&client, &json!({})).await;
    mounted(&client, true).await;
    println!("from the policy to the patched DaemonSet: {:?}", asked.elapsed());
    drop(operator);
    done(&client, "DELETE", POLICY, &Value::Null).await;
    let operator = Operator::start(&server);
    let given_back = mounted(&client, false).await;
    assert_eq!(given_back["spec"], created["spec"]);
    assert_eq!(given_back["metadata"]["labels"], created["metadata"]["labels"]);
    drop(operator);
}
