//! Section nfd: the master of Node Feature Discovery, which does the nearest job of another
//! project: objects of its workers become labels of Nodes.
//!
//! It gets as many labels for each node as the operator writes, and writes no condition. So the
//! times are compared for each write. It runs with an administrator's rights of a ServiceAccount.

use std::collections::HashMap;
use std::fs::File;
use std::net::TcpListener;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use e2e::request::{self, kubectl};
use e2e::{go, wait};
use futures::{StreamExt, stream};
use lsm_ready_crds::names::NODE_LABEL_PREFIX;
use serde::Serialize;
use serde_json::{Value, json};

use crate::Failure;
use crate::audit;
use crate::fleet::{Labels, Proof, name};
use crate::follow::{Follow, METADATA};
use crate::stats::{count, rounded};
use crate::usage::{self, Usage};
use crate::world::{CONCURRENCY, NAMESPACE, World, say};

/// The labels of NFD have this prefix.
const FEATURE: &str = "feature.node.kubernetes.io/";
const ACCOUNT: &str = "bench-nfd";
const CRDS: &str = "deployment/base/nfd-crds/nfd-api-crds.yaml";
const DEADLINE: Duration = Duration::from_mins(8);
/// Larger than a report of a probe: NFD's workers report all that they find.
const ATTRIBUTES: usize = 60;

#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    pub nodes: usize,
    pub seconds: f64,
    pub cpu_seconds: f64,
    pub peak_rss_bytes: u64,
    pub writes: usize,
    pub milliseconds_per_write: f64,
    /// The same of the operator, at its start on the same nodes.
    pub operator_milliseconds_per_write: Option<f64>,
    pub operator_over_nfd: Option<f64>,
}

/// What the operator did on the same nodes.
#[derive(Clone, Copy, Debug)]
pub struct Operator {
    pub seconds: f64,
    pub writes: usize,
}

/// Measures it. No operator may run.
pub async fn measure(world: &World, operator: Option<Operator>) -> Result<Comparison, Failure> {
    let program = go::build_nfd().await?;
    say("Node Feature Discovery: an object for each node");
    let crds = go::nfd_module()?.join(CRDS).display().to_string();
    kubectl(&world.server.kubeconfig(), &["apply", "--server-side", "-f", &crds])?;
    let crd = "crd/nodefeatures.nfd.k8s-sigs.io";
    kubectl(&world.server.kubeconfig(), &["wait", "--for=condition=Established", crd])?;
    let kubeconfig = world.kubeconfig_of_an_account(ACCOUNT).await?;
    create_features(world).await?;
    let nodes = Follow::start(&world.client, "/api/v1/nodes", METADATA).await?;
    nodes.with(|seen| seen.firsts = Some(HashMap::new()));
    let offset = audit::end(&world.server.audit_log())?;
    say("Node Feature Discovery: its master starts");
    let began = Instant::now();
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let log = File::create(world.dir.join("nfd-master.log"))?;
    let mut command = Command::new(program);
    command.arg("-kubeconfig").arg(kubeconfig).arg("-port").arg(port.to_string());
    command.arg("-config").arg(world.dir.join("none")).stdout(log.try_clone()?).stderr(log);
    command.env("KUBERNETES_NAMESPACE", NAMESPACE).env("NODE_NAME", name(0));
    let master = Master(command.spawn()?);
    let seen = wait::until(DEADLINE, "the labels of Node Feature Discovery", async || {
        let labelled = nodes.with(|seen| seen.firsts.as_ref().map_or(0, HashMap::len));
        if labelled >= world.fleet.nodes { Ok(master.usage()) } else { Err(labelled) }
    });
    let usage = seen.await?;
    let seconds = nodes.with(|seen| seen.last_event).duration_since(began).as_secs_f64();
    drop(master);
    let user = format!("system:serviceaccount:{NAMESPACE}:{ACCOUNT}");
    let writes = audit::writes(&audit::since(&world.server.audit_log(), offset)?, &user).len();
    let per_write = 1000.0 * seconds / count(writes.max(1));
    let ours = operator.map(|ours| 1000.0 * ours.seconds / count(ours.writes.max(1)));
    Ok(Comparison {
        nodes: world.fleet.nodes,
        seconds: rounded(seconds),
        cpu_seconds: usage.cpu_seconds,
        peak_rss_bytes: usage.peak_rss_bytes,
        writes,
        milliseconds_per_write: rounded(per_write),
        operator_milliseconds_per_write: ours.map(rounded),
        operator_over_nfd: ours.map(|ours| rounded(ours / per_write)),
    })
}

async fn create_features(world: &World) -> Result<(), Failure> {
    let path = format!("/apis/nfd.k8s-sigs.io/v1alpha1/namespaces/{NAMESPACE}/nodefeatures");
    let created = stream::iter(0..world.fleet.nodes).map(async |node| {
        let object = feature(node, &world.fleet.labels(node, Proof::Denied));
        request::done(&world.client, "POST", &path, &object).await
    });
    let mut created = created.buffer_unordered(CONCURRENCY);
    while let Some(done) = created.next().await {
        done?;
    }
    Ok(())
}

/// What a worker of NFD writes, with as many labels as the operator writes.
fn feature(node: usize, labels: &Labels) -> Value {
    let labels: Labels = labels
        .iter()
        .map(|(key, value)| (key.replace(NODE_LABEL_PREFIX, FEATURE), value.clone()))
        .collect();
    let elements: Labels = (0..ATTRIBUTES)
        .map(|number| (format!("CONFIG_ATTRIBUTE_{number:03}"), "y".to_owned()))
        .collect();
    json!({"apiVersion": "nfd.k8s-sigs.io/v1alpha1", "kind": "NodeFeature",
        "metadata": {"name": name(node),
            "labels": {"nfd.node.kubernetes.io/node-name": name(node)}},
        "spec": {"labels": labels, "features": {"flags": {}, "instances": {},
            "attributes": {"kernel.config": {"elements": elements}}}}})
}

/// The process. It is killed when this is dropped.
struct Master(Child);

impl Master {
    fn usage(&self) -> Usage {
        usage::of(self.0.id())
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::Fleet;

    #[test]
    fn the_object_has_the_labels_of_the_operator_with_nfds_prefix() {
        let labels = Fleet::new(10, 20).labels(3, Proof::Denied);
        let feature = feature(3, &labels);
        let found = feature["spec"]["labels"].as_object().unwrap();
        assert_eq!(found.len(), labels.len());
        assert!(found.keys().all(|key| key.starts_with(FEATURE)), "{found:?}");
    }
}
