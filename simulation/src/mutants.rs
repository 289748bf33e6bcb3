//! Mutants: mistakes put into the operator on purpose, to see that the simulation finds them.
//!
//! In: `mutants.yaml`, and the workspace. Out: a copy of the workspace in which every mutant is
//! compiled, and one of them can be switched on by the environment.

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
    /// Puts the mutant into the text of its file.
    fn put_into(&self, text: &str) -> Result<String, String> {
        let count = text.matches(&self.find).count();
        if count != 1 {
            let (name, file) = (&self.name, self.file.display());
            return Err(format!("mutant {name}: {file} has its text {count} times, expected once"));
        }
        let is_in_crds = self.file.starts_with("crds");
        let switch = if is_in_crds { "crate::mutant" } else { "lsm_ready_crds::mutant" };
        let with = self.with.replace("MUTANT", &format!("{switch}({:?})", self.name));
        Ok(text.replace(&self.find, &with))
    }
}

/// Puts every mutant into its file under that folder.
///
/// # Errors
/// A file cannot be read or written, or a mutant does not fit.
pub fn put_into(folder: &Path, mutants: &[Mutant]) -> Result<(), String> {
    for mutant in mutants {
        change(&folder.join(&mutant.file), |text| mutant.put_into(text))?;
    }
    change(&folder.join("crds/src/lib.rs"), |text| Ok(format!("{text}\n{SWITCH}")))?;
    change(&folder.join("simulation/Cargo.toml"), |text| {
        Ok(text.replace("name = \"simulation\"", &format!("name = {PROGRAM:?}")))
    })
}

/// What the copy's crate `lsm-ready-crds` has in addition.
const SWITCH: &str = r#"
/// Whether that mutant is switched on.
pub fn mutant(name: &str) -> bool {
    static ON: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    ON.get_or_init(|| std::env::var("LSM_READY_MUTANT").ok()).as_deref() == Some(name)
}
"#;

fn change(path: &Path, edit: impl FnOnce(&str) -> Result<String, String>) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let text = fs::read_to_string(path).map_err(failed)?;
    fs::write(path, edit(&text)?).map_err(failed)
}

/// Copies every file that git knows or would add from one folder to the other. A file that is equal
/// is left alone, so that it is not compiled again.
///
/// # Errors
/// git or the copying fails.
pub fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(from)
        .output()
        .map_err(|error| format!("git ls-files: {error}"))?;
    for file in String::from_utf8_lossy(&listed.stdout).lines() {
        let (source, target) = (from.join(file), to.join(file));
        let Ok(text) = fs::read(&source) else { continue };
        let failed = |error: io::Error| format!("{}: {error}", target.display());
        fs::create_dir_all(target.parent().unwrap_or(to)).map_err(failed)?;
        fs::write(&target, text).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_fits_its_file() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
        let mutants = all().unwrap_or_default();
        assert!(mutants.len() >= 20, "{} mutants", mutants.len());
        let fits = |mutant: &Mutant| {
            let text = fs::read_to_string(root.join(&mutant.file));
            mutant.put_into(&text.map_err(|error| format!("{}: {error}", mutant.name))?)
        };
        let unfit: Vec<_> = mutants.iter().filter_map(|mutant| fits(mutant).err()).collect();
        assert_eq!(unfit, Vec::<String>::new());
    }

    #[test]
    fn a_text_that_is_there_twice_does_not_fit() {
        let mutant = Mutant {
            name: "m".into(),
            why: String::new(),
            file: "a.rs".into(),
            find: "x".into(),
            with: "MUTANT || x".into(),
        };
        assert_eq!(mutant.put_into("(x)").as_deref(), Ok("(lsm_ready_crds::mutant(\"m\") || x)"));
        assert!(mutant.put_into("xx").is_err());
        assert!(mutant.put_into("y").is_err());
    }
}
