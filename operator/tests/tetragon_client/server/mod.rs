#![allow(dead_code, reason = "each test uses a part of it")]
//! Servers that misbehave. In: a script, or an HTTP/2 answer. Out: the address on loopback where
//! each connection gets it, until the test's runtime ends.

pub mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// The message of sensors.proto.
#[derive(Clone, PartialEq, Message)]
pub struct ListTracingPoliciesResponse {
    #[prost(message, repeated, tag = "1")]
    pub policies: Vec<TracingPolicyStatus>,
}

#[derive(Clone, PartialEq, Message)]
pub struct TracingPolicyStatus {
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "8")]
    pub error: String,
    #[prost(int32, tag = "9")]
    pub state: i32,
    #[prost(int32, tag = "11")]
    pub mode: i32,
}

/// What the server does with a connection.
#[derive(Clone, Debug)]
pub enum Script {
    /// Reads, and sends nothing.
    Hang,
    /// Closes at once.
    Close,
    /// Closes with a RST.
    Reset,
    /// Sends these bytes after the first request, and closes.
    Send(Vec<u8>),
    /// Sends a valid beginning, one byte at a time, without an end.
    Drip,
    /// Sends metrics without an end.
    Flood,
    /// Sends these bytes without an end.
    Repeat(Vec<u8>),
    /// Closes a connection without TLS and sends nothing, as Go's TLS server does.
    SilentWithoutTls,
}

/// A running server.
pub struct Served {
    pub address: SocketAddr,
    /// Gets a message for each connection that has ended.
    pub ended: UnboundedReceiver<()>,
}

/// Serves a script to each connection.
pub async fn on_tcp(script: Script) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ending, ended) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (script, ending) = (script.clone(), ending.clone());
            tokio::spawn(async move {
                serve(script, stream).await;
                let _ = ending.send(());
            });
        }
    });
    Served { address, ended }
}

async fn serve(script: Script, mut stream: TcpStream) {
    let mut asked = [0; 512];
    // An error means that the client has closed the connection.
    let _closed = match script {
        Script::Hang => stream.read_to_end(&mut Vec::new()).await.map(|_| ()),
        Script::Close => Ok(()),
        Script::Reset => stream.set_zero_linger(),
        Script::Send(bytes) => {
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(&bytes).await;
            // Unread bytes would end the connection with a RST, which overtakes the sent bytes.
            let _ = stream.shutdown().await;
            stream.read_to_end(&mut Vec::new()).await.map(|_| ())
        }
        Script::Drip => drip(stream).await,
        Script::Repeat(bytes) => {
            let bytes = bytes.repeat(100);
            loop {
                if let Err(closed) = stream.write_all(&bytes).await {
                    break Err(closed);
                }
            }
        }
        Script::SilentWithoutTls => {
            let length = stream.read(&mut asked).await.unwrap_or_default();
            if asked[..length].starts_with(&[0x16, 3]) {
                let _ = stream.write_all(&[0x16, 3, 3, 0, 122, 2]).await;
            }
            // Unread bytes would end the connection with a RST.
            let _ = stream.shutdown().await;
            stream.read_to_end(&mut Vec::new()).await.map(|_| ())
        }
        Script::Flood => {
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            loop {
                if let Err(closed) = stream.write_all(&[b'#'; 4096]).await {
                    break Err(closed);
                }
            }
        }
    };
}

/// Sends a ServerHello of 65,000 bytes to a TLS client, empty SETTINGS frames to an HTTP/2 client,
/// and an endless header to an HTTP/1 client.
async fn drip(mut stream: TcpStream) -> std::io::Result<()> {
    let mut asked = [0; 512];
    let length = stream.read(&mut asked).await?;
    let (bytes, rest): (&[u8], &[u8]) = match &asked[..length] {
        [0x16, ..] => (&[0x16, 3, 3, 0x40, 0, 2, 0, 0xfd, 0xe8], &[0]),
        asked if asked.starts_with(b"PRI * HTTP/2.0") => (&[], &[0, 0, 0, 4, 0, 0, 0, 0, 0]),
        _ => (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    };
    let mut beat = tokio::time::interval(Duration::from_millis(5));
    for byte in bytes.iter().chain(rest.iter().cycle()) {
        beat.tick().await;
        stream.write_all(&[*byte]).await?;
    }
    Ok(())
}

/// An address at which nothing listens.
pub fn refusing() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Answers each HTTP/2 request with these bytes and that gRPC status. Without a status the answer
/// never ends.
pub async fn on_http2(body: Vec<Bytes>, status: Option<&'static str>) -> SocketAddr {
    answering(move |stream| send(stream, &body, status)).await
}

/// Sends these bytes and that gRPC status. Without a status the answer never ends.
pub fn send(mut stream: h2::SendStream<Bytes>, body: &[Bytes], status: Option<&str>) {
    for bytes in body {
        // The client resets the stream when it has read enough.
        if stream.send_data(bytes.clone(), false).is_err() {
            return;
        }
    }
    match status {
        Some(status) => {
            let trailers = [("grpc-status".parse().unwrap(), status.parse().unwrap())];
            let _ = stream.send_trailers(trailers.into_iter().collect());
        }
        None => std::mem::forget(stream),
    }
}

/// One valid message, and others without an end.
pub async fn endless() -> SocketAddr {
    on_http2(vec![Bytes::from_static(&[0, 0, 0, 0, 0]), Bytes::from(vec![0; 8 << 20])], None).await
}

/// An agent with these policies: name, state and error.
pub async fn listing(policies: &[(&str, i32, &str)]) -> SocketAddr {
    on_http2(vec![listed(policies)], Some("0")).await
}

/// The frame with these policies.
pub fn listed(policies: &[(&str, i32, &str)]) -> Bytes {
    let policies = policies.iter().map(|(name, state, error)| TracingPolicyStatus {
        name: (*name).into(),
        state: *state,
        error: (*error).into(),
        ..TracingPolicyStatus::default()
    });
    let message = ListTracingPoliciesResponse { policies: policies.collect() }.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap();
    [&[0][..], &length.to_be_bytes(), &message].concat().into()
}

async fn answering(answer: impl Fn(h2::SendStream<Bytes>) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(speak_http2(stream, answer.clone()));
        }
    });
    address
}

/// Answers the requests on one connection.
pub async fn speak_http2(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: impl Fn(h2::SendStream<Bytes>),
) {
    let Ok(mut connection) = h2::server::handshake(stream).await else {
        return;
    };
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let head =
            http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        if let Ok(stream) = respond.send_response(head, false) {
            answer(stream);
        }
    }
}
