//! A failed step in words. In: a [`Failure`]. Out: one line.

use crate::canary::{Failure, FailureKind};
use crate::sys::describe_errno;

/// How much of the verifier's log is shown, in bytes. The verifier's objection is at the end of the
/// log.
const MAX_LOG: usize = 1000;

/// The failure in one line: the error, the errno, and the end of the verifier's log.
pub fn describe(failure: &Failure) -> String {
    let errno =
        failure.errno.map(describe_errno).filter(|errno| !failure.message.contains(errno.as_str()));
    let errno = errno.map_or_else(String::new, |errno| format!(": {errno}"));
    let log = match failure.verifier_log.as_str() {
        "" if failure.kind == FailureKind::Program => " (the verifier logged nothing)".to_owned(),
        "" => String::new(),
        log => format!("; the verifier logged: {}", tail(log, MAX_LOG)),
    };
    format!("{}{errno}{log}", failure.message)
}

/// The end of the text, at most `max_bytes` long, cut between two characters.
fn tail(text: &str, max_bytes: usize) -> &str {
    let mut start = text.len().saturating_sub(max_bytes);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}
