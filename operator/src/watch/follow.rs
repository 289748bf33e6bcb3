//! Lists the objects of a kind, and follows their changes.
//!
//! In: an API. Out: the events of kube-runtime's `watcher`, with the same meaning. That function
//! has one deadline for the list and for the watch after it, so it cannot have both: a streaming
//! list, which takes as long as it takes, and a watch that is renewed every ten seconds.
//!
//! ## The list
//! | the API server | list | in memory at once |
//! |---|---|---|
//! | has streaming lists (feature gate WatchList) | a watch that begins with every object | an
//! object |
//! | refuses them, or ends one early | pages | a page |
//!
//! Both are consistent: they show all that was written before they began.
//!
//! What is deleted during a streaming list is part of the list first, and is deleted after it.
//!
//! ## Errors
//! A watch that ends sooner than after a second is renewed after that second.
//!
//! An error is returned, and the next call goes on: a list begins anew, a watch goes on where it
//! was, or begins with a new list if the API server no longer has that version.

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::Duration;
use std::vec;

use futures::{Stream, StreamExt, stream};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Resource, ResourceExt};
use kube_runtime::watcher::{Error, Event};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::changes::{Changes, changes};
use super::key::{Key, key_of};
use super::messages;
use super::retry::GONE;
use crate::run::connection::{LIST, WATCH_SECONDS};

/// The API server ends a streaming list after this time.
const STREAM_SECONDS: u32 = 290;
/// A watch that is silent for so long is renewed: the API server should have ended it.
const SILENT: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 5);
/// A watch is not asked for again sooner than this. A server that ends each of them at once would
/// be asked without pause.
const SHORTEST: Duration = Duration::from_secs(1);
/// Marks the end of a streaming list.
const END_OF_LIST: &str = "k8s.io/initial-events-end";

/// An object as a list or a watch gives it.
pub trait Followed: Resource + DeserializeOwned + Clone + Debug + Send + 'static {
    /// Number of objects in a page of a list.
    const PAGE: u32;
    /// Reads an event in the binary encoding. A watch asks for that where there is such a function.
    const EVENT: Option<messages::Event<Self>> = None;
}

/// How objects are listed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lists {
    /// By a stream, where the API server has that.
    Streamed,
    Paged,
}

/// The objects of one kind.
pub struct Follow<T: Followed> {
    api: Api<T>,
    lists: Lists,
    fields: Option<String>,
    state: State<T>,
}

enum State<T: Followed> {
    Start,
    Streaming(Listing<T>),
    Page {
        next: Option<String>,
        objects: vec::IntoIter<T>,
        version: String,
    },
    /// The list is complete, but for the objects that were deleted meanwhile.
    Ending {
        gone: Vec<T>,
        version: String,
    },
    Listed {
        version: String,
    },
    Watching {
        version: String,
        changes: Changes<T>,
        began: Instant,
    },
}

/// A streaming list.
struct Listing<T: Followed> {
    changes: Changes<T>,
    /// The objects that were deleted since it began, by namespace and name.
    gone: HashMap<Key, T>,
}

impl<T: Followed> Follow<T> {
    pub const fn new(api: Api<T>, lists: Lists) -> Self {
        Self { api, lists, fields: None, state: State::Start }
    }

    /// Only the objects that this field selector matches.
    pub fn fields(self, selector: String) -> Self {
        Self { fields: Some(selector), ..self }
    }

    fn watch_params(&self, seconds: u32) -> WatchParams {
        let field_selector = self.fields.clone();
        WatchParams { field_selector, ..WatchParams::default().timeout(seconds) }
    }

    /// All events and errors. Never ends. Nothing is lost where a wait for the next one is dropped.
    pub fn events(self) -> impl Stream<Item = Result<Event<T>, Error>> {
        stream::unfold(self, |mut follow| async move { Some((follow.next().await, follow)) })
    }

    /// The next event, or an error.
    pub async fn next(&mut self) -> Result<Event<T>, Error> {
        loop {
            // Where this is dropped while it waits, everything begins anew.
            let state = std::mem::replace(&mut self.state, State::Start);
            let found = match state {
                State::Start => self.start().await,
                State::Streaming(stream) => self.streamed(stream).await,
                State::Page { next, mut objects, version } => match objects.next() {
                    Some(object) => {
                        self.state = State::Page { next, objects, version };
                        Some(Ok(Event::InitApply(object)))
                    }
                    None => self.paged(next, version).await,
                },
                State::Ending { mut gone, version } => match gone.pop() {
                    Some(object) => {
                        self.state = State::Ending { gone, version };
                        Some(Ok(Event::Delete(object)))
                    }
                    None => self.watch(version).await,
                },
                State::Listed { version } => self.watch(version).await,
                State::Watching { version, changes, began } => {
                    self.changed(version, changes, began).await
                }
            };
            if let Some(found) = found {
                return found;
            }
        }
    }

    async fn start(&mut self) -> Option<Result<Event<T>, Error>> {
        match self.lists {
            Lists::Paged => match self.page(None).await {
                Ok(()) => Some(Ok(Event::Init)),
                Err(error) => Some(Err(error)),
            },
            Lists::Streamed => {
                let params = self.watch_params(STREAM_SECONDS).initial_events();
                match changes(&self.api, &params, "").await {
                    Ok(changes) => {
                        self.state = State::Streaming(Listing { changes, gone: HashMap::new() });
                        Some(Ok(Event::Init))
                    }
                    Err(error) if is_refusal(&error) => {
                        debug!(%error, "the API server has no streaming lists");
                        self.lists = Lists::Paged;
                        None
                    }
                    Err(error) => Some(Err(Error::WatchStartFailed(error))),
                }
            }
        }
    }

    async fn streamed(&mut self, mut stream: Listing<T>) -> Option<Result<Event<T>, Error>> {
        let event = timeout(LIST, stream.changes.next()).await.ok().flatten();
        let event = match event {
            Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object))) => {
                stream.gone.remove(&key_of(&object));
                Some(Ok(Event::InitApply(object)))
            }
            Some(Ok(WatchEvent::Bookmark(bookmark))) => {
                if bookmark.metadata.annotations.contains_key(END_OF_LIST) {
                    let gone = stream.gone.into_values().collect();
                    let version = bookmark.metadata.resource_version;
                    self.state = State::Ending { gone, version };
                    return Some(Ok(Event::InitDone));
                }
                None
            }
            // A list has no deletions: it would forget them at its end.
            Some(Ok(WatchEvent::Deleted(object))) => {
                stream.gone.insert(key_of(&object), object);
                None
            }
            Some(Ok(WatchEvent::Error(status))) => return Some(Err(Error::WatchError(status))),
            Some(Err(error)) => return Some(Err(Error::WatchFailed(error))),
            // It took too long. Pages have a deadline each.
            None => {
                self.lists = Lists::Paged;
                return None;
            }
        };
        self.state = State::Streaming(stream);
        event
    }

    /// Reads the next page, or ends the list.
    async fn paged(
        &mut self,
        next: Option<String>,
        version: String,
    ) -> Option<Result<Event<T>, Error>> {
        if next.is_none() {
            self.state = State::Listed { version };
            return Some(Ok(Event::InitDone));
        }
        self.page(next).await.err().map(Err)
    }

    async fn page(&mut self, token: Option<String>) -> Result<(), Error> {
        let params = ListParams {
            continue_token: token,
            field_selector: self.fields.clone(),
            ..ListParams::default().limit(T::PAGE)
        };
        let list = self.api.list(&params).await.map_err(Error::InitialListFailed)?;
        let next = list.metadata.continue_.filter(|token| !token.is_empty());
        let version = list.metadata.resource_version.filter(|version| !version.is_empty());
        let version = version.ok_or(Error::NoResourceVersion)?;
        self.state = State::Page { next, objects: list.items.into_iter(), version };
        Ok(())
    }

    async fn watch(&mut self, version: String) -> Option<Result<Event<T>, Error>> {
        let params = self.watch_params(WATCH_SECONDS);
        match changes(&self.api, &params, &version).await {
            Ok(changes) => {
                self.state = State::Watching { version, changes, began: Instant::now() };
                None
            }
            Err(error) => {
                if !matches!(&error, kube::Error::Api(status) if status.code == GONE) {
                    self.state = State::Listed { version };
                }
                Some(Err(Error::WatchStartFailed(error)))
            }
        }
    }

    async fn changed(
        &mut self,
        version: String,
        mut changes: Changes<T>,
        began: Instant,
    ) -> Option<Result<Event<T>, Error>> {
        let (event, version) = match timeout(SILENT, changes.next()).await.ok().flatten() {
            Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object))) => {
                let Some(version) = object.resource_version() else {
                    return Some(Err(Error::NoResourceVersion));
                };
                (Some(Ok(Event::Apply(object))), version)
            }
            Some(Ok(WatchEvent::Deleted(object))) => {
                let Some(version) = object.resource_version() else {
                    return Some(Err(Error::NoResourceVersion));
                };
                (Some(Ok(Event::Delete(object))), version)
            }
            Some(Ok(WatchEvent::Bookmark(bookmark))) => (None, bookmark.metadata.resource_version),
            Some(Ok(WatchEvent::Error(status))) => {
                if status.code != GONE {
                    self.state = State::Watching { version, changes, began };
                }
                return Some(Err(Error::WatchError(status)));
            }
            Some(Err(error)) => {
                self.state = State::Watching { version, changes, began };
                return Some(Err(Error::WatchFailed(error)));
            }
            None => {
                sleep_until(began + SHORTEST).await;
                self.state = State::Listed { version };
                return None;
            }
        };
        self.state = State::Watching { version, changes, began };
        event
    }
}

/// Whether the API server does not take that kind of request.
fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400 | 422))
}
