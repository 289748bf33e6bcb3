//! Tetragon's agents, asked over the network which TracingPolicies they have loaded.
//!
//! ## Flow
//! an agent's [`Endpoints`] → gRPC `ListTracingPolicies` ([`grpc`]), and its metrics where that is not wanted or not
//! answered ([`metrics`]) → an [`Outcome`]: an [`Answer`] of a size that is bounded, or why there is none ([`Why`]).
//!
//! ## Guarantees
//! [`ask`](ask()) ends by its deadlines whatever the other end does, holds no more than its limits, and leaves no task and no
//! connection behind. Text that agents gave is shortened and has no control characters ([`text`]). Nothing is sent but
//! one request without content.
//!
//! ## Assumptions
//! None about the other end: it may hang, lie, close, or be no agent. What it says is data for a message, never evidence.
//!
//! ## Errors
//! There are none: each failure is an outcome.

pub mod answer;
pub mod api;
mod ask;
mod grpc;
mod limits;
mod metrics;
pub mod text;
mod why;

pub use answer::{Answer, Failure, How, State};
pub use ask::{Endpoints, NoAnswer, Outcome, ask};
pub use limits::Limits;
pub use why::Why;
