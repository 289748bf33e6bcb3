//! When many nodes stop being ready at once, with the operator's own process: at most the share of
//! them loses its label or gets the taint.

use e2e::wait;
use kube::Client;
use lsm_ready_crds::{Evidence, LsmNodeStatus, fixture};
use serde_json::{Value, json};

use crate::operator::{DEADLINE, apply_policy, labelled, report};
use crate::pool::Turn;
use crate::process::Operator;
use crate::server::{self, call, config, done, kubectl};

const POLICY: &str = "/apis/lsmready.io/v1alpha1/lsmpolicies/enforce";
pub const LABEL: &str = "lsmready.node-restriction.kubernetes.io/bpf";
pub const NODES: usize = 20;
/// 30 % of the nodes.
pub const SHARE: usize = 6;

/// Nodes that are ready for a policy with a taint, and the operator.
pub struct Scene {
    pub turn: Turn,
    pub client: Client,
    pub operator: Operator,
}

/// A version of the probe that the operator understands: one minor version later than ours.
fn next_version() -> String {
    let numbers = env!("CARGO_PKG_VERSION").split('.').filter_map(|number| number.parse().ok());
    let numbers: Vec<u64> = numbers.collect();
    format!("{}.{}.0", numbers[0], numbers[1] + 1)
}

pub fn names() -> impl Iterator<Item = String> {
    (0..NODES).map(|number| format!("n{number:02}"))
}

impl Scene {
    pub async fn ready() -> Self {
        let turn = server::exclusive().await;
        let client = turn.server.client().await.unwrap();
        for name in names() {
            server::create_node(turn.server, &name).await;
            report(&client, &name, "Denied", "1").await;
        }
        apply_policy(&client, "enforce", &json!({"taint": {"effect": "NoSchedule"}})).await;
        let operator = Operator::with_breaker(turn.server);
        let scene = Self { turn, client, operator };
        scene.shows(NODES, 0).await;
        scene.policy("the policy to have reached every node", is_settled).await;
        scene
    }

    pub async fn report_everywhere(&self, evidence: &str) {
        for name in names() {
            report(&self.client, &name, evidence, "1").await;
        }
    }

    /// Writes that status as the report of every node.
    async fn report_status(&self, status: &LsmNodeStatus) {
        for name in names() {
            let path = format!("/apis/lsmready.io/v1alpha1/lsmnodes/{name}/status");
            done(&self.client, "MERGE", &path, &json!({ "status": status })).await;
        }
    }

    fn restart(&mut self) {
        let operator = Operator::with_breaker(self.turn.server);
        std::mem::replace(&mut self.operator, operator).terminate();
    }

    /// How many nodes have the label `true`, and how many have our taint.
    pub async fn counts(&self) -> (usize, usize) {
        let nodes = done(&self.client, "GET", "/api/v1/nodes", &Value::Null).await;
        let nodes = nodes["items"].as_array().unwrap();
        let count = |is: fn(&Value) -> bool| nodes.iter().filter(|node| is(node)).count();
        (
            count(|node| node["metadata"]["labels"][LABEL] == "true"),
            count(|node| node["spec"]["taints"].to_string().contains("lsmready.io/not-ready")),
        )
    }

    /// Waits until so many nodes have the label `true`, and so many have our taint.
    pub async fn shows(&self, ready: usize, tainted: usize) {
        wait::until(DEADLINE, "the nodes' labels and taints", async || {
            let counts = self.counts().await;
            if counts == (ready, tainted) { Ok(()) } else { Err(format!("{counts:?}")) }
        })
        .await
        .unwrap();
    }

    /// Waits until the policy is right.
    async fn policy(&self, what: &str, is_right: impl Fn(&Value) -> bool) -> Value {
        wait::until(DEADLINE, what, async || {
            let policy = done(&self.client, "GET", POLICY, &Value::Null).await;
            if is_right(&policy) { Ok(policy) } else { Err(policy["status"].to_string()) }
        })
        .await
        .unwrap()
    }

    /// Waits until that many nodes are held: every node was looked at.
    pub async fn held(&self, count: usize) {
        wait::until(DEADLINE, "all nodes to be held", async || {
            let held = self.operator.metric("lsm_ready_breaker_losing_nodes").await;
            if held == u64::try_from(count).unwrap() { Ok(()) } else { Err(held) }
        })
        .await
        .unwrap();
        self.policy("the policy to say so", |policy| held(policy) == "True BreakerOpen").await;
        let (ready, tainted) = self.counts().await;
        assert_eq!((ready, tainted), (count, NODES - count), "held nodes keep what they show");
    }

    /// Waits until the policy's message counts the held nodes, and its status no ready one.
    async fn tells_the_truth(&self, held: &str) {
        self.policy(held, |policy| {
            let message = condition(policy, "ChangesHeld")["message"].as_str();
            message.is_some_and(|message| message.contains(held))
                && policy["status"]["nodes"]["ready"] == 0
        })
        .await;
    }

    /// The reasons of the policy's Events about the breaker, each once. While good reports come in
    /// one after the other, it may close and, because of those that are still bad, open again.
    async fn events(&self) -> Vec<String> {
        let uid = done(&self.client, "GET", POLICY, &Value::Null).await["metadata"]["uid"].take();
        let path = "/apis/events.k8s.io/v1/namespaces/default/events";
        let events = done(&self.client, "GET", path, &Value::Null).await;
        let events = events["items"].as_array().unwrap().iter();
        let reasons = events.filter(|event| event["regarding"]["uid"] == uid);
        let reasons = reasons.filter_map(|event| event["reason"].as_str());
        let mut reasons: Vec<_> =
            reasons.filter(|reason| reason.starts_with("Breaker")).map(str::to_owned).collect();
        reasons.sort();
        reasons.dedup();
        reasons
    }
}

fn condition<'a>(policy: &'a Value, type_: &str) -> &'a Value {
    let conditions = policy["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.find(|condition| condition["type"] == type_).unwrap_or(&Value::Null)
}

/// Status and reason of `ChangesHeld`.
fn held(policy: &Value) -> String {
    let held = condition(policy, "ChangesHeld");
    let text = |key: &str| held[key].as_str().unwrap_or_default().to_owned();
    format!("{} {}", text("status"), text("reason"))
}

/// The status is about the present spec, which has reached every node.
fn is_settled(policy: &Value) -> bool {
    policy["status"]["observedGeneration"] == policy["metadata"]["generation"]
        && policy["status"]["specChange"].is_null()
}

#[tokio::test]
async fn a_probe_that_is_broken_everywhere_moves_at_most_the_share_until_it_works_again() {
    let mut scene = Scene::ready().await;
    scene.report_everywhere("Attached").await;
    scene.held(NODES - SHARE).await;
    scene.tells_the_truth("BpfNotInLsmList on 14").await;

    scene.restart();
    scene.held(NODES - SHARE).await;

    scene.report_everywhere("Denied").await;
    scene.shows(NODES, 0).await;
    scene.policy("the breaker to close", |policy| held(policy) == " ").await;
    wait::until(DEADLINE, "the Events", async || {
        let events = scene.events().await;
        if events == ["BreakerClosed", "BreakerOpened"] { Ok(()) } else { Err(events.join(" ")) }
    })
    .await
    .unwrap();
    scene.operator.terminate();
}

/// Somebody sets LSM_READY_DEADLINE=1ms on the probe's DaemonSet: no trial ends in time, with the
/// same version of the probe.
#[tokio::test]
async fn a_probe_that_times_out_everywhere_moves_at_most_the_share() {
    let scene = Scene::ready().await;
    let timed_out = fixture::report("1", Evidence::None, "CanaryTimedOut");
    scene.report_status(&timed_out).await;
    scene.held(NODES - SHARE).await;
    scene.tells_the_truth("CanaryTimedOut on 14").await;

    scene.report_everywhere("Denied").await;
    scene.shows(NODES, 0).await;
    scene.operator.terminate();
}

/// Of the nodes with a new version of the probe at most the share loses ready, and the others are
/// held until they report with a version that works.
#[tokio::test]
async fn a_new_probe_version_that_fails_everywhere_moves_at_most_the_share() {
    let scene = Scene::ready().await;
    let mut failed = fixture::report("1", Evidence::Attached, "BpfNotInLsmList");
    failed.probe_version = next_version();
    scene.report_status(&failed).await;
    let sees_all = |policy: &Value| policy["status"]["nodes"]["ready"] == 0;
    scene.policy("all reports to be seen", sees_all).await;
    let is_held = |policy: &Value| held(policy) == "True BreakerOpen";
    scene.policy("the policy to say that nodes are held", is_held).await;
    // Some more nodes lose ready as the version reaches more of them.
    wait::until(DEADLINE, "every other node to be held", async || {
        let losing = scene.operator.metric("lsm_ready_breaker_losing_nodes").await;
        let (ready, tainted) = scene.counts().await;
        let observed = format!("{losing} losing, {ready} ready, {tainted} tainted");
        let is_right = losing == ready as u64 && ready + tainted == NODES;
        if is_right { Ok(()) } else { Err(observed) }
    })
    .await
    .unwrap();
    let (ready, _) = scene.counts().await;
    assert!(ready >= NODES - SHARE, "{ready} nodes are ready");

    scene.report_everywhere("Denied").await;
    scene.shows(NODES, 0).await;
    scene.operator.terminate();
}

/// The probe's DaemonSet is deleted: its reports stay, and become old.
#[tokio::test]
async fn a_probe_that_is_gone_everywhere_changes_no_label_and_no_taint() {
    let scene = Scene::ready().await;
    let mut old = fixture::denied("1");
    let hours_ago = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(3);
    old.observed_time = serde_json::from_value(json!(hours_ago.to_string())).unwrap();
    scene.report_status(&old).await;
    wait::until(DEADLINE, "all nodes to be silent", async || {
        let silent = scene.operator.metric("lsm_ready_silent_nodes").await;
        if silent == NODES as u64 { Ok(()) } else { Err(silent) }
    })
    .await
    .unwrap();
    let node = wait::until(DEADLINE, "the condition to say so", async || {
        let node = done(&scene.client, "GET", "/api/v1/nodes/n00", &Value::Null).await;
        if node["status"].to_string().contains("ProbeSilent") { Ok(node) } else { Err("no") }
    });
    let conditions = node.await.unwrap()["status"]["conditions"].take();
    let mut conditions = conditions.as_array().unwrap().iter();
    let ours = conditions.find(|found| found["type"] == "lsmready.io/LsmBpfReady").unwrap();
    assert_eq!((&ours["status"], &ours["reason"]), (&json!("True"), &json!("ProbeSilent")));
    assert_eq!(scene.counts().await, (NODES, 0));
    let policy = scene.policy("no condition", |_| true).await;
    assert_eq!(held(&policy), " ", "nothing has to be held");
    scene.operator.terminate();
}

#[tokio::test]
async fn deleted_reports_move_at_most_the_share_until_a_person_releases_the_changes() {
    let scene = Scene::ready().await;
    let kubeconfig = scene.turn.server.kubeconfig();
    kubectl(&kubeconfig, &["delete", "lsmnodes", "--all"]).unwrap();
    scene.held(NODES - SHARE).await;

    let release = "lsmready.io/breaker=release";
    kubectl(&kubeconfig, &["annotate", "lsmpolicy", "enforce", release]).unwrap();
    scene.shows(0, NODES).await;
    let is_released = |policy: &Value| held(policy) == "False BreakerReleased";
    scene.policy("the policy to say that it is released", is_released).await;

    scene.report_everywhere("Denied").await;
    kubectl(&kubeconfig, &["annotate", "lsmpolicy", "enforce", "lsmready.io/breaker-"]).unwrap();
    scene.shows(NODES, 0).await;
    scene.policy("the condition to go", |policy| held(policy) == " ").await;
    scene.operator.terminate();
}

#[tokio::test]
async fn a_deleted_crd_moves_at_most_the_share_and_everything_comes_back() {
    let scene = Scene::ready().await;
    let kubeconfig = scene.turn.server.kubeconfig();
    let crd = "crd/lsmnodes.lsmready.io";
    kubectl(&kubeconfig, &["delete", crd]).unwrap();
    scene.held(NODES - SHARE).await;

    kubectl(&kubeconfig, &["apply", "--server-side", "-k", &config("crd")]).unwrap();
    kubectl(&kubeconfig, &["wait", "--for=condition=Established", "--timeout=30s", crd]).unwrap();
    wait::until(DEADLINE, "the kind to be served", async || {
        let path = "/apis/lsmready.io/v1alpha1/lsmnodes";
        let answer = call(&scene.client, "GET", path, &Value::Null).await;
        if answer.is_ok() { Ok(()) } else { Err(answer.message) }
    })
    .await
    .unwrap();
    scene.report_everywhere("Denied").await;
    wait::until(DEADLINE * 3, "the nodes to be ready again", async || {
        let counts = scene.counts().await;
        if counts == (NODES, 0) { Ok(()) } else { Err(format!("{counts:?}")) }
    })
    .await
    .unwrap();
    scene.operator.terminate();
}

#[tokio::test]
async fn the_taint_of_a_new_policy_goes_on_by_tenths_unless_all_at_once_is_wanted() {
    let turn = server::exclusive().await;
    let client = turn.server.client().await.unwrap();
    for name in names() {
        server::create_node(turn.server, &name).await;
    }
    apply_policy(&client, "enforce", &json!({"taint": {"effect": "NoSchedule"}})).await;
    let operator = Operator::with_breaker(turn.server);
    let mut scene = Scene { turn, client, operator };
    scene.shows(0, NODES / 10).await;
    let is_staged = |policy: &Value| condition(policy, "TaintStaged")["status"] == "True";
    let policy = scene.policy("the policy to say so", is_staged).await;
    let began = policy["status"]["specChange"]["startTime"].clone();

    scene.restart();
    let is_ready = async || match scene.operator.page("/readyz").await {
        Ok(page) if page.code == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    };
    wait::until(DEADLINE, "the new process", is_ready).await.unwrap();
    let same = |policy: &Value| policy["status"]["specChange"]["startTime"] == began;
    scene.policy("the same change", |policy| is_staged(policy) && same(policy)).await;
    let tainted = scene.counts().await.1;
    let began: jiff::Timestamp = began.as_str().unwrap().parse().unwrap();
    let minutes = jiff::Timestamp::now().duration_since(began).as_secs() / 60;
    let tenths = usize::try_from(minutes).unwrap() + 1;
    assert!(tainted <= tenths * NODES / 10, "{tainted} nodes after {minutes} minutes");

    let all = json!({"taint": {"effect": "NoSchedule", "rollout": "AllAtOnce"}});
    apply_policy(&scene.client, "enforce", &all).await;
    scene.shows(0, NODES).await;
    scene
        .policy("the change to end", |policy| {
            is_settled(policy) && condition(policy, "TaintStaged").is_null()
        })
        .await;
    scene.operator.terminate();
}

/// A kubelet may write its own Node's status.
#[tokio::test]
async fn a_kubelet_that_keeps_writing_our_condition_is_not_answered_each_time() {
    let turn = server::exclusive().await;
    let client = turn.server.client().await.unwrap();
    let uid = server::create_node(turn.server, "n1").await["metadata"]["uid"].take();
    report(&client, "n1", "Denied", "1").await;
    let operator = Operator::with_breaker(turn.server);
    labelled(&client, "n1", json!({"bpf": "true"})).await;
    for number in 0..200 {
        let condition = json!({"type": "lsmready.io/LsmBpfReady", "status": "False",
            "reason": "Mine", "message": format!("{number}")});
        let status = json!({"status": {"conditions": [condition]}});
        done(&client, "STRATEGIC", "/api/v1/nodes/n1/status", &status).await;
    }
    wait::until(DEADLINE, "the Event", async || {
        // Each repair is undone again.
        let status = json!({"status": {"conditions": [
            {"type": "lsmready.io/LsmBpfReady", "status": "False", "reason": "Mine"}]}});
        done(&client, "STRATEGIC", "/api/v1/nodes/n1/status", &status).await;
        let path = "/apis/events.k8s.io/v1/namespaces/default/events";
        let events = done(&client, "GET", path, &Value::Null).await;
        let mut events = events["items"].as_array().unwrap().iter();
        let is_ours =
            |event: &&Value| event["reason"] == "Contested" && event["regarding"]["uid"] == uid;
        if events.any(|event| is_ours(&event)) { Ok(()) } else { Err("no Event") }
    })
    .await
    .unwrap();
    let writes = operator.metric("lsm_ready_writes_total{kind=\"Node/status\"").await;
    assert!(writes < 10, "{writes} writes of the condition");

    // What was found out now is written at once.
    report(&client, "n1", "Attached", "1").await;
    labelled(&client, "n1", json!({"bpf": "false"})).await;
    operator.terminate();
}
