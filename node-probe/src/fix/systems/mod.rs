//! The systems on which the change of the kernel's command line is known: one table with a row for
//! each system.
//!
//! In: the facts. Out: the row of this system, or none. Each row says how the system is recognised,
//! which commands set and remove a parameter, how long the change lasts, and where the vendor
//! documents this. A system without a row gets a neutral text, never a guess. `page` makes
//! docs/boot-parameters.md of the table.

mod arm;
pub mod cloud;
mod grub;
mod grub_rpm;
mod images;
mod locked;
mod own;
pub mod page;
mod signs;
mod suse;

pub use signs::Signs;

use crate::facts::Facts;

/// One row of the table.
#[derive(Debug)]
pub struct System {
    pub name: &'static str,
    /// How the system is recognised, in words.
    pub sign: &'static str,
    /// Whether these signs are of this system.
    pub is: fn(&Signs<'_>) -> bool,
    /// How the command line is changed.
    pub method: Method,
    /// What keeps or undoes the change. Empty if there is nothing to say.
    pub lasts: &'static str,
    /// Where the vendor documents the steps.
    pub sources: &'static [&'static str],
}

/// How a command line is changed.
#[derive(Debug)]
pub enum Method {
    /// With these steps, on the system or in its configuration.
    Steps(Steps),
    /// It cannot be changed from inside: why, and what to do instead.
    Locked(&'static str),
}

/// Texts with placeholders: `{parameter}` is `name=value`, `{name}` and `{value}` are its parts,
/// `{items}` is the value as a list of quoted words.
#[derive(Debug)]
pub struct Steps {
    /// Adds the parameter behind an existing one of the same name. The kernel follows the last one.
    pub set: &'static str,
    /// Replaces the parameter `{old}`, if that is better than `set`.
    pub replace: Option<&'static str>,
    /// Removes the parameter.
    pub remove: &'static str,
    /// Whether the steps change only this machine. A cloud that replaces the machine undoes them.
    pub by_hand: bool,
}

/// The rows, more specific ones first. The first row that recognises a system counts.
const TABLE: [&[System]; 7] =
    [locked::ROWS, images::ROWS, own::ROWS, suse::ROWS, arm::ROWS, grub_rpm::ROWS, grub::ROWS];

pub fn all() -> impl Iterator<Item = &'static System> {
    TABLE.into_iter().flatten()
}

/// The row of this system.
pub fn of(facts: &Facts) -> Option<&'static System> {
    let signs = Signs::of(facts);
    all().find(|system| (system.is)(&signs))
}

/// Why the command line cannot be changed from inside, if it cannot.
pub fn locked(facts: &Facts) -> Option<&'static str> {
    match of(facts)?.method {
        Method::Locked(why) => Some(why),
        Method::Steps(_) => None,
    }
}

#[cfg(test)]
mod shell_tests;
#[cfg(test)]
mod tests;
