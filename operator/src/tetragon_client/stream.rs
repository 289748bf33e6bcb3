//! A connection that remembers how it began and how it ended.
//!
//! h2 tells neither: of an error of the connection below it keeps the kind alone, and not that it was a TLS alert.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::tetragon_client::error::Why;

/// How many bytes are remembered: enough to tell TLS from HTTP.
const FIRST: usize = 16;

/// What is remembered of a connection, shared with who has started it.
#[derive(Clone, Debug, Default)]
pub struct Record(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    first: Vec<u8>,
    error: Option<Why>,
}

impl Record {
    /// The first bytes that were received.
    pub fn first(&self) -> Vec<u8> {
        self.with(|seen| seen.first.clone())
    }

    /// Why the connection ended, if by an error.
    pub fn error(&self) -> Option<Why> {
        self.with(|seen| seen.error)
    }

    fn received(&self, bytes: &[u8]) {
        self.with(|seen| {
            let room = FIRST - seen.first.len();
            seen.first.extend_from_slice(&bytes[..bytes.len().min(room)]);
        });
    }

    fn failed(&self, error: &io::Error) {
        self.with(|seen| _ = seen.error.get_or_insert(Why::of_io(error)));
    }

    fn with<T>(&self, f: impl FnOnce(&mut Seen) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A stream with its record.
#[derive(Debug)]
pub struct Recorded<S> {
    stream: S,
    record: Record,
}

impl<S> Recorded<S> {
    /// Records what happens to that stream.
    pub const fn new(stream: S, record: Record) -> Self {
        Self { stream, record }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Recorded<S> {
    /// An agent that refuses a client certificate says so and closes. Where a write finds the connection closed, the
    /// reason may be waiting to be read.
    fn write_failed(&mut self, cx: &mut Context<'_>, error: &io::Error) {
        let mut buffer = [0; 1024];
        match Pin::new(&mut self.stream).poll_read(cx, &mut ReadBuf::new(&mut buffer)) {
            Poll::Ready(Err(reason)) => self.record.failed(&reason),
            // Nothing, the end, or bytes that nobody will read any more.
            _ => self.record.failed(error),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Recorded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        match &read {
            Ok(()) => self.record.received(&buffer.filled()[before..]),
            Err(error) => self.record.failed(error),
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Recorded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        if let Err(error) = &written {
            self.write_failed(cx, error);
        }
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        if let Err(error) = &flushed {
            self.write_failed(cx, error);
        }
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio_rustls::rustls::{AlertDescription, Error};

    use super::*;

    /// A connection that the other end has closed, with an alert that was not read yet.
    struct Closed;

    impl AsyncRead for Closed {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let alert = Error::AlertReceived(AlertDescription::CertificateRequired);
            Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, alert)))
        }
    }

    impl AsyncWrite for Closed {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn the_alert_counts_where_a_write_finds_the_connection_closed() {
        for flushed in [false, true] {
            let record = Record::default();
            let mut stream = Recorded::new(Closed, record.clone());
            let ended = if flushed { stream.flush().await } else { stream.write_all(b"x").await };
            assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            assert_eq!(record.error(), Some(Why::ClientCertificateRequired));
        }
    }
}
