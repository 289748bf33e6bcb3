//! Reads what the metrics of an agent say about its policies.
//!
//! The metrics of a busy agent are long, so the text is read as it arrives and never held as a
//! whole. The three metrics that are read ([`sample`](sample::sample)) are defined in
//! pkg/metrics/policymetrics of Tetragon.

mod gather;
mod sample;

use std::net::SocketAddr;

use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::tetragon_client::error::AskError;
use crate::tetragon_client::limits::Limits;
use crate::tetragon_client::listing::Listing;
use gather::Gather;

/// Reads the metrics at that address.
pub async fn read(address: SocketAddr, limits: &Limits) -> Result<Listing, AskError> {
    timeout(limits.deadline, scrape(address, limits.metrics_bytes))
        .await
        .unwrap_or(Err(AskError::TimedOut))
}

async fn scrape(address: SocketAddr, max_bytes: usize) -> Result<Listing, AskError> {
    let stream = TcpStream::connect(address).await.map_err(|error| AskError::from_io(&error))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| http_error(&error))?;
    let request = Request::get("/metrics")
        .header(header::HOST, address.to_string())
        .header(header::ACCEPT, "text/plain")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| AskError::NoAddress)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| http_error(&error))?;
        match response.status() {
            StatusCode::OK => gather(response.into_body(), max_bytes).await,
            other => Err(AskError::Http(other.as_u16())),
        }
    };
    // `connection` transfers the bytes and must be polled. `answer` sees its errors too, so this
    // branch never ends first.
    let transfer = async {
        let _error_seen_by_answer = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        biased;
        answer = answer => answer,
        never = transfer => never,
    }
}

async fn gather(mut body: Incoming, max_bytes: usize) -> Result<Listing, AskError> {
    let (mut gather, mut read) = (Gather::default(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame.map_err(|error| http_error(&error))?.into_data() else {
            continue;
        };
        read += bytes.len();
        if read > max_bytes {
            return Err(AskError::TooLarge);
        }
        gather.feed(&bytes);
    }
    gather.finish()
}

fn http_error(error: &hyper::Error) -> AskError {
    match AskError::from_sources(error) {
        Some(cause) => cause,
        None if error.is_incomplete_message() || error.is_closed() || error.is_canceled() => {
            AskError::Closed
        }
        None => AskError::OtherProtocol,
    }
}
