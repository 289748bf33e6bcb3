//! Leader election: one replica works, the others stand by.
//!
//! ## Flow
//! A Lease names the leader. The leader renews it every [`RENEW_PERIOD`]. Another replica takes the
//! Lease when it has no holder, or when it has not changed for [`LEASE_DURATION`]. A leader that
//! could not renew it for [`RENEW_DEADLINE`] stops writing, and stands by.
//!
//! ## Guarantees
//! - No two replicas may write at the same time: the time of a leader counts from when its last
//!   successful renewal was **sent**, the time of the others from when they **saw** that renewal,
//!   and the first is five seconds shorter. Only the monotonic clock of each machine counts, never
//!   a time in the Lease.
//! - The API server refuses a write of the Lease with an old resourceVersion. So one replica takes
//!   a free Lease.
//! - What others write into the Lease delays a takeover by at most [`LEASE_DURATION`] after their
//!   last write.
//! - A container that restarts in the same pod continues at once: its holder is the pod.
//!
//! ## Assumptions
//! The monotonic clocks of two machines run at the same speed, within a third. A Lease that
//! somebody deletes or clears can be taken at once; its leader stops at its next renewal.
//!
//! See `docs/adr/0028-a-lease-with-renewal.md`.

pub mod notes;
mod record;
pub mod successor;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DynamicObject, PostParams};
use kube::discovery::ApiResource;
use kube::{Api, Client};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::{info, warn};

use self::notes::Notes;
use self::record::{Decision, Record};
use crate::run::connection::Held;
use crate::run::lease::{LEASE, LEASE_DURATION, RENEW_DEADLINE};
use crate::run::readiness::Readiness;

/// How often the leader renews.
const RENEW_PERIOD: Duration = Duration::from_secs(2);
/// How often the others read, and how long a failed request waits before the next.
const RETRY_PERIOD: Duration = Duration::from_secs(1);
/// Deadline of each request.
const REQUEST_DEADLINE: Duration = Duration::from_secs(4);

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

/// A request about the Lease failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {0} the Lease {LEASE}: {1}")]
    Api(&'static str, #[source] Box<kube::Error>),
    #[error("cannot {0} the Lease {LEASE}: no answer in {REQUEST_DEADLINE:?}")]
    NoAnswer(&'static str),
    /// It has to be read again.
    #[error("another replica has written the Lease {LEASE} first")]
    Changed,
}

impl Error {
    /// The HTTP status of the API server, if it answered.
    fn code(&self) -> Option<u16> {
        match self {
            Self::Api(_, error) => match &**error {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            Self::NoAnswer(_) | Self::Changed => None,
        }
    }
}

/// Why this replica is no longer the leader.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    #[error("the Lease {LEASE} is held by {0:?} now")]
    Taken(String),
    #[error("the Lease {LEASE} could not be renewed for {RENEW_DEADLINE:?}: {0}")]
    NotRenewed(Failure),
}

/// Why a renewal failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Request(Error),
    #[error("the API server did not answer")]
    NoAnswer,
    /// It was stopped, or its machine was.
    #[error("this process did not run")]
    DidNotRun,
}

/// What the election needs.
pub struct Setup {
    /// Has connections of its own: a renewal must not wait behind a long list.
    pub client: Client,
    pub me: Identity,
    /// Says to the fence whether the Lease is held.
    pub held: Held,
    pub readiness: Readiness,
    pub notes: Notes,
    /// The wall clock. It only fills `renewTime` and `acquireTime`, for people.
    pub now: fn() -> Timestamp,
}

/// One replica's part in the election.
pub struct Election {
    setup: Setup,
    /// As dynamic objects, because nobody may block the election by fields that cannot be parsed.
    leases: Api<DynamicObject>,
    record: Record,
    /// When the last successful write of the Lease was sent.
    renewed: Instant,
}

impl Election {
    pub fn new(setup: Setup) -> Self {
        let leases = leases(&setup.client, &setup.me);
        Self { record: Record::new(setup.me.holder()), setup, leases, renewed: Instant::now() }
    }

    /// Returns when this replica is the leader.
    pub async fn win(&mut self) {
        let mut logged = String::new();
        loop {
            let (said, next) = match self.attempt().await {
                Ok(Decision::Take) => return,
                Ok(Decision::Wait { holder, until }) => {
                    (format!("standing by: the Lease {LEASE} is held by {holder:?}"), until)
                }
                Err(error) => (error.to_string(), Instant::now() + RETRY_PERIOD),
            };
            if logged != said {
                info!("{said}");
                logged = said;
            }
            sleep_until(next.min(Instant::now() + RETRY_PERIOD)).await;
        }
    }

    /// Renews the Lease until it is lost.
    pub async fn keep(&mut self) -> Lost {
        let mut failure = Failure::DidNotRun;
        let mut next = self.renewed + RENEW_PERIOD;
        loop {
            let deadline = self.renewed + RENEW_DEADLINE;
            sleep_until(next.min(deadline)).await;
            if Instant::now() >= deadline {
                return self.lose(Lost::NotRenewed(failure));
            }
            match timeout_at(deadline, self.renew()).await {
                Ok(Ok(None)) => next = self.renewed + RENEW_PERIOD,
                Ok(Ok(Some(holder))) => return self.lose(Lost::Taken(holder)),
                Ok(Err(error)) => {
                    warn!(%error, "retrying");
                    failure = Failure::Request(error);
                    next = Instant::now() + RETRY_PERIOD;
                }
                Err(_) => failure = Failure::NoAnswer,
            }
        }
    }

    /// Releases the Lease, so that the next replica can take it at once. No write may be under way
    /// any more. After an error the next replica takes it when it ends.
    pub async fn release(&mut self) -> Result<(), Error> {
        self.setup.held.lost();
        match self.write(self.record.released()).await {
            Err(Error::Changed) => {}
            outcome => return outcome,
        }
        self.read().await?;
        if self.record.is_mine() { self.write(self.record.released()).await } else { Ok(()) }
    }

    fn lose(&self, lost: Lost) -> Lost {
        self.setup.held.lost();
        lost
    }

    /// Looks at the Lease once, and takes it if it is free.
    async fn attempt(&mut self) -> Result<Decision, Error> {
        let attempt = async {
            self.read().await?;
            let decision = self.record.decide(Instant::now());
            if decision == Decision::Take {
                self.take().await?;
            }
            Ok(decision)
        };
        let outcome = attempt.await;
        self.report(&outcome);
        outcome
    }

    /// Renews the Lease as it was last seen. Returns the holder if another replica has it.
    async fn renew(&mut self) -> Result<Option<String>, Error> {
        let attempt = async {
            match self.take().await {
                Err(Error::Changed) => self.read().await?,
                outcome => return outcome.map(|()| None),
            }
            if let Some(holder) = self.record.rival() {
                return Ok(Some(holder.to_owned()));
            }
            self.take().await.map(|()| None)
        };
        let outcome = attempt.await;
        self.report(&outcome);
        outcome
    }

    fn report<T>(&self, outcome: &Result<T, Error>) {
        match outcome {
            Ok(_) | Err(Error::Changed) => self.setup.readiness.lease_reached(),
            Err(error) => self.setup.readiness.lease_failed(error),
        }
    }

    async fn read(&mut self) -> Result<(), Error> {
        let lease = match answered("read", self.leases.get(LEASE)).await {
            Err(error) if error.code() == Some(404) => None,
            lease => Some(lease?),
        };
        self.saw(lease);
        Ok(())
    }

    fn saw(&mut self, lease: Option<DynamicObject>) {
        self.setup.notes.saw(lease.as_ref());
        self.record.saw(lease, Instant::now());
    }

    /// Takes or renews the Lease.
    async fn take(&mut self) -> Result<(), Error> {
        let sent = Instant::now();
        let mut lease = self.record.mine((self.setup.now)());
        self.setup.notes.write(&mut lease);
        self.write(lease).await?;
        self.renewed = sent;
        self.setup.held.renewed(sent);
        Ok(())
    }

    async fn write(&mut self, lease: DynamicObject) -> Result<(), Error> {
        let params = PostParams::default();
        let exists = lease.metadata.resource_version.is_some();
        let written = if exists {
            answered("write", self.leases.replace(LEASE, &params, &lease)).await
        } else {
            answered("create", self.leases.create(&params, &lease)).await
        };
        let written = written.map_err(|error| match error.code() {
            Some(409) => Error::Changed,
            // It was deleted after it was read.
            Some(404) if exists => Error::Changed,
            _ => error,
        })?;
        self.saw(Some(written));
        Ok(())
    }
}

/// The Leases of the operator's namespace.
fn leases(client: &Client, me: &Identity) -> Api<DynamicObject> {
    let kind = ApiResource::erase::<Lease>(&());
    Api::namespaced_with(client.clone(), &me.namespace, &kind)
}

/// The answer to a request, within its deadline.
async fn answered<T>(
    doing: &'static str,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, Error> {
    match timeout(REQUEST_DEADLINE, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Error::Api(doing, Box::new(error))),
        Err(_) => Err(Error::NoAnswer(doing)),
    }
}
