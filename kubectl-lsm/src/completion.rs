//! Completion of command lines: scripts for shells, and the candidates that kubectl asks for.
//!
//! kubectl from 1.26 on completes a plugin by the program `kubectl_complete-PLUGIN` in the PATH. It
//! gets the words of the command line, and prints one candidate in a line and a directive last.

use std::time::Duration;

use clap::{Arg, Command, CommandFactory};
use lsm_ready_crds::{ConditionReason, Reason};

use crate::cli::{Cli, ConnectionArgs, ShellArg};
use crate::cluster::connect;

/// The script for kubectl.
const KUBECTL: &str = "#!/bin/sh\nexec kubectl-lsm_ready __complete -- \"$@\"\n";

/// Tells kubectl not to add names of files.
const NO_FILES: &str = ":4";
/// Tells kubectl to do what the shell does.
const DEFAULT: &str = ":0";

/// How long a shell waits for names of nodes.
const PATIENCE: Duration = Duration::from_secs(5);

/// The script for that shell.
pub fn script(shell: ShellArg) -> String {
    let shell = match shell {
        ShellArg::Kubectl => return KUBECTL.to_owned(),
        ShellArg::Bash => clap_complete::Shell::Bash,
        ShellArg::Zsh => clap_complete::Shell::Zsh,
        ShellArg::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kubectl-lsm_ready", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// What can be at the place of the last word.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Wanted {
    Words(Vec<String>),
    NodeName,
    File,
}

/// The candidates for the last word, and the directive.
pub async fn complete(words: &[String], connection: &ConnectionArgs) -> String {
    let last = words.last().map_or("", String::as_str);
    let candidates = match wanted(words) {
        Wanted::File => return format!("{DEFAULT}\n"),
        Wanted::Words(words) => words,
        Wanted::NodeName => node_names(connection).await,
    };
    let lines: String = candidates
        .into_iter()
        .filter(|candidate| candidate.starts_with(last))
        .map(|candidate| candidate + "\n")
        .collect();
    format!("{lines}{NO_FILES}\n")
}

/// The names of the Nodes. A cluster that does not answer in time has no candidates.
async fn node_names(connection: &ConnectionArgs) -> Vec<String> {
    let Ok(cluster) = connect(connection).await else { return Vec::new() };
    let names = tokio::time::timeout(PATIENCE, cluster.node_names()).await;
    names.ok().and_then(Result::ok).unwrap_or_default()
}

/// What can be at the place of the last of these words. Pure.
fn wanted(words: &[String]) -> Wanted {
    let mut root = Cli::command();
    root.build();
    let Some((last, before)) = words.split_last() else { return Wanted::Words(Vec::new()) };
    let command = before.iter().find_map(|word| root.find_subcommand(word));
    let value_of = before.last().and_then(|word| option(command.unwrap_or(&root), word));
    match (value_of, command) {
        (Some(arg), _) => value(arg),
        (None, Some(command)) if last.starts_with('-') => Wanted::Words(options(command)),
        (None, None) if last.starts_with('-') => Wanted::Words(options(&root)),
        (None, Some(command)) => positional(command),
        (None, None) => {
            let shown = root.get_subcommands().filter(|command| !command.is_hide_set());
            Wanted::Words(shown.map(|command| command.get_name().to_owned()).collect())
        }
    }
}

/// The option that this word is, if it takes a value in the next word.
fn option<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let is_named = |arg: &&Arg| {
        let short = arg.get_short().map(|short| format!("-{short}"));
        let long = arg.get_long().map(|long| format!("--{long}"));
        long.as_deref() == Some(word) || short.as_deref() == Some(word)
    };
    command.get_arguments().find(is_named).filter(|arg| arg.get_action().takes_values())
}

fn options(command: &Command) -> Vec<String> {
    let longs = command.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(Arg::get_long);
    longs.map(|long| format!("--{long}")).collect()
}

fn positional(command: &Command) -> Wanted {
    command.get_positionals().next().map_or(Wanted::Words(Vec::new()), value)
}

/// The values that an argument takes.
fn value(arg: &Arg) -> Wanted {
    let possible = arg.get_possible_values();
    if !possible.is_empty() {
        return Wanted::Words(possible.iter().map(|of| of.get_name().to_owned()).collect());
    }
    let names = arg.get_value_names().unwrap_or_default();
    match names.first().map_or("", |name| name.as_str()) {
        "NODE" => Wanted::NodeName,
        "FILE" | "FILE|-" => Wanted::File,
        "REASON" => Wanted::Words(Reason::ALL.iter().map(|of| of.code().to_owned()).collect()),
        "CODE" => {
            let nodes = Reason::ALL.iter().map(|of| of.code());
            let conditions = ConditionReason::ALL.iter().map(|of| of.code());
            Wanted::Words(nodes.chain(conditions).map(str::to_owned).collect())
        }
        "EVIDENCE" => {
            Wanted::Words(["loaded", "attached", "fired", "denied"].map(str::to_owned).into())
        }
        _ => Wanted::Words(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Wanted {
        wanted(&words.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    fn words(of: Wanted) -> Vec<String> {
        match of {
            Wanted::Words(words) => words,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_place_of_a_command_line_has_its_candidates() {
        let commands = words(of(&[""]));
        assert!(commands.contains(&"drill".to_owned()));
        assert!(!commands.contains(&"__complete".to_owned()));
        assert_eq!(of(&["why", ""]), Wanted::NodeName);
        assert_eq!(of(&["--context", "prod", "why", ""]), Wanted::NodeName);
        assert_eq!(of(&["mount", ""]), Wanted::File);
        assert_eq!(of(&["status", "--kubeconfig", ""]), Wanted::File);
        assert_eq!(words(of(&["status", "-o", ""])), ["text", "json", "yaml"]);
        assert!(words(of(&["nodes", "--reason", "Bpf"])).contains(&"BpfNotInLsmList".to_owned()));
        assert!(words(of(&["nodes", "--"])).contains(&"--request-timeout".to_owned()));
        assert!(words(of(&["explain", ""])).contains(&"TooFewNodesReady".to_owned()));
        assert!(words(wanted(&[])).is_empty());
    }

    #[test]
    fn each_shell_has_a_script_that_knows_every_command() {
        for shell in [ShellArg::Bash, ShellArg::Zsh, ShellArg::Fish] {
            let script = script(shell);
            for command in ["status", "why", "nodes", "drill", "explain", "report"] {
                assert!(script.contains(command), "{shell:?} {command}");
            }
        }
        assert!(script(ShellArg::Kubectl).starts_with("#!/bin/sh\n"));
    }
}
