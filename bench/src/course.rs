//! One course: from a change until everything is right, and what that cost.
//!
//! In: what the processes had used before. Out: [`Converged`]. The end is the last change that the
//! measuring client saw, if a reading of all objects then shows that everything is right.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use e2e::wait;
use kube::Client;
use serde::Serialize;

use crate::Failure;
use crate::audit::{self, Write};
use crate::fleet::Proof;
use crate::follow::{Follow, METADATA};
use crate::operator::Operator;
use crate::stats::{Quantiles, quantiles, rounded};
use crate::truth;
use crate::usage::{self, Usage};
use crate::world::{OPERATOR, PlaneCpu, World};

/// The longest time in which everything must become right: a constant, and a part for each node.
const DEADLINE: Duration = Duration::from_mins(2);
const DEADLINE_OF_A_NODE: Duration = Duration::from_millis(30);
/// How long nothing may change before all objects are read: longer than the policies' debounce.
const QUIET: Duration = Duration::from_millis(2500);

/// Everything became right once.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Converged {
    /// Until the last change.
    pub seconds: f64,
    /// From the operator's first write to its last, by the API server's clock.
    pub writing_seconds: f64,
    pub operator_cpu_seconds: f64,
    pub api_server_cpu_seconds: f64,
    pub etcd_cpu_seconds: f64,
    pub rss_bytes: u64,
    pub peak_rss_bytes: u64,
    /// What the operator has received since its start.
    pub received_bytes: u64,
    /// The operator's writes, by what was written, as the API server counts them.
    pub writes: BTreeMap<String, usize>,
    /// Writes that were refused, for example as conflicts.
    pub refused: usize,
    pub most_writes_of_a_policy_in_a_second: usize,
    /// How long the API server took for each write, in milliseconds.
    pub server_write_ms: Quantiles,
}

impl Converged {
    /// All CPU time.
    pub fn cpu_seconds(&self) -> f64 {
        self.operator_cpu_seconds + self.api_server_cpu_seconds + self.etcd_cpu_seconds
    }

    /// How many writes there were to that resource.
    pub fn writes_to(&self, resource: &str) -> usize {
        self.writes.get(resource).copied().unwrap_or_default()
    }
}

/// The watches of the measuring client.
pub struct Follows {
    pub nodes: Follow,
    policies: Follow,
}

impl Follows {
    pub async fn start(client: &Client) -> Result<Self, Failure> {
        let policies = "/apis/lsmready.io/v1alpha1/lsmpolicies";
        Ok(Self {
            nodes: Follow::start(client, "/api/v1/nodes", METADATA).await?,
            policies: Follow::start(client, policies, METADATA).await?,
        })
    }

    /// When the last change was seen.
    fn last(&self) -> Instant {
        let [nodes, policies] =
            [&self.nodes, &self.policies].map(|follow| follow.with(|seen| seen.last_event));
        nodes.max(policies)
    }
}

/// What had been used when it began, so that only what follows counts.
pub struct Course<'a> {
    world: &'a World,
    audit: u64,
    plane: PlaneCpu,
    operator_cpu: f64,
    pid: u32,
}

impl<'a> Course<'a> {
    /// Begins before the operator is started.
    pub fn from_start(world: &'a World) -> Result<Self, Failure> {
        let audit = audit::end(&world.server.audit_log())?;
        Ok(Self { world, audit, plane: world.plane_cpu(), operator_cpu: 0.0, pid: 0 })
    }

    /// The operator that was started.
    pub fn of(self, operator: &Operator) -> Self {
        Self { pid: operator.pid(), ..self }
    }

    /// Begins while the operator runs.
    pub fn begin(world: &'a World, operator: &Operator) -> Result<Self, Failure> {
        let operator_cpu = operator.usage().cpu_seconds;
        Ok(Self { operator_cpu, ..Self::from_start(world)?.of(operator) })
    }

    /// Waits until everything is right.
    pub async fn until_right(
        self,
        follows: &Follows,
        proof: Proof,
        began: Instant,
    ) -> Result<Converged, Failure> {
        let (client, fleet) = (&self.world.client, &self.world.fleet);
        let deadline = DEADLINE + DEADLINE_OF_A_NODE * u32::try_from(fleet.nodes)?;
        let quiet = wait::until(deadline, "everything to be right", async || {
            let (wrong, rest) = (follows.nodes.with(|seen| seen.wrong()), follows.last().elapsed());
            if wrong > 0 || rest < QUIET {
                return Err(format!("{wrong} nodes have wrong labels"));
            }
            // What the reading of all objects costs is not the operator's.
            let used = (usage::of(self.pid), self.world.plane_cpu());
            match truth::wrong(client, fleet, proof).await {
                Ok(None) => Ok(used),
                Ok(Some(wrong)) => Err(wrong),
                Err(error) => Err(error.to_string()),
            }
        });
        let (used, plane) = quiet.await?;
        self.converged(follows.last().duration_since(began), used, plane)
    }

    fn converged(
        &self,
        took: Duration,
        used: Usage,
        plane: PlaneCpu,
    ) -> Result<Converged, Failure> {
        let writes = self.writes()?;
        let refused = writes.iter().filter(|write| write.code >= 400).count();
        let (policies, served) = ("lsmpolicies/status", writes.iter().map(Write::milliseconds));
        Ok(Converged {
            seconds: rounded(took.as_secs_f64()),
            writing_seconds: rounded(audit::span_seconds(&writes)),
            operator_cpu_seconds: rounded(used.cpu_seconds - self.operator_cpu),
            api_server_cpu_seconds: rounded(plane.api_server - self.plane.api_server),
            etcd_cpu_seconds: rounded(plane.etcd - self.plane.etcd),
            rss_bytes: used.rss_bytes,
            peak_rss_bytes: used.peak_rss_bytes,
            received_bytes: usage::received_bytes(self.pid)?,
            writes: audit::by_resource(&writes),
            refused,
            most_writes_of_a_policy_in_a_second: audit::most_in_a_second(&writes, policies),
            server_write_ms: quantiles(served.collect()),
        })
    }

    /// The operator's writes until now.
    pub fn writes(&self) -> Result<Vec<Write>, Failure> {
        Ok(audit::writes(&audit::since(&self.world.server.audit_log(), self.audit)?, OPERATOR))
    }
}
