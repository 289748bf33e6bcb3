//! The sections that share one large fleet, because it takes long to create.
//!
//! In: the sizes. Out: the file of each section. The operator runs on from one section to the next.
//! After a section that failed, the fleet is put in order before the next.

use std::sync::Arc;

use serde_json::json;

use crate::arguments::{Arguments, Section};
use crate::fleet::{Fleet, Proof};
use crate::latency::Rate;
use crate::operator::Operator;
use crate::report::{self, write};
use crate::world::{World, say};
use crate::{Failure, convergence, joining, latency, nfd, probes, start};

/// Evidence changes for so many seconds.
const LATENCY_SECONDS: u32 = 40;

/// The fleet and the operator, as the section before has left them.
pub struct Shared<'a> {
    arguments: &'a Arguments,
    /// Without the section convergence, the others begin where it ends.
    first_proof: Proof,
    world: Option<Arc<World>>,
    operator: Option<Operator>,
    /// A section failed, so that any report may be on any node.
    is_disturbed: bool,
    /// What the operator did at its first start.
    started: Option<nfd::Operator>,
}

impl<'a> Shared<'a> {
    pub fn new(arguments: &'a Arguments, converges: bool) -> Self {
        let first_proof = if converges { Proof::NotDenied } else { Proof::Denied };
        Self {
            arguments,
            first_proof,
            world: None,
            operator: None,
            is_disturbed: false,
            started: None,
        }
    }

    /// A section failed.
    pub fn disturb(&mut self) {
        self.is_disturbed = true;
        self.operator = None;
    }

    /// No section needs it any more.
    pub fn end(&mut self) {
        self.operator = None;
        self.world = None;
    }

    pub async fn convergence(&mut self) -> Result<(), Failure> {
        let world = self.world().await?;
        let (figures, running) = convergence::measure(&world, self.arguments.rest()).await?;
        let writes = figures.start.writes.values().sum();
        self.started = Some(nfd::Operator { seconds: figures.converge_seconds, writes });
        self.operator = Some(running);
        write(Section::Convergence.file(), &figures)
    }

    pub async fn latency(&mut self) -> Result<(), Failure> {
        let (world, operator) = self.running().await?;
        let rate = Rate { changes_per_second: self.arguments.changes, seconds: LATENCY_SECONDS };
        let figures = latency::measure(&world, &operator, rate).await?;
        self.operator = Some(operator);
        write(Section::Latency.file(), &figures)?;
        note_latency(figures.label_ms.p99)
    }

    pub async fn joining(&mut self) -> Result<(), Failure> {
        let (world, operator) = self.running().await?;
        let figures = joining::measure(&world, &operator).await?;
        self.operator = Some(operator);
        write(Section::Joining.file(), &figures)
    }

    pub async fn start(&mut self) -> Result<(), Failure> {
        let (world, operator) = self.running().await?;
        write(Section::Start.file(), &start::measure(&world, operator).await?)
    }

    pub async fn probes(&mut self) -> Result<(), Failure> {
        self.operator = None;
        let (world, rest) = (self.world().await?, self.arguments.rest());
        let figures = probes::measure(&world, self.arguments.nodes, rest).await?;
        // The probes have changed the boots of all nodes.
        self.is_disturbed = true;
        write(Section::Probes.file(), &figures)
    }

    /// Without Go or its module proxy there is nothing to compare with. The other figures are of
    /// use all the same.
    pub async fn nfd(&mut self) -> Result<(), Failure> {
        self.operator = None;
        let world = self.world().await?;
        match nfd::measure(&world, self.started).await {
            Ok(figures) => write(Section::Nfd.file(), &figures),
            Err(error) => {
                say(&format!("Node Feature Discovery is not measured: {error}"));
                Ok(())
            }
        }
    }

    async fn world(&mut self) -> Result<Arc<World>, Failure> {
        if let Some(world) = &self.world {
            return Ok(world.clone());
        }
        let fleet = Fleet::new(self.arguments.nodes, self.arguments.policies);
        let world = Arc::new(World::create(fleet, self.first_proof).await?);
        self.world = Some(world.clone());
        Ok(world)
    }

    /// The operator that runs, or a new one that has written everything. All nodes can deny.
    async fn running(&mut self) -> Result<(Arc<World>, Operator), Failure> {
        let world = self.world().await?;
        if let Some(operator) = self.operator.take() {
            return Ok((world, operator));
        }
        if self.is_disturbed {
            say("all nodes can deny again");
            world.report_all(Proof::Denied).await?;
            self.is_disturbed = false;
        }
        let operator = convergence::started(&world, Proof::Denied).await?;
        Ok((world, operator))
    }
}

/// `scale.json` has the latency, too.
fn note_latency(p99: f64) -> Result<(), Failure> {
    if let Some(mut scale) = report::read(Section::Convergence.file()) {
        scale["latency_p99_ms"] = json!(p99);
        write(Section::Convergence.file(), &scale)?;
    }
    Ok(())
}
