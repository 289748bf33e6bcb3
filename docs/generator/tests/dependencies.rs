//! docs/dependencies.md has each direct dependency of each crate, in the table where it belongs,
//! and no others.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Crates of this repository whose programs are not published.
const NOT_SHIPPED: [&str; 6] =
    ["docs/generator", "e2e", "e2e/agent", "e2e/agent/ebpf", "e2e/guest", "simulation"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_default()
}

/// The quoted names in the list of that name in the root's manifest.
fn list(name: &str) -> Vec<String> {
    let manifest = read("Cargo.toml");
    let list = manifest.split(&format!("\n{name} = [")).nth(1).unwrap_or_default();
    let list = list.split(']').next().unwrap_or_default();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The dependencies in the sections of a manifest whose headings end with this.
fn dependencies(manifest: &str, heading: &str) -> BTreeSet<String> {
    let mut is_wanted = false;
    let mut found = BTreeSet::new();
    for line in manifest.lines() {
        if let Some(section) = line.strip_prefix('[') {
            is_wanted =
                section == format!("{heading}]") || section.ends_with(&format!(".{heading}]"));
        } else if is_wanted && let Some((name, _)) = line.split_once(['=', '.']) {
            let name = name.trim();
            let is_name = !name.is_empty() && !name.starts_with('#') && !line.starts_with(' ');
            found.extend(is_name.then(|| name.to_owned()));
        }
    }
    found
}

/// The name of the crate with that manifest.
fn name(manifest: &str) -> String {
    let name = manifest.lines().find_map(|line| line.strip_prefix("name = \""));
    name.unwrap_or_default().trim_end_matches('"').to_owned()
}

/// The dependencies of our programs, and those that only tests and the rig have.
fn in_manifests() -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut shipped, mut others, mut ours) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for folder in list("members").into_iter().chain(list("exclude")) {
        let manifest = read(&format!("{folder}/Cargo.toml"));
        ours.insert(name(&manifest));
        let normal = dependencies(&manifest, "dependencies");
        let is_shipped = !NOT_SHIPPED.contains(&folder.as_str());
        if is_shipped { &mut shipped } else { &mut others }.extend(normal);
        others.extend(dependencies(&manifest, "dev-dependencies"));
        others.extend(dependencies(&manifest, "build-dependencies"));
    }
    shipped.retain(|name| !ours.contains(name));
    others.retain(|name| !ours.contains(name) && !shipped.contains(name));
    (shipped, others)
}

/// The crates in the table below that heading of the page. Each row has five columns with text.
fn in_page(heading: &str) -> BTreeSet<String> {
    let page = read("docs/dependencies.md");
    let section = page.split(&format!("\n## {heading}\n")).nth(1).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let crates = rows.filter_map(|row| {
        let (name, rest) = row.split_once("` |")?;
        let columns: Vec<&str> = rest.trim_end_matches('|').split('|').map(str::trim).collect();
        assert!(
            columns.len() == 3 && columns.iter().all(|text| text.len() > 3),
            "{name}: {columns:?}"
        );
        Some(name.to_owned())
    });
    crates.collect()
}

#[test]
fn every_direct_dependency_is_justified_and_no_other_crate_is() {
    let (shipped, others) = in_manifests();
    assert!(shipped.len() > 20 && others.len() > 8, "is the search broken? {shipped:?} {others:?}");
    assert_eq!(in_page("What is in the programs?"), shipped);
    assert_eq!(in_page("What is only in tests and in the rig?"), others);
}

#[test]
fn the_sections_of_a_manifest_are_told_apart() {
    let manifest = "[package]\nname = \"a\"\n[dependencies]\nb = \"1\"\n# c\nd.workspace = true\n\
                    [dev-dependencies]\ne = { version = \"1\",\n  f = 1 }\n\
                    [target.'cfg(unix)'.dependencies]\ng = \"1\"\n";
    let set = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(dependencies(manifest, "dependencies"), set(&["b", "d", "g"]));
    assert_eq!(dependencies(manifest, "dev-dependencies"), set(&["e"]));
    assert_eq!(name(manifest), "a");
}
