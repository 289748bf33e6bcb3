//! The contents of the hook profiles that are used.
//!
//! In: contents of genuine profiles, and which node names which profile. Out: the content that a
//! report names. A content is found by its digest, so it does not matter from which version of an
//! object it came.
//!
//! ## Guarantees
//! Contents that reports name take at most [`MAX_NAMED`] bytes, others at most [`MAX_SPARE`]. Where
//! more is named, those that most nodes name are kept: one node cannot push out what honest nodes
//! need. [`Contents::missing`] lists what has to be read again, because it is named and not kept.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use lsm_ready_crds::profile::LsmHookProfileSpec;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Bytes of memory for the contents that reports name. That of a usual kernel takes 25 kB.
pub const MAX_NAMED: usize = 24 * 1024 * 1024;
/// Bytes of memory for other contents. A report can name one at any time, for example when a node
/// boots into its earlier kernel.
pub const MAX_SPARE: usize = 4 * 1024 * 1024;
/// Memory that a name in a set takes, besides its letters.
const BYTES_PER_NAME: usize = 56;

/// The contents. A clone shares them.
#[derive(Clone, Debug, Default)]
pub struct Contents(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    named: Notify,
}

#[derive(Debug, Default)]
struct State {
    kept: BTreeMap<String, Content>,
    /// The digest that each node's report names, by the node's name. Thousands share one text.
    names: HashMap<String, Arc<str>>,
    /// The number of nodes that name each digest.
    nodes: BTreeMap<Arc<str>, usize>,
}

#[derive(Debug)]
struct Content {
    spec: Arc<LsmHookProfileSpec>,
    bytes: usize,
}

impl Contents {
    /// The content with that digest.
    pub fn get(&self, digest: &str) -> Option<Arc<LsmHookProfileSpec>> {
        self.0.state.lock().kept.get(digest).map(|content| content.spec.clone())
    }

    /// Keeps a content, as far as there is room. The caller has compared the digest.
    pub fn offer(&self, digest: &str, spec: Arc<LsmHookProfileSpec>) {
        let bytes = size(&spec);
        let mut state = self.0.state.lock();
        state.kept.insert(digest.to_owned(), Content { spec, bytes });
        state.make_room(digest);
    }

    /// Whether a report names that digest.
    pub fn is_named(&self, digest: &str) -> bool {
        self.0.state.lock().nodes.contains_key(digest)
    }

    /// Forgets the content of a profile that is gone.
    pub fn forget(&self, digest: &str) {
        self.0.state.lock().kept.remove(digest);
    }

    /// Notes which digest a node's report names. `None`: none, or there is no report.
    pub fn names(&self, node: &str, digest: Option<&str>) {
        let mut state = self.0.state.lock();
        if state.names.get(node).map(|named| &**named) == digest {
            return;
        }
        if let Some(before) = state.names.remove(node) {
            state.one_less(&before);
        }
        if let Some(digest) = digest {
            let known = state.nodes.get_key_value(digest).map(|(known, _)| known.clone());
            let known = known.unwrap_or_else(|| digest.into());
            state.names.insert(node.to_owned(), known.clone());
            *state.nodes.entry(known).or_default() += 1;
            let is_missing = !state.kept.contains_key(digest);
            drop(state);
            if is_missing {
                self.0.named.notify_one();
            }
        }
    }

    /// Forgets the reports that are gone.
    pub fn retain_nodes(&self, exists: impl Fn(&str) -> bool) {
        let gone = |node: &&String| !exists(node);
        let nodes: Vec<String> = self.0.state.lock().names.keys().filter(gone).cloned().collect();
        for node in nodes {
            self.names(&node, None);
        }
    }

    /// Forgets the contents of profiles that are gone.
    pub fn retain_profiles(&self, exists: impl Fn(&str) -> bool) {
        self.0.state.lock().kept.retain(|digest, _| exists(digest));
    }

    /// Returns when a report names a content that is not kept.
    pub async fn named(&self) {
        self.0.named.notified().await;
    }

    /// Makes [`Contents::named`] return once more.
    pub fn try_again(&self) {
        self.0.named.notify_one();
    }

    /// The digests that reports name, whose content is not kept and would be kept, the most used
    /// first.
    pub fn missing(&self) -> Vec<String> {
        let state = self.0.state.lock();
        let mut room = MAX_NAMED;
        let mut missing = Vec::new();
        for (digest, _) in state.most_used() {
            match state.kept.get(digest) {
                Some(content) => room = room.saturating_sub(content.bytes),
                None if room > 0 => missing.push(digest.to_owned()),
                None => {}
            }
        }
        missing
    }

    /// The number of contents, and the memory that they take.
    pub fn kept(&self) -> (usize, usize) {
        let state = self.0.state.lock();
        (state.kept.len(), state.kept.values().map(|content| content.bytes).sum())
    }
}

impl State {
    fn one_less(&mut self, digest: &str) {
        if let Some(count) = self.nodes.get_mut(digest) {
            *count -= 1;
            if *count == 0 {
                self.nodes.remove(digest);
            }
        }
        self.make_room("");
    }

    /// The digests that reports name, with the number of nodes, the most used first.
    fn most_used(&self) -> Vec<(&str, usize)> {
        let mut used: Vec<_> =
            self.nodes.iter().map(|(digest, count)| (&**digest, *count)).collect();
        used.sort_by_key(|(digest, count)| (Reverse(*count), *digest));
        used
    }

    /// Removes contents until the others fit. Of those that nobody names, the newest stays longest.
    fn make_room(&mut self, newest: &str) {
        let is_named = |digest: &String| self.nodes.contains_key(digest.as_str());
        let sum = |named: bool| -> usize {
            let kept = self.kept.iter().filter(|(digest, _)| is_named(digest) == named);
            kept.map(|(_, content)| content.bytes).sum()
        };
        if sum(true) <= MAX_NAMED && sum(false) <= MAX_SPARE {
            return;
        }
        let mut stay = BTreeSet::new();
        let mut room = MAX_NAMED;
        for (digest, _) in self.most_used() {
            let Some(content) = self.kept.get(digest) else { continue };
            if content.bytes > room {
                break;
            }
            room -= content.bytes;
            stay.insert(digest.to_owned());
        }
        let mut room = MAX_SPARE;
        let spare = self.kept.iter().filter(|(digest, _)| !is_named(digest));
        let (first, others): (Vec<_>, Vec<_>) = spare.partition(|(digest, _)| *digest == newest);
        for (digest, content) in first.into_iter().chain(others) {
            if content.bytes <= room {
                room -= content.bytes;
                stay.insert(digest.clone());
            }
        }
        self.kept.retain(|digest, _| stay.contains(digest));
    }
}

/// The memory that a content takes, about.
fn size(spec: &LsmHookProfileSpec) -> usize {
    let sets = [&spec.hooks, &spec.sleepable_hooks, &spec.refused_hooks];
    let names = sets.into_iter().flatten().map(|name| name.len() + BYTES_PER_NAME);
    spec.kernel.len() + names.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A content that takes about that many bytes.
    fn content(kernel: &str, bytes: usize) -> (String, Arc<LsmHookProfileSpec>) {
        let hooks = (0..bytes / 100).map(|number| format!("{number:044}")).collect();
        let spec = LsmHookProfileSpec { kernel: kernel.to_owned(), hooks, ..Default::default() };
        (spec.digest(), Arc::new(spec))
    }

    #[test]
    fn a_flood_of_contents_keeps_those_that_most_nodes_name() {
        let contents = Contents::default();
        let (honest, spec) = content("honest", 25_000);
        contents.offer(&honest, spec);
        for node in 0..10 {
            contents.names(&format!("n{node}"), Some(&honest));
        }
        for number in 0..400 {
            let (digest, spec) = content(&format!("false {number}"), 150_000);
            contents.names(&format!("f{number}"), Some(&digest));
            contents.offer(&digest, spec);
        }
        let (_, bytes) = contents.kept();
        assert!(bytes <= MAX_NAMED + MAX_SPARE, "{bytes}");
        assert!(bytes > MAX_NAMED * 9 / 10, "{bytes}");
        assert!(contents.get(&honest).is_some());
    }

    #[test]
    fn contents_that_nobody_names_take_little() {
        let contents = Contents::default();
        for number in 0..400 {
            let (digest, spec) = content(&number.to_string(), 150_000);
            contents.offer(&digest, spec);
            assert!(contents.get(&digest).is_some(), "the newest is kept");
        }
        assert!(contents.kept().1 <= MAX_SPARE);
    }

    #[tokio::test]
    async fn what_is_named_and_not_kept_is_missing() {
        let contents = Contents::default();
        let (digest, spec) = content("k", 1000);
        contents.names("n1", Some(&digest));
        contents.named().await;
        assert_eq!(contents.missing(), std::slice::from_ref(&digest));
        contents.offer(&digest, spec);
        assert_eq!(contents.missing(), Vec::<String>::new());
        contents.retain_profiles(|_| false);
        assert_eq!(contents.missing(), [digest]);
        contents.retain_nodes(|_| false);
        assert_eq!(contents.missing(), Vec::<String>::new());
    }

    #[test]
    fn a_node_that_names_another_profile_leaves_no_count() {
        let contents = Contents::default();
        for digest in ["a", "b", "a", "c"] {
            contents.names("n1", Some(digest));
        }
        assert_eq!(contents.missing(), ["c"]);
    }
}
