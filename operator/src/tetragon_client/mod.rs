//! Client for Tetragon's agents: asks one agent over the network which TracingPolicies it has, and
//! in which state and mode.
//!
//! ## Flow
//! an agent's [`Endpoints`] → gRPC `ListTracingPolicies`, over [`Tls`] if that is given. If gRPC is
//! not wanted or fails, the agent's metrics are read instead → a [`Response`] with an [`Answer`] of
//! bounded size, or the errors of both attempts ([`Unanswered`]).
//!
//! ## Guarantees
//! - [`ask`](ask()) ends by its deadlines whatever the agent does, holds no more than its limits,
//!   and leaves no task and no connection behind.
//! - Text from agents is shortened and contains no control characters ([`text`]).
//! - The client sends one request without content. If an agent closes a connection without TLS and
//!   sends nothing, the client also sends the first message of TLS, to find out whether the agent
//!   requires TLS.
//!
//! ## TLS
//! The client accepts only agents with a certificate from the given CA and for the given name. It
//! shows its own certificate only after the agent has proved its name. Sessions are not resumed.
//! There is no fallback from TLS to plain gRPC. Tetragon serves metrics without TLS only.
//!
//! ## Assumptions
//! None about the other end: it may hang, lie, close the connection, or be something other than an
//! agent. Its answer is data for a message, never evidence.
//!
//! ## Errors
//! Each failure is an [`AskError`]: part of the result, with an advice for the administrator.

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

pub use answer::{
    Actions, ActionsByPolicy, Answer, HookError, LocalName, PolicyName, PolicyStatus, Source,
};
pub use error::AskError;
pub use limits::Limits;
pub use query::{Endpoints, QueryResult, Response, Unanswered, ask, attempts};
pub use state::{Mode, PolicyState, StateCounts};
pub use tls::{Tls, TlsError};
