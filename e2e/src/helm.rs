//! Helm 3 and 4, as people run them, with folders of their own for what Helm keeps.
//!
//! In: the programs of `rig api build --helm`. Out: what Helm prints, or its error.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Error, run};
use crate::paths;

/// A version of Helm.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Helm {
    Three,
    Four,
}

impl Helm {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Three, Self::Four];

    /// Helm with those arguments. What it keeps goes into `home`.
    pub fn command(self, home: &Path, arguments: &[&str]) -> Command {
        let folder = match self {
            Self::Three => "helm3",
            Self::Four => "helm4",
        };
        let mut command = Command::new(paths::programs().join(folder).join("helm"));
        for kind in ["CACHE", "CONFIG", "DATA"] {
            command.env(format!("HELM_{kind}_HOME"), home.join(kind));
        }
        command.args(arguments);
        command
    }

    /// Runs Helm without a cluster, and returns what it printed.
    pub fn run(self, home: &Path, arguments: &[&str]) -> Result<String, Error> {
        run(&mut self.command(home, arguments))
    }
}

/// Our chart.
pub fn chart() -> PathBuf {
    paths::workspace().join("charts/lsm-ready")
}

/// The sentence of an error that a chart's `fail` made. The whole text, if it is another error.
pub fn sentence(error: &str) -> &str {
    let Some((_, rest)) = error.split_once("execution error at (lsm-ready/templates/") else {
        return error;
    };
    let rest = rest.split_once("): ").map_or(rest, |(_, sentence)| sentence);
    rest.lines().next().unwrap_or_default()
}
