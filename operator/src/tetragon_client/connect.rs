//! A connection to an agent, over TLS where that is wanted.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::tetragon_client::error::Why;
use crate::tetragon_client::stream::{Record, Recorded};
use crate::tetragon_client::tls::{self, Tls};

/// A connection, and what it records.
pub struct Connection {
    /// The bytes of gRPC.
    pub stream: Stream,
    /// What comes from the network.
    below: Record,
    /// What comes out of TLS.
    above: Record,
    over_tls: bool,
}

/// With or without TLS.
pub enum Stream {
    /// Without.
    Plain(Recorded<TcpStream>),
    /// With.
    Tls(Box<Recorded<TlsStream<Recorded<TcpStream>>>>),
}

/// Connects to that address.
pub async fn connect(address: SocketAddr, tls: Option<&Tls>) -> Result<Connection, Why> {
    let (below, above) = (Record::default(), Record::default());
    let stream = TcpStream::connect(address).await.map_err(|error| Why::of_io(&error))?;
    let stream = Recorded::new(stream, below.clone());
    let stream = match tls {
        None => Stream::Plain(stream),
        Some(tls) => {
            let shaken = tls.connector().connect(tls.name_at(address.ip()), stream).await;
            let stream = shaken.map_err(|error| told_by(&below, Why::of_io(&error)))?;
            Stream::Tls(Box::new(Recorded::new(stream, above.clone())))
        }
    };
    Ok(Connection { stream, below, above, over_tls: tls.is_some() })
}

/// Why a handshake failed, by what the other end said first.
fn told_by(below: &Record, why: Why) -> Why {
    let first = below.first();
    if tls::is_plain_text(&first) { Why::NoTls } else { why }
}

/// Why gRPC over a connection failed: the records know more than the error that gRPC gives.
pub struct Ended {
    below: Record,
    above: Record,
    over_tls: bool,
}

impl Connection {
    /// The stream, and who remembers how it ends.
    pub fn split(self) -> (Stream, Ended) {
        let Self { stream, below, above, over_tls } = self;
        (stream, Ended { below, above, over_tls })
    }
}

impl Ended {
    /// The cause, where gRPC says `why`. Agents written in Go close a connection without TLS where they want TLS, and
    /// say nothing: then a second connection asks for TLS.
    pub async fn why(&self, address: SocketAddr, why: Why) -> Why {
        if self.over_tls {
            return self.above.error().unwrap_or(why);
        }
        let first = self.below.first();
        let silent = first.is_empty() && why == Why::Closed;
        if tls::is_tls(&first) || silent && wants_tls(address).await {
            Why::TlsRequired
        } else {
            why
        }
    }
}

/// Whether what listens there answers to the first message of TLS.
async fn wants_tls(address: SocketAddr) -> bool {
    let mut first = [0; 2];
    let ask = async {
        let hello = tls::client_hello()?;
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(&hello).await.ok()?;
        stream.read_exact(&mut first).await.ok()
    };
    ask.await.is_some() && tls::is_tls(&first)
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
