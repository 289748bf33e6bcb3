//! The exit codes of every subcommand. They are part of the interface.

/// The requirement holds.
pub const HOLDS: u8 = 0;
/// The requirement was judged and does not hold.
pub const DOES_NOT_HOLD: u8 = 1;
/// The requirement cannot be judged.
pub const CANNOT_BE_JUDGED: u8 = 2;
/// Wrong use (EX_USAGE of sysexits.h).
pub const WRONG_USE: u8 = 64;
