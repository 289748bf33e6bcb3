//! The project's own images, as OCI archives in `target/images`.
//!
//! In: the static programs of `make static`. Out: an archive for each image, and beside it the SBOM
//! of each of the product's images, named by the image's digest. Another engine (docker, podman or
//! buildah) builds the product's images from their Containerfiles, without an SBOM; without one
//! they are written by [`Image`], the same bytes each time. The image with the test agent, which
//! stands in for Tetragon's, is never made with another engine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::contents::bom::Subject;
use super::contents::{self, bom, notices, of_program, parts};
use super::{Error, Image, digest};
use crate::command::{self, run};
use crate::paths;
use crate::stock_kernel::Arch;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The most bytes that the archive of one of the product's images may have. Nodes pull the probe
/// when they join, and nothing is judged before.
const MAX_BYTES: u64 = 15_000_000;
/// The releases of Tetragon whose behaviour the test agent has.
const RELEASES: [&str; 2] = ["v1.3.0", "v1.7.0"];

/// What keeps an image from being built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The archive.
    #[error(transparent)]
    Image(#[from] Error),
    /// The SBOM or the licence texts.
    #[error(transparent)]
    Contents(#[from] contents::Error),
    /// The programs of another build are different.
    #[error("the image {name} has the digest {first}, and {second} with the programs of {folder}")]
    Different {
        /// The image.
        name: &'static str,
        /// The digest of the archive in target/images.
        first: String,
        /// The digest with the other programs.
        second: String,
        /// Where the other programs are.
        folder: String,
    },
    /// The archive of an image is too large.
    #[error(
        "{} has {bytes} bytes, more than {MAX_BYTES}: look for what its program has grown by",
        file.display()
    )]
    TooLarge {
        /// The archive.
        file: PathBuf,
        /// Its size.
        bytes: u64,
    },
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

/// One of the product's two images.
struct Product {
    name: &'static str,
    package: &'static str,
    user: &'static str,
    description: &'static str,
}

const PRODUCTS: [Product; 2] = [
    Product {
        name: "operator",
        package: "lsm-ready-operator",
        user: "65532",
        description: "Says on Nodes and LsmPolicies which nodes can deny through LSM BPF",
    },
    Product {
        name: "node-probe",
        package: "node-probe",
        user: "0",
        description: "Finds out whether a node can deny through LSM BPF, by denying a call",
    },
];

/// Builds all images and returns a line for each: its archive and its name.
pub fn build(engine: Option<&str>) -> Result<Vec<String>, BuildError> {
    let mut lines = Vec::new();
    for product in PRODUCTS {
        if let Some(engine) = engine {
            let built = product.image(Arch::HOST);
            build_with(engine, product.name, &built)?;
            check_size(&built.file)?;
            lines.push(built.line());
        } else {
            lines.extend(product.build(Arch::HOST)?);
        }
    }
    for release in RELEASES {
        let built = test_agent(release);
        built.image.write_file(&built.file)?;
        lines.push(built.line());
    }
    Ok(lines)
}

/// Builds the product's images of programs that were cross-compiled, and returns a line for each.
pub fn build_for(arch: Arch) -> Result<Vec<String>, BuildError> {
    let mut lines = Vec::new();
    for product in PRODUCTS {
        lines.extend(product.build(arch)?);
    }
    Ok(lines)
}

/// Makes the product's images again, of the programs in another folder, and compares their digests
/// with those of the archives. Returns a line for each image.
pub fn compare(folder: &Path) -> Result<Vec<String>, BuildError> {
    let compare = |product: &Product| {
        let name = product.name;
        let mut built = product.image(Arch::HOST);
        let first = digest(&built.file)?;
        product.write_notices(Arch::HOST)?;
        built.image.files.insert(format!("/{name}"), folder.join(name));
        let second = built.image.write(std::io::sink())?;
        if first == second {
            return Ok(format!("{name}: {first}, twice"));
        }
        let folder = folder.display().to_string();
        Err(BuildError::Different { name, first, second, folder })
    };
    PRODUCTS.iter().map(compare).collect()
}

impl Built {
    fn line(&self) -> String {
        format!("{}  {}", relative(&self.file), self.image.name)
    }
}

/// The path as a person in the checkout types it.
fn relative(file: &Path) -> String {
    file.strip_prefix(paths::workspace()).unwrap_or(file).display().to_string()
}

/// Images for another architecture are in a folder of their own.
fn folder(arch: Arch) -> PathBuf {
    let images = paths::workspace().join("target/images");
    if arch == Arch::HOST { images } else { images.join(arch.name()) }
}

fn archive(arch: Arch, name: &str) -> PathBuf {
    folder(arch).join(format!("{name}.tar"))
}

impl Product {
    /// Writes the image and its SBOM, and returns a line for each.
    fn build(&self, arch: Arch) -> Result<[String; 2], BuildError> {
        let built = self.image(arch);
        self.write_notices(arch)?;
        let digest = built.image.write_file(&built.file)?;
        check_size(&built.file)?;
        Ok([self.write_bom(arch, &digest)?, built.line()])
    }

    fn notices(&self, arch: Arch) -> PathBuf {
        archive(arch, self.name).with_extension("third-party.txt")
    }

    fn write_notices(&self, arch: Arch) -> Result<(), BuildError> {
        Ok(write_file(&self.notices(arch), &notices_of(self.package, arch)?)?)
    }

    fn image(&self, arch: Arch) -> Built {
        let Self { name, user, .. } = self;
        let image = Image {
            name: format!("docker.io/lsm-ready/{name}:{VERSION}"),
            entrypoint: vec![format!("/{name}")],
            user: Some((*user).to_owned()),
            architecture: arch.name().to_owned(),
            files: BTreeMap::from([
                (format!("/{name}"), paths::static_program_for(arch, name)),
                ("/licenses/LICENSE".to_owned(), paths::workspace().join("LICENSE")),
                ("/licenses/THIRD-PARTY.txt".to_owned(), self.notices(arch)),
            ]),
            labels: labels(name, self.description),
        };
        Built { file: archive(arch, name), image }
    }

    /// Writes the SBOM of the image with that digest, and removes those of earlier images. Returns
    /// its path.
    fn write_bom(&self, arch: Arch, digest: &str) -> Result<String, BuildError> {
        let crates = of_program(self.package, arch)?;
        let parts = parts::of_program(self.package, arch)?;
        let subject = Subject { name: self.name, digest, licence: "Apache-2.0" };
        let document = bom::document(subject, &crates, &parts)?;
        let folder = folder(arch);
        let prefix = format!("{}@", self.name);
        for entry in std::fs::read_dir(&folder).map_err(Error::from)? {
            let entry = entry.map_err(Error::from)?;
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                paths::remove_file(&entry.path()).map_err(Error::from)?;
            }
        }
        let file = folder.join(format!("{prefix}{}.cdx.json", digest.replace(':', "-")));
        write_file(&file, &document)?;
        Ok(relative(&file))
    }
}

/// The labels of one of the product's images. A release adds where its sources are: registries
/// read that, and the sources alone do not know it.
fn labels(name: &str, description: &str) -> BTreeMap<String, String> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let labels = [
        ("title", Some(format!("lsm-ready {name}"))),
        ("description", Some(description.to_owned())),
        ("version", Some(VERSION.to_owned())),
        ("licenses", Some("Apache-2.0".to_owned())),
        ("source", set("IMAGE_SOURCE")),
        ("revision", set("IMAGE_REVISION")),
    ];
    let named = labels
        .into_iter()
        .filter_map(|(key, value)| Some((format!("org.opencontainers.image.{key}"), value?)));
    named.collect()
}

/// Fails if the archive is larger than one of the product's images may be.
fn check_size(file: &Path) -> Result<(), BuildError> {
    let bytes = std::fs::metadata(file).map_err(Error::from)?.len();
    if bytes <= MAX_BYTES {
        return Ok(());
    }
    Err(BuildError::TooLarge { file: file.to_owned(), bytes })
}

/// The text of THIRD-PARTY.txt in the image with the program of that package.
pub fn notices_of(package: &str, arch: Arch) -> Result<String, contents::Error> {
    notices::text(&of_program(package, arch)?, &parts::of_program(package, arch)?)
}

fn write_file(path: &Path, text: &str) -> Result<(), Error> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(std::fs::write(path, text)?)
}

/// A link named tetra is the client of the test agent.
fn test_agent(release: &str) -> Built {
    let names = ["/usr/bin/tetragon", "/usr/bin/tetra"];
    let image = Image {
        name: format!("lsm-ready.test/tetragon:{release}"),
        entrypoint: vec![names[0].to_owned(), format!("--release={release}")],
        user: Some("0".to_owned()),
        architecture: Arch::HOST.name().to_owned(),
        files: names.map(|name| (name.to_owned(), paths::static_program("tetragon"))).into(),
        labels: BTreeMap::new(),
    };
    Built { file: archive(Arch::HOST, &format!("tetragon-{release}")), image }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_the_product_says_what_it_is() {
        let image = PRODUCTS[1].image(Arch::HOST).image;
        let label = |key: &str| image.labels[&format!("org.opencontainers.image.{key}")].as_str();
        assert_eq!(label("title"), "lsm-ready node-probe");
        assert_eq!((label("version"), label("licenses")), (VERSION, "Apache-2.0"));
        assert!(!label("description").is_empty());
    }

    /// Another engine builds the image from the Containerfile.
    #[test]
    fn the_containerfiles_set_the_same_labels() {
        for product in PRODUCTS {
            let file = paths::workspace().join(product.name).join("Containerfile");
            let text = std::fs::read_to_string(&file).unwrap();
            for (key, value) in labels(product.name, product.description) {
                let is_of_a_release = ["source", "revision"].iter().any(|end| key.ends_with(end));
                let wanted = format!("{key}=\"{value}\"");
                assert!(
                    is_of_a_release || text.contains(&wanted),
                    "{} lacks {wanted}",
                    file.display()
                );
            }
        }
    }

    #[test]
    fn an_archive_that_is_too_large_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("image.tar");
        let sized = |bytes| {
            std::fs::File::create(&file).unwrap().set_len(bytes).unwrap();
            check_size(&file).map_err(|error| error.to_string())
        };
        assert_eq!(sized(MAX_BYTES), Ok(()));
        assert!(sized(MAX_BYTES + 1).unwrap_err().contains("15000001 bytes"));
    }
}
