//! node-readiness-controller's own program with our rule and our operator.
//!
//! In: a folder with its sources in `NODE_READINESS_CONTROLLER`, for example a clone of
//! kubernetes-sigs/node-readiness-controller. They are not fetched here, so the test is ignored
//! without them:
//!
//! ```text
//! NODE_READINESS_CONTROLLER=FOLDER cargo test --workspace --test api node_readiness -- --ignored
//! ```

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use e2e::command::run;
use e2e::{paths, wait};
use jiff::{Span, Timestamp};
use kube::Client;
use serde_json::{Value, json};

use crate::operator::{DEADLINE, apply_policy, labelled, report};
use crate::process::Operator;
use crate::server::{self, call, config, done, kubectl};

const NODE: &str = "/api/v1/nodes/n1";
const CONDITION: &str = "lsmready.io/LsmBpfReady";
const KEY: &str = "readiness.k8s.io/lsm-bpf";
const DEFINITION: &str = "config/crd/bases/readiness.node.x-k8s.io_nodereadinessrules.yaml";

/// The controller. It is killed when this is dropped.
struct Controller(Child);

impl Controller {
    fn start(sources: &Path, kubeconfig: &Path) -> Self {
        let program = paths::programs().join("node-readiness-controller");
        let mut build = Command::new("go");
        build.current_dir(sources).args(["build", "-o"]).arg(&program).arg("./cmd");
        run(&mut build).unwrap();
        let mut command = Command::new(program);
        command.arg("-kubeconfig").arg(kubeconfig).args(["-health-probe-bind-address", "0"]);
        Self(command.stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until the Node has the rule's taint, or has it no more.
async fn tainted(client: &Client, node: &str, wanted: bool) {
    let path = format!("/api/v1/nodes/{node}");
    wait::until(DEADLINE, "the taint of the rule", async || {
        let taints = done(client, "GET", &path, &Value::Null).await["spec"]["taints"].take();
        let has = taints.as_array().into_iter().flatten().any(|taint| taint["key"] == KEY);
        if has == wanted { Ok(()) } else { Err(taints) }
    })
    .await
    .unwrap();
}

#[tokio::test]
#[ignore = "needs the sources of another project in NODE_READINESS_CONTROLLER"]
async fn node_readiness_controllers_taint_follows_our_condition_and_not_a_silent_probe() {
    let sources = PathBuf::from(std::env::var_os("NODE_READINESS_CONTROLLER").unwrap());
    let server = server::start("node-readiness").await;
    let (client, kubeconfig) = (server.client().await.unwrap(), server.kubeconfig());
    let definition = sources.join(DEFINITION).display().to_string();
    kubectl(&kubeconfig, &["apply", "--server-side", "-f", &definition]).unwrap();
    let name = "crd/nodereadinessrules.readiness.node.x-k8s.io";
    kubectl(&kubeconfig, &["wait", "--for=condition=Established", name]).unwrap();
    let rule = config("integrations/node-readiness-controller/rule.yaml");
    kubectl(&kubeconfig, &["apply", "--server-side", "--validate=strict", "-f", &rule]).unwrap();
    server::create_node(&server, "n1").await;
    apply_policy(&client, "enforce", &json!({})).await;
    let _operator = Operator::start(&server, None);
    let _controller = Controller::start(&sources, &kubeconfig);
    tainted(&client, "n1", true).await;

    report(&client, "n1", "Denied", "1").await;
    labelled(&client, "n1", json!({"bpf": "true"})).await;
    tainted(&client, "n1", false).await;

    // The probe is silent: the condition stays True, so the rule does nothing.
    let long_ago = Timestamp::now() - Span::new().hours(3);
    let status = json!({"status": {"observedTime": long_ago.to_string()}});
    let path = "/apis/lsmready.io/v1alpha1/lsmnodes/n1/status";
    assert!(call(&client, "MERGE", path, &status).await.is_ok());
    wait::until(DEADLINE, "the node's condition", async || {
        let conditions =
            done(&client, "GET", NODE, &Value::Null).await["status"]["conditions"].take();
        let ours = conditions.as_array().unwrap().iter().find(|one| one["type"] == CONDITION);
        let silent = ours.is_some_and(|ours| {
            (&ours["status"], &ours["reason"]) == (&json!("True"), &json!("ProbeSilent"))
        });
        if silent { Ok(()) } else { Err(conditions) }
    })
    .await
    .unwrap();
    // The controller judges one Node after the other: it has judged n1 before one that joins now.
    server::create_node(&server, "n2").await;
    tainted(&client, "n2", true).await;
    tainted(&client, "n1", false).await;

    report(&client, "n1", "Attached", "1").await;
    labelled(&client, "n1", json!({"bpf": "false"})).await;
    tainted(&client, "n1", true).await;
}
