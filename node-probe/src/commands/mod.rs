//! The subcommands that run once and print something. In: parsed arguments. Out: text or JSON on
//! standard output, and an exit code.

pub mod check;
pub mod explain;
pub mod facts;
pub mod hooks;
