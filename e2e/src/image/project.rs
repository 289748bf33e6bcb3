//! The project's own images, as OCI archives in `target/images`.
//!
//! In: the static programs of `make static`. Out: an archive for each image. Another engine
//! (docker, podman or buildah) builds the product's images from their Containerfiles; without one
//! they are written by [`Image`], the same bytes each time. The image with the test agent, which
//! stands in for Tetragon's, is never made with another engine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Error, Image};
use crate::command::{self, run};
use crate::paths;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
/// The releases of Tetragon whose behaviour the test agent has.
const RELEASES: [&str; 2] = ["v1.3.0", "v1.7.0"];

/// What keeps an image from being built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The archive.
    #[error(transparent)]
    Image(#[from] Error),
    /// Another engine failed.
    #[error(transparent)]
    Command(#[from] command::Error),
    /// An engine that is not known.
    #[error("invalid ENGINE {0:?}: use docker, podman or buildah")]
    Engine(String),
}

/// An image, and the file of its archive.
struct Built {
    file: PathBuf,
    image: Image,
}

/// Builds all images and returns a line for each: its archive and its name.
pub fn build(engine: Option<&str>) -> Result<Vec<String>, BuildError> {
    let mut lines = Vec::new();
    for (name, user) in [("operator", "65532"), ("node-probe", "0")] {
        let built = product(name, user);
        match engine {
            Some(engine) => build_with(engine, name, &built)?,
            None => drop(built.image.write_file(&built.file)?),
        }
        lines.push(built.line());
    }
    for release in RELEASES {
        let built = test_agent(release);
        built.image.write_file(&built.file)?;
        lines.push(built.line());
    }
    Ok(lines)
}

impl Built {
    fn line(&self) -> String {
        let file = self.file.strip_prefix(paths::workspace()).unwrap_or(&self.file);
        format!("{}  {}", file.display(), self.image.name)
    }
}

fn archive(name: &str) -> PathBuf {
    paths::workspace().join("target/images").join(format!("{name}.tar"))
}

fn product(name: &str, user: &str) -> Built {
    let image = Image {
        name: format!("docker.io/lsm-ready/{name}:{VERSION}"),
        entrypoint: vec![format!("/{name}")],
        user: Some(user.to_owned()),
        architecture: ARCHITECTURE.to_owned(),
        files: BTreeMap::from([(format!("/{name}"), paths::static_program(name))]),
    };
    Built { file: archive(name), image }
}

/// A link named tetra is the client of the test agent.
fn test_agent(release: &str) -> Built {
    let names = ["/usr/bin/tetragon", "/usr/bin/tetra"];
    let image = Image {
        name: format!("lsm-ready.test/tetragon:{release}"),
        entrypoint: vec![names[0].to_owned(), format!("--release={release}")],
        user: Some("0".to_owned()),
        architecture: ARCHITECTURE.to_owned(),
        files: names.map(|name| (name.to_owned(), paths::static_program("tetragon"))).into(),
    };
    Built { file: archive(&format!("tetragon-{release}")), image }
}

/// Builds an image from its Containerfile.
fn build_with(engine: &str, folder: &str, wanted: &Built) -> Result<(), BuildError> {
    let (name, file) = (wanted.image.name.as_str(), wanted.file.display().to_string());
    let program = |arguments: &[&str]| {
        let mut command = Command::new(engine);
        command.current_dir(paths::workspace()).args(arguments);
        command
    };
    let containerfile = format!("{folder}/Containerfile");
    let build = ["build", "-q", "-t", name, "-f", &containerfile, "."];
    match engine {
        "docker" | "podman" => {
            run(&mut program(&build))?;
            run(&mut program(&["save", "-o", &file, name]))?;
        }
        "buildah" => {
            paths::remove_file(Path::new(&file)).map_err(Error::from)?;
            run(&mut program(&build))?;
            run(&mut program(&["push", "-q", name, &format!("oci-archive:{file}:{name}")]))?;
        }
        other => return Err(BuildError::Engine(other.to_owned())),
    }
    Ok(())
}
