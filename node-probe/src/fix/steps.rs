//! The steps to change the command line. In: the change and the facts. Out: a text, from the edit
//! to the reboot.

use lsm_ready_crds::boot_list::is_plain;

use super::systems::cloud::Cloud;
use super::systems::{self, Method, Steps, System};
use crate::facts::Facts;

/// A change of the kernel's command line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change<'a> {
    /// Set this parameter, `name=value`, instead of the present one of that name.
    Set {
        /// The new parameter.
        parameter: &'a str,
        /// The present parameter.
        instead: Option<&'a str>,
    },
    /// Remove this parameter.
    Remove(&'a str),
}

/// The text for a system that no row of the table recognises.
pub const NEUTRAL_SET: &str = "Add {parameter} to the kernel's command line in the boot loader's \
                               configuration, then reboot. (The boot loader of this system was not \
                               recognised. A unified kernel image must be rebuilt with the \
                               parameter. If the network or the host of a virtual machine starts \
                               the kernel, add the parameter there.)";
/// The same text, for a parameter to remove.
pub const NEUTRAL_REMOVE: &str = "Remove {parameter} from the boot loader's configuration, then \
                                  reboot. (The boot loader of this system was not recognised. A \
                                  unified kernel image must be rebuilt without the parameter. If \
                                  the network or the host of a virtual machine starts the kernel, \
                                  remove the parameter there.)";

/// The steps for this system, and what makes the change last if nodes are replaced.
pub fn steps(change: Change<'_>, facts: &Facts) -> String {
    let system = systems::of(facts);
    let (text, by_hand) = match system.map(|system| &system.method) {
        Some(Method::Locked(why)) => return (*why).to_owned(),
        Some(Method::Steps(steps)) => (template(steps, change), steps.by_hand),
        None => (neutral(change), true),
    };
    let lasts = system.map_or("", |System { lasts, .. }| lasts);
    let cloud = Cloud::of(facts).filter(|_| by_hand).map_or("", Cloud::for_good);
    let text = filled(text, change);
    // After lines to paste into a file, the next sentence starts a new line.
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
        // Other characters could have a meaning in the shell that the command is pasted into.
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

/// Fills the parameter into the placeholders of the text.
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
