//! `bench scale`: the sections about thousands of nodes.
//!
//! Each section writes its figures as soon as it has them. One that fails is named at the end, and
//! the others are measured all the same.

use std::time::Instant;

use crate::Failure;
use crate::arguments::{Arguments, Section};
use crate::operator;
use crate::report::{self, write};
use crate::shared::Shared;
use crate::world::say;
use crate::{bad_input, growth};

/// Measures the chosen sections, and prints the table.
pub async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (began, program) = (Instant::now(), operator::program()?);
    let chosen = arguments.chosen();
    say(&format!("measuring {}", program.display()));
    for section in &chosen {
        report::forget(section.file())?;
    }
    let mut shared = Shared::new(arguments, chosen.contains(&Section::Convergence));
    let mut failed = Vec::new();
    for section in &chosen {
        let since = Instant::now();
        let outcome = measure(*section, arguments, &mut shared).await;
        say(&format!("{section:?}: {:.0} s", since.elapsed().as_secs_f64()));
        if let Err(error) = outcome {
            shared.disturb();
            say(&format!("{section:?} FAILED: {error}"));
            failed.push(format!("{section:?}: {error}"));
        }
    }
    say(&format!("measured in {:.0} s", began.elapsed().as_secs_f64()));
    report::print(chosen.iter().map(|section| section.file()))?;
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ").into()) }
}

async fn measure(
    section: Section,
    arguments: &Arguments,
    shared: &mut Shared<'_>,
) -> Result<(), Failure> {
    match section {
        Section::Convergence => shared.convergence().await,
        Section::Latency => shared.latency().await,
        Section::Joining => shared.joining().await,
        Section::Start => shared.start().await,
        Section::Probes => shared.probes().await,
        Section::Nfd => shared.nfd().await,
        Section::BadInput => {
            shared.end();
            let (figures, failed) = bad_input::measure(arguments.small).await;
            write(section.file(), &figures)?;
            all_measured(&failed)
        }
        Section::Growth => {
            shared.end();
            let (figures, failed) = growth::measure(&arguments.sizes, arguments.small).await;
            write(section.file(), &figures)?;
            all_measured(&failed)
        }
    }
}

/// A part of a section that failed leaves the figures of the other parts.
fn all_measured(failed: &[String]) -> Result<(), Failure> {
    if failed.is_empty() { Ok(()) } else { Err(failed.join(", ").into()) }
}
