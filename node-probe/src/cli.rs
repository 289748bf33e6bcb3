//! The command line. In: arguments and environment. Out: a [`Cli`].

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;
use lsm_ready_crds::RequiredEvidence;

/// Finds out whether this machine can deny an operation through LSM BPF, by denying one.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check this machine once. No cluster is needed.
    ///
    /// Exit code: 0 the requirement holds, 1 it does not hold, 2 it cannot be judged, 64 wrong use.
    Check(CheckArgs),
    /// Explain a reason, or list all reasons.
    ///
    /// The explanation says what the reason means, how to tell it apart from similar ones, and
    /// what to do.
    Explain {
        /// The reason's code, as a report or a condition shows it, for example BpfNotInLsmList.
        code: Option<String>,
    },
    /// Print what this machine says about itself, as JSON that `check --from` reads on another
    /// machine.
    Facts,
    /// Run as a daemon: check this node again and again, and write the result to its LsmNode.
    Agent(AgentArgs),
    /// List the kernel's LSM hooks, and which of them accept a BPF program and a sleepable one.
    ///
    /// Exit code: 0 all hooks were tried, 2 they could not be tried, 64 wrong use.
    Hooks(HooksArgs),
    /// The process that makes the hook trial.
    #[command(name = "hooks-child", hide = true)]
    HooksChild {
        /// Process id of the parent.
        #[arg(long)]
        parent: u32,
    },
    /// The process that runs the canary.
    #[command(name = "canary-child", hide = true)]
    CanaryChild {
        /// Process id of the parent.
        #[arg(long)]
        parent: u32,
    },
}

/// Arguments of `check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Format of the report.
    #[arg(long, short, value_enum, default_value_t = CheckOutput::Text)]
    pub output: CheckOutput,
    /// The evidence that is required: loaded, attached, fired or denied.
    #[arg(long, value_name = "EVIDENCE", default_value = "denied")]
    pub require: RequiredEvidence,
    /// A hook that must accept a BPF program, for example file_open. Can be repeated.
    #[arg(
        long = "require-hook",
        value_name = "HOOK",
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub hooks: Vec<String>,
    /// A hook that must accept a sleepable BPF program. Can be repeated.
    #[arg(
        long = "require-sleepable-hook",
        value_name = "HOOK",
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub sleepable_hooks: Vec<String>,
    /// An LSM that must be active besides bpf, for example apparmor. Can be repeated.
    #[arg(long, value_name = "LSM", value_parser = lsm_name)]
    pub require_lsm: Vec<String>,
    /// Judge the facts in this file, which `node-probe facts` wrote, and try nothing on this
    /// machine.
    #[arg(long, value_name = "FILE")]
    pub from: Option<String>,
    /// How long the canary may run, and the hook trial too, before it is killed, for example 30s or
    /// 1m.
    #[arg(long, value_parser = duration, default_value = "30s")]
    pub deadline: Duration,
}

/// The formats of the report of `check`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum CheckOutput {
    /// For people.
    Text,
    /// For programs, as docs/check-output.md describes it.
    Json,
    /// One line of at most 80 bytes, for a custom plugin of node-problem-detector.
    Npd,
}

/// Arguments of `hooks`.
#[derive(Args, Debug)]
pub struct HooksArgs {
    /// Format of the list.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// How long the trial may run before it is killed, for example 2m.
    #[arg(long, value_parser = duration, default_value = "2m")]
    pub deadline: Duration,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs, as docs/check-output.md describes it.
    Json,
}

/// Arguments of `agent`.
#[derive(Args, Clone, Debug)]
pub struct AgentArgs {
    /// Name of the Node that the probe runs on (downward API: spec.nodeName).
    #[arg(long, env = "LSM_READY_NODE_NAME", value_parser = NonEmptyStringValueParser::new())]
    pub node_name: String,
    /// Time between two checks, for example 5m.
    #[arg(long, env = "LSM_READY_CHECK_INTERVAL", value_parser = duration, default_value = "5m")]
    pub check_interval: Duration,
    /// Time after which an unchanged report is written again, so that a silent probe can be
    /// noticed.
    #[arg(long, env = "LSM_READY_RENEW_INTERVAL", value_parser = duration, default_value = "30m")]
    pub renew_interval: Duration,
    /// Time between two looks whether somebody has changed or deleted the report. A look is one
    /// small request that the API server answers from its cache.
    #[arg(long, env = "LSM_READY_LOOK_INTERVAL", value_parser = duration, default_value = "9s")]
    pub look_interval: Duration,
    /// How long the canary may run before it is killed, for example 30s.
    #[arg(long, env = "LSM_READY_DEADLINE", value_parser = duration, default_value = "30s")]
    pub deadline: Duration,
    /// Format of the log.
    #[arg(long, env = "LSM_READY_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The name of an LSM as `lsm=` takes it.
fn lsm_name(text: &str) -> Result<String, String> {
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    if !text.is_empty() && text.len() <= 64 && text.bytes().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "invalid LSM name {text:?}: use one name in lower case, for example apparmor, and repeat \
         the option for more"
    ))
}

/// A positive duration in jiff's friendly format, which demands a unit.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<SignedDuration>().ok();
    let positive = parsed.and_then(|duration| Duration::try_from(duration).ok());
    positive.filter(|duration| !duration.is_zero()).ok_or_else(|| {
        format!("invalid duration {text:?}: use a number with a unit, for example 30s")
    })
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
    fn only_plain_names_are_accepted_as_lsms() {
        assert_eq!(lsm_name("apparmor"), Ok("apparmor".to_owned()));
        for wrong in ["", "apparmor,bpf", "AppArmor", "a b"] {
            assert!(lsm_name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_need_a_unit_and_must_be_positive() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        for wrong in
            ["", "5", "s", "0s", "-1s", "1d", "99999999999999999999s", "9999999999999999999h"]
        {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        let error = "invalid duration \"5\": use a number with a unit, for example 30s";
        assert_eq!(duration("5"), Err(error.to_owned()));
    }
}
