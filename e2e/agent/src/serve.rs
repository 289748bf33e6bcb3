//! What the agent answers: gRPC for people and tools, metrics, and the health service that the kubelet asks.
//!
//! In: [`Settings`] and [`Policies`]. Out: nothing; it ends only when an address cannot be used.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use axum::Router;
use axum::routing::get;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::Server;

use crate::api::{Sensors, State};
use crate::config::{Settings, bindable};
use crate::table::Policies;

/// The states that the gauge has, whether or not a policy is in them.
const COUNTED: [State; 4] = [State::Disabled, State::Enabled, State::Error, State::LoadError];

/// Until somebody wants this process to end. The signals are caught from the call on.
///
/// # Errors
/// When signals cannot be listened for.
pub fn ended() -> anyhow::Result<impl Future<Output = anyhow::Result<()>>> {
    let catch = |kind| signal(kind).context("listen for signals");
    let (mut interrupt, mut terminate) = (catch(SignalKind::interrupt())?, catch(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
        Ok(())
    })
}

/// Answers gRPC and, where an address is set, the kubelet.
///
/// # Errors
/// When one of the addresses cannot be used.
pub async fn serve(settings: &Settings, policies: &Policies) -> anyhow::Result<()> {
    let health = async {
        match &settings.health_server_address {
            Some(address) => serve_health(address).await,
            None => std::future::pending().await,
        }
    };
    tokio::try_join!(serve_api(&settings.server_address, policies.clone()), health)?;
    Ok(())
}

/// Serves metrics where an address is set, and else waits for ever.
///
/// # Errors
/// When the address cannot be used.
pub async fn serve_metrics_where_set(settings: &Settings, policies: &Policies) -> anyhow::Result<()> {
    match &settings.metrics_server {
        Some(address) => serve_metrics(address, policies.clone()).await,
        None => std::future::pending().await,
    }
}

async fn serve_api(address: &str, policies: Policies) -> anyhow::Result<()> {
    let router = Server::builder().add_service(Sensors(policies));
    let served = match address.strip_prefix("unix://") {
        Some(path) => router.serve_with_incoming(UnixListenerStream::new(socket(Path::new(path))?)).await,
        None => router.serve_with_incoming(TcpListenerStream::new(listen(address).await?)).await,
    };
    served.with_context(|| format!("answer gRPC at {address}"))
}

/// A socket in the file system outlives the process that made it, so an old one is replaced.
fn socket(path: &Path) -> anyhow::Result<UnixListener> {
    let bind = || {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        UnixListener::bind(path)
    };
    bind().with_context(|| format!("listen at {}", path.display()))
}

async fn listen(address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(bindable(address)).await.with_context(|| format!("listen at {address}"))
}

/// The kubelet's liveness probe asks for the service named "liveness".
async fn serve_health(address: &str) -> anyhow::Result<()> {
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter.set_service_status("liveness", tonic_health::ServingStatus::Serving).await;
    let incoming = TcpListenerStream::new(listen(address).await?);
    let served = Server::builder().add_service(service).serve_with_incoming(incoming).await;
    served.with_context(|| format!("answer the kubelet at {address}"))
}

async fn serve_metrics(address: &str, policies: Policies) -> anyhow::Result<()> {
    let router = Router::new().route("/metrics", get(async move || metrics(&policies)));
    axum::serve(listen(address).await?, router).await.with_context(|| format!("serve metrics at {address}"))
}

fn metrics(policies: &Policies) -> String {
    let mut text = "# HELP tetragon_tracingpolicy_loaded The number of loaded tracing policies by state.\n\
        # TYPE tetragon_tracingpolicy_loaded gauge\n"
        .to_owned();
    for state in COUNTED {
        let label = state.name().trim_start_matches("TP_STATE_").to_lowercase();
        let _ = writeln!(text, "tetragon_tracingpolicy_loaded{{state=\"{label}\"}} {}", policies.count(state));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::table::Edition;
    use crate::tetra;

    fn refusing() -> Policies {
        let policies = Policies::new(false);
        let edition = Edition { name: "deny".into(), uid: "1".into(), generation: 1 };
        policies.apply(&edition, &json!({"lsmhooks": [{"hook": "file_open"}]}));
        policies
    }

    #[test]
    fn the_gauge_counts_policies_by_state() {
        let text = metrics(&refusing());
        assert!(text.contains("tetragon_tracingpolicy_loaded{state=\"load_error\"} 1\n"), "{text}");
        assert!(text.contains("tetragon_tracingpolicy_loaded{state=\"enabled\"} 0\n"), "{text}");
    }

    #[tokio::test]
    async fn a_client_is_answered_on_a_socket_that_an_earlier_process_left() {
        let dir = tempfile::tempdir().unwrap();
        let address = format!("unix://{}", dir.path().join("run/tetragon.sock").display());
        drop(socket(Path::new(address.trim_start_matches("unix://"))).unwrap());
        let served = serve_api(&address, refusing());
        let asked = async {
            let listed = tetra::list(&address).await.unwrap();
            assert_eq!((listed[0].name.as_str(), listed[0].state()), ("deny", State::LoadError));
        };
        tokio::select! { biased; served = served => panic!("{served:?}"), () = asked => {} }
    }
}
