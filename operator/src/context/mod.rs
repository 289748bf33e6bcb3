//! What every reconcile gets: a client, the stores, and what has to be remembered from one
//! reconcile to the next.

pub mod backoff;
#[cfg(test)]
pub(crate) mod fixture;
pub mod forget;
pub mod last_write;
pub mod lines;
pub mod metrics;
pub mod moment;

use std::sync::Arc;

use jiff::Timestamp;
use kube::Client;
use kube_runtime::events::{Recorder, Reporter};
use tokio::time::Instant;

use crate::agents::tls::TlsFiles;
use crate::breaker::Breaker;
use crate::context::backoff::Backoffs;
use crate::context::lines::Lines;
use crate::context::metrics::Metrics;
use crate::context::moment::Moment;
use crate::node::contest::Contests;
use crate::node::fleet::Fleet;
use crate::node::owed_taints::OwedTaints;
use crate::node::required::{self, AllRequired};
use crate::policy::census::Census;
use crate::policy::permits::Permits;
use crate::policy::rate_limit::RateLimit;
use crate::run::election::notes::Notes;
use crate::run::readiness::Readiness;
use crate::tetragon::allow_list::AllowList;
use crate::tetragon::state::Memory;
use crate::watch::queue::Queues;
use crate::watch::store::Stores;

pub struct Context {
    /// For writes only. Reads come from the stores.
    pub client: Client,
    /// The objects of the cluster, kept up to date by watches.
    pub stores: Stores,
    /// For queueing other objects than the one that is being reconciled.
    pub queues: Queues,
    /// What all policies require of nodes, computed once for many Nodes.
    pub required: required::Cache,
    /// Holds changes where too many nodes lose ready at once.
    pub breaker: Breaker,
    /// What the Lease says besides who leads.
    pub notes: Notes,
    /// What others did to what we wrote to Nodes.
    pub contests: Contests,
    /// Nodes whose taint was permitted, and is not written yet.
    pub owed_taints: OwedTaints,
    /// What was found out about each node, for the metrics.
    pub fleet: Fleet,
    /// What was counted of each policy's nodes.
    pub census: Census,
    /// Which nodes may get the taint of a new or changed policy.
    pub permits: Permits,
    /// Which DaemonSets may get a mount and be restarted.
    pub allow_list: AllowList,
    /// The state of each DaemonSet that the Tetragon controller looks after.
    pub tetragon: Memory,
    /// The answers of Tetragon's agents.
    pub agents: crate::agents::answers::Answers,
    /// The files for gRPC over TLS to Tetragon's agents.
    pub agent_tls: TlsFiles,
    /// Is notified when a hook profile was created or changed.
    pub profiles_changed: tokio::sync::Notify,
    /// Is held while a policy's nodes are counted. So one thread counts, and the others have time
    /// for the nodes.
    pub evaluations: tokio::sync::Mutex<()>,
    /// Limits how often each policy is evaluated.
    pub rate_limit: RateLimit,
    /// Failures in a row, for each controller.
    pub backoffs: Backoffs,
    pub metrics: Metrics,
    /// The log lines about changed nodes.
    pub node_lines: Lines,
    /// Failures of the watches are reported to it.
    pub readiness: Readiness,
    /// Publishes Kubernetes Events.
    pub events: Recorder,
    /// The clock. Tests replace it by a fixed time.
    pub now: fn() -> Timestamp,
    /// The monotonic clock. Tests replace it too.
    pub instant: fn() -> Instant,
}

impl Context {
    /// A context that remembers nothing yet and uses the machine's clock.
    pub fn new(
        client: Client,
        reporter: Reporter,
        stores: Stores,
        queues: Queues,
        metrics: Metrics,
    ) -> Self {
        Self {
            events: Recorder::new(client.clone(), reporter),
            client,
            stores,
            queues,
            required: required::Cache::default(),
            breaker: Breaker::default(),
            notes: Notes::default(),
            contests: Contests::default(),
            owed_taints: OwedTaints::default(),
            fleet: Fleet::default(),
            census: Census::default(),
            permits: Permits::default(),
            allow_list: AllowList::default(),
            tetragon: Memory::default(),
            agents: crate::agents::answers::Answers::default(),
            agent_tls: TlsFiles::default(),
            profiles_changed: tokio::sync::Notify::new(),
            evaluations: tokio::sync::Mutex::default(),
            rate_limit: RateLimit::default(),
            backoffs: Backoffs::default(),
            metrics,
            node_lines: Lines::default(),
            readiness: Readiness::default(),
            now: Timestamp::now,
            instant: Instant::now,
        }
    }

    /// This moment by both clocks.
    pub fn moment(&self) -> Moment {
        Moment { time: (self.now)(), instant: (self.instant)() }
    }

    /// What all policies require of nodes now.
    pub fn required(&self) -> Arc<AllRequired> {
        self.required.all(self.stores.policies.state(), self.stores.tracing_policies.snapshot())
    }
}
