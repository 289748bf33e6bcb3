//! Agents that hang, lie, close or are none, on real sockets: each is an outcome in time, and nothing is left behind.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::server::{Script, endless, listing, on_http2, on_tcp, refusing};
use bytes::Bytes;
use lsm_ready_operator::tetragon_client::{
    ActionsByPolicy, Answer, Counts, Endpoints, How, Limits, NoAnswer, Outcome, PolicyAnswer,
    PolicyName, State, Why, ask,
};

/// Short enough for tests that wait for it, long enough for a busy machine to answer over loopback.
const LIMITS: Limits =
    Limits { deadline: Duration::from_millis(800), grpc_bytes: 1 << 20, metrics_bytes: 1 << 20 };

async fn by_grpc(address: SocketAddr) -> Outcome {
    ask(&Endpoints { grpc: Some(address), metrics: None }, None, &LIMITS).await
}

async fn by_metrics(address: SocketAddr) -> Outcome {
    ask(&Endpoints { grpc: None, metrics: Some(address) }, None, &LIMITS).await
}

fn answered(answer: Answer, without_grpc: Option<Why>) -> Outcome {
    Outcome::Answered { answer, actions: ActionsByPolicy::new(), without_grpc }
}

fn no_grpc(why: Why) -> Outcome {
    Outcome::NoAnswer(NoAnswer { grpc: Some(why), metrics: None })
}

fn no_metrics(why: Why) -> Outcome {
    Outcome::NoAnswer(NoAnswer { grpc: None, metrics: Some(why) })
}

fn http(head: &str, body: &str) -> Script {
    Script::Say(format!("HTTP/1.1 {head}\r\n\r\n{body}").into_bytes())
}

#[tokio::test]
async fn without_a_protocol_there_is_no_answer_by_grpc() {
    let table = [
        (Script::Hang, Why::TimedOut),
        (Script::Drip, Why::TimedOut),
        (Script::Close, Why::Closed),
        (Script::Reset, Why::Closed),
        (http("200 OK", ""), Why::OtherProtocol),
        (http("400 Bad Request", "not for you"), Why::OtherProtocol),
        (Script::Say(vec![0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46, 0, 0, 0]), Why::TlsRequired),
        (Script::Say(vec![0xff; 4096]), Why::OtherProtocol),
    ];
    for (script, why) in table {
        let what = format!("{script:?}");
        assert_eq!(by_grpc(on_tcp(script).await.address).await, no_grpc(why), "{what}");
    }
    assert_eq!(by_grpc(refusing()).await, no_grpc(Why::Refused));
}

#[tokio::test]
async fn without_a_protocol_there_is_no_answer_by_metrics() {
    let cut = "200 OK\r\nContent-Length: 9999";
    let gauge = "tetragon_tracingpolicy_loaded{state=\"enabled\"} 1\n";
    let table = [
        (Script::Hang, Why::TimedOut),
        (Script::Drip, Why::TimedOut),
        (Script::Close, Why::Closed),
        (Script::Reset, Why::Closed),
        (Script::Say(vec![0xff; 4096]), Why::OtherProtocol),
        (http("404 Not Found\r\nContent-Length: 0", ""), Why::Http(404)),
        (
            http("301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0", ""),
            Why::Http(301),
        ),
        (http("200 OK\r\nContent-Length: 4", "a 1\n"), Why::NoGauge),
        // What was counted before the end was cut off is no answer.
        (http(cut, gauge), Why::Closed),
        (Script::Flood, Why::TooLarge),
    ];
    for (script, why) in table {
        let what = format!("{script:?}");
        assert_eq!(by_metrics(on_tcp(script).await.address).await, no_metrics(why), "{what}");
    }
    assert_eq!(by_metrics(refusing()).await, no_metrics(Why::Refused));
}

/// The frame of a gRPC message: not compressed, its length, and what there is of it.
fn framed(length: u32, message: &[u8]) -> Bytes {
    [&[0][..], &length.to_be_bytes(), message].concat().into()
}

#[tokio::test]
async fn messages_that_lie_are_no_answer() {
    let table = [
        ("a length of 4 GiB", vec![framed(u32::MAX, &[])], "0", no_grpc(Why::TooLarge)),
        ("2 MiB", vec![framed(2 << 20, &vec![0; 2 << 20])], "0", no_grpc(Why::TooLarge)),
        ("no message", vec![], "0", no_grpc(Why::Status(13))),
        ("no protobuf", vec![framed(3, &[0xff; 3])], "0", no_grpc(Why::OtherProtocol)),
        (
            "a policy that is longer than the message",
            vec![framed(2, &[0x0a, 99])],
            "0",
            no_grpc(Why::OtherProtocol),
        ),
        ("Unimplemented", vec![], "12", no_grpc(Why::Status(12))),
        ("Unauthenticated", vec![], "16", no_grpc(Why::Status(16))),
        ("a status that there is not", vec![], "4711", no_grpc(Why::Status(2))),
    ];
    for (what, body, status, expected) in table {
        assert_eq!(by_grpc(on_http2(body, Some(status)).await).await, expected, "{what}");
    }
    // It begins, and goes on for ever.
    assert_eq!(by_grpc(on_http2(vec![framed(9, &[])], None).await).await, no_grpc(Why::TimedOut));
    assert_eq!(by_grpc(endless().await).await, no_grpc(Why::TimedOut));
}

#[tokio::test]
async fn an_agent_is_heard() {
    let policy = |name: &str, state, error: &str| {
        let policy = PolicyAnswer { state, mode: None, error: error.into(), failed_hooks: vec![] };
        (PolicyName::given("", name), policy)
    };
    let policies = [
        policy("allow", State::Enabled, ""),
        policy("deny", State::LoadError, "no LSM"),
        policy("new", State::Unclear, ""),
    ];
    let counts = policies.iter().map(|(_, policy)| (policy.state, 1)).collect();
    let expected = Answer { policies: policies.into(), counts, ..Answer::none(How::Grpc) };
    let heard =
        by_grpc(listing(&[("allow", 1, ""), ("deny", 3, "no\nLSM"), ("new", 99, "")]).await).await;
    assert_eq!(heard, answered(expected, None));
    let nothing = by_grpc(listing(&[]).await).await;
    assert_eq!(nothing, answered(Answer::none(How::Grpc), None));
}

#[tokio::test]
async fn the_metrics_are_read_where_grpc_is_not_answered() {
    let body = "tetragon_tracingpolicy_loaded{state=\"load_error\"} 2\n";
    let served = on_tcp(http(&format!("200 OK\r\nContent-Length: {}", body.len()), body)).await;
    let at = Endpoints { grpc: Some(refusing()), metrics: Some(served.address) };
    let heard = ask(&at, None, &LIMITS).await;
    let counts: Counts = [(State::LoadError, 2)].into_iter().collect();
    let answer = Answer { counts, named: None, ..Answer::none(How::Metrics) };
    assert_eq!(heard, answered(answer, Some(Why::Refused)));
    assert_eq!(heard.attempts(), [(How::Grpc, "refused"), (How::Metrics, "answered")]);
}

#[tokio::test]
async fn asking_ends_in_time_and_leaves_no_connection() {
    let begun = Instant::now();
    let mut served = on_tcp(Script::Hang).await;
    let at = Endpoints { grpc: Some(served.address), metrics: Some(served.address) };
    let both = NoAnswer { grpc: Some(Why::TimedOut), metrics: Some(Why::TimedOut) };
    let limits = Limits { deadline: Duration::from_millis(200), ..LIMITS };
    assert_eq!(ask(&at, None, &limits).await, Outcome::NoAnswer(both));
    assert!(begun.elapsed() < 25 * limits.deadline, "{:?}", begun.elapsed());
    for how in ["gRPC", "metrics"] {
        let ended = tokio::time::timeout(Duration::from_secs(10), served.ended.recv()).await;
        assert_eq!(ended, Ok(Some(())), "the connection for {how} was closed");
    }
}
