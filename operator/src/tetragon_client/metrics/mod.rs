//! What the metrics of an agent say about its policies.
//!
//! The text is read as it comes and never held: the metrics of a busy agent are long. pkg/metrics/policymetrics of Tetragon
//! has the three metrics that are read here ([`sample`](sample::sample)).

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

use crate::tetragon_client::error::Why;
use crate::tetragon_client::limits::Limits;
use crate::tetragon_client::listing::Listed;
use gather::Gather;

/// Reads the metrics at that address.
pub async fn read(address: SocketAddr, limits: &Limits) -> Result<Listed, Why> {
    timeout(limits.deadline, scrape(address, limits.metrics_bytes))
        .await
        .unwrap_or(Err(Why::TimedOut))
}

async fn scrape(address: SocketAddr, most: usize) -> Result<Listed, Why> {
    let stream = TcpStream::connect(address).await.map_err(|error| Why::of_io(&error))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| why(&error))?;
    let request = Request::get("/metrics")
        .header(header::HOST, address.to_string())
        .header(header::ACCEPT, "text/plain")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| Why::NoAddress)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| why(&error))?;
        match response.status() {
            StatusCode::OK => gather(response.into_body(), most).await,
            other => Err(Why::Http(other.as_u16())),
        }
    };
    // The connection moves the bytes. Whoever waits for the answer sees what ends it, an error too.
    let moving = async {
        let _seen_by_the_other = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        answer = answer => answer,
        never = moving => never,
    }
}

async fn gather(mut body: Incoming, most: usize) -> Result<Listed, Why> {
    let (mut gather, mut read) = (Gather::default(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame.map_err(|error| why(&error))?.into_data() else {
            continue;
        };
        read += bytes.len();
        if read > most {
            return Err(Why::TooLarge);
        }
        gather.feed(&bytes);
    }
    gather.gathered()
}

fn why(error: &hyper::Error) -> Why {
    match Why::among_causes(error) {
        Some(why) => why,
        None if error.is_incomplete_message() || error.is_closed() || error.is_canceled() => {
            Why::Closed
        }
        None => Why::OtherProtocol,
    }
}
