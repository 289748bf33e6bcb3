//! What a node pays for its probe: memory, CPU time, the size of the image, and how long a new
//! probe takes to its report.
//!
//! CPU time is that of this machine's node, which is not emulated: what the probe's process uses in
//! the minute at rest, for its looks, times the minutes of a day. This machine's kernel refuses LSM
//! programs, so the CPU time of a check is that of `check.json`, in an emulated machine, which is
//! several times that of a real one. The time to a report is that of the emulated node `vm-lsm`,
//! which can deny, by the clock of its container runtime.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use e2e::cluster::{Cluster, cgroup};
use e2e::request::kubectl;
use e2e::wait;
use jiff::Timestamp;
use nix::time::ClockId;
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::Failure;

const DAY_SECONDS: f64 = 86_400.0;
/// `--check-interval` of the probe: 5 minutes.
const CHECKS_A_DAY: f64 = 288.0;
/// How often a probe is replaced.
const STARTS: usize = 5;
const NODE: &str = "vm-lsm";
const PROBE: &str = "app.kubernetes.io/name=lsm-ready-probe";
const REPORTED: Duration = Duration::from_mins(1);
/// What a probe logs when it starts, and when it has written a report.
const BEGINS: &str = "the probe starts";
const WRITTEN: &str = "the LsmNode is written";
const NAMESPACE: &str = "lsm-ready-system";

/// What the probe on this machine had used when the time at rest began.
pub struct Looks {
    pid: u32,
    began: Instant,
    used: Duration,
}

impl Looks {
    pub fn begin() -> Result<Self, Failure> {
        let pid = process("/node-probe")?;
        Ok(Self { pid, began: Instant::now(), used: cpu_time(pid)? })
    }

    /// CPU seconds in a day.
    fn a_day(&self) -> Result<f64, Failure> {
        let used = cpu_time(self.pid)?.saturating_sub(self.used);
        Ok(rounded(used.as_secs_f64() * DAY_SECONDS / self.began.elapsed().as_secs_f64()))
    }
}

/// The figures, at the end of the time at rest.
pub async fn figures(
    cluster: &Cluster,
    images: &[PathBuf],
    looks: &Looks,
    out: &Path,
) -> Result<Value, Failure> {
    let looks_cpu = looks.a_day()?;
    let check = fs::read_to_string(out.join("check.json")).unwrap_or_default();
    let check: Value = serde_json::from_str(&check).unwrap_or_default();
    let checks_cpu =
        check["check_cpu_ms"].as_f64().map(|each| rounded(each / 1000.0 * CHECKS_A_DAY));
    Ok(json!({
        "probe_resident_kib": resident(looks.pid)?,
        "looks_cpu_seconds_a_day": looks_cpu,
        "checks_cpu_seconds_a_day": checks_cpu,
        "start_to_report_ms": spread(start_to_report(cluster).await?),
        "image_kib": image_kib(images)?,
    }))
}

/// The size of each image's archive, which is compressed.
fn image_kib(images: &[PathBuf]) -> Result<Value, Failure> {
    let mut sizes = serde_json::Map::new();
    for path in images {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        sizes.insert(name.into_owned(), json!(fs::metadata(path)?.len() / 1024));
    }
    Ok(sizes.into())
}

/// Replaces the probe of a node, again and again, and deletes its report meanwhile. Returns how
/// many milliseconds each new one took from the start of its process until it had written a report.
async fn start_to_report(cluster: &Cluster) -> Result<Vec<u128>, Failure> {
    let kubeconfig = cluster.kubeconfig();
    let ours = |line: String| {
        let words: Vec<&str> = ["-n", NAMESPACE].into_iter().chain(line.split(' ')).collect();
        kubectl(&kubeconfig, &words)
    };
    let pods = format!("pods -l {PROBE} --field-selector spec.nodeName={NODE}");
    let mut times = Vec::new();
    for _ in 0..STARTS {
        ours(format!("delete {pods}"))?;
        ours(format!("delete lsmnode {NODE} --ignore-not-found"))?;
        let logged = wait::until(REPORTED, "a new probe to log its report", async || {
            let pod = ours(format!("get {pods} -o name")).map_err(|error| error.to_string())?;
            let log =
                ours(format!("logs {pod} --timestamps")).map_err(|error| error.to_string())?;
            milliseconds_to_report(&log).ok_or(log)
        });
        times.push(logged.await?);
    }
    Ok(times)
}

/// From the first line of a probe's log to the one of its first report. The container runtime sets
/// a time in front of each line.
fn milliseconds_to_report(log: &str) -> Option<u128> {
    let at = |what: &str| -> Option<Timestamp> {
        log.lines().find(|line| line.contains(what))?.split_once(' ')?.0.parse().ok()
    };
    let took = at(WRITTEN)?.duration_since(at(BEGINS)?);
    u128::try_from(took.as_millis()).ok()
}

/// The process on this machine that runs that program of one of the cluster's images.
pub fn process(program: &str) -> Result<u32, Failure> {
    let runs = |pid: &u32| {
        fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.as_os_str() == program)
    };
    let pid = cgroup::members().into_iter().map(|process| process.pid).find(runs);
    pid.ok_or_else(|| format!("no process runs {program} on this machine").into())
}

/// VmRSS of a process, in KiB.
pub fn resident(pid: u32) -> Result<u64, Failure> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// The CPU time of a process, of its threads that have ended too, in nanoseconds. `/proc/PID/stat`
/// counts hundredths of a second, which is more than the looks of a minute need.
fn cpu_time(pid: u32) -> Result<Duration, Failure> {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid.try_into()?))?;
    Ok(clock.now()?.into())
}

/// The least, the median and the most of some times.
pub fn spread(mut times: Vec<u128>) -> Value {
    times.sort_unstable();
    let median = times.get(times.len() / 2);
    json!({"min": times.first(), "median": median, "max": times.last(), "runs": times.len()})
}

/// To hundredths.
fn rounded(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_time_to_a_report_is_that_of_the_first_one() {
        let log = "2026-01-01T00:00:01.250000000Z x INFO the probe starts node=a\n\
            2026-01-01T00:00:01.900000000Z x INFO checked evidence=Denied\n\
            2026-01-01T00:00:02.500000000Z x INFO the LsmNode is written writes=status\n\
            2026-01-01T00:00:09.000000000Z x INFO the LsmNode is written writes=status\n";
        assert_eq!(milliseconds_to_report(log), Some(1250));
        assert_eq!(milliseconds_to_report("2026-01-01T00:00:01Z the probe starts"), None);
    }

    #[test]
    fn the_time_of_a_thread_that_has_ended_is_counted() {
        let used = || cpu_time(std::process::id()).unwrap();
        let before = used();
        let busy = move || while used() < before + Duration::from_millis(20) {};
        std::thread::spawn(busy).join().unwrap();
        assert!(used() >= before + Duration::from_millis(20));
    }

    #[tokio::test]
    async fn the_time_of_another_process_grows() {
        let mut busy = Command::new("yes").stdout(Stdio::null()).spawn().unwrap();
        let before = cpu_time(busy.id()).unwrap();
        let grows = wait::until(Duration::from_secs(10), "the process to run", async || {
            let ran = cpu_time(busy.id()).unwrap().saturating_sub(before);
            if ran.as_millis() > 0 { Ok(()) } else { Err(format!("{ran:?}")) }
        });
        let grew = grows.await;
        busy.kill().unwrap();
        busy.wait().unwrap();
        grew.unwrap();
    }
}
