//! What every reconcile is given.

pub mod backoff;
#[cfg(test)]
pub(crate) mod fixture;
pub mod metrics;

use jiff::Timestamp;
use kube::Client;
use kube_runtime::events::{Recorder, Reporter};

use crate::agents::tls::TlsFiles;
use crate::context::backoff::Backoff;
use crate::context::metrics::Metrics;
use crate::node::required;
use crate::policy::rate_limit::Pace;
use crate::tetragon::memory::Memory;
use crate::watch::queue::Queues;
use crate::watch::store::Stores;

/// The client, what is known of the cluster, and what has to be remembered between reconciles.
pub struct Context {
    /// For writes; reads come from the stores.
    pub client: Client,
    /// What is known of the cluster.
    pub stores: Stores,
    /// To have other objects looked at again.
    pub queues: Queues,
    /// What all policies require of nodes.
    pub required: required::Memory,
    /// What the Tetragon controller remembers of each DaemonSet.
    pub tetragon: Memory,
    /// What Tetragon's agents have answered.
    pub agents: crate::agents::answers::Answers,
    /// The files for gRPC over TLS to them.
    pub agent_tls: TlsFiles,
    /// When each policy was last evaluated.
    pub pace: Pace,
    /// Failures in a row.
    pub backoff: Backoff,
    /// The operator's metrics.
    pub metrics: Metrics,
    /// Publishes Kubernetes Events.
    pub events: Recorder,
    /// The clock, fixed in tests.
    pub now: fn() -> Timestamp,
}

impl Context {
    /// One that remembers nothing yet, by the machine's clock.
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
            required: required::Memory::default(),
            tetragon: Memory::default(),
            agents: crate::agents::answers::Answers::default(),
            agent_tls: TlsFiles::default(),
            pace: Pace::default(),
            backoff: Backoff::default(),
            metrics,
            now: Timestamp::now,
        }
    }
}
