//! `node-probe hooks`: the hooks of this machine's kernel.
//!
//! In: the arguments and the machine. Out: the list on standard output; exit code 2 where the trial led to none.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lsm_ready_crds::profile::LsmHookProfileSpec;
use serde::Serialize;

use super::Absence;
use crate::cli::{HooksArgs, Output};
use crate::exit;

/// Version of the JSON form. It changes when a field changes its meaning or goes; new fields may come without.
pub const SCHEMA: &str = "lsmready.io/hooks/v1";

/// The JSON form.
#[derive(Debug, Serialize)]
struct List<'a> {
    schema: &'static str,
    kernel: &'a str,
    /// The name under which the agent publishes it.
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

/// Makes the trial and prints what it led to.
pub fn main(args: &HooksArgs) -> ExitCode {
    let started = Instant::now();
    let trial = super::run(args.deadline);
    let (text, code) = match (&trial, args.output) {
        (Ok(profile), Output::Text) => (Ok(render(profile)), exit::HOLDS),
        (Ok(profile), Output::Json) => {
            (serde_json::to_string_pretty(&list(profile, started.elapsed())), exit::HOLDS)
        }
        (Err(absence), Output::Text) => {
            (Ok(format!("The hooks are not known: {absence}")), exit::UNTRIED)
        }
        (Err(absence), Output::Json) => {
            (serde_json::to_string_pretty(&absent(absence)), exit::UNTRIED)
        }
    };
    let printed = text
        .map_err(io::Error::other)
        .and_then(|text| writeln!(io::stdout().lock(), "{}", text.trim_end()));
    if let Err(error) = printed {
        eprintln!("node-probe: cannot write the list: {error}");
        return ExitCode::from(exit::UNTRIED);
    }
    ExitCode::from(code)
}

fn all(profile: &LsmHookProfileSpec) -> Vec<Hook<'_>> {
    let names: std::collections::BTreeSet<&String> =
        profile.hooks.iter().chain(&profile.refused_hooks).collect();
    names
        .into_iter()
        .map(|name| Hook {
            name,
            attachable: profile.hooks.contains(name),
            sleepable: profile.sleepable_hooks.contains(name),
        })
        .collect()
}

/// The JSON form as a value, for docs/api-names.md.
pub fn json(profile: &LsmHookProfileSpec, took: Duration) -> serde_json::Result<serde_json::Value> {
    serde_json::to_value(list(profile, took))
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
        duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    }
}

fn absent(absence: &Absence) -> serde_json::Value {
    serde_json::json!({"schema": SCHEMA, "absence": absence.to_string()})
}

fn render(profile: &LsmHookProfileSpec) -> String {
    let mut text = format!(
        "Linux {}: of {} hooks {} take a program, {} of them also a sleepable one, {} refuse any\n\n",
        profile.kernel,
        profile.hooks.len() + profile.refused_hooks.len(),
        profile.hooks.len(),
        profile.sleepable_hooks.len(),
        profile.refused_hooks.len(),
    );
    for hook in all(profile) {
        let takes = match (hook.attachable, hook.sleepable) {
            (true, true) => "sleepable",
            (true, false) => "attachable",
            _ => "REFUSED",
        };
        // Writing to a String cannot fail.
        writeln!(text, "  {takes:<10}  {}", hook.name).ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::required::tests::profile;

    #[test]
    fn the_text_has_a_line_a_hook() {
        assert_eq!(
            render(&profile()),
            "Linux 6.12 x86_64: of 3 hooks 2 take a program, 1 of them also a sleepable one, 1 refuse any\n\n  \
             sleepable   file_open\n  REFUSED     getprocattr\n  attachable  task_alloc\n"
        );
    }

    #[test]
    fn the_json_form_has_its_documented_fields() {
        let page = include_str!("../../../docs/check-output.md");
        let value = serde_json::to_value(list(&profile(), Duration::from_millis(7))).unwrap();
        assert_eq!(
            value["hooks"][1],
            serde_json::json!({"name": "getprocattr", "attachable": false, "sleepable": false})
        );
        assert_eq!(value["digest"], profile().digest());
        for field in value
            .as_object()
            .unwrap()
            .keys()
            .chain(absent(&Absence("x".into())).as_object().unwrap().keys())
        {
            assert!(
                page.contains(&format!("`{field}`")),
                "docs/check-output.md does not have the field {field}"
            );
        }
    }
}
