//! What kstatus, Flux and Argo CD say of real policies in each state.
//!
//! In: policies that the operator's own process has looked at. Out: the verdict of each tool, which
//! never may be better than what the policy's status says.

use e2e::api::ApiServer;
use e2e::wait;
use kube::Client;
use serde_json::{Value, json};

use crate::pool::Turn;
use crate::process::Operator;
use crate::server::{self, done, kubectl};
use crate::world::{
    DEADLINE, config, get_policy, node, piped, policy, program, report, tetragon, yaml,
};

/// The verdicts on one object.
#[derive(Debug, Eq, PartialEq)]
struct Verdicts {
    kstatus: String,
    flux: String,
    argo_cd: String,
    message: String,
}

/// Asks all three about one policy.
fn ask(object: &Value) -> Verdicts {
    let lua = std::fs::read_to_string(config("gitops/argo-cd/settings/lsmpolicy.lua")).unwrap();
    let flux = yaml("gitops/flux/nodes.yaml");
    let mut expressions = flux["spec"]["healthCheckExprs"][0].clone();
    for key in ["apiVersion", "kind"] {
        expressions.as_object_mut().unwrap().remove(key);
    }
    let questions = json!([
        {"object": object},
        {"object": object, "expressions": expressions},
        {"object": object, "lua": lua},
    ]);
    let printed = piped(program("verdicts"), &questions.to_string()).unwrap();
    let printed: Value = serde_json::from_str(&printed).unwrap();
    let text = |index: usize, key: &str| printed[index][key].as_str().unwrap().to_owned();
    Verdicts {
        kstatus: text(0, "status"),
        flux: text(1, "status"),
        argo_cd: text(2, "status"),
        message: text(2, "message"),
    }
}

/// The namespaces that have a DaemonSet.
const DAEMON_SETS: [&str; 5] = ["container", "rolling", "held", "window", "suggest"];

/// A state that a policy can be in.
struct State {
    /// The policy's name, and the name of its DaemonSet's namespace.
    name: &'static str,
    spec: Value,
    kstatus: &'static str,
    flux: &'static str,
    argo_cd: &'static str,
    /// What Argo CD's message begins with.
    message: &'static str,
}

/// The nodes of one pool.
fn of(pool: &str) -> Value {
    json!({"nodeSelector": {"matchLabels": {"pool": pool}}})
}

/// The nodes that are ready, and the DaemonSet of that namespace.
fn with_tetragon(namespace: &str, mut tetragon: Value) -> Value {
    tetragon["daemonSet"]["namespace"] = json!(namespace);
    json!({"nodeSelector": {"matchLabels": {"pool": "ready"}}, "tetragon": tetragon})
}

fn state(name: &'static str, spec: Value, verdicts: [&'static str; 4]) -> State {
    let [kstatus, flux, argo_cd, message] = verdicts;
    State { name, spec, kstatus, flux, argo_cd, message }
}

/// A window that is closed now: an hour on the day after tomorrow.
fn closed_window() -> Value {
    let days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).weekday();
    let then = (today.to_monday_zero_offset() + 2) % 7;
    json!({"window": {"days": [days[usize::try_from(then).unwrap()]], "start": "02:00",
        "duration": "1h"}})
}

fn states() -> Vec<State> {
    let container = json!({"daemonSet": {"container": "nobody"}});
    let suggest = json!({"securityfs": {"apply": "Suggest"}});
    vec![
        state("ready", of("ready"), ["Current", "Current", "Healthy", "EnforcementReady: 2 of 2"]),
        state(
            "broken",
            of("broken"),
            ["InProgress", "Failed", "Degraded", "TooFewNodesReady: 0 of 1"],
        ),
        state(
            "booting",
            of("booting"),
            ["InProgress", "InProgress", "Progressing", "NodesUnknown: 0 of 1"],
        ),
        state("empty", of("none"), ["InProgress", "Failed", "Degraded", "NoNodesSelected: "]),
        state(
            "container",
            with_tetragon("container", container),
            ["Failed", "Failed", "Degraded", "ContainerNotFound: "],
        ),
        state(
            "absent",
            with_tetragon("absent", json!({})),
            ["InProgress", "Failed", "Degraded", "DaemonSetNotFound: "],
        ),
        state(
            "rolling",
            with_tetragon("rolling", json!({})),
            ["InProgress", "InProgress", "Progressing", "RollingOut: "],
        ),
        state(
            "held",
            with_tetragon("held", json!({})),
            ["Failed", "Failed", "Suspended", "Held: "],
        ),
        state(
            "window",
            with_tetragon("window", closed_window()),
            ["InProgress", "InProgress", "Suspended", "OutsideWindow: "],
        ),
        state(
            "suggest",
            with_tetragon("suggest", suggest),
            ["Failed", "Failed", "Suspended", "Suggested: "],
        ),
    ]
}

/// Nodes, DaemonSets and policies of all states. No operator has looked at them.
async fn scene() -> (Turn, Client) {
    let turn = server::exclusive().await;
    let client = turn.server.client().await.unwrap();
    node(turn.server, "n1", "ready", "Denied").await;
    node(turn.server, "n2", "ready", "Denied").await;
    node(turn.server, "n3", "broken", "Attached").await;
    node(turn.server, "n4", "booting", "").await;
    for namespace in DAEMON_SETS {
        create_tetragon(&client, namespace).await;
    }
    for State { name, spec, .. } in states() {
        policy(&client, name, &spec).await;
    }
    (turn, client)
}

async fn create_tetragon(client: &Client, namespace: &str) {
    let object = json!({"metadata": {"name": namespace}});
    done(client, "POST", "/api/v1/namespaces", &object).await;
    let mut object = tetragon(namespace);
    if namespace == "held" {
        object["metadata"]["annotations"] = json!({"lsmready.io/apply": "hold"});
    }
    let path = format!("/apis/apps/v1/namespaces/{namespace}/daemonsets");
    done(client, "POST", &path, &object).await;
}

async fn verdicts_become(client: &Client, wanted: &State) {
    let what = format!("the verdicts on the policy {}", wanted.name);
    wait::until(DEADLINE, &what, async || {
        let object = get_policy(client, wanted.name).await;
        let found = ask(&object);
        let is_right = found.kstatus == wanted.kstatus
            && found.flux == wanted.flux
            && found.argo_cd == wanted.argo_cd
            && found.message.starts_with(wanted.message);
        if is_right { Ok(()) } else { Err(format!("{found:?} of {}", object["status"])) }
    })
    .await
    .unwrap();
}

/// Ready for a tool means: the condition Ready is True, in the present generation.
fn assert_never_better_than_the_status(object: &Value) {
    let found = ask(object);
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let is_ready = object["status"]["observedGeneration"] == object["metadata"]["generation"]
        && conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
    if !is_ready {
        assert_ne!(found.kstatus, "Current", "{object}");
        assert_ne!(found.flux, "Current", "{object}");
        assert_ne!(found.argo_cd, "Healthy", "{object}");
    }
}

#[tokio::test]
async fn each_tool_has_the_right_verdict_on_each_state() {
    let (turn, client) = scene().await;
    for State { name, .. } in states() {
        let object = get_policy(&client, name).await;
        let found = ask(&object);
        let all = [found.kstatus.as_str(), &found.flux, &found.argo_cd];
        assert_eq!(all, ["InProgress", "InProgress", "Progressing"], "{name} is new: {object}");
    }
    let operator = Operator::start(turn.server, None);
    for wanted in states() {
        verdicts_become(&client, &wanted).await;
        assert_never_better_than_the_status(&get_policy(&client, wanted.name).await);
    }
    kubectl_waits(turn.server);
    operator.terminate();
    // A new generation that nobody has looked at is no longer ready for anybody.
    policy(&client, "ready", &json!({"nodeSelector": {"matchLabels": {"pool": "broken"}}})).await;
    let object = get_policy(&client, "ready").await;
    assert_never_better_than_the_status(&object);
    assert_eq!(ask(&object).argo_cd, "Progressing");
    delete_namespaces(turn.server);
}

fn kubectl_waits(server: &ApiServer) {
    let wait = |policy: &str, timeout: &str| {
        let policy = format!("lsmpolicy/{policy}");
        kubectl(&server.kubeconfig(), &["wait", "--for=condition=Ready", timeout, &policy])
    };
    wait("ready", "--timeout=30s").unwrap();
    assert!(wait("broken", "--timeout=1s").is_err());
}

/// Without a namespace controller they stay, so they keep nothing that other tests see.
fn delete_namespaces(server: &ApiServer) {
    for namespace in DAEMON_SETS {
        let delete = ["delete", "daemonsets", "--all", "-n", namespace];
        kubectl(&server.kubeconfig(), &delete).unwrap();
    }
}

#[tokio::test]
async fn a_policy_is_not_healthy_while_the_breaker_holds_changes() {
    let turn = server::exclusive().await;
    let client = turn.server.client().await.unwrap();
    let names: Vec<String> = (0..12).map(|number| format!("n{number:02}")).collect();
    for name in &names {
        node(turn.server, name, "ready", "Denied").await;
    }
    // Ready with one node, so the held nodes do not change the condition Ready.
    policy(&client, "fleet", &json!({"minReady": 1})).await;
    let _operator = Operator::with_breaker(turn.server);
    let ready = state(
        "fleet",
        Value::Null,
        ["Current", "Current", "Healthy", "EnforcementReady: 12 of 12"],
    );
    verdicts_become(&client, &ready).await;
    for name in &names[1..] {
        report(&client, name, "Attached").await;
    }
    let held = state("fleet", Value::Null, ["Current", "Failed", "Degraded", "BreakerOpen: "]);
    verdicts_become(&client, &held).await;
}

#[test]
fn the_health_of_a_report_and_of_an_application_is_what_they_say() {
    let ask = |file: &str, object: Value| {
        let lua = config(&format!("gitops/argo-cd/settings/{file}"));
        let questions = json!([{"object": object, "lua": std::fs::read_to_string(lua).unwrap()}]);
        let printed = piped(program("verdicts"), &questions.to_string()).unwrap();
        serde_json::from_str::<Value>(&printed).unwrap()[0].take()
    };
    let node = |status: Value| json!({"kind": "LsmNode", "metadata": {}, "status": status});
    let denied = lsm_ready_crds::fixture::denied("1");
    let fixture = lsm_ready_crds::fixture::evidence("Attached");
    let attached = lsm_ready_crds::fixture::report("1", fixture, "BpfNotInLsmList");
    for (status, wanted) in
        [(json!(denied), "Healthy"), (json!(attached), "Degraded"), (Value::Null, "Progressing")]
    {
        assert_eq!(ask("lsmnode.lua", node(status.clone()))["status"], wanted, "{status}");
    }
    let application = |status: Value| json!({"kind": "Application", "status": status});
    let health = json!({"health": {"status": "Degraded", "message": "because"}});
    let degraded = json!({"status": "Degraded", "message": "because"});
    assert_eq!(ask("application.lua", application(health)), degraded);
    assert_eq!(ask("application.lua", application(json!({})))["status"], "Progressing");
}
