//! Requests to the API server, each with a deadline.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::ObjectList;
use kube::{Api, Client};
use serde_json::Value;
use tokio::time::timeout;

use crate::kinds::Kind;
use crate::ours::Names;

/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How many objects one answer to a list may have. A Node has about 15 KB.
const PAGE: u32 = 250;
/// How often one object is tried.
const ATTEMPTS: u32 = 6;
/// The wait after the first failure. It doubles.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The field manager of our writes. It has no name of ours, so the record of who wrote a Node's
/// taints, which the API server keeps, has none either.
const FIELD_MANAGER: &str = "cleanup";

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no answer within {} s", DEADLINE.as_secs())]
    Deadline,
    #[error("{}", message(.0))]
    Request(#[from] kube::Error),
    #[error("the object changed {ATTEMPTS} times while it was being cleaned")]
    Contested,
}

impl Error {
    fn code(&self) -> Option<u16> {
        match self {
            Self::Request(kube::Error::Api(status)) => Some(status.code),
            Self::Request(_) | Self::Deadline | Self::Contested => None,
        }
    }

    /// Whether the object, or its kind, does not exist.
    pub fn is_gone(&self) -> bool {
        self.code() == Some(404)
    }

    fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// Whether the same request may succeed later.
    fn may_pass(&self) -> bool {
        match self.code() {
            Some(code) => code == 429 || code >= 500,
            None => !matches!(self, Self::Contested),
        }
    }
}

/// The API server's own words where it answered.
fn message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} ({})", status.message, status.code),
        other => other.to_string(),
    }
}

/// Whether anything is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// Nothing is written: the report says what would be removed.
    DryRun,
    /// What is ours is removed.
    Remove,
}

/// The cluster that is cleaned, and what counts as ours.
#[derive(Clone)]
pub struct Cluster {
    pub client: Client,
    pub names: Names,
    pub mode: Mode,
}

/// What to send for an object.
pub struct Change {
    pub patch: Patch<Value>,
    /// Whether it is for the object's status.
    pub status: bool,
}

/// What became of an object.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It had nothing of ours.
    Clean,
    /// Something was removed, or would be in a dry run.
    Removed,
}

impl Cluster {
    /// The objects of that kind, with only their metadata typed.
    pub fn objects(&self, kind: Kind, namespace: Option<&str>) -> Api<DynamicObject> {
        let resource: ApiResource = kind.resource();
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// Applies what `next` asks for, until it asks for nothing more. After a conflict the object is
    /// read again, and `next` decides again.
    pub async fn change<K: Readable>(
        &self,
        api: &Api<K>,
        name: &str,
        object: K,
        next: impl Fn(&K) -> Option<Change>,
    ) -> Result<Outcome, Error> {
        let send = async |_: K, change: &Change| send(api, name, change).await;
        self.change_by(api, name, object, Steps { next, send }).await
    }

    /// The same, where a write may be sent and its answer be read in another way.
    pub async fn change_by<K: Readable>(
        &self,
        api: &Api<K>,
        name: &str,
        object: K,
        steps: Steps<impl Fn(&K) -> Option<Change>, impl AsyncFn(K, &Change) -> Result<K, Error>>,
    ) -> Result<Outcome, Error> {
        let mut object = object;
        let mut outcome = Outcome::Clean;
        let mut failures = 0;
        while let Some(change) = (steps.next)(&object) {
            if self.mode == Mode::DryRun {
                return Ok(Outcome::Removed);
            }
            match (steps.send)(object, &change).await {
                Ok(changed) => {
                    object = changed;
                    outcome = Outcome::Removed;
                    continue;
                }
                Err(error) if error.is_gone() => return Ok(outcome),
                Err(error) if !error.is_conflict() && !error.may_pass() => return Err(error),
                Err(error) => {
                    failures += 1;
                    if failures == ATTEMPTS {
                        return Err(if error.is_conflict() { Error::Contested } else { error });
                    }
                }
            }
            tokio::time::sleep(FIRST_WAIT * 2_u32.pow(failures - 1)).await;
            match answered(api.get_opt(name)).await? {
                Some(read) => object = read,
                None => return Ok(outcome),
            }
        }
        Ok(outcome)
    }
}

/// How an object is changed.
pub struct Steps<Next, Send> {
    /// What to send next.
    pub next: Next,
    /// Sends it, and returns the object as it is then.
    pub send: Send,
}

/// An object that can be read.
pub trait Readable: Clone + Debug + serde::de::DeserializeOwned {}

impl<K: Clone + Debug + serde::de::DeserializeOwned> Readable for K {}

/// Sends a patch.
pub async fn send<K: Readable>(api: &Api<K>, name: &str, change: &Change) -> Result<K, Error> {
    let field_manager = Some(FIELD_MANAGER.to_owned());
    let params = PatchParams { field_manager, ..PatchParams::default() };
    if change.status {
        answered(api.patch_status(name, &params, &change.patch)).await
    } else {
        answered(api.patch(name, &params, &change.patch)).await
    }
}

/// The answer to a request, or an error at its deadline.
pub async fn answered<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
    Ok(timeout(DEADLINE, request).await.map_err(|_| Error::Deadline)??)
}

/// The pages of a list, one after the other.
pub struct Pages<K> {
    api: Api<K>,
    first: ListParams,
    params: Option<ListParams>,
}

impl<K: Readable> Pages<K> {
    pub fn new(api: Api<K>) -> Self {
        Self::of(api, ListParams::default())
    }

    /// Of the objects with these labels.
    pub fn labelled(api: Api<K>, selector: &str) -> Self {
        Self::of(api, ListParams::default().labels(selector))
    }

    fn of(api: Api<K>, params: ListParams) -> Self {
        let first = params.limit(PAGE);
        Self { api, params: Some(first.clone()), first }
    }

    /// The next page. None after the last, and where the cluster does not have that kind.
    pub async fn next(&mut self) -> Result<Option<Vec<K>>, Error> {
        let Some(params) = self.params.take() else { return Ok(None) };
        let page = match self.read(&params).await {
            Ok(page) => page,
            Err(error) if error.is_gone() => return Ok(None),
            // The list is too old to be continued: what is not clean yet is found from the start.
            Err(error) if error.code() == Some(410) && params.continue_token.is_some() => {
                self.params = Some(self.first.clone());
                return Ok(Some(Vec::new()));
            }
            Err(error) => return Err(error),
        };
        let more = page.metadata.continue_.filter(|token| !token.is_empty());
        self.params = more.map(|token| self.first.clone().continue_token(&token));
        Ok(Some(page.items))
    }

    async fn read(&self, params: &ListParams) -> Result<ObjectList<K>, Error> {
        let mut wait = FIRST_WAIT;
        for _ in 1..ATTEMPTS {
            match answered(self.api.list(params)).await {
                Err(error) if error.may_pass() => tokio::time::sleep(wait).await,
                done => return done,
            }
            wait *= 2;
        }
        answered(self.api.list(params)).await
    }

    /// The objects one by one. The next page is read while those of the last are worked on.
    pub fn objects(self) -> impl Stream<Item = Result<K, Error>> {
        let pages = stream::unfold(Some(self), async |pages| {
            let mut pages = pages?;
            match pages.next().await {
                Ok(page) => page.map(|page| (Ok(page), Some(pages))),
                Err(error) => Some((Err(error), None)),
            }
        });
        pages.flat_map(|page| match page {
            Ok(page) => stream::iter(page).map(Ok).left_stream(),
            Err(error) => stream::iter([Err(error)]).right_stream(),
        })
    }

    /// All pages together.
    pub async fn all(mut self) -> Result<Vec<K>, Error> {
        let mut all = Vec::new();
        while let Some(page) = self.next().await? {
            all.extend(page);
        }
        Ok(all)
    }
}
