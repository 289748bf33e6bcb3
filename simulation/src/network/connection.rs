//! The service under a process's client.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Request;
use kube::client::Body;

use super::Network;
use crate::checks;
use crate::clock;
use crate::server::answer::Response;

/// The service under a process's client.
#[derive(Debug)]
pub struct Connection {
    network: Arc<Network>,
    /// The connection of the election is not fenced.
    is_fenced: bool,
    running: Running,
}

/// Resolves when the process runs again.
struct Running(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl std::fmt::Debug for Running {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Running")
    }
}

impl Connection {
    #[must_use]
    pub const fn fenced(network: Arc<Network>) -> Self {
        Self { network, is_fenced: true, running: Running(None) }
    }

    #[must_use]
    pub const fn of_the_election(network: Arc<Network>) -> Self {
        Self { network, is_fenced: false, running: Running(None) }
    }
}

impl tower::Service<Request<Body>> for Connection {
    type Response = Response;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Response>> + Send>>;

    /// Pending while the process is paused: what was not handed over then is checked afterwards.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let holds_back =
            if self.is_fenced { self.network.holds_back() } else { self.network.is_stopped() };
        if !holds_back {
            self.running.0 = None;
            return Poll::Ready(Ok(()));
        }
        let network = self.network.clone();
        let running = || Box::pin(async move { network.running().await }) as _;
        let waiting = self.running.0.get_or_insert_with(running);
        let ready = waiting.as_mut().poll(cx);
        ready.map(|()| {
            self.running.0 = None;
            Ok(())
        })
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if self.is_fenced {
            checks::handed_over(&self.network, &request);
        }
        Box::pin(self.network.clone().request(request, clock::elapsed()))
    }
}
