//! The files for gRPC over TLS, which are read anew when they change.
//!
//! A Secret is mounted at the directory (config/agent-tls), so that the operator needs no right to read Secrets. The kubelet
//! replaces the files when the Secret changes.
//!
//! ## Errors
//! Files that are missing or cannot be used are told in the condition of the policies that want TLS, and their agents are not
//! asked until the files can be used.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::tetragon_client::Tls;

/// The files that may be there.
const FILES: [&str; 3] = ["ca.crt", "tls.crt", "tls.key"];
/// Longest part of a file that is compared, in bytes: as much as a Secret holds.
const LONGEST: u64 = 1 << 20;

/// The name that the agents' certificates must have; none for the address of each agent.
pub type ServerName = Option<String>;

/// The files of one directory, read for each server name.
#[derive(Debug, Default)]
pub struct TlsFiles {
    directory: Option<PathBuf>,
    read: Mutex<BTreeMap<ServerName, Files>>,
}

/// What the files were when they were read.
#[derive(Clone, Debug)]
struct Files {
    revision: u64,
    tls: Result<Arc<Tls>, String>,
}

impl TlsFiles {
    /// The files of that directory, if there is one.
    pub fn of(directory: Option<PathBuf>) -> Self {
        Self { directory, read: Mutex::default() }
    }

    /// Reads the files that have changed, for these server names; forgets other names. Says whether anything is new.
    pub fn refresh(&self, names: &BTreeSet<ServerName>) -> bool {
        if names.is_empty() {
            self.lock().clear();
            return false;
        }
        let revision = self.directory.as_deref().map_or(0, revision);
        let mut read = self.lock();
        read.retain(|name, _| names.contains(name));
        let mut is_new = false;
        for name in names {
            if read.get(name).is_none_or(|files| files.revision != revision) {
                read.insert(name.clone(), Files { revision, tls: self.load(name) });
                is_new = true;
            }
        }
        is_new
    }

    fn load(&self, name: &ServerName) -> Result<Arc<Tls>, String> {
        let Some(directory) = &self.directory else {
            return Err(
                "spec.tetragon.agents.tls is set, and the operator was started without --agent-tls-dir: add the \
                        component config/agent-tls to its installation (docs/install.md)"
                    .to_owned(),
            );
        };
        let read = Tls::read(directory, name.as_deref());
        read.map(Arc::new).map_err(|error| format!("gRPC over TLS is not possible: {error}"))
    }

    /// For that server name; none where it was not read yet.
    pub fn tls(&self, name: &ServerName) -> Option<Result<Arc<Tls>, String>> {
        self.lock().get(name).map(|files| files.tls.clone())
    }

    /// What the files were when they were read for that name: another revision is another occasion to ask.
    pub fn revision(&self, name: &ServerName) -> u64 {
        self.lock().get(name).map_or(0, |files| files.revision)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ServerName, Files>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number that changes with the files.
fn revision(directory: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    for name in FILES {
        let mut content = Vec::new();
        let read = File::open(directory.join(name))
            .and_then(|file| file.take(LONGEST).read_to_end(&mut content));
        (name, content, read.map_err(|error| error.kind()).is_ok()).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<ServerName> {
        names.iter().map(|name| Some((*name).to_owned())).collect()
    }

    fn error(files: &TlsFiles, name: &str) -> String {
        files.tls(&Some(name.to_owned())).unwrap().unwrap_err()
    }

    #[test]
    fn without_a_directory_the_condition_says_what_to_add() {
        let files = TlsFiles::of(None);
        assert!(files.tls(&Some("a".into())).is_none());
        assert!(files.refresh(&names(&["a"])));
        assert!(!files.refresh(&names(&["a"])));
        assert!(error(&files, "a").contains("config/agent-tls"));
    }

    #[test]
    fn files_are_read_when_they_change_and_only_then() {
        let directory = tempfile::tempdir().unwrap();
        let files = TlsFiles::of(Some(directory.path().to_owned()));
        assert!(files.refresh(&names(&["a"])));
        assert!(error(&files, "a").contains("ca.crt"));
        let before = files.revision(&Some("a".into()));
        for content in ["no certificate", "nor this"] {
            std::fs::write(directory.path().join("ca.crt"), content).unwrap();
            assert!(files.refresh(&names(&["a"])));
            assert!(!files.refresh(&names(&["a"])));
            assert!(error(&files, "a").contains("BEGIN CERTIFICATE"), "{}", error(&files, "a"));
            assert_ne!(files.revision(&Some("a".into())), before);
        }
        std::fs::remove_file(directory.path().join("ca.crt")).unwrap();
        assert!(files.refresh(&names(&["a"])));
        assert_eq!(files.revision(&Some("a".into())), before);
    }

    #[test]
    fn names_that_nobody_wants_are_forgotten() {
        let files = TlsFiles::of(None);
        files.refresh(&names(&["a", "b"]));
        files.refresh(&names(&["b"]));
        assert!(files.tls(&Some("a".into())).is_none() && files.tls(&Some("b".into())).is_some());
        assert!(!files.refresh(&BTreeSet::new()));
        assert!(files.tls(&Some("b".into())).is_none());
    }
}
