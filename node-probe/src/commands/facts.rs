//! `node-probe facts`: records what this machine says about itself.
//!
//! In: the machine. Out: its texts as JSON on standard output, in the form that `check --from`
//! reads.

use std::io::{self, Write};

use lsm_ready_crds::ExitCode;

use crate::facts::read;

/// Prints this machine's facts.
pub fn main() -> ExitCode {
    let written = serde_json::to_string_pretty(&read::raw())
        .map_err(io::Error::other)
        .and_then(|json| writeln!(io::stdout().lock(), "{json}"));
    if let Err(error) = written {
        eprintln!("node-probe: cannot write the facts: {error}");
        return ExitCode::CannotBeJudged;
    }
    ExitCode::Holds
}
