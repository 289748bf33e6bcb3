//! docs/boot-parameters.md, generated from the table. In: nothing. Out: the page, which `make docs`
//! writes.

use std::fmt::Write as _;

use super::super::steps::{Change, NEUTRAL_REMOVE, NEUTRAL_SET, filled};
use super::cloud::Cloud;
use super::{Method, Steps, System, all};

const INTRO: &str = "\
<!-- Generated from node-probe/src/fix/systems/ by `make docs`. Do not edit. -->

# How to set a boot parameter on each system

`node-probe check` and the LsmNode's `status.fix` print these steps with the node's own list of \
LSMs. This page uses `lsm=landlock,bpf` as the parameter to set, and `lockdown=confidentiality` as \
the parameter to remove.

The first section that recognises a system counts. A system that no section recognises gets the \
neutral text at the end of this page, because a wrong guess could do harm.
";

const SET: Change<'_> = Change::Set { parameter: "lsm=landlock,bpf", instead: None };
const REPLACE: Change<'_> =
    Change::Set { parameter: "lsm=landlock,bpf", instead: Some("lsm=landlock") };
const REMOVE: Change<'_> = Change::Remove("lockdown=confidentiality");

pub fn page() -> String {
    let mut page = INTRO.to_owned();
    for system in all() {
        section(&mut page, system);
    }
    push(
        &mut page,
        format_args!("\n## Clouds\n\nIf the steps change only one machine, the fix adds this:\n\n"),
    );
    for cloud in Cloud::ALL {
        push(
            &mut page,
            format_args!(
                "- {}. {} Source: {}\n",
                cloud.sign(),
                cloud.for_good(),
                links(cloud.sources())
            ),
        );
    }
    push(&mut page, format_args!("\n## Any other system\n\n"));
    item(&mut page, "Set", &filled(NEUTRAL_SET, SET));
    item(&mut page, "Remove", &filled(NEUTRAL_REMOVE, REMOVE));
    page
}

fn section(page: &mut String, system: &System) {
    push(page, format_args!("\n## {}\n\n- **Recognised by:** {}\n", system.name, system.sign));
    match &system.method {
        Method::Locked(why) => item(page, "Cannot be changed from inside", why),
        Method::Steps(Steps { set, replace, remove, .. }) => {
            item(page, "Set", &filled(set, SET));
            if let Some(replace) = replace {
                item(page, "Replace", &filled(replace, REPLACE));
            }
            item(page, "Remove", &filled(remove, REMOVE));
        }
    }
    if !system.lasts.is_empty() {
        item(page, "How long it lasts", system.lasts);
    }
    item(page, "Source", &links(system.sources));
}

fn links(sources: &[&str]) -> String {
    sources.iter().map(|source| format!("<{source}>")).collect::<Vec<_>>().join(", ")
}

/// A text of several lines becomes an indented block of code, which keeps its lines.
fn item(page: &mut String, title: &str, text: &str) {
    if !text.contains('\n') {
        return push(page, format_args!("- **{title}:** {text}\n"));
    }
    push(page, format_args!("- **{title}:**\n\n"));
    for line in text.lines() {
        push(page, format_args!("      {line}\n"));
    }
    push(page, format_args!("\n"));
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    page.write_fmt(text).ok();
}
