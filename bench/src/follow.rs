//! A watch of the measuring client.
//!
//! In: the path of a collection, and how the objects are to be sent. Out: how many events and bytes
//! came, when the last one came, and how many objects are as they should be. Labels are followed in
//! the form `PartialObjectMetadata`, which is small, so that measuring does not load the server.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use http::Request;
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use lsm_ready_crds::names::BPF_LABEL;
use serde::Deserialize;
use tokio::task::JoinHandle;

use crate::Failure;
use crate::fleet::{self, Fleet, Labels, Proof};

/// Only the metadata of each object.
pub const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
/// The same of a list.
pub const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
/// Whole objects.
pub const WHOLE: &str = "application/json";

/// The label that says whether a node can deny became another.
#[derive(Clone, Copy, Debug)]
pub struct Flip {
    pub at: Instant,
    pub is_ready: bool,
}

/// The flips of each node, in their order.
pub type Flips = HashMap<String, Vec<Flip>>;

/// What a watch has seen.
#[derive(Clone, Debug)]
pub struct Seen {
    pub events: u64,
    pub bytes: u64,
    pub last_event: Instant,
    /// When each node last became right.
    pub right: HashMap<String, Instant>,
    wanted: HashMap<String, Labels>,
    /// Filled where it is not None.
    pub flips: Option<Flips>,
    /// The first event of each object. Filled where it is not None.
    pub firsts: Option<HashMap<String, Instant>>,
}

impl Seen {
    fn new() -> Self {
        Self {
            events: 0,
            bytes: 0,
            last_event: Instant::now(),
            right: HashMap::new(),
            wanted: HashMap::new(),
            flips: None,
            firsts: None,
        }
    }

    /// The nodes whose labels are not as they should be.
    pub fn wrong(&self) -> usize {
        self.wanted.len() - self.right.len()
    }

    fn take(&mut self, line: &[u8]) {
        self.events += 1;
        self.last_event = Instant::now();
        if self.wanted.is_empty() && self.flips.is_none() && self.firsts.is_none() {
            return;
        }
        let Ok(Event { object: Object { metadata } }) = serde_json::from_slice(line) else {
            return;
        };
        self.flip(&metadata);
        if let Some(firsts) = &mut self.firsts {
            firsts.entry(metadata.name.clone()).or_insert(self.last_event);
        }
        let Some(wanted) = self.wanted.get(&metadata.name) else {
            return;
        };
        if fleet::ours(&metadata.labels) == *wanted {
            self.right.entry(metadata.name).or_insert(self.last_event);
        } else {
            self.right.remove(&metadata.name);
        }
    }

    fn flip(&mut self, metadata: &Metadata) {
        let Some((flips, label)) = self.flips.as_mut().zip(metadata.labels.get(BPF_LABEL)) else {
            return;
        };
        let flips = flips.entry(metadata.name.clone()).or_default();
        let is_ready = label == "true";
        if flips.last().is_none_or(|last| last.is_ready != is_ready) {
            flips.push(Flip { at: self.last_event, is_ready });
        }
    }
}

#[derive(Deserialize)]
struct Event {
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    name: String,
    labels: Labels,
    resource_version: String,
}

/// A watch that runs until this is dropped.
pub struct Follow {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Follow {
    /// Watches what changes from now on. With [`WHOLE`] the objects are counted and not read.
    pub async fn start(client: &Client, path: &str, form: &'static str) -> Result<Self, Failure> {
        let list = Request::get(format!("{path}?limit=1"))
            .header("Accept", METADATA_LIST)
            .body(Vec::new())?;
        let list: Object = client.request(list).await?;
        let version = list.metadata.resource_version;
        let watch = Request::get(format!("{path}?watch=true&resourceVersion={version}"))
            .header("Accept", form)
            .body(Body::empty())?;
        let answer = client.send(watch).await?;
        if !answer.status().is_success() {
            return Err(format!("watching {path}: {}", answer.status()).into());
        }
        let seen = Arc::new(Mutex::new(Seen::new()));
        let task = tokio::spawn(follow(answer.into_body(), seen.clone()));
        Ok(Self { seen, task })
    }

    /// From now on these labels are right. No node counts as right before it changes.
    pub fn want(&self, fleet: &Fleet, proof: Proof) {
        let labels = |number| (fleet::name(number), fleet.labels(number, proof));
        let wanted = (0..fleet.nodes).map(labels).collect();
        self.with(|seen| {
            seen.wanted = wanted;
            seen.right.clear();
        });
    }

    /// Reads what was seen.
    pub fn with<T>(&self, read: impl FnOnce(&mut Seen) -> T) -> T {
        read(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(mut body: Body, seen: Arc<Mutex<Seen>>) {
    let mut rest = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.bytes += u64::try_from(data.len()).unwrap_or_default();
        for line in lines(&mut rest, &data) {
            seen.take(&line);
        }
    }
}

/// The lines that are complete with these bytes. What is left stays in `rest`.
fn lines(rest: &mut Vec<u8>, data: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    let mut data = data;
    while let Some(end) = data.iter().position(|byte| *byte == b'\n') {
        rest.extend_from_slice(&data[..end]);
        lines.push(std::mem::take(rest));
        data = &data[end + 1..];
    }
    rest.extend_from_slice(data);
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_may_come_in_pieces() {
        let mut rest = Vec::new();
        assert!(lines(&mut rest, b"ab").is_empty());
        assert_eq!(lines(&mut rest, b"c\nd\ne"), [b"abc".to_vec(), b"d".to_vec()]);
        assert_eq!(rest, b"e");
    }

    #[test]
    fn a_node_is_right_while_its_labels_are() {
        let fleet = Fleet::new(2, 4);
        let wanted = |proof| (0..2).map(|node| (fleet::name(node), fleet.labels(node, proof)));
        let mut seen = Seen { wanted: wanted(Proof::Denied).collect(), ..Seen::new() };
        let event = |proof| {
            let mut labels = fleet.labels(0, proof);
            labels.insert("other".to_owned(), "x".to_owned());
            json!({"type": "MODIFIED", "object": {"metadata":
                {"name": fleet::name(0), "labels": labels, "managedFields": []}}})
            .to_string()
        };
        seen.take(event(Proof::Denied).as_bytes());
        assert_eq!(seen.wrong(), 1);
        seen.take(event(Proof::NotDenied).as_bytes());
        assert_eq!((seen.wrong(), seen.events), (2, 2));
    }
}
