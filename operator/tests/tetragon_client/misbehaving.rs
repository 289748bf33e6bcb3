//! Agents that hang, lie or close, and servers that are no agents, on real sockets. Each query ends
//! in time with an answer or an error, and leaves no connection.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::server::{Script, endless, listing, on_http2, on_tcp, refusing};
use bytes::Bytes;
use lsm_ready_operator::tetragon_client::{
    ActionsByPolicy, Answer, AskError, Endpoints, Limits, PolicyName, PolicyState, PolicyStatus,
    QueryResult, Response, Source, StateCounts, Unanswered, ask, attempts,
};

/// The deadline is short enough to wait for, and long enough for a busy machine to answer over
/// loopback.
const LIMITS: Limits =
    Limits { deadline: Duration::from_millis(800), grpc_bytes: 1 << 20, metrics_bytes: 1 << 20 };

async fn by_grpc(address: SocketAddr) -> QueryResult {
    ask(&Endpoints { grpc: Some(address), metrics: None }, None, &LIMITS).await
}

async fn by_metrics(address: SocketAddr) -> QueryResult {
    ask(&Endpoints { grpc: None, metrics: Some(address) }, None, &LIMITS).await
}

fn response(answer: Answer, grpc_error: Option<AskError>) -> Response {
    Response { answer, actions: ActionsByPolicy::new(), grpc_error }
}

fn no_grpc(error: AskError) -> QueryResult {
    Err(Unanswered { grpc: Some(error), metrics: None })
}

fn no_metrics(error: AskError) -> QueryResult {
    Err(Unanswered { grpc: None, metrics: Some(error) })
}

fn http(head: &str, body: &str) -> Script {
    Script::Send(format!("HTTP/1.1 {head}\r\n\r\n{body}").into_bytes())
}

#[tokio::test]
async fn grpc_without_a_valid_protocol_is_an_error() {
    let table = [
        (Script::Hang, AskError::TimedOut),
        (Script::Drip, AskError::TimedOut),
        (Script::Close, AskError::Closed),
        (Script::Reset, AskError::Closed),
        (http("200 OK", ""), AskError::OtherProtocol),
        (http("400 Bad Request", "not for you"), AskError::OtherProtocol),
        (
            Script::Send(vec![0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46, 0, 0, 0]),
            AskError::TlsRequired,
        ),
        (Script::Send(vec![0xff; 4096]), AskError::OtherProtocol),
    ];
    for (script, error) in table {
        let what = format!("{script:?}");
        assert_eq!(by_grpc(on_tcp(script).await.address).await, no_grpc(error), "{what}");
    }
    assert_eq!(by_grpc(refusing()).await, no_grpc(AskError::Refused));
}

#[tokio::test]
async fn metrics_without_a_valid_protocol_are_an_error() {
    let cut = "200 OK\r\nContent-Length: 9999";
    let gauge = "tetragon_tracingpolicy_loaded{state=\"enabled\"} 1\n";
    let table = [
        (Script::Hang, AskError::TimedOut),
        (Script::Drip, AskError::TimedOut),
        (Script::Close, AskError::Closed),
        (Script::Reset, AskError::Closed),
        (Script::Send(vec![0xff; 4096]), AskError::OtherProtocol),
        (http("404 Not Found\r\nContent-Length: 0", ""), AskError::Http(404)),
        (
            http("301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0", ""),
            AskError::Http(301),
        ),
        (http("200 OK\r\nContent-Length: 4", "a 1\n"), AskError::NoGauge),
        // A truncated body is not an answer, even with a complete line.
        (http(cut, gauge), AskError::Closed),
        (Script::Flood, AskError::TooLarge),
    ];
    for (script, error) in table {
        let what = format!("{script:?}");
        assert_eq!(by_metrics(on_tcp(script).await.address).await, no_metrics(error), "{what}");
    }
    assert_eq!(by_metrics(refusing()).await, no_metrics(AskError::Refused));
}

/// Frames a gRPC message: not compressed, with this length, which may be wrong.
fn framed(length: u32, message: &[u8]) -> Bytes {
    [&[0][..], &length.to_be_bytes(), message].concat().into()
}

#[tokio::test]
async fn invalid_grpc_messages_are_an_error() {
    let table = [
        ("a length of 4 GiB", vec![framed(u32::MAX, &[])], "0", no_grpc(AskError::TooLarge)),
        ("2 MiB", vec![framed(2 << 20, &vec![0; 2 << 20])], "0", no_grpc(AskError::TooLarge)),
        ("no message", vec![], "0", no_grpc(AskError::Status(13))),
        ("no protobuf", vec![framed(3, &[0xff; 3])], "0", no_grpc(AskError::OtherProtocol)),
        (
            "a policy that is longer than the message",
            vec![framed(2, &[0x0a, 99])],
            "0",
            no_grpc(AskError::OtherProtocol),
        ),
        ("Unimplemented", vec![], "12", no_grpc(AskError::Status(12))),
        ("Unauthenticated", vec![], "16", no_grpc(AskError::Status(16))),
        ("a status that there is not", vec![], "4711", no_grpc(AskError::Status(2))),
    ];
    for (what, body, status, expected) in table {
        assert_eq!(by_grpc(on_http2(body, Some(status)).await).await, expected, "{what}");
    }
    // The message begins and never ends.
    assert_eq!(
        by_grpc(on_http2(vec![framed(9, &[])], None).await).await,
        no_grpc(AskError::TimedOut)
    );
    assert_eq!(by_grpc(endless().await).await, no_grpc(AskError::TimedOut));
}

#[tokio::test]
async fn the_policies_of_an_agent_are_read() {
    let policy = |name: &str, state, error: &str| {
        let policy = PolicyStatus { error: error.into(), ..PolicyStatus::new(state, None) };
        (PolicyName::sanitized("", name), policy)
    };
    let policies = [
        policy("allow", PolicyState::Enabled, ""),
        policy("deny", PolicyState::LoadError, "no LSM"),
        policy("new", PolicyState::Unclear, ""),
    ];
    let counts = policies.iter().map(|(_, policy)| (policy.state, 1)).collect();
    let expected = Answer { policies: policies.into(), counts, ..Answer::empty(Source::Grpc) };
    let result =
        by_grpc(listing(&[("allow", 1, ""), ("deny", 3, "no\nLSM"), ("new", 99, "")]).await).await;
    assert_eq!(result, Ok(response(expected, None)));
    let nothing = by_grpc(listing(&[]).await).await;
    assert_eq!(nothing, Ok(response(Answer::empty(Source::Grpc), None)));
}

#[tokio::test]
async fn the_metrics_are_read_if_grpc_fails() {
    let body = "tetragon_tracingpolicy_loaded{state=\"load_error\"} 2\n";
    let served = on_tcp(http(&format!("200 OK\r\nContent-Length: {}", body.len()), body)).await;
    let at = Endpoints { grpc: Some(refusing()), metrics: Some(served.address) };
    let result = ask(&at, None, &LIMITS).await;
    let counts: StateCounts = [(PolicyState::LoadError, 2)].into_iter().collect();
    let answer = Answer { counts, named: None, ..Answer::empty(Source::Metrics) };
    assert_eq!(result, Ok(response(answer, Some(AskError::Refused))));
    assert_eq!(attempts(&result), [(Source::Grpc, "refused"), (Source::Metrics, "answered")]);
}

#[tokio::test]
async fn a_query_ends_in_time_and_leaves_no_connection() {
    let begun = Instant::now();
    let mut served = on_tcp(Script::Hang).await;
    let at = Endpoints { grpc: Some(served.address), metrics: Some(served.address) };
    let both = Unanswered { grpc: Some(AskError::TimedOut), metrics: Some(AskError::TimedOut) };
    let limits = Limits { deadline: Duration::from_millis(200), ..LIMITS };
    assert_eq!(ask(&at, None, &limits).await, Err(both));
    assert!(begun.elapsed() < 25 * limits.deadline, "{:?}", begun.elapsed());
    for how in ["gRPC", "metrics"] {
        let ended = tokio::time::timeout(Duration::from_secs(10), served.ended.recv()).await;
        assert_eq!(ended, Ok(Some(())), "the connection for {how} was closed");
    }
}
