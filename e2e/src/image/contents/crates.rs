//! The crates that are linked into a program.
//!
//! In: the package. Out: its crates with features, licences, sources and what each depends on, as
//! cargo resolves them for exactly this build: the packages that are built together, the target,
//! no development dependencies, no build scripts and no procedural macros.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Error;
use crate::command::run;
use crate::paths;
use crate::stock_kernel::Arch;

/// The packages that are built with one command, so that their features are united.
const BUILT_TOGETHER: [&str; 2] = ["lsm-ready-operator", "node-probe"];
/// The target of the BPF programs that node-probe contains.
const BPF_TARGET: &str = "bpfel-unknown-none";

/// A crate that is linked into a program.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Crate {
    pub name: String,
    pub version: String,
    /// An SPDX expression.
    pub licence: String,
    /// The features it was built with.
    pub features: String,
    /// Whether it is of this repository.
    pub is_ours: bool,
    /// SHA-256 of the published archive, from Cargo.lock. Our own crates have none.
    pub checksum: Option<String>,
    /// `name@version` of the crates that it calls.
    pub dependencies: BTreeSet<String>,
}

impl Crate {
    /// `name@version`.
    pub fn id(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// The folder with the crate's source.
    pub fn source(&self) -> Result<PathBuf, Error> {
        let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.unwrap_or_else(|| {
            PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo")
        });
        let registries = home.join("registry/src");
        let failed = |source| Error::Read { path: registries.display().to_string(), source };
        for registry in std::fs::read_dir(&registries).map_err(failed)? {
            let folder = registry.map_err(failed)?.path();
            let folder = folder.join(format!("{}-{}", self.name, self.version));
            if folder.is_dir() {
                return Ok(folder);
            }
        }
        Err(failed(std::io::ErrorKind::NotFound.into()))
    }
}

/// The crates in the static program of that package, the package first. With node-probe come the
/// crates of the BPF programs.
pub fn of_program(package: &str, arch: Arch) -> Result<Vec<Crate>, Error> {
    let root = paths::workspace();
    let together = BUILT_TOGETHER.iter().flat_map(|package| ["-p", package]).collect::<Vec<_>>();
    let mut crates = of_tree(&tree(&root, arch.triple(), &together)?, package)?;
    add_checksums(&mut crates, &root.join("Cargo.lock"))?;
    if package == "node-probe" {
        let ebpf = root.join("probe-ebpf");
        let mut programs = of_tree(&tree(&ebpf, BPF_TARGET, &[])?, "probe-ebpf")?;
        add_checksums(&mut programs, &ebpf.join("Cargo.lock"))?;
        crates[0].dependencies.insert(programs[0].id());
        programs.retain(|program| crates.iter().all(|known| known.id() != program.id()));
        crates.extend(programs);
    }
    Ok(crates)
}

fn tree(folder: &Path, target: &str, packages: &[&str]) -> Result<String, Error> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(folder).args(["tree", "--locked", "--quiet", "--target", target]);
    cargo.args(["--edges", "normal,no-proc-macro", "--prefix", "depth"]);
    cargo.args(["--format", "|{p}|{l}|{f}|"]).args(packages);
    Ok(run(&mut cargo)?)
}

/// The tree of that package, from the output of `cargo tree` for several. A crate that was printed
/// before is printed again without what it depends on, also under another package.
fn of_tree(printed: &str, package: &str) -> Result<Vec<Crate>, Error> {
    let all = parse_all(printed)?;
    let root = all.values().find(|found| found.is_ours && found.name == package);
    let root = root.ok_or_else(|| Error::Line(format!("no package {package}")))?.id();
    let (mut crates, mut seen, mut next) = (Vec::new(), BTreeSet::new(), vec![root]);
    while let Some(id) = next.pop() {
        if let Some(found) = all.get(&id).filter(|_| seen.insert(id)) {
            next.extend(found.dependencies.iter().rev().cloned());
            crates.push(found.clone());
        }
    }
    Ok(crates)
}

/// Every crate that is printed, by `name@version`.
fn parse_all(printed: &str) -> Result<BTreeMap<String, Crate>, Error> {
    let mut all: BTreeMap<String, Crate> = BTreeMap::new();
    // The crates above the present line.
    let mut above: Vec<String> = Vec::new();
    for line in printed.lines().filter(|line| !line.is_empty()) {
        let (depth, found) = parse(line).ok_or_else(|| Error::Line(line.to_owned()))?;
        let id = found.id();
        all.entry(id.clone()).or_insert(found);
        above.truncate(depth);
        if let Some(parent) = above.last().and_then(|parent| all.get_mut(parent)) {
            parent.dependencies.insert(id.clone());
        }
        above.push(id);
    }
    Ok(all)
}

/// A line `DEPTH|NAME vVERSION (PATH)|LICENCE|FEATURES|`.
fn parse(line: &str) -> Option<(usize, Crate)> {
    let mut parts = line.split('|');
    let depth = parts.next()?.parse().ok()?;
    let (name, version) = parts.next()?.split_once(" v")?;
    let (licence, features) = (parts.next()?, parts.next()?);
    let (version, place) = version.split_once(' ').unwrap_or((version, ""));
    let found = Crate {
        name: name.to_owned(),
        version: version.to_owned(),
        licence: licence.replace('/', " OR ").replace("  ", " "),
        features: features.to_owned(),
        is_ours: place.starts_with('('),
        ..Crate::default()
    };
    Some((depth, found))
}

fn add_checksums(crates: &mut [Crate], lock: &Path) -> Result<(), Error> {
    let failed = |source| Error::Read { path: lock.display().to_string(), source };
    let text = std::fs::read_to_string(lock).map_err(failed)?;
    for package in text.split("[[package]]") {
        let field = |name: &str| {
            let mut lines = package.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"'))
        };
        let (name, version, checksum) = (field("name"), field("version"), field("checksum"));
        let is_it = |found: &&mut Crate| {
            Some(found.name.as_str()) == name && Some(found.version.as_str()) == version
        };
        if let Some(found) = crates.iter_mut().find(is_it) {
            found.checksum = checksum.map(str::to_owned);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_that_is_printed_twice_has_all_of_its_dependencies_once() {
        let printed = "0|a v0.1.0 (/src/a)|Apache-2.0||\n1|b v1.0.0|MIT/Apache-2.0|std|\n\
                       2|c v1.0.0|ISC||\n1|c v1.0.0|ISC|| (*)\n\n0|other v1.0.0 (/o)|MIT||\n\
                       1|d v1.0.0|MIT||\n1|b v1.0.0|MIT/Apache-2.0|std| (*)\n";
        let crates = of_tree(printed, "a").unwrap();
        let names: Vec<String> = crates.iter().map(Crate::id).collect();
        assert_eq!(names, ["a@0.1.0", "b@1.0.0", "c@1.0.0"]);
        let all = ["b@1.0.0", "c@1.0.0"].map(str::to_owned);
        assert_eq!(crates[0].dependencies, all.into());
        assert_eq!(crates[1].dependencies, ["c@1.0.0".to_owned()].into());
        assert_eq!(
            (crates[1].licence.as_str(), crates[1].features.as_str()),
            ("MIT OR Apache-2.0", "std")
        );
        assert!(crates[0].is_ours && !crates[1].is_ours);
        let other: Vec<String> = of_tree(printed, "other").unwrap().iter().map(Crate::id).collect();
        assert_eq!(other, ["other@1.0.0", "b@1.0.0", "c@1.0.0", "d@1.0.0"]);
        assert!(of_tree(printed, "missing").is_err() && of_tree("x|y", "y").is_err());
    }

    #[test]
    fn the_programs_have_the_crates_that_they_ship_and_no_others() {
        for (package, shipped, others) in [
            ("lsm-ready-operator", ["ring", "kube-client"], ["tempfile", "aya", "serde_derive"]),
            ("node-probe", ["rustls", "aya-ebpf"], ["tempfile", "axum", "serde_derive"]),
        ] {
            let crates = of_program(package, Arch::HOST).unwrap();
            let has = |name: &str| crates.iter().any(|found| found.name == name);
            assert!(shipped.into_iter().all(has), "{package}: {crates:#?}");
            assert!(!others.into_iter().any(has), "{package}: {crates:#?}");
            assert_eq!(crates[0].name, package);
            for found in &crates {
                assert_eq!(found.checksum.is_none(), found.is_ours, "{found:?}");
                assert!(!found.licence.is_empty(), "{found:?}");
            }
        }
    }
}
