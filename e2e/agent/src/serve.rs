//! The servers of the agent: gRPC for people and tools, metrics, and the health service that the
//! kubelet asks.
//!
//! In: [`Settings`] and a [`Source`]. Out: nothing; a server ends only when its address cannot be
//! used.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use axum::Router;
use axum::routing::get;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

use crate::config::{Settings, TlsFiles, bindable};
use crate::metrics;
use crate::release::Source;
use crate::service::Sensors;

/// Waits for a signal that asks this process to end. The signals are caught from this call on.
pub fn ended() -> anyhow::Result<impl Future<Output = anyhow::Result<()>>> {
    let catch = |kind| signal(kind).context("listen for signals");
    let (mut interrupt, mut terminate) =
        (catch(SignalKind::interrupt())?, catch(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
        Ok(())
    })
}

/// Serves gRPC and, where an address is set, the kubelet.
pub async fn serve(settings: &Settings, policies: &Source) -> anyhow::Result<()> {
    let health = async {
        match &settings.health_server_address {
            Some(address) => serve_health(address).await,
            None => std::future::pending().await,
        }
    };
    tokio::try_join!(serve_api(settings, policies.clone()), health)?;
    Ok(())
}

/// Serves metrics where an address is set. Otherwise it waits for ever.
pub async fn serve_metrics_where_set(settings: &Settings, policies: &Source) -> anyhow::Result<()> {
    match &settings.metrics_server {
        Some(address) => serve_metrics(address, policies.clone()).await,
        None => std::future::pending().await,
    }
}

async fn serve_api(settings: &Settings, policies: Source) -> anyhow::Result<()> {
    let address = &settings.server_address;
    let mut builder = Server::builder();
    if let Some(files) = &settings.tls {
        builder = builder.tls_config(tls(files)?).context("use the files for TLS")?;
    }
    let router = builder.add_service(Sensors(policies));
    let served = if let Some(path) = address.strip_prefix("unix://") {
        router.serve_with_incoming(UnixListenerStream::new(socket(Path::new(path))?)).await
    } else {
        let listener = listen(address).await?;
        println!(
            "level=info msg=\"Starting gRPC server\" protocol=tcp address={}",
            listener.local_addr()?
        );
        router.serve_with_incoming(TcpListenerStream::new(listener)).await
    };
    served.with_context(|| format!("answer gRPC at {address}"))
}

fn tls(files: &TlsFiles) -> anyhow::Result<ServerTlsConfig> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
    let config = ServerTlsConfig::new()
        .identity(Identity::from_pem(read(&files.certificate)?, read(&files.key)?));
    let Some(cas) = &files.client_cas else {
        return Ok(config);
    };
    let cas = cas.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?.join(&b'\n');
    Ok(config.client_ca_root(Certificate::from_pem(cas)))
}

/// Makes a socket in the file system. It replaces an old one, as a socket stays when its process
/// ends.
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

/// Serves the service "liveness", which the kubelet's liveness probe asks for.
async fn serve_health(address: &str) -> anyhow::Result<()> {
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter.set_service_status("liveness", tonic_health::ServingStatus::Serving).await;
    let incoming = TcpListenerStream::new(listen(address).await?);
    let served = Server::builder().add_service(service).serve_with_incoming(incoming).await;
    served.with_context(|| format!("answer the kubelet at {address}"))
}

async fn serve_metrics(address: &str, policies: Source) -> anyhow::Result<()> {
    let listener = listen(address).await?;
    println!("level=info msg=\"Starting metrics server\" addr={}", listener.local_addr()?);
    let router = Router::new().route("/metrics", get(async move || metrics::text(&policies)));
    axum::serve(listener, router).await.with_context(|| format!("serve metrics at {address}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::TracingPolicyStatus;
    use crate::states::State;
    use crate::tetra;

    #[tokio::test]
    async fn a_socket_that_an_earlier_process_left_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let address = format!("unix://{}", dir.path().join("run/tetragon.sock").display());
        drop(socket(Path::new(address.trim_start_matches("unix://"))).unwrap());
        let release = "v1.3.0".parse().unwrap();
        let refused =
            TracingPolicyStatus { name: "deny".into(), state: 3, ..TracingPolicyStatus::default() };
        let settings = Settings {
            release,
            server_address: address.clone(),
            metrics_server: None,
            health_server_address: None,
            tls: None,
        };
        let served = serve_api(&settings, Source::new(release, move || vec![refused.clone()]));
        let asked = async {
            let listed = tetra::list(&address).await.unwrap();
            assert_eq!((listed[0].name.as_str(), listed[0].state()), ("deny", State::LoadError));
        };
        tokio::select! { biased; served = served => panic!("{served:?}"), () = asked => {} }
    }
}
