//! The canary: proves, rung by rung, that this kernel lets an LSM program deny a call.
//!
//! In: a deadline. Out: a [`CanaryResult`], the raw answers of every step, and how the process that made them [`End`]ed.
//! What they mean is for `diagnose` to say.
//!
//! # Flow
//! [`parent::run`] starts this very executable again as a child, which [`child::run`]s the steps and writes the whole
//! trial so far as a line of JSON after each, so that a child that hangs or crashes still leaves what it had shown.
//!
//! # Guarantees
//! Nothing outlives the child: programs, maps and the link hang on its file descriptors alone and are never pinned.
//! The child dies with the thread that started it, also when that is killed, and at the deadline.

pub mod child;
pub mod loader;
pub mod parent;
pub mod result;

pub use crate::subprocess::End;
pub use child::CANARY_OPTION;
pub use parent::Observed;
pub use result::{CanaryResult, Failure, FailureKind, Step};
