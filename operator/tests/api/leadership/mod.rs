//! Who writes when processes die, stop, or lose their connections, with the operator's own process.
//!
//! Each test prints how long a takeover or a correction took.

mod connections;
mod handover;
mod rights;
mod takeover;

use std::time::{Duration, Instant};

use e2e::api::ApiServer;
use e2e::wait;
use kube::Client;
use serde_json::{Value, json};

use crate::operator::{LEASE, create_pod};
use crate::process::{Operator, Pod};
use crate::server::{OPERATOR, account, call, done};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_mins(1);

/// A replica of the operator.
struct Replica {
    /// As the Lease names it.
    holder: String,
    process: Operator,
}

impl Replica {
    async fn start(server: &ApiServer, name: &str) -> Self {
        let group = Some("system:serviceaccounts");
        let kubeconfig = server.kubeconfig_for(&account(OPERATOR), group).unwrap();
        Self::with_kubeconfig(server, name, &kubeconfig).await
    }

    async fn with_kubeconfig(server: &ApiServer, name: &str, kubeconfig: &std::path::Path) -> Self {
        let uid = create_pod(&server.client().await.unwrap(), name).await;
        let process = Operator::with_kubeconfig(kubeconfig, Some(Pod { name, uid: &uid }));
        Self { holder: format!("{name}_{uid}"), process }
    }

    /// Waits until this replica holds the Lease. Returns how long that took.
    async fn leads(&self, client: &Client) -> Duration {
        let since = Instant::now();
        wait::until(PATIENCE, "the takeover", async || {
            let lease = call(client, "GET", LEASE, &Value::Null).await.body;
            let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
            if holder == self.holder { Ok(()) } else { Err(holder) }
        })
        .await
        .unwrap();
        since.elapsed()
    }

    /// Waits until `/readyz` has this code and text.
    async fn answers_readyz(&self, code: u16, text: &str) {
        wait::until(PATIENCE, "the answer of /readyz", async || {
            let page = self.process.page("/readyz").await?;
            let right = page.code == code && page.text.contains(text);
            if right { Ok(()) } else { Err(page.text) }
        })
        .await
        .unwrap();
    }
}

/// Waits until each of these Nodes has this value of the label `bpf`. Returns how long that took.
async fn all_labelled(client: &Client, nodes: &[String], wanted: &str) -> Duration {
    let since = Instant::now();
    wait::until(PATIENCE, "the labels of all nodes", async || {
        let mut wrong = Vec::new();
        for name in nodes {
            let path = format!("/api/v1/nodes/{name}");
            let node = done(client, "GET", &path, &Value::Null).await;
            let label = &node["metadata"]["labels"]["lsmready.node-restriction.kubernetes.io/bpf"];
            if label != wanted {
                wrong.push(format!("{name}: {label}"));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(format!("{wrong:?}")) }
    })
    .await
    .unwrap();
    since.elapsed()
}

/// Writes into the Lease's spec.
async fn forge(client: &Client, spec: &Value) {
    done(client, "MERGE", LEASE, &json!({ "spec": spec })).await;
}
