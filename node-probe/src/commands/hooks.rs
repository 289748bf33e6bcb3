//! `node-probe hooks`: lists the LSM hooks of this machine's kernel.
//!
//! In: the arguments and the machine. Out: the list on standard output. Exit code 2 if the trial
//! failed.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use lsm_ready_crds::ExitCode;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use serde::Serialize;

use crate::cli::{HooksArgs, Output};
use crate::hooks::{self, TrialError};
use crate::report::milliseconds;

/// Version of the JSON form. It changes if a field is removed or changes its meaning. Fields may be
/// added without a new version.
pub const SCHEMA: &str = "lsmready.io/hooks/v1";

/// The JSON form of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    schema: &'static str,
    kernel: &'a str,
    /// The name under which the probe daemon publishes this list as an LsmHookProfile.
    digest: String,
    attachable: usize,
    sleepable: usize,
    refused: usize,
    hooks: Vec<Hook<'a>>,
    duration_ms: u64,
}

#[derive(Debug, Serialize)]
struct Hook<'a> {
    name: &'a str,
    attachable: bool,
    sleepable: bool,
}

/// The JSON form of a failed trial.
#[derive(Debug, Serialize)]
struct Failed {
    schema: &'static str,
    error: String,
}

/// Makes the trial and prints its result.
pub fn main(args: &HooksArgs) -> ExitCode {
    let started = Instant::now();
    let trial = hooks::run(args.deadline);
    let code = if trial.is_ok() { ExitCode::Holds } else { ExitCode::CannotBeJudged };
    let text = match args.output {
        Output::Text => Ok(render(&trial)),
        Output::Json => json(&trial, started.elapsed()),
    };
    let printed = text
        .map_err(io::Error::other)
        .and_then(|text| writeln!(io::stdout().lock(), "{}", text.trim_end()));
    if let Err(error) = printed {
        eprintln!("node-probe: cannot write the list: {error}");
        return ExitCode::CannotBeJudged;
    }
    code
}

/// What the hook trial returned.
pub type Trial = Result<LsmHookProfileSpec, TrialError>;

/// The JSON form of a trial.
pub fn json(trial: &Trial, took: Duration) -> serde_json::Result<String> {
    match trial {
        Ok(profile) => serde_json::to_string_pretty(&list(profile, took)),
        Err(error) => serde_json::to_string_pretty(&failed(error)),
    }
}

fn list(profile: &LsmHookProfileSpec, took: Duration) -> List<'_> {
    List {
        schema: SCHEMA,
        kernel: &profile.kernel,
        digest: profile.digest(),
        attachable: profile.hooks.len(),
        sleepable: profile.sleepable_hooks.len(),
        refused: profile.refused_hooks.len(),
        hooks: all(profile),
        duration_ms: milliseconds(took),
    }
}

fn failed(error: &TrialError) -> Failed {
    Failed { schema: SCHEMA, error: error.to_string() }
}

fn all(profile: &LsmHookProfileSpec) -> Vec<Hook<'_>> {
    let names: BTreeSet<&String> = profile.hooks.iter().chain(&profile.refused_hooks).collect();
    names
        .into_iter()
        .map(|name| Hook {
            name,
            attachable: profile.hooks.contains(name),
            sleepable: profile.sleepable_hooks.contains(name),
        })
        .collect()
}

fn render(trial: &Trial) -> String {
    let profile = match trial {
        Ok(profile) => profile,
        Err(error) => return format!("The hooks could not be tried: {error}"),
    };
    let mut text = format!(
        "Linux {} has {} LSM hooks: {} attachable ({} of them also sleepable), {} refused\n\n",
        profile.kernel,
        profile.hooks.len() + profile.refused_hooks.len(),
        profile.hooks.len(),
        profile.sleepable_hooks.len(),
        profile.refused_hooks.len(),
    );
    for hook in all(profile) {
        let accepts = match (hook.attachable, hook.sleepable) {
            (true, true) => "sleepable",
            (true, false) => "attachable",
            (false, _) => "REFUSED",
        };
        // Writing to a String cannot fail.
        writeln!(text, "  {accepts:<10}  {}", hook.name).ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::hooks::tests::profile;

    #[test]
    fn the_text_has_one_line_per_hook() {
        assert_eq!(
            render(&Ok(profile())),
            "Linux 6.12 x86_64 has 3 LSM hooks: 2 attachable (1 of them also sleepable), 1 \
             refused\n\n  sleepable   file_open\n  REFUSED     getprocattr\n  attachable  \
             task_alloc\n"
        );
    }

    #[test]
    fn the_documentation_has_every_field_of_the_json_form() {
        let page = include_str!("../../../docs/check-output.md");
        let list = serde_json::to_value(list(&profile(), Duration::from_millis(7))).unwrap();
        assert_eq!(
            list["hooks"][1],
            serde_json::json!({"name": "getprocattr", "attachable": false, "sleepable": false})
        );
        assert_eq!(list["digest"], profile().digest());
        let failed = serde_json::to_value(failed(&TrialError("x".into()))).unwrap();
        for field in list.as_object().unwrap().keys().chain(failed.as_object().unwrap().keys()) {
            assert!(page.contains(&format!("`{field}`")), "the page lacks the field {field}");
        }
    }
}
