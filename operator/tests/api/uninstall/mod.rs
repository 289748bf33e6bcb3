//! Uninstalling in every order leaves nothing behind: with the operator alive, ended or killed, and
//! with its rights, its namespace and the CRDs gone at any time. The operator's process runs with
//! the token of its pod; the namespace controller and the garbage collector are Kubernetes' own.

pub mod scene;
pub mod sweep;

use std::process::Command;
use std::time::{Duration, Instant};

use e2e::wait;
use lsm_ready_cleanup::installed::Installation;
use lsm_ready_cleanup::{Cluster, Mode, Names, everything};
use serde_json::{Value, json};

use crate::server::{NAMESPACE, call, config, done, enforced};
use scene::{DEADLINE, Operator, Scene};

/// `kubectl delete -k` has to end within this time. It is not ours: the API server alone may take
/// a minute for a CRD.
const ENDS: &str = "--timeout=150s";
/// The plural of the kind.
const POLICIES: &str = "validatingadmissionpolicies";

/// What `kubectl lsm-ready cleanup` does.
async fn clean_up(scene: &Scene) {
    let cluster =
        Cluster { client: scene.admin.clone(), names: Names::OfAnyVersion, mode: Mode::Remove };
    let installation = Installation { namespace: NAMESPACE.to_owned(), keep_job: false };
    let report = everything::remove(&cluster, &installation).await;
    assert!(report.failed.is_empty(), "{}", report.errors());
}

/// One step of an uninstallation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    Crds,
    Operator,
    Namespace,
    Rights,
}

/// How the operator ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    InOrder,
    Killed,
}

async fn take(step: Step, end: End, scene: &Scene, operator: &mut Option<Operator>) {
    let crds = ["lsmpolicies", "lsmnodes", "lsmhookprofiles"]
        .map(|plural| format!("crd/{plural}.lsmready.io"));
    match (step, end) {
        (Step::Crds, _) => {
            let mut delete = vec!["delete", "--wait=false"];
            delete.extend(crds.iter().map(String::as_str));
            scene.try_kubectl(&delete);
        }
        (Step::Operator, End::InOrder) => {
            let Some(operator) = operator.take() else { return };
            let pod = format!("/api/v1/namespaces/{NAMESPACE}/pods/operator");
            call(&scene.admin, "DELETE", &pod, &Value::Null).await;
            operator.ended().await;
        }
        (Step::Operator, End::Killed) => {
            let Some(operator) = operator.take() else { return };
            operator.kill(scene).await;
        }
        (Step::Namespace, _) => scene.try_kubectl(&["delete", "ns", NAMESPACE, "--wait=false"]),
        (Step::Rights, _) => scene.try_kubectl(&[
            "delete",
            "--wait=false",
            "clusterrole,clusterrolebinding",
            "-l",
            "app.kubernetes.io/part-of=lsm-ready",
        ]),
    }
}

fn orders() -> Vec<[Step; 4]> {
    let steps = [Step::Crds, Step::Operator, Step::Namespace, Step::Rights];
    let mut orders = Vec::new();
    for a in steps {
        for b in steps.into_iter().filter(|b| *b != a) {
            for c in steps.into_iter().filter(|c| ![a, b].contains(c)) {
                let d = steps.into_iter().find(|d| ![a, b, c].contains(d)).unwrap();
                orders.push([a, b, c, d]);
            }
        }
    }
    orders
}

/// All 24 orders, by their first step. In every other one the operator is killed.
async fn clean_up_after_orders_that_begin_with(first: Step) {
    for (number, order) in orders().into_iter().enumerate().filter(|(_, order)| order[0] == first) {
        let end = if number % 2 == 0 { End::Killed } else { End::InOrder };
        clean_up_after(order, end).await;
    }
}

async fn clean_up_after(order: [Step; 4], end: End) {
    let scene = Scene::new().await;
    let begun = Instant::now();
    scene.install().await;
    let mut operator = Some(scene.work().await);
    for step in order {
        take(step, end, &scene, &mut operator).await;
    }
    clean_up(&scene).await;
    scene.nothing_is_left(&format!("{order:?}, {end:?}")).await;
    println!("{order:?}, {end:?}: {:.1} s", begun.elapsed().as_secs_f64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cleanup_leaves_nothing_in_any_order_that_begins_with_the_crds() {
    clean_up_after_orders_that_begin_with(Step::Crds).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cleanup_leaves_nothing_in_any_order_that_begins_with_the_operator() {
    clean_up_after_orders_that_begin_with(Step::Operator).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cleanup_leaves_nothing_in_any_order_that_begins_with_the_namespace() {
    clean_up_after_orders_that_begin_with(Step::Namespace).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cleanup_leaves_nothing_in_any_order_that_begins_with_the_rights() {
    clean_up_after_orders_that_begin_with(Step::Rights).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_the_manifests_leaves_nothing_while_the_operator_lives() {
    let scene = Scene::new().await;
    scene.install().await;
    let operator = scene.work().await;
    scene.kubectl(&["delete", ENDS, "-k", &config("default")]);
    operator.ended().await;
    scene.nothing_is_left("the operator lived").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_the_manifests_leaves_nothing_when_the_crds_went_first() {
    let scene = Scene::new().await;
    scene.install().await;
    let operator = scene.work().await;
    let mut none = None;
    take(Step::Crds, End::InOrder, &scene, &mut none).await;
    scene.kubectl(&["delete", ENDS, "--ignore-not-found", "-k", &config("default")]);
    operator.ended().await;
    scene.nothing_is_left("the CRDs went first").await;
}

/// Nobody told the operator to remove its labels: it may come back, for example in an upgrade.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_that_ended_in_order_holds_up_no_deletion() {
    let scene = Scene::new().await;
    scene.install().await;
    scene.work().await.end(&scene).await;
    scene.kubectl(&["delete", ENDS, "-k", &config("default")]);
    clean_up(&scene).await;
    scene.nothing_is_left("the operator had ended").await;
}

/// A tool may delete the Deployment first, and the rest some moments later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_begins_right_after_the_operators_end_leaves_nothing() {
    let scene = Scene::new().await;
    scene.install().await;
    let operator = scene.work().await;
    let pod = format!("/api/v1/namespaces/{NAMESPACE}/pods/operator");
    done(&scene.admin, "DELETE", &pod, &Value::Null).await;
    scene.kubectl(&["delete", ENDS, "-k", &config("default")]);
    operator.ended().await;
    scene.nothing_is_left("the operator had just ended").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_whose_operator_never_ran_is_deleted_at_once() {
    let scene = Scene::new().await;
    scene.install().await;
    scene.kubectl(&["delete", ENDS, "-k", &config("default")]);
    scene.nothing_is_left("no operator ever ran").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_the_namespace_cleans_the_nodes_while_the_operator_lives() {
    let scene = Scene::new().await;
    scene.install().await;
    let operator = scene.work().await;
    scene.kubectl(&["delete", "namespace", NAMESPACE, ENDS]);
    operator.ended().await;
    scene.no_trace_is_left().await;
    // What is not in the namespace is still there, and nothing holds it up.
    scene.kubectl(&["delete", ENDS, "--ignore-not-found", "-k", &config("default")]);
    scene.nothing_is_left("the namespace went first").await;
}

/// The deletion of a killed operator's rights waits for a cleanup, in this case by the Job.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_job_cleans_up_after_a_killed_operator() {
    let scene = Scene::new().await;
    scene.install().await;
    scene.work().await.kill(&scene).await;
    scene.kubectl(&["delete", "--wait=false", "-k", &config("default")]);
    run_job(&scene).await;
    scene.kubectl(&["delete", ENDS, "-k", &config("cleanup")]);
    scene.nothing_is_left("the Job has run").await;
}

/// Runs the operator's image as the Job does, with the Job's token.
async fn run_job(scene: &Scene) {
    scene.kubectl(&["apply", "--server-side", "-k", &config("cleanup")]);
    let kubeconfig = scene.token("lsm-ready-cleanup", "lsm-ready-cleanup", None).await;
    let mut job = Command::new(env!("CARGO_BIN_EXE_operator"));
    let job = job.arg("cleanup").env("KUBECONFIG", kubeconfig).output().unwrap();
    let log = String::from_utf8_lossy(&job.stdout).into_owned();
    assert!(job.status.success(), "{log}{}", String::from_utf8_lossy(&job.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_job_cleans_up_after_everything_else_is_gone() {
    let scene = Scene::new().await;
    scene.install().await;
    scene.work().await.end(&scene).await;
    scene.kubectl(&["delete", ENDS, "-k", &config("default")]);
    run_job(&scene).await;
    scene.kubectl(&["delete", ENDS, "-k", &config("cleanup")]);
    scene.nothing_is_left("the Job has run").await;
}

/// The API server refuses the operator a write, or its time is not enough. The deletion ends all
/// the same, and the Job removes the rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_operator_could_not_remove_at_its_end_the_job_removes() {
    let scene = Scene::new().await;
    scene.install().await;
    let operator = scene.work().await;
    refuse_writes_to("n2", &scene).await;
    scene.kubectl(&["delete", ENDS, "-k", &config("default")]);
    operator.ended().await;
    let marks = |node: &Value| {
        ["lsmready.io/not-ready", "lsmready.io/LsmBpfReady", "/policy.enforce"]
            .map(|mark| node.to_string().contains(mark))
    };
    for (node, expected) in [("n1", [false; 3]), ("n2", [true; 3]), ("n3", [false; 3])] {
        let path = format!("/api/v1/nodes/{node}");
        let mut node = done(&scene.admin, "GET", &path, &Value::Null).await;
        node["metadata"]["managedFields"] = Value::Null;
        assert_eq!(marks(&node), expected, "{node}");
    }
    let policies = "validatingadmissionpolicybinding,validatingadmissionpolicy";
    scene.kubectl(&["delete", policies, "held-back"]);
    wait::until(DEADLINE, "no policy any more", async || {
        let change = json!({"metadata": {"annotations": {"a": "b"}}});
        let answer = call(&scene.admin, "MERGE", "/api/v1/nodes/n2?dryRun=All", &change).await;
        if answer.is_ok() { Ok(()) } else { Err(answer.message) }
    })
    .await
    .unwrap();
    run_job(&scene).await;
    scene.kubectl(&["delete", ENDS, "-k", &config("cleanup")]);
    scene.nothing_is_left("the Job has removed the rest").await;
}

/// Refuses every change of that Node.
async fn refuse_writes_to(node: &str, scene: &Scene) {
    let group = "admissionregistration.k8s.io/v1";
    let rules = json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"],
        "resources": ["nodes", "nodes/status"]}]);
    let expression = format!("object.metadata.name != '{node}'");
    let policy = json!({"apiVersion": group, "kind": "ValidatingAdmissionPolicy",
        "spec": {"matchConstraints": {"resourceRules": rules},
            "validations": [{"expression": expression}]}});
    let binding = json!({"apiVersion": group, "kind": "ValidatingAdmissionPolicyBinding",
        "spec": {"policyName": "held-back", "validationActions": ["Deny"]}});
    for (plural, object) in [(POLICIES, policy), ("validatingadmissionpolicybindings", binding)] {
        let path = format!("/apis/{group}/{plural}/held-back");
        done(&scene.admin, "APPLY", &path, &object).await;
    }
    let change = json!({"metadata": {"annotations": {"a": "b"}}});
    enforced(&scene.admin, "MERGE", &format!("/api/v1/nodes/{node}"), &change).await;
}

/// An upgrade or a downgrade by one minor version: the manifests of the other version had further
/// objects, and its operator wrote further names to Nodes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_another_version_is_left() {
    let scene = Scene::new().await;
    scene.install().await;
    let operator = scene.work().await;
    let retired = "lsmready.node-restriction.kubernetes.io/retired";
    write_names_of_another_version(&scene, retired).await;
    let labels = async || {
        let node = done(&scene.admin, "GET", "/api/v1/nodes/n2", &Value::Null).await;
        let labels = node["metadata"]["labels"].to_string();
        if labels.contains(retired) { Err(labels) } else { Ok(()) }
    };
    wait::until(DEADLINE, "the running operator to remove the label", labels).await.unwrap();
    operator.kill(&scene).await;
    clean_up(&scene).await;
    scene.nothing_is_left("names of another version were there").await;
}

async fn write_names_of_another_version(scene: &Scene, label: &str) {
    let path = "/api/v1/nodes/n2";
    let mut node = done(&scene.admin, "GET", path, &Value::Null).await;
    let taints = &mut node["spec"]["taints"];
    let taint = json!({"key": "lsmready.io/retired", "effect": "PreferNoSchedule"});
    taints.as_array_mut().unwrap().push(taint);
    let change = json!({"spec": {"taints": taints},
        "metadata": {"labels": {label: "x", "lsmready.io/retired": "x"}}});
    done(&scene.admin, "MERGE", path, &change).await;
    let condition = |type_: &str| json!({"type": type_, "status": "True", "reason": "R"});
    let conditions = ["LsmBpfReady", "lsmready.io/Retired"].map(condition);
    let status = json!({"status": {"conditions": conditions}});
    done(&scene.admin, "STRATEGIC", &format!("{path}/status"), &status).await;
    for (group, kind, plural) in [
        ("rbac.authorization.k8s.io", "ClusterRole", "clusterroles"),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", POLICIES),
    ] {
        let labels = json!({"app.kubernetes.io/part-of": "lsm-ready"});
        let mut object = json!({"apiVersion": format!("{group}/v1"), "kind": kind,
            "metadata": {"name": "lsm-ready-retired", "labels": labels}});
        if plural == POLICIES {
            let rules = json!([{"apiGroups": [""], "apiVersions": ["v1"],
                "operations": ["UPDATE"], "resources": ["configmaps"]}]);
            object["spec"] = json!({"matchConstraints": {"resourceRules": rules},
                "validations": [{"expression": "true"}]});
        }
        done(&scene.admin, "POST", &format!("/apis/{group}/v1/{plural}"), &object).await;
    }
}

/// A probe's token, for example, could put a finalizer on a profile. The CRD stays then, but
/// nothing that acts on workloads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_finalizer_on_an_object_of_ours_keeps_no_label_and_no_taint() {
    let scene = Scene::new().await;
    scene.install().await;
    let path = "/apis/lsmready.io/v1alpha1/lsmnodes/held";
    let held = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode",
        "metadata": {"finalizers": ["example.com/held"]}});
    done(&scene.admin, "APPLY", path, &held).await;
    let operator = scene.work().await;
    scene.kubectl(&["delete", "--wait=false", "-k", &config("default")]);
    operator.ended().await;
    scene.no_trace_is_left().await;
    clean_up(&scene).await;
    scene.nothing_is_left("an LsmNode had a foreign finalizer").await;
}

/// Somebody switches to `config/suggest-only`: this is no uninstallation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_right_to_patch_daemon_sets_can_be_taken_away_alone() {
    let scene = Scene::new().await;
    scene.install().await;
    let operator = scene.work().await;
    let kinds = "clusterrole/lsm-ready-patching,clusterrolebinding/lsm-ready-patching";
    let mut delete = vec!["delete", "--timeout=10s"];
    delete.extend(kinds.split(','));
    scene.kubectl(&delete);
    let node = done(&scene.admin, "GET", "/api/v1/nodes/n1", &Value::Null).await;
    assert!(node.to_string().contains("lsmready.io/not-ready"), "{node}");
    operator.end(&scene).await;
    clean_up(&scene).await;
    scene.nothing_is_left("the right to patch went first").await;
}

/// Tools delete objects in an order of their own. If the rest follows some seconds after the right
/// to patch, the mount is removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_uninstallation_that_begins_with_the_right_to_patch_leaves_no_mount() {
    let scene = Scene::new().await;
    scene.install().await;
    let operator = scene.work().await;
    let patching = ["clusterrolebinding/lsm-ready-patching", "clusterrole/lsm-ready-patching"];
    scene.kubectl(&[&["delete", "--wait=false"], &patching[..]].concat());
    tokio::time::sleep(Duration::from_secs(3)).await;
    scene.kubectl(&["delete", ENDS, "--ignore-not-found", "-k", &config("default")]);
    operator.ended().await;
    scene.nothing_is_left("the right to patch went first").await;
}

/// The limit is what the token of a deleted ServiceAccount is good for.
#[test]
fn a_cleanup_ends_before_the_token_does() {
    let token_works_for = Duration::from_mins(1);
    let rest = token_works_for.saturating_sub(lsm_ready_operator::teardown::CLEAN_WITHIN);
    assert!(rest >= Duration::from_secs(15), "{rest:?}");
}
