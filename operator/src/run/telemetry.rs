//! Log lines on standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::run::cli::LogFormat;

/// Starts logging.
///
/// # Errors
/// When `directives` name no level.
pub fn start(directives: &str, format: LogFormat) -> Result<(), ParseError> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(directives)?)
        .with_writer(std::io::stderr)
        .with_target(false);
    match format {
        LogFormat::Text => lines.with_ansi(false).init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}
