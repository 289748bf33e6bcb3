//! gRPC over TLS and mTLS on real sockets: who is believed, and why somebody is not.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::server::tls::{Authority, Identity, NAME, SERVER_NAME, on_tls};
use crate::server::{Script, listed, listing, on_tcp};
use bytes::Bytes;
use lsm_ready_operator::tetragon_client::{Endpoints, Limits, NoAnswer, Outcome, Tls, Why, ask};
use rcgen::{CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, date_time_ymd};

/// Long enough for a handshake on a busy machine.
const LIMITS: Limits =
    Limits { deadline: Duration::from_secs(20), grpc_bytes: 1 << 20, metrics_bytes: 1 << 20 };
/// For those who never answer.
const SHORT: Limits = Limits { deadline: Duration::from_millis(400), ..LIMITS };

fn one_policy() -> Vec<Bytes> {
    vec![listed(&[("deny", 1, "")])]
}

/// `None` where the agent is believed, else why not.
async fn asked(address: SocketAddr, tls: Option<&Tls>, limits: &Limits) -> Option<Why> {
    match ask(&Endpoints { grpc: Some(address), metrics: None }, tls, limits).await {
        Outcome::Answered { answer, .. } => {
            assert_eq!(answer.policies.len(), 1, "{answer:?}");
            None
        }
        Outcome::NoAnswer(NoAnswer { grpc, .. }) => Some(grpc.unwrap()),
    }
}

fn tls(directory: &Path) -> Tls {
    Tls::read(directory, Some(SERVER_NAME)).unwrap()
}

#[tokio::test]
async fn an_agent_is_believed_by_its_certificate_alone() {
    let (authority, other) = (Authority::new("ca"), Authority::new("ca"));
    let trusted = tls(authority.files(None).path());
    let issue = |names: &[&str], change: fn(&mut CertificateParams)| authority.issue(names, change);
    let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2020, 1, 1);
    let early = |params: &mut CertificateParams| params.not_before = date_time_ymd(2999, 1, 1);
    let for_clients = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    let below = authority.below("intermediate");
    let mut with_chain = below.agent();
    with_chain.chain.push(below.der());
    for (what, identity, expected) in [
        ("the chart's", authority.agent(), None),
        ("signed by an intermediate that is sent", with_chain, None),
        (
            "signed by an intermediate that is not sent",
            below.agent(),
            Some(Why::CertificateNotTrusted),
        ),
        ("of another CA of the same name", other.agent(), Some(Why::CertificateNotTrusted)),
        ("of another name", issue(&["tetragon.example.com"], |_| {}), Some(Why::CertificateName)),
        ("without a name", issue(&[], |_| {}), Some(Why::CertificateName)),
        ("expired", issue(&[NAME], expired), Some(Why::CertificateExpired)),
        ("not valid yet", issue(&[NAME], early), Some(Why::CertificateExpired)),
        ("for clients", issue(&[NAME], for_clients), Some(Why::CertificateInvalid)),
    ] {
        let address = on_tls(&identity, None, one_policy()).await;
        assert_eq!(asked(address, Some(&trusted), &LIMITS).await, expected, "{what}");
    }
}

#[tokio::test]
async fn without_a_server_name_the_certificate_is_for_the_address() {
    let authority = Authority::new("ca");
    let files = authority.files(None);
    let by_address = Tls::read(files.path(), None).unwrap();
    let for_address = on_tls(&authority.issue(&["127.0.0.1"], |_| {}), None, one_policy()).await;
    assert_eq!(asked(for_address, Some(&by_address), &LIMITS).await, None);
    let for_name = on_tls(&authority.agent(), None, one_policy()).await;
    assert_eq!(asked(for_name, Some(&by_address), &LIMITS).await, Some(Why::CertificateName));
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_it_is_required() {
    let (authority, other) = (Authority::new("ca"), Authority::new("other"));
    let agent = on_tls(&authority.agent(), Some(&authority), one_policy()).await;
    let expired = authority.issue(&[], |params| params.not_after = date_time_ymd(2020, 1, 1));
    for (what, client, expected) in [
        ("none", None, Some(Why::ClientCertificateRequired)),
        ("the right one", Some(authority.issue(&[], |_| {})), None),
        ("of another CA", Some(other.issue(&[], |_| {})), Some(Why::ClientCertificateRefused)),
        ("expired", Some(expired), Some(Why::ClientCertificateRefused)),
    ] {
        let files = authority.files(client.as_ref());
        // What the agent says may come before or after the question is sent.
        for _ in 0..10 {
            assert_eq!(asked(agent, Some(&tls(files.path())), &LIMITS).await, expected, "{what}");
        }
    }
}

#[tokio::test]
async fn plain_text_and_tls_are_told_apart() {
    let authority = Authority::new("ca");
    let trusted = tls(authority.files(None).path());
    let plain = listing(&[("deny", 1, "")]).await;
    assert_eq!(asked(plain, Some(&trusted), &LIMITS).await, Some(Why::NoTls));
    let web = on_tcp(Script::Say(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())).await;
    assert_eq!(asked(web.address, Some(&trusted), &LIMITS).await, Some(Why::NoTls));

    let secure = on_tls(&authority.agent(), None, one_policy()).await;
    assert_eq!(asked(secure, None, &LIMITS).await, Some(Why::TlsRequired));
    let like_go = on_tcp(Script::SilentWithoutTls).await;
    assert_eq!(asked(like_go.address, None, &LIMITS).await, Some(Why::TlsRequired));
    let closing = on_tcp(Script::Close).await;
    assert_eq!(asked(closing.address, None, &LIMITS).await, Some(Why::Closed));
}

#[tokio::test]
async fn handshakes_that_never_end_are_ended() {
    let trusted = tls(Authority::new("ca").files(None).path());
    let table: [(Script, &[Why]); 4] = [
        (Script::Hang, &[Why::TimedOut]),
        (Script::Drip, &[Why::TimedOut]),
        // A message that is longer than any, and records that are none.
        (Script::Repeat(vec![0x16, 3, 3, 0, 1, 2]), &[Why::TooLarge]),
        (Script::Repeat(vec![0x14, 3, 3, 0, 1, 1]), &[Why::TlsFailed, Why::TimedOut]),
    ];
    for (script, expected) in table {
        let (what, begun) = (format!("{script:?}"), Instant::now());
        let mut served = on_tcp(script).await;
        let why = asked(served.address, Some(&trusted), &SHORT).await;
        assert!(why.is_some_and(|why| expected.contains(&why)), "{what}: {why:?}");
        assert!(begun.elapsed() < 25 * SHORT.deadline, "{what}: {:?}", begun.elapsed());
        let ended = tokio::time::timeout(LIMITS.deadline, served.ended.recv()).await;
        assert_eq!(ended, Ok(Some(())), "{what}: the connection was closed");
    }
}

#[tokio::test]
async fn silence_after_the_handshake_is_no_answer() {
    let authority = Authority::new("ca");
    let trusted = tls(authority.files(None).path());
    let silent = on_tls(&authority.agent(), None, vec![]).await;
    let limits = Limits { deadline: Duration::from_secs(2), ..LIMITS };
    assert_eq!(asked(silent, Some(&trusted), &limits).await, Some(Why::TimedOut));
}

#[tokio::test]
async fn garbage_is_no_handshake() {
    let trusted = tls(Authority::new("ca").files(None).path());
    let table = [
        (Script::Close, Why::Closed),
        (Script::Reset, Why::Closed),
        (Script::Say(vec![0xff; 4096]), Why::OtherProtocol),
        (Script::Say(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), Why::OtherProtocol),
        // A handshake message of a type that there is not.
        (Script::Say(vec![0x16, 3, 3, 0, 4, 0x63, 0, 0, 0]), Why::TlsFailed),
        // Application data before a handshake.
        (Script::Say(vec![0x17, 3, 3, 0, 1, 0]), Why::TlsFailed),
        // Alerts: protocol_version of a server that has TLS 1.2 only, and internal_error of an agent without certificate.
        (Script::Say(vec![0x15, 3, 3, 0, 2, 2, 70]), Why::TlsFailed),
        (Script::Say(vec![0x15, 3, 3, 0, 2, 2, 80]), Why::TlsFailed),
    ];
    for (script, why) in table {
        let what = format!("{script:?}");
        assert_eq!(
            asked(on_tcp(script).await.address, Some(&trusted), &LIMITS).await,
            Some(why),
            "{what}"
        );
    }
}

#[tokio::test]
async fn certificates_of_any_size_and_number_are_bounded() {
    let authority = Authority::new("ca");
    let trusted = tls(authority.files(None).path());
    let large = authority.issue(&[NAME], |params| {
        let content = [&[0x04, 0x83, 0x01, 0x86, 0xa0][..], &vec![0; 100_000]].concat();
        params
            .custom_extensions
            .push(CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], content));
    });
    let repeated = |times: usize| {
        let mut identity = authority.agent();
        identity.chain.extend(std::iter::repeat_n(authority.der(), times));
        identity
    };
    let mut long: Vec<Authority> = vec![authority.below("0")];
    for number in 1..60 {
        long.push(long[number - 1].below(&number.to_string()));
    }
    let mut path = long[59].agent();
    path.chain.extend(long.iter().rev().map(Authority::der));
    let table: [(&str, Identity, &[Option<Why>]); 4] = [
        ("100 kB", large, &[Some(Why::TooLarge)]),
        ("1,000 certificates", repeated(1000), &[Some(Why::TooLarge)]),
        // They fit into a message, and nobody needs them.
        ("100 certificates", repeated(100), &[None]),
        (
            "60 intermediates",
            path,
            &[Some(Why::CertificateNotTrusted), Some(Why::CertificateInvalid)],
        ),
    ];
    for (what, identity, expected) in table {
        let begun = Instant::now();
        let why = asked(on_tls(&identity, None, one_policy()).await, Some(&trusted), &LIMITS).await;
        assert!(expected.contains(&why), "{what}: {why:?}");
        assert!(begun.elapsed() < LIMITS.deadline / 2, "{what}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let (authority, other) = (Authority::new("ca"), Authority::new("other"));
    let client = authority.issue(&[], |_| {});
    let change = |name: &str, text: Option<&str>| {
        let files = authority.files(Some(&client));
        let path = files.path().join(name);
        match text {
            Some(text) => std::fs::write(path, text).unwrap(),
            None => std::fs::remove_file(path).unwrap(),
        }
        Tls::read(files.path(), Some(SERVER_NAME)).unwrap_err().to_string()
    };
    let other_key = other.agent().key.serialize_pem();
    let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (name, text, expected) in [
        ("ca.crt", None, "ca.crt: No such file"),
        ("ca.crt", Some(""), "ca.crt has no certificate in PEM format"),
        ("ca.crt", Some("MIIB"), "ca.crt has no certificate in PEM format"),
        ("ca.crt", Some(no_certificate), "ca.crt has a certificate that cannot be used"),
        ("ca.crt", Some(&"x".repeat(2 << 20)), "ca.crt is longer than 1 MiB"),
        ("tls.crt", Some(""), "tls.crt has no certificate in PEM format"),
        ("tls.key", Some(""), "tls.key has no private key in PEM format"),
        ("tls.key", None, "tls.key is missing beside"),
        ("tls.crt", None, "tls.crt is missing beside"),
        ("tls.key", Some(&other_key), "the client certificate in"),
    ] {
        let error = change(name, text);
        assert!(error.contains(expected), "{name}: {error}");
    }
    let error =
        Tls::read(authority.files(None).path(), Some("not a name")).unwrap_err().to_string();
    assert!(error.contains(r#"invalid server name "not a name""#), "{error}");
}

#[test]
fn the_key_is_in_no_debug_output() {
    let authority = Authority::new("ca");
    let files = authority.files(Some(&authority.issue(&[], |_| {})));
    let shown = format!("{:?}", tls(files.path()));
    assert_eq!(shown, format!("Tls {{ name: Some(DnsName({SERVER_NAME:?})), .. }}"));
}
