//! An API server, two replicas of the operator, and a world that changes.

use std::time::{Duration, Instant};

use e2e::api::ApiServer;
use e2e::wait;
use serde_json::Value;

use crate::replica::Replica;
use crate::server::{call, writes};
use crate::world::{Change, Evidence, World};

/// How many nodes the world has. A tenth of them may lose readiness in one scenario: fewer than
/// what opens the circuit breaker.
pub const NODES: usize = 40;

/// How long the operator is watched at rest.
const REST: Duration = Duration::from_secs(5);

pub const LEASE: &str =
    "/apis/coordination.k8s.io/v1/namespaces/lsm-ready-system/leases/lsm-ready-operator";

pub struct Bench {
    pub server: ApiServer,
    pub world: World,
    pub replicas: [Replica; 2],
    random: fastrand::Rng,
}

impl Bench {
    pub async fn new(server: ApiServer, seed: u64) -> Self {
        let world = World::new(server.client().await.unwrap(), NODES).await;
        let replicas = [Replica::start(&server, "a").await, Replica::start(&server, "b").await];
        Self { server, world, replicas, random: fastrand::Rng::with_seed(seed) }
    }

    /// A number below `end`.
    pub fn random(&mut self, end: u64) -> u64 {
        self.random.u64(..end)
    }

    /// Applies some random changes.
    pub async fn change(&mut self) {
        let mut nodes: Vec<usize> = (0..NODES).collect();
        self.random.shuffle(&mut nodes);
        let [lost, deleted, rebooted, back, anew, ..] = nodes.as_slice() else {
            return;
        };
        let changes = [
            Change::Report(*lost, Evidence::Attached),
            Change::DeleteReport(*deleted),
            Change::Reboot(*rebooted),
            Change::Reboot(*back),
            Change::Report(*back, Evidence::Denied),
            Change::MakeAnew(*anew),
            Change::Report(*anew, Evidence::Denied),
            Change::Enforce(self.random.bool()),
            Change::Mount(self.random.bool()),
        ];
        for change in changes {
            self.world.apply(change).await;
        }
    }

    /// Makes every node able to deny again, so that the next scenario begins with few losses.
    pub async fn recover(&mut self) {
        for node in 0..NODES {
            self.world.apply(Change::Report(node, Evidence::Denied)).await;
        }
        self.world.apply(Change::Enforce(true)).await;
    }

    /// The replica that the Lease names, and the other one.
    pub async fn leader(&mut self) -> (usize, usize) {
        let client = self.server.client().await.unwrap();
        let limit = Duration::from_mins(1);
        let leader = wait::until(limit, "a leader", async || {
            let lease = call(&client, "GET", LEASE, &Value::Null).await.body;
            let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
            let named = |replica: &Replica| holder.starts_with(&format!("{}_", replica.pod()));
            self.replicas.iter().position(named).ok_or_else(|| holder.to_owned())
        })
        .await
        .unwrap();
        (leader, 1 - leader)
    }

    /// Waits until everything is as the world asks for. Returns how long that took.
    pub async fn converge(&mut self, limit: Duration) -> Result<Duration, String> {
        self.converge_with(limit, true).await
    }

    /// As [`Self::converge`], with or without a kubelet that starts ended containers again.
    pub async fn converge_with(
        &mut self,
        limit: Duration,
        kubelet: bool,
    ) -> Result<Duration, String> {
        let begun = Instant::now();
        let (world, replicas) = (&self.world, &mut self.replicas);
        wait::until(limit, "the cluster to be right", async || {
            if kubelet {
                replicas.iter_mut().for_each(Replica::restart_if_ended);
            }
            world.difference().await.map_or(Ok(()), Err)
        })
        .await
        .map_err(|error| error.to_string())?;
        Ok(begun.elapsed())
    }

    /// An error where the kubelet would restart a replica.
    pub async fn all_live(&self) -> Result<(), String> {
        for replica in &self.replicas {
            let page = replica.page("/healthz").await?;
            if page.code != 200 {
                return Err(format!("/healthz of {}: {}", replica.pod(), page.text));
            }
        }
        Ok(())
    }

    /// The writes that the operator makes at rest, without renewals of the Lease.
    pub async fn writes_at_rest(&self) -> Vec<String> {
        let before = writes(&self.server).len();
        tokio::time::sleep(REST).await;
        writes(&self.server).split_off(before)
    }
}
