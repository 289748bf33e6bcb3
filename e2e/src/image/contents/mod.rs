//! What a program of an image was built from, as its SBOM and its licence texts say it.
//!
//! In: a package of this workspace, Cargo.lock and the sources that cargo has downloaded. Out: the
//! crates that are linked into the program ([`crates`]), the parts that are no crates
//! ([`parts`]), an SBOM in CycloneDX ([`bom`]) and the texts of the licences ([`notices`]).

pub mod bom;
pub mod crates;
pub mod notices;
pub mod parts;

pub use crates::{Crate, of_program};
pub use parts::Part;

use crate::command;

/// Why it cannot be said what is in an image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// cargo, rustc or dpkg-query failed.
    #[error(transparent)]
    Command(#[from] command::Error),
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file or folder.
        path: String,
        source: std::io::Error,
    },
    /// A line of cargo's output that is not understood.
    #[error("cargo tree printed a line that is not understood: {0:?}")]
    Line(String),
    /// A crate without the text of its licence.
    #[error(
        "crate {0} has no licence text: add it to the crates whose text is that of ./LICENSE in \
         e2e/src/image/contents/notices.rs, if Apache-2.0 is one of its licences"
    )]
    NoText(String),
    /// The SBOM cannot be written.
    #[error("cannot write the SBOM: {0}")]
    Bom(String),
}
