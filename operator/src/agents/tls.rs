//! The files for gRPC over TLS, read again when they change.
//!
//! A Secret is mounted at the directory (config/agent-tls), so the operator needs no right to read
//! Secrets. The kubelet replaces the files when the Secret changes.
//!
//! ## Errors
//! Missing or invalid files are reported in the condition of the policies that set `agents.tls`.
//! The agents are not asked until the files are valid.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::tetragon_client::Tls;

const FILES: [&str; 3] = ["ca.crt", "tls.crt", "tls.key"];
/// Maximum number of bytes of a file that are compared: the maximum size of a Secret.
const MAX_LEN: u64 = 1 << 20;

/// The name that the agents' certificates must have; `None` for the address of each agent.
pub type ServerName = Option<String>;

/// Why gRPC over TLS is not possible.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TlsFilesError {
    #[error(
        "gRPC over TLS is not possible: spec.tetragon.agents.tls is set, and the operator was \
         started without --agent-tls-dir. Add the component config/agent-tls to its installation \
         (docs/install.md)"
    )]
    NoDirectory,
    /// Holds the text of the error, because the error itself cannot be cloned.
    #[error("gRPC over TLS is not possible: {0}")]
    Invalid(String),
}

/// The files of one directory, read for each server name.
#[derive(Debug, Default)]
pub struct TlsFiles {
    directory: Option<PathBuf>,
    by_name: Mutex<BTreeMap<ServerName, Files>>,
}

/// The result of the last read.
#[derive(Clone, Debug)]
struct Files {
    revision: u64,
    tls: Result<Arc<Tls>, TlsFilesError>,
}

impl TlsFiles {
    pub fn of(directory: Option<PathBuf>) -> Self {
        Self { directory, by_name: Mutex::default() }
    }

    /// Reads the files again if they have changed, for these server names, and forgets other names.
    /// Returns whether anything changed.
    pub fn refresh(&self, names: &BTreeSet<ServerName>) -> bool {
        if names.is_empty() {
            self.by_name.lock().clear();
            return false;
        }
        let revision = self.directory.as_deref().map_or(0, revision);
        let mut by_name = self.by_name.lock();
        by_name.retain(|name, _| names.contains(name));
        let mut has_changed = false;
        for name in names {
            if by_name.get(name).is_none_or(|files| files.revision != revision) {
                by_name.insert(name.clone(), Files { revision, tls: self.load(name) });
                has_changed = true;
            }
        }
        has_changed
    }

    fn load(&self, name: &ServerName) -> Result<Arc<Tls>, TlsFilesError> {
        let directory = self.directory.as_deref().ok_or(TlsFilesError::NoDirectory)?;
        let tls = Tls::read(directory, name.as_deref());
        tls.map(Arc::new).map_err(|error| TlsFilesError::Invalid(error.to_string()))
    }

    /// The configuration for that server name; `None` before the first read.
    pub fn tls(&self, name: &ServerName) -> Option<Result<Arc<Tls>, TlsFilesError>> {
        self.by_name.lock().get(name).map(|files| files.tls.clone())
    }

    /// A number that changes with the files for that name.
    pub fn revision(&self, name: &ServerName) -> u64 {
        self.by_name.lock().get(name).map_or(0, |files| files.revision)
    }
}

/// A number that changes with the files.
fn revision(directory: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    for name in FILES {
        let mut content = Vec::new();
        let read = File::open(directory.join(name))
            .and_then(|file| file.take(MAX_LEN).read_to_end(&mut content));
        (name, content, read.is_ok()).hash(&mut hasher);
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
        files.tls(&Some(name.to_owned())).unwrap().unwrap_err().to_string()
    }

    #[test]
    fn without_a_directory_the_error_says_what_to_add() {
        let files = TlsFiles::of(None);
        assert!(files.tls(&Some("a".into())).is_none());
        assert!(files.refresh(&names(&["a"])));
        assert!(!files.refresh(&names(&["a"])));
        assert!(error(&files, "a").contains("config/agent-tls"));
    }

    #[test]
    fn files_are_read_again_only_when_they_change() {
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
    fn unused_names_are_forgotten() {
        let files = TlsFiles::of(None);
        files.refresh(&names(&["a", "b"]));
        files.refresh(&names(&["b"]));
        assert!(files.tls(&Some("a".into())).is_none() && files.tls(&Some("b".into())).is_some());
        assert!(!files.refresh(&BTreeSet::new()));
        assert!(files.tls(&Some("b".into())).is_none());
    }
}
