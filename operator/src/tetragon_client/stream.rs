//! A stream that records how the connection began and how it ended.
//!
//! h2 reports neither: it keeps only the kind of an I/O error, and drops a TLS alert inside.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::tetragon_client::error::AskError;

/// Number of first bytes that are kept: enough to distinguish TLS from HTTP.
const FIRST: usize = 16;

/// The record of one connection, shared with the function that opened it.
#[derive(Clone, Debug, Default)]
pub struct Recording(Arc<Mutex<Record>>);

#[derive(Debug, Default)]
struct Record {
    first: Vec<u8>,
    error: Option<AskError>,
}

impl Recording {
    /// The first bytes that were received.
    pub fn first_bytes(&self) -> Vec<u8> {
        self.0.lock().first.clone()
    }

    /// The first error of the connection.
    pub fn error(&self) -> Option<AskError> {
        self.0.lock().error
    }

    fn received(&self, bytes: &[u8]) {
        let first = &mut self.0.lock().first;
        let room = FIRST - first.len();
        first.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn failed(&self, error: &io::Error) {
        self.0.lock().error.get_or_insert(AskError::from_io(error));
    }
}

/// A stream with its recording.
#[derive(Debug)]
pub struct Recorded<S> {
    stream: S,
    recording: Recording,
}

impl<S> Recorded<S> {
    pub const fn new(stream: S, recording: Recording) -> Self {
        Self { stream, recording }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Recorded<S> {
    /// An agent that refuses a client certificate sends an alert and closes. When a write finds the
    /// connection closed, that alert may still wait to be read.
    fn write_failed(&mut self, cx: &mut Context<'_>, error: &io::Error) {
        let mut buffer = [0; 1024];
        match Pin::new(&mut self.stream).poll_read(cx, &mut ReadBuf::new(&mut buffer)) {
            Poll::Ready(Err(alert)) => self.recording.failed(&alert),
            // Nothing to read, or bytes that are of no use any more.
            Poll::Ready(Ok(())) | Poll::Pending => self.recording.failed(error),
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
            Ok(()) => self.recording.received(&buffer.filled()[before..]),
            Err(error) => self.recording.failed(error),
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

    /// A connection that the other end has closed, with an unread alert.
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
    async fn an_unread_alert_is_the_error_of_a_write_to_a_closed_connection() {
        for flushed in [false, true] {
            let recording = Recording::default();
            let mut stream = Recorded::new(Closed, recording.clone());
            let ended = if flushed { stream.flush().await } else { stream.write_all(b"x").await };
            assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            assert_eq!(recording.error(), Some(AskError::ClientCertificateRequired));
        }
    }
}
