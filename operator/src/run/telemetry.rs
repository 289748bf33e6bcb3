//! Log lines on standard error.

use tracing_subscriber::EnvFilter;

use crate::run::cli::LogFormat;

/// Starts logging. `level` may also be directives of tracing-subscriber. Returns what is wrong with
/// it.
pub fn start(level: &str, format: LogFormat) -> Result<(), String> {
    let filter = EnvFilter::try_new(level).map_err(|_| {
        format!("invalid --log {level:?}: use error, warn, info, debug or trace, for example info")
    })?;
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
        assert_eq!(
            start("loud=very=much", LogFormat::Text),
            Err("invalid --log \"loud=very=much\": use error, warn, info, debug or trace, \
                 for example info"
                .to_owned())
        );
    }
}
