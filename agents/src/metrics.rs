//! The gauge `tetragon_tracingpolicy_loaded{state}` of an agent's metrics: how many policies are in which state, without
//! their names (pkg/metrics/policystatemetrics of Tetragon; measured on v1.3.0).
//!
//! The text is read as it comes and never held: a busy agent's metrics are long.

use std::net::SocketAddr;

use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::answer::{Answer, How, State};
use crate::limits::Limits;
use crate::why::Why;

const GAUGE: &[u8] = b"tetragon_tracingpolicy_loaded{";
/// A line of the gauge has 60 bytes; of a longer one no more is kept than shows that it is none.
const LINE: usize = 1 << 10;

/// What the metrics at that address count.
pub async fn read(address: SocketAddr, limits: &Limits) -> Result<Answer, Why> {
    timeout(limits.deadline, scrape(address, limits.metrics_bytes)).await.unwrap_or(Err(Why::TimedOut))
}

async fn scrape(address: SocketAddr, most: usize) -> Result<Answer, Why> {
    let stream = TcpStream::connect(address).await.map_err(|error| Why::of_io(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| why(&error))?;
    let request = Request::get("/metrics")
        .header(header::HOST, address.to_string())
        .header(header::ACCEPT, "text/plain")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| Why::NoAddress)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| why(&error))?;
        match response.status() {
            StatusCode::OK => count(response.into_body(), most).await,
            other => Err(Why::Http(other.as_u16())),
        }
    };
    // The connection moves the bytes. What ends it, an error too, is heard by who waits for the answer.
    let moving = async {
        let _heard_by_the_other = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        answer = answer => answer,
        never = moving => never,
    }
}

async fn count(mut body: Incoming, most: usize) -> Result<Answer, Why> {
    let (mut gauge, mut read) = (Gauge::default(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame.map_err(|error| why(&error))?.into_data() else { continue };
        read += bytes.len();
        if read > most {
            return Err(Why::TooLarge);
        }
        gauge.feed(&bytes);
    }
    gauge.counted()
}

fn why(error: &hyper::Error) -> Why {
    match Why::among_causes(error) {
        Some(why) => why,
        None if error.is_incomplete_message() || error.is_closed() || error.is_canceled() => Why::Closed,
        None => Why::OtherProtocol,
    }
}

/// The gauge, as the text comes.
#[derive(Default)]
struct Gauge {
    line: Vec<u8>,
    answer: Option<Answer>,
}

impl Gauge {
    fn feed(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE - self.line.len();
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                self.end_of_line();
            }
        }
    }

    fn end_of_line(&mut self) {
        if let Some((state, count)) = sample(&self.line) {
            self.answer.get_or_insert(Answer::none(How::Metrics)).add(state, count);
        }
        self.line.clear();
    }

    fn counted(mut self) -> Result<Answer, Why> {
        self.end_of_line();
        self.answer.ok_or(Why::NoGauge)
    }
}

/// State and count of a line of the gauge, in the text form of Prometheus:
/// `tetragon_tracingpolicy_loaded{state="enabled"} 1`, perhaps with further labels and a time.
fn sample(line: &[u8]) -> Option<(State, u64)> {
    let rest = std::str::from_utf8(line.strip_prefix(GAUGE)?).ok()?;
    let (labels, values) = rest.split_once('}')?;
    let state = labels.split(',').find_map(|label| label.trim().strip_prefix("state=\"")?.strip_suffix('"'))?;
    // A gauge is a decimal fraction: 1 and 1e+00 are both one.
    let value: f64 = values.split_whitespace().next()?.parse().ok()?;
    Some((State::named(state), whole(value)?))
}

/// The value as a count; none where it is no whole number of policies that there could be.
fn whole(value: f64) -> Option<u64> {
    let exact = value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value);
    exact.then(|| format!("{value:.0}").parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "# TYPE tetragon_tracingpolicy_loaded gauge\n\
        tetragon_tracingpolicy_loaded{state=\"disabled\"} 1\n\
        tetragon_tracingpolicy_loaded{state=\"enabled\"} 2e+00\n\
        tetragon_tracingpolicy_loaded{a=\"b\",state=\"load_error\"} 3 1700000000000\n\
        tetragon_tracingpolicy_loaded{state=\"error\"} 4\n\
        tetragon_tracingpolicy_loaded{state=\"skipped\"} 5\n\
        tetragon_tracingpolicy_loaded{state=\"loading\"} NaN\n\
        tetragon_tracingpolicy_loaded{state=\"loading\"} -1\n\
        tetragon_tracingpolicy_loaded{state=\"loading\"} 1.5\n\
        tetragon_tracingpolicy_loaded{state=\"loading\"} 1e300\n\
        tetragon_tracingpolicy_loaded{state=\"loading\n\
        tetragon_tracingpolicy_loaded_total{state=\"enabled\"} 9";

    fn counts(text: &[u8], piece: usize) -> Result<Answer, Why> {
        let mut gauge = Gauge::default();
        text.chunks(piece).for_each(|bytes| gauge.feed(bytes));
        gauge.counted()
    }

    #[test]
    fn the_gauge_is_found_among_others() {
        let long = format!("other{{a=\"{}\"}} 1\n{TEXT}", "x".repeat(3 * LINE));
        let expected = Answer { enabled: 2, disabled: 1, failed: 7, unclear: 5, ..Answer::none(How::Metrics) };
        for piece in [1, 7, 4096, 1 << 20] {
            assert_eq!(counts(long.as_bytes(), piece), Ok(expected.clone()), "in pieces of {piece}");
        }
        assert_eq!(counts(b"go_goroutines 9\n", 5), Err(Why::NoGauge));
        // The first bytes of a line that is too long do not become a line of their own.
        let bait = format!("{}tetragon_tracingpolicy_loaded{{state=\"enabled\"}} 1\n", "x".repeat(LINE));
        assert_eq!(counts(bait.as_bytes(), 1 << 20), Err(Why::NoGauge));
    }

    proptest! {
        /// Any bytes are taken, in any pieces, and no more than a line is held.
        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..5000), piece in 1usize..3000) {
            let mut gauge = Gauge::default();
            for part in bytes.chunks(piece) {
                gauge.feed(part);
                prop_assert!(gauge.line.len() <= LINE);
            }
            prop_assert_eq!(gauge.counted().map(|answer| answer.enabled), Err(Why::NoGauge));
        }
    }
}
