//! Asks Tetragon's agents over the network which TracingPolicies they have, and in which state and mode.
//!
//! ## Flow
//! an agent's [`Endpoints`] → gRPC `ListTracingPolicies`, or its metrics where gRPC is not wanted or not answered → an
//! [`Outcome`]: an [`Answer`] of bounded size, or why there is none ([`Why`]).
//!
//! ## Guarantees
//! [`ask`](ask()) ends by its deadlines whatever the agent does, holds no more than its limits, and leaves no task and no
//! connection behind. Text from agents is shortened and has no control characters ([`text`]). Nothing is sent but one
//! request without content.
//!
//! ## Assumptions
//! None about the other end: it may hang, lie, close, or be no agent. What it says is data for a message, never evidence.
//!
//! ## Errors
//! There are none: each failure is an outcome.

pub mod answer;
mod ask;
mod codec;
mod grpc;
mod limits;
mod listing;
mod metrics;
mod state;
pub mod text;
mod why;
mod wire;

pub use answer::{Actions, ActionsByPolicy, Answer, HookError, How, LocalName, PolicyAnswer, PolicyName};
pub use ask::{Endpoints, NoAnswer, Outcome, ask};
pub use limits::Limits;
pub use state::{Counts, Mode, State};
pub use why::Why;
