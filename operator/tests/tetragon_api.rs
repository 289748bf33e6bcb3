//! The Tetragon controller on a real API server, with the operator's own rights and under its admission policies: who
//! owns what after each kind of change, and what happens when the DaemonSet is not what it was.

mod real_api;
mod tetragon;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use e2e::api::ApiServer;
use e2e::wait;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::{Client, ResourceExt};
use kube_runtime::events::{Recorder, Reporter};
use kube_runtime::reflector::ObjectRef;
use lsm_ready_operator::context::Context;
use lsm_ready_operator::metrics::Metrics;
use lsm_ready_operator::queues::queues;
use lsm_ready_operator::routes::Routes;
use lsm_ready_operator::stores::stores;
use lsm_ready_operator::tetragon::memory::Remembered;
use lsm_ready_operator::tetragon::{reason, reconcile};
use lsm_ready_operator::watches;
use real_api::{Answer, NAMESPACE, OPERATOR, call, done};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use tetragon::{add_volume, agent, host_path, release};

const DEADLINE: Duration = Duration::from_secs(30);
const POLICIES: &str = "/apis/lsmready.io/v1alpha1/lsmpolicies";

static SERVER: OnceCell<ApiServer> = OnceCell::const_new();

async fn server() -> &'static ApiServer {
    SERVER.get_or_init(|| real_api::start("tetragon_api", "default")).await
}

/// Written once, as the tests run side by side.
static OPERATOR_CONFIG: OnceCell<PathBuf> = OnceCell::const_new();

async fn operator_config() -> PathBuf {
    let user = format!("system:serviceaccount:{NAMESPACE}:{OPERATOR}");
    server().await.kubeconfig_for(&user, Some("system:serviceaccounts")).unwrap()
}

/// One namespace with a Tetragon 1.3 in it, a policy of the same name, and the controller.
struct Scene {
    name: &'static str,
    admin: Client,
    ctx: Arc<Context>,
    created: Value,
}

impl Scene {
    /// The DaemonSet is created by a plain POST of a manager `helm`, as Helm 3 and `kubectl create` do it.
    async fn new(name: &'static str) -> Self {
        Self::with(name, release("v1.3")).await
    }

    async fn with(name: &'static str, object: Value) -> Self {
        server().await;
        let operator = OPERATOR_CONFIG.get_or_init(operator_config).await;
        Self::as_user(name, object, e2e::api::client(operator).await.unwrap()).await
    }

    /// The controller writes as that user.
    async fn as_user(name: &'static str, object: Value, operator: Client) -> Self {
        let admin = server().await.client().await.unwrap();
        done(&admin, "POST", "/api/v1/namespaces", &json!({"metadata": {"name": name}})).await;
        let ctx = context(&admin, operator).await;
        let mut scene = Self { name, admin, ctx, created: Value::Null };
        scene.created = scene.create(object).await;
        scene.wish(&json!({})).await;
        scene
    }

    async fn create(&self, mut object: Value) -> Value {
        object["metadata"]["namespace"] = json!(self.name);
        for set_by_the_server in ["uid", "resourceVersion", "generation"] {
            object["metadata"].as_object_mut().unwrap().remove(set_by_the_server);
        }
        let path = format!("/apis/apps/v1/namespaces/{}/daemonsets?fieldManager=helm", self.name);
        done(&self.admin, "POST", &path, &object).await
    }

    /// The policy says that; returns when the controller knows it.
    async fn wish(&self, securityfs: &Value) {
        let tetragon = json!({"daemonSet": {"namespace": self.name}, "securityfs": securityfs});
        let policy = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy", "spec": {"tetragon": tetragon}});
        let stored = done(&self.admin, "APPLY", &format!("{POLICIES}/{}", self.name), &policy).await;
        let version = stored["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
        self.known("the policy", |policy| policy == Some(version.as_str())).await;
    }

    async fn withdraw(&self) {
        done(&self.admin, "DELETE", &format!("{POLICIES}/{}", self.name), &Value::Null).await;
        self.known("the policy to go", |policy| policy.is_none()).await;
    }

    /// Waits until the controller's store has the policy at the right resourceVersion.
    async fn known(&self, what: &str, right: impl Fn(Option<&str>) -> bool) {
        wait::until(DEADLINE, what, async || {
            let policy = self.ctx.stores.policies.get(&ObjectRef::new(self.name));
            let version = policy.and_then(|policy| policy.resource_version());
            if right(version.as_deref()) { Ok(()) } else { Err(format!("{version:?}")) }
        })
        .await
        .unwrap();
    }

    fn path(&self) -> String {
        format!("/apis/apps/v1/namespaces/{}/daemonsets/tetragon", self.name)
    }

    async fn get(&self) -> Value {
        done(&self.admin, "GET", &self.path(), &Value::Null).await
    }

    /// The controller looks at that object; returns what is there then.
    async fn look_at(&self, object: &Value) -> Value {
        let daemon_set: DaemonSet = serde_json::from_value(object.clone()).unwrap();
        reconcile(Arc::new(daemon_set), self.ctx.clone()).await.unwrap();
        call(&self.admin, "GET", &self.path(), &Value::Null).await.body
    }

    /// The controller looks at what is there.
    async fn look(&self) -> Value {
        self.look_at(&self.get().await).await
    }

    fn remembered(&self, object: &Value) -> Remembered {
        self.ctx.tetragon.recall(object["metadata"]["uid"].as_str().unwrap())
    }

    /// Somebody changes it: `verb` as of [`call`], as field manager `helm`.
    async fn helm(&self, verb: &str, body: &Value) -> Answer {
        if verb != "APPLY" {
            return call(&self.admin, verb, &format!("{}?fieldManager=helm", self.path()), body).await;
        }
        let request = http::Request::patch(format!("{}?fieldManager=helm", self.path()))
            .header("Content-Type", "application/apply-patch+yaml")
            .body(kube::client::Body::from(serde_json::to_vec(body).unwrap()));
        let response = self.admin.send(request.unwrap()).await.unwrap();
        let code = response.status().as_u16();
        let bytes = response.into_body().collect_bytes().await.unwrap();
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        Answer { code, message: body["message"].as_str().unwrap_or_default().to_owned(), body }
    }
}

/// A controller whose stores are filled by `admin` and that writes as `operator`.
async fn context(admin: &Client, operator: Client) -> Arc<Context> {
    let (stores, writers) = stores();
    let (queues, _) = queues();
    let metrics = Metrics::default();
    let routes = Routes::new(stores.clone(), queues.clone(), metrics.clone());
    tokio::spawn(watches::run(admin.clone(), writers, routes, metrics.clone()));
    stores.policies.wait_until_ready().await.unwrap();
    stores.daemon_sets.wait_until_ready().await.unwrap();
    let reporter = Reporter { controller: "lsmready.io/operator".into(), instance: None };
    Arc::new(Context {
        events: Recorder::new(operator.clone(), reporter),
        client: operator,
        stores,
        queues,
        tetragon: lsm_ready_operator::tetragon::memory::Memory::default(),
        pace: lsm_ready_operator::policy::pace::Pace::default(),
        backoff: lsm_ready_operator::backoff::Backoff::default(),
        metrics,
        now: Timestamp::now,
    })
}

/// What our field manager owns.
fn owned(object: &Value) -> Option<Value> {
    let managers = object["metadata"]["managedFields"].as_array().unwrap();
    managers.iter().find(|entry| entry["manager"] == "lsm-ready").map(|entry| {
        assert_eq!(entry["operation"], "Apply");
        entry["fieldsV1"].clone()
    })
}

/// The mounts at /sys/kernel/security, of any container.
fn mounts(object: &Value) -> Vec<Value> {
    let containers = object["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    let mounts = containers.iter().filter_map(|container| container["volumeMounts"].as_array()).flatten();
    mounts.filter(|mount| mount["mountPath"] == "/sys/kernel/security").cloned().collect()
}

fn is_mounted(object: &Value) -> bool {
    mounts(object) == [json!({"name": "lsm-ready-securityfs", "mountPath": "/sys/kernel/security", "readOnly": true})]
}

/// Spec and labels, without what is ours.
fn theirs(object: &Value) -> (Value, Value) {
    let object = tetragon::without_ours(object);
    (object["spec"].clone(), object["metadata"]["labels"].clone())
}

/// A version of the chart's manifest with another image, as it would be applied.
fn upgrade(scene: &Scene, image: &str) -> Value {
    let mut object = release("v1.3");
    agent(&mut object)["image"] = json!(image);
    object["metadata"] = json!({"name": "tetragon", "namespace": scene.name, "labels": object["metadata"]["labels"]});
    object
}

#[tokio::test]
async fn ours_are_three_fields_and_giving_back_leaves_no_trace() {
    let scene = Scene::new("three-fields").await;
    let patched = scene.look().await;
    assert!(is_mounted(&patched));
    let wanted = json!({
        "f:metadata": {"f:labels": {"f:lsmready.io/securityfs": {}}},
        "f:spec": {"f:template": {"f:spec": {
            "f:containers": {"k:{\"name\":\"tetragon\"}": {
                ".": {}, "f:name": {},
                "f:volumeMounts": {"k:{\"mountPath\":\"/sys/kernel/security\"}": {
                    ".": {}, "f:mountPath": {}, "f:name": {}, "f:readOnly": {}}},
            }},
            "f:volumes": {"k:{\"name\":\"lsm-ready-securityfs\"}": {
                ".": {}, "f:hostPath": {"f:path": {}, "f:type": {}}, "f:name": {}}},
        }}},
    });
    assert_eq!(owned(&patched), Some(wanted));
    assert_eq!(theirs(&patched), theirs(&scene.created), "nothing else differs");
    // Nothing more is written: not for what is there, and not for what was there before.
    assert_eq!(scene.look().await["metadata"]["resourceVersion"], patched["metadata"]["resourceVersion"]);
    let again = scene.look_at(&scene.created).await;
    assert_eq!(again["metadata"]["resourceVersion"], patched["metadata"]["resourceVersion"]);

    scene.withdraw().await;
    let given_back = scene.look().await;
    assert_eq!(given_back["spec"], scene.created["spec"]);
    assert_eq!(given_back["metadata"]["labels"], scene.created["metadata"]["labels"]);
    assert_eq!(owned(&given_back), None);
    assert_eq!(scene.look().await["metadata"]["resourceVersion"], given_back["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn never_gives_back_and_suggest_keeps() {
    let scene = Scene::new("never").await;
    scene.look().await;
    scene.wish(&json!({"apply": "Suggest"})).await;
    assert!(is_mounted(&scene.look().await));
    scene.wish(&json!({"mount": "Never"})).await;
    assert!(mounts(&scene.look().await).is_empty());
    scene.wish(&json!({"apply": "Suggest"})).await;
    assert!(mounts(&scene.look().await).is_empty(), "Suggest writes nothing");
}

#[tokio::test]
async fn an_upgrade_by_merge_patch_keeps_ours() {
    let scene = Scene::new("merge-patch").await;
    scene.look().await;
    let image =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "tetragon", "image": "tetragon:v1.3.1"}]}}}});
    let answer = scene.helm("STRATEGIC", &image).await;
    assert!(answer.is_ok(), "{answer:?}");
    let upgraded = scene.look().await;
    assert_eq!(upgraded["metadata"]["resourceVersion"], answer.body["metadata"]["resourceVersion"], "nothing to write");
    assert!(is_mounted(&upgraded));
}

#[tokio::test]
async fn an_upgrade_by_server_side_apply_keeps_ours() {
    let scene = Scene::new("server-side").await;
    // The same manager name, but another way of writing: the upgrade from Helm 3 to Helm 4.
    let adopted = scene.helm("APPLY", &upgrade(&scene, "quay.io/cilium/tetragon:v1.3.0")).await;
    assert!(adopted.is_ok(), "{adopted:?}");
    let patched = scene.look().await;
    assert!(is_mounted(&patched));
    let answer = scene.helm("APPLY", &upgrade(&scene, "quay.io/cilium/tetragon:v1.3.0")).await;
    assert!(answer.is_ok(), "no conflict: {answer:?}");
    assert!(is_mounted(&answer.body));
    assert_eq!(owned(&answer.body), owned(&patched));
}

#[tokio::test]
async fn who_keeps_taking_it_out_is_left_alone_at_the_third_time() {
    let scene = Scene::new("contested").await;
    let mut applied = 0;
    for _ in 0..5 {
        if is_mounted(&scene.look().await) {
            applied += 1;
        }
        let mut object = scene.created.clone();
        object["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        let answer = scene.helm("PUT", &object).await;
        assert!(answer.is_ok(), "{answer:?}");
        assert!(mounts(&answer.body).is_empty());
    }
    assert_eq!(applied, 3);
    assert!(scene.remembered(&scene.created).contest.paused_until().is_some());
    let events = done(&scene.admin, "GET", "/apis/events.k8s.io/v1/namespaces/contested/events", &Value::Null).await;
    let told = |reason: &str| events["items"].as_array().unwrap().iter().any(|event| event["reason"] == reason);
    assert!(told("SecurityfsMounted") && told("Contested"), "{events}");
}

#[tokio::test]
async fn one_made_anew_under_the_same_name_is_not_changed() {
    let scene = Scene::new("made-anew").await;
    let seen = scene.get().await;
    done(&scene.admin, "DELETE", &scene.path(), &Value::Null).await;
    let gone = scene.look_at(&seen).await;
    assert_eq!(gone["code"], 404, "a patch with a UID creates nothing: {gone}");
    scene.create(release("v1.7")).await;
    let other = scene.look_at(&seen).await;
    assert!(mounts(&other).is_empty());
    assert_eq!(owned(&other), None);
    assert_eq!(scene.remembered(&seen), Remembered::default());
}

#[tokio::test]
async fn a_field_of_another_manager_is_a_conflict_that_names_it() {
    let mut object = release("v1.3");
    add_volume(&mut object, host_path("lsm-ready-securityfs", "/sys/kernel/security", ""));
    let scene = Scene::with("conflict", object).await;
    let after = scene.look().await;
    assert_eq!(after["metadata"]["resourceVersion"], scene.created["metadata"]["resourceVersion"]);
    let failure = scene.remembered(&after).failure.unwrap();
    assert_eq!(failure.reason, reason::FIELD_CONFLICT, "{failure:?}");
    assert!(failure.message.contains("\"helm\"") && failure.message.contains("hostPath.type"), "{}", failure.message);
}

#[tokio::test]
async fn without_the_right_to_patch_it_is_forbidden() {
    let nobody = server().await.client_for("nobody", None).await.unwrap();
    let scene = Scene::as_user("forbidden", release("v1.3"), nobody).await;
    let failure = scene.remembered(&scene.look().await).failure.unwrap();
    assert_eq!(failure.reason, reason::FORBIDDEN);
    assert!(failure.message.contains("lsm-ready-patching"), "{}", failure.message);
    assert!(failure.message.contains("User \"nobody\" cannot patch"), "{}", failure.message);
}

#[tokio::test]
async fn what_another_container_uses_cannot_be_given_back() {
    let scene = Scene::new("in-use").await;
    scene.look().await;
    let mount = json!({"name": "lsm-ready-securityfs", "mountPath": "/securityfs"});
    let used =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "export-stdout", "volumeMounts": [mount]}]}}}});
    assert!(scene.helm("STRATEGIC", &used).await.is_ok());
    scene.withdraw().await;
    let after = scene.look().await;
    assert!(is_mounted(&after));
    let failure = scene.remembered(&after).failure.unwrap();
    assert_eq!(failure.reason, reason::APPLY_FAILED, "{failure:?}");
    assert!(failure.message.contains("volumeMounts[0].name"), "{}", failure.message);
}

#[tokio::test]
async fn the_owners_own_mount_takes_our_mounts_place() {
    let scene = Scene::new("handed-over").await;
    scene.look().await;
    let values = json!({"spec": {"template": {"spec": {
        "volumes": [host_path("host-securityfs", "/sys/kernel/security", "Directory")],
        "containers": [{"name": "tetragon", "volumeMounts": [
            {"name": "host-securityfs", "mountPath": "/sys/kernel/security", "readOnly": true}]}],
    }}}});
    let answer = scene.helm("STRATEGIC", &values).await;
    assert!(answer.is_ok(), "{answer:?}");
    let handed_over = scene.look().await;
    assert_eq!(theirs(&handed_over), theirs(&answer.body), "the owner's mount is as it was");
    assert_eq!(theirs(&handed_over).0, handed_over["spec"], "and nothing of ours is left");
    assert_eq!(handed_over["metadata"]["labels"], scene.created["metadata"]["labels"]);
    assert_eq!(owned(&handed_over), None);
    let mounted = json!({"name": "host-securityfs", "mountPath": "/sys/kernel/security", "readOnly": true});
    assert_eq!(mounts(&handed_over), [mounted]);
    assert_eq!(scene.look().await["metadata"]["resourceVersion"], handed_over["metadata"]["resourceVersion"]);
}

/// A limit of sharing a container by server-side apply: docs/adr/0003 tells of it.
#[tokio::test]
async fn a_container_renamed_by_server_side_apply_needs_the_mount_given_back_first() {
    let scene = Scene::new("renamed").await;
    let manifest = upgrade(&scene, "quay.io/cilium/tetragon:v1.3.0");
    done(&scene.admin, "DELETE", &scene.path(), &Value::Null).await;
    assert!(scene.helm("APPLY", &manifest).await.is_ok());
    assert!(is_mounted(&scene.look().await));
    let mut renamed = manifest.clone();
    agent(&mut renamed)["name"] = json!("agent");
    let refused = scene.helm("APPLY", &renamed).await;
    assert_eq!(refused.code, 422, "{refused:?}");
    scene.wish(&json!({"mount": "Never"})).await;
    scene.look().await;
    let answer = scene.helm("APPLY", &renamed).await;
    assert!(answer.is_ok(), "{answer:?}");
}

#[tokio::test]
async fn an_upgrade_by_kubectl_apply_keeps_ours() {
    let scene = Scene::new("kubectl-apply").await;
    let kubeconfig = server().await.kubeconfig();
    let file = kubeconfig.with_file_name("kubectl-apply.yaml");
    for (image, expected) in [("quay.io/cilium/tetragon:v1.3.0", "configured"), ("tetragon:v1.3.1", "configured")] {
        std::fs::write(&file, upgrade(&scene, image).to_string()).unwrap();
        let said = real_api::kubectl(&kubeconfig, &["apply", "-f", &file.display().to_string()]).unwrap();
        assert!(said.contains(expected), "{said}");
        assert!(is_mounted(&scene.look().await), "{image}");
    }
    let now = scene.get().await;
    assert!(now["spec"].to_string().contains("tetragon:v1.3.1"));
}
