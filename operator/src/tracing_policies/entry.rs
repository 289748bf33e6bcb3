//! What was read of one TracingPolicy, or why it could not be read.

use std::sync::Arc;

use lsm_ready_crds::selection::Labels;
use lsm_ready_tetragon::tracing_policy::TracingPolicy;

/// What is known of one object.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    Read(Arc<TracingPolicy>),
    Unreadable {
        labels: Labels,
        /// The field, and what is wrong with it.
        error: String,
    },
}

impl Entry {
    pub fn labels(&self) -> &Labels {
        match self {
            Self::Read(policy) => &policy.labels,
            Self::Unreadable { labels, .. } => labels,
        }
    }
}
