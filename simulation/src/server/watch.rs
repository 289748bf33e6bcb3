//! Watches: the changes of one kind, each delayed as the watch cache's lag says.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, stream};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::answer::Refusal;
use super::kind::Kind;
use crate::clock;
use crate::network::{Network, StreamFate};

/// How often a watch without changes sends a bookmark: as often as a real API server.
const BOOKMARK: Duration = Duration::from_mins(1);

/// One open watch.
struct Watch {
    network: Arc<Network>,
    kind: Kind,
    /// Everything up to this version was sent.
    sent: u64,
    /// When the server ends it.
    ends: Instant,
    bookmarks: bool,
    /// The connections that existed when it began.
    era: u64,
    over: bool,
    is_new: bool,
}

/// The lines of a watch from that version on.
pub fn lines(
    network: Arc<Network>,
    kind: Kind,
    version: u64,
    query: &std::collections::BTreeMap<String, String>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
    let seconds = query.get("timeoutSeconds").and_then(|seconds| seconds.parse().ok());
    let ends = Instant::now() + Duration::from_secs(seconds.unwrap_or(290));
    let bookmarks = query.get("allowWatchBookmarks").is_some_and(|value| value == "true");
    let era = network.era();
    let watch =
        Watch { network, kind, sent: version, ends, bookmarks, era, over: false, is_new: true };
    stream::unfold(watch, |mut watch| async move {
        let line = watch.next().await?;
        Some((line, watch))
    })
}

enum Next {
    Line(Bytes, u64),
    Wait(Option<Instant>),
}

impl Watch {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        let bookmark = Instant::now() + BOOKMARK;
        // The API server answers 200, and the first line says that the version is too old.
        if std::mem::take(&mut self.is_new)
            && (self.network.must_list(self.kind)
                || self.network.server().lock().is_forgotten(self.sent))
        {
            self.over = true;
            return Some(Ok(expired()));
        }
        while !self.over {
            self.network.still_connected(self.era).await;
            let notify = self.network.server().lock().changed(self.kind);
            let changed = notify.notified();
            let now = Instant::now();
            match self.due() {
                Next::Line(line, version) => {
                    match self.network.stream_fate() {
                        StreamFate::Delivered => {}
                        StreamFate::Broken => {
                            self.over = true;
                            return Some(Err(io::ErrorKind::ConnectionReset.into()));
                        }
                        StreamFate::Silent => std::future::pending().await,
                        StreamFate::Expired => {
                            self.over = true;
                            return Some(Ok(expired()));
                        }
                    }
                    self.sent = version;
                    self.network.delivered(self.kind, version);
                    return Some(Ok(line));
                }
                Next::Wait(_) if now >= self.ends => return None,
                Next::Wait(due) if self.bookmarks && now >= bookmark => {
                    if due.is_none() {
                        self.sent = self.network.server().lock().version();
                        self.network.delivered(self.kind, self.sent);
                    }
                    return Some(Ok(bytes(&self.bookmark())));
                }
                Next::Wait(due) => {
                    let until = if self.bookmarks { bookmark.min(self.ends) } else { self.ends };
                    let until = due.map_or(until, |due| until.min(due));
                    tokio::select! {
                        biased;
                        () = changed => {}
                        () = self.network.cut(self.kind, self.era) => {
                            self.over = true;
                            return Some(Err(io::ErrorKind::ConnectionReset.into()));
                        }
                        () = sleep_until(until) => {}
                    }
                }
            }
        }
        None
    }

    fn due(&self) -> Next {
        let lag = self.network.lag(self.kind);
        let server = self.network.server().lock();
        let log = server.log(self.kind);
        let begin = log.partition_point(|change| change.version <= self.sent);
        let Some(change) = log.get(begin) else { return Next::Wait(None) };
        let due = change.at + lag;
        let elapsed = clock::elapsed();
        if due > elapsed {
            return Next::Wait(Some(Instant::now() + due.saturating_sub(elapsed)));
        }
        Next::Line(change.line(), change.version)
    }

    fn bookmark(&self) -> Value {
        json!({"type": "BOOKMARK", "object": {
            "apiVersion": self.kind.api_version(), "kind": self.kind.name(),
            "metadata": {"resourceVersion": self.sent.to_string()},
            "spec": {}, "status": {},
        }})
    }
}

fn expired() -> Bytes {
    let status = Refusal::new(410, "Expired", "too old resource version").status();
    bytes(&json!({"type": "ERROR", "object": status}))
}

fn bytes(line: &Value) -> Bytes {
    let mut bytes = serde_json::to_vec(line).unwrap_or_default();
    bytes.push(b'\n');
    Bytes::from(bytes)
}
