//! gRPC over TLS and mTLS on real sockets: which agents are trusted, and the error of each other
//! one.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::server::tls::{Authority, Identity, NAME, SERVER_NAME, on_tls};
use crate::server::{Script, listed, listing, on_tcp};
use bytes::Bytes;
use lsm_ready_operator::tetragon_client::{
    AskError, Endpoints, Limits, Response, Tls, Unanswered, ask,
};
use rcgen::{CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, date_time_ymd};

/// Long enough for a handshake on a busy machine.
const LIMITS: Limits =
    Limits { deadline: Duration::from_secs(20), grpc_bytes: 1 << 20, metrics_bytes: 1 << 20 };
/// For agents that never answer.
const SHORT: Limits = Limits { deadline: Duration::from_millis(400), ..LIMITS };

fn one_policy() -> Vec<Bytes> {
    vec![listed(&[("deny", 1, "")])]
}

/// The error of gRPC; `None` if the agent is trusted.
async fn grpc_error(address: SocketAddr, tls: Option<&Tls>, limits: &Limits) -> Option<AskError> {
    match ask(&Endpoints { grpc: Some(address), metrics: None }, tls, limits).await {
        Ok(Response { answer, .. }) => {
            assert_eq!(answer.policies.len(), 1, "{answer:?}");
            None
        }
        Err(Unanswered { grpc, .. }) => Some(grpc.unwrap()),
    }
}

fn tls(directory: &Path) -> Tls {
    Tls::read(directory, Some(SERVER_NAME)).unwrap()
}

#[tokio::test]
async fn only_an_agent_with_a_valid_certificate_is_trusted() {
    let (authority, other) = (Authority::new("ca"), Authority::new("ca"));
    let trusted = tls(authority.files(None).path());
    let issue = |names: &[&str], change: fn(&mut CertificateParams)| authority.issue(names, change);
    let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2020, 1, 1);
    let early = |params: &mut CertificateParams| params.not_before = date_time_ymd(2999, 1, 1);
    let for_clients = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    let intermediate = authority.intermediate("intermediate");
    let mut with_chain = intermediate.agent();
    with_chain.chain.push(intermediate.der());
    for (what, identity, expected) in [
        ("the chart's", authority.agent(), None),
        ("signed by an intermediate that is sent", with_chain, None),
        (
            "signed by an intermediate that is not sent",
            intermediate.agent(),
            Some(AskError::CertificateNotTrusted),
        ),
        ("of another CA of the same name", other.agent(), Some(AskError::CertificateNotTrusted)),
        (
            "of another name",
            issue(&["tetragon.example.com"], |_| {}),
            Some(AskError::CertificateName),
        ),
        ("without a name", issue(&[], |_| {}), Some(AskError::CertificateName)),
        ("expired", issue(&[NAME], expired), Some(AskError::CertificateExpired)),
        ("not valid yet", issue(&[NAME], early), Some(AskError::CertificateExpired)),
        ("for clients", issue(&[NAME], for_clients), Some(AskError::CertificateInvalid)),
    ] {
        let address = on_tls(&identity, None, one_policy()).await;
        assert_eq!(grpc_error(address, Some(&trusted), &LIMITS).await, expected, "{what}");
    }
}

#[tokio::test]
async fn without_a_server_name_the_certificate_must_be_for_the_address() {
    let authority = Authority::new("ca");
    let files = authority.files(None);
    let by_address = Tls::read(files.path(), None).unwrap();
    let for_address = on_tls(&authority.issue(&["127.0.0.1"], |_| {}), None, one_policy()).await;
    assert_eq!(grpc_error(for_address, Some(&by_address), &LIMITS).await, None);
    let for_name = on_tls(&authority.agent(), None, one_policy()).await;
    assert_eq!(
        grpc_error(for_name, Some(&by_address), &LIMITS).await,
        Some(AskError::CertificateName)
    );
}

#[tokio::test]
async fn a_client_certificate_is_shown_if_the_agent_requires_it() {
    let (authority, other) = (Authority::new("ca"), Authority::new("other"));
    let agent = on_tls(&authority.agent(), Some(&authority), one_policy()).await;
    let expired = authority.issue(&[], |params| params.not_after = date_time_ymd(2020, 1, 1));
    for (what, client, expected) in [
        ("none", None, Some(AskError::ClientCertificateRequired)),
        ("the right one", Some(authority.issue(&[], |_| {})), None),
        ("of another CA", Some(other.issue(&[], |_| {})), Some(AskError::ClientCertificateRefused)),
        ("expired", Some(expired), Some(AskError::ClientCertificateRefused)),
    ] {
        let files = authority.files(client.as_ref());
        // The alert may arrive before or after the request is sent.
        for _ in 0..10 {
            assert_eq!(
                grpc_error(agent, Some(&tls(files.path())), &LIMITS).await,
                expected,
                "{what}"
            );
        }
    }
}

#[tokio::test]
async fn plain_text_and_tls_are_distinguished() {
    let authority = Authority::new("ca");
    let trusted = tls(authority.files(None).path());
    let plain = listing(&[("deny", 1, "")]).await;
    assert_eq!(grpc_error(plain, Some(&trusted), &LIMITS).await, Some(AskError::NoTls));
    let web = on_tcp(Script::Send(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())).await;
    assert_eq!(grpc_error(web.address, Some(&trusted), &LIMITS).await, Some(AskError::NoTls));

    let secure = on_tls(&authority.agent(), None, one_policy()).await;
    assert_eq!(grpc_error(secure, None, &LIMITS).await, Some(AskError::TlsRequired));
    let like_go = on_tcp(Script::SilentWithoutTls).await;
    assert_eq!(grpc_error(like_go.address, None, &LIMITS).await, Some(AskError::TlsRequired));
    let closing = on_tcp(Script::Close).await;
    assert_eq!(grpc_error(closing.address, None, &LIMITS).await, Some(AskError::Closed));
}

#[tokio::test]
async fn endless_handshakes_are_ended() {
    let trusted = tls(Authority::new("ca").files(None).path());
    let table: [(Script, &[AskError]); 4] = [
        (Script::Hang, &[AskError::TimedOut]),
        (Script::Drip, &[AskError::TimedOut]),
        // A handshake message without an end, and records of another type.
        (Script::Repeat(vec![0x16, 3, 3, 0, 1, 2]), &[AskError::TooLarge]),
        (Script::Repeat(vec![0x14, 3, 3, 0, 1, 1]), &[AskError::TlsFailed, AskError::TimedOut]),
    ];
    for (script, expected) in table {
        let (what, begun) = (format!("{script:?}"), Instant::now());
        let mut served = on_tcp(script).await;
        let error = grpc_error(served.address, Some(&trusted), &SHORT).await;
        assert!(error.is_some_and(|error| expected.contains(&error)), "{what}: {error:?}");
        assert!(begun.elapsed() < 25 * SHORT.deadline, "{what}: {:?}", begun.elapsed());
        let ended = tokio::time::timeout(LIMITS.deadline, served.ended.recv()).await;
        assert_eq!(ended, Ok(Some(())), "{what}: the connection was closed");
    }
}

#[tokio::test]
async fn silence_after_the_handshake_times_out() {
    let authority = Authority::new("ca");
    let trusted = tls(authority.files(None).path());
    let silent = on_tls(&authority.agent(), None, vec![]).await;
    let limits = Limits { deadline: Duration::from_secs(2), ..LIMITS };
    assert_eq!(grpc_error(silent, Some(&trusted), &limits).await, Some(AskError::TimedOut));
}

#[tokio::test]
async fn garbage_in_place_of_a_handshake_is_an_error() {
    let trusted = tls(Authority::new("ca").files(None).path());
    let table = [
        (Script::Close, AskError::Closed),
        (Script::Reset, AskError::Closed),
        (Script::Send(vec![0xff; 4096]), AskError::OtherProtocol),
        (Script::Send(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), AskError::OtherProtocol),
        // A handshake message of an unknown type.
        (Script::Send(vec![0x16, 3, 3, 0, 4, 0x63, 0, 0, 0]), AskError::TlsFailed),
        // Application data before a handshake.
        (Script::Send(vec![0x17, 3, 3, 0, 1, 0]), AskError::TlsFailed),
        // Alerts: protocol_version from a server with TLS 1.2 only, and internal_error from an
        // agent without a certificate.
        (Script::Send(vec![0x15, 3, 3, 0, 2, 2, 70]), AskError::TlsFailed),
        (Script::Send(vec![0x15, 3, 3, 0, 2, 2, 80]), AskError::TlsFailed),
    ];
    for (script, error) in table {
        let what = format!("{script:?}");
        assert_eq!(
            grpc_error(on_tcp(script).await.address, Some(&trusted), &LIMITS).await,
            Some(error),
            "{what}"
        );
    }
}

#[tokio::test]
async fn certificates_are_limited_in_size_and_number() {
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
    let mut long: Vec<Authority> = vec![authority.intermediate("0")];
    for number in 1..60 {
        long.push(long[number - 1].intermediate(&number.to_string()));
    }
    let mut path = long[59].agent();
    path.chain.extend(long.iter().rev().map(Authority::der));
    let table: [(&str, Identity, &[Option<AskError>]); 4] = [
        ("100 kB", large, &[Some(AskError::TooLarge)]),
        ("1,000 certificates", repeated(1000), &[Some(AskError::TooLarge)]),
        // They fit into a message, and are ignored.
        ("100 certificates", repeated(100), &[None]),
        (
            "60 intermediates",
            path,
            &[Some(AskError::CertificateNotTrusted), Some(AskError::CertificateInvalid)],
        ),
    ];
    for (what, identity, expected) in table {
        let begun = Instant::now();
        let error =
            grpc_error(on_tls(&identity, None, one_policy()).await, Some(&trusted), &LIMITS).await;
        assert!(expected.contains(&error), "{what}: {error:?}");
        assert!(begun.elapsed() < LIMITS.deadline / 2, "{what}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn unusable_files_are_named() {
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
        ("ca.crt", Some(no_certificate), "ca.crt has an invalid certificate"),
        ("ca.crt", Some(&"x".repeat(2 << 20)), "ca.crt is longer than 1 MiB"),
        ("tls.crt", Some(""), "tls.crt has no certificate in PEM format"),
        ("tls.key", Some(""), "tls.key has no private key in PEM format"),
        ("tls.key", None, "tls.key is missing"),
        ("tls.crt", None, "tls.crt is missing"),
        ("tls.key", Some(&other_key), "invalid client certificate in"),
    ] {
        let error = change(name, text);
        assert!(error.contains(expected), "{name}: {error}");
    }
    let error =
        Tls::read(authority.files(None).path(), Some("not a name")).unwrap_err().to_string();
    assert!(error.contains(r#"invalid server name "not a name""#), "{error}");
}

#[test]
fn the_key_is_not_in_debug_output() {
    let authority = Authority::new("ca");
    let files = authority.files(Some(&authority.issue(&[], |_| {})));
    let shown = format!("{:?}", tls(files.path()));
    assert_eq!(shown, format!("Tls {{ name: Some(DnsName({SERVER_NAME:?})), .. }}"));
}
