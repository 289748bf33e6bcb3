//! What somebody can write to make the operator's memory grow. Each row is what one token or one
//! kind of right allows.

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use kube::Client;
use lsm_ready_crds::LsmHookProfile;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use serde_json::{Value, json};

use crate::server::{call, done};

pub const KINDS: &str = "/apis/lsmready.io/v1alpha1";
pub const PROFILES: &str = "/apis/lsmready.io/v1alpha1/lsmhookprofiles";
const REPORTS: &str = "/apis/lsmready.io/v1alpha1/lsmnodes";
const POLICIES: &str = "/apis/lsmready.io/v1alpha1/lsmpolicies";
const DAEMON_SETS: &str = "/apis/apps/v1/namespaces/default/daemonsets";
const NODES: &str = "/api/v1/nodes";
const TRACING_POLICIES: &str = "/apis/cilium.io/v1alpha1/tracingpolicies";
const NAMESPACED: &str = "/apis/cilium.io/v1alpha1/namespaces/default/tracingpoliciesnamespaced";

/// A kind of object, and many of them.
pub struct Attack {
    pub what: &'static str,
    /// How many objects the measurement writes.
    pub many: usize,
    /// How many `make test-api` writes.
    pub few: usize,
    collection: &'static str,
    write: fn(Client, usize) -> BoxFuture<'static, ()>,
}

pub const ATTACKS: [Attack; 10] = [
    Attack {
        what: "hook profiles of 31 kB",
        many: 10_000,
        few: 300,
        collection: PROFILES,
        write: |client, number| create(client, PROFILES, profile(number)),
    },
    Attack {
        what: "reports of 190 kB, of nodes that do not exist",
        many: 1_000,
        few: 60,
        collection: REPORTS,
        write: |client, number| write_report(client, format!("flood-{number}")).boxed(),
    },
    Attack {
        what: "policies of 30 kB",
        many: 9_000,
        few: 150,
        collection: POLICIES,
        write: |client, number| create(client, POLICIES, policy(number)),
    },
    Attack {
        what: "DaemonSets of 1 MB",
        many: 250,
        few: 30,
        collection: DAEMON_SETS,
        write: |client, number| create(client, DAEMON_SETS, daemon_set(number)),
    },
    Attack {
        what: "Nodes of 1 MB, with 250 kB of annotations",
        many: 300,
        few: 40,
        collection: NODES,
        write: |client, number| write_node(client, number).boxed(),
    },
    Attack {
        what: "TracingPolicies of a usual size",
        many: 10_000,
        few: 100,
        collection: TRACING_POLICIES,
        write: |client, number| {
            let hooks = ["file_open", "bprm_check_security"].map(hook);
            let spec = json!({"lsmhooks": hooks});
            create(client, TRACING_POLICIES, tracing_policy(&format!("usual-{number}"), &spec))
        },
    },
    Attack {
        what: "TracingPolicies with 512 hooks and large labels",
        many: 1_000,
        few: 60,
        collection: TRACING_POLICIES,
        write: |client, number| create(client, TRACING_POLICIES, full_tracing_policy(number)),
    },
    Attack {
        what: "TracingPolicies with a nodeSelector of 700 kB",
        many: 200,
        few: 20,
        collection: TRACING_POLICIES,
        write: |client, number| {
            let values: Vec<String> = (0..11_000).map(|value| format!("{value:060}")).collect();
            let selector = json!({"matchExpressions":
                [{"key": "zone", "operator": "In", "values": values}]});
            let spec = json!({"lsmhooks": [hook("file_open")], "nodeSelector": selector});
            create(client, TRACING_POLICIES, tracing_policy(&format!("selector-{number}"), &spec))
        },
    },
    Attack {
        what: "TracingPoliciesNamespaced with 50,000 unknown hooks",
        many: 50,
        few: 5,
        collection: NAMESPACED,
        write: |client, number| {
            let hooks: Vec<Value> =
                (0..50_000).map(|hook| json!({"hook": format!("unknown_{hook}")})).collect();
            let spec = json!({"lsmhooks": hooks});
            let mut policy = tracing_policy(&format!("hooks-{number}"), &spec);
            policy["kind"] = json!("TracingPolicyNamespaced");
            create(client, NAMESPACED, policy)
        },
    },
    Attack {
        what: "Nodes with 800 kB of labels and 5,000 addresses",
        many: 300,
        few: 20,
        collection: NODES,
        write: |client, number| write_labels(client, number).boxed(),
    },
];

impl Attack {
    /// Writes so many objects, some at once.
    pub async fn write(&self, client: &Client, count: usize) {
        let written = stream::iter(0..count).map(|number| (self.write)(client.clone(), number));
        written.buffer_unordered(8).collect::<Vec<()>>().await;
    }

    /// Deletes what was written. Nodes of other tests stay.
    pub async fn undo(&self, client: &Client) {
        let path = format!("{}?labelSelector=flood", self.collection);
        call(client, "DELETE", &path, &Value::Null).await;
    }
}

fn create(client: Client, path: &'static str, mut object: Value) -> BoxFuture<'static, ()> {
    object["metadata"]["labels"]["flood"] = json!("");
    async move { drop(done(&client, "POST", path, &object).await) }.boxed()
}

/// A genuine profile with as many and as long names as the schema allows.
fn profile(number: usize) -> Value {
    let hooks = (0..480).map(|hook| format!("h{number:06}_{hook:056}")).collect();
    let spec = LsmHookProfileSpec {
        kernel: format!("flood {number}"),
        hooks,
        ..LsmHookProfileSpec::default()
    };
    serde_json::to_value(LsmHookProfile::new(&spec.digest(), spec)).unwrap()
}

/// A DaemonSet that no policy names.
fn daemon_set(number: usize) -> Value {
    let labels = json!({"app": "flood"});
    let env = json!([{"name": "A", "value": "x".repeat(1_000_000)}]);
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": format!("flood-{number}")},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "c", "image": "none", "env": env}]}}}})
}

/// A policy with large annotations and as much in its spec as the schema allows.
fn policy(number: usize) -> Value {
    let hooks: Vec<String> = (0..64).map(|hook| format!("hook_{hook:058}")).collect();
    json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy",
        "metadata": {"name": format!("flood-{number}"),
            "annotations": {"large": "x".repeat(20_000)}},
        "spec": {"nodeSelector": {"matchLabels": {"flood": "none"}},
            "require": {"hooks": hooks, "sleepableHooks": hooks}}})
}

/// A report with the longest texts that the schema allows.
pub async fn write_report(client: Client, node: String) {
    let check = |number: usize| {
        json!({"name": format!("Check{number}"), "outcome": "Fail",
        "detail": "d".repeat(500), "fix": "f".repeat(1000)})
    };
    let report = json!({"status": {"bootID": "1", "evidence": "Attached",
        "reason": "BpfNotInLsmList", "message": "m".repeat(4096), "fix": "f".repeat(4096),
        "checks": (0..32).map(check).collect::<Vec<_>>()}});
    let path = format!("{KINDS}/lsmnodes/{node}");
    let object = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode",
        "metadata": {"labels": {"flood": ""}}});
    done(&client, "APPLY", &path, &object).await;
    done(&client, "MERGE", &format!("{path}/status"), &report).await;
}

/// A Node as large as the API server takes: annotations may have 256 kB, and a kubelet reports what
/// it likes.
async fn write_node(client: Client, number: usize) {
    let name = format!("flood-{number}");
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name,
        "labels": {"flood": ""}, "annotations": {"large": "x".repeat(250_000)}}});
    done(&client, "POST", NODES, &node).await;
    let images: Vec<Value> =
        (0..700).map(|image| json!({"names": [format!("{image:01000}")]})).collect();
    let status = json!({"status": {"images": images}});
    done(&client, "MERGE", &format!("{NODES}/{name}/status"), &status).await;
}

/// A Node that is as large in what the operator reads of it.
async fn write_labels(client: Client, number: usize) {
    let name = format!("flood-labels-{number}");
    let labels = (0..6_500).map(|label| (format!("a/{label:060}"), json!("v".repeat(60))));
    let mut node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
    node["metadata"]["labels"] = Value::Object(labels.collect());
    node["metadata"]["labels"]["flood"] = json!("");
    done(&client, "POST", NODES, &node).await;
    let addresses: Vec<Value> = (0..5_000)
        .map(|address| json!({"type": "InternalIP", "address": format!("fd00::{address:x}")}))
        .collect();
    let status = json!({"status": {"addresses": addresses}});
    done(&client, "MERGE", &format!("{NODES}/{name}/status"), &status).await;
}

fn hook(name: &str) -> Value {
    json!({"hook": name, "selectors": [{"matchActions": [{"action": "Override", "argError": -1}]}]})
}

fn tracing_policy(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "cilium.io/v1alpha1", "kind": "TracingPolicy",
        "metadata": {"name": name}, "spec": spec})
}

/// As many hooks with as long names as are read, and as many labels.
fn full_tracing_policy(number: usize) -> Value {
    let hooks: Vec<Value> =
        (0..511).map(|hook| json!({"hook": format!("h{number:04}_{hook:056}")})).collect();
    let spec = json!({"lsmhooks": hooks});
    let mut policy = tracing_policy(&format!("full-{number}"), &spec);
    let labels = (0..250).map(|label| (format!("l{label:060}"), json!("v".repeat(60))));
    policy["metadata"]["labels"] = Value::Object(labels.collect());
    policy
}
