//! placeholder
use crate::cli::AgentArgs;
use std::process::ExitCode;
/// Runs the agent.
#[must_use]
pub fn main(_args: AgentArgs) -> ExitCode {
    ExitCode::from(70)
}
