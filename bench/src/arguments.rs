//! What `bench scale` measures: its sections and sizes.

use std::time::Duration;

use clap::ValueEnum;

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
    pub sizes: Vec<usize>,
    /// Nodes in the fleets that get bad input, and in those with growing numbers of policies.
    #[arg(long, default_value_t = 1000)]
    pub small: usize,
}

impl Arguments {
    /// The sections to measure, in their order.
    pub fn chosen(&self) -> Vec<Section> {
        let all = Section::value_variants().iter().copied();
        all.filter(|section| self.only.is_empty() || self.only.contains(section)).collect()
    }

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
