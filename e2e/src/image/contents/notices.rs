//! The licence texts that must go with a static program: THIRD-PARTY.txt in its image.
//!
//! In: the crates and parts of the program. Out: a list of them, and each different text once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Crate, Error, Part};
use crate::paths;

/// Crates that may be used under Apache-2.0 and are published without its text, which ./LICENSE
/// has.
const WITHOUT_TEXT: [&str; 6] =
    ["aya-ebpf", "aya-ebpf-bindings", "kube", "kube-client", "kube-core", "kube-runtime"];

/// The beginnings of the names of files with licences and copyright notices.
const NAMES: [&str; 6] = ["licen", "copying", "copyright", "notice", "unlicense", "authors"];

const INTRODUCTION: &str = "\
This program is part of lsm-ready, which is licensed under the Apache License 2.0 (LICENSE beside
this file). It is linked statically with the crates and libraries below. Their licence texts follow.

The GNU C Library is licensed under the LGPL 2.1 or later. The sources of lsm-ready, with
release/build.sh, are what one needs to link the program with another version of that library. The
sources of the library itself are those of the Debian source package glibc in the version below.
";

/// The text of THIRD-PARTY.txt.
pub fn text(crates: &[Crate], parts: &[Part]) -> Result<String, Error> {
    let mut lines = vec![INTRODUCTION.to_owned()];
    let part = |part: &Part| format!("{} {}: {}", part.name, part.version, part.licence);
    lines.extend(parts.iter().map(part));
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for found in crates.iter().filter(|found| !found.is_ours) {
        lines.push(format!("{} {}: {}", found.name, found.version, found.licence));
        for text in texts_of(found)? {
            texts.entry(text).or_default().insert(found.name.clone());
        }
    }
    lines.sort_by_key(|line| line != INTRODUCTION);
    for (text, names) in by_name(texts) {
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        lines.push(format!("\n{}\n{names}\n{}\n{text}", "=".repeat(100), "-".repeat(100)));
    }
    Ok(lines.join("\n") + "\n")
}

/// Sorted by the first crate's name, not by the text.
fn by_name(texts: BTreeMap<String, BTreeSet<String>>) -> Vec<(String, BTreeSet<String>)> {
    let mut texts: Vec<_> = texts.into_iter().collect();
    texts.sort_by(|one, other| one.1.cmp(&other.1));
    texts
}

fn texts_of(found: &Crate) -> Result<Vec<String>, Error> {
    let is_apache = found.licence.split(" OR ").any(|licence| licence == "Apache-2.0");
    if is_apache && WITHOUT_TEXT.contains(&found.name.as_str()) {
        return Ok(vec![read(&paths::workspace().join("LICENSE"))?]);
    }
    let folder = found.source()?;
    let failed = |source| Error::Read { path: folder.display().to_string(), source };
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if path.is_file() && NAMES.iter().any(|start| name.starts_with(start)) {
            texts.push(read(&path)?);
        }
    }
    if texts.is_empty() {
        return Err(Error::NoText(found.id()));
    }
    texts.sort();
    Ok(texts)
}

/// The text without differences that nobody sees, so that equal texts are stored once.
fn read(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::Read { path: path.display().to_string(), source };
    let text = String::from_utf8_lossy(&std::fs::read(path).map_err(failed)?).into_owned();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    Ok(lines.join("\n").trim_matches('\n').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::contents::{of_program, parts};
    use crate::stock_kernel::Arch;

    #[test]
    fn every_crate_of_the_images_has_its_licence_text() {
        for package in ["lsm-ready-operator", "node-probe"] {
            let crates = of_program(package, Arch::HOST).unwrap();
            let text = text(&crates, &parts::of_program(package, Arch::HOST).unwrap()).unwrap();
            for found in crates.iter().filter(|found| !found.is_ours) {
                assert!(text.contains(&format!("\n{} {}: ", found.name, found.version)));
            }
            for words in ["Permission to use, copy, modify", "glibc", "ISC", "Apache License"] {
                assert!(text.contains(words), "{package}: no {words:?}");
            }
        }
    }

    #[test]
    fn a_crate_without_a_text_is_refused() {
        let crates = of_program("node-probe", Arch::HOST).unwrap();
        let kube = crates.iter().find(|found| found.name == "kube").unwrap();
        let relicensed = Crate { licence: "MIT".to_owned(), ..kube.clone() };
        assert!(matches!(texts_of(&relicensed), Err(Error::NoText(_))));
    }
}
