//! The SBOM of an image, in CycloneDX 1.5 as JSON.
//!
//! In: the image's name and digest, and what its program was built from. Out: the document, without
//! times and random numbers, so that the same image always has the same SBOM.

use cyclonedx_bom::models::bom::{Bom, SpecVersion};
use cyclonedx_bom::models::component::{Classification, Component, Components};
use cyclonedx_bom::models::dependency::{Dependencies, Dependency};
use cyclonedx_bom::models::hash::{Hash, HashAlgorithm, HashValue, Hashes};
use cyclonedx_bom::models::license::{LicenseChoice, Licenses};
use cyclonedx_bom::models::metadata::Metadata;
use cyclonedx_bom::models::property::{Properties, Property};
use cyclonedx_bom::models::tool::{Tool, Tools};
use cyclonedx_bom::prelude::{NormalizedString, Purl, Validate as _};

use super::{Crate, Error, Part};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The image that the SBOM is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// For example `operator`.
    pub name: &'a str,
    /// The digest of the manifest: `sha256:…`.
    pub digest: &'a str,
    /// The license of this repository.
    pub licence: &'a str,
}

/// The document. The image depends on its program, and the program on its crates and parts.
pub fn document(subject: Subject<'_>, crates: &[Crate], parts: &[Part]) -> Result<String, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Bom(error.to_string());
    let mut components = crates.iter().map(of_crate).collect::<Result<Vec<_>, _>>()?;
    components.extend(parts.iter().map(of_part));
    let bom = Bom {
        spec_version: SpecVersion::V1_5,
        // A serial number is random; the digest names this document.
        serial_number: None,
        metadata: Some(metadata(subject)?),
        components: Some(Components(components)),
        dependencies: Some(dependencies(subject, crates, parts)),
        ..Bom::default()
    };
    let validated = bom.validate_version(SpecVersion::V1_5);
    if !validated.passed() {
        return Err(Error::Bom(format!("{:?}", validated.errors().collect::<Vec<_>>())));
    }
    let mut json = Vec::new();
    bom.output_as_json(&mut json, SpecVersion::V1_5).map_err(|error| failed(&error))?;
    json.push(b'\n');
    String::from_utf8(json).map_err(|error| failed(&error))
}

fn metadata(subject: Subject<'_>) -> Result<Metadata, Error> {
    let mut image =
        Component::new(Classification::Container, subject.name, VERSION, Some(reference(subject)));
    image.purl = Some(purl("oci", subject.name, subject.digest)?);
    image.hashes = subject.digest.strip_prefix("sha256:").map(sha256);
    image.licenses = Some(licences(subject.licence));
    let tool = Tool::new("lsm-ready", "rig image build", VERSION);
    Ok(Metadata {
        tools: Some(Tools::List(vec![tool])),
        component: Some(image),
        ..Metadata::default()
    })
}

fn reference(subject: Subject<'_>) -> String {
    format!("image:{}@{}", subject.name, subject.digest)
}

fn of_crate(found: &Crate) -> Result<Component, Error> {
    let kind = if found.is_ours { Classification::Application } else { Classification::Library };
    let mut component = Component::new(kind, &found.name, &found.version, Some(found.id()));
    component.licenses = Some(licences(&found.licence));
    component.hashes = found.checksum.as_deref().map(sha256);
    if !found.is_ours {
        component.purl = Some(purl("cargo", &found.name, &found.version)?);
    }
    if !found.features.is_empty() {
        let features = Property::new("cargo:features", &found.features);
        component.properties = Some(Properties(vec![features]));
    }
    Ok(component)
}

fn of_part(part: &Part) -> Component {
    let reference = format!("part:{}@{}", part.name, part.version);
    let mut component =
        Component::new(Classification::Library, part.name, &part.version, Some(reference));
    component.licenses = Some(licences(part.licence));
    component.description = Some(NormalizedString::new(part.description));
    component
}

fn dependencies(subject: Subject<'_>, crates: &[Crate], parts: &[Part]) -> Dependencies {
    let on = |dependency_ref: String, dependencies: Vec<String>| Dependency {
        dependency_ref,
        dependencies,
    };
    let mut all = Vec::new();
    all.push(on(reference(subject), crates.first().map(Crate::id).into_iter().collect()));
    for (place, found) in crates.iter().enumerate() {
        let mut needed: Vec<String> = found.dependencies.iter().cloned().collect();
        if place == 0 {
            needed.extend(parts.iter().map(|part| format!("part:{}@{}", part.name, part.version)));
        }
        all.push(on(found.id(), needed));
    }
    Dependencies(all)
}

fn licences(expression: &str) -> Licenses {
    Licenses(vec![LicenseChoice::expression(expression)])
}

fn sha256(digest: &str) -> Hashes {
    Hashes(vec![Hash { alg: HashAlgorithm::SHA_256, content: HashValue(digest.to_owned()) }])
}

fn purl(kind: &str, name: &str, version: &str) -> Result<Purl, Error> {
    Purl::new(kind, name, version).map_err(|error| Error::Bom(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::image::contents::{of_program, parts};
    use crate::stock_kernel::Arch;

    const SUBJECT: Subject = Subject {
        name: "node-probe",
        digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        licence: "Apache-2.0",
    };

    fn made(package: &str) -> String {
        let parts = parts::of_program(package, Arch::HOST).unwrap();
        document(SUBJECT, &of_program(package, Arch::HOST).unwrap(), &parts).unwrap()
    }

    /// The fields that the schema of CycloneDX 1.5 requires, and that every reference has a target.
    #[test]
    fn the_document_has_what_the_schema_requires() {
        for package in ["lsm-ready-operator", "node-probe"] {
            let bom: Value = serde_json::from_str(&made(package)).unwrap();
            assert_eq!(
                (&bom["bomFormat"], &bom["specVersion"]),
                (&"CycloneDX".into(), &"1.5".into())
            );
            assert_eq!(bom["version"], 1);
            let subject = &bom["metadata"]["component"];
            assert_eq!(
                (&subject["type"], &subject["name"]),
                (&"container".into(), &"node-probe".into())
            );
            let components = bom["components"].as_array().unwrap();
            assert!(components.len() > 50, "{}", components.len());
            let mut known = BTreeSet::from([subject["bom-ref"].as_str().unwrap()]);
            for component in components {
                let text = |field: &str| component[field].as_str().unwrap_or_default();
                assert!(["library", "application"].contains(&text("type")), "{component}");
                assert!(!text("name").is_empty() && !text("version").is_empty(), "{component}");
                assert!(component["licenses"][0]["expression"].is_string(), "{component}");
                assert!(known.insert(text("bom-ref")), "{component}: not unique");
                let is_published = text("purl").starts_with("pkg:cargo/");
                assert_eq!(
                    is_published,
                    component["hashes"][0]["content"].is_string(),
                    "{component}"
                );
            }
            for dependency in bom["dependencies"].as_array().unwrap() {
                let on = dependency["dependsOn"].as_array();
                let on = on.into_iter().flatten().chain([&dependency["ref"]]);
                for reference in on.map(|reference| reference.as_str().unwrap()) {
                    assert!(known.contains(reference), "{reference} is no component");
                }
            }
        }
    }

    #[test]
    fn the_same_image_always_has_the_same_document() {
        assert_eq!(made("node-probe"), made("node-probe"));
    }

    #[test]
    fn an_invalid_licence_is_refused() {
        let wrong = Crate {
            name: "a".into(),
            version: "1".into(),
            licence: "frob(".into(),
            ..Crate::default()
        };
        assert!(document(SUBJECT, &[wrong], &[]).is_err());
    }
}
