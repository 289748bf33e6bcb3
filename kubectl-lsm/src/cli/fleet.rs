//! The arguments of the commands that ask the cluster about its nodes.

use clap::{Args, ValueEnum};
use lsm_ready_crds::policy::Require;
use lsm_ready_crds::{RequiredEvidence, State};

#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Output format.
    #[arg(long, short, value_enum, default_value_t = ObjectFormat::Text)]
    pub output: ObjectFormat,
}

#[derive(Args, Debug)]
pub struct WhyArgs {
    /// Name of the Node.
    #[arg(value_name = "NODE")]
    pub node: String,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t = ObjectFormat::Text)]
    pub output: ObjectFormat,
}

#[derive(Args, Debug)]
pub struct NodesArgs {
    #[command(flatten)]
    pub require: RequireArgs,
    #[command(flatten)]
    pub select: SelectArgs,
    /// Show only nodes with this reason. May be repeated.
    #[arg(long, value_name = "REASON")]
    pub reason: Vec<String>,
    /// Show only nodes in this state. May be repeated.
    #[arg(long, value_enum, value_name = "STATE")]
    pub state: Vec<StateArg>,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t = ListFormat::Table)]
    pub output: ListFormat,
}

#[derive(Args, Debug)]
pub struct DrillArgs {
    /// LSM hooks on which the mitigation attaches its programs, without the prefix bpf_lsm_.
    #[arg(value_name = "HOOK", required_unless_present = "require_sleepable_hook")]
    pub hooks: Vec<String>,
    /// A hook that needs a sleepable program. May be repeated.
    #[arg(long, value_name = "HOOK")]
    pub require_sleepable_hook: Vec<String>,
    /// Another LSM that must be active. May be repeated.
    #[arg(long, value_name = "LSM")]
    pub require_lsm: Vec<String>,
    /// Programs must be able to read kernel memory (bpf_probe_read_kernel).
    #[arg(long)]
    pub require_kernel_reads: bool,
    #[command(flatten)]
    pub select: SelectArgs,
    /// Output format. `name` prints the protected nodes.
    #[arg(long, short, value_enum, default_value_t = ListFormat::Table)]
    pub output: ListFormat,
}

/// What is required of a node.
#[derive(Args, Debug, Default)]
pub struct RequireArgs {
    /// An LSM hook that must accept a program. May be repeated.
    #[arg(long, value_name = "HOOK")]
    pub require_hook: Vec<String>,
    /// An LSM hook that must accept a sleepable program. May be repeated.
    #[arg(long, value_name = "HOOK")]
    pub require_sleepable_hook: Vec<String>,
    /// Another LSM that must be active, for example apparmor. May be repeated.
    #[arg(long, value_name = "LSM")]
    pub require_lsm: Vec<String>,
    /// Programs must be able to read kernel memory (bpf_probe_read_kernel).
    #[arg(long)]
    pub require_kernel_reads: bool,
    /// The evidence that a node must have given: loaded, attached, fired or denied.
    #[arg(long, value_name = "EVIDENCE", default_value = "denied")]
    pub evidence: RequiredEvidence,
}

/// Which nodes.
#[derive(Args, Debug, Default)]
pub struct SelectArgs {
    /// Label selector for the nodes, as kubectl takes it, for example pool=blue.
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub selector: Option<String>,
}

#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// A reason of a node or of a condition, for example BpfNotInLsmList. Without it, all reasons.
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t = ObjectFormat::Text)]
    pub output: ObjectFormat,
}

#[derive(Args, Debug)]
pub struct ReportArgs {
    /// Output format.
    #[arg(long, short, value_enum, default_value_t = ReportFormat::Html)]
    pub output: ReportFormat,
}

#[derive(Args, Debug)]
pub struct CompletionArgs {
    /// The shell, or `kubectl` for the script kubectl_complete-lsm_ready, by which kubectl itself
    /// completes its plugin.
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: ShellArg,
}

/// Formats for one answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum ObjectFormat {
    /// For people, within 80 columns.
    Text,
    /// For programs. The field `schema` names the version of the format.
    Json,
    /// The same as YAML.
    Yaml,
}

/// Formats for a list of nodes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum ListFormat {
    /// For people, within 80 columns.
    Table,
    /// For people, with more columns and without a limit for the width.
    Wide,
    /// One line for each node: node/NAME.
    Name,
    /// For programs. The field `schema` names the version of the format.
    Json,
    /// The same as YAML.
    Yaml,
}

/// Formats of the report.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum ReportFormat {
    /// One file for a browser.
    Html,
    /// For programs. The field `schema` names the version of the format.
    Json,
    /// Markdown, for tickets.
    Md,
}

/// The state of a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum StateArg {
    /// Shown in this boot.
    Ready,
    /// Shown not to be.
    NotReady,
    /// Neither was shown.
    Unknown,
}

/// What can complete a command line.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum ShellArg {
    /// GNU Bash.
    Bash,
    /// The Z shell.
    Zsh,
    /// Fish.
    Fish,
    /// kubectl, from version 1.26 on.
    Kubectl,
}

impl From<StateArg> for State {
    fn from(state: StateArg) -> Self {
        match state {
            StateArg::Ready => Self::Ready,
            StateArg::NotReady => Self::NotReady,
            StateArg::Unknown => Self::Unknown,
        }
    }
}

impl RequireArgs {
    /// The same as a policy's requirement.
    pub fn requirement(&self) -> Require {
        Require {
            evidence: self.evidence,
            lsms: self.require_lsm.clone(),
            hooks: self.require_hook.clone(),
            sleepable_hooks: self.require_sleepable_hook.clone(),
            kernel_reads: self.require_kernel_reads,
            ..Require::default()
        }
    }
}

impl DrillArgs {
    /// The same as a policy's requirement.
    pub fn requirement(&self) -> Require {
        Require {
            lsms: self.require_lsm.clone(),
            hooks: self.hooks.clone(),
            sleepable_hooks: self.require_sleepable_hook.clone(),
            kernel_reads: self.require_kernel_reads,
            ..Require::default()
        }
    }
}
