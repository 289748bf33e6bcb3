//! `kubectl lsm-ready`: what the operator would do about Tetragon's DaemonSet, and whether Tetragon's policies will load, said
//! about a manifest.
//!
//! In: the command line and files. Out: text on standard output and an exit code. Nothing is changed, and no cluster is
//! asked but by `preflight` where it is given no file with nodes, so it runs in a repository's checks as well as by hand. The
//! answers are those of [`lsm_ready_tetragon`], which the operator gives too. Only [`run`], [`read`] and [`cluster`] touch
//! the world.

pub mod cli;
pub mod cluster;
pub mod documents;
pub mod find;
pub mod helm;
pub mod mount;
pub mod preflight;
pub mod read;
pub mod render;
pub mod values;

use std::io::Write;
use std::process::ExitCode;

use cli::{Cli, Command};
use lsm_ready_tetragon::image::Version;
use lsm_ready_tetragon::verdict::TargetVersion;

/// The version that the development branch becomes.
const MAIN: &str = "v1.8.0-pre.0";

/// Exit codes.
pub mod exit {
    /// The agent needs no mount; or what was asked for was printed.
    pub const NOT_NEEDED: u8 = 0;
    /// The agent needs the mount.
    pub const NEEDS_MOUNT: u8 = 1;
    /// Something stands in the way that somebody has to change first.
    pub const REFUSED: u8 = 2;
    /// Every policy loads on every node that it is for, or has no LSM hooks.
    pub const LOADABLE: u8 = 0;
    /// Some policy does not load on some node, or denies nothing where it has to.
    pub const NOT_LOADABLE: u8 = 1;
    /// It could not be judged: no node is known, or not enough of one.
    pub const NOT_JUDGED: u8 = 2;
    /// Wrong use or unreadable input (`EX_USAGE` of sysexits.h).
    pub const USAGE: u8 = 64;
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input cannot be read.
    #[error(transparent)]
    Read(#[from] read::Error),
    /// The input is no YAML or JSON.
    #[error(transparent)]
    Document(#[from] documents::Error),
    /// The agent is not among it, or cannot be told from others.
    #[error(transparent)]
    Find(#[from] find::Error),
    /// The values cannot be completed.
    #[error(transparent)]
    Helm(#[from] helm::Error),
    /// A file holds no values.
    #[error(transparent)]
    Values(#[from] values::Error),
    /// There are no policies, or some that cannot be read.
    #[error(transparent)]
    Preflight(#[from] preflight::Error),
    /// A node that cannot be read.
    #[error(transparent)]
    Nodes(#[from] preflight::nodes::Error),
    /// The cluster cannot be asked.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// A version that is none.
    #[error("--tetragon-version {0} is no version; write one such as v1.7.0, or main")]
    Version(String),
    /// Nothing that was given can be read.
    #[error("{}", .0.join("\n"))]
    Unreadable(Vec<String>),
    /// Something cannot be read; there is an answer about the rest.
    #[error("{}", .unread.join("\n"))]
    Some {
        /// The answer about the rest.
        answer: String,
        /// What cannot be read, with place and reason.
        unread: Vec<String>,
        /// The exit code.
        code: u8,
    },
    /// Standard input is named twice.
    #[error("policies and nodes cannot both come from standard input; name a file for one of them")]
    Twice,
}

impl Error {
    /// The exit code.
    pub const fn code(&self) -> u8 {
        match self {
            Self::Helm(helm::Error::Taken(_) | helm::Error::Refused(_)) => exit::REFUSED,
            Self::Cluster(_) => exit::NOT_JUDGED,
            Self::Some { code, .. } => *code,
            _ => exit::USAGE,
        }
    }
}

/// Runs the command and says by the exit code what came of it.
pub fn run(cli: &Cli) -> ExitCode {
    let answered = match &cli.command {
        Command::Mount(args) => mount(args),
        Command::HelmValues(args) => helm_values(args),
        Command::Preflight(args) => preflight(args),
    };
    match answered {
        Ok((text, code)) => match std::io::stdout().lock().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::from(code),
            Err(error) => failed(&format!("cannot write the answer: {error}"), exit::USAGE),
        },
        Err(error) => {
            if let Error::Some { answer, .. } = &error {
                // The error that is told next counts more than an output that cannot be written.
                std::io::stdout().lock().write_all(answer.as_bytes()).ok();
            }
            failed(&error.to_string(), error.code())
        }
    }
}

fn failed(message: &str, code: u8) -> ExitCode {
    eprintln!("kubectl lsm-ready: {message}");
    ExitCode::from(code)
}

fn mount(args: &cli::MountArgs) -> Result<(String, u8), Error> {
    let text = read::text(&args.file)?;
    let documents = documents::parse(&args.file, &text)?;
    let found =
        find::agent(&args.file, &documents, args.container.as_deref(), args.daemon_set.as_deref())?;
    let answer = mount::answer(&found, args.container.as_deref(), args.always);
    Ok((render::answer(&answer, args.output), answer.code()))
}

fn helm_values(args: &cli::HelmArgs) -> Result<(String, u8), Error> {
    let mut given = values::Given::default();
    for (index, file) in args.values.iter().enumerate() {
        let documents = documents::parse(file, &read::text(file)?)?;
        values::add(&mut given, file, &documents, index == 0)?;
    }
    let dependency = args.dependency.clone().or_else(|| values::dependency(&given.values));
    let meant = match &dependency {
        Some(name) => values::of_dependency(&given.values, name),
        None => given.values,
    };
    // The version of a chart that has Tetragon's as a dependency says nothing about Tetragon's.
    let of_chart = given
        .chart_version
        .filter(|version| dependency.is_none() && Version::parse(version).is_some());
    let version = args.chart_version.clone().or(of_chart);
    let mut completed = helm::values(&meant, version.as_deref())?;
    completed.remarks.splice(0..0, given.remarks);
    if let Some(name) = dependency {
        completed.remarks.push(format!(
            "the values are for a chart that has Tetragon's as the dependency {name}"
        ));
        completed.values = values::below(&name, completed.values);
    }
    Ok((render::values(&completed, args.output), exit::NOT_NEEDED))
}

fn preflight(args: &cli::PreflightArgs) -> Result<(String, u8), Error> {
    if args.files.iter().chain(&args.nodes).filter(|file| *file == "-").count() > 1 {
        return Err(Error::Twice);
    }
    let named = args.tetragon_version.as_deref().map(version).transpose()?;
    let mut found = policies(&args.files)?;
    let (mut known, unreached) = nodes(args)?;
    known.remarks.append(&mut found.remarks);
    if args.server {
        let context = args.context.as_deref();
        preflight::ask_server(&mut found.policies, |object| cluster::ask(context, object));
    }
    let target = TargetVersion::of(named.or_else(|| known.version()));
    if preflight::depends_on_release(&found.policies, target) {
        known.remarks.push(
            "name the release of Tetragon with --tetragon-version, for example v1.7.0".to_owned(),
        );
    }
    let answer = preflight::preflight(&found.policies, &known, target);
    let text = match args.output {
        cli::PreflightOutput::Text => preflight::render::text(&answer),
        cli::PreflightOutput::Json => render::json(&answer),
    };
    let code = preflight::code(&answer, args.require_deny);
    let code = if found.unreadable.is_empty() { code } else { exit::USAGE };
    let unread: Vec<String> = found.unreadable.into_iter().chain(unreached).collect();
    if unread.is_empty() {
        Ok((text, code))
    } else {
        Err(Error::Some { answer: text, unread, code })
    }
}

/// `main` stands for the development branch.
fn version(text: &str) -> Result<Version, Error> {
    let version = if text == "main" { MAIN } else { text };
    Version::parse(version).ok_or_else(|| Error::Version(text.to_owned()))
}

/// What is known of the nodes, and why the cluster could not be asked: what a policy's text tells is told all the same.
fn nodes(args: &cli::PreflightArgs) -> Result<(preflight::nodes::Cluster, Option<String>), Error> {
    let mut known = preflight::nodes::Cluster::default();
    for file in &args.nodes {
        known.add(file, &documents::parse(file, &read::text(file)?)?)?;
    }
    let mut unreached = None;
    if args.nodes.is_empty() {
        match cluster::objects(args.context.as_deref()) {
            Ok((objects, missing)) => {
                known.add(cluster::SOURCE, &objects)?;
                known.remarks.extend(missing);
            }
            Err(error) => unreached = Some(error.to_string()),
        }
    }
    known.remark();
    Ok((known, unreached))
}

/// The policies of all files. What cannot be read is told beside what can.
fn policies(files: &[String]) -> Result<preflight::Found, Error> {
    let mut all = preflight::Found::default();
    for file in files {
        let (documents, broken) = documents::parse_each(file, &read::text(file)?);
        all.unreadable.extend(broken.iter().map(ToString::to_string));
        let mut found = preflight::policies(file, documents);
        all.policies.append(&mut found.policies);
        all.unreadable.append(&mut found.unreadable);
        all.remarks.append(&mut found.remarks);
    }
    match (all.policies.is_empty(), all.unreadable.is_empty()) {
        (false, _) => Ok(all),
        (true, false) => Err(Error::Unreadable(all.unreadable)),
        (true, true) => Err(preflight::Error::NoPolicy(files.join(", "), all.remarks).into()),
    }
}
