//! The command line. In: arguments. Out: a [`Cli`].

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Says what Tetragon's manifests need to enforce through LSM BPF, before they are applied.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-lsm_ready",
    bin_name = "kubectl lsm-ready",
    version,
    about,
    propagate_version = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say whether Tetragon's agent in a manifest needs the securityfs mount, and what to change.
    ///
    /// FILE is one manifest or a stream of them, YAML or JSON, also with List objects: what `helm template`, `kustomize
    /// build` and `kubectl get -o yaml` print. The agent's DaemonSet is found in it; everything else is passed over.
    ///
    /// Exit code: 0 no mount is needed, 1 the mount is needed, 2 something stands in the way, 64 wrong use or
    /// unreadable input.
    ///
    /// Example: helm template tetragon cilium/tetragon -n kube-system | kubectl lsm-ready mount -
    #[command(verbatim_doc_comment)]
    Mount(MountArgs),
    /// Print values for Tetragon's Helm chart that mount securityfs, read-only, into the agent.
    ///
    /// Helm replaces a list by the list of the next values file. So give your own files with -f, in the order in which
    /// Helm gets them: the lists that are printed hold your entries too. Pass the printed file to Helm last.
    ///
    /// Exit code: 0 printed, 2 your values have something else in its place, 64 wrong use or unreadable input.
    ///
    /// Example: kubectl lsm-ready helm-values -f values.yaml > securityfs.yaml
    #[command(verbatim_doc_comment)]
    HelmValues(HelmArgs),
    /// Say whether Tetragon's policies will load on the nodes and deny, and why not where they will not.
    ///
    /// FILE holds TracingPolicies and TracingPoliciesNamespaced, YAML or JSON; other objects are passed over. Each policy is
    /// checked against the schema and the rules of Tetragon's releases, and its lsmhooks against what lsm-ready's probes
    /// found on the nodes: those of the cluster at hand, asked with kubectl, or those of --nodes.
    ///
    /// Exit code: 0 all load on every node that they are for, 1 some do not (with --require-deny also: deny nothing), 2 it
    /// could not be judged (no node is known, or too little of one, or it depends on Tetragon's release), 64 wrong use or
    /// unreadable input.
    ///
    /// Example: kubectl get lsmnodes,lsmhookprofiles,nodes -o yaml > nodes.yaml; kubectl lsm-ready preflight policy.yaml --nodes nodes.yaml
    #[command(verbatim_doc_comment)]
    Preflight(PreflightArgs),
}

/// Arguments of `mount`.
#[derive(Args, Debug)]
pub struct MountArgs {
    /// The manifest, or - for standard input.
    #[arg(value_name = "FILE|-")]
    pub file: String,
    /// How to print the answer.
    #[arg(long, short, value_enum, default_value_t = MountOutput::Text)]
    pub output: MountOutput,
    /// Name of the agent's container. Default: tetragon, else the container with Tetragon's image, else the only one that
    /// mounts /sys/fs/bpf.
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// The DaemonSet to look at, where the manifest holds several that could be Tetragon's agent.
    #[arg(long, value_name = "[NAMESPACE/]NAME")]
    pub daemon_set: Option<String>,
    /// Ask for the mount also where the agent mounts securityfs itself, as a policy with `mount: Always` does.
    #[arg(long)]
    pub always: bool,
}

/// Forms of the answer about a manifest.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum MountOutput {
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

/// Arguments of `helm-values`.
#[derive(Args, Debug)]
pub struct HelmArgs {
    /// A values file that Helm gets too, or - for standard input; may be repeated. A HelmRelease of Flux, an Application of
    /// Argo CD, a HelmChart of k3s and a Kustomization with helmCharts are taken as well.
    #[arg(long, short = 'f', value_name = "FILE|-")]
    pub values: Vec<String>,
    /// Version of the chart. The printed values are the same for every chart from 0.8.0 on; older ones are refused.
    #[arg(long, value_name = "VERSION")]
    pub chart_version: Option<String>,
    /// Name under which your chart has Tetragon's as a dependency. Default: the one that the values show, if they do.
    #[arg(long, value_name = "NAME")]
    pub dependency: Option<String>,
    /// How to print the values.
    #[arg(long, short, value_enum, default_value_t = Output::Yaml)]
    pub output: Output,
}

/// Forms of values.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Output {
    /// As Helm's users write them.
    Yaml,
    /// Helm takes it as well.
    Json,
}

/// Arguments of `preflight`.
#[derive(Args, Debug)]
pub struct PreflightArgs {
    /// Files with Tetragon's policies, or - for standard input.
    #[arg(value_name = "FILE|-", required = true)]
    pub files: Vec<String>,
    /// A file with LsmNodes, LsmHookProfiles and best also Nodes, as `kubectl get lsmnodes,lsmhookprofiles,nodes -o yaml`
    /// prints them, or - for standard input; may be repeated. No cluster is asked then.
    #[arg(long, value_name = "FILE|-", conflicts_with = "context")]
    pub nodes: Vec<String>,
    /// Release of Tetragon's agents, for example v1.7.0, or main. Default: that of the DaemonSet in the cluster or in --nodes;
    /// where there is none, all known releases are judged.
    #[arg(long, value_name = "VERSION")]
    pub tetragon_version: Option<String>,
    /// Fail (exit code 1) also where a policy loads and denies nothing.
    #[arg(long)]
    pub require_deny: bool,
    /// Ask the API server too whether the installed CRDs take each policy (kubectl apply --dry-run=server).
    #[arg(long)]
    pub server: bool,
    /// The kubeconfig's context to ask, where it is not the current one.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// How to print the answer.
    #[arg(long, short, value_enum, default_value_t = PreflightOutput::Text)]
    pub output: PreflightOutput,
}

/// Forms of the answer about policies.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum PreflightOutput {
    /// For people.
    Text,
    /// For programs; the field `schema` names its form.
    Json,
}
