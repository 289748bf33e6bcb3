//! Whether a node's probe still renews its report.
//!
//! In: what is known of the node, and the time. Out: a [`Freshness`]. A silent probe changes no
//! verdict: the kernel does not change because a pod was evicted.

use std::time::Duration;

use jiff::Timestamp;

use crate::names::STALE_AFTER_SECONDS;
use crate::verdict::Facts;

/// Whether the probe still renews its report.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Freshness {
    /// There is no report of this boot that could become stale.
    NoReport,
    /// The report becomes stale after this time.
    Fresh(Duration),
    /// The probe has been silent since.
    Silent(Timestamp),
}

impl Freshness {
    /// The freshness of the report at that time.
    #[must_use]
    pub fn of(facts: Facts<'_>, now: Timestamp) -> Self {
        let report = facts.report.filter(|report| report.boot_id == facts.boot_id);
        let Some(observed) = report.and_then(|report| report.observed_time.as_ref()) else {
            return Self::NoReport;
        };
        let age = now.as_second().saturating_sub(observed.0.as_second());
        match u64::try_from(STALE_AFTER_SECONDS.saturating_sub(age)) {
            Ok(seconds) if seconds > 0 => Self::Fresh(Duration::from_secs(seconds)),
            _ => Self::Silent(observed.0),
        }
    }

    /// Whether the probe is silent.
    #[must_use]
    pub const fn is_silent(self) -> bool {
        match self {
            Self::Silent(_) => true,
            Self::NoReport | Self::Fresh(_) => false,
        }
    }

    /// Time until the report becomes stale.
    #[must_use]
    pub const fn stale_in(self) -> Option<Duration> {
        match self {
            Self::Fresh(left) => Some(left),
            Self::NoReport | Self::Silent(_) => None,
        }
    }
}
