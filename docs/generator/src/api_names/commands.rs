//! Command lines: options, environment variables, exit codes.
//!
//! In: each program's own definition of its command line. Out: tables. Hidden subcommands are no
//! API and are left out.

use clap::{Arg, Command, CommandFactory};

use lsm_ready_crds::exit_code::ExitCode;

use crate::markdown::{code, heading, table};

/// A table for each program.
pub fn section() -> String {
    let programs = [
        lsm_ready_operator::run::cli::Cli::command().name("operator"),
        node_probe::cli::Cli::command(),
        kubectl_lsm::cli::Cli::command(),
    ];
    let mut text = "Run a command with `--help` for what each option does.\n".to_owned();
    for command in programs {
        let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
        let mut rows = Vec::new();
        collect(&name, &command, &mut rows);
        text.push_str(&heading(&name));
        text.extend(["The program's file is called ", &code(command.get_name()), ".\n\n"]);
        text.push_str(&table(["command", "option", "environment variable", "default"], rows));
    }
    text
}

/// Rows for a command's arguments, then for its subcommands'.
fn collect(name: &str, command: &Command, rows: &mut Vec<[String; 4]>) {
    for arg in command.get_arguments().filter(|arg| !is_standard(arg)) {
        let variable = arg.get_env().map(|name| code(&name.to_string_lossy())).unwrap_or_default();
        let defaults: Vec<_> =
            arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        rows.push([code(name), code(&option(arg)), variable, code(&defaults.join(" "))]);
    }
    let subcommands = command.get_subcommands().filter(|command| !command.is_hide_set());
    for subcommand in subcommands.filter(|command| command.get_name() != "help") {
        let name = format!("{name} {}", subcommand.get_name());
        if subcommand.get_arguments().all(is_standard) {
            rows.push([code(&name), String::new(), String::new(), String::new()]);
        }
        collect(&name, subcommand, rows);
    }
}

fn is_standard(arg: &Arg) -> bool {
    matches!(arg.get_id().as_str(), "help" | "version")
}

/// The option as it is typed, for example `-o, --output <text|json>`.
fn option(arg: &Arg) -> String {
    let values: Vec<_> =
        arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    let value = match arg.get_value_names() {
        _ if !arg.get_action().takes_values() => String::new(),
        _ if !values.is_empty() => format!(" <{}>", values.join("|")),
        Some(names) => format!(" <{}>", names.join(" ")),
        None => String::new(),
    };
    match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}{value}"),
        (None, Some(long)) => format!("--{long}{value}"),
        (Some(short), None) => format!("-{short}{value}"),
        (None, None) => value.trim().to_owned(),
    }
}

/// The exit codes of `node-probe` and `kubectl lsm-ready`.
pub fn exit_codes() -> String {
    let rows = ExitCode::ALL.map(|code| [code.code().to_string(), code.meaning().to_owned()]);
    let text = "`node-probe` and `kubectl lsm-ready` use the same codes.\n\n".to_owned();
    text + &table(["code", "meaning"], rows)
}
