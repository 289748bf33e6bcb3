//! One replica works, the others stand by, and nobody writes a heartbeat.
//!
//! ## Flow
//! The leader's pod is named in a Lease. A replica that finds no holder, or one whose pod is over,
//! takes the Lease. How the holder fares is read from its Pod, which kubelet and node controller
//! keep anyway, instead of from renewals.
//!
//! ## Guarantees
//! Exactly one replica takes a free Lease (the API server refuses the second writer's
//! resourceVersion). A container that restarts in the same pod goes on at once. A holder that lost
//! the Lease stops.
//!
//! ## Assumptions
//! While a partition heals two replicas may work for some seconds. That is harmless here: every
//! write is a function of the cluster's state, bound to a UID, and none where nothing differs. See
//! `docs/adr/0002-election-without-heartbeats.md`.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

/// Name of the Lease.
pub const LEASE: &str = "lsm-ready-operator";
/// How often a replica looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long a holder's pod may be unready, or going, before it counts as over. The node controller
/// marks the pods of an unreachable node unready; a pod that is going has its termination grace
/// period of ten seconds.
const PATIENCE_SECONDS: i64 = 30;

/// This replica's pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// Namespace of the pod and the Lease.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod.
    pub uid: String,
}

impl Identity {
    /// What stands in the Lease: `NAME_UID`. Neither contains an underscore.
    fn holder(&self) -> String {
        format!("{}_{}", self.pod, self.uid)
    }
}

/// Why an election could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading or writing the Lease or the holder's Pod failed.
    #[error("{0} for the leader election: {1}")]
    Api(&'static str, #[source] Box<kube::Error>),
    /// Somebody else holds the Lease.
    #[error("the leader election's Lease is now held by {0}")]
    Lost(String),
}

/// What to do about the Lease.
#[derive(Debug, Eq, PartialEq)]
enum Decision {
    /// It is ours.
    Lead,
    /// It is free.
    Take,
    /// Somebody else works.
    StandBy(String),
}

/// What to do, given the Lease's holder and that holder's pod.
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

/// A pod that has ended, should have gone, or has been unready for too long.
fn is_over(pod: &Pod, now: Timestamp) -> bool {
    let long_ago = |then: Timestamp| now.as_second() - then.as_second() > PATIENCE_SECONDS;
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

/// The election as seen from one replica.
pub struct Election {
    me: Identity,
    leases: Api<Lease>,
    pods: Api<Pod>,
}

impl Election {
    /// Takes part as that pod.
    pub fn new(client: &Client, me: Identity) -> Self {
        let leases = Api::namespaced(client.clone(), &me.namespace);
        let pods = Api::namespaced(client.clone(), &me.namespace);
        Self { me, leases, pods }
    }

    /// Returns once this replica leads; `stood_by` hears that another does.
    pub async fn win(&self, stood_by: impl Fn()) {
        let mut looks = looks();
        let mut told = None;
        loop {
            looks.tick().await;
            match self.attempt().await {
                Ok(Decision::StandBy(holder)) => {
                    stood_by();
                    if told.as_ref() != Some(&holder) {
                        info!(holder, "standing by");
                    }
                    told = Some(holder);
                }
                Ok(_) => return,
                Err(error) => warn!(%error, "trying again"),
            }
        }
    }

    /// Returns when the Lease is somebody else's. An API server that cannot be reached does not end
    /// the leadership: who would take over could not write either.
    pub async fn lose(&self) -> Error {
        let mut looks = looks();
        loop {
            looks.tick().await;
            match self.leases.get_opt(LEASE).await {
                Ok(lease) => {
                    let holder = lease.as_ref().and_then(holder).unwrap_or_default();
                    if holder != self.me.holder() {
                        return Error::Lost(holder.to_owned());
                    }
                }
                Err(error) => warn!(%error, "reading the Lease"),
            }
        }
    }

    /// Leaves the Lease free, so that the next replica need not wait.
    ///
    /// # Errors
    /// When the Lease cannot be read or written; it is then taken over once this pod is gone.
    pub async fn resign(&self) -> Result<(), Error> {
        let read = self.leases.get_opt(LEASE).await.map_err(api("reading the Lease"))?;
        let Some(mut lease) = read.filter(|lease| holder(lease) == Some(&self.me.holder())) else {
            return Ok(());
        };
        lease.spec.get_or_insert_default().holder_identity = None;
        self.write(lease).await.map(|_| ())
    }

    async fn attempt(&self) -> Result<Decision, Error> {
        let lease = self.leases.get_opt(LEASE).await.map_err(api("reading the Lease"))?;
        let pod = match lease.as_ref().and_then(holder).and_then(|holder| holder.split_once('_')) {
            Some((name, _)) => {
                self.pods.get_opt(name).await.map_err(api("reading the holder's Pod"))?
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
        Ok(Decision::StandBy("another replica that was quicker".to_owned()))
    }

    /// Writes the Lease as it was read plus our change; `false` where somebody else was quicker.
    async fn write(&self, lease: Lease) -> Result<bool, Error> {
        let params = PostParams::default();
        let written = match lease.resource_version() {
            Some(_) => self.leases.replace(LEASE, &params, &lease).await,
            None => self.leases.create(&params, &lease).await,
        };
        match written {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(api("writing the Lease")(error)),
        }
    }
}

fn looks() -> tokio::time::Interval {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
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
    fn a_free_lease_is_taken_and_ones_own_is_kept() {
        assert_eq!(decide(&me(), None, None, at(0)), Decision::Take);
        assert_eq!(decide(&me(), Some(""), None, at(0)), Decision::Take);
        assert_eq!(decide(&me(), Some("b_2"), None, at(0)), Decision::Lead);
    }

    #[test]
    fn a_holder_is_judged_by_its_pod() {
        let unready = |second: &str| {
            json!({"metadata": {"uid": "1"}, "status": {"phase": "Running", "conditions": [
                {"type": "Ready", "status": "False", "lastTransitionTime": second}]}})
        };
        let table = [
            ("alive", json!({"metadata": {"uid": "1"}, "status": {"phase": "Running"}}), false),
            ("starting", json!({"metadata": {"uid": "1"}, "status": {"phase": "Pending"}}), false),
            ("another pod of that name", json!({"metadata": {"uid": "9"}}), true),
            ("evicted", json!({"metadata": {"uid": "1"}, "status": {"phase": "Failed"}}), true),
            (
                "going",
                json!({"metadata": {"uid": "1", "deletionTimestamp": "1970-01-01T00:01:30Z"}}),
                false,
            ),
            (
                "should be gone",
                json!({"metadata": {"uid": "1", "deletionTimestamp": "1970-01-01T00:00:10Z"}}),
                true,
            ),
            ("just unready", unready("1970-01-01T00:01:30Z"), false),
            ("long unready", unready("1970-01-01T00:00:10Z"), true),
        ];
        for (what, object, taken) in table {
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
