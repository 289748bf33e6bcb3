//! `bench scale`: the sections about thousands of nodes.
//!
//! Each section writes its figures as soon as it has them. One that fails is named at the end, and
//! the others are measured all the same.

use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::Failure;
use crate::operator;
use crate::report::{self, write};
use crate::shared::Shared;
use crate::world::say;
use crate::{bad_input, growth};

#[derive(clap::Args)]
pub struct Arguments {
    /// Only these sections, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Section>,
    #[arg(long, default_value_t = 5000)]
    pub nodes: usize,
    #[arg(long, default_value_t = 20)]
    pub policies: usize,
    /// Seconds in which nothing may be written.
    #[arg(long, default_value_t = 45)]
    rest: u64,
    /// Evidence changes a second.
    #[arg(long, default_value_t = 50)]
    pub changes: u32,
    /// The sizes of the fleets for the growth. The one of `--nodes` is added if it was measured.
    #[arg(long, value_delimiter = ',', default_values_t = [625, 1250, 2500])]
    sizes: Vec<usize>,
    /// Nodes in the fleets that get bad input, and in those with growing numbers of policies.
    #[arg(long, default_value_t = 1000)]
    small: usize,
}

impl Arguments {
    pub fn rest(&self) -> Duration {
        Duration::from_secs(self.rest)
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Section {
    /// How long until everything is right, beside raw patches; writes, memory.
    Convergence,
    /// Evidence written until label visible.
    Latency,
    /// Node created until label visible.
    Joining,
    /// How long the lists take, beside bare lists.
    Start,
    /// What the probes ask of the API server.
    Probes,
    /// Node Feature Discovery's master on the same nodes.
    Nfd,
    /// What the operator does while others write without measure, and while the server refuses.
    BadInput,
    /// How time and memory grow with nodes and policies.
    Growth,
}

impl Section {
    /// The name of its file.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Convergence => "scale",
            Self::Latency => "latency",
            Self::Joining => "joining",
            Self::Start => "start",
            Self::Probes => "probes",
            Self::Nfd => "nfd",
            Self::BadInput => "bad-input",
            Self::Growth => "growth",
        }
    }
}

/// Measures the chosen sections, and prints the table.
pub async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (began, program) = (Instant::now(), operator::program()?);
    let is_chosen =
        |section: &Section| arguments.only.is_empty() || arguments.only.contains(section);
    let chosen: Vec<Section> =
        Section::value_variants().iter().copied().filter(is_chosen).collect();
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
