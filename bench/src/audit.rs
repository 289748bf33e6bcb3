//! What the API server's audit log says of the writes of one user. Pure, but for reading the file.
//!
//! In: the lines that were added since an offset. Out: how many writes there were to what, how long
//! the server took for each, and how often one object was written within a second.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;

/// One write.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Write {
    /// For example `nodes/status`.
    pub resource: String,
    pub name: String,
    pub code: u16,
    pub received: Timestamp,
    /// How long the server took, in microseconds.
    pub microseconds: i64,
}

impl Write {
    /// How long the server took.
    #[expect(clippy::cast_precision_loss, reason = "a request takes less than some minutes")]
    pub fn milliseconds(&self) -> f64 {
        self.microseconds as f64 / 1000.0
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    #[serde(borrow)]
    user: User<'a>,
    #[serde(default)]
    object_ref: Object,
    #[serde(default)]
    response_status: Status,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct User<'a> {
    username: &'a str,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    resource: String,
    subresource: String,
    name: String,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

/// The writes of a user in these lines, but for those of its Lease.
pub fn writes(lines: &str, user: &str) -> Vec<Write> {
    let lines = lines.lines().filter(|line| line.contains(user));
    let parsed = lines.filter_map(|line| serde_json::from_str::<Line<'_>>(line).ok());
    let of_user = parsed.filter(|line| line.user.username == user);
    of_user.map(write).filter(|write| write.resource != "leases").collect()
}

fn write(line: Line<'_>) -> Write {
    let Object { mut resource, subresource, name } = line.object_ref;
    if !subresource.is_empty() {
        resource = format!("{resource}/{subresource}");
    }
    let took = line.stage_timestamp.duration_since(line.request_received_timestamp);
    Write {
        resource,
        name,
        code: line.response_status.code,
        received: line.request_received_timestamp,
        microseconds: i64::try_from(took.as_micros()).unwrap_or(i64::MAX),
    }
}

/// How many writes there were to each resource.
pub fn by_resource(writes: &[Write]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for write in writes {
        *counts.entry(write.resource.clone()).or_default() += 1;
    }
    counts
}

/// The most writes to one object of that resource within one second of the clock.
pub fn most_in_a_second(writes: &[Write], resource: &str) -> usize {
    let mut counts: BTreeMap<(&str, i64), usize> = BTreeMap::new();
    for write in writes.iter().filter(|write| write.resource == resource) {
        *counts.entry((&write.name, write.received.as_second())).or_default() += 1;
    }
    counts.into_values().max().unwrap_or_default()
}

/// The most writes within one second of the clock.
pub fn most_of_all_in_a_second(writes: &[Write]) -> usize {
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for write in writes {
        *counts.entry(write.received.as_second()).or_default() += 1;
    }
    counts.into_values().max().unwrap_or_default()
}

/// From the first write of Nodes and policies to the end of the last.
pub fn span_seconds(writes: &[Write]) -> f64 {
    let ours = writes.iter().filter(|write| {
        write.resource.starts_with("nodes") || write.resource.starts_with("lsmpolicies")
    });
    let (mut first, mut last) = (None, None);
    for write in ours {
        let end = write.received + jiff::SignedDuration::from_micros(write.microseconds);
        first = first.into_iter().chain([write.received]).min();
        last = last.into_iter().chain([end]).max();
    }
    first.zip(last).map_or(0.0, |(first, last)| last.duration_since(first).as_secs_f64())
}

/// The present end of a log.
pub fn end(log: &Path) -> io::Result<u64> {
    Ok(std::fs::metadata(log)?.len())
}

/// What was added to a log since that offset.
pub fn since(log: &Path, offset: u64) -> io::Result<String> {
    let mut file = File::open(log)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(user: &str, resource: &str, subresource: &str, name: &str, second: u32) -> String {
        serde_json::json!({"user": {"username": user},
            "objectRef": {"resource": resource, "subresource": subresource, "name": name},
            "responseStatus": {"code": 200},
            "requestReceivedTimestamp": format!("2026-01-01T00:00:{second:02}.000000Z"),
            "stageTimestamp": format!("2026-01-01T00:00:{second:02}.250000Z")})
        .to_string()
    }

    #[test]
    fn only_the_writes_of_that_user_count_and_no_lease() {
        let lines = [
            line("us", "nodes", "status", "n1", 1),
            line("us", "leases", "", "l", 1),
            line("us-too", "nodes", "", "n1", 1),
            "half a li".to_owned(),
        ];
        let writes = writes(&lines.join("\n"), "us");
        assert_eq!(by_resource(&writes), BTreeMap::from([("nodes/status".to_owned(), 1)]));
        assert_eq!((writes[0].microseconds, writes[0].code), (250_000, 200));
    }

    #[test]
    fn writes_to_one_object_within_a_second_are_counted() {
        let lines = [
            line("us", "lsmpolicies", "status", "a", 1),
            line("us", "lsmpolicies", "status", "b", 1),
            line("us", "lsmpolicies", "status", "a", 2),
            line("us", "lsmpolicies", "status", "a", 2),
        ];
        let writes = writes(&lines.join("\n"), "us");
        assert_eq!(most_in_a_second(&writes, "lsmpolicies/status"), 2);
        assert_eq!(most_in_a_second(&writes, "nodes"), 0);
        assert_eq!((most_of_all_in_a_second(&writes), most_of_all_in_a_second(&[])), (2, 0));
        assert!((span_seconds(&writes) - 1.25).abs() < 1e-9);
        assert!(span_seconds(&[]).abs() < 1e-9);
    }
}
