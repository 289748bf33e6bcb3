//! What this replica knows of the Lease, and what follows from it. Nothing here waits or sends.
//!
//! In: the Lease as it is read or written, with the time of the answer. Out: whether it can be
//! taken, and the object to write.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{DynamicObject, ObjectMeta, TypeMeta};
use lsm_ready_crds::text::truncate;
use serde_json::Value;
use tokio::time::Instant;

use super::{LEASE, LEASE_DURATION};

/// The name of a pod and its UID fit.
const HOLDER_LENGTH: usize = 300;

/// What to do about the Lease.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Decision {
    /// Take or renew it.
    Take,
    /// Another replica has it. Unless it changes, it can be taken at that time.
    Wait { holder: String, until: Instant },
}

/// The Lease as it was last seen.
#[derive(Debug)]
pub struct Record {
    me: String,
    lease: Option<DynamicObject>,
    /// When `spec` was first seen with its present content.
    since: Option<Instant>,
    /// The last holder that is not this replica, for messages. A Lease that is gone may still be
    /// in its use.
    rival: Option<String>,
}

impl Record {
    pub const fn new(me: String) -> Self {
        Self { me, lease: None, since: None, rival: None }
    }

    /// Notes the Lease. `now` is the time of the answer, or later: the holder sent its renewal
    /// before.
    pub fn saw(&mut self, lease: Option<DynamicObject>, now: Instant) {
        let (before, after) = (self.lease.as_ref().map(spec), lease.as_ref().map(spec));
        if self.since.is_none() || before != after {
            self.since = Some(now);
        }
        if let Some(lease) = &lease {
            let rival = holder(lease).filter(|&holder| holder != self.me);
            self.rival = rival.map(|holder| truncate(holder, HOLDER_LENGTH));
        }
        self.lease = lease;
    }

    pub fn decide(&self, now: Instant) -> Decision {
        let (Some(holder), Some(since)) = (&self.rival, self.since) else {
            return Decision::Take;
        };
        let until = since + LEASE_DURATION;
        if until <= now {
            return Decision::Take;
        }
        Decision::Wait { holder: holder.clone(), until }
    }

    /// The other replica that holds the Lease.
    pub fn rival(&self) -> Option<&str> {
        self.lease.as_ref().and(self.rival.as_deref())
    }

    pub fn is_mine(&self) -> bool {
        self.lease.as_ref().and_then(holder) == Some(&self.me)
    }

    /// The Lease as this replica writes it to take or to renew it. It always differs from the one
    /// that was seen, also if the clock stands still: an unchanged Lease counts as not renewed.
    pub fn mine(&self, now: Timestamp) -> DynamicObject {
        let before: LeaseSpec = self
            .lease
            .as_ref()
            .filter(|_| self.is_mine())
            .and_then(|lease| serde_json::from_value(spec(lease).clone()).ok())
            .unwrap_or_default();
        let transitions = match before.lease_transitions {
            Some(transitions) => transitions,
            None => self.transitions().saturating_add(1),
        };
        self.with(&LeaseSpec {
            holder_identity: Some(self.me.clone()),
            lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
            acquire_time: before.acquire_time.or(Some(MicroTime(now))),
            renew_time: Some(MicroTime(after(before.renew_time.as_ref(), now))),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        })
    }

    /// The Lease without a holder.
    pub fn released(&self) -> DynamicObject {
        self.with(&LeaseSpec {
            lease_transitions: Some(self.transitions()),
            ..LeaseSpec::default()
        })
    }

    /// How often the holder has changed. What cannot be read counts as none.
    fn transitions(&self) -> i32 {
        let number = self.lease.as_ref().and_then(|lease| spec(lease)["leaseTransitions"].as_i64());
        number.and_then(|number| i32::try_from(number).ok()).unwrap_or_default()
    }

    fn with(&self, spec: &LeaseSpec) -> DynamicObject {
        let new = || DynamicObject {
            types: Some(TypeMeta::resource::<Lease>()),
            metadata: ObjectMeta { name: Some(LEASE.to_owned()), ..ObjectMeta::default() },
            data: Value::Null,
        };
        let mut lease = self.lease.clone().unwrap_or_else(new);
        lease.metadata.managed_fields = None;
        lease.data = serde_json::json!({ "spec": spec });
        lease
    }
}

fn spec(lease: &DynamicObject) -> &Value {
    &lease.data["spec"]
}

pub(super) fn holder(lease: &DynamicObject) -> Option<&str> {
    spec(lease)["holderIdentity"].as_str().filter(|holder| !holder.is_empty())
}

/// `now`, or a microsecond after `before` if that is later.
fn after(before: Option<&MicroTime>, now: Timestamp) -> Timestamp {
    let Some(MicroTime(before)) = before else {
        return now;
    };
    let next = before.as_microsecond().saturating_add(1).max(now.as_microsecond());
    Timestamp::from_microsecond(next).unwrap_or(now)
}
