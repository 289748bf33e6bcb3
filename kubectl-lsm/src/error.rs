//! Why a command has no answer, and the exit code for it.
//!
//! The rule: what the caller has to correct in the command line or in a file is wrong use (64).
//! What the caller cannot correct there, for example a cluster that does not answer, cannot be
//! judged (2).

use lsm_ready_crds::ExitCode;

use crate::{ask, cleanup, cluster, documents, explain, find, helm, preflight, read, values};

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Read(#[from] read::Error),
    #[error(transparent)]
    Document(#[from] documents::Error),
    #[error(transparent)]
    Find(#[from] find::Error),
    #[error(transparent)]
    Helm(#[from] helm::Error),
    #[error(transparent)]
    Values(#[from] values::Error),
    #[error(transparent)]
    Preflight(#[from] preflight::Error),
    /// An object in a file of `--nodes` is invalid.
    #[error(transparent)]
    Nodes(#[from] preflight::nodes::Error),
    #[error("cannot start: {0}")]
    Runtime(#[source] std::io::Error),
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    #[error(transparent)]
    UnknownReason(#[from] ask::nodes::UnknownReason),
    #[error(transparent)]
    Explain(#[from] explain::Error),
    #[error(transparent)]
    Cleanup(#[from] cleanup::Error),
    #[error(
        "invalid value {0:?} of --tetragon-version: write a release, for example v1.7.0, or main"
    )]
    Version(String),
    /// Each policy in the files is invalid, or each file is unreadable.
    #[error("{}", .0.join("\n"))]
    Unreadable(Vec<String>),
    #[error("policies and nodes cannot both come from standard input: name a file for one of them")]
    StdinTwice,
    #[error("cannot write the answer to standard output: {0}")]
    Output(#[source] std::io::Error),
}

impl Error {
    /// The exit code.
    pub const fn code(&self) -> ExitCode {
        match self {
            Self::Helm(error) => error.code(),
            Self::Cleanup(error) => error.code(),
            Self::Cluster(error) => error.code(),
            Self::Runtime(_) | Self::Output(_) => ExitCode::CannotBeJudged,
            Self::Read(_)
            | Self::Document(_)
            | Self::Find(_)
            | Self::Values(_)
            | Self::Preflight(_)
            | Self::Nodes(_)
            | Self::Version(_)
            | Self::Unreadable(_)
            | Self::UnknownReason(_)
            | Self::Explain(_)
            | Self::StdinTwice => ExitCode::WrongUse,
        }
    }
}
