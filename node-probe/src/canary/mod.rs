//! The canary: proves, rung by rung, that this kernel lets an LSM program deny a call.
//!
//! In: a deadline. Out: a [`CanaryResult`], the raw answers of every step, and how the process that
//! made them [`End`]ed. `report::diagnose` judges them.
//!
//! # Flow
//! [`parent::run`] starts this executable again as a child. The child ([`child::run`]) makes the
//! steps, and after each step it writes the whole result so far as a line of JSON. So a child that
//! hangs or crashes still leaves what it had shown before.
//!
//! # Guarantees
//! Nothing outlives the child: programs, maps and the link are held by its file descriptors alone
//! and never pinned. The child dies at its deadline, and with the thread that started it, even if
//! that thread is killed.

pub mod child;
pub mod loader;
pub mod parent;
pub mod result;

pub use crate::subprocess::End;
pub use child::CANARY_OPTION;
pub use parent::Observed;
pub use result::{CanaryResult, Failure, FailureKind, Step};
