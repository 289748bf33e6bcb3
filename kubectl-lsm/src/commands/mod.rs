//! The commands. In: the arguments. Out: an [`Answer`], or an [`Error`].

mod fleet;

use lsm_ready_crds::ExitCode;
use lsm_ready_crds::text::printable_lines;
use lsm_ready_tetragon::image::Version;
use lsm_ready_tetragon::verdict::TargetVersion;

use crate::answer::Answer;
use crate::cli::{
    Cli, Command, ConnectionArgs, HelmArgs, MountArgs, PreflightArgs, PreflightFormat,
};
use crate::cluster::read::Scope;
use crate::cluster::{self, connect};
use crate::error::Error;
use crate::preflight::nodes::Cluster as KnownNodes;
use crate::preflight::{self, PolicyFiles};
use crate::{cleanup, completion, documents, explain, find, helm, mount, read, render, values};

/// The release that Tetragon's development branch becomes. `--tetragon-version main` means it.
const MAIN: &str = "v1.8.0-pre.0";

/// The answer of the command.
pub async fn answer(cli: &Cli) -> Result<Answer, Error> {
    let connection = &cli.connection;
    match &cli.command {
        Command::Status(args) => fleet::status(args, connection).await,
        Command::Why(args) => Box::pin(fleet::why(args, connection)).await,
        Command::Nodes(args) => fleet::nodes(args, connection).await,
        Command::Drill(args) => fleet::drill(args, connection).await,
        Command::Report(args) => fleet::report(args, connection).await,
        Command::Explain(args) => Ok(Answer::complete(explain::explain(args)?, ExitCode::Holds)),
        Command::Mount(args) => mount(args),
        Command::HelmValues(args) => helm_values(args),
        Command::Preflight(args) => preflight(args, connection).await,
        Command::Cleanup(args) => Ok(cleanup::answer(args, connection).await?),
        Command::Completion(args) => {
            Ok(Answer::complete(completion::script(args.shell), ExitCode::Holds))
        }
        Command::Complete(args) => {
            let text = completion::complete(&args.words, connection).await;
            Ok(Answer::complete(text, ExitCode::Holds))
        }
    }
}

fn mount(args: &MountArgs) -> Result<Answer, Error> {
    let text = read::text(&args.file)?;
    let documents = documents::parse(&args.file, &text)?;
    let wanted = find::Wanted {
        container: args.container.as_deref(),
        daemon_set: args.daemon_set.as_deref(),
    };
    let daemon_set = find::agent(&args.file, &documents, wanted)?;
    let result = mount::decide(&daemon_set, args.container.as_deref(), args.always);
    Ok(Answer::complete(render::mount(&result, args.output), result.code()))
}

fn helm_values(args: &HelmArgs) -> Result<Answer, Error> {
    let mut given = values::Given::default();
    for (index, file) in args.values.iter().enumerate() {
        let documents = documents::parse(file, &read::text(file)?)?;
        values::add(&mut given, file, &documents, index == 0)?;
    }
    let dependency = args.dependency.clone().or_else(|| values::dependency(&given.values));
    let values = match &dependency {
        Some(name) => values::of_dependency(&given.values, name),
        None => given.values,
    };
    // The version of a chart that has Tetragon's chart as a dependency says nothing about Tetragon.
    let version_of_chart = given
        .chart_version
        .filter(|version| dependency.is_none() && Version::parse(version).is_some());
    let version = args.chart_version.clone().or(version_of_chart);
    let mut completed = helm::values(&values, version.as_deref())?;
    completed.notes.splice(0..0, given.notes);
    if let Some(name) = dependency {
        completed
            .notes
            .push(format!("the values are for a chart with Tetragon's as dependency {name}"));
        completed.values = values::below(&name, completed.values);
    }
    Ok(Answer::complete(render::values(&completed, args.output), ExitCode::Holds))
}

async fn preflight(args: &PreflightArgs, connection: &ConnectionArgs) -> Result<Answer, Error> {
    if args.files.iter().chain(&args.nodes).filter(|file| *file == "-").count() > 1 {
        return Err(Error::StdinTwice);
    }
    let version = args.tetragon_version.as_deref().map(version).transpose()?;
    let mut found = policies(&args.files)?;
    let (mut known, unreachable) = nodes(args, connection).await?;
    known.notes.append(&mut found.notes);
    if args.ask_server {
        let cluster = connect(connection).await.map_err(|error| error.to_string());
        let cluster = cluster.as_ref().map_err(String::as_str);
        preflight::ask_server(&mut found.policies, cluster).await;
    }
    let target = TargetVersion::of(version.or_else(|| known.version()));
    if preflight::depends_on_release(&found.policies, target) {
        known.notes.push(
            "name the release of Tetragon with --tetragon-version, for example v1.7.0".to_owned(),
        );
    }
    let result = preflight::preflight(&found.policies, &known, target);
    let text = match args.output {
        PreflightFormat::Text => printable_lines(&preflight::render::text(&result), usize::MAX),
        PreflightFormat::Json => render::json(&result),
    };
    let code =
        if found.invalid.is_empty() { result.code(args.require_deny) } else { ExitCode::WrongUse };
    Ok(Answer { text, unread: found.invalid.into_iter().chain(unreachable).collect(), code })
}

fn version(text: &str) -> Result<Version, Error> {
    let version = if text == "main" { MAIN } else { text };
    Version::parse(version).ok_or_else(|| Error::Version(text.to_owned()))
}

/// The nodes, and why the cluster gave none. Policies that Tetragon refuses for their text are
/// reported without a cluster too.
async fn nodes(
    args: &PreflightArgs,
    connection: &ConnectionArgs,
) -> Result<(KnownNodes, Option<String>), Error> {
    let mut known = KnownNodes::default();
    for file in &args.nodes {
        known.add(file, &documents::parse(file, &read::text(file)?)?)?;
    }
    let mut unreachable = None;
    if args.nodes.is_empty() {
        match read_cluster(connection).await {
            Ok(read) => known = read,
            Err(error) => {
                let advice = "Or name a file that has the nodes with --nodes FILE";
                unreachable = Some(format!("{error}. {advice}"));
            }
        }
    }
    known.note_assumptions();
    Ok((known, unreachable))
}

/// What the cluster tells about its nodes and about the release of Tetragon.
async fn read_cluster(connection: &ConnectionArgs) -> Result<KnownNodes, cluster::Error> {
    let cluster = connect(connection).await?;
    let mut objects = cluster.objects(Scope::Reports, None).await?;
    cluster.progress.during(cluster.read_daemon_sets(&mut objects)).await?;
    Ok(KnownNodes::of(objects))
}

/// The policies of all files. An invalid one does not hide the others.
fn policies(files: &[String]) -> Result<PolicyFiles, Error> {
    let mut all = PolicyFiles::default();
    for file in files {
        let (documents, broken) = documents::parse_each(file, &read::text(file)?);
        all.invalid.extend(broken.iter().map(ToString::to_string));
        let mut found = preflight::policies(file, documents);
        all.policies.append(&mut found.policies);
        all.invalid.append(&mut found.invalid);
        all.notes.append(&mut found.notes);
    }
    match (all.policies.is_empty(), all.invalid.is_empty()) {
        (false, _) => Ok(all),
        (true, false) => Err(Error::Unreadable(all.invalid)),
        (true, true) => Err(preflight::Error::NoPolicy(files.join(", "), all.notes).into()),
    }
}
