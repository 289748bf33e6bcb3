//! The connections to the API server: none may hang, and none may write without the Lease.
//!
//! In: a configuration, or in tests any service in the API server's place. Out: a client.
//!
//! ## Layers, from the outside
//! 1. [`Deadlines`]: a request without an answer ends with an error that names the request.
//! 2. kube's own layers: the address, retries after 429, 503 and 504, the token.
//! 3. [`Fence`]: a write without the Lease is refused right before it is sent.
//! 4. HTTP/2 over one connection, which is tested by PING frames ([`KeepAlive`]).
//!
//! ## Guarantees
//! A connection that passes no bytes is dropped with all its requests within
//! [`KeepAlive::notices_within`], also when the other end's kernel still answers. The next request
//! opens a new one. A watch is renewed every [`WATCH_SECONDS`], so that it is noticed within five
//! seconds more when only the watch hangs. See `docs/adr/0029-quiet-connections.md`.

mod deadline;
mod fence;
mod held;
#[cfg(test)]
mod tests;

use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ConfigExt};
use kube::{Client, Config};
use tower::retry::RetryLayer;
use tower::{BoxError, Service, ServiceBuilder};

pub use deadline::{Deadlines, Failed, LIST, NoAnswer};
pub use fence::{Fence, NotLeader};
pub use held::Held;

/// The API server ends a watch after this time, and the operator renews it. A watch that has been
/// silent for five seconds longer is renewed too.
pub const WATCH_SECONDS: u32 = 10;

/// When a connection counts as dead.
#[derive(Clone, Copy, Debug)]
pub struct KeepAlive {
    /// After this time without a byte a PING is sent.
    pub interval: Duration,
    /// After this time without its answer the connection is dropped.
    pub timeout: Duration,
}

impl KeepAlive {
    /// For the operator's work.
    pub const WORK: Self =
        Self { interval: Duration::from_secs(3), timeout: Duration::from_secs(5) };
    /// For the Lease. A renewal must get through on a new connection before the renewal deadline.
    pub const LEASE: Self =
        Self { interval: Duration::from_secs(2), timeout: Duration::from_secs(3) };

    /// Longest time from the last byte until the connection is dropped.
    pub fn notices_within(self) -> Duration {
        self.interval + self.timeout
    }
}

/// At most this many bytes are on their way to the operator at once. An answer to a PING waits
/// behind them: 5 s are enough at 200 kB/s.
const WINDOW: u32 = 1 << 20;

/// A client with connections of its own. It writes only while `held` says that the Lease is held.
pub fn client(config: &Config, keep_alive: KeepAlive, held: &Held) -> kube::Result<Client> {
    if let Some(proxy) = &config.proxy_url {
        return Err(kube::Error::ProxyProtocolUnsupported { proxy_url: Box::new(proxy.clone()) });
    }
    let retry = config.default_retry.then(retry);
    let service = ServiceBuilder::new()
        .layer_fn(Deadlines::new)
        .layer(config.base_uri_layer())
        .option_layer(retry)
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .layer_fn(|service| Fence::new(service, held.clone()))
        .map_err(|error: legacy::Error| Failed::boxed(&error))
        .map_response(|response: Response<Incoming>| {
            response.map(|body| body.map_err(|error| Failed::boxed(&error)))
        })
        .service(http_client(config, keep_alive)?);
    Ok(Client::new(service, config.default_namespace.clone()))
}

/// Sends again what the API server has no time for, when it says (`Retry-After`), or after a wait
/// that doubles from 5 ms. The deadline of the request ends that. Who sent it waits meanwhile, so
/// that 16 workers of a queue are 16 requests a second at most where the server says "in a second".
fn retry() -> RetryLayer<RetryPolicy> {
    RetryLayer::new(RetryPolicy::server_retry())
}

/// A client over any service that stands for the API server.
pub fn client_over<S, B>(service: S, held: Held) -> Client
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    Client::new(Deadlines::new(Fence::new(service, held)), "default")
}

type Https = hyper_rustls::HttpsConnector<HttpConnector>;

fn http_client(
    config: &Config,
    keep_alive: KeepAlive,
) -> kube::Result<legacy::Client<Https, Body>> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    // The kernel drops what it could not deliver for so long, so that a connection that works again
    // does not deliver old writes.
    tcp.set_tcp_user_timeout(Some(keep_alive.notices_within()));
    let mut tls = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(config.rustls_client_config()?)
        .https_or_http();
    if let Some(name) = &config.tls_server_name {
        let name =
            name.clone().try_into().map_err(|error| kube::Error::Service(Box::new(error)))?;
        tls = tls.with_server_name_resolver(hyper_rustls::FixedServerNameResolver::new(name));
    }
    let connector = tls.enable_all_versions().wrap_connector(tcp);
    let mut client = legacy::Client::builder(TokioExecutor::new());
    client
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_initial_stream_window_size(WINDOW)
        .http2_initial_connection_window_size(WINDOW)
        .http2_keep_alive_interval(keep_alive.interval)
        .http2_keep_alive_timeout(keep_alive.timeout)
        .http2_keep_alive_while_idle(true);
    Ok(client.build(connector))
}
