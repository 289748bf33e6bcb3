//! Leader election: one replica works, the others stand by, and no replica writes a heartbeat.
//!
//! ## Flow
//! A Lease names the leader's pod. A replica takes the Lease if it has no holder or if the holder's
//! pod is over. Whether the holder still runs is read from its Pod, which the kubelet and the node
//! controller keep up to date anyway, instead of from renewals of the Lease.
//!
//! ## Guarantees
//! Exactly one replica takes a free Lease, because the API server refuses the second writer's
//! resourceVersion. A container that restarts in the same pod continues at once. A holder that lost
//! the Lease stops.
//!
//! ## Assumptions
//! While a network partition heals, two replicas may work for some seconds. This does no harm:
//! every write is a function of the cluster's state, is bound to a UID, and is left out if nothing
//! differs. See `docs/adr/0002-election-without-heartbeats.md`.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

pub const LEASE: &str = "lsm-ready-operator";
/// How often a replica reads the Lease.
const PERIOD: Duration = Duration::from_secs(2);
/// A holder's pod counts as over after being unready, or being deleted, for longer than this. The
/// node controller marks the pods of an unreachable node as unready. A deleted pod has a grace
/// period of ten seconds.
const TIMEOUT_SECONDS: i64 = 30;

/// This replica's pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// Namespace of the pod and of the Lease.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod.
    pub uid: String,
}

impl Identity {
    /// The holder as the Lease names it: `NAME_UID`. Neither part contains an underscore.
    fn holder(&self) -> String {
        format!("{}_{}", self.pod, self.uid)
    }
}

/// Why the election ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("leader election: {0}: {1}")]
    Api(&'static str, #[source] Box<kube::Error>),
    /// Another replica holds the Lease.
    #[error("leader election: the Lease is held by {0:?} now")]
    Lost(String),
}

/// What a replica does about the Lease.
#[derive(Debug, Eq, PartialEq)]
enum Decision {
    /// This replica holds it.
    Lead,
    /// It is free.
    Take,
    /// That holder works.
    StandBy(String),
}

/// Decides from the Lease's holder and from that holder's pod.
fn decide(me: &Identity, holder: Option<&str>, pod: Option<&Pod>, now: Timestamp) -> Decision {
    let Some(holder) = holder.filter(|holder| !holder.is_empty()) else {
        return Decision::Take;
    };
    if holder == me.holder() {
        return Decision::Lead;
    }
    let uid = holder.split_once('_').map_or("", |(_, uid)| uid);
    match pod.filter(|pod| pod.metadata.uid.as_deref() == Some(uid)) {
        Some(pod) if !is_over(pod, now) => Decision::StandBy(holder.to_owned()),
        _ => Decision::Take,
    }
}

/// Whether a pod has ended, should be deleted by now, or has been unready for too long.
fn is_over(pod: &Pod, now: Timestamp) -> bool {
    let long_ago = |then: Timestamp| now.as_second() - then.as_second() > TIMEOUT_SECONDS;
    let status = pod.status.as_ref();
    let ended = status
        .and_then(|status| status.phase.as_deref())
        .is_some_and(|p| p == "Failed" || p == "Succeeded");
    let gone = pod.metadata.deletion_timestamp.as_ref().is_some_and(|at| long_ago(at.0));
    let unready =
        status.iter().flat_map(|status| status.conditions.iter().flatten()).any(|condition| {
            condition.type_ == "Ready"
                && condition.status != "True"
                && condition.last_transition_time.as_ref().is_some_and(|at| long_ago(at.0))
        });
    ended || gone || unready
}

/// One replica's part in the election.
pub struct Election {
    me: Identity,
    leases: Api<Lease>,
    pods: Api<Pod>,
}

impl Election {
    pub fn new(client: &Client, me: Identity) -> Self {
        let leases = Api::namespaced(client.clone(), &me.namespace);
        let pods = Api::namespaced(client.clone(), &me.namespace);
        Self { me, leases, pods }
    }

    /// Returns when this replica is the leader. Calls `standing_by` whenever another replica is.
    pub async fn win(&self, standing_by: impl Fn()) {
        let mut period = period();
        let mut logged = None;
        loop {
            period.tick().await;
            match self.attempt().await {
                Ok(Decision::StandBy(holder)) => {
                    standing_by();
                    if logged.as_ref() != Some(&holder) {
                        info!(holder, "standing by: another replica is the leader");
                    }
                    logged = Some(holder);
                }
                Ok(Decision::Lead | Decision::Take) => return,
                Err(error) => warn!(%error, "retrying"),
            }
        }
    }

    /// Returns when another replica holds the Lease. An unreachable API server does not end the
    /// leadership: another replica could not write either.
    pub async fn lose(&self) -> Error {
        let mut period = period();
        loop {
            period.tick().await;
            match self.leases.get_opt(LEASE).await {
                Ok(lease) => {
                    let holder = lease.as_ref().and_then(holder).unwrap_or_default();
                    if holder != self.me.holder() {
                        return Error::Lost(holder.to_owned());
                    }
                }
                Err(error) => warn!(%error, "cannot read the Lease"),
            }
        }
    }

    /// Releases the Lease, so that the next replica can take it at once. After an error the next
    /// replica takes it when this pod is gone.
    pub async fn resign(&self) -> Result<(), Error> {
        let read = self.leases.get_opt(LEASE).await.map_err(api("cannot read the Lease"))?;
        let Some(mut lease) = read.filter(|lease| holder(lease) == Some(&self.me.holder())) else {
            return Ok(());
        };
        lease.spec.get_or_insert_default().holder_identity = None;
        self.write(lease).await.map(|_| ())
    }

    async fn attempt(&self) -> Result<Decision, Error> {
        let lease = self.leases.get_opt(LEASE).await.map_err(api("cannot read the Lease"))?;
        let pod = match lease.as_ref().and_then(holder).and_then(|holder| holder.split_once('_')) {
            Some((name, _)) => {
                self.pods.get_opt(name).await.map_err(api("cannot read the holder's Pod"))?
            }
            None => None,
        };
        let decision =
            decide(&self.me, lease.as_ref().and_then(holder), pod.as_ref(), Timestamp::now());
        if decision == Decision::Take {
            return self.take(lease).await;
        }
        Ok(decision)
    }

    async fn take(&self, lease: Option<Lease>) -> Result<Decision, Error> {
        let mut lease = lease.unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(LEASE.to_owned()), ..ObjectMeta::default() },
            spec: None,
        });
        let transitions =
            lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or_default();
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.me.holder()),
            acquire_time: Some(MicroTime(Timestamp::now())),
            lease_transitions: Some(transitions.saturating_add(1)),
            ..LeaseSpec::default()
        });
        if self.write(lease).await? {
            return Ok(Decision::Lead);
        }
        Ok(Decision::StandBy("another replica".to_owned()))
    }

    /// Writes the changed Lease. Returns `false` if another replica wrote it first.
    async fn write(&self, lease: Lease) -> Result<bool, Error> {
        let params = PostParams::default();
        let written = match lease.resource_version() {
            Some(_) => self.leases.replace(LEASE, &params, &lease).await,
            None => self.leases.create(&params, &lease).await,
        };
        match written {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(api("cannot write the Lease")(error)),
        }
    }
}

fn period() -> tokio::time::Interval {
    let mut period = interval(PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    period
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref()
}

fn api(doing: &'static str) -> impl Fn(kube::Error) -> Error {
    move |error| Error::Api(doing, Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn me() -> Identity {
        Identity { namespace: "ns".into(), pod: "b".into(), uid: "2".into() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn pod(value: Value) -> Pod {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_free_lease_is_taken_and_our_own_is_kept() {
        assert_eq!(decide(&me(), None, None, at(0)), Decision::Take);
        assert_eq!(decide(&me(), Some(""), None, at(0)), Decision::Take);
        assert_eq!(decide(&me(), Some("b_2"), None, at(0)), Decision::Lead);
    }

    #[test]
    fn a_lease_is_taken_over_when_its_holders_pod_is_over() {
        let unready = |second: &str| {
            json!({"metadata": {"uid": "1"}, "status": {"phase": "Running", "conditions": [
                {"type": "Ready", "status": "False", "lastTransitionTime": second}]}})
        };
        let cases = [
            ("alive", json!({"metadata": {"uid": "1"}, "status": {"phase": "Running"}}), false),
            ("starting", json!({"metadata": {"uid": "1"}, "status": {"phase": "Pending"}}), false),
            ("another pod with that name", json!({"metadata": {"uid": "9"}}), true),
            ("evicted", json!({"metadata": {"uid": "1"}, "status": {"phase": "Failed"}}), true),
            (
                "being deleted",
                json!({"metadata": {"uid": "1", "deletionTimestamp": "1970-01-01T00:01:30Z"}}),
                false,
            ),
            (
                "should be deleted by now",
                json!({"metadata": {"uid": "1", "deletionTimestamp": "1970-01-01T00:00:10Z"}}),
                true,
            ),
            ("unready for a short time", unready("1970-01-01T00:01:30Z"), false),
            ("unready for a long time", unready("1970-01-01T00:00:10Z"), true),
        ];
        for (what, object, taken) in cases {
            let decision = decide(&me(), Some("a_1"), Some(&pod(object)), at(100));
            assert_eq!(decision == Decision::Take, taken, "{what}");
        }
        assert_eq!(
            decide(&me(), Some("a_1"), None, at(100)),
            Decision::Take,
            "the holder's pod is gone"
        );
    }
}
