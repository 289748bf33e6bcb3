//! Measures the memory that eight hostile agents cost at once. This is the only test in the
//! program, because peak memory is measured for the whole process.
#![allow(clippy::unwrap_used, reason = "what cannot be prepared fails the test")]

#[path = "tetragon_client/server/mod.rs"]
mod server;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use lsm_ready_operator::tetragon_client::{
    AskError, Endpoints, Limits, QueryResult, Tls, Unanswered, ask,
};
use server::tls::{Authority, SERVER_NAME, on_tls};
use server::{Script, on_http2, on_tcp};
use tokio::task::JoinSet;

/// Eight answers of maximum length, each in a buffer that grows by doubling, and as much again for
/// everything else.
const MAX_GROWTH: u64 = 8 * 2 * (Limits::GRPC_BYTES as u64) * 2;

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Peak memory of this process, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// A message that announces this length, and 100 MB of zeros.
fn hundred_megabytes(length: u32) -> Vec<Bytes> {
    let head = Bytes::from([&[0][..], &length.to_be_bytes()].concat());
    std::iter::once(head).chain(std::iter::repeat_n(Bytes::from_static(&ZEROS), 1600)).collect()
}

/// A message of maximum length that repeats these bytes.
fn filled(head: &[u8], with: &[u8]) -> Vec<Bytes> {
    let times = (Limits::GRPC_BYTES - head.len()) / with.len();
    let message = [head, &with.repeat(times)].concat();
    let length = u32::try_from(message.len()).unwrap();
    vec![[&[0][..], &length.to_be_bytes(), &message].concat().into()]
}

/// A message of maximum length with one policy, filled by that field.
fn one_policy(field: u8, with: &[u8]) -> Vec<Bytes> {
    // Lengths of four bytes: key, varint, key, varint.
    let inner = (Limits::GRPC_BYTES - 10) / with.len() * with.len();
    let varint = |length: usize| -> Vec<u8> {
        let byte = |place: usize| u8::try_from(length >> (7 * place) & 0x7f).unwrap();
        vec![byte(0) | 0x80, byte(1) | 0x80, byte(2) | 0x80, byte(3)]
    };
    let head = [&[0x0a][..], &varint(inner + 5), &[field << 3 | 2], &varint(inner)].concat();
    let message = [head, with.repeat(inner / with.len())].concat();
    let length = u32::try_from(message.len()).unwrap();
    vec![[&[0][..], &length.to_be_bytes(), &message].concat().into()]
}

async fn eight(at: Endpoints, tls: Option<&Tls>) -> Vec<QueryResult> {
    let limits = Limits { deadline: Duration::from_secs(30), ..Limits::default() };
    let mut asked = JoinSet::new();
    for _ in 0..8 {
        let tls = tls.cloned();
        asked.spawn(async move { ask(&at, tls.as_ref(), &limits).await });
    }
    asked.join_all().await
}

fn grpc(address: SocketAddr) -> Endpoints {
    Endpoints { grpc: Some(address), metrics: None }
}

#[tokio::test]
async fn hostile_answers_cost_a_bounded_amount_of_memory() {
    let authority = Authority::new("ca");
    let tls = Tls::read(authority.files(None).path(), Some(SERVER_NAME)).unwrap();
    let over_tls = on_tls(&authority.agent(), None, hundred_megabytes(100 << 20)).await;
    let metrics = Endpoints { grpc: None, metrics: Some(on_tcp(Script::Flood).await.address) };
    let too_large = |grpc, metrics| Err(Unanswered { grpc, metrics });
    let by_grpc = || Some(too_large(Some(AskError::TooLarge), None));
    let table = [
        (
            "100 MB in one message",
            grpc(on_http2(hundred_megabytes(100 << 20), Some("0")).await),
            None,
            by_grpc(),
        ),
        ("the same over TLS", grpc(over_tls), Some(&tls), by_grpc()),
        (
            "2,000,000 policies",
            grpc(on_http2(filled(&[], &[0x0a, 0]), Some("0")).await),
            None,
            by_grpc(),
        ),
        ("metrics without an end", metrics, None, Some(too_large(None, Some(AskError::TooLarge)))),
        // These become a short answer.
        (
            "2,000,000 hooks",
            grpc(on_http2(one_policy(14, &[0x72, 0]), Some("0")).await),
            None,
            None,
        ),
        (
            "2,000,000 counters",
            grpc(on_http2(one_policy(12, &[0x0a, 0]), Some("0")).await),
            None,
            None,
        ),
        ("an error of 4 MB", grpc(on_http2(one_policy(8, b"\n"), Some("0")).await), None, None),
    ];
    let before = peak_memory();
    for (what, at, tls, expected) in table {
        let begun = std::time::Instant::now();
        let outcomes = eight(at, tls).await;
        assert_eq!(outcomes.len(), 8);
        for outcome in outcomes {
            match &expected {
                Some(expected) => assert_eq!(outcome, *expected, "{what}"),
                None => assert!(outcome.is_ok(), "{what}: {outcome:?}"),
            }
        }
        let growth = peak_memory() - before;
        println!("{what}: {} MiB, {:?}", growth >> 20, begun.elapsed());
        assert!(growth < MAX_GROWTH, "{what}: {} MiB", growth >> 20);
    }
}
