//! Running a command on a cluster of its own.

use std::process::ExitStatus;

use super::up::interruption;
use super::{Cluster, Error, Wanted};

impl Cluster {
    /// Starts the cluster, runs a command in it, and ends the cluster again, also when the command
    /// failed. A cluster that was up before with the same nodes stays up, and with `keep` every
    /// cluster does.
    pub async fn run_in(
        &self,
        wanted: &Wanted,
        command: &[String],
        keep: bool,
    ) -> Result<ExitStatus, Error> {
        let stays = keep || self.is_up_with(&wanted.nodes);
        self.up(wanted).await?;
        self.enter()?;
        let outcome = self.run_here(command).await;
        if !stays {
            self.down().await?;
        }
        outcome
    }

    async fn run_here(&self, command: &[String]) -> Result<ExitStatus, Error> {
        let (program, arguments) = command.split_first().ok_or(Error::NotUp)?;
        let mut running = tokio::process::Command::from(self.exec(program));
        running.args(arguments).kill_on_drop(true);
        let mut running = running.spawn().map_err(Error::io(format!("run {program}")))?;
        let processes = self.processes();
        tokio::select! {
            status = running.wait() => status.map_err(Error::io(format!("wait for {program}"))),
            // Without this the command would wait for the cluster until its own deadline.
            ended = processes.an_end() => Err(self.ended(ended)),
            () = interruption() => Err(Error::Interrupted),
        }
    }
}
