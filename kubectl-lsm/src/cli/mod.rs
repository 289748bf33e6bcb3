//! The command line. In: arguments. Out: a [`Cli`].

mod connection;
mod fleet;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use connection::ConnectionArgs;
pub use fleet::{
    CompletionArgs, DrillArgs, ExplainArgs, ListFormat, NodesArgs, ObjectFormat, ReportArgs,
    ReportFormat, RequireArgs, SelectArgs, ShellArg, StateArg, StatusArgs, WhyArgs,
};

/// Say which nodes can deny through LSM BPF, why others cannot, and what to do.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-lsm_ready",
    bin_name = "kubectl lsm-ready",
    version,
    about,
    propagate_version = true
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the fleet at a glance: nodes by reason, policies, agents.
    ///
    /// Exit code: 0 each node is ready, and each policy too; 1 some node or policy is not; 2 some
    /// node or policy is unknown, or the cluster cannot be read; 64 wrong use.
    ///
    /// Example: kubectl lsm-ready status
    #[command(verbatim_doc_comment)]
    Status(StatusArgs),
    /// Say why a node is ready, not ready or unknown, and what to change.
    ///
    /// Shows the evidence, each check of the probe, the policies that select the node, and the
    /// agents on it.
    ///
    /// Exit code: 0 the node is ready; 1 it is not; 2 it is unknown, or the cluster cannot be read;
    /// 64 wrong use, or no such node.
    ///
    /// Example: kubectl lsm-ready why worker-3
    #[command(verbatim_doc_comment)]
    Why(WhyArgs),
    /// List nodes by what they can do, without writing a policy.
    ///
    /// The options --require-… and --evidence say what a node must be able to do. The verdict on
    /// each node is the one that the operator would give for a policy with the same requirement.
    ///
    /// Exit code: 0 each selected node is ready; 1 some node is not; 2 some node is unknown, none
    /// is selected, or the cluster cannot be read; 64 wrong use. --reason and --state choose what
    /// is shown and do not change the exit code.
    ///
    /// Example: kubectl lsm-ready nodes --require-hook file_open --state ready -o name
    #[command(verbatim_doc_comment)]
    Nodes(NodesArgs),
    /// Say which nodes a mitigation with programs on these LSM hooks would protect.
    ///
    /// Each node is in one of four groups: protected; protected after a boot argument; not
    /// protectable; unknown. Each group has counts, names and what to change.
    ///
    /// Exit code: 0 each selected node is protected; 1 some node is not; 2 some node is unknown,
    /// none is selected, or the cluster cannot be read; 64 wrong use.
    ///
    /// Example: kubectl lsm-ready drill file_open bprm_check_security -l pool=web
    #[command(verbatim_doc_comment)]
    Drill(DrillArgs),
    /// Explain a reason of a node or of a condition.
    ///
    /// It asks no cluster. Exit code: 0 it is explained; 64 no such reason.
    ///
    /// Example: kubectl lsm-ready explain BpfNotInLsmList
    #[command(verbatim_doc_comment)]
    Explain(ExplainArgs),
    /// Write a report about the fleet: one HTML file, Markdown or JSON.
    ///
    /// Exit code: 0 it is written; 2 the cluster cannot be read; 64 wrong use.
    ///
    /// Example: kubectl lsm-ready report -o html > report.html
    #[command(verbatim_doc_comment)]
    Report(ReportArgs),
    /// Say whether Tetragon's agent in a manifest needs the securityfs mount, and what to change.
    ///
    /// FILE is one manifest or many, YAML or JSON, also in List objects: what `helm template`,
    /// `kustomize build` and `kubectl get -o yaml` print. The command finds the agent's DaemonSet
    /// in it and skips everything else.
    ///
    /// Exit code: 0 no mount is needed; 1 the mount is needed; 2 the mount cannot be added before
    /// you change something in the manifest; 64 wrong use or invalid input.
    ///
    /// Example: helm template tetragon cilium/tetragon -n kube-system | kubectl lsm-ready mount -
    #[command(verbatim_doc_comment)]
    Mount(MountArgs),
    /// Print values for Tetragon's Helm chart that mount securityfs, read-only, into the agent.
    ///
    /// Helm replaces a list by the list of the next values file. So give your own values files with
    /// -f, in the order in which Helm gets them: the printed lists contain your entries too. Pass
    /// the printed file to Helm last.
    ///
    /// Exit code: 0 values are printed; 2 your values mount something else there; 64 wrong use or
    /// invalid input.
    ///
    /// Example: kubectl lsm-ready helm-values -f values.yaml > securityfs.yaml
    #[command(verbatim_doc_comment)]
    HelmValues(HelmArgs),
    /// Say whether Tetragon's policies will load on the nodes and deny, and if not, why.
    ///
    /// FILE holds TracingPolicies and TracingPoliciesNamespaced, YAML or JSON. Other objects are
    /// skipped. Each policy is checked against the schema and the rules of Tetragon's releases. Its
    /// lsmhooks are checked against what lsm-ready's probes found on the nodes. The nodes come from
    /// the cluster or from the files of --nodes.
    ///
    /// Exit code: 0 each policy loads on each of its nodes; 1 some policy does not load (with
    /// --require-deny also: denies nothing); 2 it cannot be judged, because no node is known, too
    /// little is known of one, or it depends on Tetragon's release; 64 wrong use or invalid input.
    ///
    /// Example: kubectl get lsmnodes,lsmhookprofiles,nodes -o yaml > nodes.yaml
    ///          kubectl lsm-ready preflight policy.yaml --nodes nodes.yaml
    #[command(verbatim_doc_comment)]
    Preflight(PreflightArgs),
    /// Remove lsm-ready from a cluster, with everything that it left there.
    ///
    /// Removes our labels, taints and conditions from all Nodes, our mount and label from
    /// DaemonSets, and then our CRDs with their objects, admission policies, rights, workloads and
    /// namespace. It works in every state: while the operator runs, when it is dead, when the CRDs
    /// or the namespace are gone already. Nothing of others is changed. A DaemonSet that had our
    /// mount restarts its pods by its own update strategy.
    ///
    /// Exit code: 0 nothing of lsm-ready is left; 1 something is left (also with --dry-run); 2 the
    /// cluster cannot be reached, or a right is missing; 64 wrong use.
    ///
    /// Example: kubectl lsm-ready cleanup --dry-run
    #[command(verbatim_doc_comment)]
    Cleanup(CleanupArgs),
    /// Print a script that completes command lines.
    ///
    /// Example: kubectl lsm-ready completion kubectl > ~/bin/kubectl_complete-lsm_ready
    ///          chmod +x ~/bin/kubectl_complete-lsm_ready
    #[command(verbatim_doc_comment)]
    Completion(CompletionArgs),
    /// Candidates for the last word, as kubectl asks its plugins.
    #[command(name = "__complete", hide = true)]
    Complete(CompleteArgs),
}

#[derive(Args, Debug)]
pub struct CompleteArgs {
    /// The words of the command line, without the plugin's name.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

#[derive(Args, Debug)]
pub struct MountArgs {
    /// The manifest, or - for standard input.
    #[arg(value_name = "FILE|-")]
    pub file: String,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t = MountFormat::Text)]
    pub output: MountFormat,
    /// Name of the agent's container. Default: tetragon, else the container with Tetragon's image,
    /// else the only container that mounts /sys/fs/bpf.
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// The DaemonSet to check, if several in the manifest could be Tetragon's agent.
    #[arg(long, value_name = "[NAMESPACE/]NAME")]
    pub daemon_set: Option<String>,
    /// Require the mount even if the agent mounts securityfs itself, as a policy with `mount:
    /// Always` does.
    #[arg(long)]
    pub always: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum MountFormat {
    /// For people, with the values for Tetragon's chart.
    Text,
    /// For programs: decision, reason, message, and the object for server-side apply.
    Json,
    /// The same as YAML.
    Yaml,
    /// The `patches` of a kustomization that add the mount.
    Kustomize,
    /// Lines for an Argo CD Application that make it leave lsm-ready's mount alone.
    ArgoCd,
}

#[derive(Args, Debug)]
pub struct HelmArgs {
    /// A values file that Helm gets too, or - for standard input. May be repeated. A HelmRelease of
    /// Flux, an Application of Argo CD, a HelmChart of k3s and a Kustomization with helmCharts are
    /// accepted as well.
    #[arg(long, short = 'f', value_name = "FILE|-")]
    pub values: Vec<String>,
    /// Version of the chart. The values are the same for each chart from 0.8.0 on. Older charts are
    /// refused.
    #[arg(long, value_name = "VERSION")]
    pub chart_version: Option<String>,
    /// Name under which your chart has Tetragon's as a dependency. Default: found from your values.
    #[arg(long, value_name = "NAME")]
    pub dependency: Option<String>,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t = ValuesFormat::Yaml)]
    pub output: ValuesFormat,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum ValuesFormat {
    /// As users of Helm write values.
    Yaml,
    /// Helm accepts JSON as well.
    Json,
}

#[derive(Args, Debug)]
pub struct PreflightArgs {
    /// Files with Tetragon's policies, or - for standard input.
    #[arg(value_name = "FILE|-", required = true)]
    pub files: Vec<String>,
    /// A file with LsmNodes, LsmHookProfiles and, if possible, Nodes, as `kubectl get
    /// lsmnodes,lsmhookprofiles,nodes -o yaml` prints them, or - for standard input. May be
    /// repeated. The cluster is not asked then.
    #[arg(long, value_name = "FILE|-")]
    pub nodes: Vec<String>,
    /// Release of Tetragon's agents, for example v1.7.0, or main. Default: the release of the
    /// DaemonSet in the cluster or in --nodes, else all known releases.
    #[arg(long, value_name = "VERSION")]
    pub tetragon_version: Option<String>,
    /// Exit with 1 also if a policy loads and denies nothing.
    #[arg(long)]
    pub require_deny: bool,
    /// Also ask the API server whether the installed CRDs accept each policy (a dry run of
    /// server-side apply).
    #[arg(long)]
    pub ask_server: bool,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t = PreflightFormat::Text)]
    pub output: PreflightFormat,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum PreflightFormat {
    /// For people.
    Text,
    /// For programs. The field `schema` names the version of the format.
    Json,
}

#[derive(Args, Debug)]
pub struct CleanupArgs {
    /// Only say what would be removed.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
}
