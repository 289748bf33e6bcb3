//! Which fields of its policies each release of Tetragon fills in, and which it leaves out.
//!
//! In: policies with the fields of all releases. Out: the policies with the fields of one release
//! (api/v1/tetragon/sensors.proto and pkg/sensors/collection.go of v1.3.0, v1.4.0, v1.7.0 and main
//! of 2026-08, here called 1.8).

use std::sync::Arc;

use crate::config::Release;
use crate::messages::TracingPolicyStatus;
use crate::states::{Mode, State};

/// The policies, as one release lists them.
#[derive(Clone)]
pub struct Source {
    release: Release,
    all: Arc<dyn Fn() -> Vec<TracingPolicyStatus> + Send + Sync>,
}

impl Source {
    /// Lists what `all` returns, with the fields of that release.
    pub fn new(
        release: Release,
        all: impl Fn() -> Vec<TracingPolicyStatus> + Send + Sync + 'static,
    ) -> Self {
        Self { release, all: Arc::new(all) }
    }

    /// The policies at this moment.
    pub fn statuses(&self) -> Vec<TracingPolicyStatus> {
        (self.all)().into_iter().map(|status| keep_fields(self.release, status)).collect()
    }

    /// The release whose fields are filled in.
    pub fn release(&self) -> Release {
        self.release
    }
}

fn keep_fields(release: Release, mut status: TracingPolicyStatus) -> TracingPolicyStatus {
    let enabled = matches!(status.state(), State::Enabled | State::PartiallyEnabled);
    status.enabled = enabled;
    if release < Release::LISTS_MODES || !enabled {
        status.mode = Mode::Unknown.into();
    }
    if release < Release::LISTS_COUNTERS || !enabled {
        status.stats = None;
    }
    if release < Release::LISTS_DOMAINS {
        status.domain.clear();
        status.hook_statuses.clear();
        if let Some(stats) = &mut status.stats {
            stats.selector_action_counters.clear();
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{HookStatus, Stats};

    #[test]
    fn each_release_leaves_out_the_fields_that_it_does_not_have() {
        let full = |state: State| TracingPolicyStatus {
            state: state.into(),
            mode: Mode::Monitor.into(),
            stats: Some(Stats::default()),
            domain: "k8s".into(),
            hook_statuses: vec![HookStatus::default()],
            ..TracingPolicyStatus::default()
        };
        for (release, state, listed) in [
            ("v1.3.0", State::Enabled, [false, false, false]),
            ("v1.4.0", State::Enabled, [true, false, false]),
            ("v1.6.0", State::Enabled, [true, true, false]),
            ("v1.7.0", State::Disabled, [false, false, false]),
            ("v1.8.0", State::PartiallyEnabled, [true, true, true]),
            ("v1.8.0", State::LoadError, [false, false, true]),
        ] {
            let status = keep_fields(release.parse().unwrap(), full(state));
            let has = [status.mode != 0, status.stats.is_some(), !status.domain.is_empty()];
            assert_eq!(has, listed, "{release} {state:?}");
            assert_eq!(status.hook_statuses.is_empty(), !listed[2], "{release} {state:?}");
        }
    }
}
