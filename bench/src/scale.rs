//! `bench scale`: the sections about thousands of nodes, on one fleet where they can share it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde_json::json;

use crate::Failure;
use crate::fleet::{Fleet, Proof};
use crate::latency::Rate;
use crate::operator::{self, Operator};
use crate::report::{self, write};
use crate::world::{World, say};
use crate::{convergence, growth, latency, nfd, probes, start};

#[derive(clap::Args)]
pub struct Arguments {
    /// Only these sections, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Section>,
    #[arg(long, default_value_t = 5000)]
    nodes: usize,
    #[arg(long, default_value_t = 20)]
    policies: usize,
    /// Seconds in which nothing may be written.
    #[arg(long, default_value_t = 60)]
    rest: u64,
    /// Evidence changes a second.
    #[arg(long, default_value_t = 50)]
    changes: u32,
    /// The sizes of the fleets for the growth.
    #[arg(long, value_delimiter = ',', default_values_t = [1250, 2500, 5000])]
    sizes: Vec<usize>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Section {
    /// How long until everything is right, beside raw patches; writes, memory.
    Convergence,
    /// Evidence written until label visible.
    Latency,
    /// How long the lists take, beside bare lists.
    Start,
    /// What the probes ask of the API server.
    Probes,
    /// Node Feature Discovery's master on the same nodes.
    Nfd,
    /// How time and memory grow with nodes and policies.
    Growth,
}

impl Section {
    /// The name of its file.
    const fn file(self) -> &'static str {
        match self {
            Self::Convergence => "scale",
            Self::Latency => "latency",
            Self::Start => "start",
            Self::Probes => "probes",
            Self::Nfd => "nfd",
            Self::Growth => "growth",
        }
    }
}

const ALL: [Section; 6] = [
    Section::Convergence,
    Section::Latency,
    Section::Start,
    Section::Probes,
    Section::Nfd,
    Section::Growth,
];

/// Measures the chosen sections, and prints the table.
pub async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (began, program) = (Instant::now(), operator::program()?);
    let chosen = if arguments.only.is_empty() { &ALL[..] } else { &arguments.only };
    say(&format!("measuring {}", program.display()));
    for section in chosen {
        report::forget(section.file())?;
    }
    if chosen.iter().any(|section| *section != Section::Growth) {
        one_fleet(arguments, chosen).await?;
    }
    if chosen.contains(&Section::Growth) {
        write("growth", &growth::measure(&arguments.sizes).await?)?;
    }
    say(&format!("measured in {:.0} s", began.elapsed().as_secs_f64()));
    report::print(chosen.iter().map(|section| section.file()))
}

/// The sections that share one fleet.
async fn one_fleet(arguments: &Arguments, chosen: &[Section]) -> Result<(), Failure> {
    let converges = chosen.contains(&Section::Convergence);
    // Without the first section, the others begin where it ends.
    let proof = if converges { Proof::NotDenied } else { Proof::Denied };
    let fleet = Fleet::new(arguments.nodes, arguments.policies);
    let world = Arc::new(World::create(fleet, proof).await?);
    let rest = Duration::from_secs(arguments.rest);
    let (mut operator, mut started) = (None, None);
    if converges {
        let (figures, running) = convergence::measure(&world, rest).await?;
        let writes = figures.start.writes.values().sum();
        started = Some(nfd::Operator { seconds: figures.converge_seconds, writes });
        write("scale", &figures)?;
        operator = Some(running);
    }
    if chosen.contains(&Section::Latency) {
        let running = running(&world, operator).await?;
        let rate = Rate { changes_per_second: arguments.changes, seconds: 60 };
        let figures = latency::measure(&world, &running, rate).await?;
        write("latency", &figures)?;
        note_latency(figures.label_ms.p99)?;
        operator = Some(running);
    }
    if chosen.contains(&Section::Start) {
        let running = running(&world, operator.take()).await?;
        write("start", &start::measure(&world, running).await?)?;
    }
    if let Some(operator) = operator {
        operator.kill();
    }
    if chosen.contains(&Section::Probes) {
        write("probes", &probes::measure(&world, arguments.nodes, rest).await?)?;
    }
    if chosen.contains(&Section::Nfd) {
        nfd(&world, started).await?;
    }
    Ok(())
}

/// The operator that runs, or a new one that has written everything.
async fn running(world: &World, operator: Option<Operator>) -> Result<Operator, Failure> {
    if let Some(operator) = operator {
        return Ok(operator);
    }
    let follows = crate::course::Follows::start(&world.client).await?;
    Ok(convergence::start(world, &follows, Proof::Denied).await?.0)
}

/// `scale.json` has the latency, too.
fn note_latency(p99: f64) -> Result<(), Failure> {
    if let Some(mut scale) = report::read("scale") {
        scale["latency_p99_ms"] = json!(p99);
        write("scale", &scale)?;
    }
    Ok(())
}

/// Without Go or its module proxy there is nothing to compare with. The other figures are of use
/// all the same.
async fn nfd(world: &World, operator: Option<nfd::Operator>) -> Result<(), Failure> {
    match nfd::measure(world, operator).await {
        Ok(figures) => write("nfd", &figures),
        Err(error) => {
            say(&format!("Node Feature Discovery is not measured: {error}"));
            Ok(())
        }
    }
}
