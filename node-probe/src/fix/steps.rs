//! The way to a changed command line. In: the change and the facts. Out: the steps, from an editor
//! to the reboot.

use lsm_ready_crds::boot_list::is_plain;

use super::systems::cloud::Cloud;
use super::systems::{self, Steps, System, Way};
use crate::facts::Facts;

/// A change of the kernel's command line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change<'a> {
    /// Give this parameter, `name=value`, in place of the one of that name that is there now.
    Set {
        /// The parameter as it has to be.
        parameter: &'a str,
        /// As it is now.
        instead: Option<&'a str>,
    },
    /// Take this parameter off.
    Remove(&'a str),
}

/// What is said of a system that no row of the table recognises.
pub const NEUTRAL_SET: &str = "Add {parameter} to the kernel's command line in the boot loader's \
                               configuration, then reboot. (What boots this system was not \
                               recognised. A unified kernel image has to be built anew with the \
                               parameter; a kernel that is started from the network or by the host \
                               of a virtual machine gets it there.)";
/// The same for a parameter that has to go.
pub const NEUTRAL_REMOVE: &str = "Take {parameter} out of the boot loader's configuration, then \
                                  reboot. (What boots this system was not recognised. A unified \
                                  kernel image has to be built anew without the parameter; a \
                                  kernel that is started from the network or by the host of a \
                                  virtual machine gets it there.)";

/// The steps that fit the system, with what makes them last where nodes are replaced.
pub fn steps(change: Change<'_>, facts: &Facts) -> String {
    let system = systems::of(facts);
    let (text, by_hand) = match system.map(|system| &system.way) {
        Some(Way::Locked(why)) => return (*why).to_owned(),
        Some(Way::Steps(steps)) => (template(steps, change), steps.by_hand),
        None => (neutral(change), true),
    };
    let lasts = system.map_or("", |System { lasts, .. }| lasts);
    let cloud = Cloud::of(facts).filter(|_| by_hand).map_or("", Cloud::for_good);
    let text = filled(text, change);
    // Behind lines that are pasted into a file, the rest begins a line of its own.
    let separator = if text.contains('\n') { "\n" } else { " " };
    [text.as_str(), lasts, cloud]
        .into_iter()
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join(separator)
}

fn template(steps: &Steps, change: Change<'_>) -> &'static str {
    match change {
        Change::Remove(_) => steps.remove,
        // What is not made of plain names could mean something to the shell that the command is
        // pasted into.
        Change::Set { instead: Some(old), .. } if old.split(['=', ',']).all(is_plain) => {
            steps.replace.unwrap_or(steps.set)
        }
        Change::Set { .. } => steps.set,
    }
}

const fn neutral(change: Change<'_>) -> &'static str {
    match change {
        Change::Set { .. } => NEUTRAL_SET,
        Change::Remove(_) => NEUTRAL_REMOVE,
    }
}

/// The text with the parameter in its places.
pub(super) fn filled(text: &str, change: Change<'_>) -> String {
    let (parameter, old) = match change {
        Change::Set { parameter, instead } => (parameter, instead.unwrap_or_default()),
        Change::Remove(parameter) => (parameter, ""),
    };
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let items: Vec<String> = value.split(',').map(|item| format!("\"{item}\"")).collect();
    text.replace("{parameter}", parameter)
        .replace("{name}", name)
        .replace("{value}", value)
        .replace("{items}", &items.join(" "))
        .replace("{old}", old)
}
