//! Mutants: mistakes put into the operator on purpose, to see that the simulation finds them.
//!
//! In: `mutants.yaml`, and the workspace. Out: a copy of the workspace in which every mutant is
//! compiled, and one of them can be switched on by the environment.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// Names the mutant that is switched on.
pub const VARIABLE: &str = "LSM_READY_MUTANT";

/// The program in the copy. Its name differs, so that it does not replace the true one.
pub const PROGRAM: &str = "simulation-with-mutants";

const LIST: &str = include_str!("../mutants.yaml");

/// One mutant.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    pub name: String,
    /// Why it is dangerous.
    pub why: String,
    /// The edit that makes it. Where the code moves, several may be given: the one that fits is
    /// made.
    edits: Vec<Edit>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    file: PathBuf,
    /// A text that the file has exactly once.
    find: String,
    /// What stands there instead. `MUTANT` is true where the mutant is switched on.
    with: String,
}

/// Every mutant of the list.
///
/// # Errors
/// The list is not valid.
pub fn all() -> Result<Vec<Mutant>, String> {
    serde_saphyr::from_str(LIST).map_err(|error| format!("mutants.yaml: {error}"))
}

impl Mutant {
    /// Puts the mutant into its file.
    fn put_into(&self, files: &mut Files) -> Result<(), String> {
        let mut fitting = self.edits.iter().filter(|edit| edit.fits(files));
        let (Some(edit), None) = (fitting.next(), fitting.next()) else {
            let file = self.edits.first().map(|edit| edit.file.display().to_string());
            let (name, file) = (&self.name, file.unwrap_or_default());
            return Err(format!("mutant {name}: {file} must have its text exactly once"));
        };
        change(files, &edit.file, |text| text.replace(&edit.find, &edit.switched(&self.name)))
    }
}

impl Edit {
    fn fits(&self, files: &Files) -> bool {
        let text = files.get(&self.file).map(|text| String::from_utf8_lossy(text));
        text.is_some_and(|text| text.matches(&self.find).count() == 1)
    }

    fn switched(&self, name: &str) -> String {
        let is_in_crds = self.file.starts_with("crds");
        let switch = if is_in_crds { "crate::mutant" } else { "lsm_ready_crds::mutant" };
        self.with.replace("MUTANT", &format!("{switch}({name:?})"))
    }
}

/// Writes a copy of the workspace with every mutant in it. A file that is as it should be is left
/// alone, so that it is not compiled again.
///
/// # Errors
/// A file cannot be read or written, or a mutant does not fit.
pub fn copy(from: &Path, to: &Path, mutants: &[Mutant]) -> Result<(), String> {
    let mut files = files(from)?;
    for mutant in mutants {
        mutant.put_into(&mut files)?;
    }
    change(&mut files, Path::new("crds/src/lib.rs"), |text| format!("{text}\n{SWITCH}"))?;
    change(&mut files, Path::new("simulation/Cargo.toml"), |text| {
        text.replace("name = \"simulation\"", &format!("name = {PROGRAM:?}"))
    })?;
    // Another version makes other packages: cargo keeps them apart from the true ones, and compiles
    // their dependencies only once.
    change(&mut files, Path::new("Cargo.toml"), |text| {
        text.replacen(
            "\"
edition",
            "+mutants\"
edition",
            1,
        )
    })?;
    // What is compiled for a few hundred histories only is not optimized.
    change(&mut files, Path::new("Cargo.toml"), |text| {
        let own = ["crds", "operator", "simulation", "tetragon"];
        let own = own.map(|name| format!("lsm-ready-{name} = {{ opt-level = 0 }}\n")).concat();
        text.replace(PROFILE, &format!("{PROFILE}{own}"))
    })?;
    // A module that has moved must not be there twice.
    remove_others(to, Path::new(""), &files)
        .map_err(|error| format!("{}: {error}", to.display()))?;
    for (file, text) in files {
        write(&to.join(file), &text)?;
    }
    Ok(())
}

/// Removes the sources that an earlier copy left in that folder.
fn remove_others(root: &Path, folder: &Path, files: &Files) -> io::Result<()> {
    if !root.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            remove_others(root, &path, files)?;
        } else if path.extension().is_some_and(|it| it == "rs") && !files.contains_key(&path) {
            fs::remove_file(root.join(path))?;
        }
    }
    Ok(())
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Every file that git knows or would add.
fn files(folder: &Path) -> Result<Files, String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(folder)
        .output()
        .map_err(|error| format!("git ls-files: {error}"))?;
    let listed = String::from_utf8_lossy(&listed.stdout);
    // A file that was deleted and is still known to git is left out.
    let files =
        listed.lines().filter_map(|file| Some((file.into(), fs::read(folder.join(file)).ok()?)));
    Ok(files.collect())
}

fn change(files: &mut Files, file: &Path, edit: impl FnOnce(&str) -> String) -> Result<(), String> {
    let text = files.get_mut(file).ok_or_else(|| format!("{}: no such file", file.display()))?;
    *text = edit(&String::from_utf8_lossy(text)).into_bytes();
    Ok(())
}

fn write(path: &Path, text: &[u8]) -> Result<(), String> {
    if fs::read(path).is_ok_and(|present| present == text) {
        return Ok(());
    }
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    fs::create_dir_all(path.parent().unwrap_or(path)).map_err(failed)?;
    fs::write(path, text).map_err(failed)
}

/// Where the profile says how packages are compiled.
const PROFILE: &str = "[profile.simulation.package]\n";

/// What the copy's crate `lsm-ready-crds` has in addition.
const SWITCH: &str = r#"
/// Whether that mutant is switched on.
pub fn mutant(name: &str) -> bool {
    static ON: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    ON.get_or_init(|| std::env::var("LSM_READY_MUTANT").ok()).as_deref() == Some(name)
}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_fits_its_file() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let (mutants, mut files) = (all().unwrap_or_default(), files(&root).unwrap_or_default());
        assert!(mutants.len() >= 20, "{} mutants", mutants.len());
        let unfit = mutants.iter().filter_map(|mutant| mutant.put_into(&mut files).err());
        assert_eq!(unfit.collect::<Vec<_>>(), Vec::<String>::new());
    }

    #[test]
    fn a_text_that_is_missing_or_there_twice_does_not_fit() {
        let edit = Edit { file: "a.rs".into(), find: "x".into(), with: "MUTANT || x".into() };
        let mutant = Mutant { name: "m".into(), why: String::new(), edits: vec![edit] };
        let changed = |text: &str| {
            let mut files = Files::from([("a.rs".into(), text.into())]);
            mutant.put_into(&mut files).map(|()| files.into_values().collect::<Vec<_>>())
        };
        assert_eq!(changed("(x)"), Ok(vec![b"(lsm_ready_crds::mutant(\"m\") || x)".to_vec()]));
        assert!(changed("xx").is_err());
        assert!(changed("y").is_err());
    }
}
