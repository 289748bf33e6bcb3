//! The command `cleanup`: removes lsm-ready from a cluster.
//!
//! ## Flow
//! the user's rights → a dry run → the question → the removal, and one more look.
//!
//! Where this program cannot log in, the Job in `config/cleanup` does the same from inside of the
//! cluster.

use std::io::{BufRead, IsTerminal, Write};

use lsm_ready_cleanup::installed::Installation;
use lsm_ready_cleanup::{Cluster, Mode, Names, Report, cluster, everything, rights};
use lsm_ready_crds::ExitCode;

use crate::answer::Answer;
use crate::cli::{CleanupArgs, ConnectionArgs};
use crate::cluster::connect;

/// Why there was no cleanup.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{0}. The Job does the same from inside of the cluster: kubectl apply -k config/cleanup"
    )]
    Connect(#[from] crate::cluster::Error),
    #[error("the cluster gives no answer: {0}")]
    Unreachable(#[source] cluster::Error),
    #[error(
        "you may not do all that is needed, so nothing was changed. Missing rights, as kubectl \
         auth can-i takes them: {}",
        .0.join(", ")
    )]
    Rights(Vec<String>),
    #[error(
        "nothing was changed: no one can be asked, because standard input is no terminal. Use \
         --yes, or --dry-run"
    )]
    NoTerminal,
    #[error("nothing was changed: the answer was not yes")]
    Declined,
}

impl Error {
    /// The exit code.
    pub const fn code(&self) -> ExitCode {
        match self {
            Self::Connect(error) => error.code(),
            Self::Unreachable(_) | Self::Rights(_) => ExitCode::CannotBeJudged,
            Self::NoTerminal => ExitCode::WrongUse,
            Self::Declined => ExitCode::DoesNotHold,
        }
    }
}

/// Removes lsm-ready, or says what would be removed.
pub async fn answer(args: &CleanupArgs, connection: &ConnectionArgs) -> Result<Answer, Error> {
    let client = connect(connection).await?.client;
    let missing = rights::missing(&client).await.map_err(Error::Unreachable)?;
    if !missing.is_empty() {
        return Err(Error::Rights(missing));
    }
    let installation =
        Installation { namespace: connection.namespace().to_owned(), keep_job: false };
    let looking = Cluster { client, names: Names::OfAnyVersion, mode: Mode::DryRun };
    let found = everything::remove(&looking, &installation).await;
    if args.dry_run || found.is_empty() {
        return Ok(looked(&found));
    }
    if !args.yes {
        confirm(&found)?;
    }
    let removing = Cluster { mode: Mode::Remove, ..looking };
    Ok(removed(&everything::remove(&removing, &installation).await))
}

/// Asks whether to go on. Standard output stays free for the result.
fn confirm(found: &Report) -> Result<(), Error> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(Error::NoTerminal);
    }
    eprint!("This will be removed:\n{}Remove it? Type yes: ", found.lines());
    // A question that cannot be shown gets no answer.
    std::io::stderr().flush().ok();
    let mut line = String::new();
    let answer = input.lock().read_line(&mut line);
    if answer.is_ok() && line.trim() == "yes" { Ok(()) } else { Err(Error::Declined) }
}

/// The answer of a dry run.
fn looked(found: &Report) -> Answer {
    let (text, code) = if found.is_empty() {
        ("Nothing of lsm-ready is in this cluster.\n".to_owned(), ExitCode::Holds)
    } else {
        (format!("Would be removed:\n{}", found.lines()), ExitCode::DoesNotHold)
    };
    with_errors(text, found, code)
}

/// The answer of a cleanup.
fn removed(report: &Report) -> Answer {
    let text = format!("Removed:\n{}", report.lines());
    if report.failed.is_empty() {
        return Answer {
            text: text + "Nothing of lsm-ready is left.\n",
            unread: Vec::new(),
            code: ExitCode::Holds,
        };
    }
    with_errors(text, report, ExitCode::DoesNotHold)
}

fn with_errors(text: String, report: &Report, code: ExitCode) -> Answer {
    let errors = (!report.failed.is_empty())
        .then(|| format!("{} not removed:\n{}", report.failed.len(), report.errors().trim_end()));
    Answer { text, unread: errors.into_iter().collect(), code }
}
