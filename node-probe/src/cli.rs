//! The command line. In: arguments and environment. Out: a [`Cli`].

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use lsm_ready_crds::RequiredEvidence;

/// Finds out whether this machine can deny something through LSM BPF, by doing it.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check this machine once; no cluster is needed.
    ///
    /// Exit code: 0 the requirement holds, 1 it does not, 2 it could not be tried, 64 wrong use.
    Check(CheckArgs),
    /// Say what a reason means, how it is told from its neighbours, and the way out; without a code list them all.
    Explain {
        /// The code, as it stands in a report or a condition.
        code: Option<String>,
    },
    /// Print what this machine says about itself, as JSON that `check --from` reads elsewhere.
    Facts,
    /// Check this node again and again, and write what is found to its LsmNode.
    Agent(AgentArgs),
    /// List the kernel's LSM hooks: which take a BPF program, and which a sleepable one.
    ///
    /// Exit code: 0 they were tried, 2 they could not be tried, 64 wrong use.
    Hooks(HooksArgs),
    /// The hook trial's own process.
    #[command(name = "hooks-child", hide = true)]
    HooksChild {
        /// The process that started it.
        #[arg(long)]
        parent: u32,
    },
    /// The canary's own process.
    #[command(name = "canary-child", hide = true)]
    CanaryChild {
        /// The process that started it.
        #[arg(long)]
        parent: u32,
    },
}

/// Arguments of `check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// How to print what was found.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// The evidence that has to be reached: loaded, attached, fired or denied.
    #[arg(long, value_name = "EVIDENCE", default_value = "denied")]
    pub require: RequiredEvidence,
    /// A hook on which the kernel has to take a program (file_open). May be repeated.
    #[arg(long = "require-hook", value_name = "HOOK", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub hooks: Vec<String>,
    /// A hook on which the kernel has to take a sleepable program. May be repeated.
    #[arg(long = "require-sleepable-hook", value_name = "HOOK", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub sleepable_hooks: Vec<String>,
    /// A further LSM that has to be active; may be given more than once.
    #[arg(long, value_name = "LSM", value_parser = lsm_name)]
    pub require_lsm: Vec<String>,
    /// Look at the facts in this file, recorded by `node-probe facts`, and try nothing on this machine.
    #[arg(long, value_name = "FILE")]
    pub from: Option<String>,
    /// How long the canary, and the hook trial, may take before it is killed (for instance 30s, 500ms, 1m).
    #[arg(long, value_parser = duration, default_value = "30s")]
    pub deadline: Duration,
}

/// Arguments of `hooks`.
#[derive(Args, Debug)]
pub struct HooksArgs {
    /// How to print what was found.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// How long the trial may take before it is killed.
    #[arg(long, value_parser = duration, default_value = "2m")]
    pub deadline: Duration,
}

/// Forms of output.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs: the form of docs/check-output.md.
    Json,
}

/// Arguments of `agent`.
#[derive(Args, Clone, Debug)]
pub struct AgentArgs {
    /// Name of the Node that this runs on (downward API: spec.nodeName).
    #[arg(long, env = "LSM_READY_NODE_NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub node_name: String,
    /// How often to check (for instance 5m).
    #[arg(long, env = "LSM_READY_CHECK_INTERVAL", value_parser = duration, default_value = "5m")]
    pub check_interval: Duration,
    /// How often to write although nothing has changed, so that silence can be told from health.
    #[arg(long, env = "LSM_READY_RENEW_INTERVAL", value_parser = duration, default_value = "30m")]
    pub renew_interval: Duration,
    /// How long the canary may take before it is killed.
    #[arg(long, env = "LSM_READY_DEADLINE", value_parser = duration, default_value = "30s")]
    pub deadline: Duration,
    /// Form of the log.
    #[arg(long, env = "LSM_READY_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// Forms of the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// The name of an LSM, as `lsm=` has it.
fn lsm_name(text: &str) -> Result<String, String> {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    if !text.is_empty() && text.len() <= 64 && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?} is no LSM's name: write one as the kernel does, for instance apparmor (more: repeat the option)"
    ))
}

/// A whole number with a unit: ms, s, m or h.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("{text:?} is no duration: write a number and ms, s, m or h, for instance 30s");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => None,
    };
    match milliseconds {
        Some(0) | None => Err(wrong()),
        Some(milliseconds) => Ok(Duration::from_millis(milliseconds)),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn names_of_lsms_are_plain() {
        assert_eq!(lsm_name("apparmor"), Ok("apparmor".to_owned()));
        for wrong in ["", "apparmor,bpf", "AppArmor", "a b"] {
            assert!(lsm_name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_have_a_unit_and_are_not_nothing() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        for wrong in
            ["", "5", "s", "0s", "-1s", "1d", "99999999999999999999s", "9999999999999999999h"]
        {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
