//! Processes that outlive the process that started them; and ending exactly these.
//!
//! In: a folder. Each process that is started gets a log and a record there: its pid and its start
//! time (field 22 of `/proc/PID/stat`). Out: the processes that still run, or their end. A pid that
//! the kernel has reused is never signalled: the start time differs, and the signal goes through a
//! pidfd that is opened before the start time is compared.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::wait::{self, TimedOut};

/// How long killed processes may take to end.
const GONE: Duration = Duration::from_secs(20);

/// How often it is checked that no process has ended.
const LOOK: Duration = Duration::from_millis(250);

/// A process that should not have ended.
#[derive(Debug, thiserror::Error)]
#[error("{name} ended by itself; the end of {}:\n{text}", log.display())]
pub struct Ended {
    pub name: String,
    /// Its log.
    pub log: PathBuf,
    /// The log's last lines.
    pub text: String,
}

/// What goes wrong with processes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program could not be started.
    #[error("cannot start {name} ({program}): {source}")]
    Start {
        /// The name of the record.
        name: String,
        /// The program.
        program: String,
        source: io::Error,
    },
    /// A record or log could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        source: io::Error,
    },
    /// Killed processes still run.
    #[error(transparent)]
    Stayed(#[from] TimedOut),
}

/// One process. The start time distinguishes it from every other process with its pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The process id.
    pub pid: u32,
    /// The start time, in clock ticks since boot.
    pub started: u64,
}

impl Record {
    /// The process that has this pid now; none where it has ended or is a zombie.
    pub fn of(pid: u32) -> Option<Self> {
        let started = start_of_living(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
        Some(Self { pid, started })
    }

    /// A child of this process. A child that has ended already gets no start time, so that it
    /// counts as ended.
    fn of_child(child: &Child) -> Self {
        Self::of(child.id()).unwrap_or(Self { pid: child.id(), started: 0 })
    }

    /// Whether it still runs.
    pub fn lives(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends a signal. Nothing happens when the process has ended.
    pub fn signal(self, signal: Signal) {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return;
        };
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
            return;
        };
        if self.lives() {
            // The only possible error is that it has just ended, which is fine.
            let _ = pidfd_send_signal(handle, signal);
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (pid, started) = text.trim().split_once(' ')?;
        Some(Self { pid: pid.parse().ok()?, started: started.parse().ok()? })
    }
}

/// The start time in `/proc/PID/stat`; none for a zombie.
fn start_of_living(stat: &str) -> Option<u64> {
    // The second field is the program's name in parentheses, which may contain blanks and
    // parentheses.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    (!matches!(*fields.first()?, "Z" | "X")).then(|| fields.get(19)?.parse().ok())?
}

/// The recorded processes of one folder.
#[derive(Clone, Debug)]
pub struct Processes {
    dir: PathBuf,
}

impl Processes {
    /// The processes that are recorded in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The file for the output of a process.
    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }

    /// Starts a program that outlives this one.
    pub fn spawn(&self, name: &str, command: &mut Command) -> Result<Record, Error> {
        let child = self.start(name, command.stdin(Stdio::null()))?;
        Ok(Record::of_child(&child))
    }

    /// Starts a program with the given standard input, in a process group of its own: Ctrl-C in the
    /// terminal does not reach it.
    pub fn start(&self, name: &str, command: &mut Command) -> Result<Child, Error> {
        fs::create_dir_all(&self.dir)
            .map_err(|source| Error::Write { path: self.dir.clone(), source })?;
        let path = self.log(name);
        let log = File::create(&path).and_then(|log| Ok((log.try_clone()?, log)));
        let (output, errors) = log.map_err(|source| Error::Write { path, source })?;
        let started = command.stdout(output).stderr(errors).process_group(0).spawn();
        let child = started.map_err(|source| Error::Start {
            name: name.to_owned(),
            program: command.get_program().to_string_lossy().into_owned(),
            source,
        })?;
        self.record(name, Record::of_child(&child))?;
        Ok(child)
    }

    /// Records a process, also one that was not started here.
    pub fn record(&self, name: &str, Record { pid, started }: Record) -> Result<(), Error> {
        let path = self.dir.join(format!("{name}.pid"));
        fs::create_dir_all(&self.dir)
            .and_then(|()| fs::write(&path, format!("{pid} {started}\n")))
            .map_err(|source| Error::Write { path, source })
    }

    /// The record of one process.
    pub fn get(&self, name: &str) -> Option<Record> {
        Record::parse(&fs::read_to_string(self.dir.join(format!("{name}.pid"))).ok()?)
    }

    /// All records with their names, sorted by name.
    pub fn all(&self) -> Vec<(String, Record)> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let names = entries
            .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".pid")?.to_owned()));
        let mut all: Vec<_> =
            names.filter_map(|name| Some((name.clone(), self.get(&name)?))).collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    /// The names of recorded processes that ended by themselves.
    pub fn ended(&self) -> Vec<String> {
        self.all().into_iter().filter(|(_, record)| !record.lives()).map(|(name, _)| name).collect()
    }

    /// Waits until one of the recorded processes ends by itself, and returns it with the end of its
    /// log.
    pub async fn an_end(&self) -> Ended {
        let mut ticks = tokio::time::interval(LOOK);
        loop {
            ticks.tick().await;
            if let Some(name) = self.ended().into_iter().next() {
                let log = self.log(&name);
                return Ended { name, text: tail(&log, 15), log };
            }
        }
    }

    /// Removes a process from the records.
    pub fn forget(&self, name: &str) {
        // A missing record is fine.
        let _ = fs::remove_file(self.dir.join(format!("{name}.pid")));
    }

    /// Kills every recorded process, waits until all have ended, and removes the records. Logs
    /// stay.
    pub async fn kill_all(&self) -> Result<(), Error> {
        let all = self.all();
        kill(all.iter().map(|(_, record)| *record).collect()).await?;
        for (name, _) in all {
            self.forget(&name);
        }
        Ok(())
    }
}

/// Kills processes and waits until they have ended.
pub async fn kill(records: Vec<Record>) -> Result<(), TimedOut> {
    for record in &records {
        record.signal(Signal::KILL);
    }
    wait::until(GONE, "killed processes to end", async || {
        match records.iter().find(|record| record.lives()) {
            Some(record) => Err(format!("process {} still runs", record.pid)),
            None => Ok(()),
        }
    })
    .await
}

/// The last lines of a log, for an error message.
pub fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_name_of_a_program() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        assert_eq!(start_of_living(stat), Some(4711));
        assert_eq!(start_of_living(&stat.replace(") S ", ") Z ")), None);
    }

    #[test]
    fn a_process_with_another_start_time_counts_as_ended() {
        let me = Record::of(std::process::id()).unwrap();
        assert!(me.lives());
        assert!(!Record { started: me.started + 1, ..me }.lives());
    }

    #[tokio::test]
    async fn a_recorded_process_is_killed_and_one_with_a_reused_pid_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let processes = Processes::new(dir.path());
        let ours = processes.spawn("ours", Command::new("cat").arg("/dev/zero")).unwrap();
        let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
        let reused = Record { pid: other.id(), started: 1 };
        processes.record("reused", reused).unwrap();
        assert_eq!(processes.ended(), ["reused"]);

        processes.kill_all().await.unwrap();

        assert!(!ours.lives());
        assert!(processes.all().is_empty());
        assert!(other.try_wait().unwrap().is_none(), "a process with a reused pid was ended");
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
