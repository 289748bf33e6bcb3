//! What a process uses, from outside: CPU time and memory from `/proc`, and what its connections
//! received from `ss`.

use std::fs;
use std::process::Command;

use e2e::command::{self, run};
use serde::Serialize;

/// What a process has used until now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    /// CPU time in user and kernel mode, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory now.
    pub rss_bytes: u64,
    /// The most that it has had.
    pub peak_rss_bytes: u64,
}

/// Reads it. Zeros for a process that is gone.
pub fn of(pid: u32) -> Usage {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let status = read("status");
    Usage {
        cpu_seconds: cpu_seconds(&read("stat"), rustix::param::clock_ticks_per_second()),
        rss_bytes: kib(&status, "VmRSS:") * 1024,
        peak_rss_bytes: kib(&status, "VmHWM:") * 1024,
    }
}

/// CPU seconds since the program of this measurement started.
pub fn own_cpu() -> f64 {
    of(std::process::id()).cpu_seconds
}

#[expect(clippy::cast_precision_loss, reason = "ticks of some hours are exact")]
fn cpu_seconds(stat: &str, ticks_per_second: u64) -> f64 {
    // The name of the program, in parentheses, may contain blanks.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |field: usize| -> u64 {
        fields.get(field).and_then(|text| text.parse().ok()).unwrap_or_default()
    };
    (ticks(11) + ticks(12)) as f64 / ticks_per_second as f64
}

fn kib(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
}

/// The bytes that the TCP connections of a process have received: lists, watches, and the answers
/// to its writes. They are counted as they are on the wire, encrypted. Connections that have been
/// closed are not counted.
pub fn received_bytes(pid: u32) -> Result<u64, command::Error> {
    Ok(received(&run(Command::new("ss").args(["-tinpHO", "state", "established"]))?, pid))
}

fn received(lines: &str, pid: u32) -> u64 {
    let process = format!("pid={pid},");
    let lines = lines.lines().filter(|line| line.contains(&process));
    let fields = lines.flat_map(str::split_whitespace);
    fields.filter_map(|field| field.strip_prefix("bytes_received:")?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name_of_a_program() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 1 0 4711 0 0";
        assert!((cpu_seconds(stat, 100) - 2.0).abs() < 1e-9);
        assert!(cpu_seconds("", 100).abs() < 1e-9);
    }

    #[test]
    fn memory_is_read_in_kib() {
        assert_eq!(kib("VmPeak:\t 9 kB\nVmHWM:\t    1234 kB\n", "VmHWM:"), 1234);
    }

    #[test]
    fn connections_of_other_processes_do_not_count() {
        let line = |pid: u32| {
            format!(
                "0 0 127.0.0.1:1 127.0.0.1:2 users:((\"o\",pid={pid},fd=9)) bytes_received:40 x:1"
            )
        };
        let lines = [line(12), line(12), line(123)].join("\n");
        assert_eq!(received(&lines, 12), 80);
    }

    #[test]
    fn this_process_has_used_memory() {
        assert!(of(std::process::id()).rss_bytes > 0);
    }
}
