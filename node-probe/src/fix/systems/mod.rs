//! The systems whose way to a changed kernel command line is known: one table, a row for each.
//!
//! In: the facts. Out: the row that recognises this system, or none. Each row says how the system
//! is recognised, the commands that set and remove a parameter, what undoes the change, and where
//! its maker documents this. A system that no row recognises gets no guess. `page` makes
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
    /// What people call it.
    pub name: &'static str,
    /// How it is recognised, in words.
    pub sign: &'static str,
    /// How it is recognised.
    pub is: fn(&Signs<'_>) -> bool,
    /// How its command line is changed.
    pub way: Way,
    /// What undoes the change, or what makes it last. Empty where there is nothing to say.
    pub lasts: &'static str,
    /// Where the maker documents it.
    pub sources: &'static [&'static str],
}

/// How a command line is changed.
#[derive(Debug)]
pub enum Way {
    /// By steps on the system or in its configuration.
    Steps(Steps),
    /// Not from inside: why, and what to do instead.
    Locked(&'static str),
}

/// Texts with places for the parameter: `{parameter}` is `name=value`, `{name}` and `{value}` are
/// its parts, `{items}` is the value as a list of quoted words.
#[derive(Debug)]
pub struct Steps {
    /// Adds the parameter. Where it is there already, the one that is added counts, as it stands
    /// behind the other.
    pub set: &'static str,
    /// Replaces the parameter `{old}`, where that is to be preferred to `set`.
    pub replace: Option<&'static str>,
    /// Removes the parameter.
    pub remove: &'static str,
    /// It changes this one machine, so that a cloud that replaces the machine undoes it.
    pub by_hand: bool,
}

/// The rows. The first that recognises a system counts, so the more special ones stand first.
const TABLE: [&[System]; 7] =
    [locked::ROWS, images::ROWS, own::ROWS, suse::ROWS, arm::ROWS, grub_rpm::ROWS, grub::ROWS];

/// All rows, in order.
pub fn all() -> impl Iterator<Item = &'static System> {
    TABLE.into_iter().flatten()
}

/// The row that recognises this system.
pub fn of(facts: &Facts) -> Option<&'static System> {
    let signs = Signs::of(facts);
    all().find(|system| (system.is)(&signs))
}

/// Why its command line cannot be changed from inside, where it cannot.
pub fn locked(facts: &Facts) -> Option<&'static str> {
    match of(facts)?.way {
        Way::Locked(why) => Some(why),
        Way::Steps(_) => None,
    }
}

#[cfg(test)]
mod shell_tests;
#[cfg(test)]
mod tests;
