//! Asks Tetragon's agents over the network which TracingPolicies they have, and in which state and mode.
//!
//! ## Flow
//! an agent's [`Endpoints`] → gRPC `ListTracingPolicies`, over [`Tls`] where that is given, or its metrics where gRPC is not
//! wanted or not answered → an [`Outcome`]: an [`Answer`] of bounded size, or why there is none ([`Why`]).
//!
//! ## Guarantees
//! [`ask`](ask()) ends by its deadlines whatever the agent does, holds no more than its limits, and leaves no task and no
//! connection behind. Text from agents is shortened and has no control characters ([`text`]). Nothing is sent but one
//! request without content; where an agent closes a connection without TLS and says nothing, the first message of TLS is
//! sent as well, to tell why.
//!
//! ## TLS
//! Only agents with a certificate from the given CA and for the given name are believed. A client certificate is shown to
//! them alone, after they have proved this. Sessions are not resumed. An agent without TLS is never asked instead of one
//! with TLS: there is no fallback to plain text by gRPC. Metrics have no TLS in Tetragon.
//!
//! ## Assumptions
//! None about the other end: it may hang, lie, close, or be no agent. What it says is data for a message, never evidence.
//!
//! ## Errors
//! There are none: each failure is an outcome.

pub mod answer;
mod codec;
mod connect;
mod error;
mod grpc;
mod limits;
mod listing;
mod metrics;
mod query;
mod state;
mod stream;
pub mod text;
mod tls;
mod wire;

pub use answer::{
    Actions, ActionsByPolicy, Answer, HookError, How, LocalName, PolicyAnswer, PolicyName,
};
pub use error::Why;
pub use limits::Limits;
pub use query::{Endpoints, NoAnswer, Outcome, ask};
pub use state::{Counts, Mode, State};
pub use tls::{Tls, TlsError};
