//! Connects to an agent, over TLS if that is wanted, and finds the cause when a connection fails.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::tetragon_client::error::AskError;
use crate::tetragon_client::stream::{Recorded, Recording};
use crate::tetragon_client::tls::{self, Tls};

/// A new connection, and the recordings of it.
pub struct Connection {
    pub stream: Stream,
    pub recordings: Recordings,
}

/// The byte stream that gRPC uses.
pub enum Stream {
    Plain(Recorded<TcpStream>),
    Tls(Box<Recorded<TlsStream<Recorded<TcpStream>>>>),
}

/// Records of a connection. They know more than the error that gRPC gives.
pub struct Recordings {
    /// Bytes from the network.
    raw: Recording,
    /// Bytes after decryption.
    decrypted: Recording,
    over_tls: bool,
}

pub async fn connect(address: SocketAddr, tls: Option<&Tls>) -> Result<Connection, AskError> {
    let (raw, decrypted) = (Recording::default(), Recording::default());
    let stream = TcpStream::connect(address).await.map_err(|error| AskError::from_io(&error))?;
    let stream = Recorded::new(stream, raw.clone());
    let stream = match tls {
        None => Stream::Plain(stream),
        Some(tls) => {
            let handshake = tls.connector().connect(tls.name_at(address.ip()), stream).await;
            let stream = handshake.map_err(|error| {
                let is_plain = tls::is_plain_text(&raw.first_bytes());
                if is_plain { AskError::NoTls } else { AskError::from_io(&error) }
            })?;
            Stream::Tls(Box::new(Recorded::new(stream, decrypted.clone())))
        }
    };
    let recordings = Recordings { raw, decrypted, over_tls: tls.is_some() };
    Ok(Connection { stream, recordings })
}

impl Recordings {
    /// The cause of a failed gRPC call, for which gRPC gives `error`. Agents are written in Go: one
    /// that requires TLS closes a connection without TLS and sends nothing. A second connection
    /// then finds out whether the agent speaks TLS.
    pub async fn cause(&self, address: SocketAddr, error: AskError) -> AskError {
        if self.over_tls {
            return self.decrypted.error().unwrap_or(error);
        }
        let first = self.raw.first_bytes();
        let closed_silently = first.is_empty() && error == AskError::Closed;
        if tls::is_tls(&first) || closed_silently && speaks_tls(address).await {
            AskError::TlsRequired
        } else {
            error
        }
    }
}

/// Whether the other end answers the first message of TLS.
async fn speaks_tls(address: SocketAddr) -> bool {
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
