//! Container images without Docker: one layer, as an OCI archive.
//!
//! In: a name, files and the command. Out: a tar in the OCI image layout, which `ctr images
//! import`, `podman load` and `docker load` take. The same input gives the same bytes: there are no
//! times and no owners, and the order is fixed.

pub mod contents;
pub mod project;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What goes wrong with an image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        source: io::Error,
    },
    /// A file is no archive of an image.
    #[error("{} is no OCI archive: build it with `make images`", .0.display())]
    Archive(PathBuf),
    /// The archive cannot be written.
    #[error("cannot write the image: {0}")]
    Write(#[from] io::Error),
    /// The path of a file in the image is invalid.
    #[error(
        "invalid path in an image {0:?}: use an absolute path without '..', for example /bin/a"
    )]
    Destination(String),
    /// A description of a file is invalid.
    #[error("invalid file {0:?}: use SOURCE=DESTINATION, for example ./a=/bin/a")]
    File(String),
}

/// The content of an image.
#[derive(Clone, Debug)]
pub struct Image {
    /// The name and tag.
    pub name: String,
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// The number of the user that runs it.
    pub user: Option<String>,
    /// The processor architecture, by Go's name: amd64, arm64.
    pub architecture: String,
    /// Files on this machine, by their paths in the image.
    pub files: BTreeMap<String, PathBuf>,
    /// Labels, for example `org.opencontainers.image.title`.
    pub labels: BTreeMap<String, String>,
}

impl Image {
    /// Writes the archive and returns the digest of its manifest.
    pub fn write(&self, output: impl Write) -> Result<String, Error> {
        let contents = self.layer()?;
        let layer = Blob::new(LAYER, compressed(&contents)?);
        let config = Blob::json(CONFIG, &self.config(&sha256(&contents)));
        let manifest = Blob::json(
            MANIFEST,
            &json!({
                "schemaVersion": 2, "mediaType": MANIFEST,
                "config": config.descriptor(), "layers": [layer.descriptor()],
            }),
        );
        let index = self.index(&manifest);

        let mut archive = tar::Builder::new(output);
        append(&mut archive, "oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        append(&mut archive, "index.json", 0o644, index.to_string().as_bytes())?;
        for blob in [&layer, &config, &manifest] {
            append(&mut archive, &format!("blobs/sha256/{}", blob.digest), 0o644, &blob.bytes)?;
        }
        archive.into_inner()?.flush()?;
        Ok(format!("sha256:{}", manifest.digest))
    }

    /// Writes the archive to a file and returns the digest of its manifest. The file appears only
    /// when it is complete.
    pub fn write_file(&self, path: &Path) -> Result<String, Error> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let partial = path.with_extension("partial");
        let digest = self.write(BufWriter::new(File::create(&partial)?))?;
        fs::rename(partial, path)?;
        Ok(digest)
    }

    /// The name with a registry, as containerd stores it.
    pub fn reference(&self) -> String {
        match self.name.split_once('/') {
            Some((registry, _)) if registry.contains(['.', ':']) || registry == "localhost" => {
                self.name.clone()
            }
            Some(_) => format!("docker.io/{}", self.name),
            None => format!("docker.io/library/{}", self.name),
        }
    }

    fn layer(&self) -> Result<Vec<u8>, Error> {
        let mut layer = tar::Builder::new(Vec::new());
        let mut folders = std::collections::BTreeSet::new();
        let mut stored = BTreeMap::new();
        for (destination, source) in &self.files {
            let place = place(destination)?;
            let above: Vec<_> =
                place.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty()).collect();
            for folder in above.into_iter().rev() {
                if folders.insert(folder.to_owned()) {
                    append_folder(&mut layer, folder)?;
                }
            }
            // A program with several names is stored once.
            if let Some(first) = stored.insert(source, place) {
                append_link(&mut layer, place, first)?;
                continue;
            }
            let read = || Ok((fs::metadata(source)?, fs::read(source)?));
            let (metadata, bytes) =
                read().map_err(|error| Error::Read { path: source.clone(), source: error })?;
            append(&mut layer, &place.to_string_lossy(), mode(&metadata), &bytes)?;
        }
        Ok(layer.into_inner()?)
    }

    /// `contents` is the digest of the layer before it is compressed.
    fn config(&self, contents: &str) -> Value {
        let mut run = json!({
            "Entrypoint": self.entrypoint,
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "WorkingDir": "/",
        });
        if let Some(user) = &self.user {
            run["User"] = json!(user);
        }
        if !self.labels.is_empty() {
            run["Labels"] = json!(self.labels);
        }
        json!({
            "architecture": self.architecture, "os": "linux", "config": run,
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{contents}")]},
        })
    }

    fn index(&self, manifest: &Blob) -> Value {
        let reference = self.reference();
        let mut descriptor = manifest.descriptor();
        descriptor["platform"] = json!({"architecture": self.architecture, "os": "linux"});
        descriptor["annotations"] = json!({
            "io.containerd.image.name": reference,
            "org.opencontainers.image.ref.name": reference,
        });
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]})
    }
}

/// The bytes as gzip, without a time: equal bytes are compressed equally.
fn compressed(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(bytes)?;
    Ok(gzip.finish()?)
}

/// The digest of the manifest of the first image in an archive.
pub fn digest(archive: &Path) -> Result<String, Error> {
    let wrong = || Error::Archive(archive.to_owned());
    let file = File::open(archive).map_err(|_| wrong())?;
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries()? {
        let entry = entry?;
        if entry.path()? == Path::new("index.json") {
            let index: Value = serde_json::from_reader(entry).map_err(|_| wrong())?;
            let digest = index["manifests"][0]["digest"].as_str();
            return digest.map(str::to_owned).ok_or_else(wrong);
        }
    }
    Err(wrong())
}

/// Parses `SOURCE=DESTINATION`.
pub fn parse_file(text: &str) -> Result<(String, PathBuf), Error> {
    let (source, destination) = text.split_once('=').ok_or_else(|| Error::File(text.to_owned()))?;
    Ok((destination.to_owned(), PathBuf::from(source)))
}

/// The digest of these bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut digest = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a String cannot fail.
        let _ = write!(digest, "{byte:02x}");
    }
    digest
}

struct Blob {
    media_type: &'static str,
    bytes: Vec<u8>,
    digest: String,
}

impl Blob {
    fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        let digest = sha256(&bytes);
        Self { media_type, bytes, digest }
    }

    fn json(media_type: &'static str, value: &Value) -> Self {
        Self::new(media_type, value.to_string().into_bytes())
    }

    fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": format!("sha256:{}", self.digest), "size": self.bytes.len()})
    }
}

/// The path inside the layer: relative, without `..`.
fn place(destination: &str) -> Result<&Path, Error> {
    let path = Path::new(destination.strip_prefix('/').unwrap_or_default());
    let plain = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if path.as_os_str().is_empty() || !plain {
        return Err(Error::Destination(destination.to_owned()));
    }
    Ok(path)
}

/// The mode in the layer. Only whether a file can be executed is taken from it: the rest depends on
/// a umask.
fn mode(metadata: &fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    if metadata.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 }
}

fn header(size: usize, mode: u32, kind: tar::EntryType) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size as u64);
    header.set_mode(mode);
    header.set_entry_type(kind);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn append<W: Write>(
    archive: &mut tar::Builder<W>,
    path: &str,
    mode: u32,
    bytes: &[u8],
) -> io::Result<()> {
    archive.append_data(&mut header(bytes.len(), mode, tar::EntryType::Regular), path, bytes)
}

fn append_folder<W: Write>(archive: &mut tar::Builder<W>, path: &Path) -> io::Result<()> {
    archive.append_data(&mut header(0, 0o755, tar::EntryType::Directory), path, io::empty())
}

/// Adds `path` as a hard link to `first`.
fn append_link<W: Write>(
    archive: &mut tar::Builder<W>,
    path: &Path,
    first: &Path,
) -> io::Result<()> {
    archive.append_link(&mut header(0, 0o755, tar::EntryType::Link), path, first)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    fn image(dir: &Path) -> Image {
        let program = dir.join("program");
        fs::write(&program, b"#!/bin/true").unwrap();
        fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        Image {
            name: "lsm-ready/probe:dev".to_owned(),
            entrypoint: vec!["/bin/program".to_owned()],
            user: Some("65532".to_owned()),
            architecture: "amd64".to_owned(),
            files: BTreeMap::from([("/bin/program".to_owned(), program)]),
            labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        }
    }

    fn entries(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().to_string_lossy().into_owned(), bytes)
        });
        entries.collect()
    }

    #[test]
    fn the_same_input_gives_the_same_bytes() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [one, two] = dirs.map(|dir| {
            let mut bytes = Vec::new();
            let digest = image(dir.path()).write(&mut bytes).unwrap();
            (digest, bytes)
        });
        assert_eq!(one, two);
    }

    #[test]
    fn the_digest_is_read_from_the_archive_and_changes_with_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let (image, archive) = (image(dir.path()), dir.path().join("image.tar"));
        let written = image.write_file(&archive).unwrap();
        assert_eq!(digest(&archive).unwrap(), written);
        fs::write(dir.path().join("program"), b"#!/bin/false").unwrap();
        assert_ne!(image.write(io::sink()).unwrap(), written);
        assert!(digest(&dir.path().join("program")).is_err());
    }

    #[test]
    fn every_digest_in_the_index_leads_to_a_blob() {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = Vec::new();
        let digest = image(dir.path()).write(&mut bytes).unwrap();
        let entries = entries(&bytes);
        let json = |path: &str| -> Value { serde_json::from_slice(&entries[path]).unwrap() };
        let blob = |digest: &Value| format!("blobs/{}", digest.as_str().unwrap().replace(':', "/"));

        let found = &json("index.json")["manifests"][0];
        assert_eq!(found["digest"], digest);
        assert_eq!(
            found["annotations"]["io.containerd.image.name"],
            "docker.io/lsm-ready/probe:dev"
        );
        let manifest = json(&blob(&found["digest"]));
        let config = json(&blob(&manifest["config"]["digest"]));
        assert_eq!(config["config"]["User"], "65532");
        assert_eq!(config["config"]["Labels"], json!({"a": "b"}));
        let layer = blob(&manifest["layers"][0]["digest"]);
        let mut contents = Vec::new();
        GzDecoder::new(entries[&layer].as_slice()).read_to_end(&mut contents).unwrap();
        assert_eq!(self::entries(&contents).keys().collect::<Vec<_>>(), ["bin", "bin/program"]);
        assert_eq!(config["rootfs"]["diff_ids"], json!([format!("sha256:{}", sha256(&contents))]));
    }

    #[test]
    fn one_program_under_two_names_is_stored_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut image = image(dir.path());
        image.files.insert("/bin/second".to_owned(), dir.path().join("program"));
        let layer = image.layer().unwrap();
        let mut archive = tar::Archive::new(layer.as_slice());
        let second = archive.entries().unwrap().last().unwrap().unwrap();
        assert_eq!(second.path().unwrap(), Path::new("bin/second"));
        assert_eq!((second.header().entry_type(), second.size()), (tar::EntryType::Link, 0));
        assert_eq!(second.link_name().unwrap().unwrap(), Path::new("bin/program"));
    }

    #[test]
    fn a_reference_has_the_registry_that_containerd_adds() {
        let dir = tempfile::tempdir().unwrap();
        let reference =
            |name: &str| Image { name: name.to_owned(), ..image(dir.path()) }.reference();
        assert_eq!(reference("busybox:1"), "docker.io/library/busybox:1");
        assert_eq!(reference("lsm-ready/probe:1"), "docker.io/lsm-ready/probe:1");
        assert_eq!(reference("ghcr.io/x/y:1"), "ghcr.io/x/y:1");
    }

    #[test]
    fn a_path_outside_the_image_is_refused() {
        for bad in ["bin/x", "/", "/../x", ""] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }
}
