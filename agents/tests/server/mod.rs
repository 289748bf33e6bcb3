//! Other ends that misbehave. In: a script, or an HTTP/2 answer. Out: the address where it is played on loopback, again
//! and again until the test's runtime ends.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// What an agent lists, as sensors.proto has it.
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

/// What is done with a connection.
#[derive(Clone, Debug)]
pub enum Script {
    /// Read, and say nothing.
    Hang,
    /// Close at once.
    Close,
    /// Close with a RST.
    Reset,
    /// Say this once something was asked, and close.
    Say(Vec<u8>),
    /// An answer of HTTP, one byte at a time, for ever.
    Drip,
    /// Metrics without an end.
    Flood,
}

/// Where it is played.
pub struct Served {
    pub address: SocketAddr,
    /// A message for each connection that the asking end has closed.
    pub ended: UnboundedReceiver<()>,
}

/// Plays a script for each connection.
pub async fn on_tcp(script: Script) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ending, ended) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (script, ending) = (script.clone(), ending.clone());
            tokio::spawn(async move {
                play(script, stream).await;
                let _ = ending.send(());
            });
        }
    });
    Served { address, ended }
}

async fn play(script: Script, mut stream: TcpStream) {
    let mut asked = [0; 512];
    // Where the asking end has gone away, there is nobody left to play for.
    let _gone = match script {
        Script::Hang => stream.read_to_end(&mut Vec::new()).await.map(|_| ()),
        Script::Close => Ok(()),
        Script::Reset => stream.set_zero_linger(),
        Script::Say(bytes) => {
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(&bytes).await;
            // Unread bytes would make the end a RST, which overtakes what was said.
            let _ = stream.shutdown().await;
            stream.read_to_end(&mut Vec::new()).await.map(|_| ())
        }
        Script::Drip => drip(stream).await,
        Script::Flood => {
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            loop {
                if let Err(gone) = stream.write_all(&[b'#'; 4096]).await {
                    break Err(gone);
                }
            }
        }
    };
}

/// Empty SETTINGS frames of HTTP/2 for who speaks that (its preface begins so), else a header of HTTP/1 without an end.
async fn drip(mut stream: TcpStream) -> std::io::Result<()> {
    let mut asked = [0; 512];
    let length = stream.read(&mut asked).await?;
    let http2 = asked[..length].starts_with(b"PRI * HTTP/2.0");
    let bytes: &[u8] = if http2 { &[0, 0, 0, 4, 0, 0, 0, 0, 0] } else { b"HTTP/1.1 200 OK\r\nX: " };
    let rest: &[u8] = if http2 { bytes } else { b"x" };
    let mut beat = tokio::time::interval(Duration::from_millis(5));
    for byte in bytes.iter().chain(rest.iter().cycle()) {
        beat.tick().await;
        stream.write_all(&[*byte]).await?;
    }
    Ok(())
}

/// An address where nothing listens.
pub fn refusing() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Answers each request over HTTP/2 with these bytes and that gRPC status; without one the answer never ends.
pub async fn on_http2(body: Vec<Bytes>, status: Option<&'static str>) -> SocketAddr {
    answering(move |mut stream| {
        for bytes in body.clone() {
            // Who has heard enough resets the stream.
            if stream.send_data(bytes, false).is_err() {
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
    })
    .await
}

/// One message, as it should be, and then others without an end.
pub async fn endless() -> SocketAddr {
    on_http2(vec![Bytes::from_static(&[0, 0, 0, 0, 0]), Bytes::from(vec![0; 8 << 20])], None).await
}

/// An agent with these policies: name, state and error.
pub async fn listing(policies: &[(&str, i32, &str)]) -> SocketAddr {
    let policies = policies.iter().map(|(name, state, error)| TracingPolicyStatus {
        name: (*name).into(),
        state: *state,
        error: (*error).into(),
        ..TracingPolicyStatus::default()
    });
    let message = ListTracingPoliciesResponse { policies: policies.collect() }.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap();
    on_http2(vec![[&[0][..], &length.to_be_bytes(), &message].concat().into()], Some("0")).await
}

async fn answering(answer: impl Fn(h2::SendStream<Bytes>) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let head = http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
                    if let Ok(stream) = respond.send_response(head, false) {
                        answer(stream);
                    }
                }
            });
        }
    });
    address
}
