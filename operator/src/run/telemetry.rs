//! Log lines on standard error.

use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use crate::run::cli::LogFormat;

/// Starts logging. `level` may also be directives of tracing-subscriber. Returns what is wrong with
/// it.
pub fn start(level: &str, format: LogFormat) -> Result<(), String> {
    let invalid = || {
        format!("invalid --log {level:?}: use error, warn, info, debug or trace, for example info")
    };
    // tracing-subscriber reads a misspelt level as the name of a module, and would then log
    // nothing.
    let is_level = |word: &str| !word.is_empty() && LevelFilter::from_str(word).is_ok();
    let is_valid = |directive: &str| directive.contains('=') || is_level(directive.trim());
    if !level.split(',').all(is_valid) {
        return Err(invalid());
    }
    let filter = EnvFilter::try_new(level).map_err(|_| invalid())?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    match format {
        LogFormat::Text => lines.with_ansi(false).init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_level_is_reported_with_the_valid_ones() {
        for level in ["loud=very=much", "inof", "info,verbose", ""] {
            assert_eq!(
                start(level, LogFormat::Text),
                Err(format!(
                    "invalid --log {level:?}: use error, warn, info, debug or trace, for example info"
                ))
            );
        }
    }
}
