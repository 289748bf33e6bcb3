//! What happened in a history: a hash of every request and answer, how many writes there were, and
//! on request the lines for a person.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::Server;
use super::kind::Kind;
use super::requests::{Call, stamp};

/// More than any history needs.
const MOST_REQUESTS: u64 = 100_000;

#[derive(Debug, Default)]
pub struct Trace {
    hasher: DefaultHasher,
    /// Requests that would write, but for the Lease.
    pub writes: u64,
    pub requests: u64,
    /// The last of the writes.
    pub last_write: String,
    /// The lines, where somebody wants to read them.
    pub lines: Option<Vec<String>>,
}

impl Trace {
    /// Equal for equal histories.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    /// Adds a line, where somebody wants to read it.
    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{} {}", stamp(), line()));
        }
    }
}

impl Server {
    pub(crate) fn trace(&mut self, process: usize, call: &Call, code: u16) {
        let (version, trace) = (self.version(), &mut self.trace);
        trace.requests += 1;
        let is_runaway = trace.requests > MOST_REQUESTS;
        let kind = call.target.as_ref().map(|target| target.kind);
        // An Event has the machine's time in it, also in its name.
        let path = if kind == Some(Kind::Event) { "events" } else { &call.path };
        (stamp(), process, call.method.as_str(), path, code, version).hash(&mut trace.hasher);
        let lease = kind == Some(Kind::Lease);
        // An unused profile may go at any time. The checks look at each.
        if call.is_write() && !lease && kind != Some(Kind::Profile) {
            trace.writes += 1;
            trace.last_write = format!("{} {} {code} {}", call.method, call.path, call.body);
        }
        let of_interest = call.is_write() && !lease || code >= 400;
        if of_interest {
            trace.note(|| {
                let body = match kind {
                    Some(Kind::Event) => call.body["note"].to_string(),
                    _ => call.body.to_string(),
                };
                let body = body.get(..2000).unwrap_or(&body);
                format!("process {process}: {} {path} {code} {body}", call.method)
            });
        }
        if is_runaway {
            self.fail(|| format!("too many requests: the last is {} {}", call.method, call.path));
        }
    }
}
