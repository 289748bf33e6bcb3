//! A watch of the measuring client.
//!
//! In: the path of a collection, and how the objects are to be sent. Out: how many events and bytes
//! came, when the last one came, and how many objects are as they should be. Labels are followed in
//! the form `PartialObjectMetadata`, which is small, so that measuring does not load the server.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};
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
use crate::world::say;

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
    pub fn new() -> Self {
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
        if self.reads()
            && let Ok(Event { object }) = serde_json::from_slice(line)
        {
            self.read(object.metadata);
        }
    }

    /// Whether anything of the objects is needed.
    fn reads(&self) -> bool {
        !self.wanted.is_empty() || self.flips.is_some() || self.firsts.is_some()
    }

    /// Takes in what a list shows after the watch broke. What it does not change is no event.
    fn take_list(&mut self, objects: Vec<Object>) {
        let (right, now) = (self.right.len(), Instant::now());
        for object in objects {
            self.read(object.metadata);
        }
        if self.right.len() != right {
            self.last_event = now;
        }
    }

    fn read(&mut self, metadata: Metadata) {
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
    r#continue: String,
}

/// A watch that runs until this is dropped.
pub struct Follow {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Follow {
    /// Watches what changes from now on. With [`WHOLE`] the objects are counted and not read.
    pub async fn start(client: &Client, path: &str, form: &'static str) -> Result<Self, Failure> {
        let source = Source { client: client.clone(), path: path.to_owned(), form };
        let version = source.page("", 1).await?.metadata.resource_version;
        let body = source.watch(&version).await?;
        let seen = Arc::new(Mutex::new(Seen::new()));
        let task = tokio::spawn(follow(source, body, seen.clone()));
        Ok(Self { seen, task })
    }

    /// From now on these labels are right. No node counts as right before it changes.
    pub fn want(&self, fleet: &Fleet, proof: Proof) {
        let all: Vec<usize> = (0..fleet.nodes).collect();
        self.want_some(fleet, proof, &all);
    }

    /// The same for some of the nodes.
    pub fn want_some(&self, fleet: &Fleet, proof: Proof, nodes: &[usize]) {
        let labels = |number: &usize| (fleet::name(*number), fleet.labels(*number, proof));
        let wanted = nodes.iter().map(labels).collect();
        self.with(|seen| {
            seen.wanted = wanted;
            seen.right.clear();
        });
    }

    /// Reads what was seen.
    pub fn with<T>(&self, read: impl FnOnce(&mut Seen) -> T) -> T {
        read(&mut locked(&self.seen))
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is watched.
struct Source {
    client: Client,
    path: String,
    form: &'static str,
}

#[derive(Deserialize)]
struct Page {
    metadata: Metadata,
    #[serde(default)]
    items: Vec<Object>,
}

impl Source {
    async fn page(&self, next: &str, limit: usize) -> kube::Result<Page> {
        let path = format!("{}?limit={limit}&continue={next}", self.path);
        let list = Request::get(path).header("Accept", METADATA_LIST).body(Vec::new());
        self.client.request(list.map_err(kube::Error::HttpError)?).await
    }

    async fn watch(&self, version: &str) -> kube::Result<Body> {
        let path = format!("{}?watch=true&resourceVersion={version}", self.path);
        let watch = Request::get(path).header("Accept", self.form).body(Body::empty());
        let answer = self.client.send(watch.map_err(kube::Error::HttpError)?).await?;
        Ok(answer.into_body())
    }

    /// Lists again and watches again, after the API server has ended the watch: it does so where a
    /// client reads too slowly.
    async fn again(&self, seen: &Mutex<Seen>) -> kube::Result<Body> {
        let (mut next, mut version) = (String::new(), None);
        loop {
            let page = self.page(&next, 500).await?;
            let version = version.get_or_insert(page.metadata.resource_version);
            locked(seen).take_list(page.items);
            next = page.metadata.r#continue;
            if next.is_empty() {
                return self.watch(version).await;
            }
        }
    }
}

fn locked(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn follow(source: Source, mut body: Body, seen: Arc<Mutex<Seen>>) {
    loop {
        let mut rest = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else { continue };
            let mut seen = locked(&seen);
            seen.bytes += u64::try_from(data.len()).unwrap_or_default();
            for line in lines(&mut rest, &data) {
                seen.take(&line);
            }
        }
        say(&format!("the watch on {} ended: it begins anew", source.path));
        match source.again(&seen).await {
            Ok(watch) => body = watch,
            Err(error) => return say(&format!("{} is not watched any more: {error}", source.path)),
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
        let wanted = |node| (fleet::name(node), fleet.labels(node, Proof::Denied));
        let mut seen = Seen { wanted: (0..2).map(wanted).collect(), ..Seen::new() };
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
